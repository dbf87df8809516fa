"""One unit, as the theory's toy: ``h(t) = f(w h(t-1) + c x(t) + b)``.

What a unit forgets is decided where it settles: near a fixed point h* a difference of two
states, and a gradient on its way back, is multiplied by ``w f'(a*)`` at every step. The sigmoid
settles whatever w: without input and bias, for every w above 0, at one point with a rate of at
most 0.279 (the largest a / (1 + exp(a)) there is). tanh forgets slowest with w near 1, the relu
and the linear unit grow without bound for w above 1.

Fixed points solve ``a = w f(a) + d`` with d = c x + b. Between two zeros of ``w f'(a) - 1``,
which are at most two and have a closed form, that has one solution or none: all are found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnncore.analysis.activations import Activation, activation_named
from rnncore.layers.checks import finite, not_negative, positive
from rnncore.parameters import Array

# A rate this near 1 is 1: fixed points are exact to rounding, and so are their rates.
_NEUTRAL = 1e-9


class FixedPoint(NamedTuple):
    """A state that the map leaves as it is.

    Attributes
    ----------
    h : float
    rate : float
        |w f'(a)| there: what a small difference is multiplied by at every step. At the corner
        of the relu it is the slope towards larger states, which alone are reached.
    kind : str
        "attracts" below a rate of 1, "repels" above it, "neutral" at it.
    """

    h: float
    rate: float
    kind: str


@dataclass(frozen=True)
class ScalarMap:
    """What `scalar_map` found; T is the number of steps.

    Attributes
    ----------
    f : str
    w, c, b : float
    x : array (T,)
        The input.
    h : array (T + 1,)
        The states, from h(0) on; inf past what a float64 can be.
    factors : array (T,)
        w f'(a) of each step, dh(t) / dh(t-1).
    dw, dw2 : array (T + 1,)
        The first and the second derivative of h(t) by w. Of the linear unit without input
        h = h0 w^t, dw = t h0 w^(t-1), dw2 = t (t-1) h0 w^(t-2).
    fixed_points : tuple of FixedPoint
        All isolated ones under the last input, by h.
    held : (float, float) or None
        The interval of states each of which is fixed, if there is one: w = 1 with f the
        identity or the relu, and neither input nor bias.
    saturation : int or None
        The first step from which on h stays within the tolerance of a fixed point that does
        not repel; None where it does not (it grows, swings between two values, or needs more
        steps).
    """

    f: str
    w: float
    c: float
    b: float
    x: Array
    h: Array
    factors: Array
    dw: Array
    dw2: Array
    fixed_points: tuple[FixedPoint, ...]
    held: tuple[float, float] | None
    saturation: int | None

    @property
    def log10_gradient(self) -> Array:
        """log10 |dh(t) / dh(0)|, (T + 1,), which does not underflow; -inf where it is 0."""
        with np.errstate(divide="ignore"):
            return np.concatenate([[0.0], np.cumsum(np.log10(np.abs(self.factors)))])


class Step(NamedTuple):
    """A state of one unit with its derivatives by (w, b): first (2, ...) and second (3, ...),
    the latter by ww, wb, bb; a and slope are of the step that led to it.
    """

    h: Array
    a: Array
    slope: Array
    first: Array
    second: Array


def unrolled(unit: Activation, w: Array, b: Array, drive: Array, h0: float) -> Iterator[Step]:
    """The states of steps 1, 2, ... of one unit for each entry of w and b, in float64.

    `drive` (T,) is added to every pre-activation. Overflow gives inf.
    """
    w, b = np.broadcast_arrays(np.asarray(w, np.float64), np.asarray(b, np.float64))
    h, first, second = np.full(w.shape, h0), np.zeros((2, *w.shape)), np.zeros((3, *w.shape))
    for push in drive:
        with np.errstate(over="ignore", invalid="ignore"):
            a = w * h + push + b
            slope, bend = unit.slope(a), unit.bend(a)
            da = np.stack([h + w * first[0], w * first[1] + 1])
            dda = np.stack([2 * first[0] + w * second[0], first[1] + w * second[1],
                            w * second[2]])
            squares = np.stack([da[0] ** 2, da[0] * da[1], da[1] ** 2])
            # 0 times a square that overflowed is 0 here
            second = np.where(bend == 0, 0.0, bend * squares) + slope * dda
            h, first = unit.f(a), slope * da
        yield Step(h, a, slope, first, second)


def scalar_map(f: str, w: float, c: float = 0.0, b: float = 0.0, h0: float = 0.5,
               x: npt.ArrayLike = 0.0, steps: int | None = None,
               tolerance: float = 1e-3) -> ScalarMap:
    """Follow one unit ``h(t) = f(w h(t-1) + c x(t) + b)`` and find where it settles.

    Parameters
    ----------
    f : "sigmoid", "tanh", "relu" or "identity"
    w, c, b : float
        The weights of the state and the input, and the bias.
    h0 : float, default=0.5
        The state it begins at.
    x : float or array (T,), default=0
        The input, the same at every step or one number for each.
    steps : int, default=100
        T, where x is one number.
    tolerance : float, default=1e-3
        How near a fixed point is saturated.

    Returns
    -------
    ScalarMap

    Raises
    ------
    TypeError, ValueError
        If f is unknown, a number is not finite, or x and steps do not agree.

    Notes
    -----
    Fixed points are those of the discussion of Pascanu, Mikolov & Bengio (2013, section 2.2)
    for one unit.

    Examples
    --------
    >>> unit = scalar_map("sigmoid", w=2.0)
    >>> [(round(p.h, 3), round(p.rate, 3), p.kind) for p in unit.fixed_points]
    [(0.844, 0.263, 'attracts')]
    >>> unit.saturation, unit.log10_gradient[100].round(1).item()
    (5, -57.7)
    >>> [round(point.h, 3) for point in scalar_map("tanh", w=1.5).fixed_points]
    [-0.859, 0.0, 0.859]
    """
    unit = activation_named("f", f)
    w, c, b, h0 = (finite(name, value) for name, value in
                   (("w", w), ("c", c), ("b", b), ("h0", h0)))
    inputs = _inputs(x, steps)
    trace = list(unrolled(unit, np.array(w), np.array(b), c * inputs, h0))
    h = np.array([h0, *(step.h for step in trace)])
    points, held = fixed_points(unit, w, c * float(inputs[-1]) + b)
    return ScalarMap(f, w, c, b, inputs, h, w * np.array([step.slope for step in trace]),
                     np.array([0.0, *(step.first[0] for step in trace)]),
                     np.array([0.0, *(step.second[0] for step in trace)]), points, held,
                     _saturation(h, points, held, not_negative("tolerance", tolerance)))


def _inputs(x: npt.ArrayLike, steps: int | None) -> Array:
    """The checked input (T,)."""
    array = np.asarray(x)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"x has dtype {array.dtype}, expected numbers")
    if array.ndim == 0:
        array = np.full(positive("steps", 100 if steps is None else steps), array)
    elif array.ndim != 1 or not array.size or steps not in (None, len(array)):
        expected = "(T,) with T at least 1" if steps is None else f"({steps},)"
        raise ValueError(f"x has shape {array.shape}, expected {expected}")
    if not np.isfinite(array).all():
        raise ValueError("x is not finite, expected finite numbers")
    return array.astype(np.float64)


def fixed_points(unit: Activation, w: float, d: float) -> tuple[
        tuple[FixedPoint, ...], tuple[float, float] | None]:
    """All h = f(w h + d): the isolated ones, and the interval of them if there is one."""
    if unit.name in ("relu", "identity"):
        return _piecewise(unit, w, d)
    # The largest |a| is |w| + |d|; f' is 1 / cosh^2(a), or 1 / (4 cosh^2(a / 2)).
    end, turns = 2 * (abs(w) + abs(d)) + 1, []
    if w * unit.gamma >= 1:
        turn = math.acosh(math.sqrt(w * unit.gamma)) * (2 if unit.name == "sigmoid" else 1)
        turns = [-turn, turn]

    def excess(a: float) -> float:
        value, part = float(unit.f(a)) * w, abs(w) + abs(d) + abs(a)
        gap = value + d - a
        return 0.0 if abs(gap) <= 4 * np.finfo(float).eps * part else gap

    roots = {a for a in turns if excess(a) == 0}
    roots |= {_bisected(excess, low, high) for low, high in pairwise([-end, *turns, end])
              if excess(low) * excess(high) < 0}
    return tuple(_point(float(unit.f(a)), abs(w * float(unit.slope(a))))
                 for a in sorted(roots, key=lambda a: float(unit.f(a)))), None


def _piecewise(unit: Activation, w: float, d: float) -> tuple[
        tuple[FixedPoint, ...], tuple[float, float] | None]:
    """The same of h = w h + d, above 0 only with the relu, which also has h = 0 below."""
    relu = unit.name == "relu"
    if w == 1 and d == 0:
        return (), (0.0 if relu else -math.inf, math.inf)
    found = []
    if relu and d <= 0:
        found.append(_point(0.0, max(w, 0.0) if d == 0 else 0.0))
    if w != 1 and not (relu and d / (1 - w) <= 0):
        found.append(_point(d / (1 - w), abs(w)))
    return tuple(found), None


def _point(h: float, rate: float) -> FixedPoint:
    kind = "neutral" if abs(rate - 1) <= _NEUTRAL else "attracts" if rate < 1 else "repels"
    return FixedPoint(h + 0.0, rate, kind)  # no -0.0


def _bisected(excess: Callable[[float], float], low: float, high: float) -> float:
    """The zero between two numbers of which one is above it, to the last bit."""
    rising = excess(high) > 0
    while low < (middle := (low + high) / 2) < high:
        value = excess(middle)
        if value == 0:
            return middle
        low, high = (low, middle) if (value > 0) == rising else (middle, high)
    return high


def _saturation(h: Array, points: tuple[FixedPoint, ...], held: tuple[float, float] | None,
                tolerance: float) -> int | None:
    ends = [point.h for point in points if point.kind != "repels"]
    if held is not None and held[0] <= h[-1] <= held[1]:
        ends.append(float(h[-1]))
    for end in ends:
        far = np.flatnonzero(~(np.abs(h - end) <= tolerance))
        if not far.size or far[-1] < len(h) - 1:
            return int(far[-1]) + 1 if far.size else 0
    return None
