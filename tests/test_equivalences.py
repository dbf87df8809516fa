"""Layers against other layers: two ways to the same numbers and the same gradients."""

from __future__ import annotations

import numpy as np
import pytest
from against_oracle import Findings, as_state, gradients, largest, problem
from cases import CELLS, PAIRS, RUNNERS
from numpy.testing import assert_allclose, assert_array_equal
from reference import parts, random_params, random_state
from reference.cells import ACTIVATIONS

import rnncore as rc
from rnncore.engine.spec import use

SLOPES = {  # of an activation as functions of its value
    "tanh": lambda y: 1.0 - y * y,
    "relu": lambda y: 1.0 * (y > 0),
    "sigmoid": lambda y: y * (1.0 - y),
    "identity": np.ones_like,
}
RECURRENT = [cell.name for cell in CELLS.values() if cell.kind != "Linear"]
T, B, K, H = 6, 3, 2, 5


@pytest.mark.parametrize("runner", RUNNERS, ids="-".join)
@pytest.mark.parametrize("activation", SLOPES)
def test_pascanu_is_elman_before_the_nonlinearity(activation, runner):
    """With f(x_0) = h_0, f(x_t) is h_t, and losses of it have the same gradients."""
    f, slope, rng = ACTIVATIONS[activation], SLOPES[activation], np.random.default_rng(0)
    options = {"activation": activation, "dtype": np.float64}
    elman, pascanu = rc.RNN(K, H, **options), rc.RNN(K, H, form="pascanu", **options)
    params = random_params(rng, "RNN", K, H)
    for layer in (elman, pascanu):
        layer.load_state_dict(params)
    x, start = rng.standard_normal((T, B, K)), rng.standard_normal((1, B, H))
    dh, dlast = rng.standard_normal((T, B, H)), rng.standard_normal((1, B, H))
    with use(*runner):
        h, h_last = elman.forward(x, f(start))
        a, a_last = pascanu.forward(x, start)
        dx, dstart = elman.backward(dh, dlast)
        dx_, dstart_ = pascanu.backward(dh * slope(f(a)), dlast * slope(f(a_last)))
    assert_allclose(f(a), h, rtol=1e-12, atol=1e-14)
    assert_allclose(f(a_last), h_last, rtol=1e-12, atol=1e-14)
    assert_allclose(dx_, dx, rtol=1e-11, atol=1e-13)
    assert_allclose(dstart_, dstart * slope(f(start)), rtol=1e-11, atol=1e-13)
    for name, grad in elman.grad_dict().items():
        assert_allclose(pascanu.grad_dict()[name], grad, rtol=1e-11, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("s", [2, 3])
@pytest.mark.parametrize("cell", [name for name in RECURRENT if "skip" not in name])
def test_one_tap_runs_interleaved_sequences(cell, s):
    """taps=(s,): step t meets t - s alone, so there are s sequences that know nothing of each
    other; the gradients of the parameters are the sums of theirs."""
    kind, options = CELLS[cell].kind, {**CELLS[cell].options, "dtype": np.float64}
    sizes, rng = (H, H) if kind == "IntersectionRNN" else (K, H), np.random.default_rng(1)
    plain, dilated = (getattr(rc, kind)(*sizes, taps=taps, **options) for taps in ((1,), (s,)))
    plain.load_state_dict(dilated.state_dict())
    x, dy = rng.standard_normal((2 * s, B, sizes[0])), rng.standard_normal((2 * s, B, H))
    start, dlast = (parts(random_state(rng, kind, H, B, taps=(s,))) for _ in range(2))
    y, last = dilated.forward(x, as_state(start))
    dx, dstart = dilated.backward(dy, as_state(dlast))
    for j in range(s):
        # Elements j, j + s, ... start from the state s steps before element j.
        def mine(states, j=j):
            return as_state(part[:, s - 1 - j] for part in states)

        y_j, last_j = plain.forward(x[j::s], mine(start))
        dx_j, dstart_j = plain.backward(dy[j::s], mine(dlast))
        assert_array_equal(y[j::s], y_j)
        assert_allclose(dx[j::s], dx_j, rtol=1e-13, atol=1e-13)
        for whole, single in zip(parts(mine(parts(last))), parts(last_j), strict=True):
            assert_array_equal(whole, single)
        for whole, single in zip(parts(mine(parts(dstart))), parts(dstart_j), strict=True):
            assert_allclose(whole, single, rtol=1e-13, atol=1e-13)
    assert_allclose(plain.grads, dilated.grads, rtol=1e-11, atol=1e-12)


ACCUMULATED = ("residual", "lengths, two layers", "taps (1, 3), lengths", "lengths all 0")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("cell", "case"), [pair for pair in PAIRS if pair[1] in ACCUMULATED])
def test_gradients_accumulate(cell, case, dtype):
    """A backward pass adds to `grads`; without the gradient of x it adds the same bits."""
    p, findings = problem(cell, case), Findings()
    for isa, engine in RUNNERS:
        layer = p.layer(dtype)
        with use(isa, engine):
            once = gradients(p, layer, dtype)
            first = layer.grads.copy()
            layer.forward(*p.given(dtype))
            layer.backward(*p.coming(dtype))
            twice = layer.grads.copy()
            layer.grads[:] = 0
            layer.forward(*p.given(dtype))
            dx, dstate = layer.backward(*p.coming(dtype), input_grad=False)
        assert dx is None
        title = f"{isa}, {engine}"
        tolerance = 1e-14 if dtype == "float64" else 1e-6
        findings.close(f"sum, {title}", twice, 2 * first, tolerance, largest(first))
        findings.same_bits(f"without the input's, {title}", layer.grads, first)
        for i, part in enumerate(parts(dstate)):
            findings.same_bits(f"state {i}, {title}", part, once[f"state {i}"])
    findings.report()


@pytest.mark.parametrize("cell", RECURRENT)
def test_no_state_is_a_state_of_zeros(cell):
    """Coming in and going out: y, gradients, and the gradient of the state nobody gave."""
    p = problem(cell, "lengths, both directions")
    x, state, lengths = p.given("float64")
    dy, dlast = p.coming("float64")
    results = []
    for absent in (False, True):
        layer, zeros = p.layer("float64"), [np.zeros_like(part) for part in parts(state)]
        y, last = layer.forward(x, None if absent else as_state(zeros), lengths)
        dx, dstart = layer.backward(dy, None if absent else as_state(zeros))
        results.append([y, *parts(last), dx, *parts(dstart), layer.grads])
    for given, absent in zip(*results, strict=True):
        assert_array_equal(given, absent)


@pytest.mark.parametrize("cell", list(CELLS))
def test_a_residual_adds_the_input(cell):
    """y + x forward, and dx + dy back."""
    p, findings = problem(cell, "residual"), Findings()
    plain = type(p.layer("float64"))(*p.sizes, dtype="float64", **CELLS[cell].options)
    layer = p.layer("float64")
    plain.load_state_dict(layer.state_dict())
    (x, state, _), (dy, dlast) = p.given("float64"), p.coming("float64")
    y, last = plain.forward(x, state)
    y_added, last_added = layer.forward(x, state)
    dx, _ = plain.backward(dy, dlast)
    dx_added, _ = layer.backward(dy, dlast)
    findings.close("y", y_added, y + x, 1e-15)
    findings.close("dx", dx_added, dx + dy, 1e-15)
    for one, other in zip(parts(last_added), parts(last), strict=True):
        findings.same_bits("last state", one, other)
    findings.same_bits("gradients", layer.grads, plain.grads)
    findings.report()
