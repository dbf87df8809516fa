"""The library against torchrecurrent (PyTorch autograd, float64): the cells PyTorch lacks.

Where its parameters differ from ours: layers are `cells.0.weight_ih`, not `weight_ih_l0`; the
IndRNN's vector is `vector_u`, ours `weight_hh`;
IndRNN, UGRNN and +RNN have a second bias, ours one (`recurrent_bias=False` makes theirs zero).
The rows of every gate matrix come in the same order.
"""

from __future__ import annotations

import numpy as np
import pytest
from reference import random_state

import rnncore as rc

torch = pytest.importorskip("torch", reason="PyTorch, the foreign oracle, is not installed")
torchrecurrent = pytest.importorskip("torchrecurrent", reason="torchrecurrent is not installed")
from reference.autograd import assert_agrees  # noqa: E402  imports torch

pytestmark = pytest.mark.oracle

T, B, H, LAYERS = 7, 4, 5, 2
ONE_BIAS = {"recurrent_bias": False}
CASES = [
    ("LSTM", {"peephole": "diagonal"}, "PeepholeLSTM", {}),
    ("LSTM", {"forget": "none"}, "OriginalLSTM", {}),
    ("IndRNN", {"activation": "tanh"}, "IndRNN", ONE_BIAS),
    ("IndRNN", {"activation": "relu"}, "IndRNN", ONE_BIAS | {"nonlinearity": "relu"}),
    ("UGRNN", {}, "UGRNN", ONE_BIAS),
    ("IntersectionRNN", {}, "IntersectionRNN", ONE_BIAS),
]


def theirs(kind, leaves):
    """Our parameters under their names; autograd goes back through the permutation."""
    renamed = {}
    for name, leaf in leaves.items():
        stem, _, layer = name.rpartition("_l")
        if kind == "IndRNN" and stem == "weight_hh":
            stem = "vector_u"
        renamed[f"cells.{layer}.{stem}"] = leaf
    return renamed


@pytest.mark.parametrize(("kind", "options", "name", "their_options"), CASES, ids=str)
def test_agrees(kind, options, name, their_options):
    width = H if kind == "IntersectionRNN" else 3
    module = getattr(torchrecurrent, name)(
        width, H, num_layers=LAYERS, dtype=torch.float64, **their_options
    )

    def function(leaves, x, *state):
        start = state if len(state) == 2 else state[0]
        parameters = theirs(kind, leaves)
        assert set(parameters) == {n for n, _ in module.named_parameters()}
        return torch.func.functional_call(module, parameters, (x, start))

    rng = np.random.default_rng(1)
    x, state = (
        rng.standard_normal((T, B, width)),
        random_state(rng, kind, H, B, num_layers=LAYERS),
    )
    layer = getattr(rc, kind)(width, H, num_layers=LAYERS, dtype=np.float64, **options)
    assert_agrees(layer, function, x, state)
