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
from rnncore.engine.flat import global_norm, scale
from rnncore.engine.plan import activate
from rnncore.engine.spec import use


def array(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


X, XB, DY = array(7, 2, 3), array(2, 7, 3), array(7, 2, 5)
H, H2 = array(1, 2, 5), array(2, 2, 5)
PAIR, READ_ONLY = (H, H), np.broadcast_to(np.float32(0), (7, 2, 5))
ADVICE = "cast it with .astype(np.float32)"

# What a method `m` of a layer says, and to which call, by the kind of error.
LSTM_TYPES = {
    f"x has dtype float64, expected float32: {ADVICE}": lambda m: m.forward(X.astype(float)),
    f"x has dtype int64, expected float32: {ADVICE}": lambda m: m.infer(X.astype(int)),
    "x has dtype >f4, expected float32": lambda m: m.infer(X.astype(">f4")),
    "x has dtype object, expected float32": lambda m: m.infer(None),
    "lengths has dtype float64, expected integers": lambda m: m.infer(X, lengths=[7.0, 1.0]),
    "lengths has dtype bool, expected int": lambda m: m.infer(X, lengths=[True, True]),
    "state is ndarray, expected a tuple (h, c)": lambda m: m.infer(X, H),
    f"state[c] has dtype float64, expected float32: {ADVICE}":
        lambda m: m.infer(X, (H, H.astype(float))),
    "state[c] has dtype object, expected float32": lambda m: m.infer(X, (H, None)),
    f"dy has dtype float64, expected float32: {ADVICE}": lambda m: m.backward(DY.astype(float)),
    "dy has dtype object, expected float32": lambda m: m.backward(None),
    "dstate is ndarray, expected a tuple (h, c)": lambda m: m.backward(DY, H),
    "dstate[c] has dtype float64, exp": lambda m: m.backward(DY, (H, H.astype(float))),
}
LSTM_VALUES = {
    "state has 3 parts, expected 2: (h, c)": lambda m: m.infer(X, (H, H, H)),
    "x has shape (7, 2, 4), expected (time, batch, 3)": lambda m: m.forward(array(7, 2, 4)),
    "x has shape (3,), expected (time, batch, 3)": lambda m: m.forward(array(3)),
    "x has shape (), expected (time, batch, 3)": lambda m: m.forward(array()),
    "x has shape (1, 7, 2, 3), expected (time": lambda m: m.infer(array(1, 7, 2, 3)),
    "lengths lie in [-1, 7], expected in [0, 7]": lambda m: m.forward(X, lengths=[7, -1]),
    "lengths lie in [1, 8], expected in [0, 7]": lambda m: m.infer(X, lengths=[8, 1]),
    "lengths has shape (1,), expected (2,)": lambda m: m.infer(X, lengths=[7]),
    "lengths has shape (), expected (2,)": lambda m: m.infer(X, lengths=7),
    "lengths has shape (2,), expected (1,)": lambda m: m.infer(X[:, 0], lengths=[7, 7]),
    "state[c] has shape (1, 2, 4), expected (1, 2, 5)":
        lambda m: m.infer(X, (H, array(1, 2, 4))),
    "state[h] has shape (2, 2, 5), expected (1, 2, 5)": lambda m: m.forward(X, (H2, H)),
    "state[h] has shape (1, 1, 5), expected (1, 2, 5)": lambda m: m.infer(X, (H[:, :1], H)),
    "state[h] has shape (1, 2, 5), expected (1, 5)": lambda m: m.infer(X[:, 0], PAIR),
    "out is float32 of shape (7, 2, 4), expected float32 of shape (7, 2, 5)":
        lambda m: m.infer(X, out=array(7, 2, 4)),
    "out is float64 of shape (7, 2, 5), expected float32 of shape (7, 2, 5)":
        lambda m: m.infer(X, out=DY.astype(float)),
    "out is float32 of shape (7, 2, 5), expected float32 of shape (7, 5)":
        lambda m: m.infer(X[:, 0], out=DY.copy()),
    "out is list of shape None, expected float32": lambda m: m.infer(X, out=[1.0]),
    "out is not contiguous": lambda m: m.infer(X, out=array(7, 2, 10)[..., ::2]),
    "out is not contiguous, aligned and writable": lambda m: m.infer(X, out=READ_ONLY),
    "dy has shape (7, 2, 3), expected (7, 2, 5)": lambda m: m.backward(X),
    "dy has shape (6, 2, 5), expected (7, 2, 5)": lambda m: m.backward(DY[:6]),
    "dy has shape (7, 1, 5), expected (7, 2, 5)": lambda m: m.backward(DY[:, :1]),
    "dy has shape (7, 5), expected (7, 2, 5)": lambda m: m.backward(DY[:, 0]),
    "dstate[h] has shape (2, 2, 5), expected (1, 2, 5)": lambda m: m.backward(DY, (H2, H)),
}

GRU_TYPES = {
    "x has dtype float64": lambda m: m.infer(XB.astype(float)),
}
GRU_VALUES = {
    "state has shape (4, 2, 5), expected (4, 2, 2, 5)": lambda m: m.infer(XB, array(4, 2, 5)),
    "state has shape (4, 1, 2, 5), expected (4, 2, 2, 5)":
        lambda m: m.infer(XB, array(4, 1, 2, 5)),
    "state has shape (4, 2, 2, 5), expected (4, 2, 5)":
        lambda m: m.infer(X[:, 0], array(4, 2, 2, 5)),
    "x has shape (2, 7, 4), expected (batch, time, 3) or (time, 3)":
        lambda m: m.infer(array(2, 7, 4)),
    "dy has shape (3, 7, 10), expected (2, 7, 10)": lambda m: m.backward(array(3, 7, 10)),
    "dstate has shape (4, 2, 5), expected (4, 2, 2, 5)":
        lambda m: m.backward(array(2, 7, 10), array(4, 2, 5)),
    "return_cell_states is True, but GRU has no cell state":
        lambda m: m.forward(XB, return_cell_states=True),
}

LINEAR_TYPES = {
    "x has dtype float64, expected float32": lambda m: m.forward(X.astype(float)),
    "dy has dtype float64, expected float32": lambda m: m.backward(DY.astype(float)),
}
LINEAR_VALUES = {
    "x has shape (7, 2, 4), expected (..., 3)": lambda m: m.infer(array(7, 2, 4)),
    "x has shape (), expected (..., 3)": lambda m: m.infer(array()),
    "out is float64 of shape (7, 2, 5), expected float32 of shape (7, 2, 5)":
        lambda m: m.infer(X, out=DY.astype(float)),
    "out is float32 of shape (14, 5), expected float32 of shape (7, 2, 5)":
        lambda m: m.infer(X, out=array(14, 5)),
    "dy has shape (7, 2, 3), expected (..., 5)": lambda m: m.backward(X),
    "dy has shape (14, 5), expected (7, 2, 5)": lambda m: m.backward(DY.reshape(14, 5)),
    "state is ndarray, expected None: Linear has no state": lambda m: m.forward(X, H),
    "dstate is ndarray, expected None: Linear has no state": lambda m: m.backward(DY, H),
    "return_cell_states is True, but": lambda m: m.forward(X, return_cell_states=True),
}

SYMBOLS = np.array([[1, 2], [3, 9], [0, 0]])
EMBEDDING_TYPES = {
    "x has dtype float32, expected integers": lambda m: m.forward(SYMBOLS.astype(np.float32)),
    "x has dtype bool, expected integers": lambda m: m.infer(SYMBOLS > 1),
    "dy has dtype float64, expected float32": lambda m: m.backward(array(3, 2, 5, dtype=float)),
}
EMBEDDING_VALUES = {
    "x lies in [1, 10], expected in [0, 9]": lambda m: m.forward(SYMBOLS + 1),
    "x lies in [-1, 8], expected in [0, 9]": lambda m: m.infer(SYMBOLS - 1),
    "lengths lie in [1, 4], expected in [0, 3]": lambda m: m.infer(SYMBOLS, lengths=[4, 1]),
    "x has shape (2,), expected (time, batch) beside lengths":
        lambda m: m.forward(SYMBOLS[0], lengths=[1]),
    "out is float32 of shape (3, 2, 4), expected float32 of shape (3, 2, 5)":
        lambda m: m.infer(SYMBOLS, out=array(3, 2, 4)),
    "out is float64 of shape (3, 2, 5), expected float32 of shape (3, 2, 5)":
        lambda m: m.infer(SYMBOLS, out=array(3, 2, 5, dtype=float)),
    "dy has shape (6, 5), expected (3, 2, 5)": lambda m: m.backward(array(6, 5)),
    "state is ndarray, expected None: Embedding has no": lambda m: m.infer(SYMBOLS, H),
}

LAST_TYPES = {
    "lengths has dtype float64, expected": lambda m: m.forward(X, lengths=[1.0, 1.0]),
    "dy has dtype float64, expected float32": lambda m: m.backward(array(2, 3, dtype=float)),
}
LAST_VALUES = {
    "x has shape (3,), expected (time, batch, features)": lambda m: m.infer(array(3)),
    "lengths lie in [1, 8], expected in [0, 7]": lambda m: m.forward(X, lengths=[8, 1]),
    "out is float32 of shape (4, 2, 3), exp": lambda m: m.infer(X, out=array(4, 2, 3)),
    "out is int64 of shape (2, 3)": lambda m: m.infer(X, out=array(2, 3, dtype=int)),
    "dy has shape (7, 2, 3), expected (2, 3)": lambda m: m.backward(X),
    "state is tuple, expected None: Last has no state": lambda m: m.infer(X, PAIR),
}

# By name: the layer, a right x, a right dy, wrong types, wrong values.
LAYERS = {
    "LSTM": (lambda: rc.LSTM(3, 5, seed=0), X, DY, LSTM_TYPES, LSTM_VALUES),
    "GRU": (lambda: rc.GRU(3, 5, seed=0, num_layers=2, bidirectional=True, taps=(1, 2),
                           batch_first=True), XB, array(2, 7, 10), GRU_TYPES, GRU_VALUES),
    "Linear": (lambda: rc.Linear(3, 5, seed=0), X, DY, LINEAR_TYPES, LINEAR_VALUES),
    "Embedding": (lambda: rc.Embedding(10, 5, seed=0), SYMBOLS, array(3, 2, 5),
                  EMBEDDING_TYPES, EMBEDDING_VALUES),
    "Last": (rc.Last, X, array(2, 3), LAST_TYPES, LAST_VALUES),
}
WRONG = [
    pytest.param(name, call, error, words, id=f"{name}: {words}")
    for name, (*_, types, values) in LAYERS.items()
    for error, calls in ((TypeError, types), (ValueError, values))
    for words, call in calls.items()
]


def arrays(*results):
    return [part for result in results for part in parts(result) if part is not None]


@pytest.mark.parametrize(("name", "call", "error", "words"), WRONG)
def test_wrong_calls(name, call, error, words):
    make, x, dy, *_ = LAYERS[name]
    expected, layer = make(), make()
    for either in (expected, layer):
        either.grads[:] = 1.0
        either.forward(x)
    with pytest.raises(error, match=re.escape(words)):
        call(layer)
    same_bits(layer.parameters.values, expected.parameters.values, "parameters")
    same_bits(layer.grads, expected.grads, "gradients")
    for _ in range(2):
        got, wanted = (arrays(*m.backward(dy), *m.forward(x), *m.infer(x), m.grads)
                       for m in (layer, expected))
        for a, b in zip(got, wanted, strict=True):
            same_bits(a, b, "what comes after")


@pytest.mark.parametrize("name", LAYERS)
def test_each_forward_pass_serves_one_backward_pass(name):
    make, x, dy, *_ = LAYERS[name]
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
    words = "instruction set 'sse9' is not available here, expected one of"
    with use(isa="sse9"):
        with pytest.raises(ValueError, match=words):
            rc.GRU(3, 5).infer(X)
        with pytest.raises(ValueError, match=words):
            activate("tanh", DY.copy())
    with pytest.raises(ValueError, match="engine is 'cuda', expected one of native, blas"), \
            use(engine="cuda"):
        pass


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
        words = re.escape(f"array has shape {shape}, expected one flat contiguous array")
        with pytest.raises(ValueError, match=words):
            function(wrong)
