"""Thresholds for clipping: suggested from a history, and swept for."""

from __future__ import annotations

import math

import numpy as np
import pytest

import rnncore as rc


def history_of(*norms):
    history = rc.History()
    history.grad_norm = list(norms)
    return history


def test_the_suggestion_is_a_multiple_of_the_mean_norm():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 12, 2)).astype(np.float32)
    model = rc.Model([rc.GRU(2, 4), rc.Linear(4, 2)], seed=0)
    history = model.fit((x, x), epochs=3, batch_size=4)
    mean = np.mean(history.grad_norm)
    assert rc.suggest_threshold(history) == pytest.approx(mean, rel=1e-12)
    assert rc.suggest_threshold(history, 10) == pytest.approx(10 * mean, rel=1e-12)


def test_norms_that_are_not_finite_are_left_out():
    assert rc.suggest_threshold(history_of(1, math.inf, 3, math.nan)) == 2
    assert rc.suggest_threshold(history_of(1e308, 1.5e308)) == pytest.approx(1.25e308)


@pytest.mark.parametrize(
    ("norms", "factor", "message"),
    [
        ([], 1.0, "history has 0 norms, expected some that are finite and above 0"),
        ([math.nan, 0.0], 1.0, "history has 2 norms, expected some"),
        ([1.0], 0.0, "factor is 0.0, expected a finite number above 0"),
        ([1.0], math.inf, "factor is inf, expected"),
    ],
)
def test_there_must_be_something_to_go_by(norms, factor, message):
    with pytest.raises(ValueError, match=message):
        rc.suggest_threshold(history_of(*norms), factor)


class Maker:
    """A quadratic whose steps are lr times the clipped gradient: stable up to about 1 / lr."""

    def __init__(self, fatal_seed=None):
        self.made, self.fatal_seed = [], fatal_seed

    def __call__(self, seed):
        self.made.append(seed)
        model = rc.Model([rc.Linear(1, 1, bias=False)], "mse", seed=seed)
        model.set_parameter("0.weight", np.ones((1, 1), np.float32))
        size = 1e30 if seed == self.fatal_seed else 1.0
        x = np.full((4, 1, 1), size, np.float32)
        return model, (x, 0 * x), {"optimizer": rc.SGD(1.5)}


def test_the_highest_stable_threshold_is_found():
    """Without clipping w becomes -2 w; clipped at 0.1, it comes to and stays around 0."""
    assert rc.sweep_threshold(Maker(), [0.1, math.inf, 0.2, 1e3], runs=2, updates=30) == 0.2
    maker = Maker()
    assert rc.sweep_threshold(maker, [math.inf, 1e6], runs=3, updates=30) is None
    assert maker.made == [0, 0]  # a threshold is given up after its first run that fails


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_threshold_has_to_stand_every_run():
    maker = Maker(fatal_seed=2)
    assert rc.sweep_threshold(maker, [0.1], runs=2, updates=30) == 0.1
    assert rc.sweep_threshold(maker, [0.1], runs=3, updates=30) is None
    assert maker.made == [0, 1, 0, 1, 2]


@pytest.mark.parametrize(
    ("thresholds", "options", "message"),
    [
        ([1.0, 0.0], {}, "thresholds hold 0.0, expected numbers above 0"),
        ([1.0], {"runs": 0}, "runs is 0, expected at least 1"),
        ([1.0], {"updates": 1}, "updates is 1, expected at least 2"),
    ],
)
def test_wrong_arguments_are_refused(thresholds, options, message):
    maker = Maker()
    with pytest.raises(ValueError, match=message):
        rc.sweep_threshold(maker, thresholds, **options)
    assert not maker.made
