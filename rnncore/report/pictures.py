"""The pictures of a report, as PNG inside the page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rnncore.analysis.observer import Look
from rnncore.analysis.plots import (
    plot_gradient_heat_map,
    plot_gradient_norms,
    plot_learning_curves,
    plot_spectrum,
    style,
)
from rnncore.analysis.spectra import Spectrum
from rnncore.jobs.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DOTS = 150  # to the inch: sharp where a page of 800 pixels is shown on a fine screen


class Picture(NamedTuple):
    """What an <img> and its caption say; `uri` holds the whole file."""

    uri: str
    width: int
    height: int
    alt: str
    caption: str


def picture(ax: Axes, caption: str) -> Picture:
    """Draw the figure of some axes."""
    file, figure = io.BytesIO(), ax.figure
    figure.savefig(file, format="png", dpi=_DOTS, metadata={"Software": None})
    width, height = (round(100 * inches) for inches in figure.get_size_inches())
    data = base64.b64encode(file.getvalue()).decode()
    return Picture(f"data:image/png;base64,{data}", width, height, ax.get_title(), caption)


def curves(record: Record) -> list[Picture]:
    """Losses and held-out scores, and the gradient's norm."""
    history, clip = record.history, record.call.get("--clip")
    ax = plot_learning_curves(history, scale=record.scale, unit=record.loss)
    each = len(history.update_loss) / len(history.loss) if history.loss else 1.0
    if record.scores:
        ax.plot([score.updates / each for score in record.scores],
                [score.score for score in record.scores], color=style.ORANGE, marker="s",
                markersize=4, label="held out")
        style.legend(ax, loc="upper right")
    found = [picture(ax, "The loss while training, and on what was held out.")]
    if history.grad_norm:
        found += [picture(_norms(record), "The norm over the run, and where alarms rose."),
                  picture(plot_gradient_norms(history, clip), "The same as a histogram.")]
    return found


def _norms(record: Record) -> Axes:
    """The gradient's norm over the updates."""
    norms = np.array(record.history.grad_norm)
    ax = style.axes(title="Norm of the gradient before clipping", xlabel="update",
                    ylabel="norm", size=(8.0, 3.4))
    ax.plot(np.arange(1, len(norms) + 1), np.where(np.isfinite(norms) & (norms > 0), norms,
                                                   np.nan),
            color=style.SKY, linewidth=0.8, label="each update")
    style.log_axis(ax, "y")
    if "--clip" in record.call:
        ax.axhline(record.call["--clip"], color=style.ORANGE, linestyle="--",
                   label="threshold of clipping")
    for number, alarm in enumerate(record.alarms):
        ax.axvline(alarm.update, color=style.BLACK, linewidth=1,
                   label=None if number else "alarm")
    style.legend(ax)
    return ax


def flow(record: Record, first: Look, best: Look) -> list[Picture]:
    """How far the last step's error reaches: before, after and in between."""
    ax = style.axes(title="How far back the last step's error reaches",
                    xlabel="steps back from the error", ylabel="|dE/dh| (log scale)")
    for index, name in enumerate(record.observations.layers):
        color = style.COLORS[index % len(style.COLORS)]
        for look, line, when in [(first, "--", "before training"), (best, "-", "best model")]:
            norms = look.flow[index]
            ax.plot(np.where(np.isfinite(norms) & (norms > 0), norms, np.nan), line,
                    color=color, label=f"layer {name}, {when}")
    ax.set_yscale("log")
    style.legend(ax)
    found = [picture(ax, "The gradient of the error of the last step by the state, over the "
                         "sequences looked at. A straight line falls by the same factor at "
                         "every step.")]
    if record.observations.flow.size:
        found.append(picture(plot_gradient_heat_map(record.observations),
                             "The same while training went on: dark is where nothing arrives."))
    return found


def spectra(before: list[Spectrum], after: list[Spectrum]) -> list[Picture]:
    """Eigenvalues of the recurrent matrices before training and of the best model."""
    found = []
    for entries, when in [(before, "before training"), (after, "of the best model")]:
        ax = plot_spectrum(entries)
        ax.set_title(f"Eigenvalues of recurrent weights {when}")
        found.append(picture(ax, f"The spectrum {when}, gate by gate, with the unit circle."))
    return found
