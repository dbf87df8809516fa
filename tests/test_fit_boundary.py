"""Wrong arguments of fit and evaluate are refused by name and change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from small import F64, C, K, make, same, train

import rnncore as rc

T, B = 6, 5
GOOD = np.zeros((T, B, K)), np.zeros((T, B), int)
BAD = np.zeros((T, B, K)), np.full((T, B), C)

@pytest.fixture
def rng():
    return np.random.default_rng(0)


def arrays(rng):
    return rng.standard_normal((T, B, K)), rng.integers(0, C, (T, B))


class Stream:
    """Batches that can be gone through again and again."""

    def __init__(self, *batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (BAD, {}, ValueError, "data: target holds 3, expected values from 0 to 2"),
        (GOOD, {"valid": BAD}, ValueError, "valid: target holds 3"),
        ((GOOD[0][:, :, 0], GOOD[1]), {}, ValueError, r"data: x has shape \(6, 5\), expected"),
        ((GOOD[0], GOOD[1], [7] * B), {}, ValueError, r"data: lengths\[0\] is 7, expected 0"),
        ((*GOOD, None, None, None, None), {}, ValueError, "data is of type tuple, expected a"),
        ([], {}, ValueError, "data is empty, expected at least one sequence or batch"),
        ([(GOOD[0][:, 0], GOOD[1][:, 0]), (GOOD[0][:, 0], BAD[1][:, 0])], {}, ValueError,
         r"data\[1\]: target holds 3"),
        ([GOOD, BAD], {}, ValueError, r"data\[1\]: target holds 3"),
        ([3], {}, ValueError, r"data\[0\] is of type int, expected a tuple \(x, y\), \(x, y"),
        ([(GOOD[0][:, 0], GOOD[1][:, 0], None, np.ones(T, bool))], {}, ValueError,
         r"data has a mask or resets, expected sequences \(x_i, y_i\)"),
        (GOOD[0], {}, TypeError, r"data is of type ndarray, expected arrays \(x, y\), a list"),
        (7, {}, TypeError, "data is of type int"),
        (iter([GOOD]), {"epochs": 2}, ValueError, "data is an iterator, used up by the first"),
        (GOOD, {"valid": iter([GOOD]), "epochs": 2}, ValueError, "valid is an iterator"),
        (GOOD, {"epochs": -1}, ValueError, "epochs is -1, expected at least 0"),
        (GOOD, {"epochs": 1.5}, TypeError, "epochs is 1.5, expected an integer"),
        (GOOD, {"batch_size": 0}, ValueError, "batch_size is 0, expected at least 1"),
        (GOOD, {"tbptt": 0}, ValueError, "tbptt is 0, expected at least 1"),
        (GOOD, {"clip_norm": 0.0}, ValueError, "max_norm is 0.0, expected a number above 0"),
        (GOOD, {"on_nonfinite": "stop"}, ValueError, "on_nonfinite is 'stop', expected raise"),
        (GOOD, {"optimizer": "adam"}, TypeError, "optimizer is of type str, expected an"),
    ],
)
def test_wrong_arguments_change_nothing(data, options, error, message):
    model, other = make(), make()
    with pytest.raises(error, match=message):
        model.fit(data, **options)
    assert same(model, other) and (model.grads == 0).all()


def test_an_optimizer_of_another_model_is_refused(rng):
    optimizer, data = rc.Adam(), arrays(rng)
    make().fit(data, optimizer=optimizer)
    other = rc.Model([rc.GRU(K, C, dtype=F64)], "cross_entropy")
    with pytest.raises(ValueError, match="the optimizer belongs to another model"):
        other.fit(data, optimizer=optimizer)


def test_truncation_needs_a_target_at_every_step_and_one_direction(rng):
    x, y = arrays(rng)
    with pytest.raises(ValueError, match="tbptt is 2, expected None for a model with Last or"):
        make(last=True).fit((x, y[0]), tbptt=2)
    both = rc.Model([rc.RNN(K, C, bidirectional=True, dtype=F64)], "mse")
    with pytest.raises(ValueError, match="tbptt is 2, expected None"):
        both.fit((x, np.zeros((T, B, 2 * C))), tbptt=2)


def test_a_bad_batch_of_an_iterable_is_named_when_it_comes(rng):
    model, other = make(), make()
    x, y = arrays(rng)
    with pytest.raises(ValueError, match="batch 1: target holds 3"):
        model.fit(Stream((x, y), BAD), optimizer=rc.SGD(0.1))
    train(other, [(x, y)], rc.SGD(0.1))
    assert same(model, other)


def test_evaluate_refuses_too(rng):
    with pytest.raises(ValueError, match="data: target holds 3"):
        make().evaluate(BAD)
    with pytest.raises(ValueError, match="batch_size is 0"):
        make().evaluate(GOOD, batch_size=0)
