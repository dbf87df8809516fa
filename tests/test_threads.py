"""Threads: the same bits for every number of them, from many callers, after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import rnncore as rc
from rnncore.engine import threads
from rnncore.engine.spec import use
from rnncore.engine.threads import available_cpus

STEPS, ROWS, INPUTS, HIDDEN = 40, 41, 6, 69  # enough work to wake a thread for
FEW, WIDE = 3, 300  # too few rows to share: threads share the panels
SOME, BROAD = 17, 150  # threads share both
KINDS = [
    (rc.LSTM, {"num_layers": 2}),
    (rc.LSTM, {"peephole": "diagonal", "taps": (1, 3)}),
    (rc.GRU, {"bidirectional": True}),
    (rc.GRU, {"reset": "before"}),
    (rc.RNN, {"form": "pascanu", "taps": (2,)}),
    (rc.IndRNN, {}),
    (rc.IntersectionRNN, {}),
]


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def bits(layer: rc.LSTM, rows: int, lengths: np.ndarray | None) -> list[bytes]:
    """Everything a layer computes, as bytes."""
    rng = np.random.default_rng(1)

    def drawn(shape):
        return rng.standard_normal(shape).astype(np.float32)

    x = drawn((STEPS, rows, layer.input_size))
    layer.grads.fill(0)
    state = layer.infer(x[:1])[1]
    y, final = layer.forward(x, state, lengths)
    parts = tuple(drawn(part.shape) for part in as_tuple(final))
    dx, initial = layer.backward(drawn(y.shape), parts if len(parts) > 1 else parts[0])
    inferred, end = layer.infer(x, state, lengths)
    found = (y, *as_tuple(final), dx, *as_tuple(initial), inferred, *as_tuple(end), layer.grads)
    return [array.tobytes() for array in found]


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=str)
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(("rows", "hidden"), [(ROWS, HIDDEN), (FEW, WIDE), (SOME, BROAD)])
def test_same_bits_for_every_number(kind, options, ragged, rows, hidden, monkeypatch):
    monkeypatch.setattr(threads._Setting, "processors", 8)  # more may wait for one another
    inputs = hidden if kind is rc.IntersectionRNN else INPUTS
    layer = kind(inputs, hidden, seed=0, **options)
    lengths = np.random.default_rng(2).integers(0, STEPS + 1, rows) if ragged else None
    with rc.num_threads(1):
        expected = bits(layer, rows, lengths)
    for number in (2, 3, 8):
        with rc.num_threads(number):
            assert bits(layer, rows, lengths) == expected


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux's /proc")
def test_workers_stay_free_to_run_anywhere():
    layer = rc.LSTM(INPUTS, HIDDEN, seed=0)
    with use(engine="native"), rc.num_threads(4):  # BLAS has threads of its own
        for _ in range(50):
            layer.infer(np.zeros((STEPS, ROWS, INPUTS), np.float32))
            time.sleep(0.001)  # so that the workers go to sleep
    allowed = [os.sched_getaffinity(int(thread)) for thread in os.listdir("/proc/self/task")]
    assert len(allowed) > 3 and all(mask == os.sched_getaffinity(0) for mask in allowed)


def test_many_callers_share_one_model():
    layer = rc.LSTM(INPUTS, HIDDEN, seed=0)
    x = np.random.default_rng(1).standard_normal((STEPS, ROWS, INPUTS)).astype(np.float32)
    expected = layer.infer(x)[0].tobytes()

    def call(_):
        return all(layer.infer(x)[0].tobytes() == expected for _ in range(20))

    with rc.num_threads(4), ThreadPoolExecutor(6) as callers:
        assert all(callers.map(call, range(6)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_survives_fork():
    """A child of a process whose pool is in use computes, and with threads of its own."""
    program = """
import os, sys
import numpy as np
import rnncore as rc
rc.set_num_threads(4)
layer = rc.LSTM(6, 69, seed=0)
x = np.ones((40, 41, 6), np.float32)
y = layer.infer(x)[0]
child = os.fork()
if child == 0:
    os._exit(0 if (layer.infer(x)[0] == y).all() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
def test_workers_are_made_when_first_needed():
    program = """
import os
import numpy as np
import rnncore as rc
def count(): return len(os.listdir("/proc/self/task"))
layer, x = rc.LSTM(6, 69, seed=0), np.ones((40, 41, 6), np.float32)
before = count()
for number in (1, 3):
    with rc.num_threads(number):
        layer.infer(x)
    print(count() - before)
"""
    native = {**os.environ, "RNNCORE_GEMM": "native"}  # BLAS has threads of its own
    run = subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=native,
                         capture_output=True, text=True)
    assert run.stdout.split() == ["0", "2"]


def test_setting():
    before = rc.get_num_threads()
    with rc.num_threads(3):
        assert rc.get_num_threads() == 3
    assert rc.get_num_threads() == before
    with pytest.raises(ValueError, match="number is 0, expected from 1 to 256"):
        rc.set_num_threads(0)
    with pytest.raises(TypeError, match="number is 2.0, expected an integer"):
        rc.set_num_threads(2.0)
    assert rc.get_num_threads() == before


@pytest.mark.parametrize(("value", "expected"), [("1", 1), ("256", available_cpus())])
def test_environment_caps(value, expected):
    run = subprocess.run(
        [sys.executable, "-c", "import rnncore; print(rnncore.get_num_threads())"],
        env={**os.environ, "RNNCORE_NUM_THREADS": value}, capture_output=True, text=True,
        check=True)
    assert int(run.stdout) == expected


def test_wrong_environment_is_named():
    run = subprocess.run([sys.executable, "-c", "import rnncore"], check=False,
                         env={**os.environ, "RNNCORE_NUM_THREADS": "many"}, capture_output=True,
                         text=True)
    assert run.returncode == 1
    assert "RNNCORE_NUM_THREADS is 'many', expected an integer from 1 to 256" in run.stderr
