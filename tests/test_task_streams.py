"""The streams of the synthetic tasks, and what measures, fits and refuses."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from task_cases import Guess, again, every_task, model_for

import rnncore as rc
from rnncore import tasks
from rnncore.tasks import base

# ---- The stream ----


@every_task
def test_a_seed_gives_the_same_bits(task):
    first, second, other = again(task), again(task), again(task, seed=1)
    one, two, three = (t.sample(20) for t in (first, second, other))
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[0], three[0])
    assert not np.array_equal(one[0], first.sample(20)[0])  # the stream goes on


@every_task
def test_a_stream_goes_on_from_its_position(task):
    stream = again(task).batches(7)
    next(stream)
    state = json.loads(json.dumps(stream.state_dict()))
    expected = [next(stream) for _ in range(3)]
    resumed = again(task).batches(7)
    resumed.load_state_dict(state)
    for (x, y), (x2, y2) in zip(expected, resumed, strict=False):
        assert x.tobytes() == x2.tobytes() and y.tobytes() == y2.tobytes()


def test_a_foreign_position_is_refused_and_changes_nothing():
    task, same = tasks.Addition(50, seed=0), tasks.Addition(50, seed=0)
    state = task.state_dict()
    for broken, message in [
            (tasks.Addition(50, seed=1).state_dict(), r"seed=1\), expected Addition\("),
            ({"task": repr(task)}, r"keys \['task'\], expected"),
            ({**state, "generator": {**state["generator"], "bit_generator": "MT19937"}},
             "expected the state of a PCG64"),
            ({**state, "generator": 3}, "is 3, expected the state of a PCG64"),
            ({**state, "generator": {"bit_generator": "PCG64"}}, "expected the state")]:
        with pytest.raises(ValueError, match=message):
            task.load_state_dict(broken)
    assert (task.sample(5)[0] == same.sample(5)[0]).all()


def test_a_task_without_seed_can_be_repeated():
    task = tasks.TemporalOrder(10)
    assert (task.sample(20)[0] == again(task).sample(20)[0]).all()
    assert task.seed != tasks.TemporalOrder(10).seed


def test_lengths_are_drawn_for_each_batch():
    task = tasks.TemporalOrder((10, 14), seed=0)
    assert {len(x) for x, _ in itertools.islice(task.batches(1), 100)} == {10, 11, 12, 13}


@every_task
def test_fit_and_evaluate_take_batches_and_samples(task):
    task = again(task)
    model = model_for(task)
    history = model.fit(itertools.islice(task.batches(4), 3))
    assert len(history.update_loss) == 3
    model.fit(task.sample(6), valid=task.sample(2), batch_size=3, epochs=2)
    steps = sum(y.size for _, y in [again(task).sample(5)])
    assert model.evaluate(again(task).sample(5)).counted == steps
    x, y = task.sample(1)
    assert x.dtype == np.float32
    assert y.dtype == (np.int64 if task.loss == "cross_entropy" else np.float32)


# ---- Measuring ----


@every_task
def test_the_error_rate_moves_no_stream_and_depends_on_none(task):
    fresh, used, model = again(task), again(task), model_for(task)
    used.sample(3)
    before = used.state_dict()
    rate = used.error_rate(model, sequences=130)
    assert rate == fresh.error_rate(model, sequences=130)
    assert used.state_dict() == before


def test_few_rows_at_a_time_give_the_same_error_rate(monkeypatch):
    """By a model for the last step, and by a guess for each: blanks, and a 0 at the end."""

    def zero(x):
        answer = np.full(x.shape[:2], 2)
        answer[-1] = 0
        return answer

    order = tasks.TemporalOrder((10, 20), seed=0)
    recall = tasks.Memorization((1, 9), symbols=1, seed=0)
    for task, model in (order, model_for(order)), (recall, Guess(recall, zero)):
        whole = task.error_rate(model, sequences=150)
        with monkeypatch.context() as patch:
            patch.setattr(base, "_KEPT", 700)
            assert task.error_rate(model, sequences=150) == whole
        assert task.baseline.error == pytest.approx(whole, abs=0.15)


def test_error_rates_of_other_seeds_see_other_sequences():
    task, seen = tasks.Addition((50, 60), seed=0), []

    def look(x):
        seen.append(x.tobytes())
        return np.full((x.shape[1], 1), 0.5, np.float32)

    rates = [task.error_rate(Guess(task, look), 250, seed=seed) for seed in (0, 0, 1)]
    assert seen[:3] == seen[3:6] and not set(seen[:3]) & set(seen[6:])
    assert rates == pytest.approx([0.36] * 3, abs=0.1)
    stream = {x.tobytes() for x, _ in itertools.islice(tasks.Addition((50, 60), seed=0)
                                                      .batches(100), 10)}
    assert not stream & set(seen)


def test_a_model_that_does_not_fit_is_refused():
    task = tasks.TemporalOrder(50, seed=0)
    last = [rc.RNN(6, 3), rc.Last(), rc.Linear(3, 4)]
    for model, message in [
            (rc.Model([rc.RNN(5, 4), rc.Last()]), "input_size 5, expected 6 for TemporalOrder"),
            (rc.Model([rc.RNN(6, 3), rc.Last()]), "output_size 3, expected 4"),
            (rc.Model([rc.RNN(6, 4)]), "per_step True, expected False"),
            (rc.Model([rc.Embedding(6, 4), rc.RNN(4, 4), rc.Last()]), "takes_symbols True"),
            (rc.Model(last, batch_first=True), "batch_first True, expected False")]:
        with pytest.raises(ValueError, match=message):
            task.error_rate(model)


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: tasks.Addition(9), ValueError, "length is 9, expected at least 10"),
    (lambda: tasks.TemporalOrder((9, 20)), ValueError, r"length\[0\] is 9, expected at least"),
    (lambda: tasks.TemporalOrder((20, 20)), ValueError, r"length\[1\] is 20, expected at leas"),
    (lambda: tasks.TemporalOrder((20, 30, 40)), ValueError, r"integer or \(low, high\)"),
    (lambda: tasks.TemporalOrder(20.0), TypeError, "length is 20.0, expected an integer"),
    (lambda: tasks.TemporalOrder(20, symbols=4), ValueError, "symbols is 4, expected 2 or 3"),
    (lambda: tasks.Memorization(5, values=1), ValueError, "values is 1, expected at least 2"),
    (lambda: tasks.CopyMemory(5, symbols=0), ValueError, "symbols is 0, expected at least 1"),
    (lambda: tasks.Agreement(6, attractors=2), ValueError, "length is 6, expected at least 7"),
    (lambda: tasks.Agreement(9, attractors=0), ValueError, "attractors is 0, expected"),
    (lambda: tasks.Agreement(9, opposite=1.5), ValueError, "opposite is 1.5, expected a prob"),
    (lambda: tasks.Agreement(9).recent_number(np.zeros((9, 15))), ValueError,
     r"x has shape \(9, 15\), expected \(time, batch, 15\)"),
    (lambda: tasks.Addition(10).sample(0), ValueError, "size is 0, expected at least 1"),
    (lambda: tasks.Addition(10).batches(0), ValueError, "size is 0, expected at least 1"),
    (lambda: tasks.Addition(10).error_rate(None, 0), ValueError, "sequences is 0, expected")])
def test_wrong_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("task", [
    tasks.Addition(10, seed=0), tasks.Multiplication(10, seed=0),
    tasks.AddingProblem(2, seed=0), tasks.TemporalOrder(10, seed=0),
    tasks.RandomPermutation(1, seed=0), tasks.Memorization(1, seed=0),
    tasks.CopyMemory(1, seed=0), tasks.Agreement(5, seed=0)], ids=repr)
def test_the_shortest_sequences_exist(task):
    x, _ = task.sample(50)
    assert x.shape[1:] == (50, task.input_size)


# ---- Learning ----


def test_a_short_temporal_order_is_learned():
    task = tasks.TemporalOrder(10, seed=0)
    model = model_for(task, width=16)
    assert task.error_rate(model, 1000) > 0.5
    model.fit(task.sample(2000), epochs=4, batch_size=20, optimizer=rc.Adam(0.01),
              clip_norm=1.0)
    assert task.error_rate(model, 1000) < 0.01


def test_a_short_addition_is_learned():
    task = tasks.Addition(10, seed=0)
    model = model_for(task, width=16)
    model.fit(itertools.islice(task.batches(20), 1500), optimizer=rc.Adam(0.01), clip_norm=1.0)
    assert task.error_rate(model, 1000) < 0.02
    assert model.evaluate(task.sample(1000)).loss < task.baseline.loss / 10
