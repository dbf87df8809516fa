"""Losses of raw outputs: mean squared error, cross-entropy, Kullback-Leibler, Bernoulli.

A loss is `sum over steps of weight * loss of the step`. The weights, one number per step,
carry the reduction, the mask and the lengths: the step's own weight (1 unless the mask says
otherwise), over the sum of all for a mean, and 0 where a step does not count. What lies under
a weight of 0 is never read, be it NaN.

With z the outputs of one step, t its target and LSE(z) = log sum_k exp(z_k):

    mse             sum_k (z_k - t_k)^2, and 1/K in the weights of a mean  2 (z - t)
    cross_entropy   sum_k t_k (LSE(z) - z_k)                 sum(t) softmax(z) - t
    kl              sum_k t_k (log t_k + LSE(z) - z_k)       sum(t) softmax(z) - t
    bernoulli       sum_k max(z_k, 0) - t_k z_k + log(1 + exp(-|z_k|))   sigmoid(z) - t

An integer target of the cross-entropy is the index of the one t_k that is 1. Logarithms
are natural. Values are summed in float64, over time exactly, so that no cut through time
changes a bit. Steps are worked off in blocks that stay in cache: beside the gradient nothing
of the size of the outputs is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rnncore.parameters import Array
from rnncore.sums import blocks, exact_sum, per_step

LossFunction = Callable[[Array, Array, Array], tuple[float, Array]]


class Loss:
    """What the losses share: checks, weights, blocks of steps. `get_loss` makes them."""

    name = ""
    per_element = False  # whether a mean is over elements, not steps
    integers = ""  # the NumPy kinds of integers that targets may have ...
    classes = False  # ... and whether an integer is the index of a class
    limits = (-math.inf, math.inf)  # of the elements of a target

    def check(self, shape: tuple[int, ...], dtype: np.dtype[Any], target: Array,
              valid: Array | None) -> None:
        """Refuse a target that does not fit outputs of `shape` (..., K) where `valid` (...)."""
        if target.dtype != dtype and target.dtype.kind not in self.integers:
            raise TypeError(f"target has dtype {target.dtype}, expected {dtype}: cast it with "
                            f"target.astype(np.{dtype})")
        classes = self.classes and target.dtype != dtype
        expected = shape[:-1] if classes else shape
        if target.shape != expected:
            raise ValueError(f"target has shape {target.shape}, expected {expected}"
                             f"{' of classes' if classes else ''}")
        _check_range(target, (0, shape[-1] - 1) if classes else self.limits, valid)

    def weights(self, shape: tuple[int, ...], valid: Array | None, reduction: str) -> Array:
        """The weights (...), float64, of outputs (..., K); `valid` are the steps' own."""
        weights = np.ones(shape[:-1]) if valid is None else valid.astype(np.float64)
        if reduction == "mean":
            total = weights.sum() * (shape[-1] if self.per_element else 1)
            weights /= total if total > 0 else 1  # an empty mean is 0
        return weights

    def __call__(self, output: Array, target: Array, weights: Array) -> tuple[float, Array]:
        """The value and its gradient for outputs (..., K) and weights (...)."""
        terms, gradient = self.terms(output, target, weights)
        return exact_sum(terms), gradient

    def terms(self, output: Array, target: Array, weights: Array) -> tuple[Array, Array]:
        """What each index of the first axis adds to the value, (T,), and the gradient."""
        gradient = np.empty(output.shape, output.dtype)
        flat, losses = gradient.reshape(-1, output.shape[-1]), np.empty(weights.size)
        for rows, z, t, w in blocks(output, target, weights):
            losses[rows] = self._weighted(z, t, w, flat[rows])
        return per_step(losses, weights), gradient

    def value(self, output: Array, target: Array, weights: Array) -> float:
        """The value alone."""
        losses = np.empty(weights.size)
        for rows, z, t, w in blocks(output, target, weights):
            losses[rows] = self._weighted(z, t, w, np.empty_like(z))
        return exact_sum(per_step(losses, weights))

    def predict(self, output: Array) -> Array:
        """Predictions from raw outputs, which may be overwritten."""
        return output

    def correct(self, output: Array, target: Array, valid: Array | None) -> float | None:
        """How many steps are predicted right; None where that has no meaning."""
        return None

    def _weighted(self, z: Array, t: Array, w: Array, gradient: Array) -> Array:
        """Fill `gradient` (N, K) of a block of steps; return their weighted losses (N,)."""
        dead = w == 0
        if t.ndim == 1:
            t = np.where(dead, 0, t)  # any class will do, but it must be one
        # An output that has exploded shows in the value, which the caller looks at.
        with np.errstate(over="ignore", invalid="ignore"):
            losses = self._rows(z, t, w, gradient)
        losses[dead] = 0
        gradient[dead] = 0
        losses *= w
        return losses

    def _rows(self, z: Array, t: Array, w: Array, gradient: Array) -> Array:
        """Fill the weighted gradient (N, K); return the unweighted losses (N,), float64."""
        raise NotImplementedError


