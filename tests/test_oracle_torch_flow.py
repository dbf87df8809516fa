"""The norms of `gradient_flow` against those of the gradients that PyTorch retains."""

from __future__ import annotations

import numpy as np
import pytest

import rnncore as rc
from rnncore import analysis

torch = pytest.importorskip("torch", reason="PyTorch, the foreign oracle, is not installed")
pytestmark = pytest.mark.oracle

T, B, K, H = 7, 3, 4, 5
CELLS = {"RNN": torch.nn.RNNCell, "LSTM": torch.nn.LSTMCell, "GRU": torch.nn.GRUCell}


def cell_of(layer, suffix):
    """PyTorch's cell with the weights of one layer of a stack."""
    width = layer.parameters[f"weight_ih{suffix}"].shape[1]
    cell = CELLS[type(layer).__name__](width, H, dtype=torch.float64)
    cell.load_state_dict({name: torch.tensor(layer.parameters[name + suffix])
                          for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")})
    return cell


def norm(tensor):
    return 0.0 * tensor.norm(dim=-1) if tensor.grad is None else tensor.grad.norm(dim=-1)


@pytest.mark.parametrize("lengths", [None, (7, 2, 5)], ids=["full", "lengths"])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("kind", CELLS)
def test_norms_are_those_of_retained_gradients(kind, num_layers, lengths):
    rng = np.random.default_rng(0)
    layer = getattr(rc, kind)(K, H, num_layers=num_layers, dtype=np.float64)
    model = rc.Model([layer, rc.Linear(H, 2, dtype=np.float64)], seed=0)
    x, y = rng.standard_normal((T, B, K)), rng.standard_normal((T, B, 2))
    flow = analysis.gradient_flow(model, x, y, lengths=lengths)

    live = torch.tensor(np.arange(T)[:, None] < np.array(lengths or (T, T, T)))
    out = torch.nn.Linear(H, 2, dtype=torch.float64)
    out.load_state_dict({n: torch.tensor(v) for n, v in model.layers[1].parameters.items()})
    inputs = [torch.tensor(x_t, requires_grad=True) for x_t in x]
    kept = []
    for number in range(num_layers):
        cell, state = cell_of(layer, f"_l{number}"), None
        kept.append({"x": inputs, "h": [], "c": []})
        for x_t in inputs:
            state = cell(x_t, state)
            for name, s in zip("hc", state if kind == "LSTM" else (state,), strict=False):
                s.retain_grad()
                kept[-1][name].append(s)
        inputs = [h.clone() for h in kept[-1]["h"]]  # h as the layer above alone sees it
        for above in inputs:
            above.retain_grad()
    outputs = out(torch.stack(inputs))
    loss = (((outputs - torch.tensor(y)) ** 2) * live[..., None]).sum() / live.sum() / 2
    loss.backward()
    assert flow.loss == pytest.approx(loss.item(), rel=1e-12)
    for number, found in enumerate(flow.layers):
        assert found.name == f"0.l{number}"
        assert (found.dc is not None) == (kind == "LSTM")
        for name, ours in (("x", found.dx), ("h", found.dh), ("c", found.dc)):
            if ours is not None:
                theirs = torch.stack([norm(s) for s in kept[number][name]]).numpy()
                np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-16)


@pytest.mark.parametrize("kind", CELLS)
def test_lags_are_those_of_the_error_of_one_step(kind):
    rng = np.random.default_rng(1)
    layer = getattr(rc, kind)(K, H, dtype=np.float64)
    model = rc.Model([layer], seed=0)
    x, y = rng.standard_normal((T, B, K)), rng.standard_normal((T, B, H))
    found = analysis.lagged(model, x, y, t=4)
    cell, state, kept = cell_of(layer, "_l0"), None, []
    for x_t in x[:5]:
        state = cell(torch.tensor(x_t), state)
        kept.append(state if kind == "LSTM" else (state,))
        for s in kept[-1]:
            s.retain_grad()
    (((kept[4][0] - torch.tensor(y[4])) ** 2).sum() / y.size).backward()
    for ours, letter in ((found.dh, 0), (found.dc, 1)):
        if ours is not None:
            theirs = torch.stack([norm(s[letter]) for s in kept[::-1]]).numpy()
            np.testing.assert_allclose(10 ** ours[0], theirs, rtol=1e-10)
