"""Denormals count as signed zeros inside the library, and nowhere else; what interrupts a call
leaves everything as it was.
"""

from __future__ import annotations

import signal

import numpy as np
import pytest
from cases import CELLS
from fences import arrays
from problems import (
    every_cell,
    every_dtype,
    every_isa,
    make_problem,
    outcome,
    same_bits,
    whole,
)

import rnncore as rc
from rnncore.engine.flat import global_norm, scale
from rnncore.engine.memory import Workspaces
from rnncore.engine.spec import use


def denormals_work():
    return all(np.all(np.full(70, np.finfo(dtype).tiny, dtype) * dtype(0.5) > 0)
               for dtype in (np.float32, np.float64))


def with_small_ones(arrays, value):
    """Copies with every third element replaced, its sign kept."""
    result = []
    for array in arrays:
        array = array.copy()
        array.reshape(-1)[::3] = np.copysign(value, array.reshape(-1)[::3])
        result.append(array)
    return result


@every_dtype
@every_isa
@every_cell
def test_denormals_count_as_zero(cell, isa, dtype):
    """In x, states, their gradients and the weights."""
    results = []
    for value in (dtype(0), np.finfo(dtype).smallest_subnormal * dtype(5)):
        problem = make_problem(cell, {}, dtype, 19, 7, [4] * 9, 4)
        problem.x, problem.dy = with_small_ones([problem.x, problem.dy], value)
        problem.state = tuple(with_small_ones(problem.state, value))
        problem.dstate = tuple(with_small_ones(problem.dstate, value))
        values = problem.layer.state_dict()
        problem.layer.load_state_dict(
            dict(zip(values, with_small_ones(values.values(), value), strict=True)))
        with use(isa=isa, engine="native"):
            results.append(outcome(problem))
    for name, array in results[1].items():
        same_bits(array, results[0][name], name)
        assert not np.any((array != 0) & (np.abs(array) < np.finfo(dtype).tiny)), name


@pytest.mark.parametrize("threads", [1, 2])
@every_isa
def test_the_mode_is_restored(isa, threads):
    problem = make_problem(CELLS["lstm"], {}, np.float32, 19, 7, [4] * 40, 4)
    assert denormals_work()
    with use(isa=isa), rc.num_threads(threads):
        outcome(problem)
        assert denormals_work()
        problem.layer.infer(problem.x)
        assert denormals_work()
        global_norm(problem.layer.grads)
        scale(problem.layer.grads, 0.5)
        assert denormals_work()


@pytest.mark.parametrize("method", ["forward", "infer", "backward"])
@every_dtype
def test_without_memory_nothing_changes(method, dtype):
    """Whichever of the arrays of a call is not to be had; at last all are."""
    problem = make_problem(CELLS["lstm"], {"num_layers": 2}, dtype, 19, 7, [4, 2], 4)
    expected, layer = outcome(problem), problem.layer
    saved, grads, failures = layer.state_dict(), layer.grads.copy(), 0
    given = (problem.x, whole(problem.state), problem.lengths)
    while True:
        layer._workspaces = Workspaces()  # none is left from the call before
        if method == "backward":
            layer.forward(*given)
            given = (problem.dy, whole(problem.dstate))
        before = arrays().after(failures)
        try:
            getattr(layer, method)(*given)
            break
        except MemoryError:
            failures += 1
        finally:
            arrays().restore(before)
        assert denormals_work()
        same_bits(layer.grads, grads)
        for name, value in layer.state_dict().items():
            same_bits(value, saved[name], name)
        given = (problem.x, whole(problem.state), problem.lengths)
    assert failures >= 4  # y or dx, both states, and workspace
    layer.grads[:] = 0
    for name, array in outcome(problem).items():
        same_bits(array, expected[name], name)


class Interrupted(Exception):
    """What the signal handler below raises."""


@pytest.fixture
def interrupt():
    """Call with a time in seconds after which the handler raises."""
    def handler(number, frame):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, handler)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
@pytest.mark.parametrize("method", ["forward", "infer", "backward"])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_changes_nothing(method, threads, interrupt):
    """Ctrl-C is seen between chunks of a long call, which is then as if it had not been."""
    layer = rc.LSTM(64, 64, seed=0)
    x = np.random.default_rng(0).standard_normal((3000, 16, 64)).astype(np.float32)
    small = x[:5]
    with rc.num_threads(threads):
        y, _ = layer.infer(small)
        call = getattr(layer, method)
        if method == "backward":
            layer.forward(x)
        grads = layer.grads.copy()
        with pytest.raises(Interrupted):
            interrupt(0.01)
            call(x)
        assert denormals_work()
        same_bits(layer.grads, grads)
        same_bits(layer.forward(small)[0], y)
        same_bits(layer.infer(small)[0], y)
