"""Activations as the theory sees them: f, its slope f', and gamma, the largest slope there is.

Over n steps an activation leaves of a gradient at most the share gamma^n, whatever it is given;
for the sigmoid, 1/4 at best, that is 0.0625 after two and 0.00098 after five
(Pascanu, Mikolov & Bengio 2013).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rnncore.layers.checks import one_of, positive
from rnncore.parameters import Array


class Activation(NamedTuple):
    """A function of one number, with what its gradient can be.

    Attributes
    ----------
    name, formula : str
    f, slope, bend : callable
        f, f' and f'' of an array. Where the relu has none, at 0, they are 0.
    inverse : callable
        Of a number; ValueError where f does not come to it.
    gamma : float
        The largest value of f'.
    """

    name: str
    formula: str
    f: Callable[[Any], Array]
    slope: Callable[[Any], Array]
    bend: Callable[[Any], Array]
    inverse: Callable[[float], float]
    gamma: float


def _sigmoid(a: Any) -> Array:
    e = np.exp(-np.abs(np.asarray(a, np.float64)))  # never overflows, nor cancels
    return np.asarray(np.where(np.asarray(a) < 0, e, 1.0) / (1 + e))


def _sigmoid_slope(a: Any) -> Array:
    """s(a) s(-a), which does not cancel where s is 1."""
    return _sigmoid(a) * _sigmoid(-np.asarray(a, np.float64))


def _sigmoid_bend(a: Any) -> Array:
    return -_sigmoid_slope(a) * np.tanh(0.5 * np.asarray(a, np.float64))  # 1 - 2 s = -tanh(a/2)


def _tanh_slope(a: Any) -> Array:
    """1 / cosh^2, as 4 s(2a) s(-2a), which neither overflows nor cancels."""
    return np.asarray(4 * _sigmoid_slope(2 * np.asarray(a, np.float64)))


def _tanh_bend(a: Any) -> Array:
    return np.asarray(-2 * np.tanh(a) * _tanh_slope(a))


def _relu(a: Any) -> Array:
    return np.asarray(np.maximum(a, 0.0))


def _relu_slope(a: Any) -> Array:
    return (np.asarray(a) > 0).astype(np.float64)


def _zeros(a: Any) -> Array:
    return np.zeros(np.shape(a))


def _relu_inverse(h: float) -> float:
    if h <= 0:
        raise ValueError(f"h is {h:g}, expected a number above 0")
    return h


ACTIVATIONS = {
    row.name: row for row in (
        Activation("sigmoid", "1 / (1 + exp(-a))", _sigmoid, _sigmoid_slope, _sigmoid_bend,
                   lambda h: 2 * math.atanh(2 * h - 1), 0.25),
        Activation("tanh", "tanh(a)", lambda a: np.asarray(np.tanh(a)), _tanh_slope, _tanh_bend,
                   math.atanh, 1.0),
        Activation("relu", "max(a, 0)", _relu, _relu_slope, _zeros, _relu_inverse, 1.0),
        Activation("identity", "a", lambda a: np.asarray(a, np.float64),
                   lambda a: np.ones(np.shape(a)), _zeros, float, 1.0))
}


def activation_named(argument: str, name: Any) -> Activation:
    """The activation of a checked name."""
    return ACTIVATIONS[one_of(argument, name, tuple(ACTIVATIONS))]


@dataclass(frozen=True)
class ActivationTable:
    """What each activation leaves of a gradient; `print` shows it as text.

    Attributes
    ----------
    names, formulas : tuple of str
    gamma : array (4,)
        The largest slope.
    lags : tuple of int
    powers : array (4, lags)
        gamma^n of each lag n.
    """

    names: tuple[str, ...]
    formulas: tuple[str, ...]
    gamma: Array
    lags: tuple[int, ...]
    powers: Array

    def __str__(self) -> str:
        head = ["f", "formula", "gamma", *(f"gamma^{lag}" for lag in self.lags)]
        rows = [[name, formula, f"{gamma:g}", *(f"{power:.3g}" for power in powers)]
                for name, formula, gamma, powers in zip(self.names, self.formulas, self.gamma,
                                                        self.powers, strict=True)]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width
                                   in zip(row, widths, strict=True)).rstrip()
                         for row in [head, *rows])


def activation_table(lags: Sequence[int] = (2, 5, 10, 100)) -> ActivationTable:
    """The largest slope gamma of each activation, and gamma^n over n steps.

    Parameters
    ----------
    lags : sequence of int, default=(2, 5, 10, 100)
        The numbers of steps n.

    Raises
    ------
    TypeError, ValueError
        If a lag is not an integer of at least 1.

    Examples
    --------
    >>> print(activation_table((2, 5)))
    f         formula            gamma  gamma^2  gamma^5
    sigmoid   1 / (1 + exp(-a))  0.25   0.0625   0.000977
    tanh      tanh(a)            1      1        1
    relu      max(a, 0)          1      1        1
    identity  a                  1      1        1
    """
    steps = tuple(positive("lags", lag) for lag in lags)
    rows = ACTIVATIONS.values()
    gamma = np.array([row.gamma for row in rows])
    return ActivationTable(tuple(ACTIVATIONS), tuple(row.formula for row in rows), gamma, steps,
                           gamma[:, None] ** np.array(steps, np.float64))
