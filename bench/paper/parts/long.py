"""Remedies for long sequences that stand alone, each with and without.

Adding problem, a mark in each half; solved at a mean squared error below 0.01, a guess has 1/6:

    IRNN          100 ReLU units, W_hh = I, other weights from N(0, 0.001^2), biases 0
                  (Le, Jaitly & Hinton 2015); or the same net with W_hh normal, of a spectral
                  radius near 1, or as small as the other weights
    IndRNN        two layers of 128 units, |u| <= 2^(1/T), u of the upper layer near 1 from the
                  start (Li et al. 2018); or the same start without the bound
    LSTM          100 units, a forget bias of 1

Copy memory; solved at a tenth of the cross-entropy of who knows when, but not what:

    orthogonal    a linear RNN of 128 units that begins orthogonal (Henaff, Szlam & LeCun 2016),
                  and is left alone, or has a penalty of 0.01 |W'W - I|^2, or W'W = I after each
                  update (Vorontsov et al. 2017); or it begins as by default
    LSTM          128 units

Batches of 32, Adam at the rate of the arm, a threshold of 1. Every 250 updates 1000 fresh
sequences are tried, and a second 1000 have to confirm it when a run is solved. It ends then,
when a loss or gradient is not finite, or after the arm's number of updates, a third of it with
--quick.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import rnncore as rc
from paper.part import Part, aligned
from paper.runs import Results, Run

BATCH, THRESHOLD, BETWEEN, TRIED = 32, 1.0, 250, 1000

Task = rc.tasks.AddingProblem | rc.tasks.CopyMemory


class Arm(NamedTuple):
    """A network, how it begins, and what holds it."""

    task: type[rc.tasks.AddingProblem] | type[rc.tasks.CopyMemory]
    layer: Callable[[int], rc.LSTM | rc.RNN | rc.IndRNN]  # from the features of x
    rate: float
    updates: int  # at most
    start: Callable[[rc.Model, int, int], None] = lambda model, length, seed: None
    held: Callable[[int], dict[str, Any]] = lambda length: {}  # from the length, for `fit`


def _relu(features: int) -> rc.RNN:
    return rc.RNN(features, 100, activation="relu")


def _irnn(model: rc.Model, length: int, seed: int) -> None:
    rc.init.irnn(model, seed=seed)
    rc.init.normal(model, "2.weight", std=0.001, seed=seed + 1)


def _normal(model: rc.Model, length: int, seed: int) -> None:
    _irnn(model, length, seed)
    rc.init.normal(model, "*weight_hh*", std=0.1, seed=seed + 2)


def _small(model: rc.Model, length: int, seed: int) -> None:
    _irnn(model, length, seed)
    rc.init.normal(model, "*weight_hh*", std=0.001, seed=seed + 2)


def _two_indrnn(features: int) -> rc.IndRNN:
    return rc.IndRNN(features, 128, num_layers=2)


def _indrnn(model: rc.Model, length: int, seed: int) -> None:
    rc.init.indrnn(model, "*hh_l0", steps=length, seed=seed)
    rc.init.indrnn(model, "*hh_l1", steps=length, long_memory=True, seed=seed + 1)


def _linear(features: int) -> rc.RNN:
    return rc.RNN(features, 128, activation="identity")


def _orthogonal(model: rc.Model, length: int, seed: int) -> None:
    rc.init.orthogonal(model, "0.weight_hh*", seed=seed)


_ADDING, _COPY = rc.tasks.AddingProblem, rc.tasks.CopyMemory
ARMS = {
    "IRNN": Arm(_ADDING, _relu, 1e-4, 30_000, _irnn),
    "IRNN, normal start": Arm(_ADDING, _relu, 1e-4, 30_000, _normal),
    "IRNN, small start": Arm(_ADDING, _relu, 1e-4, 30_000, _small),
    "IndRNN": Arm(_ADDING, _two_indrnn, 1e-3, 10_000, _indrnn,
                  lambda length: {"constraints": [rc.IndRNNBound(length)]}),
    "IndRNN, no bound": Arm(_ADDING, _two_indrnn, 1e-3, 10_000, _indrnn),
    "LSTM, adding": Arm(_ADDING, lambda features: rc.LSTM(features, 100), 2e-3, 10_000),
    "orthogonal, hard": Arm(_COPY, _linear, 1e-3, 6000, _orthogonal,
                            lambda length: {"constraints": [rc.Orthogonal()]}),
    "orthogonal, soft": Arm(_COPY, _linear, 1e-3, 6000, _orthogonal,
                            lambda length: {"regularizers": [rc.OrthogonalPenalty(0.01)]}),
    "orthogonal, start only": Arm(_COPY, _linear, 1e-3, 6000, _orthogonal),
    "uniform start": Arm(_COPY, _linear, 1e-3, 6000),
    "LSTM, copy": Arm(_COPY, lambda features: rc.LSTM(features, 128), 1e-3, 6000),
}


def network(arm: Arm, task: Task, length: int, seed: int) -> rc.Model:
    """The model of an arm, as it begins."""
    layer = arm.layer(task.input_size)
    model = rc.Model([layer, *([rc.Last()] if task.last else []),
                      rc.Linear(layer.hidden_size, task.output_size)], task.loss, seed=seed)
    arm.start(model, length, seed)
    return model


class Long(Part):
    """Whether each remedy solves its task, and whether the net does without it."""

    title = "Long sequences: single remedies, with and without; medians over the seeds"
    source = ("published: IRNN and LSTM stay at the guess at T = 1000, IndRNN solves 5000 "
              "(Li et al. 2018);\ncopy memory at T = 1000: LSTM .0204 = the guess (Bai et al. "
              "2018)")
    arms = tuple(ARMS)
    lengths, seeds = (300, 1000), range(3)
    quick_lengths, quick_seeds = (100,), range(1)

    def run(self, run: Run, quick: bool) -> dict[str, Any]:
        arm = ARMS[run.arm]
        task = arm.task(run.length, seed=run.seed)
        model = network(arm, task, run.length, run.seed)
        optimizer, stream = rc.Adam(arm.rate), task.batches(BATCH)
        below, most = _solved_below(task), arm.updates // 3 if quick else arm.updates
        loss, updates, finite = math.nan, 0, True
        while finite and updates < most:
            try:
                model.fit(itertools.islice(stream, BETWEEN), optimizer=optimizer,
                          clip_norm=THRESHOLD, **arm.held(run.length))
            except FloatingPointError:
                finite = False
            updates += BETWEEN
            loss = _loss(model, task, 2 * updates)
            if loss < below:
                loss = _loss(model, task, 2 * updates + 1)
                if loss < below:
                    break
        return {"solved": loss < below, "updates": updates, "finite": finite, "loss": loss,
                "error": task.error_rate(model, TRIED)}

    def table(self, results: Results) -> str:
        """A line for each arm and length."""
        rows = [["arm", "length", "solved", "updates", "loss", "guess", "wrong", "not finite"]]
        for name, arm in ARMS.items():
            for length in sorted({run.length for run in results.done}):
                if measured := results.of(name, length):
                    values = {key: [entry[key] for entry in measured] for key in measured[0]}
                    rows.append([
                        name, str(length), f"{sum(values['solved'])} of {len(measured)}",
                        f"{median(values['updates']):.0f}", f"{median(values['loss']):.2g}",
                        f"{arm.task(length).baseline.loss:.2g}",
                        f"{100 * median(values['error']):.0f} %",
                        str(values["finite"].count(False) or "")])
        return "\n".join([self.title, self.source, "", *aligned(rows)])


def _solved_below(task: Task) -> float:
    return 0.01 if task.loss == "mse" else task.baseline.loss / 10


def _loss(model: rc.Model, task: Task, seed: int) -> float:
    """The loss of fresh sequences, those of the stream of another seed."""
    fresh = type(task)(task.lengths[0], seed=10_000 + seed)
    return float(model.evaluate(fresh.sample(TRIED)).loss)
