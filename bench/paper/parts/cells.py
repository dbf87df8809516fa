"""Every cell on one task: with 50 units, and with as many parameters as the LSTM of 50.

The task is the music of JSB where the file lies (`bench/readers.py`): which notes sound next,
88 logistic outputs, the loss summed over notes and averaged over frames, in nats; the length is
that of the longest piece. Elsewhere it is the adding problem with 2000 sequences of 100 steps
to train, and 1000 each to validate and to test, as if there were no more.

Whole sequences in batches of 16, Adam, a threshold of 1. The rate is halved after two epochs
without a new minimum of the validation loss; after ten, or 200 epochs in all, training ends
with the weights of the best. Of three rates that with the least validation loss counts (with
--quick there is one, and ten epochs). An epoch is timed by itself, without validation: the
fastest of three.
"""

from __future__ import annotations

import bisect
import copy
import math
import operator
import time
from typing import Any, NamedTuple

import numpy as np
from readers import NOTES, music_file, next_frames, read_music

import rnncore as rc
from paper.part import Part, aligned
from paper.runs import Results, Run

UNITS = 50
SIZES = ("equal units", "equal parameters")
BATCH, THRESHOLD, PATIENCE = 16, 1.0, 10
RATES, QUICK_RATES = (0.01, 0.02, 0.05), (0.02,)
EPOCHS, QUICK_EPOCHS = 200, 10
ADDING, ADDING_TRAIN, ADDING_TEST = 100, 2000, 1000  # steps and sequences

CELLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "RNN": (rc.RNN, {}),
    "RNN, ReLU": (rc.RNN, {"activation": "relu"}),
    "RNN, Pascanu's form": (rc.RNN, {"form": "pascanu"}),
    "RNN, skip 1": (rc.RNN, {"skip": 1}),
    "IndRNN": (rc.IndRNN, {}),
    "IdentityRNN": (rc.IdentityRNN, {}),
    "MinGRU": (rc.MinGRU, {}),
    "UGRNN": (rc.UGRNN, {}),
    "GRU": (rc.GRU, {}),
    "GRU, reset before": (rc.GRU, {"reset": "before"}),
    "LSTM": (rc.LSTM, {}),
    "LSTM, no forget gate": (rc.LSTM, {"forget": "none"}),
    "LSTM, coupled": (rc.LSTM, {"forget": "coupled"}),
    "LSTM, diagonal peepholes": (rc.LSTM, {"peephole": "diagonal"}),
    "LSTM, cell peepholes": (rc.LSTM, {"peephole": "cell"}),
    "+RNN": (rc.IntersectionRNN, {}),
}


class Material(NamedTuple):
    """A task as finite data: each set is what `Model.fit` takes."""

    features: int
    outputs: int
    loss: str
    last: bool  # whether the last step alone counts
    train: Any
    valid: Any
    test: Any


def music() -> Material:
    """JSB, each frame with the one that follows as target."""
    parts = [next_frames(pieces) for pieces in read_music(music_file("JSB"))]
    return Material(NOTES, NOTES, "bernoulli", False, *parts)


def adding(seed: int) -> Material:
    """The adding problem."""
    task = rc.tasks.AddingProblem(ADDING, seed=seed)
    parts = [task.sample(size) for size in (ADDING_TRAIN, ADDING_TEST, ADDING_TEST)]
    return Material(task.input_size, task.output_size, task.loss, True, *parts)


def network(cell: str, units: int, material: Material, seed: int) -> rc.Model:
    """A layer of the cell, and what it needs before and after it."""
    kind, options = CELLS[cell]
    widen = kind is rc.IntersectionRNN  # it wants inputs as wide as its state
    first = units if widen else material.features
    return rc.Model([*([rc.Linear(material.features, units)] if widen else []),
                     kind(first, units, **options), *([rc.Last()] if material.last else []),
                     rc.Linear(units, material.outputs)], material.loss, seed=seed)


def sized(cell: str, size: str, material: Material, seed: int) -> rc.Model:
    """A network of 50 units, or the widest that has no more parameters than the LSTM of 50."""
    def count(kind: str, units: int) -> int:
        return network(kind, units, material, 0).parameters.size

    units = UNITS
    if size == "equal parameters":
        allowed, above = count("LSTM", UNITS), 1
        while count(cell, above) <= allowed:
            above *= 2
        units = bisect.bisect_right(range(above), allowed, lo=1,
                                    key=lambda width: count(cell, width)) - 1
    return network(cell, units, material, seed)


