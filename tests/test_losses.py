"""Losses: values against loops over elements, gradients against central differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rnncore import sums
from rnncore.losses import get_loss

T, B, K = 5, 3, 4
NAMES = ["mse", "cross_entropy", "soft", "kl", "bernoulli"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make(name, rng, dtype=np.float64):
    """Outputs, a target and the loss; "soft" is the cross-entropy of soft targets."""
    z = (3 * rng.standard_normal((T, B, K))).astype(dtype)
    if name == "mse":
        target = rng.standard_normal((T, B, K))
    elif name == "cross_entropy":
        return z, rng.integers(0, K, (T, B)), get_loss(name)
    elif name == "bernoulli":
        target = rng.random((T, B, K))
    else:
        target = rng.dirichlet(np.ones(K), (T, B))
        target[0, 0] = np.eye(K)[1]  # zeros, whose logarithm must not be taken
    return z, target.astype(dtype), get_loss("cross_entropy" if name == "soft" else name)


def loop(name, z, target, valid, reduction):
    """The loss straight from its definition, one element after the other."""
    total, count = 0.0, 0
    for t in range(T):
        for b in range(B):
            if not valid[t, b]:
                continue
            count += 1
            p = [math.exp(v) for v in z[t, b]]
            p = [v / sum(p) for v in p]
            for k in range(K):
                y = target[t, b] == k if name == "cross_entropy" else target[t, b, k]
                if name == "mse":
                    total += (z[t, b, k] - y) ** 2 / (K if reduction == "mean" else 1)
                elif name == "bernoulli":
                    q = 1 / (1 + math.exp(-z[t, b, k]))
                    total -= y * math.log(q) + (1 - y) * math.log(1 - q)
                elif y:
                    total += y * ((math.log(y) if name == "kl" else 0) - math.log(p[k]))
    return total / max(count, 1) if reduction == "mean" else total


def valid_steps(kind, rng):
    if kind == "mask":
        return rng.random((T, B)) < 0.6
    if kind == "lengths":
        return np.arange(T)[:, None] < np.array([5, 0, 3])
    return np.zeros((T, B), bool) if kind == "none" else None


@pytest.mark.parametrize("kind", ["all", "mask", "lengths", "none"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient(name, reduction, kind, rng):
    z, target, loss = make(name, rng)
    valid = valid_steps(kind, rng)
    weights = loss.weights(z.shape, valid, reduction)
    value, gradient = loss(z, target, weights)
    counted = np.ones((T, B), bool) if valid is None else valid
    assert value == pytest.approx(loop(name, z, target, counted, reduction), rel=1e-13)
    assert loss.value(z, target, weights) == value
    assert gradient.shape == z.shape and gradient.dtype == z.dtype
    assert (gradient[~counted] == 0).all()
    for index in np.ndindex(z.shape):
        step = np.zeros_like(z)
        step[index] = 1e-5
        up, down = (loss.value(z + s, target, weights) for s in (step, -step))
        assert gradient[index] == pytest.approx((up - down) / 2e-5, abs=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_float64_rounded(name, rng):
    z, target, loss = make(name, rng, np.float32)
    weights = loss.weights(z.shape, None, "mean")
    value, gradient = loss(z, target, weights)
    exact_target = target if target.dtype.kind == "i" else target.astype(np.float64)
    exact, exact_gradient = loss(z.astype(np.float64), exact_target, weights)
    assert gradient.dtype == np.float32
    assert value == pytest.approx(exact, rel=1e-6)
    np.testing.assert_allclose(gradient, exact_gradient, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_under_the_mask_is_read(name, rng):
    z, target, loss = make(name, rng)
    valid = valid_steps("mask", rng)
    weights = loss.weights(z.shape, valid, "mean")
    value, gradient = loss(z, target, weights)
    z[~valid] = np.nan
    target[~valid] = -100 if target.dtype.kind == "i" else np.nan
    loss.check(z.shape, z.dtype, target, valid)
    again, same = loss(z, target, weights)
    assert again == value and (same == gradient).all()


@pytest.mark.parametrize("name", NAMES)
def test_blocks_change_nothing(name, rng, monkeypatch):
    z, target, loss = make(name, rng)
    weights = loss.weights(z.shape, None, "mean")
    value, gradient = loss(z, target, weights)
    monkeypatch.setattr(sums, "_BLOCK", 2 * K + 1)
    again, same = loss(z, target, weights)
    assert again == pytest.approx(value, rel=1e-15) and (same == gradient).all()


@pytest.mark.parametrize("shape", [(0, B, K), (T, 0, K)])
@pytest.mark.parametrize("name", NAMES)
def test_no_steps_at_all(name, shape, rng):
    z, target, loss = make(name, rng)
    z, target = np.zeros(shape), np.zeros(shape[: target.ndim], target.dtype)
    loss.check(shape, z.dtype, target, None)
    value, gradient = loss(z, target, loss.weights(shape, None, "mean"))
    assert value == 0 and gradient.shape == shape


def test_large_logits_overflow_nothing():
    z = np.array([[1e4, -1e4, 0.0]], np.float32)
    one = np.ones(1)
    value, gradient = get_loss("cross_entropy")(z, np.array([1]), one)
    assert value == 2e4 and gradient.tolist() == [[1, -1, 0]]
    value, gradient = get_loss("bernoulli")(z, np.array([[0, 1, 1]]), one)
    assert value == pytest.approx(2e4 + math.log(2)) and gradient.tolist() == [[1, -1, -0.5]]
    value, gradient = get_loss("mse")(np.full((1, 1), 1e30, np.float32),
                                      np.zeros((1, 1), np.float32), one)
    assert value == pytest.approx(1e60, rel=1e-6) and gradient[0, 0] == np.float32(2e30)


def test_small_probabilities_keep_their_digits():
    z = np.array([[-50.0]], np.float32)
    value, gradient = get_loss("bernoulli")(z, np.zeros((1, 1), np.float32), np.ones(1))
    assert value == pytest.approx(math.exp(-50), rel=1e-6)
    assert gradient[0, 0] == pytest.approx(math.exp(-50), rel=1e-6)


def test_many_small_float32_losses_are_summed_in_float64():
    z = np.full((1000, 1000, 1), 1e-3, np.float32)
    value = get_loss("mse").value(z, np.zeros_like(z), np.ones(z.shape[:2]))
    assert value == pytest.approx(1e6 * float(np.float32(1e-3)) ** 2, rel=1e-12)


def test_soft_targets_of_any_mass_and_zero_entropy(rng):
    z, target, loss = make("soft", rng)
    one = np.ones((T, B))
    assert loss.value(z, 2 * target, one) == pytest.approx(2 * loss.value(z, target, one))
    kl = get_loss("kl")
    p = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    value, gradient = kl(z, p, one)
    assert value == pytest.approx(0, abs=1e-12) and np.abs(gradient).max() < 1e-15


def test_a_non_finite_output_gives_a_non_finite_loss():
    for name, target in [("mse", np.zeros((1, 2))), ("cross_entropy", np.array([0])),
                         ("kl", np.full((1, 2), 0.5)), ("bernoulli", np.zeros((1, 2)))]:
        for bad in (np.nan, np.inf):
            assert not math.isfinite(get_loss(name).value(np.array([[bad, 1.0]]), target,
                                                          np.ones(1)))


def test_predictions():
    z = np.array([[1e4, 0.0, 1e4]])
    assert get_loss("cross_entropy").predict(z.copy()).tolist() == [[0.5, 0, 0.5]]
    assert get_loss("kl").predict(z.copy()).tolist() == [[0.5, 0, 0.5]]
    assert get_loss("bernoulli").predict(np.array([[-1e4, 0.0, 1e4]])).tolist() == [[0, 0.5, 1]]
    assert get_loss("mse").predict(z) is z


def test_what_is_right():
    z = np.array([[[0.0, 1.0]], [[1.0, 0.0]], [[2.0, 1.0]]])
    classes = np.array([[1], [1], [0]])
    ce = get_loss("cross_entropy")
    assert ce.correct(z, classes, None) == 2
    assert ce.correct(z, classes, np.array([[True], [True], [False]])) == 1
    assert ce.correct(z, np.full((3, 1, 2), 0.5), None) is None
    assert get_loss("bernoulli").correct(z, np.ones((3, 1, 2)), None) == 0.5 + 0.5 + 1
    assert get_loss("bernoulli").correct(z, z > 0, np.zeros((3, 1), bool)) == 0
    assert get_loss("mse").correct(z, z, None) is None


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int64])
def test_bernoulli_takes_integers_as_they_are(kind, rng):
    z = rng.standard_normal((T, B, K)).astype(np.float32)
    target = rng.random((T, B, K)) < 0.5
    loss, one = get_loss("bernoulli"), np.ones((T, B))
    value, gradient = loss(z, target.astype(kind), one)
    expected, same = loss(z, target.astype(np.float32), one)
    assert value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient, same, rtol=1e-6)


SHAPE, F32, F64 = (T, B, K), np.dtype(np.float32), np.dtype(np.float64)


@pytest.mark.parametrize(
    ("name", "target", "error", "message"),
    [
        ("mse", np.zeros(SHAPE), TypeError, r"target has dtype float64, expected float32"),
        ("mse", np.zeros(SHAPE, int), TypeError, "target has dtype int64, expected float32"),
        ("mse", np.zeros((T, B), F32), ValueError, r"shape \(5, 3\), expected \(5, 3, 4\)"),
        ("kl", np.zeros((T, B), int), TypeError, "target has dtype int64, expected float32"),
        ("kl", np.full(SHAPE, -1, F32), ValueError, "target holds -1.0, expected values from"),
        ("cross_entropy", np.full((T, B), K), ValueError, "holds 4, expected values from 0 to"),
        ("cross_entropy", np.full((T, B), -1), ValueError, "target holds -1, expected values"),
        ("cross_entropy", np.zeros(SHAPE, int), ValueError, r"expected \(5, 3\) of classes"),
        ("cross_entropy", np.zeros((T, B), F32), ValueError, r"expected \(5, 3, 4\)"),
        ("cross_entropy", np.zeros((T, B), bool), TypeError, "target has dtype bool"),
        ("cross_entropy", np.zeros(SHAPE), TypeError, "target has dtype float64"),
        ("bernoulli", np.full(SHAPE, 2), ValueError, "target holds 2, expected values from 0"),
        ("bernoulli", np.full(SHAPE, np.nan, F32), ValueError, "target holds nan"),
        ("bernoulli", np.zeros(SHAPE), TypeError, "target has dtype float64, expected float32"),
        ("bernoulli", np.zeros((T, B, 1), F32), ValueError, r"target has shape \(5, 3, 1\)"),
    ],
)
def test_targets_that_do_not_fit(name, target, error, message):
    with pytest.raises(error, match=message):
        get_loss(name).check(SHAPE, F32, target, None)


def absolute(output, target, weights):
    w = weights[..., None]
    return np.sum(w * np.abs(output - target)), w * np.sign(output - target)


def test_a_function_as_a_loss(rng):
    loss = get_loss(absolute)
    z, target = rng.standard_normal((2, T, B, K))
    weights = loss.weights(z.shape, None, "mean")
    value, gradient = loss(z, target, weights)
    assert value == pytest.approx(np.abs(z - target).sum(axis=-1).mean())
    assert loss.value(z, target, weights) == value and isinstance(value, float)
    assert gradient.dtype == z.dtype and get_loss(loss) is loss


def test_a_function_must_give_a_gradient_of_the_outputs():
    loss = get_loss(lambda output, target, weights: (0.0, np.zeros(3)))
    with pytest.raises(ValueError, match=r"gradient of the loss has shape \(3,\), expected"):
        loss(np.zeros((1, 2)), np.zeros((1, 2)), np.ones(1))
    with pytest.raises(ValueError, match=r"target has shape \(2,\), expected \(5, 3, ...\)"):
        loss.check(SHAPE, F64, np.zeros(2), None)


def test_an_unknown_name():
    with pytest.raises(ValueError, match="loss is 'l2', expected 'mse', 'cross_entropy', 'kl'"):
        get_loss("l2")
