"""Alarms about a training's gradient, from what is seen of it so far.

    explosion   a loss or norm that is not finite; an update that is large beside the weights;
                a loss far above the usual and the first one; a norm far above the usual; a
                gradient that grows on its way back through time
    vanishing   a gradient of which, look after look, nothing arrives at the earliest steps that
                float32 could add to that of the latest ones

What is usual is the median of the last hundred updates. The limits were set on other runs than
those on which the alarms were counted: see `Monitor`, and bench/alarms.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnncore.parameters import Array
from rnncore.training.history import History

_WINDOW = 100  # updates whose medians are what is usual; each tenth of it they are taken anew
_FEWEST = 20  # updates before there is anything usual
_CHANGE = 0.2  # of an update, relative to the parameters: healthy runs stayed below 0.06
_LOSS = 5.0  # times the usual and the first loss: healthy runs stayed below 3
_NORM = 1000.0  # times the usual norm: trained to tiny gradients, healthy runs had 800
_GROWTH = 1e3  # early over late: healthy runs stayed below 100
_NOTHING = float(np.finfo(np.float32).eps)  # early over late: rounded away beside it
_PATIENCE = 5  # looks in a row: what vanishes at first may be mended by training
_EDGE = 10  # the first and the last tenth of the steps are compared


class Alarm(NamedTuple):
    """Something is wrong with a gradient.

    Attributes
    ----------
    update : int
        After so many updates.
    kind : "explosion" or "vanishing"
    what : str
        What was found, with the numbers.
    """

    update: int
    kind: str
    what: str


class Watch:
    """Raises the alarm; one of a kind within a window is enough."""

    def __init__(self) -> None:
        self.alarms: list[Alarm] = []
        self._norm = self._loss = math.inf  # what is usual
        self._vanished: dict[str, int] = {}  # looks in a row at which nothing arrived

    def numbers(self, update: int, history: History) -> list[Alarm]:
        """Alarms by the loss and the norm of an update."""
        loss, norm = history.update_loss[-1], history.grad_norm[-1]
        first = history.update_loss[0]
        usual = first if math.isinf(self._loss) else self._loss
        what = ""
        if not math.isfinite(loss + norm):
            what = f"loss {loss:.3g}, gradient norm {norm:.3g}"
        elif loss > _LOSS * max(usual, first):
            what = f"loss {loss:.3g}, usual were {usual:.3g}, the first {first:.3g}"
        elif norm > _NORM * self._norm:
            what = f"gradient norm {norm:.3g}, usual were {self._norm:.3g}"
        if update >= _FEWEST and update % (_WINDOW // 10) == 0:
            self._norm, self._loss = _median(history.grad_norm), _median(history.update_loss)
        return self._raise(update, "explosion", what)

    def look(self, update: int, names: Sequence[str], flow: Array,
             change: float) -> list[Alarm]:
        """Alarms by the flows (layers, lags) and the relative change of all parameters."""
        found = []
        if change > _CHANGE:
            found += self._raise(update, "explosion",
                                 f"the update is {change:.3g} times as large as the parameters")
        for name, norms in zip(names, flow, strict=True):
            late, early = ends(norms)
            nothing = early < _NOTHING * late
            self._vanished[name] = self._vanished.get(name, 0) + 1 if nothing else 0
            steps = f"|dE/dh| is {early:.3g} at the earliest steps, {late:.3g} at the latest"
            if not early <= _GROWTH * late < math.inf:
                found += self._raise(update, "explosion", f"layer {name}: {steps}")
            elif self._vanished[name] >= _PATIENCE:
                found += self._raise(update, "vanishing", f"layer {name}: {steps}")
        return found

    def _raise(self, update: int, kind: str, what: str) -> list[Alarm]:
        """The alarm, unless there is none or it has just been raised."""
        last = [alarm.update for alarm in self.alarms if alarm.kind == kind][-1:]
        if not what or (last and update - last[0] < _WINDOW):
            return []
        self.alarms.append(Alarm(update, kind, what))
        return self.alarms[-1:]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint is to remember."""
        return {"alarms": [list(alarm) for alarm in self.alarms], "vanished": self._vanished,
                "usual": [self._norm, self._loss]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.alarms = [Alarm(*alarm) for alarm in state["alarms"]]
        self._norm, self._loss = state["usual"]
        self._vanished = dict(state["vanished"])


def ends(norms: Array) -> tuple[float, float]:
    """The means over the latest and the earliest tenth of the steps, by steps back; NaN is past
    the end of all rows.

    Examples
    --------
    >>> ends(np.array([4.0, 2.0, 1.0, np.nan]))
    (4.0, 1.0)
    """
    known = np.flatnonzero(~np.isnan(norms))
    there = norms[: known[-1] + 1 if known.size else 1]
    edge = max(1, len(there) // _EDGE)
    return float(there[:edge].mean()), float(there[-edge:].mean())


def _median(values: Sequence[float]) -> float:
    """Of the last window; those that are not finite count as large."""
    usual = sorted(value if math.isfinite(value) else math.inf for value in values[-_WINDOW:])
    return usual[len(usual) // 2]