class Cells(Part):
    """What each cell costs and what it learns."""

    title = "Every cell, one layer, Adam: mean loss of the test data and its deviation"
    source = ("JSB: nats per frame; published: tanh 8.91, GRU 8.43, LSTM 8.45 (Bai et al. 2018)"
              ";\n9.10, 8.54, 8.67 (Chung et al. 2014)")
    arms = tuple(f"{cell}; {size}" for size in SIZES for cell in CELLS)
    seeds, quick_seeds = range(3), range(1)

    def runs(self, quick: bool) -> list[Run]:
        """On JSB, whose longest piece has 129 frames, or else on the adding problem."""
        length = 129 if music_file("JSB").exists() else ADDING
        return [Run(arm, length, seed) for seed in (self.quick_seeds if quick else self.seeds)
                for arm in self.arms]

    def run(self, run: Run, quick: bool) -> dict[str, Any]:
        material = adding(run.seed) if run.length == ADDING else music()
        cell, size = run.arm.split("; ")
        model = sized(cell, size, material, run.seed)
        tried = [_trained(copy.deepcopy(model), material, rate, quick)
                 for rate in (QUICK_RATES if quick else RATES)]
        return {"units": model.layers[-1].input_size, "parameters": model.parameters.size,
                **min(tried, key=operator.itemgetter("valid")),
                "epoch": _epoch(model, material)}

    def table(self, results: Results) -> str:
        """A table for each task and size."""
        lines = [self.title, self.source]
        for length in sorted({run.length for run in results.done}):
            task = f"the adding problem, {length} steps" if length == ADDING else "JSB"
            for size in SIZES:
                rows = [["cell", "units", "parameters", "s/epoch", "rate", "epochs", "valid",
                         "test", "+-", "seeds"], *_rows(results, size, length)]
                lines += ["", f"{task}, {size}", *aligned(rows)]
        return "\n".join(lines)

    def draw(self, results: Results, figure: Any) -> None:
        """Draw the test losses, a line for each cell and a mark for each size."""
        axes, cells = figure.subplots(), list(CELLS)
        for size, marker in zip(SIZES, "os", strict=True):
            points = [(entry["test"], cells.index(run.arm.split("; ")[0]))
                      for run, entry in results.done.items() if run.arm.endswith(size)]
            if points:
                axes.plot(*zip(*points, strict=True), marker, alpha=0.6, label=size)
        axes.set_title(self.title, fontsize="medium", wrap=True)
        axes.set(xlabel="test loss", yticks=range(len(cells)), yticklabels=cells)
        axes.invert_yaxis()
        figure.legend(loc="outside right upper")


def _trained(model: rc.Model, material: Material, rate: float, quick: bool) -> dict[str, Any]:
    """Train at a rate; what has come of it."""
    try:
        history = model.fit(material.train, valid=material.valid, batch_size=BATCH,
                            epochs=QUICK_EPOCHS if quick else EPOCHS, optimizer=rc.Adam(rate),
                            schedule=rc.HalveOnWorse(than="best", patience=1),
                            clip_norm=THRESHOLD, early_stopping=PATIENCE)
    except FloatingPointError:
        return {"rate": rate, "epochs": 0, "valid": math.inf, "test": math.inf}
    return {"rate": rate, "epochs": len(history.loss), "valid": min(history.valid_loss),
            "test": model.evaluate(material.test).loss}


def _rows(results: Results, size: str, length: int) -> list[list[str]]:
    """A row for each cell: the means over the seeds, the fastest epoch of all."""
    rows = []
    for cell in CELLS:
        if measured := results.of(f"{cell}; {size}", length):
            column = {key: np.array([entry[key] for entry in measured]) for key in measured[0]}
            deviation = column["test"].std(ddof=1) if len(measured) > 1 else np.nan
            rows.append([cell, f"{column['units'][0]}", f"{column['parameters'][0]}",
                         f"{column['epoch'].min():.2f}", f"{np.median(column['rate']):g}",
                         f"{column['epochs'].mean():.0f}",
                         f"{column['valid'].mean():.4g}", f"{column['test'].mean():.4g}",
                         "" if np.isnan(deviation) else f"{deviation:.2g}",
                         str(len(measured))])
    return rows


def _epoch(model: rc.Model, material: Material) -> float:
    """Seconds of an epoch of training; its updates change nothing that matters."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        model.fit(material.train, batch_size=BATCH, optimizer=rc.Adam(0.0),
                  clip_norm=THRESHOLD)
        seconds.append(time.perf_counter() - start)
    return round(min(seconds), 6)
