"""What is done about the gradient on its way back through time: Omega and per-step clipping.

With d_t all of the state's gradient that enters step t in the backward pass, and z_t all of it
that leaves step t to the step before, without what joins it there,

    Omega, "plain"     (|z_t| / |d_t| - 1)^2           Pascanu, Mikolov & Bengio (2013), eq. 9
    Omega, "squared"   (|z_t|^2 / |d_t|^2 - 1)^2       eq. 10, and the authors' code
    ClipStep "signal"  |z_t| <= threshold
    ClipStep "ratio"   |z_t| <= threshold |d_t|        of dh_t / dh_{t-1} alone

in each row of the batch. Omega asks that the recurrent matrix keep the norm of the gradient.
Its own gradient is the immediate derivative: d_t and the activations are held fixed, so that it
reaches the recurrent weights alone (IndRNN: its vector u), and costs little more than reading
z_t.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from rnncore.engine.spec import Remedies

Schedule = Callable[[int], float]


class Omega:
    """The regularizer against vanishing gradients (Pascanu, Mikolov & Bengio, 2013).

    For the vanilla RNN this is the published one. For gated cells, whose state is h or (h, c),
    for IndRNN and for several taps it is a definition of ours, and experimental: z_t is all
    that leaves a step, whichever way it goes; there is a term for each tap; peepholes count in
    z_t and get no gradient; the identity map has Omega = 0. The two forms of `RNN` have
    different Omegas for one and the same network: d_t is that of the state, which is before the
    nonlinearity with ``form="pascanu"``.

    Parameters
    ----------
    alpha : float
        The weight, at least 0; with 0 Omega is measured alone.
    form : {"plain", "squared"}, default="plain"
        The ratio of norms, as the paper's equation 9 has it, or of squared norms, as its
        equation 10 and the authors' code have it. Near a ratio of 1, "squared" is four times
        as large.
    reduction : {"mean", "sum"}, default="mean"
        The mean over the live steps of all rows, or the sum over steps and mean over rows. Each
        layer and direction has an Omega of its own; they are added.
    bound : float, default=1e-20
        A step of a row is live, and counts, if |d_t|^2 is at least this much.
    schedule : None, "1/t" or callable, optional
        What multiplies alpha in an epoch (from 0) of `fit`: 1; 1 / (epoch + 1), which real data
        need according to the paper; or what the function returns for it.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these.

    Examples
    --------
    >>> import numpy as np, rnncore as rc
    >>> model = rc.Model([rc.RNN(3, 8), rc.Linear(8, 2)], seed=0)
    >>> x, y = np.ones((7, 4, 3), np.float32), np.ones((7, 4, 2), np.float32)
    >>> loss, state = model.loss_and_grad(x, y, omega=rc.Omega(alpha=0.5))
    >>> model.omega.terms, 0 < model.omega.value < 1
    (28, True)
    """

    def __init__(self, alpha: float, form: str = "plain", reduction: str = "mean",
                 bound: float = 1e-20, schedule: str | Schedule | None = None) -> None:
        self.alpha, self.form, self.reduction = alpha, form, reduction
        self.bound, self.schedule = bound, schedule
        if not 0 <= self.alpha < math.inf:
            raise ValueError(f"alpha is {self.alpha}, expected a number of at least 0")
        if self.form not in ("plain", "squared"):
            raise ValueError(f"form is {self.form!r}, expected 'plain' or 'squared'")
        if self.reduction not in ("mean", "sum"):
            raise ValueError(f"reduction is {self.reduction!r}, expected 'mean' or 'sum'")
        if not 0 <= self.bound < math.inf:
            raise ValueError(f"bound is {self.bound}, expected a number of at least 0")
        if self.schedule not in (None, "1/t") and not callable(self.schedule):
            raise ValueError(f"schedule is {self.schedule!r}, expected None, '1/t' or a "
                             "callable")

    def __repr__(self) -> str:
        return (f"Omega({self.alpha}, form={self.form!r}, reduction={self.reduction!r}, "
                f"bound={self.bound}, schedule={self.schedule!r})")

    def at(self, epoch: int) -> Omega:
        """The same with the alpha of an epoch, counted from 0, and no schedule.

        Examples
        --------
        >>> Omega(3.0, schedule="1/t").at(2).alpha
        1.0
        """
        if self.schedule is None:
            return self
        share = self.schedule(epoch) if callable(self.schedule) else 1 / (epoch + 1)
        return Omega(self.alpha * share, self.form, self.reduction, self.bound)


class ClipStep:
    """Clipping of what is carried from step to step, each row by itself.

    Where several taps or a skip arrive at one step, their sum is clipped, and the ratio is to
    |d| of the nearest step that they come from.

    Parameters
    ----------
    threshold : float
        Above 0.
    form : {"signal", "ratio"}, default="signal"
        Bound the carried gradient itself, or its growth from one step to the one before.

    Raises
    ------
    ValueError
        If an argument is none of these.

    Examples
    --------
    >>> ClipStep(1.0, form="ratio")
    ClipStep(1.0, form='ratio')
    """

    def __init__(self, threshold: float, form: str = "signal") -> None:
        self.threshold, self.form = threshold, form
        if not self.threshold > 0:
            raise ValueError(f"threshold is {self.threshold}, expected a number above 0")
        if self.form not in ("signal", "ratio"):
            raise ValueError(f"form is {self.form!r}, expected 'signal' or 'ratio'")

    def __repr__(self) -> str:
        return f"ClipStep({self.threshold}, form={self.form!r})"


class OmegaValue(NamedTuple):
    """What a backward pass found.

    Attributes
    ----------
    value : float
        Omega, not multiplied by alpha; the sum over layers and directions.
    live, terms : int
        How many steps of rows counted, and how many there were.
    """

    value: float
    live: int
    terms: int

    @property
    def share(self) -> float:
        """The share of live terms; 0 where there are none."""
        return self.live / self.terms if self.terms else 0.0


def total(parts: list[tuple[float, int, int]]) -> OmegaValue:
    """Omega of several layers and directions together."""
    return OmegaValue(sum(part[0] for part in parts), sum(part[1] for part in parts),
                      sum(part[2] for part in parts))


def remedies(omega: Omega | None, clip_step: ClipStep | float | None,
             epoch: int = 0) -> Remedies | None:
    """What the engine is told; None if there is nothing to do.

    Raises
    ------
    TypeError, ValueError
        If `omega` is no Omega, or `clip_step` neither a ClipStep nor a number above 0.
    """
    if omega is None and clip_step is None:
        return None
    if omega is not None and not isinstance(omega, Omega):
        raise TypeError(f"omega is of type {type(omega).__name__}, expected an Omega")
    clip = ClipStep(math.inf) if clip_step is None else clip_step
    if not isinstance(clip, ClipStep):
        if not isinstance(clip, (int, float)):
            raise TypeError(f"clip_step is of type {type(clip).__name__}, expected a number or "
                            "a ClipStep")
        clip = ClipStep(float(clip))
    now = Omega(0.0) if omega is None else omega.at(epoch)
    return Remedies(clip.threshold, clip.form == "ratio", omega is not None, now.alpha,
                    now.bound, now.form == "squared", now.reduction == "mean")
