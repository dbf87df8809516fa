"""Pictures of what a network's states do: memory of the past, and gates over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnncore.analysis.gates import Gates
from rnncore.analysis.memory import Memory
from rnncore.analysis.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_perturbation(memories: Mapping[str, Memory], ax: Axes | None = None) -> Axes:
    """The decay of a perturbation of the state: means over rows, and the spread of rows.

    Parameters
    ----------
    memories : mapping of label to Memory
    ax : Axes, optional

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.GRU(2, 3)], seed=0)
    >>> memory = rc.analysis.forward_memory(model, np.ones((30, 2, 2), np.float32))[0]
    >>> plot_perturbation({"GRU": memory}).get_xlabel()
    'steps k after the perturbation'
    """
    ax = style.axes(ax, title="What is left of a perturbation of the state",
                    xlabel="steps k after the perturbation",
                    ylabel="log$_{10}$ of its size, 0 at first")
    for index, (label, memory) in enumerate(memories.items()):
        logs = memory.log10_perturbation
        rate = "" if np.isnan(memory.rate) else f": x {memory.rate:.3g} per step"
        style.band(ax, np.arange(len(logs)), logs, label + rate,
                   style.COLORS[index % len(style.COLORS)])
    style.legend(ax)
    return ax


def plot_recall(memories: Mapping[str, Memory], ax: Axes | None = None) -> Axes:
    """R^2 of the input of k steps ago from the state, where the mean's guess is 0.

    Parameters
    ----------
    memories : mapping of label to Memory
    ax : Axes, optional

    Examples
    --------
    >>> import rnncore as rc
    >>> x = np.random.default_rng(0).standard_normal((40, 8, 2)).astype(np.float32)
    >>> memory = rc.analysis.forward_memory(rc.Model([rc.GRU(2, 3)], seed=0), x, lags=5)[0]
    >>> len(plot_recall({"GRU": memory}).get_lines()[-1].get_ydata())
    6
    """
    ax = style.axes(ax, title="What a linear map of h$_t$ knows of past inputs",
                    xlabel="lag k (steps)", ylabel="R$^2$ of x$_{t-k}$, held out")
    for label, memory in memories.items():
        ax.plot(np.maximum(memory.recall, -0.2), linewidth=2,
                label=f"{label}: {memory.capacity:.3g} in all")
    ax.set_ylim(-0.25, 1.05)
    style.legend(ax)
    return ax


def plot_gates(gates: Gates, ax: Axes | None = None) -> Axes:
    """The share of units that are open and closed, gate by gate, over time.

    Parameters
    ----------
    gates : Gates
        With at least one gate.
    ax : Axes, optional

    Raises
    ------
    ValueError
        If the layer has no gates.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.GRU(2, 3)], seed=0)
    >>> found = rc.analysis.gates(model, np.ones((30, 2, 2), np.float32))
    >>> plot_gates(found[0]).get_xlabel()
    'step t'
    """
    if not gates.blocks:
        raise ValueError(f"{gates.name} has no gates, expected a gated layer")
    ax = style.axes(ax, title=f"Gates of {gates.name}", xlabel="step t",
                    ylabel="share of units (%)")
    for block, opened, closed, color in zip(gates.blocks, gates.opened, gates.closed,
                                            style.COLORS, strict=False):
        ax.plot(100 * opened, color=color, linewidth=2, label=f"{block} open")
        ax.plot(100 * closed, color=color, linewidth=1.5, linestyle="--",
                label=f"{block} closed")
    ax.set_ylim(-3, 103)
    style.legend(ax, ncols=len(gates.blocks))
    return ax


def plot_half_lives(gates: Sequence[Gates], ax: Axes | None = None) -> Axes:
    """How many units keep their state for how long: half-lives in falling order.

    Parameters
    ----------
    gates : sequence of Gates
        Layers without a gate that keeps the state are left out, and units that keep for ever.
    ax : Axes, optional

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.GRU(2, 3)], seed=0)
    >>> found = rc.analysis.gates(model, np.ones((30, 2, 2), np.float32))
    >>> plot_half_lives(found).get_yscale()
    'log'
    """
    ax = style.axes(ax, title="How long units keep their state", xlabel="unit, by half-life",
                    ylabel="half-life (steps)")
    for entry in gates:
        if entry.half_life is not None:
            steps = np.sort(entry.half_life[np.isfinite(entry.half_life)])[::-1]
            ever = int(np.isinf(entry.half_life).sum())
            note = f", {ever} for ever" if ever else ""
            ax.semilogy(np.arange(1, len(steps) + 1), np.maximum(steps, 1e-3), marker="o",
                        markersize=4, label=f"{entry.name}, gate {entry.keep}{note}")
    style.legend(ax)
    return ax
