"""How every picture of the library looks: colours, sizes, axes.

Colours are those of Okabe & Ito (2008), which stay apart for colour-blind eyes; yellow is left
out, for it is lost on white. Maps are perceptually uniform. At the size below a picture is 800
pixels wide, and its smallest letters are 13 pixels high.

Nothing here touches `pyplot` or `rcParams`, which all threads share: a figure is made for each
picture, and a caller's own axes are labelled and nothing more. Save it by
`ax.figure.savefig("name.png")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rnncore.parameters import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER, BLACK, GREY = "#56B4E9", "#E69F00", "#000000", "#7F7F7F"
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER, BLACK)  # of lines, in this order
SEQUENTIAL = "viridis"  # of magnitudes
DIVERGING = "PuOr"  # of what has a middle

SIZE = (8.0, 4.5)  # inches, with
DPI = 100
TEXT, TITLE, SMALL = 11, 13, 9.5  # points


def axes(ax: Axes | None = None, *, title: str = "", xlabel: str = "", ylabel: str = "",
         size: tuple[float, float] = SIZE) -> Axes:
    """Axes with a title, labels, a light grid and the cycle of colours.

    Parameters
    ----------
    ax : Axes, optional
        Axes to be drawn on; of a new figure of its own if None.
    title, xlabel, ylabel : str
        What stands there, units included; empty ones leave what there is.
    size : pair of float
        Width and height in inches of a new figure, 100 pixels to the inch.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    TypeError
        If `ax` is no Axes.

    Examples
    --------
    >>> ax = axes(title="Loss", xlabel="update", ylabel="loss (nats)")
    >>> ax.get_xlabel(), ax.figure.get_size_inches().tolist()
    ('update', [8.0, 4.5])
    """
    try:
        from matplotlib.axes import Axes
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'rnncore[plot]'") from None
    if ax is None:
        ax = Figure(size, DPI, layout="constrained").add_subplot()
    elif not isinstance(ax, Axes):
        raise TypeError(f"ax is of type {type(ax).__name__}, expected matplotlib Axes")
    ax.set_prop_cycle(color=COLORS)
    ax.set_axisbelow(True)
    ax.grid(True, color="0.88", linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=TEXT - 1)
    if title:
        ax.set_title(title, fontsize=TITLE)
    if xlabel:
        ax.set_xlabel(xlabel, fontsize=TEXT)
    if ylabel:
        ax.set_ylabel(ylabel, fontsize=TEXT)
    return ax


def log_axis(ax: Axes, which: str) -> None:
    """Make the "x" or the "y" axis logarithmic, its ticks plain numbers: 0.3, not 3 10^-1."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):  # type: ignore[misc]
        def __call__(self, x: float, pos: Any = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    ax.set(**{f"{which}scale": "log"})
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_formatter(Plain())
    axis.set_minor_formatter(Plain())


def band(ax: Axes, x: Array, rows: Array, label: str, color: str) -> None:
    """The mean of the finite entries of rows (K, B) as a line, and their range behind it."""
    there = np.isfinite(rows)
    some = there.any(axis=1)
    count = np.maximum(there.sum(axis=1), 1)
    mean = np.where(some, np.where(there, rows, 0.0).sum(axis=1) / count, np.nan)
    low = np.where(some, np.where(there, rows, np.inf).min(axis=1, initial=np.inf), np.nan)
    high = np.where(some, np.where(there, rows, -np.inf).max(axis=1, initial=-np.inf), np.nan)
    ax.plot(x, mean, color=color, label=label)
    ax.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)


def legend(ax: Axes, **options: Any) -> None:
    """A legend of what has a label, if there is any; `options` are matplotlib's.

    Its place is asked for by name: where it is matplotlib's own default, a search of more than
    a second is a warning, on a busy machine at any picture.
    """
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        ax.legend(handles, labels, **{"fontsize": SMALL, "frameon": True, "framealpha": 0.9,
                                      "edgecolor": "0.85", "loc": "best", **options})


def colorbar(ax: Axes, mappable: Any, label: str) -> Colorbar:
    """A bar beside the axes that says what the colours mean, units included."""
    bar = ax.figure.colorbar(mappable, ax=ax, pad=0.02)
    bar.set_label(label, fontsize=TEXT)
    bar.ax.tick_params(labelsize=TEXT - 1)
    return bar
