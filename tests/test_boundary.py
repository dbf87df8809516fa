"""What the calls of a layer refuse, and in which words.

A wrong argument never reaches the kernels: after each wrong call the layer's parameters, its
gradients and its pending backward pass are what they were.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from problems import parts, same_bits

import rnncore as rc
from rnncore.engine.gradient import global_norm, scale
from rnncore.engine.plan import activate
from rnncore.engine.spec import use


def array(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


X, DY = array(7, 2, 3), array(7, 2, 5)
H, H2 = array(1, 2, 5), array(2, 2, 5)
PAIR, READ_ONLY = (H, H), np.broadcast_to(np.float32(0), (7, 2, 5))
ADVICE = "cast it with .astype(np.float32)"

# By layer: the wrong call, what it raises, and the words.
LSTM_CALLS = [
    (lambda lay: lay.forward(X.astype(float)), TypeError,
     f"x has dtype float64, expected float32: {ADVICE}"),
    (lambda lay: lay.infer(X.astype(int)), TypeError, f"x has dtype int64, expected float32: {ADVICE}"),
    (lambda lay: lay.infer(X.astype(">f4")), TypeError, "x has dtype >f4, expected float32"),
    (lambda lay: lay.infer(None), TypeError, "x has dtype object, expected float32"),
    (lambda lay: lay.forward(array(7, 2, 4)), ValueError,
     "x has shape (7, 2, 4), expected (time, batch, 3)"),
    (lambda lay: lay.forward(array(3)), ValueError, "x has shape (3,), expected (time, batch, 3)"),
    (lambda lay: lay.forward(array()), ValueError, "x has shape (), expected (time, batch, 3)"),
    (lambda lay: lay.infer(array(1, 7, 2, 3)), ValueError, "x has shape (1, 7, 2, 3), expected (time"),
    (lambda lay: lay.forward(X, lengths=[7, -1]), ValueError,
     "lengths lie in [-1, 7], expected in [0, 7]"),
    (lambda lay: lay.infer(X, lengths=[8, 1]), ValueError, "lengths lie in [1, 8], expected in [0, 7]"),
    (lambda lay: lay.infer(X, lengths=[7]), ValueError, "lengths has shape (1,), expected (2,)"),
    (lambda lay: lay.infer(X, lengths=7), ValueError, "lengths has shape (), expected (2,)"),
    (lambda lay: lay.infer(X[:, 0], lengths=[7, 7]), ValueError, "lengths has shape (2,), expected (1,)"),
    (lambda lay: lay.infer(X, lengths=[7.0, 1.0]), TypeError,
     "lengths has dtype float64, expected integers"),
    (lambda lay: lay.infer(X, lengths=[True, True]), TypeError, "lengths has dtype bool, expected int"),
    (lambda lay: lay.infer(X, H), TypeError, "state is ndarray, expected a tuple (h, c)"),
    (lambda lay: lay.infer(X, (H, H, H)), TypeError, "state has 3 parts, expected"),
    (lambda lay: lay.infer(X, (H, array(1, 2, 4))), ValueError,
     "state[c] has shape (1, 2, 4), expected (1, 2, 5)"),
    (lambda lay: lay.forward(X, (H2, H)), ValueError,
     "state[h] has shape (2, 2, 5), expected (1, 2, 5)"),
    (lambda lay: lay.infer(X, (H[:, :1], H)), ValueError,
     "state[h] has shape (1, 1, 5), expected (1, 2, 5)"),
    (lambda lay: lay.infer(X[:, 0], PAIR), ValueError, "state[h] has shape (1, 2, 5), expected (1, 5)"),
    (lambda lay: lay.infer(X, (H, H.astype(float))), TypeError,
     f"state[c] has dtype float64, expected float32: {ADVICE}"),
    (lambda lay: lay.infer(X, (H, None)), TypeError, "state[c] has dtype object, expected float32"),
    (lambda lay: lay.infer(X, out=array(7, 2, 4)), ValueError,
     "out is float32 of shape (7, 2, 4), expected float32 of shape (7, 2, 5)"),
    (lambda lay: lay.infer(X, out=DY.astype(float)), ValueError,
     "out is float64 of shape (7, 2, 5), expected float32 of shape (7, 2, 5)"),
    (lambda lay: lay.infer(X[:, 0], out=DY.copy()), ValueError,
     "out is float32 of shape (7, 2, 5), expected float32 of shape (7, 5)"),
    (lambda lay: lay.infer(X, out=[1.0]), ValueError, "out is list of shape None, expected float32"),
    (lambda lay: lay.infer(X, out=array(7, 2, 10)[..., ::2]), ValueError, "out is not contiguous"),
    (lambda lay: lay.infer(X, out=READ_ONLY), ValueError, "out is not contiguous"),
    (lambda lay: lay.backward(DY.astype(float)), TypeError,
     f"dy has dtype float64, expected float32: {ADVICE}"),
    (lambda lay: lay.backward(None), TypeError, "dy has dtype object, expected float32"),
    (lambda lay: lay.backward(X), ValueError, "dy has shape (7, 2, 3), expected (time, batch, 5)"),
    (lambda lay: lay.backward(DY[:6]), ValueError, "dy has shape (6, 2, 5), expected (7, 2, 5)"),
    (lambda lay: lay.backward(DY[:, :1]), ValueError, "dy has shape (7, 1, 5), expected (7, 2, 5)"),
    (lambda lay: lay.backward(DY[:, 0]), ValueError, "dy has shape (7, 5), expected (7, 2, 5)"),
    (lambda lay: lay.backward(DY, H), TypeError, "dstate is ndarray, expected a tuple (h, c)"),
    (lambda lay: lay.backward(DY, (H2, H)), ValueError,
     "dstate[h] has shape (2, 2, 5), expected (1, 2, 5)"),
    (lambda lay: lay.backward(DY, (H, H.astype(float))), TypeError, "dstate[c] has dtype float64, exp"),
]

GRU_CALLS = [  # two layers in two directions, two past steps
    (lambda lay: lay.infer(X, array(4, 2, 5)), ValueError,
     "state has shape (4, 2, 5), expected (4, 2, 2, 5)"),
    (lambda lay: lay.infer(X, array(4, 1, 2, 5)), ValueError,
     "state has shape (4, 1, 2, 5), expected (4, 2, 2, 5)"),
    (lambda lay: lay.infer(X[:, 0], array(4, 2, 2, 5)), ValueError,
     "state has shape (4, 2, 2, 5), expected (4, 2, 5)"),
    (lambda lay: lay.infer(X.swapaxes(0, 1).astype(float)), TypeError, "x has dtype float64"),
    (lambda lay: lay.infer(array(2, 7, 4)), ValueError,
     "x has shape (2, 7, 4), expected (batch, time, 3) or (time, 3)"),
    (lambda lay: lay.backward(array(3, 7, 10)), ValueError,
     "dy has shape (3, 7, 10), expected (2, 7, 10)"),
    (lambda lay: lay.backward(array(2, 7, 10), array(4, 2, 5)), ValueError,
     "dstate has shape (4, 2, 5), expected (4, 2, 2, 5)"),
    (lambda lay: lay.forward(X.swapaxes(0, 1), return_cell_states=True), ValueError,
     "return_cell_states is True, but GRU has no cell state"),
]

LINEAR_CALLS = [
    (lambda lay: lay.forward(X.astype(float)), TypeError, "x has dtype float64, expected float32"),
    (lambda lay: lay.infer(array(7, 2, 4)), ValueError, "x has shape (7, 2, 4), expected (..., 3)"),
    (lambda lay: lay.infer(array()), ValueError, "x has shape (), expected (..., 3)"),
    (lambda lay: lay.infer(X, out=DY.astype(float)), ValueError,
     "out is float64 of shape (7, 2, 5), expected float32 of shape (7, 2, 5)"),
    (lambda lay: lay.infer(X, out=array(14, 5)), ValueError, "(14, 5), expected"),
    (lambda lay: lay.backward(DY.astype(float)), TypeError, "dy has dtype float64, expected float32"),
    (lambda lay: lay.backward(X), ValueError, "dy has shape (7, 2, 3), expected (..., 5)"),
    (lambda lay: lay.backward(DY.reshape(14, 5)), ValueError,
     "dy has shape (14, 5), expected (7, 2, 5)"),
    (lambda lay: lay.forward(X, H), (TypeError, ValueError), "state"),
    (lambda lay: lay.backward(DY, H), (TypeError, ValueError), "dstate"),
    (lambda lay: lay.forward(X, return_cell_states=True), (TypeError, ValueError), "return_cell_states"),
]

SYMBOLS = np.array([[1, 2], [3, 9], [0, 0]])
EMBEDDING_CALLS = [
    (lambda lay: lay.forward(SYMBOLS.astype(np.float32)), TypeError,
     "x has dtype float32, expected integers"),
    (lambda lay: lay.infer(SYMBOLS > 1), TypeError, "x has dtype bool, expected integers"),
    (lambda lay: lay.forward(SYMBOLS + 1), ValueError, "x lies in [1, 10], expected in [0, 9]"),
    (lambda lay: lay.infer(SYMBOLS - 1), ValueError, "x lies in [-1, 8], expected in [0, 9]"),
    (lambda lay: lay.infer(SYMBOLS, lengths=[4, 1]), ValueError,
     "lengths lie in [1, 4], expected in [0, 3]"),
    (lambda lay: lay.forward(SYMBOLS[0], lengths=[1]), ValueError,
     "x has shape (2,), expected (time, batch) beside lengths"),
    (lambda lay: lay.infer(SYMBOLS, out=array(3, 2, 4)), ValueError,
     "out is float32 of shape (3, 2, 4), expected float32 of shape (3, 2, 5)"),
    (lambda lay: lay.infer(SYMBOLS, out=array(3, 2, 5, dtype=float)), ValueError,
     "out is float64 of shape (3, 2, 5), expected float32 of shape (3, 2, 5)"),
    (lambda lay: lay.backward(array(3, 2, 5, dtype=float)), TypeError,
     "dy has dtype float64, expected float32"),
    (lambda lay: lay.backward(array(6, 5)), ValueError, "dy has shape (6, 5), expected (3, 2, 5)"),
    (lambda lay: lay.infer(SYMBOLS, H), (TypeError, ValueError), "state"),
]

LAST_CALLS = [
    (lambda lay: lay.infer(array(3)), ValueError, "x has shape (3,), expected (time, batch, features)"),
    (lambda lay: lay.forward(X, lengths=[8, 1]), ValueError, "lengths lie in [1, 8], expected in [0, 7]"),
    (lambda lay: lay.forward(X, lengths=[1.0, 1.0]), TypeError, "lengths has dtype float64, expected"),
    (lambda lay: lay.infer(X, out=array(4, 2, 3)), ValueError, "out is float32 of shape (4, 2, 3), exp"),
    (lambda lay: lay.infer(X, out=array(2, 3, dtype=int)), ValueError, "out is int64 of shape (2, 3)"),
    (lambda lay: lay.backward(X), ValueError, "dy has shape (7, 2, 3), expected (2, 3)"),
    (lambda lay: lay.backward(array(2, 3, dtype=float)), TypeError,
     "dy has dtype float64, expected float32"),
    (lambda lay: lay.infer(X, H), (TypeError, ValueError), "state"),
]

# Each with a right x and a right dy.
LAYERS = {
    "LSTM": (lambda: rc.LSTM(3, 5, seed=0), X, DY, LSTM_CALLS),
    "GRU": (lambda: rc.GRU(3, 5, seed=0, num_layers=2, bidirectional=True, taps=(1, 2),
                           batch_first=True), X.swapaxes(0, 1), array(2, 7, 10), GRU_CALLS),
    "Linear": (lambda: rc.Linear(3, 5, seed=0), X, DY, LINEAR_CALLS),
    "Embedding": (lambda: rc.Embedding(10, 5, seed=0), SYMBOLS, array(3, 2, 5), EMBEDDING_CALLS),
    "Last": (rc.Last, X, array(2, 3), LAST_CALLS),
}
WRONG = [pytest.param(name, *call, id=f"{name}: {call[2]}")
         for name, (*_, calls) in LAYERS.items() for call in calls]


def arrays(*results):
    return [part for result in results for part in parts(result) if part is not None]


@pytest.mark.parametrize(("name", "call", "error", "words"), WRONG)
def test_wrong_calls(name, call, error, words):
    make, x, dy, _ = LAYERS[name]
    expected, layer = make(), make()
    for either in (expected, layer):
        either.grads[:] = 1.0
        either.forward(x)
    with pytest.raises(error, match=re.escape(words)):
        call(layer)
    same_bits(layer.parameters.values, expected.parameters.values, "parameters")
    same_bits(layer.grads, expected.grads, "gradients")
    for _ in range(2):
        got, wanted = (arrays(*l.backward(dy), *l.forward(x), *l.infer(x), l.grads)
                       for l in (layer, expected))
        for a, b in zip(got, wanted, strict=True):
            same_bits(a, b, "what comes after")


@pytest.mark.parametrize("name", LAYERS)
def test_each_forward_pass_serves_one_backward_pass(name):
    make, x, dy, _ = LAYERS[name]
    layer = make()
    words = "backward without a forward pass before it"
    with pytest.raises(RuntimeError, match=words):
        layer.backward(dy)
    layer.infer(x)
    with pytest.raises(RuntimeError, match=words):
        layer.backward(dy)
    layer.forward(x)
    layer.backward(dy)
    grads = layer.grads.copy()
    with pytest.raises(RuntimeError, match=words):
        layer.backward(dy)
    same_bits(layer.grads, grads)


def test_out_may_not_be_x():
    square = np.ones((7, 2, 3), np.float32)
    for layer in (rc.GRU(3, 3), rc.Linear(3, 3)):
        for out in (square, square[::-1]):
            with pytest.raises(ValueError, match="out "):
                layer.infer(square, out=out)


def test_symbols_may_change_after_forward():
    layer, x = rc.Embedding(10, 5, seed=0), SYMBOLS.copy()
    layer.forward(x)
    x[:] = 99
    layer.backward(array(3, 2, 5))
    assert set(np.flatnonzero(layer.grad_dict()["weight"].any(axis=1))) == set(SYMBOLS.flat)


def test_what_is_empty_is_right():
    layer = rc.LSTM(3, 5, seed=0)
    for lengths in (None, [], np.zeros(0, int)):
        y, (h, c) = layer.forward(X[:, :0], lengths=lengths)
        assert (y.shape, h.shape, c.shape) == ((7, 0, 5), (1, 0, 5), (1, 0, 5))
        dx, _ = layer.backward(y)
        assert dx.shape == (7, 0, 3)
    y, (h, c) = layer.forward(X[:0], PAIR, lengths=[0, 0])
    assert y.shape == (0, 2, 5)
    same_bits(h, H)
    same_bits(c, H)
    assert not layer.grads.any()


def test_the_engine_is_chosen_by_name():
    with pytest.raises(ValueError, match="instruction set 'sse9' is not available here, expected"):
        with use(isa="sse9"):
            rc.GRU(3, 5).infer(X)
    with pytest.raises(ValueError, match="engine is 'cuda', expected one of native, blas"):
        with use(engine="cuda"):
            pass
    with use(isa="sse9"), pytest.raises(ValueError, match="'sse9' is not available"):
        activate("tanh", DY.copy())


@pytest.mark.parametrize(("name", "words"), [
    ("RNNCORE_GEMM", "RNNCORE_GEMM is 'cuda', expected one of native, blas"),
    ("RNNCORE_ISA", "instruction set 'cuda' is not available here, expected one of"),
])
def test_the_environment_is_checked(name, words):
    program = "import rnncore as rc; rc.GRU(3, 5).infer(__import__('numpy').ones((1, 3), 'f'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env=os.environ | {name: "cuda"}, check=False)
    assert done.returncode == 1
    assert words in done.stderr


@pytest.mark.parametrize("function", [global_norm, lambda a: scale(a, 2.0)])
def test_norms_take_flat_arrays(function):
    for wrong, words in ((np.ones(3, int), "array is int64, expected a float32 or float64"),
                         ([1.0], "array is list, expected a float32 or float64 array")):
        with pytest.raises(TypeError, match=re.escape(words)):
            function(wrong)
    for wrong, shape in ((np.ones((2, 2)), "(2, 2)"), (np.ones(6)[::2], "(3,)")):
        with pytest.raises(ValueError, match=re.escape(f"array has shape {shape}, expected one")):
            function(wrong)
