"""What the parts with a figure of merit share: medians over seeds, and which setting is used.

A method has as many settings to try as those that it is compared with. Each is trained once,
with seed 0 and few epochs; the one with the least validation loss is used for all seeds.
"""

from __future__ import annotations

import math
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import rnncore as rc
from paper.part import Part, aligned
from paper.runs import Results

Setting = TypeVar("Setting")


class Medians(Part):
    """A part whose runs measure numbers.

    Attributes
    ----------
    columns : dict of str to str
        The measured numbers in the table, and how each is formatted; the first is the figure
        of merit, whose least and greatest value over the seeds are there too.
    """

    columns: Mapping[str, str] = {}

    def table(self, results: Results) -> str:
        """The median of each column over the seeds, by arm and length."""
        first, form = next(iter(self.columns.items()))
        rows = [["arm", "length", "runs", *self.columns, f"{first} from, to", "published"]]
        for arm in self.arms:
            for length in sorted({run.length for run in results.done}):
                if measured := results.of(arm, length):
                    medians = [format(statistics.median(entry[name] for entry in measured), f)
                               for name, f in self.columns.items()]
                    values = [entry[first] for entry in measured]
                    spread = f"{format(min(values), form)}, {format(max(values), form)}"
                    rows.append([arm, str(length), str(len(measured)), *medians, spread,
                                 self.published.get((arm, length), "")])
        places = sorted({entry["hardware"] for entry in results.done.values()})
        return "\n".join([self.title, self.source, *places, "", *aligned(rows)])

    def draw(self, results: Results, figure: Any) -> None:
        """Draw the figure of merit of each run, a line for each arm."""
        axes, first = figure.subplots(), next(iter(self.columns))
        arms = [arm for arm in self.arms if any(run.arm == arm for run in results.done)]
        for place, arm in enumerate(arms):
            values = [entry[first] for run, entry in results.done.items() if run.arm == arm]
            axes.plot(values, [place] * len(values), "o", fillstyle="none", label=arm)
        axes.set_title(self.title, fontsize="medium", wrap=True)
        axes.set(xlabel=first, yticks=range(len(arms)), yticklabels=arms)
        axes.invert_yaxis()


def best(settings: Iterable[Setting], loss: Callable[[Setting], float]
         ) -> tuple[Setting, list[float]]:
    """The setting with the least loss, and all losses; NaN is as bad as infinity."""
    settings = list(settings)
    losses = [math.inf if math.isnan(value) else value for value in map(loss, settings)]
    return settings[losses.index(min(losses))], losses


def hardware() -> str:
    """The processor's kind, the instruction set and threads that are used."""
    config = rc.show_config()
    return f"{platform.machine()}, {config['isa']}, threads: {config['threads']}"
