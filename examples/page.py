"""What the examples share: a command line, a page of panels, a training that is watched."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

import rnncore as rc
from rnncore.analysis.plots import style

Seen = tuple[list[int], list[float]]  # after how many updates, and the error rate then


def main(story: Callable[[bool], Figure], file: str, doc: str | None) -> None:
    """Tell a story from the command line, and save its picture."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("picture", type=Path, nargs="?", help="where to (%(default)s)",
                        default=Path(Path(file).stem + ".png"))
    parser.add_argument("--quick", action="store_true", help="a reduced size, for a test")
    parser.add_argument("--panel", type=int, choices=(1, 2), help="save it alone")
    options = parser.parse_args()
    rc.set_num_threads(1)
    figure = story(options.quick)
    part = None if options.panel is None else _around(figure, options.panel)
    figure.savefig(options.picture, bbox_inches=part, pil_kwargs={"optimize": True})
    print(f"the picture is {options.picture}")


def _around(figure: Figure, panel: int) -> Bbox:
    """The part of a page, as wide as it is, that the panel takes; in inches, counted from 1."""
    figure.draw_without_rendering()
    tight = figure.axes[panel - 1].get_tightbbox()
    low, high = tight.y0 / figure.dpi - 0.06, tight.y1 / figure.dpi + 0.06
    return Bbox.from_extents(0, low, figure.get_size_inches()[0], high)


def page(panels: int) -> tuple[Figure, Sequence[Axes]]:
    """A figure 800 pixels wide with panels one above the other."""
    figure = Figure((8.0, 4.2 * panels), style.DPI, layout="constrained")
    return figure, figure.subplots(panels)


def network(task: rc.tasks.TemporalOrder, layer: Any) -> rc.Model:
    """A recurrent layer, whose last state says the class."""
    return rc.Model([layer, rc.Last(), rc.Linear(layer.output_size, task.output_size)],
                    task.loss, seed=0)


def train(name: str, model: rc.Model, task: rc.tasks.TemporalOrder, updates: int,
          optimizer: Any, **options: Any) -> tuple[Seen, rc.History]:
    """Train on batches of 32, and see 25 times what share of 500 fresh sequences is wrong."""
    seen: Seen = [0], [task.error_rate(model, 500)]

    def watch(event: str, model: rc.Model, history: rc.History) -> None:
        if event == "epoch":
            seen[0].append(len(history.update_loss))
            seen[1].append(task.error_rate(model, 500))

    epochs = min(25, updates)
    history = model.fit(task.batches(32), epochs=epochs, updates_per_epoch=updates // epochs,
                        optimizer=optimizer, callbacks=[watch], **options)
    print(f"{name}: {100 * seen[1][-1]:.0f} % wrong after {seen[0][-1]} updates", flush=True)
    return seen, history


def plot_errors(runs: dict[str, Seen], task: rc.tasks.TemporalOrder, ax: Axes) -> None:
    """Error rates over updates, with that of a guess."""
    style.axes(ax, title=f"Temporal order over {task.lengths[0]} steps", xlabel="updates",
               ylabel="wrong sequences (%)")
    for name, (at, errors) in runs.items():
        ax.plot(at, 100 * np.array(errors), marker="o", markersize=3, label=name)
    ax.axhline(100 * task.baseline.error, color=style.GREY, linestyle=":", label="a guess")
    ax.set_ylim(-3, 100)
    style.legend(ax)


def lag_curve(model: rc.Model, task: rc.tasks.TemporalOrder) -> np.ndarray:
    """log10 of |dE/dh_{T-k}| / |dE/dh_T|, of c where there is one: the median of 20 rows."""
    found = rc.analysis.lagged(model, *task.sample(20))
    curve = np.median((found.dh if found.dc is None else found.dc)[0], axis=1)
    return curve - curve[0]


def plot_lags(curves: dict[str, np.ndarray], ax: Axes, title: str, state: str = "h") -> None:
    """Lag curves of several models."""
    style.axes(ax, title=title, xlabel="lag k (steps before the end)",
               ylabel=f"log$_{{10}}$ |dE/d{state}$_{{T-k}}$| / |dE/d{state}$_T$|")
    for name, curve in curves.items():
        ax.plot(curve, linewidth=2, label=name)
    style.legend(ax)