class MeanSquaredError(Loss):
    """(z - t)^2, the mean over elements."""

    name = "mse"
    per_element = True

    def _rows(self, z: Array, t: Array, w: Array, gradient: Array) -> Array:
        np.subtract(z, t, out=gradient)
        # Squared in float64: an exploded float32 output has a true, finite loss.
        losses: Array = np.square(gradient, dtype=np.float64).sum(axis=1)
        gradient *= _column(2 * w, gradient)
        return losses


class CrossEntropy(Loss):
    """-log softmax(z) at the target: integer classes (...), or soft targets (..., K)."""

    name = "cross_entropy"
    integers, classes = "iu", True

    def predict(self, output: Array) -> Array:
        output -= output.max(axis=-1, keepdims=True)
        np.exp(output, out=output)
        output /= output.sum(axis=-1, keepdims=True)
        return output

    def correct(self, output: Array, target: Array, valid: Array | None) -> float | None:
        if target.ndim == output.ndim:
            return None
        right = output.argmax(axis=-1) == target
        return float(np.count_nonzero(right if valid is None else right & (valid > 0)))

    def _rows(self, z: Array, t: Array, w: Array, gradient: Array) -> Array:
        np.subtract(z, z.max(axis=1, keepdims=True), out=gradient)
        losses, mass = np.zeros(len(t)), np.ones(len(t))
        if t.ndim == 1:
            rows = np.arange(len(t))
            losses -= gradient[rows, t]
        else:
            losses -= np.multiply(t, gradient, dtype=np.float64).sum(axis=1)
            mass = t.sum(axis=1, dtype=np.float64)
        np.exp(gradient, out=gradient)
        total = gradient.sum(axis=1, dtype=np.float64)
        losses += mass * np.log(total)
        gradient *= _column(w * mass / total, gradient)
        if t.ndim == 1:
            gradient[rows, t] -= w
        else:
            gradient -= t * _column(w, gradient)
        return losses


class KullbackLeibler(CrossEntropy):
    """KL(t | softmax(z)) of soft targets (..., K); 0 log 0 is 0."""

    name = "kl"
    integers, classes = "", False
    limits = (0, math.inf)

    def _rows(self, z: Array, t: Array, w: Array, gradient: Array) -> Array:
        positive = np.where(t > 0, t, 1)
        negative_entropy = (positive * np.log(positive)).sum(axis=1, dtype=np.float64)
        losses: Array = super()._rows(z, t, w, gradient) + negative_entropy
        return losses


class Bernoulli(Loss):
    """-log of independent probabilities sigmoid(z), summed over features.

    Targets in [0, 1], of the dtype of the outputs, boolean or integers.
    """

    name = "bernoulli"
    integers = "biu"
    limits = (0, 1)

    def predict(self, output: Array) -> Array:
        probability: Array = np.exp(-np.abs(output))
        _sigmoid_from(probability, output)
        return probability

    def correct(self, output: Array, target: Array, valid: Array | None) -> float | None:
        """The share of features on their side of 1/2, summed over steps."""
        right = ((output > 0) == (target > 0.5)).mean(axis=-1)
        return float(np.sum(right, where=True if valid is None else valid > 0))

    def _rows(self, z: Array, t: Array, w: Array, gradient: Array) -> Array:
        np.exp(-np.abs(z), out=gradient)  # e = exp(-|z|), never above 1
        losses: Array = (np.maximum(z, 0) - t * z).sum(axis=1, dtype=np.float64)
        losses += np.log1p(gradient).sum(axis=1, dtype=np.float64)
        _sigmoid_from(gradient, z)
        gradient -= t
        gradient *= _column(w, gradient)
        return losses


