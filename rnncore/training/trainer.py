"""A training run: the loop over epochs and updates, and all that it must remember.

Whatever changes from one update to the next is in the model (parameters, generators), the
optimizer, the schedule, the history, the walk through the data and a handful of numbers here;
`rnncore.training.checkpoint` writes them down, and a run that is taken up from there goes on
with the same bits.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rnncore.batch import Batch
from rnncore.data import Data
from rnncore.evaluation import evaluate_arranged
from rnncore.parameters import Array
from rnncore.remedies import remedies
from rnncore.training.history import History
from rnncore.training.rules import Rules, update
from rnncore.training.walk import Walk

if TYPE_CHECKING:
    from rnncore.model import Model

Callback = Callable[[str, "Model", History], Any]


class Trainer:
    """One run of `fit`, whose arguments have been checked.

    `save` writes the run down: after every `save_every` updates, or after each epoch if that
    is None, at the end, and before a run that diverges is given up.
    """

    def __init__(self, model: Model, rules: Rules, walk: Walk, *, epochs: int,
                 updates_per_epoch: int | None, valid: Data | None, patience: int | None,
                 callbacks: Sequence[Callback]) -> None:
        self.model, self.rules, self.walk, self.history = model, rules, walk, History()
        self.epochs, self.updates_per_epoch = epochs, updates_per_epoch
        self.valid, self.patience, self.callbacks = valid, patience, tuple(callbacks)
        self.save: Callable[[Trainer], None] = lambda trainer: None
        self.save_every: int | None = None
        self.total = self.weight = 0.0  # of the losses of the present epoch
        self.updates = 0  # in the present epoch
        self.barren = False  # whether the data began anew and no update came since
        self.best: Array | None = None  # the parameters (n,) of the best epoch
        self._changed = False  # since it was saved

    def run(self, show: Callable[[History], None]) -> History:
        """Train to the end, or until a callback or early stopping has had enough."""
        stopped = False
        with _training_mode(self.model):
            while not stopped and len(self.history.loss) < self.epochs and not self._worn_out():
                stopped = self._epoch(show) or self._end_epoch()
        self._save()
        if self.best is not None:
            with self.model.writable() as flat:
                flat[:] = self.best
        return self.history

    def _epoch(self, show: Callable[[History], None]) -> bool:
        """Go on to the end of the epoch; return whether a callback has had enough."""
        while self.updates != self.updates_per_epoch:
            window = self.walk.window()
            if window is not None:
                if self._learn(window, show) and self._after_update():
                    return True
            elif self.updates_per_epoch is None:
                break
            elif self.barren:
                raise ValueError(f"data have nothing to learn from, expected batches for "
                                 f"{self.updates_per_epoch} updates in each epoch")
            else:
                self.barren = True  # until an update is made
        return False

    def _learn(self, window: Batch, show: Callable[[History], None]) -> bool:
        """Run a window and update by it; return whether there was something to learn."""
        drawn = self.model.generator_states()
        rules, epoch = self.rules, len(self.history.loss)
        found = self.model.batch_gradient(
            window, self.walk.state, checkpoint_every=rules.checkpoint_every,
            given=remedies(rules.omega, rules.clip_step, epoch))
        learns = found.weight > 0  # with nothing to learn from, not even momentum moves it
        try:
            if learns:
                update(self.model, found.loss, self.rules, self.history)
        except FloatingPointError:
            self.model.restore_generators(drawn)
            self._save()
            raise
        finite = math.isfinite(found.loss)
        if finite:
            self.total += found.loss * (found.weight if self.model.reduction == "mean" else 1)
            self.weight += found.weight
        self.walk.advance(found.state if finite else None)  # else it may not be finite either
        self.updates += learns
        self.barren, self._changed = self.barren and not learns, True
        show(self.history)
        return learns

    def _after_update(self) -> bool:
        stopped = self._called("update")
        if self.save_every and len(self.history.update_loss) % self.save_every == 0:
            self._save()
        return stopped

    def _end_epoch(self) -> bool:
        """Validate, note the best, and tell the schedule and the callbacks."""
        history, mean = self.history, self.model.reduction == "mean"
        history.loss.append(self.total / (self.weight or 1.0) if mean else self.total)
        heard = history.loss[-1]
        if self.valid is not None:
            result = evaluate_arranged(self.model, self.valid, self.walk.batch_size)
            history.valid_loss.append(result.loss)
            if result.accuracy is not None:
                history.valid_accuracy.append(result.accuracy)
            heard = result.loss
        if self.patience is not None and history.best_epoch == len(history.loss) - 1:
            self.best = self.model.parameters.copy()
        if self.rules.schedule is not None:
            self.rules.schedule.epoch_ended(heard)
        self.total, self.weight, self.updates, self._changed = 0.0, 0.0, 0, True
        stopped = self._called("epoch")
        if self.save_every is None:
            self._save()
        return stopped

    def _worn_out(self) -> bool:
        """Whether no epoch of the last `patience` was the best so far."""
        best, count = self.history.best_epoch, len(self.history.valid_loss)
        waited = count if best is None else count - 1 - best
        return self.patience is not None and waited >= self.patience

    def _called(self, event: str) -> bool:
        """Call every callback; return whether one has had enough."""
        answers = [callback(event, self.model, self.history) for callback in self.callbacks]
        return any(answer is True for answer in answers)

    def _save(self) -> None:
        if self._changed:
            self.save(self)
            self._changed = False


@contextlib.contextmanager
def _training_mode(model: Model) -> Iterator[None]:
    """Dropout on within a `with` block, and as it was after it."""
    before = [layer.training for layer in model.layers]
    model.train()
    try:
        yield
    finally:
        for layer, mode in zip(model.layers, before, strict=True):
            layer.training = mode
