"""Alarms, on histories and flows that were made up for them."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest

from rnncore import History
from rnncore.analysis.alarms import Watch, ends


def watched(losses, norms):
    """The alarms of a history, update by update."""
    history, watch = History(), Watch()
    for update, pair in enumerate(zip(losses, norms, strict=True), 1):
        for values, value in zip((history.update_loss, history.grad_norm), pair, strict=True):
            values.append(value)
        watch.numbers(update, history)
    return watch.alarms


def noise(n, seed=0):
    return np.exp(0.5 * np.random.default_rng(seed).standard_normal(n))


def flow(*factors, steps=50):
    """Norms that change by a factor at each step back, layer by layer."""
    return np.array([factor ** np.arange(steps, dtype=float) for factor in factors])


def test_a_quiet_run_raises_none():
    losses = 2 * np.exp(-np.arange(500) / 100) * noise(500)
    assert watched(losses, noise(500, 1)) == []


@pytest.mark.parametrize("seed", range(5))
def test_norms_that_vary_within_the_usual_raise_none(seed):
    heavy = np.abs(np.random.default_rng(seed).standard_t(2, 500)) + 0.1
    assert watched(np.ones(500), heavy) == []


def test_a_norm_far_above_the_median_is_an_explosion():
    norms = noise(200)
    norms[150] = 1e4
    alarm, = watched(np.ones(200), norms)
    assert (alarm.update, alarm.kind) == (151, "explosion")
    assert alarm.what.startswith("gradient norm 1e+04, usual were ")


def test_a_loss_far_above_the_first_and_the_usual_is_an_explosion():
    losses = np.ones(200)
    losses[2] = 6
    alarm, = watched(losses, np.ones(200))
    assert alarm == (3, "explosion", "loss 6, usual were 1, the first 1")


def test_a_spike_of_a_small_loss_is_none_below_the_first():
    losses = np.geomspace(1, 1e-3, 200)
    losses[180] = 0.9
    assert watched(losses, np.ones(200)) == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("series", ["loss", "norm"])
def test_what_is_not_finite_is_an_explosion(value, series):
    values = {"loss": [1.0, 1.0, 1.0], "norm": [1.0, 1.0, 1.0]}
    values[series][1] = value
    alarm, = watched(*values.values())
    assert (alarm.update, alarm.kind) == (2, "explosion")


def test_one_alarm_of_a_kind_within_a_window_is_enough():
    norms = noise(400)
    norms[[150, 151, 240, 260]] = 1e5
    assert [alarm.update for alarm in watched(np.ones(400), norms)] == [151, 261]


def test_a_large_update_is_an_explosion():
    watch = Watch()
    assert watch.look(1, ["0.l0"], flow(1.0), math.nan) == []
    assert watch.look(2, ["0.l0"], flow(1.0), 0.1) == []
    alarm, = watch.look(3, ["0.l0"], flow(1.0), 0.5)
    assert alarm.what == "the update is 0.5 times as large as the parameters"


def test_a_gradient_that_grows_on_its_way_is_an_explosion():
    watch = Watch()
    assert watch.look(1, ["0.l0", "0.l1"], flow(0.9, 1.1), 0.01) == []
    alarm, = watch.look(2, ["0.l0", "0.l1"], flow(0.9, 1.5), 0.01)
    assert alarm.kind == "explosion"
    assert alarm.what.startswith("layer 0.l1: |dE/dh| is ")


@pytest.mark.parametrize("norms", [[np.inf] * 20, [1.0] * 18 + [np.inf] * 2,
                                   [np.inf] + [0.0] * 19])
def test_a_gradient_that_overflows_is_an_explosion(norms):
    alarm, = Watch().look(1, ["0.l0"], np.array([norms]), 0.01)
    assert alarm.kind == "explosion"


def test_a_gradient_that_vanishes_look_after_look_is_an_alarm():
    watch = Watch()
    found = [watch.look(u, ["0.l0"], flow(0.5), 0.01) for u in range(100, 800, 100)]
    assert [len(alarms) for alarms in found] == [0, 0, 0, 0, 1, 1, 1]
    assert found[4][0].kind == "vanishing"


def test_a_gradient_that_comes_back_in_between_is_none():
    watch = Watch()
    for update in range(100, 2000, 100):
        factor = 0.9 if update % 400 == 0 else 0.5
        assert watch.look(update, ["0.l0"], flow(factor), 0.01) == []


def test_a_gradient_of_exactly_0_everywhere_vanishes_not():
    """Nothing was lost: there is no error."""
    watch = Watch()
    assert not any(watch.look(u, ["0.l0"], np.zeros((1, 50)), 0.01) for u in range(0, 900, 100))


def test_ends_leave_out_what_lies_past_all_rows():
    norms = np.concatenate([np.arange(30.0), np.full(20, np.nan)])
    assert ends(norms) == (1.0, 28.0)
    assert np.isnan(ends(np.full(5, np.nan))).all()
    assert np.isnan(ends(np.array([1.0, np.nan, 2.0]))).tolist() == [False, False]


def test_a_watch_goes_on_from_its_state():
    norms, losses = noise(300), np.ones(300)
    norms[250] = 1e4
    history, watch = History(), Watch()
    for update in range(1, 301):
        history.update_loss.append(losses[update - 1])
        history.grad_norm.append(norms[update - 1])
        if update == 205:
            state = watch.state_dict()
            watch = Watch()
            watch.load_state_dict(state)
        watch.numbers(update, history)
    assert watch.alarms == watched(losses, norms)


def test_the_runs_they_are_counted_on_are_what_they_are_called():
    """A few of each kind, short; all are counted by `python bench/alarms.py`."""
    alarms = importlib.import_module("alarms")
    for seed in range(2):
        kinds = {alarm.kind for alarm in alarms.watched(alarms.exploding(seed))[0].alarms}
        assert "explosion" in kinds
    monitor, _ = alarms.watched(alarms.healthy(0))
    assert monitor.alarms == []
