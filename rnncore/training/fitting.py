"""Fitting a model: what `model.fit` takes, checked and put together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnncore.data import arrange
from rnncore.layers.checks import check_count
from rnncore.optim import Optimizer
from rnncore.remedies import ClipStep, Omega
from rnncore.schedules import Schedule
from rnncore.training.checkpoint import Checkpoint
from rnncore.training.history import History
from rnncore.training.rules import check_callbacks, check_patience, checked
from rnncore.training.trainer import Callback, Trainer
from rnncore.training.walk import Walk

if TYPE_CHECKING:
    from rnncore.model import Model


def fit(model: Model, data: Any, *, valid: Any = None, epochs: int = 1, batch_size: int = 32,
        optimizer: Optimizer | None = None, schedule: Schedule | None = None,
        clip_norm: float | None = None, clip_value: float | None = None,
        tbptt: int | tuple[int, int] | None = None, checkpoint_every: int | None = None,
        omega: Omega | None = None, clip_step: ClipStep | float | None = None,
        regularizers: Sequence[Any] = (), constraints: Sequence[Any] = (),
        on_nonfinite: str = "raise", shuffle: bool = True, early_stopping: int | None = None,
        updates_per_epoch: int | None = None, callbacks: Sequence[Callback] = (),
        progress: bool = False, checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_updates: int | None = None, resume: bool = False,
        seed: int | np.random.Generator | None = None) -> History:
    """Train the model.

    Parameters
    ----------
    data : tuple, list or iterable
        Arrays (x, y), (x, y, lengths), (x, y, lengths, mask) or (x, y, lengths, mask, resets),
        any of the later ones None, the sequences along the batch axis, as in `loss_and_grad`;
        or a list of sequences (x_i, y_i) of any lengths, x_i (T_i, I); or an iterable of
        batches, each a tuple as above.
    valid : optional
        Data to evaluate after each epoch.
    epochs : int, default=1
        How often to go through the data.
    batch_size : int, default=32
        The number of sequences to an update; an iterable brings batches of its own.
    optimizer : Optimizer, optional
        A fresh `Adam()` by default.
    schedule : Schedule, optional
        What multiplies the learning rate at each update. After an epoch it hears the
        validation loss, or the training loss if there is none.
    clip_norm, clip_value : float, optional
        The largest norm of the gradient, and the largest magnitude of an element after that.
    tbptt : int or pair of int, optional
        Truncated BPTT (Williams & Peng 1990). k: an update every k steps, with the state
        carried on. (k1, k2) with k1 <= k2: an update every k1 steps, for which the last k2
        steps are run anew under the present weights; their gradient flows through all k2, and
        the last k1 count. The state that they start from was moved on by `infer`, k1 steps at
        a time, each time under the weights of then; with k1 = k2 it is the end of the last run.
    checkpoint_every : int, optional
        Keep the activations of so many steps at a time and compute all others anew: see
        `loss_and_grad`.
    omega : Omega, optional
        Regularize by Omega, with the weight of the epoch; with `tbptt`, window by window.
    clip_step : float or ClipStep, optional
        Clip what is carried from step to step in the backward pass.
    regularizers : sequence, optional
        Penalties such as `OrthogonalPenalty`: their gradients join before the norm is taken.
    constraints : sequence, optional
        Such as `SpectralRadius`: projections after each step of the optimizer.
    on_nonfinite : "raise", "skip" or "zero", default="raise"
        What to do about a loss or gradient that is not finite: raise before the update; leave
        the update out and count it (after such a loss the state starts from zero); or put 0 for
        the elements that are not finite, and count that.
    shuffle : bool, default=True
        Whether batches are made anew for each epoch: of random sequences, or from a list
        of random ones of similar length. Otherwise, and from an iterable, they come in order.
    early_stopping : int, optional
        Stop when the validation loss has had no new minimum for so many epochs. However the
        run ends but by an error or Ctrl-C, the weights of the best epoch come back.
    updates_per_epoch : int, optional
        End an epoch after so many updates, and go on in the data where it ended. Data that
        come to an end begin anew, so that endless iterables and short lists both will do.
    callbacks : sequence of callables, optional
        Each is called as `callback(event, model, history)` after each update, with the event
        "update", and after each epoch, with "epoch"; if one returns True, training stops.
        What has `state_dict` (for JSON) and `load_state_dict` goes into the checkpoint.
    progress : bool, default=False
        Whether to show a progress bar.
    checkpoint : path, optional
        A file to which the whole run is written after each epoch and at the end; never with
        parameters that are not finite. It appears whole, or the last one stays.
    checkpoint_updates : int, optional
        Write it after every so many updates instead, and at the end.
    resume : bool, default=False
        Go on from the checkpoint, in the bits of a run that was never stopped, or start anew
        if there is no such file. Data, arguments and random seeds must be those of the first
        call. Data with `state_dict` and `load_state_dict` are set to where they were; of other
        iterables the batches that were used are drawn and passed over.
    seed : int, Generator or None
        Of the shuffling; by default it goes on with the model's own generator.

    Returns
    -------
    History
        Losses, norms and validation results as plain lists; `history.arrays()` for arrays.

    Raises
    ------
    FloatingPointError
        If a loss or gradient is not finite; the model is as after the update before, and so
        is the checkpoint.
    OSError
        If the checkpoint cannot be read or written.
    TypeError, ValueError
        If an argument is wrong, or the checkpoint of another run. The model is unchanged,
        except that a batch of an iterable is looked at only when its turn comes.

    Notes
    -----
    Ctrl-C leaves the model between two updates, with the weights of that moment.

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
    for name, count in [("updates_per_epoch", updates_per_epoch),
                        ("checkpoint_updates", checkpoint_updates)]:
        if count is not None:
            check_count(name, count)
    check_patience(early_stopping, valid is not None)
    check_callbacks(callbacks)
    rules = checked(model, optimizer, schedule, tbptt, checkpoint_every, clip_norm, clip_value,
                    regularizers, constraints, omega, clip_step, on_nonfinite)
    training = arrange(model, data, "data", epochs if updates_per_epoch is None else 1)
    validation = None if valid is None else arrange(model, valid, "valid", epochs)
    rng = model.rng if seed is None else np.random.default_rng(seed)
    walk = Walk(model, training, batch_size, rng if shuffle else None, rules.windows)
    trainer = Trainer(model, rules, walk, epochs=epochs, updates_per_epoch=updates_per_epoch,
                      valid=validation, patience=early_stopping, callbacks=callbacks)
    Checkpoint.attach(trainer, checkpoint, checkpoint_updates, resume)
    pieces = updates_per_epoch or training.updates(
        batch_size, rules.windows[0] if rules.windows else None)
    with _progress_bar(progress, pieces and pieces * epochs, trainer.history) as show:
        return trainer.run(show)


@contextlib.contextmanager
def _progress_bar(shown: bool, total: int | None,
                  history: History) -> Iterator[Callable[[History], None]]:
    """A bar that goes on by one update with each call, or a call that does nothing."""
    if not shown:
        yield lambda history: None
        return
    from tqdm import tqdm

    with tqdm(total=total, initial=len(history.update_loss), unit=" updates") as bar:
        def show(history: History) -> None:
            if history.update_loss:
                bar.set_postfix_str(f"loss {history.update_loss[-1]:.4g}, "
                                    f"norm {history.grad_norm[-1]:.3g}", refresh=False)
            bar.update()

        yield show
