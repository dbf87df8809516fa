"""Learning-rate schedules: their factors, what they hear, and what they keep."""

from __future__ import annotations

import json
import math

import pytest

import rnncore as rc


def factors(schedule, updates, epoch=0):
    return [schedule.factor(update, epoch) for update in range(updates)]


def after(schedule, *losses):
    """The factor after each epoch."""
    now = []
    for epoch, loss in enumerate(losses, 1):
        schedule.epoch_ended(loss)
        now.append(schedule.factor(0, epoch))
    return now


def test_step_decay_goes_by_epochs():
    schedule = rc.StepDecay(3, 0.5)
    expected = [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert [schedule.factor(99, epoch) for epoch in range(8)] == expected
    assert rc.StepDecay(1).factor(0, 2) == pytest.approx(0.01)
    assert rc.StepDecay(1, 0.0).factor(0, 1) == 0


def test_cosine_falls_from_one_to_the_last_factor_and_stays():
    expected = [0.1 + 0.9 * math.cos(math.pi * u / 16) ** 2 for u in range(8)]
    assert factors(rc.Cosine(8, 0.1), 8) == pytest.approx(expected, rel=1e-14)
    assert factors(rc.Cosine(1), 3) == [1, 0, 0]
    assert rc.Cosine(8, 0.1).factor(8, 0) == rc.Cosine(8, 0.1).factor(10**9, 0) == 0.1


def test_cosine_does_not_hear_epochs():
    schedule = rc.Cosine(8)
    assert factors(schedule, 9) == factors(schedule, 9, epoch=5)
    assert after(schedule, 1.0, 2.0, math.nan) == [1, 1, 1]


def test_halve_on_worse_compares_with_the_epoch_before():
    losses = (5.0, 4.0, 4.5, 4.25, 4.25, 4.5)
    assert after(rc.HalveOnWorse(), *losses) == [1, 1, 0.5, 0.5, 0.5, 0.25]
    assert after(rc.HalveOnWorse(0.1), 1, 2) == [1, 0.1]


def test_halve_on_worse_compares_with_the_best():
    losses = (5.0, 4.0, 4.5, 4.25, 4.0, 3.0)
    assert after(rc.HalveOnWorse(than="best"), *losses) == [1, 1, 0.5, 0.25, 0.25, 0.25]


@pytest.mark.parametrize("than", ["previous", "best"])
def test_patience_lets_worse_epochs_in_a_row_pass(than):
    rising = after(rc.HalveOnWorse(patience=2, than=than), 1, 2, 3, 4, 5, 6, 7)
    assert rising == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert after(rc.HalveOnWorse(patience=1, than=than), 2, 3, 1, 2, 1, 2, 0) == [1] * 7


@pytest.mark.parametrize("than", ["previous", "best"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_worse_and_no_measure(bad, than):
    """What comes after it is compared with the last finite loss."""
    assert after(rc.HalveOnWorse(than=than), bad, 3, bad, 2, 2.5) == [
        0.5, 0.5, 0.25, 0.25, 0.125]


def test_warm_up_rises_from_above_zero_to_one():
    assert factors(rc.WarmUp(4), 6) == [0.25, 0.5, 0.75, 1, 1, 1]
    assert factors(rc.WarmUp(1), 2) == [1, 1]


def test_what_comes_after_a_warm_up_counts_updates_from_its_end():
    """The factor is 1 at the end of the ramp and at the beginning of what follows: no jump."""
    then = rc.Cosine(5, 0.5)
    assert factors(rc.WarmUp(3, then), 9)[3:] == factors(then, 6)
    nested = rc.WarmUp(2, rc.WarmUp(2))
    assert factors(nested, 5) == [0.25, 0.5, 0.5, 1, 1]


def test_epochs_of_a_warm_up_are_those_of_the_run():
    schedule = rc.WarmUp(4, rc.StepDecay(2, 0.5))
    assert [schedule.factor(1, epoch) for epoch in (0, 1, 2)] == [0.5, 0.5, 0.25]
    assert [schedule.factor(9, epoch) for epoch in (0, 1, 2)] == [1, 1, 0.5]


def test_what_comes_after_a_warm_up_hears_all_epochs():
    schedule = rc.WarmUp(2, rc.HalveOnWorse())
    assert after(schedule, 1.0, 2.0) == [0.5, 0.25]
    assert schedule.factor(2, 2) == 0.5


SCHEDULES = [
    lambda: rc.StepDecay(2),
    lambda: rc.Cosine(5),
    lambda: rc.HalveOnWorse(0.5, 1),
    lambda: rc.HalveOnWorse(0.5, 1, "best"),
    lambda: rc.WarmUp(3),
    lambda: rc.WarmUp(3, rc.HalveOnWorse()),
]
LOSSES = [3.0, 3.5, math.nan, 2.0, 2.5, 2.25, 4.0]


@pytest.mark.parametrize("make", SCHEDULES)
@pytest.mark.parametrize("epochs", range(len(LOSSES)))
def test_a_schedule_restored_from_json_goes_on(make, epochs):
    schedule, restored = make(), make()
    after(schedule, *LOSSES[:epochs])
    restored.load_state_dict(json.loads(json.dumps(schedule.state_dict(), allow_nan=False)))
    assert restored.factor(7, epochs) == schedule.factor(7, epochs)
    assert after(restored, *LOSSES[epochs:]) == after(schedule, *LOSSES[epochs:])


@pytest.mark.parametrize("make", SCHEDULES)
@pytest.mark.parametrize(
    ("state", "error"),
    [
        ({"lr": 1.0}, ValueError),
        ({"factor": 1.0, "worse": 0, "reference": 1.0, "lr": 1.0}, ValueError),
        ({"factor": math.nan, "worse": 0}, ValueError),
        ({"factor": 1.0, "worse": -1}, ValueError),
    ],
)
def test_a_wrong_state_changes_nothing(make, state, error):
    schedule = make()
    after(schedule, 1.0, 2.0, 3.0)
    before = schedule.state_dict()
    with pytest.raises(error, match="expected"):
        schedule.load_state_dict(state)
    assert schedule.state_dict() == before


def test_a_state_of_words_is_refused():
    with pytest.raises(TypeError, match="factor of the state is 'half', expected a number"):
        rc.HalveOnWorse().load_state_dict({"factor": "half", "worse": 0})


def test_a_schedule_of_ones_own_needs_a_factor_alone():
    class Flat(rc.Schedule):
        def factor(self, update, epoch):
            return 0.5

    schedule = rc.WarmUp(2, Flat())
    assert factors(schedule, 3) == [0.25, 0.5, 0.5] and schedule.state_dict() == {}
    schedule.epoch_ended(1.0)
    with pytest.raises(NotImplementedError):
        rc.Schedule().factor(0, 0)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rc.StepDecay(0), ValueError, "every is 0, expected at least 1"),
        (lambda: rc.StepDecay(1.5), TypeError, "every is 1.5, expected an integer"),
        (lambda: rc.StepDecay(1, 1.0), ValueError, r"factor is 1.0, .* in \[0, 1\)"),
        (lambda: rc.Cosine(0), ValueError, "updates is 0, expected at least 1"),
        (lambda: rc.Cosine(1, -1), ValueError, "final is -1, expected a number in"),
        (lambda: rc.Cosine(1, math.nan), ValueError, "final is nan"),
        (lambda: rc.HalveOnWorse(1.0), ValueError, "factor is 1.0"),
        (lambda: rc.HalveOnWorse("half"), TypeError, "factor is 'half', expected a number"),
        (lambda: rc.HalveOnWorse(patience=-1), ValueError, "patience is -1, expected at l"),
        (lambda: rc.HalveOnWorse(than="last"), ValueError, "than is 'last', expected one of"),
        (lambda: rc.WarmUp(0), ValueError, "updates is 0, expected at least 1"),
        (lambda: rc.WarmUp(1, 0.5), TypeError, "then is of type float, expected a Schedule"),
    ],
)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_readable():
    assert repr(rc.StepDecay(2)) == "StepDecay(every=2, factor=0.1)"
    assert repr(rc.HalveOnWorse()) == "HalveOnWorse(factor=0.5, patience=0, than='previous')"
    assert repr(rc.WarmUp(3, rc.Cosine(2))) == (
        "WarmUp(updates=3, then=Cosine(updates=2, final=0.0))")
