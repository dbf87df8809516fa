"""What the parts of the study share: their runs, and the success rates of these.

The share of successes k of n has the interval of Wilson (1927), with z = 1.96 for 95 %:

    (k/n + z^2/2n +- z sqrt(k/n (1 - k/n) / n + z^2/4n^2)) / (1 + z^2/n)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from paper.runs import Results, Run


class Part:
    """A part of the study; a subclass says which runs there are and how one is done.

    Attributes
    ----------
    title : str
        What is studied, above the table.
    source : str
        Where the published numbers stand.
    arms : sequence of str
        The methods compared.
    lengths, seeds, quick_lengths, quick_seeds : sequence of int
        All combinations with the arms are run; the latter with --quick.
    published : dict of (arm, length) to str
        What the source reports, beside ours in the table.
    """

    title = source = ""
    arms: Sequence[str] = ()
    lengths: Sequence[int] = ()
    seeds: Sequence[int] = range(5)
    quick_lengths: Sequence[int] = ()
    quick_seeds: Sequence[int] = range(2)
    published: Mapping[tuple[str, int], str] = {}

    def runs(self, quick: bool) -> list[Run]:
        """Each seed over all arms and lengths, so that a stopped study compares them all."""
        lengths = self.quick_lengths if quick else self.lengths
        seeds = self.quick_seeds if quick else self.seeds
        return [Run(arm, length, seed) for seed in seeds for length in lengths
                for arm in self.arms]

    def run(self, run: Run, quick: bool) -> dict[str, Any]:
        """Do a run; return what JSON can hold, "solved" (bool) among it for this table."""
        raise NotImplementedError

    def table(self, results: Results) -> str:
        """The share of solved runs for each arm and length."""
        header = ["arm", "length", "solved", "95 %", "published"]
        rows = []
        for arm in self.arms:
            for length in _lengths(results):
                if measured := results.of(arm, length):
                    solved = sum(entry["solved"] for entry in measured)
                    low, high = wilson(solved, len(measured))
                    rows.append([arm, str(length), f"{solved} of {len(measured)}",
                                 f"{100 * low:.0f} to {100 * high:.0f}",
                                 self.published.get((arm, length), "")])
        head = [line for line in (self.title, self.source) if line]
        return "\n".join([*head, "", *aligned([header, *rows])])

    def panels(self) -> dict[str, dict[str, str]]:
        """By title the arms of each panel of the figure, and what they are called there."""
        return {"": {arm: arm for arm in self.arms}}

    def draw(self, results: Results, figure: Any) -> None:
        """Draw the table into a matplotlib figure: success over length, a line for each arm."""
        measured = {run.arm for run in results.done}
        panels = {title: arms for title, arms in self.panels().items() if measured & set(arms)}
        every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (title, arms) in zip(every, panels.items(), strict=True):
            _draw_shares(axes, results, {arm: name for arm, name in arms.items()
                                         if arm in measured})
            axes.set_title(title, fontsize="medium")
        every[0].set_ylabel("share of solved runs, 95 %")
        figure.suptitle(self.title, fontsize="medium")
        figure.legend(*every[0].get_legend_handles_labels(), loc="outside lower center",
                      ncols=4)


def _draw_shares(axes: Any, results: Results, arms: Mapping[str, str]) -> None:
    """Solved runs over length, beside one another where arms share a length."""
    lengths = _lengths(results)
    for i, (arm, name) in enumerate(arms.items()):
        places, shares, below, above = [], [], [], []
        for place, length in enumerate(lengths):
            if measured := results.of(arm, length):
                solved = sum(entry["solved"] for entry in measured)
                low, high = wilson(solved, len(measured))
                shares.append(solved / len(measured))
                below.append(shares[-1] - low)
                above.append(high - shares[-1])
                places.append(place + 0.4 * ((i + 0.5) / len(arms) - 0.5))
        axes.errorbar(places, shares, [below, above], marker="o", capsize=2, label=name)
    axes.set(xlabel="length", xlim=(-0.5, len(lengths) - 0.5), ylim=(-0.05, 1.05),
             xticks=range(len(lengths)), xticklabels=lengths)


def _lengths(results: Results) -> list[int]:
    return sorted({run.length for run in results.done})


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a share of successes; (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    share = successes / trials
    middle = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of rows with their columns one under the other."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            .rstrip() for row in rows]
