"""Training a character model: truncated BPTT over contiguous streams, the best model kept.

The defaults were chosen for the held-out bits after equal work on CPython's documentation, and
give 1.67 there (6-gram 1.93) and 2.21 on tinyshakespeare (6-gram 2.45).
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import rnncore as rc
from rnncore.text.character import CharacterModel, bits_per_character, save_character_model
from rnncore.text.corpus import Split, streams

if TYPE_CHECKING:
    from tqdm import tqdm

BATCH = 16  # streams; twice as many cost 0.07 bits at equal work
STEPS = 32  # characters between updates; twice as many cost 0.03 bits at equal work
LEARNING_RATE = 4e-3  # of Adam, at the start; it falls to 0 on half a cosine
CLIP_NORM = 1.0  # a guard against outliers: gradients of the default model stay below it
TRAINING_CHARACTERS = 1_800_000  # what the default number of epochs comes nearest to
MAX_EPOCHS = 30  # of the default: short texts are learnt by heart before


@dataclass(frozen=True)
class Plan:
    """How to cut the training part into windows, and how often to go through it."""

    epochs: int
    batch: int

    @classmethod
    def of(cls, n_characters: int, epochs: int | None = None) -> Plan:
        """Plan for a training part of so many characters; `epochs` defaults by its length.

        Examples
        --------
        >>> Plan.of(418_544), Plan.of(1_003_855), Plan.of(10**8)
        (Plan(epochs=4, batch=16), Plan(epochs=2, batch=16), Plan(epochs=1, batch=16))
        >>> Plan.of(900)
        Plan(epochs=30, batch=16)
        """
        usual = min(max(round(TRAINING_CHARACTERS / n_characters), 1), MAX_EPOCHS)
        # A text too short for full streams gets fewer, not shorter ones.
        batch = min(max((n_characters - 1) // STEPS, 1), BATCH)
        return cls(usual if epochs is None else epochs, batch)


@dataclass(frozen=True)
class Outcome:
    """The held-out bits per character of the best model, and the characters it had read."""

    bits: float
    characters: int


class StopRequest:
    """Ctrl-C, SIGTERM and a deadline as a question that training asks between two updates.

    Within the context the first signal of a kind only makes `reason` say so; a second one acts
    as it would outside. Ignored signals stay ignored. `exit_code` is 0 for the deadline and
    128 + the signal's number otherwise.

    Examples
    --------
    >>> with StopRequest(max_seconds=3600) as stop:
    ...     stop.reason is None, stop.seconds_left > 3500
    (True, True)
    """

    def __init__(self, max_seconds: float = math.inf) -> None:
        self.max_seconds = max_seconds
        self.exit_code = 0
        self._asked: str | None = None
        self._deadline = math.inf
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        self._deadline = time.monotonic() + self.max_seconds
        if threading.current_thread() is threading.main_thread():  # others get no signals
            for number in (signal.SIGINT, signal.SIGTERM):
                # None: a handler that Python did not install and could not put back.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _note(self, number: int, frame: FrameType | None) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self.ask(f"stopped by {name}", 128 + number)
        if number in self._previous:  # not so where two signals meet a postponed call
            signal.signal(number, self._previous.pop(number))

    def ask(self, reason: str, exit_code: int) -> None:
        """Make training stop, for this reason."""
        self._asked, self.exit_code = reason, exit_code

    @property
    def seconds_left(self) -> float:
        """Seconds to the deadline, inf where there is none."""
        return self._deadline - time.monotonic()

    @property
    def reason(self) -> str | None:
        """Why training is to stop, None while it is not."""
        if self._asked is None and self.seconds_left <= 0:
            return f"stopped after {self.max_seconds:g} seconds"
        return self._asked


def train(
    model: CharacterModel,
    parts: Split,
    plan: Plan,
    path: str | PathLike[str],
    *,
    stop: StopRequest,
    report: Callable[[float], None],
) -> Outcome:
    """Train a model in place and keep the best one, by held-out bits, in a file.

    Parameters
    ----------
    model : CharacterModel
        What to train; afterwards it is the present model, not the best one.
    parts : Split
        The text to train on and the text to judge by.
    plan : Plan
        The number of epochs and of streams.
    path : str or path-like
        Where the best model so far is written. A first one is there as soon as the first epoch
        is over or training is stopped, before it is evaluated.
    stop : StopRequest
        Asked after each update. The model present when it says stop is kept if it is the best.
    report : callable
        Called with the held-out bits per character of the present model after each epoch.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    return _Run(model, parts, plan, path, stop).all_epochs(report)


