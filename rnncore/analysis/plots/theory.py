"""Pictures of the theory's toys: activations, one unit, its error surface and the wall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnncore.analysis.activations import ACTIVATIONS, ActivationTable, activation_table
from rnncore.analysis.growth import Growth, Wall
from rnncore.analysis.plots import style
from rnncore.analysis.scalar import ScalarMap
from rnncore.analysis.surface import ErrorSurface, Path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = {"attracts": "o", "repels": "X", "neutral": "s"}


def plot_activations(ax: Axes | None = None) -> Axes:
    """Each activation as a line, and its slope f' as a dashed one; the legend has gamma.

    Examples
    --------
    >>> plot_activations().get_xlabel()
    'pre-activation a'
    """
    ax = style.axes(ax, title="Activations f and their slopes f'", xlabel="pre-activation a",
                    ylabel="f(a), and f'(a) dashed")
    a = np.linspace(-4, 4, 401)
    for color, unit in zip(style.COLORS, ACTIVATIONS.values(), strict=False):
        # The identity lies beneath the relu, and is wide.
        look: dict[str, Any] = {"alpha": 0.45, "zorder": 1} if unit.name == "identity" else {}
        scale = 3 if look else 1
        ax.plot(a, unit.f(a), color=color, linewidth=2 * scale, **look,
                label=f"{unit.name}, f' at most {unit.gamma:g}")
        slope = unit.slope(a)
        slope[1:][np.diff(slope) > 0.5] = np.nan  # where the relu's jumps
        ax.plot(a, slope, color=color, linewidth=1.5 * scale, linestyle="--", **look)
    ax.set_ylim(-1.5, 2)
    style.legend(ax, loc="upper left")
    return ax


def plot_activation_table(table: ActivationTable | None = None, ax: Axes | None = None) -> Axes:
    """gamma^n, the largest share of a gradient that n activations leave, on a log axis.

    Parameters
    ----------
    table : ActivationTable, default=activation_table(range(1, 31))
    ax : Axes, optional

    Examples
    --------
    >>> plot_activation_table().get_yscale()
    'log'
    """
    table = activation_table(range(1, 31)) if table is None else table
    ax = style.axes(ax, title="What n activations leave of a gradient, at best",
                    xlabel="steps n", ylabel="gamma$^n$ (share of the gradient)")
    same: dict[float, list[str]] = {}
    for name, gamma in zip(table.names, table.gamma, strict=True):
        same.setdefault(float(gamma), []).append(name)
    for gamma, names in same.items():
        row = table.powers[list(table.gamma).index(gamma)]
        ax.semilogy(table.lags, row, marker="o", markersize=4,
                    label=f"{', '.join(names)} (gamma = {gamma:g})")
    for lag, power in zip(table.lags, table.powers[0], strict=True):
        if lag in (2, 5):
            ax.annotate(f"{power:.3g}", (lag, power), (8, 4), textcoords="offset points",
                        fontsize=style.SMALL)
    style.legend(ax)
    return ax


def plot_scalar_map(unit: ScalarMap, ax: Axes | None = None) -> Axes:
    """The map of one unit with its cobweb: from the state up to the map, across to h = h.

    The map is the one of the last input; under an input that changes the cobweb leaves it.

    Examples
    --------
    >>> from rnncore.analysis.scalar import scalar_map
    >>> plot_scalar_map(scalar_map("tanh", w=1.5, h0=0.1)).get_xlabel()
    'state h(t-1)'
    """
    h = unit.h[np.isfinite(unit.h)]
    ax = style.axes(ax, title=f"{unit.f} unit, w = {unit.w:g}: the map and its path",
                    xlabel="state h(t-1)", ylabel="state h(t)")
    ends = [*h[:20], *(point.h for point in unit.fixed_points)]
    low, high = min(ends), max(ends)
    margin = 0.1 * (high - low) or 0.5
    grid = np.linspace(low - margin, high + margin, 400)
    drive = unit.c * unit.x[-1] + unit.b
    ax.plot(grid, grid, color=style.GREY, linewidth=1, label="h(t) = h(t-1)")
    ax.plot(grid, ACTIVATIONS[unit.f].f(unit.w * grid + drive), linewidth=2,
            label=f"f(w h{drive:+.3g})" if drive else "f(w h)")
    path = np.repeat(h[:51], 2)  # later steps lie on earlier ones
    ax.plot(path[:-1], np.concatenate([[path[0]], path[2:]]), color=style.ORANGE, linewidth=1,
            label=f"path from h(0) = {h[0]:g}")
    for point in unit.fixed_points:
        ax.plot(point.h, point.h, _MARKS[point.kind], color=style.GREEN, markersize=9,
                label=f"{point.kind}: h* = {point.h:.3g}, |w f'| = {point.rate:.3g}")
    ax.set_xlim(grid[0], grid[-1])
    ax.set_ylim(grid[0], grid[-1])
    style.legend(ax)
    return ax


def plot_scalar_gradients(units: Sequence[ScalarMap], ax: Axes | None = None) -> Axes:
    """log10 |dh(t) / dh(0)| of several units over time: what a gradient keeps on its way back.

    Parameters
    ----------
    units : sequence of ScalarMap
    ax : Axes, optional

    Examples
    --------
    >>> from rnncore.analysis.scalar import scalar_map
    >>> len(plot_scalar_gradients([scalar_map("tanh", w) for w in (0.5, 1.5)]).get_lines())
    2
    """
    ax = style.axes(ax, title="The gradient through one unit", xlabel="steps t",
                    ylabel="log$_{10}$ |dh(t) / dh(0)|")
    for unit in units:
        ax.plot(unit.log10_gradient, linewidth=2, label=f"{unit.f}, w = {unit.w:g}")
    style.legend(ax)
    return ax


def plot_error_surface(surface: ErrorSurface, paths: Mapping[str, Path] | None = None,
                       ax: Axes | None = None) -> Axes:
    """The error as colours on a log scale, with paths of gradient descent on it.

    Parameters
    ----------
    surface : ErrorSurface
    paths : mapping of label to Path, optional
        Each begins at its circle; the star is its last point, where that is inside.
    ax : Axes, optional

    Raises
    ------
    ValueError
        If the error is finite nowhere.

    Examples
    --------
    >>> from rnncore.analysis.surface import error_surface
    >>> surface = error_surface(steps=10)
    >>> plot_error_surface(surface, {"plain": surface.descend((4.8, -2.4), 0.05)}).get_title()
    'Error of one sigmoid unit after 10 steps'
    """
    from matplotlib.colors import LogNorm

    ax = style.axes(ax, title=f"Error of one {surface.f} unit after {surface.steps} steps",
                    xlabel="weight w", ylabel="bias b")
    ax.grid(False)
    error = np.maximum(surface.error, 1e-6)  # the bottom of the scale
    finite = error[np.isfinite(error)]
    if not finite.size:
        raise ValueError("surface has no finite error, expected some: take fewer steps or "
                         "smaller weights")
    mesh = ax.pcolormesh(surface.w, surface.b, error, cmap=style.SEQUENTIAL, rasterized=True,
                         norm=LogNorm(float(finite.min()), float(finite.max())))
    style.colorbar(ax, mesh, f"error (h$_T$ - {surface.target:g})$^2$")
    colors = ("white", style.ORANGE, style.PURPLE, style.SKY)
    for index, (label, path) in enumerate((paths or {}).items()):
        color, points = colors[index % len(colors)], path.points
        ax.plot(*points.T, color="black", linewidth=3)  # an outline that any colour stands on
        ax.plot(*points.T, color=color, linewidth=1.5, marker=".", markersize=5,
                label=f"{label}: error {path.errors[0]:.2g} to {path.errors[-1]:.2g}")
        for place, mark in ((points[0], "o"), (points[-1], "*")):
            ax.plot(*place, mark, color=color, markeredgecolor="black",
                    markersize=9 if mark == "o" else 15)
    ax.set_xlim(surface.w[0], surface.w[-1])
    ax.set_ylim(surface.b[0], surface.b[-1])
    style.legend(ax, facecolor="0.75")
    return ax


def plot_wall(wall: Wall, ax: Axes | None = None) -> Axes:
    """Slope and curvature of the state along v over time, with the fits of C alpha^t.

    Examples
    --------
    >>> from rnncore.analysis.surface import error_surface
    >>> plot_wall(error_surface().wall(w=5.0)).get_yscale()
    'log'
    """
    ax = style.axes(ax, title="Growth of derivatives along the exploding direction v",
                    xlabel="steps t", ylabel="absolute derivative of h$_t$ along v")
    t = np.arange(1, len(wall.slopes) + 1)
    rows: list[tuple[np.ndarray, Growth, str, str]] = [
        (wall.slopes, wall.growth, "slope", style.BLUE),
        (wall.curvatures, wall.curvature_growth, "curvature v'Hv", style.ORANGE)]
    for values, growth, name, color in rows:
        ax.semilogy(t, np.abs(values), ".", color=color, label=name)
        ax.semilogy(t, growth.constant * growth.rate ** t.astype(float), color=color,
                    label=f"{growth.constant:.2g} x {growth.rate:.3f}$^t$")
    style.legend(ax)
    return ax
