"""The monitor of a training: what it sees of runs that break, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from test_monitor import problem

import rnncore as rc
from rnncore.analysis.monitor import Monitor


def test_a_run_that_has_diverged_is_looked_at():
    x, y = problem(dtype=np.float32)
    model = rc.Model([rc.RNN(3, 5, activation="identity"), rc.Linear(5, 2)], seed=0)
    monitor = Monitor(model, x, y, every=1)
    model.fit((x, y), epochs=30, optimizer=rc.SGD(1e6), on_nonfinite="skip",
              callbacks=[monitor])
    assert len(monitor.observations.updates) == 30
    assert not np.isfinite(monitor.observations.flow[-1]).all()


@pytest.mark.parametrize("scale", [1e30, 3e38])
def test_a_gradient_that_overflows_is_infinite(scale):
    """Past inf it is NaN, as inf - inf and 0 inf are; the loss is finite, all states are 0."""
    model = rc.Model([rc.RNN(2, 3, activation="identity")], seed=0)
    model.set_parameter("0.weight_hh_l0", scale * np.eye(3, dtype=np.float32))
    rc.init.uniform(model, "*bias*", low=0.0, high=0.0)
    x, y = np.zeros((9, 4, 2), np.float32), np.ones((9, 4, 3), np.float32)
    monitor = Monitor(model, x, y, lengths=[5, 0, 3, 1])
    model.fit((x, y), on_nonfinite="skip", callbacks=[monitor])
    (flow,) = monitor.observations.flow[0]
    assert np.isfinite(flow[:2]).all()
    assert (flow[3:5] == np.inf).all()
    assert np.isnan(flow[5:]).all()


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"every": 0}, ValueError, "every is 0"),
    ({"on_alarm": 3}, TypeError, "on_alarm is 3, expected a callable or None"),
    ({"x": np.zeros((4, 2, 7), np.float32)}, ValueError, r"x has shape \(4, 2, 7\)"),
    ({"target": np.zeros((4, 2, 7), np.float32)}, ValueError, "target has shape"),
    ({"x": np.zeros((12, 3), np.float32), "target": np.zeros((12, 2), np.float32)}, ValueError,
     r"x has shape \(12, 3\), expected a batch of sequences"),
    ({"lengths": np.zeros(6, int)}, ValueError, "no step within its lengths"),
    ({"layers": [rc.Linear(3, 2)]}, ValueError, "expected a recurrent one"),
])
def test_wrong_arguments(change, error, message):
    x, y = problem(dtype=np.float32)
    arguments = {"x": x, "target": y, **change}
    layers = arguments.pop("layers", None) or [rc.RNN(3, 5), rc.Linear(5, 2)]
    with pytest.raises(error, match=message):
        Monitor(rc.Model(layers, seed=0), **arguments)
    with pytest.raises(TypeError, match="model is a RNN, expected a Model"):
        Monitor(rc.RNN(3, 2), x, y)


def test_another_model_is_refused():
    x, y = problem(dtype=np.float32)
    monitor = Monitor(rc.Model([rc.RNN(3, 2)], seed=0), x, y)
    with pytest.raises(ValueError, match="expected the model that the monitor was made for"):
        rc.Model([rc.RNN(3, 2)], seed=0).fit((x, y), callbacks=[monitor])


def test_a_state_of_other_sequences_is_refused():
    x, y = problem(dtype=np.float32)
    model = rc.Model([rc.RNN(3, 5), rc.Linear(5, 2)], seed=0)
    monitor = Monitor(model, x, y)
    model.fit((x, y), callbacks=[monitor])
    other = Monitor(model, x[:5], y[:5])
    with pytest.raises(ValueError, match=r"flow has shape \(1, 12\), expected \(1, 5\)"):
        other.load_state_dict(monitor.state_dict())
