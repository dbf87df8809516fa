"""What fit does beside the updates: stopping early, calling back, schedules, constraints."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from small import C, K, make, same

import rnncore as rc
from rnncore.training import History

T, B = 6, 5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def arrays(rng):
    return rng.standard_normal((T, B, K)), rng.integers(0, C, (T, B))


class Halving(rc.Schedule):
    """Half the factor after each epoch; keeps what it was told."""

    def __init__(self):
        self.asked, self.heard = [], []

    def factor(self, update, epoch):
        self.asked.append((update, epoch))
        return 0.5 ** len(self.heard)

    def epoch_ended(self, loss):
        self.heard.append(loss)

    def state_dict(self):
        return {f"{i}": loss for i, loss in enumerate(self.heard)}

    def load_state_dict(self, state):
        self.heard = list(state.values())


def test_early_stopping_brings_the_best_weights_back(rng):
    data, valid = arrays(rng), arrays(rng)
    model = make()
    history = model.fit(data, valid=valid, epochs=200, early_stopping=4,
                        optimizer=rc.Adam(0.1))
    best = int(np.argmin(history.valid_loss))
    assert history.best_epoch == best and len(history.loss) == best + 1 + 4 < 200
    assert model.evaluate(valid).loss == history.valid_loss[best]
    other = make()
    other.fit(data, epochs=best + 1, optimizer=rc.Adam(0.1))
    assert same(model, other)
    without = make()
    without.fit(data, valid=valid, epochs=best + 3, optimizer=rc.Adam(0.1))
    assert not same(without, other)


def test_a_validation_loss_that_is_no_number_is_never_the_best():
    history = History()
    assert history.best_epoch is None
    history.valid_loss = [float("nan"), float("inf")]
    assert history.best_epoch is None
    history.valid_loss += [2.0, float("nan"), 1.0, 1.0]
    assert history.best_epoch == 4


def test_callbacks_hear_of_updates_and_epochs(rng):
    events = []

    def note(event, model, history):
        events.append((event, len(history.update_loss), len(history.loss)))

    make().fit(arrays(rng), epochs=2, batch_size=3, callbacks=[note])
    assert events == [("update", 1, 0), ("update", 2, 0), ("epoch", 2, 1),
                      ("update", 3, 1), ("update", 4, 1), ("epoch", 4, 2)]


@pytest.mark.parametrize(("event", "updates", "epochs"), [("update", 3, 1), ("epoch", 4, 2)])
def test_a_callback_stops_training_by_true_alone(rng, event, updates, epochs):
    def stop(now, model, history):
        return now == event and len(history.update_loss) >= updates

    def truthy(now, model, history):
        return "true, but not True"

    history = make().fit(arrays(rng), epochs=9, batch_size=3, callbacks=[stop, truthy])
    assert len(history.update_loss) == updates and len(history.loss) == epochs


def test_a_schedule_multiplies_the_learning_rate(rng):
    data, valid, schedule = arrays(rng), arrays(rng), Halving()
    model, other = make(), make()
    history = model.fit(data, valid=valid, epochs=3, batch_size=3, shuffle=False,
                        optimizer=rc.SGD(0.5), schedule=schedule)
    assert schedule.asked == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)]
    assert schedule.heard == history.valid_loss
    assert history.lr_factor == [1, 1, 0.5, 0.5, 0.25, 0.25]
    for lr in (0.5, 0.25, 0.125):
        other.fit(data, batch_size=3, shuffle=False, optimizer=rc.SGD(lr))
    assert same(model, other)
    alone = Halving()
    history = make().fit(data, epochs=2, optimizer=rc.SGD(0.5), schedule=alone)
    assert alone.heard == history.loss


def test_a_schedule_goes_on_where_it_was(rng, tmp_path):
    data = arrays(rng)

    def run(**options):
        model, schedule = make(), Halving()
        model.fit(data, batch_size=3, optimizer=rc.SGD(0.5), schedule=schedule, **options)
        return model, schedule

    whole, schedule = run(epochs=4)
    run(epochs=2, checkpoint=tmp_path / "run")
    resumed, again = run(epochs=4, checkpoint=tmp_path / "run", resume=True)
    assert same(whole, resumed) and again.heard == schedule.heard


def test_regularizers_come_before_the_norm_and_constraints_after_the_step(rng):
    class Decay:
        def add_gradient(self, model):
            model.grads[:] = model.parameters
            return 2.5

    class Positive:
        def project(self, model):
            with model.writable() as flat:
                np.maximum(flat, 0, out=flat)

    model = make()
    start = model.parameters.copy()
    history = model.fit(arrays(rng), optimizer=rc.SGD(0.5), regularizers=[Decay(), Decay()],
                        constraints=[Positive()])
    np.testing.assert_array_equal(model.parameters, np.maximum(0.5 * start, 0))
    assert history.grad_norm == [pytest.approx(np.linalg.norm(start))]
    assert history.penalty == [5.0]


def test_omega_and_clipping_of_steps_reach_every_update(rng):
    (x, y), omega = arrays(rng), rc.Omega(2.0, schedule="1/t")
    model, other, values = make(cell=rc.RNN), make(cell=rc.RNN), []
    history = model.fit((x, y), epochs=3, omega=omega, clip_step=0.01, optimizer=rc.SGD(0.5))
    for epoch in range(3):
        other.loss_and_grad(x, y, omega=omega.at(epoch), clip_step=0.01)
        values.append(other.omega.value)
        rc.SGD(0.5).step(other)
    assert same(model, other) and history.omega == values and min(values) > 0
    assert history.omega_live == [1.0] * len(values)
    assert make().fit((x, y)).omega == []


def test_clipping_values_bounds_every_element(rng):
    model = make()
    start = model.parameters.copy()
    history = model.fit(arrays(rng), optimizer=rc.SGD(1.0), clip_value=1e-3)
    assert np.abs(model.parameters - start).max() == pytest.approx(1e-3)
    assert history.grad_norm[0] > 1e-2


def test_an_epoch_of_so_many_updates_goes_on_in_endless_data(rng):
    x, y = arrays(rng)
    numbers = itertools.count()
    endless = ((x + next(numbers), y) for _ in itertools.repeat(0))
    model, other = make(), make()
    history = model.fit(endless, epochs=3, updates_per_epoch=4, optimizer=rc.SGD(0.1))
    assert len(history.update_loss) == 12 and len(history.loss) == 3
    other.fit([(x + i, y) for i in range(12)], optimizer=rc.SGD(0.1))
    assert same(model, other) and next(numbers) == 12
    np.testing.assert_allclose(history.loss, np.reshape(history.update_loss, (3, 4)).mean(1))


def test_an_epoch_may_end_within_a_batch_and_data_begin_anew(rng):
    data, model, other = arrays(rng), make(), make()
    model.fit(data, epochs=2, updates_per_epoch=3, tbptt=3, optimizer=rc.SGD(0.1))
    other.fit(data, epochs=3, tbptt=3, optimizer=rc.SGD(0.1))
    assert same(model, other)


def test_data_without_an_update_end_the_training(rng):
    x, y = arrays(rng)
    message = "data have nothing to learn from, expected batches for 3 updates in each epoch"
    for data in ((x, y, np.zeros(B, int)), iter([(x, y)])):
        with pytest.raises(ValueError, match=message):
            make().fit(data, updates_per_epoch=3)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_elements_put_to_zero_are_counted(rng):
    class Bad:
        def add_gradient(self, model):
            model.grads[0] = np.nan
            return 0.0

    history = make().fit(arrays(rng), epochs=3, on_nonfinite="zero", regularizers=[Bad()])
    assert (history.zeroed, history.skipped) == (3, 0)
    history = make().fit(arrays(rng), epochs=3, on_nonfinite="skip", regularizers=[Bad()])
    assert (history.zeroed, history.skipped) == (0, 3)


def test_a_history_as_arrays(rng):
    history = make().fit(arrays(rng), valid=arrays(rng), epochs=2, batch_size=2)
    arrays_of = history.arrays()
    assert arrays_of["update_loss"].shape == arrays_of["grad_norm"].shape == (6,)
    assert arrays_of["update_loss"].dtype == np.float64
    assert arrays_of["loss"].tolist() == history.loss and arrays_of["skipped"] == 0
    other = History()
    other.load(arrays_of)
    assert vars(other) == vars(history)


def test_updates_may_be_computed_in_segments(rng):
    data, whole, cut = (*arrays(rng), [6, 2, 6, 0, 5]), make(), make()
    whole.fit(data, epochs=3, batch_size=3)
    cut.fit(data, epochs=3, batch_size=3, checkpoint_every=2)
    np.testing.assert_allclose(cut.parameters, whole.parameters, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"early_stopping": 3}, ValueError, "early_stopping is 3, but valid is None"),
        ({"early_stopping": 0}, ValueError, "early_stopping is 0, expected at least 1"),
        ({"updates_per_epoch": 0}, ValueError, "updates_per_epoch is 0, expected at least 1"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every is 0, expected at least 1"),
        ({"clip_value": 0.0}, ValueError, "clip_value is 0.0, expected a number above 0"),
        ({"schedule": "cosine"}, TypeError, "schedule is of type str, expected a Schedule"),
        ({"constraints": [3]}, TypeError, "constraints holds 3, expected objects with a"),
        ({"regularizers": 3}, TypeError, "regularizers is of type int, expected a tuple or l"),
        ({"omega": 0.5}, TypeError, "omega is of type float, expected an Omega"),
        ({"clip_step": 0}, ValueError, "threshold is 0.0, expected a number above 0"),
        ({"callbacks": [3]}, TypeError, "callbacks holds 3, expected callables"),
    ],
)
def test_wrong_options_change_nothing(rng, options, error, message):
    model, other = make(), make()
    with pytest.raises(error, match=message):
        model.fit(arrays(rng), **options)
    assert same(model, other)
