"""Learning-rate schedules: what multiplies an optimizer's learning rates, update by update.

    StepDecay    f^(floor(epoch / n))
    Cosine       e + (1 - e)(1 + cos(pi u / n)) / 2  at update u < n, then e
                                    (Loshchilov & Hutter 2017, one period, without a restart)
    HalveOnWorse times f after each epoch that was worse       (Pascanu et al. 2013, section 4)
    WarmUp       (u + 1) / n  at update u < n, then 1                     (Goyal et al. 2017)

A schedule does not touch the optimizer: it gives a factor for `optimizer.step(model, factor)`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from rnncore.layers.checks import check_count, one_of, positive
from rnncore.optim.optimizer import number


class Schedule:
    """What every schedule has; a subclass needs `factor` alone.

    Examples
    --------
    >>> class InverseRoot(Schedule):
    ...     def factor(self, update, epoch):
    ...         return (update + 1) ** -0.5
    >>> InverseRoot().factor(update=3, epoch=0)
    0.5
    """

    def factor(self, update: int, epoch: int) -> float:
        """What multiplies the learning rates at an update.

        Parameters
        ----------
        update : int
            The number of the update over the whole run, from 0.
        epoch : int
            The number of the epoch it is in, from 0.

        Returns
        -------
        float
            The factor, at least 0.
        """
        raise NotImplementedError

    def epoch_ended(self, loss: float) -> None:
        """Hear the loss of an epoch that ended: that of validation, or without it of training.

        Most schedules have no use for it.
        """

    def state_dict(self) -> dict[str, float]:
        """What was learnt from the losses heard: numbers by name, such as JSON can hold."""
        return {}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take over what `state_dict` gave: all of it, or none if anything is wrong.

        Raises
        ------
        TypeError, ValueError
            If that is not the state of such a schedule.
        """
        if state:
            raise ValueError(f"state has {sorted(state)}, expected nothing for "
                             f"{type(self).__name__}")


