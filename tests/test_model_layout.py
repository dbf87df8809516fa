"""What goes into a model: padding, empty and single sequences, symbols, the order of axes."""

from __future__ import annotations

import numpy as np
import pytest
from small import F64, C, H, K, make, numeric_gradient

import rnncore as rc

T, B = 5, 3


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def inputs(rng, dtype=F64):
    return rng.standard_normal((T, B, K)).astype(dtype), rng.integers(0, C, (T, B))


@pytest.mark.parametrize("linear_first", [False, True])
def test_padding_never_changes_a_result(linear_first, rng):
    model = make()
    if linear_first:
        model = rc.Model([rc.Linear(K, K, dtype=F64), rc.LSTM(K, H, dtype=F64),
                          rc.Linear(H, C, dtype=F64)], "cross_entropy", seed=0)
    x, target = inputs(rng)
    loss, _ = model.loss_and_grad(x[:3, :1], target[:3, :1])
    gradient = model.grads.copy()
    x[3:, 0], target[3:, 0] = np.nan, -100
    again, _ = model.loss_and_grad(x[:, :1], target[:, :1], lengths=[3])
    assert again == pytest.approx(loss, rel=1e-14)
    np.testing.assert_allclose(model.grads, gradient, rtol=1e-12, atol=1e-15)
    assert (model.infer(x[:, :1], lengths=[3])[0][3:] == 0).all()
    assert (model.predict(x[:, :1], lengths=[3])[3:] == 0).all()


def test_nothing_to_learn_from_is_zero(rng):
    model = make()
    x, target = inputs(rng)
    for extra in ({"lengths": [0, 0, 0]}, {"mask": np.zeros((T, B), bool)}):
        model.grads[:] = 1
        assert model.loss_and_grad(x, target, **extra)[0] == 0
        assert (model.grads == 0).all()
    assert model.loss_and_grad(x[:0], target[:0])[0] == 0
    assert model.loss_and_grad(x[:, :0], target[:, :0])[0] == 0


def test_batch_first_is_the_same_in_another_order(rng):
    model, other = make(), make(batch_first=True)
    x, target = inputs(rng)
    extra = {"lengths": [5, 0, 3]}
    mask = rng.random((T, B)) < 0.7
    loss, state = model.loss_and_grad(x, target, mask=mask, **extra)
    again, same = other.loss_and_grad(x.swapaxes(0, 1), target.T, mask=mask.T, **extra)
    assert again == loss and (other.grads == model.grads).all()
    np.testing.assert_array_equal(same[0][0], state[0][0])
    for run in ("forward", "infer"):
        y, _ = getattr(other, run)(x.swapaxes(0, 1), **extra)
        np.testing.assert_array_equal(y.swapaxes(0, 1), model.infer(x, **extra)[0])
    np.testing.assert_array_equal(other.predict(x.swapaxes(0, 1), **extra).swapaxes(0, 1),
                                  model.predict(x, **extra))
    model.forward(x)
    other.forward(x.swapaxes(0, 1))
    dy = rng.standard_normal((T, B, C))
    np.testing.assert_array_equal(other.backward(dy.swapaxes(0, 1))[0].swapaxes(0, 1),
                                  model.backward(dy)[0])


def test_batch_first_with_a_target_per_sequence(rng):
    model, other = make(last=True), make(last=True, batch_first=True)
    x, target = inputs(rng)
    mask = np.array([True, False, True])
    args = {"lengths": [5, 1, 3], "mask": mask}
    assert (model.loss_and_grad(x, target[0], **args)[0]
            == other.loss_and_grad(x.swapaxes(0, 1), target[0], **args)[0])
    assert other.predict(x.swapaxes(0, 1)).shape == (B, C)


def test_one_sequence_needs_no_batch_axis(rng):
    model = make()
    x, target = inputs(rng)
    loss, state = model.loss_and_grad(x[:, 0], target[:, 0])
    assert loss == pytest.approx(model.loss_and_grad(x[:, :1], target[:, :1])[0])
    assert model.infer(x[:, 0])[0].shape == (T, C) and state[0][0].shape == (1, H)
    last = make(last=True)
    assert last.predict(x[:, 0]).shape == (C,)
    assert last.loss_and_grad(x[:, 0], 1)[0] > 0


def test_symbols_go_in_through_an_embedding(rng):
    model = rc.Model([rc.Embedding(6, K, dtype=F64), rc.GRU(K, H, dtype=F64),
                      rc.Linear(H, C, dtype=F64)], "cross_entropy", seed=0)
    x, target = rng.integers(0, 6, (T, B)), rng.integers(0, C, (T, B))
    expected = numeric_gradient(model, x, target)
    model.loss_and_grad(x, target)
    np.testing.assert_allclose(model.grads, expected, atol=1e-8)


def test_a_feed_forward_net(rng):
    model = rc.Model([rc.Linear(K, H, activation="tanh", dtype=F64),
                      rc.Linear(H, 1, dtype=F64)], seed=0)
    x, target = rng.standard_normal((20, K)), rng.standard_normal((20, 1))
    expected = numeric_gradient(model, x, target)
    loss, state = model.loss_and_grad(x, target)
    np.testing.assert_allclose(model.grads, expected, atol=1e-8)
    assert loss == pytest.approx(((model.infer(x)[0] - target) ** 2).mean())
    assert state == [None, None]
