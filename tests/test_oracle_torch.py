"""The library against PyTorch in float64: its modules, cells written as loops, and training."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference import random_state

import rnncore as rc

torch = pytest.importorskip("torch", reason="PyTorch, the foreign oracle, is not installed")
from reference.autograd import assert_agrees  # noqa: E402  both import torch
from reference.loops import ACTIVATIONS, loop  # noqa: E402

F, rnn_utils = torch.nn.functional, torch.nn.utils.rnn
pytestmark = pytest.mark.oracle

T, B, K, H = 6, 4, 3, 5
CLIP = 0.3  # about half of the updates below are clipped
LENGTHS = (3, 6, 1, 5)  # any order; packed sequences cannot be empty


def torch_module(kind, activation=None, **options):
    if activation is not None:
        options["nonlinearity"] = activation
    return getattr(torch.nn, kind)(K, H, **{"dtype": torch.float64, **options})


def call(module, lengths=None):
    """The module as a function of its parameters: (leaves, x, *states) -> (y, last)."""

    def function(leaves, x, *state):
        start = (state,) if len(state) == 2 else state
        if lengths is None:
            return torch.func.functional_call(module, leaves, (x, *start))
        first = module.batch_first
        packed = rnn_utils.pack_padded_sequence(x, lengths, first, enforce_sorted=False)
        y, last = torch.func.functional_call(module, leaves, (packed, *start))
        total = x.shape[1 if first else 0]
        return rnn_utils.pad_packed_sequence(y, first, total_length=total)[0], last

    return function


MODULES = [
    ("RNN", {"activation": "tanh"}),
    ("RNN", {"activation": "relu"}),
    ("LSTM", {}),
    ("GRU", {}),
]


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(("kind", "own"), MODULES)
def test_modules(kind, own, num_layers, bidirectional, lengths):
    options = {**own, "num_layers": num_layers, "bidirectional": bidirectional}
    rng = np.random.default_rng(1)
    x, state = rng.standard_normal((T, B, K)), random_state(rng, kind, H, B, **options)
    layer = getattr(rc, kind)(K, H, dtype=np.float64, **options)
    assert_agrees(layer, call(torch_module(kind, **options), lengths), x, state, lengths)


@pytest.mark.parametrize(("kind", "own"), MODULES)
def test_modules_without_bias_and_without_state(kind, own):
    x = np.random.default_rng(1).standard_normal((T, B, K))
    layer = getattr(rc, kind)(K, H, dtype=np.float64, bias=False, **own)
    assert_agrees(layer, call(torch_module(kind, bias=False, **own)), x)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
@pytest.mark.parametrize(("kind", "own"), MODULES)
def test_batch_first(kind, own, lengths):
    """x, y are (B, T, features); states stay (S, B, H)."""
    options = {**own, "num_layers": 2, "bidirectional": True, "batch_first": True}
    rng = np.random.default_rng(1)
    x = rng.standard_normal((B, T, K))
    state = random_state(rng, kind, H, B, num_layers=2, bidirectional=True)
    layer = getattr(rc, kind)(K, H, dtype=np.float64, **options)
    assert_agrees(layer, call(torch_module(kind, **options), lengths), x, state, lengths)


@pytest.mark.parametrize(("kind", "own"), MODULES)
def test_one_sequence_without_a_batch(kind, own):
    rng = np.random.default_rng(1)
    x, state = rng.standard_normal((T, K)), random_state(rng, kind, H)
    layer = getattr(rc, kind)(K, H, dtype=np.float64, **own)
    assert_agrees(layer, call(torch_module(kind, **own)), x, state)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_residual_between_bidirectional_layers(kind):
    """y_1 = layer_1(y_0) + y_0, the directions side by side; layer 0 changes the width."""
    options = {"num_layers": 2, "bidirectional": True}
    rng = np.random.default_rng(1)
    x, state = rng.standard_normal((T, B, K)), random_state(rng, kind, H, B, **options)
    stack = [
        getattr(torch.nn, kind)(width, H, bidirectional=True, dtype=torch.float64)
        for width in (K, 2 * H)
    ]

    def function(leaves, x, *state):
        last = []
        for k, module in enumerate(stack):
            own = {n.replace(f"_l{k}", "_l0"): v for n, v in leaves.items() if f"_l{k}" in n}
            y, end = call(module)(own, x, *(part[2 * k : 2 * k + 2] for part in state))
            last.append(end if isinstance(end, tuple) else (end,))
            x = y + x if k else y
        return x, tuple(torch.cat(part) for part in zip(*last, strict=True))

    layer = getattr(rc, kind)(K, H, dtype=np.float64, residual=True, **options)
    assert_agrees(layer, function, x, state)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_state_dicts_load_unchanged_both_ways(kind, dtype):
    options = {"num_layers": 2, "bidirectional": True}
    module = torch_module(kind, dtype=getattr(torch, dtype), **options)
    layer = getattr(rc, kind)(K, H, dtype=dtype, **options)
    layer.load_state_dict(module.state_dict())
    x = np.random.default_rng(1).standard_normal((T, B, K)).astype(dtype)
    y, wanted = layer.infer(x)[0], module(torch.from_numpy(x))[0].detach()
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    assert_allclose(y, wanted, rtol=tolerance, atol=tolerance, strict=True)

    back = torch_module(kind, dtype=getattr(torch, dtype), **options)
    ours = {name: torch.from_numpy(value) for name, value in layer.state_dict().items()}
    back.load_state_dict(ours, strict=True)
    for name, value in module.state_dict().items():
        assert_array_equal(back.state_dict()[name], value, err_msg=name, strict=True)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("RNN", {"activation": "sigmoid", "taps": (1, 4)}),
        ("RNN", {"activation": "identity", "residual": True, "num_layers": 3}),
        ("RNN", {"form": "pascanu"}),
        ("RNN", {"form": "pascanu", "activation": "relu", "taps": (2, 3), "num_layers": 2}),
        ("RNN", {"form": "pascanu", "activation": "sigmoid", "bias": False}),
        ("RNN", {"skip": 3, "skip_scale": 0.5}),
        ("RNN", {"skip": 1, "activation": "relu", "taps": (1, 2)}),
        ("GRU", {"reset": "before"}),
        ("GRU", {"reset": "before", "taps": (2,), "num_layers": 2, "residual": True}),
        ("GRU", {"taps": (1, 3), "num_layers": 2}),
        ("IndRNN", {"taps": (3,), "activation": "relu"}),
        ("IndRNN", {"activation": "sigmoid", "residual": True, "num_layers": 2}),
        ("IdentityRNN", {}),
        ("IdentityRNN", {"activation": "relu", "taps": (2,), "num_layers": 2}),
        ("MinGRU", {}),
        ("MinGRU", {"candidate": "tanh", "taps": (2,), "num_layers": 2, "bias": False}),
        ("UGRNN", {"activation": "relu", "taps": (1, 2)}),
        ("IntersectionRNN", {"taps": (1, 3), "num_layers": 2}),
        ("LSTM", {"forget": "none", "num_layers": 2}),
        ("LSTM", {"forget": "coupled", "residual": True, "num_layers": 2}),
        ("LSTM", {"taps": (2, 3)}),
        ("LSTM", {"peephole": "diagonal", "taps": (1, 3)}),
        ("LSTM", {"peephole": "diagonal", "forget": "none"}),
        ("LSTM", {"peephole": "diagonal", "forget": "coupled"}),
        ("LSTM", {"peephole": "cell", "num_layers": 2}),
        ("LSTM", {"peephole": "cell", "forget": "none", "taps": (2,)}),
        ("LSTM", {"peephole": "cell", "forget": "coupled", "bias": False}),
    ],
    ids=str,
)
def test_loops(kind, options):
    """Every cell and option that PyTorch has no module for, with an empty row."""
    rng = np.random.default_rng(2)
    width = H if kind == "IntersectionRNN" else K
    x, state = rng.standard_normal((T, B, width)), random_state(rng, kind, H, B, **options)
    layer = getattr(rc, kind)(width, H, dtype=np.float64, **options)
    lengths = (3, 6, 0, 5)
    assert_agrees(layer, loop(kind, lengths, **options), x, state, lengths)


@pytest.mark.parametrize("activation", ["identity", "tanh", "relu", "sigmoid"])
def test_linear(activation):
    f = ACTIVATIONS[activation]
    x = np.random.default_rng(1).standard_normal((T, B, H))
    layer = rc.Linear(H, H, activation=activation, residual=True, dtype=np.float64)
    assert_agrees(layer, lambda p, x: (f(F.linear(x, p["weight"], p["bias"])) + x, None), x)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_training_takes_the_same_path(name):
    """100 updates from the same weights on the same batches end at the same weights."""
    rng, classes = np.random.default_rng(5), 4
    torch.manual_seed(5)
    lstm = torch.nn.LSTM(K, H, dtype=torch.float64)
    head = torch.nn.Linear(H, classes, dtype=torch.float64)
    module = torch.nn.ModuleList([lstm, head])
    model = rc.Model(
        [rc.LSTM(K, H, dtype=np.float64), rc.Linear(H, classes, dtype=np.float64)],
        loss="cross_entropy",
    )
    model.load_state_dict(module.state_dict())
    start = model.state_dict()
    options = {"SGD": {"lr": 0.2, "momentum": 0.9}, "Adam": {"lr": 0.01}}[name]
    ours = getattr(rc, name)(**options)
    theirs = getattr(torch.optim, name)(module.parameters(), **options)
    xs = 3.0 * rng.standard_normal((10, T, B, K))
    targets = rng.integers(classes, size=(10, T, B))

    norms = []
    for step in range(100):
        x, target = xs[step % 10], targets[step % 10]
        logits = head(lstm(torch.from_numpy(x))[0])
        wanted = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(target).flatten())
        theirs.zero_grad()
        wanted.backward()
        loss, _ = model.loss_and_grad(x, target)
        assert_allclose(loss, wanted.item(), rtol=1e-9)
        if name == "SGD":
            norms.append(torch.nn.utils.clip_grad_norm_(module.parameters(), CLIP).item())
            assert_allclose(model.clip_norm(CLIP), norms[-1], rtol=1e-8)
        theirs.step()
        ours.step(model)

    for key, value in module.state_dict().items():
        assert_allclose(model.state_dict()[key], value, rtol=1e-9, atol=1e-9, err_msg=key)
        assert abs(value.numpy() - start[key]).max() > 0.01, f"{key} never moved"
    assert name != "SGD" or 10 < sum(norm > CLIP for norm in norms) < 90
