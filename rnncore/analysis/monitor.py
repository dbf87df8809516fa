"""Watching a training: a callback of `fit` that looks at every layer now and then, and raises
the alarm when the gradient explodes or vanishes.

At each look the gradient of one error, that of the last step of each sequence, goes back
through a copy of the model. A loss at every step would hide what is lost on the way: the error
of a step itself is added to what comes from later ones. With d_t all of the gradient that
enters step t, over the whole carried state, and k the steps back from the error,

    flow[k] = sqrt(mean over rows of |d_{T-1-k}|^2)

Reverse directions begin at the other end, and so does their error. The model that is trained is
only read: asking for a Monitor changes no bit of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnncore.analysis.alarms import Alarm, Watch
from rnncore.analysis.observer import Look, Observer
from rnncore.layers.checks import check_count
from rnncore.parameters import Array
from rnncore.training.history import History

if TYPE_CHECKING:
    from rnncore.model import Model

_MOST = 200  # records are kept; of more, every second one


class Observations(NamedTuple):
    """What a `Monitor` saw, in n records.

    Attributes
    ----------
    updates : int array (n,)
        After how many updates each record was made.
    parts, layers : tuple of str
        The names of all that has parameters, and of the recurrent layers among it, by stacked
        layer and direction: "0.l1_reverse".
    grad_norm : array (n, parts)
        The norm of the gradient of each part, before it was clipped by the norm.
    update_ratio : array (n, parts)
        |change of the parameters in this update| / |parameters before it|; NaN where the
        process that made it had not seen these.
    radius : array (n, layers)
        The spectral radius of the recurrent matrix, the largest over gate blocks and taps,
        within 2 %; NaN without one.
    omega, live : arrays (n, layers)
        Omega of the error of the last step (the mean of the plain form, see `rnncore.Omega`)
        and the share of its terms that are live.
    saturation : array (n, layers)
        The share of sigmoids and tanhs whose slope is below a twentieth of the largest there
        is, and of relus that are 0; NaN without any.
    flow : array (n, layers, lags)
        The norm of the gradient that so many steps before the error enter the step; inf where
        it overflows, NaN past the end of all rows.
    """

    updates: Array
    parts: tuple[str, ...]
    layers: tuple[str, ...]
    grad_norm: Array
    update_ratio: Array
    radius: Array
    omega: Array
    live: Array
    saturation: Array
    flow: Array


class Monitor:
    """A callback of `fit` that records norms, spectra and the gradient's flow, with alarms.

    Parameters
    ----------
    model : Model
        The model that will be trained.
    x, target, lengths
        Sequences to look at, as in `Model.loss_and_grad`: the same at each look, so that looks
        can be compared. Some ten of them say as much as many, and cost less.
    every : int, default=100
        Updates between two looks; there is one after the first update, too. At most 200
        records are kept: of more every second one, and `every` doubles.
    on_alarm : callable, optional
        Called with each `Alarm`; if it returns True, training stops.

    Attributes
    ----------
    alarms : list of Alarm
    observations : Observations

    Raises
    ------
    TypeError, ValueError
        If the sequences do not fit the model, or it has no recurrent layer.

    Notes
    -----
    By default it takes 0.7 to 4.8 % of the time of training, with eight to sixteen sequences
    to look at (one thread of a Zen 5; LSTM 2 x 256 on texts 3.2 %, GRU 16 over 20 steps 3.4 %,
    LSTM 64 over 150 steps 4.8 %, RNN 512 over 50 steps 0.7 %).

    Of 100 broken short runs the alarms noticed 94 (explosions 49 of 50, vanishing gradients 45
    of 50); of 100 healthy ones, which learned what needs their first steps, 2 raised a false
    alarm: bench/alarms.py, on runs that the limits were not set on.

    Examples
    --------
    >>> import rnncore as rc
    >>> x = np.random.default_rng(0).standard_normal((20, 64, 1)).astype(np.float32)
    >>> y = np.cumsum(x, axis=0) / 10
    >>> model = rc.Model([rc.GRU(1, 8), rc.Linear(8, 1)], seed=0)
    >>> monitor = Monitor(model, x[:, :8], y[:, :8], every=10)
    >>> history = model.fit((x, y), epochs=10, callbacks=[monitor])
    >>> monitor.observations.updates
    array([ 1, 10, 20])
    >>> monitor.observations.flow.shape, monitor.alarms
    ((3, 1, 20), [])
    """

    def __init__(self, model: Model, x: Any, target: Any, lengths: Any = None, *,
                 every: int = 100, on_alarm: Callable[[Alarm], Any] | None = None) -> None:
        check_count("every", every)
        if on_alarm is not None and not callable(on_alarm):
            raise TypeError(f"on_alarm is {on_alarm!r}, expected a callable or None")
        self.every, self.on_alarm, self._model = every, on_alarm, model
        self._observer = Observer(model, x, target, lengths)
        self._watch = Watch()
        self._updates: list[int] = []
        self._looks: list[Look] = []
        self._before: Array | None = model.parameters.copy()  # of the update to be looked at

    @property
    def alarms(self) -> list[Alarm]:
        """All alarms so far."""
        return self._watch.alarms

    @property
    def observations(self) -> Observations:
        """All records so far."""
        observer, n = self._observer, len(self._looks)
        shapes = observer.shapes()
        stacked = {name: np.array([getattr(look, name) for look in self._looks],
                                  np.float64).reshape(n, *shape)
                   for name, shape in shapes.items()}
        return Observations(np.array(self._updates, np.int64), observer.parts, observer.layers,
                            **stacked)

    def __call__(self, event: str, model: Model, history: History) -> bool:
        """Look at an update; return whether `on_alarm` wants training to stop."""
        if model is not self._model:
            raise ValueError(f"model is {model!r}, expected the model that the monitor was "
                             "made for")
        if event != "update":
            return False
        update = len(history.update_loss)
        found = self._watch.numbers(update, history)
        if update % self.every == 0 or update == 1:
            look = self._observer.look(model, self._before, history.grad_norm[-1])
            found += self._watch.look(update, self._observer.layers, look.flow,
                                      _change(model.parameters, self._before))
            self._keep(update, look)
        self._before = model.parameters.copy() if (update + 1) % self.every == 0 else None
        answers = [self.on_alarm(alarm) for alarm in found] if self.on_alarm else []
        return any(answer is True for answer in answers)

    def _keep(self, update: int, look: Look) -> None:
        self._updates.append(update)
        self._looks.append(look)
        if len(self._looks) > _MOST:
            del self._updates[1::2], self._looks[1::2]
            self.every *= 2

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint is to remember, for JSON."""
        looks = [{name: value.tolist() for name, value in look._asdict().items()}
                 for look in self._looks]
        return {"every": self.every, "updates": list(self._updates), "looks": looks,
                "watch": self._watch.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        looks = [Look(**{name: np.array(value, np.float64) for name, value in look.items()})
                 for look in state["looks"]]
        shapes = self._observer.shapes()
        for look in looks:
            for name, shape in shapes.items():
                got = getattr(look, name).shape
                if got != shape:
                    raise ValueError(f"a monitor's {name} has shape {got}, expected {shape} "
                                     "as its sequences and layers have here")
        self._watch.load_state_dict(state["watch"])
        self.every, self._updates, self._looks = state["every"], list(state["updates"]), looks
        self._before = None


def _change(now: Array, before: Array | None) -> float:
    """The norm of an update relative to that of the parameters before it; NaN if not known."""
    if before is None:
        return float("nan")
    with np.errstate(all="ignore"):  # a run that diverges is to be seen as it is
        wide = now.astype(np.float64)
        return float(np.linalg.norm(wide - before) / np.linalg.norm(before))
