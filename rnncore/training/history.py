"""The record of a training run."""

from __future__ import annotations

import math

import numpy as np

from rnncore.parameters import Array

_SERIES = ("loss", "valid_loss", "valid_accuracy", "update_loss", "grad_norm", "lr_factor",
           "penalty", "omega", "omega_live")
_COUNTS = ("skipped", "zeroed")


class History:
    """What happened in a `fit`.

    Attributes
    ----------
    loss : list of float, one per epoch
        The training loss over all that counted in the epoch, at the weights of each update.
    valid_loss, valid_accuracy : list of float, one per epoch
        What `evaluate` gives for the validation data after the epoch; empty without them.
    update_loss, grad_norm, lr_factor : list of float, one per update
        The loss, the norm of the gradient before clipping, and what the schedule multiplied
        the learning rate by.
    penalty : list of float, one per update
        The sum of the regularizers; empty without them.
    omega, omega_live : list of float, one per update
        Omega without its weight, and the share of its terms that are live; empty without it.
    skipped, zeroed : int
        Updates left out, and updates with elements put to 0, because a loss or gradient was
        not finite.

    Examples
    --------
    >>> import rnncore as rc
    >>> x = np.ones((5, 2, 1), np.float32)
    >>> history = rc.Model([rc.RNN(1, 1)], seed=0).fit((x, x), epochs=3)
    >>> len(history.loss), history.arrays()["grad_norm"].shape
    (3, (3,))
    """

    def __init__(self) -> None:
        self.loss: list[float] = []
        self.valid_loss: list[float] = []
        self.valid_accuracy: list[float] = []
        self.update_loss: list[float] = []
        self.grad_norm: list[float] = []
        self.lr_factor: list[float] = []
        self.penalty: list[float] = []
        self.omega: list[float] = []
        self.omega_live: list[float] = []
        self.skipped = 0
        self.zeroed = 0

    @property
    def best_epoch(self) -> int | None:
        """The epoch, from 0, of the lowest validation loss; None if there is none."""
        losses = [math.inf if math.isnan(loss) else loss for loss in self.valid_loss]
        best = min(losses, default=math.inf)
        return losses.index(best) if best < math.inf else None

    def arrays(self) -> dict[str, Array]:
        """All lists and counts by name, as float64 arrays (n,) and int64 numbers."""
        result: dict[str, Array] = {name: np.array(getattr(self, name), np.float64)
                                    for name in _SERIES}
        return result | {name: np.array(getattr(self, name)) for name in _COUNTS}

    def load(self, arrays: dict[str, Array]) -> None:
        """Take over what `arrays` gave."""
        for name in _SERIES:
            setattr(self, name, arrays[name].tolist())
        for name in _COUNTS:
            setattr(self, name, int(arrays[name]))

    def __repr__(self) -> str:
        last = {"loss": self.loss, "valid_loss": self.valid_loss}
        ends = "".join(f", {name}={values[-1]:.4g}" for name, values in last.items() if values)
        return (f"History(epochs={len(self.loss)}, updates={len(self.update_loss)}{ends}, "
                f"skipped={self.skipped})")
