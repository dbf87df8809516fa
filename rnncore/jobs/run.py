"""A training of the command line: shown while it runs, stopped between two updates, the best
model kept, and gone on with where it was stopped.

The run itself is a checkpoint of `fit` beside the file of the best model: after each epoch, and
when training stops, `PATH.run` holds all that another process needs to go on with the same
bits. It is removed when training is done, or has diverged, as it would again. The record of the
run, for a report, is written before that: see `rnncore.jobs.record`.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from rnncore.analysis.monitor import Monitor
from rnncore.jobs import InputError
from rnncore.jobs.recipe import Recipe
from rnncore.jobs.record import Record, Score, looked_at, save_record
from rnncore.jobs.stop import StopRequest
from rnncore.model import Model
from rnncore.parameters import Array
from rnncore.training import History

if TYPE_CHECKING:
    from tqdm import tqdm

Path = str | os.PathLike[str]


class Best(NamedTuple):
    """The score of the best model so far, and how much it had been trained on."""

    score: float
    seen: int


@dataclass(frozen=True)
class Job:
    """What is trained on what, and how it is judged.

    Attributes
    ----------
    model : Model
        Trained in place.
    data, batch_size, epochs
        As in `fit`.
    size : int
        How many units an epoch has, be they characters or sequences.
    updates : int
        How many updates an epoch has, at most.
    seen : callable
        How many units so many updates of an epoch have seen.
    evaluate : callable
        Returns the held-out score of the present model; less is better.
    save : callable
        Writes the present model to its file.
    report : callable
        Called with each score, or with `only_best` with those that are the best so far.
    unit, loss : str
        The names of a unit, "characters", and of the training loss.
    probe : dict of arrays
        "x", "target" and, if need be, "lengths" of some sequences to be looked at.
    scale : float
        What multiplies the training loss where it is shown.
    """

    model: Model
    data: Any
    batch_size: int
    epochs: int
    size: int
    updates: int
    seen: Callable[[int], int]
    evaluate: Callable[[], float]
    save: Callable[[], None]
    report: Callable[[float], None]
    unit: str
    loss: str
    probe: dict[str, Array]
    scale: float = 1.0
    only_best: bool = False

    def monitor(self) -> Monitor:
        """A monitor of the model, which looks at some of the probe."""
        return Monitor(self.model, **looked_at(self.probe, self.model.per_step))


@dataclass(frozen=True)
class Files:
    """Where a run is kept.

    Attributes
    ----------
    best : path
        The file of the best model.
    resume : bool
        Whether to go on from the run beside it, if there is one.
    call : mapping
        Options and data by name, for JSON: a run goes on only if they are the same.
    about : mapping of str to str
        What a report is to say of the data and the model.
    """

    best: Path
    resume: bool = False
    call: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """The file of the run."""
        return f"{os.fspath(self.best)}.run"


def train(job: Job, recipe: Recipe, files: Files, stop: StopRequest) -> Best:
    """Train until all is done or a stop is asked for, and keep the best model.

    A first model is in its file as soon as the first epoch is over or training is stopped,
    before it is evaluated. The model present when training stops is kept if it is the best.

    Raises
    ------
    InputError
        If the run cannot be gone on with, or the options do not go with the model.
    OSError
        If a file cannot be written.
    """
    options = recipe.options(job.model, job.epochs * job.updates)
    first, monitor = job.model.parameters.copy(), job.monitor()
    diverged = False
    with _progress_bar(job.epochs * job.size) as bar:
        keeper = Keeper(job, files, stop, bar)
        try:
            job.model.fit(job.data, batch_size=job.batch_size, epochs=job.epochs, **options,
                          callbacks=[keeper, monitor], checkpoint=files.run,
                          resume=files.resume)
        except FloatingPointError as error:
            stop.ask(f"training diverged: {getattr(error, 'finding', error)}", 1)
            keeper.keep_if_best()
            diverged = True
        except ValueError as error:
            if keeper.begun:
                raise
            raise InputError(str(error)) from None
    save_record(keeper.record(first, monitor), files.best)
    if stop.reason is None or diverged:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(files.run)
    return keeper.best


class Keeper:
    """The callback of `fit` that shows the run, stops it and keeps the best model."""

    def __init__(self, job: Job, files: Files, stop: StopRequest, bar: tqdm[Any]) -> None:
        self.job, self.files, self.stop, self.bar = job, files, stop, bar
        self.best = Best(math.inf, 0)
        self.begun = False
        self._history = History()
        self._scores: list[Score] = []
        self._spent = 0.0  # seconds of the processes before
        self._epochs = self._before = 0  # epochs that ended, and the updates in them
        self._updates = 0  # all
        self._loss = 0.0  # running mean
        self._shown = 0  # updates that this process has made
        self._started, self._start = time.monotonic(), 0  # when, and at how many units

    def __call__(self, event: str, model: Model, history: History) -> bool:
        """Show an update; judge the model after an epoch, or if a stop was asked for."""
        self.begun, self._updates, self._history = True, len(history.update_loss), history
        if event == "update":
            self._show(history.update_loss[-1], history.grad_norm[-1])
            if self.stop.reason is None:
                return False
        else:
            self._epochs, self._before = len(history.loss), self._updates
        self.keep_if_best()
        return self.stop.reason is not None

    @property
    def seen(self) -> int:
        """The units that the model was trained on, in all epochs."""
        return self._epochs * self.job.size + self.job.seen(self._updates - self._before)

    @property
    def seconds(self) -> float:
        """What training and judging have taken, in all processes."""
        return self._spent + time.monotonic() - self._started

    def keep_if_best(self) -> None:
        """Judge the present model, save it if it is the best, and report its score."""
        if self.best.seen == 0:  # a file is there before anything that takes long
            self.job.save()
        score = self.job.evaluate()
        self._scores.append(Score(self._updates, self.seconds, score))
        is_best = score < self.best.score
        if is_best:
            self.best = Best(score, self.seen)
            self.job.save()
        if is_best or not self.job.only_best:
            with self.bar.external_write_mode():
                self.job.report(score)

    def record(self, first: Array, monitor: Monitor) -> Record:
        """What a report needs of the run, which began with the parameters `first`."""
        job, files = self.job, self.files
        return Record(files.about, files.call, job.unit, job.loss, job.scale,
                      self.stop.reason or "done", self.seen, self._scores, first, self._history,
                      monitor.observations, monitor.alarms, job.probe)

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint is to remember."""
        return {"call": dict(self.files.call), "best": list(self.best),
                "updates": self._updates, "epochs": self._epochs, "before": self._before,
                "scores": [list(score) for score in self._scores], "seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint, unless it belongs to another call or its model is gone."""
        for name, value in self.files.call.items():
            saved = state["call"].get(name)
            if saved != value:
                raise ValueError(f"its {name} is {saved!r}, expected {value!r} as in this call")
        if not os.path.exists(self.files.best):
            raise ValueError(f"its best model, {os.fspath(self.files.best)}, is missing")
        self.best, self._spent = Best(*state["best"]), state["seconds"]
        self._scores = [Score(*score) for score in state["scores"]]
        self._updates, self._epochs = state["updates"], state["epochs"]
        self._before, self._start = state["before"], 0
        self._start = self.seen
        self.bar.update(self._start)

    def _show(self, loss: float, norm: float) -> None:
        self._shown += 1
        # A mean over all updates at first, later over about the last fifty.
        self._loss += (loss * self.job.scale - self._loss) * max(1 / self._shown, 0.02)
        seen = self.seen
        rate = (seen - self._start) / (time.monotonic() - self._started)
        left = min((self.bar.total - seen) / max(rate, 1e-9), self.stop.seconds_left)
        minutes, seconds = divmod(max(round(left), 0), 60)
        self.bar.set_description_str(
            f"{self._loss:.3f} {self.job.loss}, gradient norm {norm:.2f}, "
            f"{rate:.0f} {self.job.unit}/s, {minutes}:{seconds:02d} left", refresh=False)
        self.bar.update(seen - self.bar.n)


def _progress_bar(total: int) -> tqdm[Any]:
    from tqdm import tqdm

    return tqdm(
        total=total,
        bar_format="{percentage:3.0f}% |{bar:20}| {desc}",
        mininterval=0.2 if sys.stderr.isatty() else 10.0,  # seconds; a log needs few lines
    )
