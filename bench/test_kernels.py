"""The kernels alone: products of panels and the pointwise functions of the cells, on data that
stay in the first two caches.

    pytest bench/test_kernels.py --benchmark-columns=median --benchmark-sort=name

A product counts two operations for each element of the matrix and each row; a pointwise
function is given in ns for each vector of hidden units, all gates included: see extra_info.
"""

from __future__ import annotations

import pytest

import rnncore as rc
from rnncore.engine.plan import available_isas

TILES = [(1, 4), (1, 1), (6, 4), (24, 4), (24, 3), (24, 1), (128, 4)]  # rows, blocks
CELLS = ["rnn_tanh", "rnn_relu", "lstm", "lstm_diagonal", "gru_after", "ugrnn_tanh", "plusrnn"]
COUNT = 2000


@pytest.fixture(scope="session")
def kernels(compiled):
    return compiled("kernels")


@pytest.fixture(params=available_isas())
def isa(request):
    return request.param


@pytest.fixture
def measure(benchmark, isa):
    benchmark.group = isa

    def run(function, count):
        benchmark.pedantic(function, (count,), rounds=15, iterations=1, warmup_rounds=2)
        if benchmark.stats is None:  # with --benchmark-disable
            return None
        benchmark.extra_info.update(rc.show_config())
        return benchmark.stats["median"] / count

    return run


@pytest.mark.parametrize("rows, blocks", TILES)
def test_product(measure, kernels, benchmark, isa, rows, blocks):
    panels, depth = 8, 128
    run, elements = kernels.product(isa, rows, panels, blocks, depth)
    seconds = measure(run, COUNT * 6 // rows)
    if seconds:
        work = 2 * elements * depth
        benchmark.extra_info["GFLOP/s"] = round(work / seconds / 1e9, 1)


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("cell", CELLS)
def test_pointwise(measure, kernels, benchmark, isa, cell, way):
    run, vectors = kernels.pointwise(isa, cell, way == "backward", 6, 4)
    seconds = measure(run, COUNT)
    if seconds:
        benchmark.extra_info["ns/vector"] = round(1e9 * seconds / vectors, 2)
