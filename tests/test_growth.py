"""How memory grows: inference not with the number of steps, training by its formula."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import rnncore as rc
from rnncore.engine.memory import Workspaces


def peak(function) -> int:
    """The most bytes that were taken at a time."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_inference_needs_no_more_for_more_steps(layers, ragged):
    def used(steps):
        layer = rc.GRU(8, 40, num_layers=layers, residual=True, seed=0)
        layer.infer(draw(1, 4, 8))  # packs the weights
        x, out = draw(steps, 4, 8), np.empty((steps, 4, 40), np.float32)
        lengths = np.array([steps, steps - 1, 7, 0]) if ragged else None
        return peak(lambda: layer.infer(x, lengths=lengths, out=out))

    assert used(20_000) < 1.05 * used(2_000) + 10_000


KINDS = [(rc.LSTM, 4, 2), (rc.GRU, 4, 1), (rc.RNN, 1, 1)]


@pytest.mark.parametrize(("kind", "blocks", "states"), KINDS, ids=lambda k: str(k))
@pytest.mark.parametrize(("inputs", "layers"), [(80, 1), (160, 1), (80, 3)])
def test_training_needs_what_its_formula_says(kind, blocks, states, inputs, layers):
    steps, rows, hidden = 200, 16, 80  # whole vectors
    layer = kind(inputs, hidden, num_layers=layers, seed=0)
    x, dy = draw(steps, rows, inputs), draw(steps, rows, hidden)
    layer.infer(x[:1])

    def train():
        y, _ = layer.forward(x)
        del y
        layer.backward(dy, input_grad=False)

    n, wide = steps * rows, max(inputs, hidden)
    kept = inputs + layers * (blocks + states) * hidden
    needed = kept + hidden + (2 if layers > 1 else 1) * wide
    assert peak(train) == pytest.approx(4 * n * needed, rel=0.1)


def test_a_forward_pass_takes_the_memory_of_the_one_before():
    layer, x = rc.LSTM(8, 40, seed=0), draw(200, 4, 8)
    layer.infer(x[:1])

    def forwards(count):
        for _ in range(count):
            layer.forward(x)

    once = peak(lambda: forwards(1))
    layer.backward(layer.infer(x)[0])
    assert peak(lambda: forwards(3)) < 1.2 * once


def test_memory_that_has_become_too_small_is_let_go_before_there_is_more():
    pool = Workspaces()

    def grow():
        for size in (1 << 20, 2 << 20):
            pool.give(pool.take(size))

    assert peak(grow) < 2.5 * (1 << 20)


def test_the_memory_of_a_run_goes_to_one_alone():
    """Two threads that call one layer's `forward`, as none should, get no array in common."""
    layer, x, pool = rc.LSTM(8, 40, seed=0), draw(20, 4, 8), Workspaces()
    y, _ = layer.forward(x)
    for _ in range(2):
        layer._run[0].discard(pool)
    assert pool.take(1) is not pool.take(1)
    for use in (layer.activations, lambda: layer.backward(y)):
        with pytest.raises(RuntimeError, match="used up"):
            use()
