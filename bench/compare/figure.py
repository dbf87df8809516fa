"""The results as a picture: how many times as fast as each peer, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import summary
from .rounds import Measured
from .tables import in_groups, libraries

# Colours that the colour-blind can tell apart (Okabe & Ito 2008), and a shape for each as well.
MARKS = [("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"),
         ("#E69F00", "v"), ("#56B4E9", "P")]
INCHES_PER_ROW = 0.26


def save(path: Path, title: str, results: Sequence[Measured]) -> None:
    """Draw a panel for each mode and number of threads, in the order of the tables."""
    from matplotlib.figure import Figure

    groups = in_groups(result for result in results if result.mode != "step")
    if not groups:
        return
    modes = list(dict.fromkeys(mode for mode, _ in groups))
    threads = sorted({number for _, number in groups})
    rows = max(map(len, groups.values()))
    figure = Figure(figsize=(5.5 * len(modes) + 1.5,
                             (INCHES_PER_ROW * rows + 1) * len(threads) + 1),
                    layout="constrained")
    panels = figure.subplots(len(threads), len(modes), squeeze=False, sharex=True)
    marks = dict(zip(libraries(results), MARKS, strict=False))
    for (mode, number), group in groups.items():
        axes = panels[threads.index(number)][modes.index(mode)]
        draw(axes, group, marks)
        axes.set_title(f"{mode}, {number} thread{'s' * (number > 1)}", fontsize="medium")
    seen = {label: handle for axes in panels.flat
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.suptitle(title, fontsize="medium")
    figure.legend(seen.values(), seen.keys(), loc="outside lower center", ncols=len(seen))
    figure.savefig(path, dpi=130)


def draw(axes: Any, group: Sequence[Measured], marks: dict[str, tuple[str, str]]) -> None:
    """A line for each row: our speed in terms of each library's, and quartiles at the best."""
    for name, (colour, shape) in marks.items():
        places = [(summary.ratio(result, name).median, place)
                  for place, result in enumerate(group) if name in result.seconds]
        exact = all(summary.agrees(result, name) for result in group if name in result.seconds)
        if places:
            axes.plot(*zip(*places, strict=True), shape, color=colour, fillstyle="none",
                      label=name if exact else f"{name}, not float32", markersize=6)
    for place, result in enumerate(group):
        if best := summary.best_peer(result):
            low, _, high = summary.ratio(result, best)
            axes.plot([low, high], [place, place], color="black", linewidth=3, alpha=0.5,
                      solid_capstyle="butt", label="best float32 peer, quartiles")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    axes.tick_params(labelbottom=True)
    axes.set(xlabel="times as fast: rnncore / library", yticks=range(len(group)))
    axes.set_yticklabels([result.row for result in group], fontsize="small", family="monospace")
    axes.set_ylim(len(group) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.4)
    axes.grid(axis="y", alpha=0.15)
