"""Ctrl-C inside a long call: it is seen between two chunks and leaves everything whole."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

import rnncore as rc

STEPS, ROWS, WIDTH = 8000, 16, 64  # 17 GFLOP forwards: longer than the timer on any core


def interrupted_after(seconds, function):
    """Call a function that a Ctrl-C from another thread interrupts."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with rc.num_threads(1), pytest.raises(KeyboardInterrupt):
            function()
    finally:
        timer.join()


@pytest.fixture
def layer():
    return rc.LSTM(WIDTH, WIDTH, num_layers=2, seed=0)


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((STEPS, ROWS, WIDTH)).astype(np.float32)


def test_infer_stops_before_its_end(layer, x):
    out = np.full((STEPS, ROWS, WIDTH), np.nan, np.float32)
    interrupted_after(0.02, lambda: layer.infer(x, out=out))
    begun = int(np.isnan(out).all(axis=(1, 2)).argmax())
    assert np.isnan(out[begun:]).all()
    with rc.num_threads(1):
        assert out[:begun].tobytes() == layer.infer(x)[0][:begun].tobytes()


def test_backward_stops_with_gradients_as_they_were(layer, x):
    y, _ = layer.forward(x)
    layer.grads.fill(7)
    interrupted_after(0.02, lambda: layer.backward(y))
    assert (layer.grads == 7).all()
    with pytest.raises(RuntimeError, match="backward without a forward pass before it"):
        layer.backward(y)
    assert layer.forward(x[:3])[0].tobytes() == y[:3].tobytes()
