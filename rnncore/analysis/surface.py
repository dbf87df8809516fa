"""The error of one unit over (w, b), its wall, and descent with and without clipping.

    h_t = f(w h_{t-1} + b),   E = (h_T - target)^2

is figure 6 of Pascanu, Mikolov & Bengio (2013) with their defaults: a sigmoid unit, T = 50,
target 0.7, and h_0 = sigmoid(0.5), for their state x_0 = 0.5 is what stands before f. Where the
state begins near a fixed point that repels, gradient and curvature explode: a wall
(`rnncore.analysis.growth`). A step of plain gradient descent from there goes far; scaled to a
fixed norm it stays.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnncore.analysis.activations import activation_named
from rnncore.analysis.growth import Wall, wall_at
from rnncore.analysis.scalar import unrolled
from rnncore.layers.checks import check_count, finite, positive
from rnncore.parameters import Array


class Path(NamedTuple):
    """Where gradient descent went.

    Attributes
    ----------
    points : array (updates + 1, 2)
        (w, b) before the first and after each update.
    errors, norms : array (updates + 1,)
        E and the norm of its gradient, before clipping, at these points.
    clip : float or None
        The threshold of the norm.
    """

    points: Array
    errors: Array
    norms: Array
    clip: float | None


@dataclass(frozen=True)
class ErrorSurface:
    """The error of one unit over a grid; `descend` and `wall` look at it nearer.

    Attributes
    ----------
    f, steps, target, h0
        As `error_surface` was given them.
    w : array (M,)
    b : array (N,)
    error : array (N, M)
        E, a row for each b.
    gradient : array (2, N, M)
        dE/dw and dE/db.
    """

    f: str
    steps: int
    target: float
    h0: float
    w: Array
    b: Array
    error: Array
    gradient: Array

    @property
    def norm(self) -> Array:
        """The norm of the gradient, (N, M)."""
        return np.asarray(np.hypot(self.gradient[0], self.gradient[1]))

    def descend(self, start: tuple[float, float], lr: float, updates: int = 50,
                clip: float | None = None) -> Path:
        """Gradient descent from (w, b), clipped by the norm of the gradient unless `clip` is
        None.

        Raises
        ------
        TypeError, ValueError
            If an argument is not a number of its kind, or clip is not above 0.
        """
        point = np.array([finite("start", value) for value in start])
        if point.shape != (2,):
            raise ValueError(f"start has {point.size} numbers, expected w and b")
        lr = finite("lr", lr)
        check_count("updates", updates, 0)
        if clip is not None and finite("clip", clip) <= 0:
            raise ValueError(f"clip is {clip}, expected a number above 0")
        points, errors, norms = [point], [], []
        for update in range(updates + 1):
            error, gradient = self._at(*points[-1])
            norm = float(np.hypot(*gradient))
            errors.append(float(error))
            norms.append(norm)
            if update < updates:
                scale = 1.0 if clip is None or norm <= clip else clip / norm
                with np.errstate(over="ignore", invalid="ignore"):  # thrown out of all numbers
                    points.append(points[-1] - lr * scale * gradient)
        return Path(np.array(points), np.array(errors), np.array(norms), clip)

    def wall(self, w: float, b: float | None = None) -> Wall:
        """The growth of the derivatives at one point, and the curvature along v.

        Without b, at the b for which the unit begins at a fixed point: where that repels, this
        is on the wall, which is narrower than any grid.

        Raises
        ------
        ValueError
            If there are fewer than 3 steps, f does not reach h0, or the derivatives are 0 or
            overflow.

        Examples
        --------
        >>> wall = error_surface().wall(w=5.0)
        >>> round(wall.growth.rate, 3), round(wall.curvature_growth.rate, 3)
        (1.176, 1.387)
        """
        w = finite("w", w)
        if b is None:
            try:
                b = activation_named("f", self.f).inverse(self.h0) - w * self.h0
            except ValueError:
                raise ValueError(f"h0 is {self.h0:g}, which {self.f} does not come to: no b "
                                 "makes it a fixed point") from None
        return wall_at(self.f, w, finite("b", b), self.steps, self.target, self.h0)

    def _at(self, w: npt.ArrayLike, b: npt.ArrayLike) -> tuple[Array, Array]:
        """E and its gradient at (w, b), each of any shape."""
        return _error(self.f, self.steps, self.target, self.h0, w, b)


def _error(f: str, steps: int, target: float, h0: float, w: npt.ArrayLike,
           b: npt.ArrayLike) -> tuple[Array, Array]:
    unit = activation_named("f", f)
    last = deque(unrolled(unit, np.asarray(w), np.asarray(b), np.zeros(steps), h0), 1).pop()
    with np.errstate(over="ignore", invalid="ignore"):
        gap = last.h - target
        return gap**2, 2 * gap * last.first


def error_surface(w: npt.ArrayLike | None = None, b: npt.ArrayLike | None = None,
                  f: str = "sigmoid", steps: int = 50, target: float = 0.7,
                  h0: float | None = None) -> ErrorSurface:
    """The error (h_T - target)^2 of one unit h_t = f(w h_{t-1} + b) and its gradient on a grid.

    Parameters
    ----------
    w, b : array (M,), (N,), optional
        The grid; by default 201 values each about the wall of the figure.
    f : "sigmoid", "tanh", "relu" or "identity", default="sigmoid"
    steps : int, default=50
        T.
    target : float, default=0.7
    h0 : float, default=sigmoid(0.5)
        The state at t = 0.

    Returns
    -------
    ErrorSurface
        With `descend` for paths on it, and `wall` for the growth of its derivatives.

    Raises
    ------
    TypeError, ValueError
        If f is unknown, or an argument is not finite or not of its shape.

    Notes
    -----
    Pascanu, Mikolov & Bengio (2013), figure 6.

    Examples
    --------
    >>> surface = error_surface()
    >>> plain = surface.descend((4.8, -2.4), lr=0.05, updates=80)
    >>> clipped = surface.descend((4.8, -2.4), lr=0.05, updates=80, clip=0.3)
    >>> plain.errors[-1].round(3).item(), clipped.errors[-1].round(3).item()
    (0.078, 0.007)
    """
    activation_named("f", f)
    grid_w = _grid("w", np.linspace(4.0, 6.0, 201) if w is None else w)
    grid_b = _grid("b", np.linspace(-3.2, -1.2, 201) if b is None else b)
    begin = 1 / (1 + math.exp(-0.5)) if h0 is None else finite("h0", h0)
    settings = f, positive("steps", steps), finite("target", target), begin
    error, gradient = _error(*settings, grid_w, grid_b[:, None])
    return ErrorSurface(*settings, grid_w, grid_b, error, gradient)


def _grid(name: str, values: npt.ArrayLike) -> Array:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected numbers")
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}, expected a grid of one axis")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} is not finite, expected finite numbers")
    return array.astype(np.float64)