class StepDecay(Schedule):
    """Multiply the learning rate by a factor every so many epochs.

    Parameters
    ----------
    every : int
        After how many epochs, at least 1.
    factor : float, default=0.1
        By what, in [0, 1).

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these.

    Examples
    --------
    >>> schedule = StepDecay(every=10, factor=0.5)
    >>> [schedule.factor(update=0, epoch=epoch) for epoch in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """

    def __init__(self, every: int, factor: float = 0.1) -> None:
        self.every, self._times = positive("every", every), number("factor", factor, 0, 1)

    def __repr__(self) -> str:
        return f"StepDecay(every={self.every}, factor={self._times})"

    def factor(self, update: int, epoch: int) -> float:
        return self._times ** (epoch // self.every)


class Cosine(Schedule):
    """Half a cosine from 1 down to a last factor (Loshchilov & Hutter 2017).

    Parameters
    ----------
    updates : int
        Over how many updates, at least 1; from then on the last factor stays.
    final : float, default=0.0
        The last factor, at least 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these.

    Examples
    --------
    >>> schedule = Cosine(updates=100, final=0.25)
    >>> [round(schedule.factor(update, epoch=0), 3) for update in (0, 50, 100, 101)]
    [1.0, 0.625, 0.25, 0.25]
    """

    def __init__(self, updates: int, final: float = 0.0) -> None:
        self.updates, self.final = positive("updates", updates), number("final", final)

    def __repr__(self) -> str:
        return f"Cosine(updates={self.updates}, final={self.final})"

    def factor(self, update: int, epoch: int) -> float:
        if update >= self.updates:
            return self.final
        return self.final + (1 - self.final) * (
            1 + math.cos(math.pi * update / self.updates)) / 2


class HalveOnWorse(Schedule):
    """Multiply the learning rate by a factor after epochs that were worse.

    As it stands it is the rule of Pascanu et al. (2013) for music: an epoch is worse if its
    loss is above that of the epoch before, and the factor comes at once. Losses that rise and
    fall with noise rather want `than="best"` and some `patience`.

    Parameters
    ----------
    factor : float, default=0.5
        By what, in [0, 1).
    patience : int, default=0
        How many worse epochs in a row are let pass before the factor comes; after it, and
        after an epoch that is not worse, they are counted anew.
    than : "previous" or "best", default="previous"
        What an epoch is compared with: the one before it, or the least loss so far. A loss that
        is not finite is worse than any, and none is compared with it.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these.

    Examples
    --------
    >>> schedule = HalveOnWorse()
    >>> for loss in (3.0, 2.0, 2.5, 2.25):
    ...     schedule.epoch_ended(loss)
    >>> schedule.factor(update=400, epoch=4)
    0.5
    """

    def __init__(self, factor: float = 0.5, patience: int = 0, than: str = "previous") -> None:
        self._times = number("factor", factor, 0, 1)
        check_count("patience", patience, at_least=0)
        self.patience, self.than = patience, one_of("than", than, ("previous", "best"))
        self._now, self._worse, self._reference = 1.0, 0, math.inf

    def __repr__(self) -> str:
        return (f"HalveOnWorse(factor={self._times}, patience={self.patience}, "
                f"than={self.than!r})")

    def factor(self, update: int, epoch: int) -> float:
        return self._now

    def epoch_ended(self, loss: float) -> None:
        if math.isfinite(loss) and loss <= self._reference:
            self._worse = 0
        else:
            self._worse += 1
        if math.isfinite(loss):
            best = min(loss, self._reference)
            self._reference = best if self.than == "best" else float(loss)
        if self._worse > self.patience:
            self._now, self._worse = self._now * self._times, 0

    def state_dict(self) -> dict[str, float]:
        state = {"factor": self._now, "worse": self._worse}
        if math.isfinite(self._reference):  # JSON has no infinity
            state["reference"] = self._reference
        return state

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        if not {"factor", "worse"} <= state.keys() <= {"factor", "worse", "reference"}:
            raise ValueError(f"state has {sorted(state)}, expected factor, worse and reference")
        now = number("factor of the state", state["factor"])
        worse = number("worse of the state", state["worse"])
        reference = number("reference of the state", state.get("reference", 0.0), -math.inf)
        self._now, self._worse = now, int(worse)
        self._reference = reference if "reference" in state else math.inf


class WarmUp(Schedule):
    """Raise the learning rate linearly over the first updates (Goyal et al. 2017), and go on by
    another schedule.

    Parameters
    ----------
    updates : int
        Over how many updates, at least 1: the first has the factor 1 / updates, the last 1.
    then : Schedule, optional
        What comes after, or 1 for good. It counts its updates from the end of the warm-up, so
        that there is no jump: `WarmUp(100, Cosine(900))` ends with update 1000. Epochs, and
        what it hears of their losses, are those of the whole run; what it makes of them during
        the warm-up multiplies the ramp.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these.

    Examples
    --------
    >>> schedule = WarmUp(4, then=Cosine(6))
    >>> [schedule.factor(update, epoch=0) for update in (0, 1, 2, 3, 4, 10)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.0]
    """

    def __init__(self, updates: int, then: Schedule | None = None) -> None:
        self.updates = positive("updates", updates)
        if then is not None and not isinstance(then, Schedule):
            raise TypeError(f"then is of type {type(then).__name__}, expected a Schedule")
        self.then = then

    def __repr__(self) -> str:
        return f"WarmUp(updates={self.updates}, then={self.then})"

    def factor(self, update: int, epoch: int) -> float:
        ramp = min((update + 1) / self.updates, 1.0)
        if self.then is None:
            return ramp
        return ramp * self.then.factor(max(update - self.updates, 0), epoch)

    def epoch_ended(self, loss: float) -> None:
        if self.then is not None:
            self.then.epoch_ended(loss)

    def state_dict(self) -> dict[str, float]:
        return {} if self.then is None else self.then.state_dict()

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        if self.then is None:
            super().load_state_dict(state)
        else:
            self.then.load_state_dict(state)
