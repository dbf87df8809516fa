"""Layers without a state: Linear, Embedding, Last. (The cells of Linear are in test_cells.)"""

from __future__ import annotations

import numpy as np
import pytest
from cases import RUNNERS
from numpy.testing import assert_allclose, assert_array_equal
from reference import complex_step, run

import rnncore as rc
from rnncore.engine.spec import use

K, H = 3, 4
RNG = np.random.default_rng
SHAPES = [(), (5,), (2, 3), (5, 2, 3), (2, 1, 3, 2), (0,), (4, 0), (0, 3)]


# ---- Linear ----


@pytest.mark.parametrize("runner", RUNNERS, ids="-".join)
@pytest.mark.parametrize("activation", ["identity", "tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_linear_of_any_leading_shape(shape, activation, runner):
    rng, options = RNG(1), {"activation": activation}
    layer = rc.Linear(K, H, dtype=np.float64, seed=0, **options)
    x, dy = rng.standard_normal((*shape, K)), rng.standard_normal((*shape, H))
    arrays = {**layer.state_dict(), "x": x}

    def y_of(**changed):
        now = {**arrays, **changed}
        flat = now.pop("x").reshape(1, -1, K) if x.size else now.pop("x").reshape(1, 0, K)
        return run("Linear", now, flat, **options)[0].reshape(*shape, H)

    with use(*runner):
        y, state = layer.forward(x)
        again, _ = layer.infer(x)
        dx, dstate = layer.backward(dy)
    assert state is None and dstate is None
    assert_allclose(y, y_of(), rtol=1e-13, atol=1e-13, strict=True)
    assert_array_equal(again, y, strict=True)
    for name, grad in {**layer.grad_dict(), "x": dx}.items():
        exact = complex_step(lambda a, n=name: (dy * y_of(**{n: a})).sum(), arrays[name])
        assert_allclose(grad, exact, rtol=1e-10, atol=1e-10 * (1 + abs(exact).max(initial=0)))
        assert grad.shape == arrays[name].shape


def test_linear_takes_any_strides_and_a_target():
    layer, x = rc.Linear(K, H, seed=0), RNG(1).standard_normal((K, 6, 5)).astype(np.float32)
    y, _ = layer.infer(np.ascontiguousarray(x.T))
    assert_array_equal(layer.infer(x.T)[0], y)
    out = np.full((5, 6, H), np.nan, np.float32)
    assert layer.infer(x.T, out=out)[0] is out
    assert_array_equal(out, y)


def test_linear_accumulates():
    rng, layer = RNG(1), rc.Linear(K, H, dtype=np.float64, seed=0)
    x, dy = rng.standard_normal((5, 2, K)), rng.standard_normal((5, 2, H))
    layer.forward(x)
    layer.backward(dy)
    once = layer.grads.copy()
    layer.forward(x)
    assert layer.backward(dy, input_grad=False)[0] is None
    assert_allclose(layer.grads, 2 * once, rtol=1e-14)


# ---- Embedding ----


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_embedding_looks_up_and_adds_up(shape, dtype):
    """Symbols come several times, and some never; integers of any kind have no gradient."""
    rng, layer = RNG(1), rc.Embedding(7, H, dtype=dtype, seed=0)
    for kind in (np.int64, np.uint8):
        x = rng.integers(5, size=shape).astype(kind)
        dy = rng.standard_normal((*shape, H)).astype(dtype)
        wanted = np.zeros((7, H))
        for index in np.ndindex(shape):
            wanted[x[index]] += dy[index]
        layer.grads[:] = 0
        for repeat in (1, 2):
            y, state = layer.forward(x)
            assert state is None
            assert layer.backward(dy) == (None, None)
            assert_allclose(layer.grad_dict()["weight"], repeat * wanted, rtol=1e-5, atol=1e-5)
        assert_array_equal(y, layer.state_dict()["weight"][x], strict=True)
        assert_array_equal(layer.infer(x)[0], y, strict=True)
        out = np.empty_like(y)
        assert layer.infer(x, out=out)[0] is out
        assert_array_equal(out, y)


def test_embedding_gives_0_past_the_end_of_a_row():
    layer, lengths = rc.Embedding(7, H, dtype=np.float64, seed=0), [2, 0, 3]
    x, dy = RNG(1).integers(7, size=(3, 3)), RNG(2).standard_normal((3, 3, H))
    live = np.arange(3)[:, None] < lengths
    y, _ = layer.forward(x, lengths=lengths)
    assert_array_equal(y, layer.state_dict()["weight"][x] * live[..., None])
    assert_array_equal(layer.infer(x, lengths=lengths)[0], y)
    layer.backward(np.where(live[..., None], dy, np.nan))
    with_padding = layer.grads.copy()
    layer.grads[:] = 0
    layer.forward(x[live])
    layer.backward(dy[live])
    assert_array_equal(with_padding, layer.grads)


# ---- Last ----


@pytest.mark.parametrize("lengths", [None, (3, 0, 4, 1), (0, 0, 0, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_last_takes_the_last_valid_step(lengths, dtype):
    T, B = 4, 4
    layer, x = rc.Last(), RNG(1).standard_normal((T, B, K)).astype(dtype)
    dy = RNG(2).standard_normal((B, K)).astype(dtype)
    y_wanted, dx_wanted = np.zeros_like(dy), np.zeros_like(x)
    for b, length in enumerate(lengths or (T,) * B):
        if length:
            y_wanted[b], dx_wanted[length - 1, b] = x[length - 1, b], dy[b]
    y, state = layer.forward(x, lengths=lengths)
    dx, _ = layer.backward(dy)
    assert state is None
    assert_array_equal(y, y_wanted, strict=True)
    assert_array_equal(dx, dx_wanted, strict=True)
    out = np.full_like(y, np.nan)
    assert layer.infer(x, lengths=lengths, out=out)[0] is out
    assert_array_equal(out, y)


def test_last_of_one_sequence_and_of_no_steps():
    layer, x = rc.Last(), RNG(1).standard_normal((4, K))
    y, _ = layer.forward(x)
    assert_array_equal(y, x[-1], strict=True)
    dx, _ = layer.backward(np.ones(K))
    assert_array_equal(dx, np.outer([0, 0, 0, 1], np.ones(K)), strict=True)
    for empty, zeros in ((x[:0], (K,)), (np.zeros((0, 2, K)), (2, K))):
        y, _ = layer.forward(empty)
        assert_array_equal(y, np.zeros(zeros), strict=True)
        dx, _ = layer.backward(np.ones(zeros))
        assert dx.shape == empty.shape


def test_last_keeps_one_pass_for_one_pass_back():
    with pytest.raises(RuntimeError, match="without a forward pass"):
        rc.Last().backward(np.ones((2, K)))
    with pytest.raises(RuntimeError, match="without a forward pass"):
        rc.Embedding(3, 2).backward(np.ones((2, 2)))
