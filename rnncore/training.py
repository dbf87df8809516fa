"""Fitting a model: epochs of batches, one update after the other."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnncore.data import Batch, arrange
from rnncore.evaluation import check_count, evaluate_arranged
from rnncore.optim import Adam, Optimizer, check_clipping

if TYPE_CHECKING:
    from rnncore.model import Model
    from rnncore.network import State


class History:
    """What happened in a `fit`.

    Attributes
    ----------
    loss : list of float, one per epoch
        The training loss over all that counted in the epoch, at the weights of each update.
    valid_loss, valid_accuracy : list of float, one per epoch
        What `evaluate` gives for the validation data after the epoch; empty without them.
    update_loss, grad_norm : list of float, one per update
        The loss, and the norm of the gradient before clipping.
    skipped : int
        Updates left out because a loss or gradient was not finite.
    """

    def __init__(self) -> None:
        self.loss: list[float] = []
        self.valid_loss: list[float] = []
        self.valid_accuracy: list[float] = []
        self.update_loss: list[float] = []
        self.grad_norm: list[float] = []
        self.skipped = 0

    def __repr__(self) -> str:
        last = {"loss": self.loss, "valid_loss": self.valid_loss}
        ends = "".join(f", {name}={values[-1]:.4g}" for name, values in last.items() if values)
        return (f"History(epochs={len(self.loss)}, updates={len(self.update_loss)}{ends}, "
                f"skipped={self.skipped})")


def fit(model: Model, data: Any, *, valid: Any = None, epochs: int = 1, batch_size: int = 32,
        optimizer: Optimizer | None = None, clip_norm: float | None = None,
        tbptt: int | None = None, on_nonfinite: str = "raise", shuffle: bool = True,
        progress: bool = False, seed: int | np.random.Generator | None = None) -> History:
    """Train the model.

    Parameters
    ----------
    data : tuple, list or iterable
        Arrays (x, y), (x, y, lengths) or (x, y, lengths, mask), the sequences along the batch
        axis; or a list of sequences (x_i, y_i) of any lengths, x_i (T_i, I); or an iterable of
        batches, each a tuple as above.
    valid : optional
        Data to evaluate after each epoch.
    epochs : int, default=1
        How often to go through the data.
    batch_size : int, default=32
        The number of sequences to an update; an iterable brings batches of its own.
    optimizer : Optimizer, optional
        A fresh `Adam()` by default.
    clip_norm : float, optional
        The largest norm of the gradient.
    tbptt : int, optional
        Truncated BPTT: an update every so many steps, with the state carried on.
    on_nonfinite : "raise", "skip" or "zero", default="raise"
        What to do about a loss or gradient that is not finite: raise before the update; leave
        the update out and count it (after such a loss the state starts from zero); or put 0 for
        the elements that are not finite.
    shuffle : bool, default=True
        Whether batches are made anew for each epoch: of random sequences, or from a list
        of random ones of similar length. Otherwise, and from an iterable, they come in order.
    progress : bool, default=False
        Whether to show a progress bar.
    seed : int, Generator or None
        Of the shuffling; by default it goes on with the model's own generator.

    Returns
    -------
    History
        Losses, norms and validation results as plain lists.

    Raises
    ------
    FloatingPointError
        If a loss or gradient is not finite; the model is as after the update before.
    TypeError, ValueError
        If an argument is wrong. The model is unchanged, except that a batch of an iterable is
        looked at only when its turn comes.

    Notes
    -----
    Ctrl-C leaves the model between two updates.

    Examples
    --------
    >>> import rnncore as rc
    >>> x = np.random.default_rng(0).standard_normal((20, 64, 1)).astype(np.float32)
    >>> model = rc.Model([rc.GRU(1, 8), rc.Linear(8, 1)], seed=0)
    >>> history = model.fit((x, np.cumsum(x, axis=0) / 10), epochs=20, optimizer=rc.Adam(0.01))
    >>> len(history.grad_norm), history.loss[-1] < history.loss[0]
    (40, True)
    """
    check_count("epochs", epochs, at_least=0)
    check_count("batch_size", batch_size)
    rules = _rules(model, optimizer, clip_norm, tbptt, on_nonfinite)
    training = arrange(model, data, "data", epochs)
    validation = None if valid is None else arrange(model, valid, "valid", epochs)
    rng = model.rng if seed is None else np.random.default_rng(seed)
    history = History()
    updates = training.updates(batch_size, tbptt)
    with _training_mode(model), _progress_bar(progress, updates and updates * epochs) as show:
        for _ in range(epochs):
            batches = training.batches(batch_size, rng if shuffle else None)
            history.loss.append(_epoch(model, batches, rules, history, show))
            if validation is not None:
                result = evaluate_arranged(model, validation, batch_size)
                history.valid_loss.append(result.loss)
                if result.accuracy is not None:
                    history.valid_accuracy.append(result.accuracy)
    return history


class _Rules(NamedTuple):
    """What an update goes by."""

    optimizer: Optimizer
    tbptt: int | None
    clip_norm: float
    on_nonfinite: str


def _rules(model: Model, optimizer: Optimizer | None, clip_norm: float | None,
           tbptt: int | None, on_nonfinite: str) -> _Rules:
    """The rules, checked; the optimizer gets its moments, or refuses the model."""
    if tbptt is not None:
        check_count("tbptt", tbptt)
        if not model.carries:
            raise ValueError(f"tbptt is {tbptt}, expected None for a model with Last or a "
                             "bidirectional layer: its steps cannot be run in pieces")
    threshold = math.inf if clip_norm is None else clip_norm
    check_clipping(threshold, on_nonfinite)
    optimizer = Adam() if optimizer is None else optimizer
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is of type {type(optimizer).__name__}, expected an "
                        "Optimizer such as Adam()")
    optimizer.attach(model.tensors)
    return _Rules(optimizer, tbptt, threshold, on_nonfinite)


def _epoch(model: Model, batches: Iterator[Batch], rules: _Rules, history: History,
           show: Callable[[History], None]) -> float:
    """Go through the batches once; return the loss over all that was finite."""
    total, counted = 0.0, 0
    for batch in batches:
        state: State | None = None
        for piece in batch.pieces(rules.tbptt):
            loss, state, count = model.batch_gradient(piece, state)
            if not math.isfinite(loss):
                state = None  # it may not be finite either
            if count:  # with nothing to learn from, not even momentum moves the model
                _update(model, loss, rules, history)
            if math.isfinite(loss):
                total += loss * count if model.reduction == "mean" else loss
                counted += count
            show(history)
    return total / max(counted, 1) if model.reduction == "mean" else total


def _update(model: Model, loss: float, rules: _Rules, history: History) -> None:
    """Clip and step, unless something is not finite and the rules are against it."""
    number = len(history.update_loss) + 1
    if not math.isfinite(loss) and rules.on_nonfinite == "raise":
        raise FloatingPointError(f"loss of update {number} is {loss}, expected a finite number")
    try:
        norm = model.clip_norm(rules.clip_norm, rules.on_nonfinite)
    except FloatingPointError as error:
        raise FloatingPointError(f"update {number}: {error}") from None
    history.update_loss.append(loss)
    history.grad_norm.append(norm)
    if rules.on_nonfinite == "skip" and not math.isfinite(loss + norm):
        history.skipped += 1
    else:
        rules.optimizer.step(model)


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


@contextlib.contextmanager
def _progress_bar(shown: bool, total: int | None) -> Iterator[Callable[[History], None]]:
    """A bar that goes on by one update with each call, or a call that does nothing."""
    if not shown:
        yield lambda history: None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=" updates") as bar:
        def show(history: History) -> None:
            if history.update_loss:
                bar.set_postfix_str(f"loss {history.update_loss[-1]:.4g}, "
                                    f"norm {history.grad_norm[-1]:.3g}", refresh=False)
            bar.update()

        yield show
