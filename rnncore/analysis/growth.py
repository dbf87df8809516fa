"""How derivatives of a unit's state grow: C alpha^t along the exploding direction v.

When gradients explode there is a direction v and an alpha above 1 such that the derivative
along v is at least C alpha^t; the curvature v'Hv explodes too then, and the error has a wall
(Pascanu, Mikolov & Bengio 2013, section 2.3). Of the linear unit h_t = w h_{t-1} all is known:

    h_t = h_0 w^t    dh_t/dw = t h_0 w^(t-1)    d2h_t/dw2 = t (t-1) h_0 w^(t-2)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnncore.analysis.activations import activation_named
from rnncore.analysis.scalar import Step, unrolled
from rnncore.layers.checks import check_count
from rnncore.parameters import Array


class Growth(NamedTuple):
    """``constant * rate^(t - order)``, times t (t-1) ... for an order above 0.

    Attributes
    ----------
    constant, rate : float
        C and alpha.
    residual : float
        The root mean square, in log10, of what the fit misses.
    """

    constant: float
    rate: float
    residual: float


@dataclass(frozen=True)
class Wall:
    """How derivatives of E grow over time at one point (w, b).

    Attributes
    ----------
    direction : array (2,)
        v, the unit vector along dh_T/d(w, b).
    slopes : array (T,)
        dh_t/d(w, b) along v, of t = 1, ..., T.
    curvatures : array (T,)
        v'Hv of h_t, with H its exact second derivatives.
    growth : Growth
        C and alpha of |slopes|, fitted over the later half of the steps.
    curvature_growth : Growth
        The same of |curvatures|, whose alpha is about the square.
    curvature : float
        v'Hv of E.
    """

    direction: Array
    slopes: Array
    curvatures: Array
    growth: Growth
    curvature_growth: Growth
    curvature: float


def wall_at(f: str, w: float, b: float, steps: int, target: float, h0: float) -> Wall:
    """The growth of one unit's derivatives by (w, b); see `ErrorSurface.wall`."""
    trace = list(unrolled(activation_named("f", f), np.array(w), np.array(b), np.zeros(steps),
                          h0))
    last = trace[-1]
    size = float(np.hypot(*last.first))
    if not 0 < size < math.inf:
        raise ValueError(f"the derivative at (w, b) = ({w:g}, {b:g}) is {size:g}, expected one "
                         "that is finite and not 0")
    v = last.first / size
    slopes = np.array([step.first @ v for step in trace])
    bends = np.array([_along(step, v) for step in trace])
    # H of E = 2 (h - target) H of h + 2 (dh/d(w, b))^2
    curvature = 2 * (float(last.h) - target) * bends[-1] + 2 * slopes[-1] ** 2
    begin = steps // 2
    return Wall(v, slopes, bends, fit_growth(slopes, start=begin),
                fit_growth(bends, start=begin), float(curvature))


def _along(step: Step, v: Array) -> float:
    """v'Hv of the state."""
    ww, wb, bb = step.second
    return float(v[0] ** 2 * ww + 2 * v[0] * v[1] * wb + v[1] ** 2 * bb)


def fit_growth(values: npt.ArrayLike, order: int = 0, start: int = 0) -> Growth:
    """Fit C and alpha of |value_t| = C alpha^t, by least squares of the logarithms.

    With an order n, of |value_t| = t (t-1) ... (t-n+1) C alpha^(t-n): what the n-th derivative
    of C alpha^t by alpha is, and so the n-th derivative of the linear unit's state by w.

    Parameters
    ----------
    values : array (T,)
        Of t = 1, ..., T. Zeros are passed over, and steps before the order.
    order : int, default=0
    start : int, default=0
        How many steps are passed over, for what has not died down yet.

    Raises
    ------
    TypeError, ValueError
        If fewer than two values are left, or one is not finite.

    Examples
    --------
    >>> t = np.arange(1, 21)
    >>> constant, rate, _ = fit_growth(t * 0.5 * 1.2 ** (t - 1), order=1)
    >>> round(constant, 9), round(rate, 9)
    (0.5, 1.2)
    """
    check_count("order", order, 0)
    check_count("start", start, 0)
    array = np.abs(np.asarray(values, np.float64))
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"values has shape {array.shape} or is not finite, expected finite "
                         "numbers (T,)")
    t = np.arange(1, len(array) + 1, dtype=np.float64)
    used = (array > 0) & (t >= order) & (t > start)
    if used.sum() < 2:
        raise ValueError(f"values has {used.sum()} entries that are not 0, expected at least 2")
    t, logs = t[used], np.log(array[used])
    for n in range(order):
        logs -= np.log(t - n)
    design = np.stack([np.ones_like(t), t - order], axis=1)
    (offset, slope), *_ = np.linalg.lstsq(design, logs)
    missed = (logs - design @ np.array([offset, slope])) / math.log(10)
    return Growth(math.exp(offset), math.exp(slope), float(np.sqrt(np.mean(missed**2))))
