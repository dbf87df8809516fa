"""How fast every cell runs, forwards alone and as a training pass, on one thread.

    pytest bench/                                    everything, some minutes
    pytest bench/ -k "LSTM and B32" --benchmark-columns=median
    pytest bench/ --benchmark-json=speed.json        with the GFLOP/s of each, in extra_info

A product of the input or the state with a matrix of n elements counts as 2 n T B operations,
which makes 2 T B (I + H) G H of a cell with G gate blocks, I = H; gates count as nothing. A
training pass, forwards and backwards with all gradients, counts three times that.
"""

from __future__ import annotations

import numpy as np
import pytest

import rnncore as rc
from rnncore.engine.spec import ENGINES, use

CELLS = {
    "RNN": (rc.RNN, {}),
    "RNN pascanu": (rc.RNN, {"form": "pascanu"}),
    "IndRNN": (rc.IndRNN, {}),
    "IdentityRNN": (rc.IdentityRNN, {}),
    "MinGRU": (rc.MinGRU, {}),
    "UGRNN": (rc.UGRNN, {}),
    "GRU": (rc.GRU, {}),
    "GRU before": (rc.GRU, {"reset": "before"}),
    "LSTM": (rc.LSTM, {}),
    "LSTM coupled": (rc.LSTM, {"forget": "coupled"}),
    "LSTM diagonal": (rc.LSTM, {"peephole": "diagonal"}),
    "LSTM cell": (rc.LSTM, {"peephole": "cell"}),
    "+RNN": (rc.IntersectionRNN, {}),
}
SHAPES = [(1, 100, 64), (20, 50, 50), (16, 100, 128), (32, 100, 256)]  # B, T, H


@pytest.fixture(params=SHAPES, ids=lambda shape: "B{} T{} H{}".format(*shape))
def shape(request):
    return request.param


@pytest.fixture(params=ENGINES)
def engine(request):
    """New plans are made on this engine, and run on one thread."""
    with use(engine=request.param), rc.num_threads(1):
        yield request.param


@pytest.fixture(params=CELLS)
def layer(request, shape, engine):
    kind, options = CELLS[request.param]
    return kind(shape[2], shape[2], seed=0, **options)


@pytest.fixture
def measure(benchmark, layer, shape, engine):
    """Time a function; `passes` is how many times the forward operations it has."""
    size, steps, hidden = shape
    matrices = sum(weight.size for _, weight in layer.parameters.items() if weight.ndim == 2)
    operations = 2 * steps * size * matrices
    benchmark.group = f"B{size} T{steps} H{hidden} {engine}"

    def run(function, passes):
        benchmark.pedantic(function, rounds=15, iterations=1, warmup_rounds=2)
        if benchmark.stats is not None:  # None with --benchmark-disable
            speed = passes * operations / benchmark.stats["median"] / 1e9
            benchmark.extra_info.update({"GFLOP/s": round(speed, 1), **rc.show_config()})

    return run


@pytest.fixture
def x(shape):
    size, steps, hidden = shape
    return np.random.default_rng(0).standard_normal((steps, size, hidden), dtype=np.float32)


def test_forward(measure, layer, x):
    measure(lambda: layer.infer(x), passes=1)


def test_training(measure, layer, x):
    dy = np.ones_like(x)

    def train():
        layer.forward(x)
        layer.backward(dy)

    measure(train, passes=3)
