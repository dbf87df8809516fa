"""Clipping of gradients, by their norm and by value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from optim_problems import Model

import rnncore as rc
from rnncore.parameters import Parameters


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clip_norm_scales_in_place_and_returns_the_norm_before(dtype):
    grads = np.array([[3.0, 0.0], [0.0, -4.0]], dtype)
    assert rc.clip_norm(grads, 10.0) == 5 and grads.tolist() == [[3, 0], [0, -4]]
    assert rc.clip_norm(grads, math.inf) == 5
    assert rc.clip_norm(grads, 1.0) == 5
    assert_allclose(grads, [[0.6, 0], [0, -0.8]], rtol=1e-6)


def test_clip_norm_is_that_of_pytorch():
    """max_norm / (norm + 1e-6), so that trainings agree to every digit."""
    grads = np.array([3.0, 4.0])
    rc.clip_norm(grads, 1.0)
    assert grads.tolist() == [3 * (1 / (5 + 1e-6)), 4 * (1 / (5 + 1e-6))]


def test_an_exploding_float32_gradient_has_its_true_norm():
    grads = np.full(100, 1e29, np.float32)
    assert rc.clip_norm(grads, 1.0) == pytest.approx(1e30, rel=1e-6)
    assert_allclose(grads, 0.1, rtol=1e-5)


def test_clip_norm_of_zero_and_of_nothing():
    assert rc.clip_norm(np.zeros(3), 1.0) == 0 and rc.clip_norm(np.zeros(0), 1.0) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_policies_for_gradients_that_are_not_finite(bad):
    grads = np.array([3.0, bad, 4.0])
    with pytest.raises(FloatingPointError, match="gradient of grads is not finite in 1 of 3"):
        rc.clip_norm(grads, 1.0)
    tensors = Parameters({"a": (1,), "b": (2,)}, np.float64)
    with pytest.raises(FloatingPointError, match="gradient of b is not finite in 1 of 2 elem"):
        rc.clip_norm(grads, 1.0, tensors=tensors)
    assert not math.isfinite(rc.clip_norm(grads, 1.0, on_nonfinite="skip"))
    np.testing.assert_array_equal(grads, [3, bad, 4])
    assert rc.clip_norm(grads, 1.0, on_nonfinite="zero") == 5
    assert_allclose(grads, [0.6, 0, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ("grads", "max_norm", "policy", "error", "message"),
    [
        (np.ones(2), 0.0, "raise", ValueError, "max_norm is 0.0, expected a number above 0"),
        (np.ones(2), math.nan, "raise", ValueError, "max_norm is nan"),
        (np.ones(2), 1.0, "stop", ValueError, "on_nonfinite is 'stop', expected raise, skip"),
        (np.ones(2, int), 1.0, "raise", TypeError, "grads has dtype int64, expected float32"),
        (np.ones((2, 3)).T, 1.0, "raise", ValueError, "not a writable C-contiguous array"),
        (Model().tensors.values, 1.0, "raise", ValueError, "not a writable C-contiguous array"),
    ],
)
def test_clip_norm_refuses(grads, max_norm, policy, error, message):
    with pytest.raises(error, match=message):
        rc.clip_norm(grads, max_norm, policy)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clip_value_clips_each_element_and_returns_the_largest_before(dtype):
    grads = np.array([[3.0, -0.5], [0.0, -4.0]], dtype)
    assert rc.clip_value(grads, 4.0) == 4 and grads.tolist() == [[3, -0.5], [0, -4]]
    assert rc.clip_value(grads, math.inf) == 4
    assert rc.clip_value(grads, 1.0) == 4 and grads.tolist() == [[1, -0.5], [0, -1]]
    assert rc.clip_value(np.zeros(0, dtype), 1.0) == 0


def test_clip_value_clips_infinities_as_any_other_element():
    grads = np.array([math.inf, 0.5, -math.inf])
    assert rc.clip_value(grads, 2.0) == math.inf and grads.tolist() == [2, 0.5, -2]


def test_policies_of_clip_value_for_nan():
    grads = np.array([3.0, math.nan, -math.inf])
    with pytest.raises(FloatingPointError, match="gradient of grads is NaN in 1 of 3 elements"):
        rc.clip_value(grads, 1.0)
    tensors = Parameters({"a": (1,), "b": (2,)}, np.float64)
    with pytest.raises(FloatingPointError, match="gradient of b is NaN in 1 of 2 elements"):
        rc.clip_value(grads, 1.0, tensors=tensors)
    assert math.isnan(rc.clip_value(grads, 1.0, on_nonfinite="skip"))
    np.testing.assert_array_equal(grads, [3, math.nan, -math.inf])
    assert rc.clip_value(grads, 1.0, on_nonfinite="zero") == math.inf
    assert grads.tolist() == [1, 0, -1]


@pytest.mark.parametrize(
    ("grads", "limit", "policy", "error", "message"),
    [
        (np.ones(2), 0.0, "raise", ValueError, "limit is 0.0, expected a number above 0"),
        (np.ones(2), math.nan, "raise", ValueError, "limit is nan"),
        (np.ones(2), 1.0, "stop", ValueError, "on_nonfinite is 'stop', expected raise, skip"),
        (np.ones(2, int), 1.0, "raise", TypeError, "grads has dtype int64, expected float32"),
        (np.ones((2, 3)).T, 1.0, "raise", ValueError, "not a writable C-contiguous array"),
    ],
)
def test_clip_value_refuses(grads, limit, policy, error, message):
    with pytest.raises(error, match=message):
        rc.clip_value(grads, limit, policy)


def test_the_norm_of_the_least_denormals():
    assert rc.clip_norm(np.array([0.0, 5e-324]), 1.0) == 5e-324
