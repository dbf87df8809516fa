"""What a stream refuses, and that its state is then as it was."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest
from stream_problems import draw, network, same_states

import rnncore as rc

F32, F64 = np.float32, np.float64
WRONG_STEPS = [
    (np.ones((2, 4), F32), None, ValueError, r"x has shape \(2, 4\), expected \(2, 3\)"),
    (np.ones((1, 3), F32), None, ValueError, r"x has shape \(1, 3\), expected \(2, 3\)"),
    (np.ones(3, F32), None, ValueError, "x has shape"),
    (np.ones((1, 2, 3), F32), None, ValueError, "x has shape"),
    (np.float32(1), None, ValueError, "x has shape"),
    (np.ones((2, 3), F64), None, TypeError, "x has dtype float64, expected float32: cast it"),
    (np.ones((2, 3), ">f4"), None, TypeError, "x has dtype >f4"),
    (None, None, TypeError, "x has dtype object"),
    (np.ones((2, 3), F32), np.ones((2, 5), F32), ValueError, r"out is float32 of shape"),
    (np.ones((2, 3), F32), np.ones((2, 4), F64), ValueError, "out is float64"),
    (np.ones((2, 3), F32), np.ones((4, 2), F32).T, ValueError, "in C order"),
    (np.ones((2, 3), F32), np.broadcast_to(F32(1), (2, 4)), ValueError, "out is"),
    (np.ones((2, 3), F32), [0] * 8, ValueError, "out is list"),
]


@pytest.mark.parametrize(("x", "out", "error", "message"), WRONG_STEPS)
def test_a_refused_step_changes_nothing(x, out, error, message):
    stream = rc.Model([rc.LSTM(3, 4)], seed=0).stream(2)
    stream.step(draw(2, 3))
    before = stream.state
    with pytest.raises(error, match=message):
        stream.step(x, out)
    same_states(stream.state, before)


@pytest.mark.parametrize(("x", "error", "message"), [
    ([3, 11], ValueError, r"x holds 11, expected indices from 0 to 10"),
    ([-1, 3], ValueError, "x holds -1"),
    (np.array([1, 2**63], np.uint64), ValueError, "x holds 9223372036854775807"),
    ([0.5, 1], TypeError, "expected integers for an Embedding"),
    ([1, 2, 3], ValueError, r"x has shape \(3,\), expected \(2,\)"),
])
def test_a_refused_symbol_changes_nothing(x, error, message):
    stream = network().stream(2)
    stream.step([1, 2])
    before = stream.state
    with pytest.raises(error, match=message):
        stream.step(x)
    with pytest.raises(error, match=r"x h"):
        stream.run(np.stack([np.zeros_like(x), x]))
    same_states(stream.state, before)


def test_a_refused_run_changes_nothing():
    stream = rc.Model([rc.GRU(3, 3)], seed=0).stream(2)
    x = draw(4, 2, 3)
    stream.run(x)
    before = stream.state
    for wrong, out in ((x[0], None), (x[:, :1], None), (x, x), (x, np.empty((3, 2, 3), F32)),
                       (x, np.empty((4, 3, 2), F32))):
        with pytest.raises(ValueError, match=r"(x|out) (has|is|shares)"):
            stream.run(wrong, out)
    same_states(stream.state, before)
    assert stream.run(x[:0]).shape == (0, 2, 3)


def test_an_interrupted_run_changes_nothing():
    stream = rc.Model([rc.LSTM(1, 128), rc.Linear(128, 1)], seed=0).stream()
    stream.step(draw(1, 1))
    before = stream.state
    timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        stream.run(np.ones((1_000_000, 1, 1), F32))  # seconds, unless it is interrupted
    timer.join()
    same_states(stream.state, before)


def test_a_refused_state_changes_nothing():
    stream = network().stream(2)
    stream.step([1, 2])
    before = stream.state
    for i, entry in ((2, before[2][0]), (4, before[4][:, :1]), (6, before[6].astype(F64)),
                     (0, before[4]), (2, (before[2][0],))):
        wrong = [*before[:i], entry, *before[i + 1:]]
        with pytest.raises((TypeError, ValueError), match=rf"state\[{i}\]"):
            stream.state = wrong
        same_states(stream.state, before)
    for rows, error in ((2, IndexError), ([0, -3], IndexError), ([True], IndexError),
                        (0.5, TypeError)):
        with pytest.raises(error, match="rows"):
            stream.reset(rows)
        same_states(stream.state, before)


def test_what_cannot_be_streamed_is_named():
    with pytest.raises(ValueError, match=r"layer 0, LSTM\(2, 3, bidirectional=True\)"):
        rc.Model([rc.LSTM(2, 3, bidirectional=True)]).stream()
    model = rc.Model([rc.LSTM(2, 3)])
    for wrong, error in ((0, ValueError), (1.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match="batch"):
            model.stream(wrong)
    with pytest.raises(RuntimeError, match="constructor"):
        rc.stream.Stream.__new__(rc.stream.Stream).step(draw(1, 2))
