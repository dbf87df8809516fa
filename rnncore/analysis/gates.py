"""What gates do: how open they are, how long they keep, which units are stuck.

A cell whose state is ``c_t = f_t c_{t-1} + ...`` keeps of what it held at step 0 the product of
its gates f_1 ... f_t; along this path the gradient is multiplied by the same numbers. The mean
of log f over steps gives a half-life, log(1/2) / mean(log f) steps: a forget gate of 0.9 keeps
for 7 steps, of 0.99 for 69. Which gate keeps:

    LSTM f (1 without forget gate, 1 - i where it is coupled)      GRU z      MinGRU 1 - z
    UGRNN g      +RNN g_h      identity map 1      other RNNs none
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore.analysis.cells import activation_of, public_name
from rnncore.analysis.problem import check_model, live_steps
from rnncore.analysis.unrolled import is_recurrent
from rnncore.batch import check_input, swapped
from rnncore.layers import GRU, LSTM, UGRNN, IdentityRNN, IntersectionRNN, MinGRU, Recurrent
from rnncore.layers.checks import finite
from rnncore.parameters import Array


@dataclass(frozen=True)
class Gates:
    """The gates of one recurrent layer and direction; only steps within lengths count.

    Attributes
    ----------
    name : str
        As in the names of parameters: "0.l1_reverse".
    blocks : tuple of str
        The gates whose activation is a sigmoid, G of them.
    opened, closed : array (G, T)
        The share of units and rows above and below the limits, at each step; NaN where no row
        has one.
    keep : str
        Which gate keeps the state: "f", "1 - i", "1"; empty where none does.
    log10_retention : array (B, H) or None
        log10 of the product of the keep gate over a row's steps.
    half_life : array (H,) or None
        In steps: after so many the product is 1/2 on average; inf where the gate is always 1.
    saturated : dict of str to array (H,)
        By block, the share of steps at which a unit's activation is near its ends: a sigmoid
        beyond the limits, a tanh beyond -+ the upper one; no other activation has any.
    dead : array (H,) of bool, or None
        The ReLU units that are 0 at every step.
    """

    name: str
    blocks: tuple[str, ...]
    opened: Array
    closed: Array
    keep: str
    log10_retention: Array | None
    half_life: Array | None
    saturated: dict[str, Array]
    dead: Array | None

    @property
    def between(self) -> Array:
        """The share that is neither opened nor closed, (G, T)."""
        return np.asarray(1 - self.opened - self.closed)


def gates(model: Any, x: Any, state: Any = None, lengths: Any = None, *, opened: float = 0.9,
          closed: float = 0.1) -> list[Gates]:
    """Run a model without dropout and look at its gates.

    Parameters
    ----------
    model : Model
        It is left as it is: a copy runs.
    x, state, lengths
        As in `Model.forward`.
    opened, closed : float
        Above and below which a gate counts as open and as closed.

    Returns
    -------
    list of Gates
        An entry for each recurrent layer and direction.

    Raises
    ------
    TypeError, ValueError
        If the model has no recurrent layer, an argument is not of its shape, or not
        0 <= closed < opened <= 1.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.LSTM(3, 4, forget_bias=4.6), rc.Linear(4, 1)], seed=0)
    >>> found = gates(model, np.zeros((50, 2, 3), np.float32))[0]
    >>> found.blocks, found.keep, (found.half_life > 30).all().item()
    (('i', 'f', 'o'), 'f', True)
    """
    check_model(model)
    if not 0 <= finite("closed", closed) < finite("opened", opened) <= 1:
        raise ValueError(f"closed and opened are {closed} and {opened}, expected "
                         "0 <= closed < opened <= 1")
    array, checked, batched = check_input(model, x, lengths)
    array = swapped(array, model.batch_first and batched)
    shape = (array.shape if model.takes_symbols else array.shape[:-1])[:2]
    own = copy.deepcopy(model).eval()
    own.run(array, model.states(state), checked)
    live = live_steps(shape if batched else (*shape, 1), checked)
    return [_gates(f"{number}.{suffix[1:]}", layer, dict(zip(layer.blocks, np.moveaxis(
                activations, 2, 0), strict=True)), live, (opened, closed))
            for number, layer in enumerate(own.layers) if is_recurrent(layer)
            for suffix, activations in zip(layer._suffixes(), layer.activations(),
                                           strict=True)]


def _gates(name: str, layer: Recurrent, values: dict[str, Array], live: Array,
           limits: tuple[float, float]) -> Gates:
    """The entry of one layer and direction, from its blocks (T, B, H)."""
    opened, closed = limits
    sigmoids = [b for b in values if _is_gate(layer, b)]
    size = np.maximum(live.sum(1), 1) * layer.hidden_size
    shape = len(sigmoids), len(live)

    def share(block: str, beyond: Array) -> Array:
        counts = (beyond & live[..., None]).sum((1, 2)) / size
        return np.where(live.any(1), counts, np.nan)

    keep, f = _keep(layer, values)
    retention = half_life = None
    if f is not None:
        with np.errstate(divide="ignore", invalid="ignore"):  # a gate of 0, or no step
            logs = np.where(live[..., None], np.log(f.astype(np.float64)), 0.0)
            retention = logs.sum(0) / np.log(10)
            half_life = np.log(2) * live.sum() / np.abs(logs.sum((0, 1)))
    return Gates(
        name, tuple(public_name(layer, b) for b in sigmoids),
        np.array([share(b, values[b] > opened) for b in sigmoids]).reshape(shape),
        np.array([share(b, values[b] < closed) for b in sigmoids]).reshape(shape),
        keep, retention, half_life,
        {public_name(layer, b): _of_steps(beyond, live)
         for b, beyond in _saturated(layer, values, limits).items()},
        _dead(layer, values, live))


def _is_gate(layer: Recurrent, block: str) -> bool:
    return activation_of(layer, block) == "sigmoid" and block != "a"


def _saturated(layer: Recurrent, values: dict[str, Array],
               limits: tuple[float, float]) -> dict[str, Array]:
    """Where (T, B, H) the activations of the blocks are near their ends."""
    opened, closed = limits
    found = {}
    for block, value in values.items():
        kind = activation_of(layer, block)
        if block == "q":  # of a GRU: what goes into the candidate m
            continue
        if kind == "sigmoid":
            found[block] = (value > opened) | (value < closed)
        elif kind == "tanh":
            found[block] = np.abs(value) > opened
    return found


def _of_steps(beyond: Array, live: Array) -> Array:
    """The share (H,) of live steps."""
    return np.asarray((beyond & live[..., None]).sum((0, 1)) / max(int(live.sum()), 1))


def _dead(layer: Recurrent, values: dict[str, Array], live: Array) -> Array | None:
    relus = [b for b in values if activation_of(layer, b) == "relu"]
    if not relus:
        return None
    return np.asarray(~((values[relus[0]] > 0) & live[..., None]).any((0, 1)))


def _keep(layer: Recurrent, values: dict[str, Array]) -> tuple[str, Array | None]:
    """The name of what keeps the state, and its values (T, B, H)."""
    if isinstance(layer, LSTM):
        if layer.forget == "gate":
            return "f", values["f"]
        coupled = layer.forget == "coupled"
        return ("1 - i", 1 - values["i"]) if coupled else ("1", np.ones_like(values["i"]))
    if isinstance(layer, GRU):
        return "z", values["z"]
    if isinstance(layer, MinGRU):
        return "1 - z", 1 - values["z"]
    if isinstance(layer, (UGRNN, IntersectionRNN)):
        return public_name(layer, "g"), values["g"]
    if isinstance(layer, IdentityRNN):
        return "1", np.ones_like(values["a"])
    return "", None
