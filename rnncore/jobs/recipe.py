"""How updates are made: the options of `rnncore train` as arguments of `fit`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rnncore as rc
from rnncore.jobs import InputError

# Learning rates at the start, from which half a cosine falls to 0. Adam's was chosen with the
# other defaults of the character model. One epoch of it with 128 units gave, in held-out bits,
# 2.39, 2.10 and 2.30 for SGD at 0.3, 1 and 3, and 2.31, 2.07 and 2.03 for RMSprop at 2e-3, 4e-3
# and 8e-3, where the last step gains little.
RATES = {"sgd": 1.0, "rmsprop": 4e-3, "adam": 4e-3, "adamw": 4e-3}
MOMENTUM = 0.9  # of SGD
CLIP_NORM = 1.0  # a guard against outliers: gradients of the default model stay below it


@dataclass(frozen=True)
class Recipe:
    """The options that every training of the command line has.

    Attributes
    ----------
    optimizer : "sgd", "rmsprop", "adam" or "adamw"
        SGD has a momentum of 0.9.
    lr : float, optional
        The learning rate at the start; by default that of `RATES`.
    clip : float
        The largest norm of the gradient.
    clip_step : float, optional
        The largest norm of what is carried from step to step in the backward pass.
    omega : float, optional
        The weight of the regularizer Omega.
    tbptt : pair of int, optional
        Truncated BPTT: steps between two updates, and steps back.
    orthogonal : float or "hard", optional
        The weight of the penalty |W'W - I|^2, or the constraint W'W = I.

    Examples
    --------
    >>> model = rc.Model([rc.RNN(3, 4)], seed=0)
    >>> options = Recipe(orthogonal="hard").options(model, updates=100)
    >>> options["constraints"], options["optimizer"].lr
    ([Orthogonal('*weight_hh*')], 0.004)
    """

    optimizer: str = "adam"
    lr: float | None = None
    clip: float = CLIP_NORM
    clip_step: float | None = None
    omega: float | None = None
    tbptt: tuple[int, int] | None = None
    orthogonal: float | str | None = None

    def options(self, model: rc.Model, updates: int) -> dict[str, Any]:
        """The arguments of `model.fit`; weights that are to be orthogonal begin so.

        Raises
        ------
        InputError
            If the model has no recurrent matrices that could be orthogonal, or cannot be run
            in windows.
        """
        if self.tbptt is not None and not model.carries:
            raise InputError("--tbptt came with one target for each sequence, expected one for "
                             "each step")
        regularizers, constraints = [], []
        try:
            if self.orthogonal == "hard":
                constraints = [rc.Orthogonal()]
                constraints[0].project(model)
            elif self.orthogonal is not None:
                regularizers = [rc.OrthogonalPenalty(float(self.orthogonal))]
                regularizers[0].add_gradient(model)  # fit clears what this adds
        except ValueError as error:
            raise InputError(f"--orthogonal does not go with this cell: {error}") from None
        return {"optimizer": self._optimizer(), "schedule": rc.Cosine(updates),
                "clip_norm": self.clip, "clip_step": self.clip_step,
                "omega": None if self.omega is None else rc.Omega(self.omega),
                "tbptt": self.tbptt, "regularizers": regularizers, "constraints": constraints}

    def _optimizer(self) -> rc.SGD | rc.RMSprop | rc.Adam:
        lr = RATES[self.optimizer] if self.lr is None else self.lr
        if self.optimizer == "sgd":
            return rc.SGD(lr, momentum=MOMENTUM)
        if self.optimizer == "rmsprop":
            return rc.RMSprop(lr)
        return rc.AdamW(lr) if self.optimizer == "adamw" else rc.Adam(lr)