class CustomLoss(Loss):
    """A user's function as a loss; see `get_loss`."""

    name = "custom"

    def __init__(self, function: LossFunction) -> None:
        self.function = function

    def check(self, shape: tuple[int, ...], dtype: np.dtype[Any], target: Array,
              valid: Array | None) -> None:
        """Refuse a target without the axes of the steps; the function knows the others."""
        if target.shape[: len(shape) - 1] != shape[:-1]:
            steps = ", ".join(map(str, shape[:-1]))
            raise ValueError(f"target has shape {target.shape}, expected ({steps}, ...)")

    def terms(self, output: Array, target: Array, weights: Array) -> tuple[Array, Array]:
        value, gradient = self.function(output, target, weights)
        gradient = np.ascontiguousarray(gradient, output.dtype)
        if gradient.shape != output.shape:
            raise ValueError(f"gradient of the loss has shape {gradient.shape}, expected "
                             f"{output.shape}")
        return np.array([value], np.float64), gradient

    def value(self, output: Array, target: Array, weights: Array) -> float:
        return self(output, target, weights)[0]


_LOSSES: tuple[type[Loss], ...] = (MeanSquaredError, CrossEntropy, KullbackLeibler, Bernoulli)


def get_loss(loss: str | LossFunction | Loss) -> Loss:
    """Return the loss of a name, or make one of a function.

    Parameters
    ----------
    loss : "mse", "cross_entropy", "kl", "bernoulli" or callable
        A callable is `loss(output, target, weights) -> (value, gradient)`, with the raw
        outputs (..., K), the target as it was given, and one weight (...) per step, as at the
        top of this page. The value is the weighted sum over steps, a number; the gradient is
        its derivative by the outputs, of their shape.

    Raises
    ------
    ValueError
        If there is no loss of that name.

    Examples
    --------
    >>> def absolute(output, target, weights):
    ...     difference, w = output - target, weights[..., None]
    ...     return (w * abs(difference)).sum(), w * np.sign(difference)
    >>> value, gradient = get_loss(absolute)(np.ones((2, 1)), np.zeros((2, 1)), np.full(2, 0.5))
    >>> value, gradient.ravel()
    (1.0, array([0.5, 0.5]))
    """
    if isinstance(loss, Loss):
        return loss
    if callable(loss):
        return CustomLoss(loss)
    for known in _LOSSES:
        if known.name == loss:
            return known()
    names = ", ".join(repr(known.name) for known in _LOSSES)
    raise ValueError(f"loss is {loss!r}, expected {names} or a callable")


def _sigmoid_from(e: Array, z: Array) -> None:
    """Turn e = exp(-|z|) into sigmoid(z), in place: 1 / (1 + e), or e / (1 + e) if z < 0."""
    denominator = 1 + e
    np.maximum(e, z >= 0, out=e)  # e is at most 1
    e /= denominator


def _column(weights: Array, like: Array) -> Array:
    """Weights (N,) as a column (N, 1) of the dtype of `like`."""
    return weights.astype(like.dtype)[:, None]


def _check_range(target: Array, limits: tuple[float, float], valid: Array | None) -> None:
    """Refuse values outside of the limits at the valid steps."""
    low, high = limits
    if low == -math.inf or target.size == 0 or (target.min() >= low and target.max() <= high):
        return
    counted = target if valid is None else target[valid]
    bad = counted[~((counted >= low) & (counted <= high))]
    if bad.size:
        expected = f"{low} to {high}" if high < math.inf else f"{low} or more"
        raise ValueError(f"target holds {bad[0]}, expected values from {expected}")