class _Run:
    """The state of one training run."""

    def __init__(
        self,
        model: CharacterModel,
        parts: Split,
        plan: Plan,
        path: str | PathLike[str],
        stop: StopRequest,
    ) -> None:
        self.model, self.held_out, self.path, self.stop = model, parts.held_out, path, stop
        self.inputs, self.targets = streams(parts.training, plan.batch)  # (N, batch) each
        self.optimizer = rc.Adam(lr=LEARNING_RATE)
        self.epochs = plan.epochs
        self.planned = plan.epochs * self.inputs.size  # characters
        self.done = 0  # characters
        self.updates = 0
        self.bits = 0.0  # running mean of the training loss
        self.best = Outcome(math.inf, 0)

    def all_epochs(self, report: Callable[[float], None]) -> Outcome:
        started = time.monotonic()
        with _progress_bar(self.planned) as bar:
            for _ in range(self.epochs):
                self._epoch(bar, started)
                bits = self._keep_if_best()
                with bar.external_write_mode():
                    report(bits)
                if self.stop.reason is not None:
                    break
        return self.best

    def _epoch(self, bar: tqdm[Any], started: float) -> None:
        """Go once through the streams, from zero states, or until asked to stop."""
        state: Any = None
        for start in range(0, len(self.inputs), STEPS):
            window = slice(start, start + STEPS)
            x, y = self.inputs[window], self.targets[window]
            loss, state = self.model.network.loss_and_grad(x, y, state=state)
            try:
                norm = self.model.network.clip_norm(CLIP_NORM)
            except FloatingPointError as error:
                self.stop.ask(f"training diverged: {error}", 1)
                return
            self.optimizer.lr = LEARNING_RATE * (1 + math.cos(math.pi * self.progress)) / 2
            self.optimizer.step(self.model.network)
            self._count(x.size, loss / math.log(2))
            bar.set_description_str(self._status(norm, started), refresh=False)
            bar.update(x.size)
            if self.stop.reason is not None:
                return

    @property
    def progress(self) -> float:
        return self.done / self.planned

    def _count(self, characters: int, bits: float) -> None:
        self.done += characters
        self.updates += 1
        # A mean over all updates at first, later over about the last fifty.
        self.bits += (bits - self.bits) * max(1 / self.updates, 0.02)

    def _status(self, norm: float, started: float) -> str:
        rate = self.done / (time.monotonic() - started)
        left = min((self.planned - self.done) / rate, self.stop.seconds_left)
        minutes, seconds = divmod(max(round(left), 0), 60)
        return (
            f"{self.bits:.3f} bits per character, gradient norm {norm:.2f}, "
            f"{rate:.0f} characters/s, {minutes}:{seconds:02d} left"
        )

    def _keep_if_best(self) -> float:
        """Return the held-out bits of the present model, having saved it if it is the best."""
        if self.best.characters == 0:  # a file is there before anything that takes long
            save_character_model(self.model, self.path)
        bits = bits_per_character(self.model.network, self.held_out)
        if bits < self.best.bits:
            self.best = Outcome(bits, self.done)
            save_character_model(self.model, self.path)
        return bits


def _progress_bar(total: int) -> tqdm[Any]:
    from tqdm import tqdm

    return tqdm(
        total=total,
        bar_format="{percentage:3.0f}% |{bar:20}| {desc}",
        mininterval=0.2 if sys.stderr.isatty() else 10.0,  # seconds; a log needs few lines
    )
