"""One step of every cell: (weights, x, lists of past states, options) -> (y, *new states).

In a list of past states the newest is first: h[0] is h_{t-1}. All arrays are one row's, (H,)
or (K,) for x.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .parameters import tap_names

Array = np.ndarray[Any, np.dtype[Any]]


def sigmoid(a: Array) -> Array:
    e = np.exp(np.where(a.real < 0, a, -a))  # never overflows
    return np.where(a.real < 0, e, 1.0) / (1.0 + e)


def relu(a: Array) -> Array:
    return np.where(a.real > 0, a, 0.0)


def identity(a: Array) -> Array:
    return a


tanh = np.tanh
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": tanh,
    "relu": relu,
    "sigmoid": sigmoid,
    "identity": identity,
}


def blocks(names: str, a: Array) -> dict[str, Array]:
    return dict(zip(names, a.reshape(len(names), -1), strict=True))


class Weights:
    """The parameters of one layer and direction; absent biases are zero."""

    def __init__(self, params: Mapping[str, Array], suffix: str, taps: Sequence[int]) -> None:
        self.params, self.suffix, self.taps = params, suffix, taps

    def __getitem__(self, stem: str) -> Array:
        return np.asarray(self.params.get(stem + self.suffix, 0.0))

    def ih(self, x: Array) -> Array:
        """W x + b_ih."""
        return self["weight_ih"] @ x + self["bias_ih"]

    def hh(self, past: list[Array]) -> Array:
        """sum_d U_d s_{t-d} + b_hh, where past[0] is s_{t-1}."""
        total = self["bias_hh"]
        for tap, name in tap_names(self.suffix, self.taps).items():
            total = total + self.params[name] @ past[tap - 1]
        return total

    def near(self, past: list[Array]) -> Array:
        """The state that elementwise terms see: s_{t - min(taps)}."""
        return past[min(self.taps) - 1]


def rnn(
    w: Weights,
    x: Array,
    h: list[Array],
    activation: str = "tanh",
    form: str = "elman",
    skip: int | None = None,
    skip_scale: float = 1.0,
) -> tuple[Array, ...]:
    """Elman 1990; "pascanu" is eq. 2 of Pascanu, Mikolov, Bengio 2013: the state is x_t."""
    f = ACTIVATIONS[activation]
    if form == "pascanu":
        new = w.ih(x) + w.hh([f(s) for s in h])
        return new, new
    new = f(w.ih(x) + w.hh(h))
    if skip is not None:
        new = h[skip - 1] + skip_scale * new
    return new, new


def lstm(
    w: Weights,
    x: Array,
    h: list[Array],
    c: list[Array],
    forget: str = "gate",
    peephole: str | None = None,
) -> tuple[Array, ...]:
    """Hochreiter, Schmidhuber 1997 ("none"); Gers, Schmidhuber, Cummins 2000 ("gate");
    Greff et al. 2015 ("coupled"). Peepholes: Gers, Schmidhuber 2000 ("diagonal"); with "cell"
    the gates see c_{t-1} instead of h_{t-1}, and g sees x alone."""
    gates = "ifgo" if forget == "gate" else "igo"
    fed, state = (gates.replace("g", ""), c) if peephole == "cell" else (gates, h)
    a, u = blocks(gates, w.ih(x)), blocks(fed, w.hh(state))
    z = {gate: a[gate] + u.get(gate, 0.0) for gate in gates}
    p: dict[str, Any] = {"i": 0.0, "o": 0.0, "f": 0.0}
    if peephole == "diagonal":
        p |= blocks("ifo" if forget == "gate" else "io", w["weight_ph"])
    c_past = w.near(c)

    i = sigmoid(z["i"] + p["i"] * c_past)
    if forget == "gate":
        f = sigmoid(z["f"] + p["f"] * c_past)
    else:
        f = 1.0 - i if forget == "coupled" else np.ones_like(i)
    c_new = f * c_past + i * tanh(z["g"])
    o = sigmoid(z["o"] + p["o"] * c_new)  # the output gate sees the new cell
    h_new = o * tanh(c_new)
    return h_new, h_new, c_new


def gru(w: Weights, x: Array, h: list[Array], reset: str = "after") -> tuple[Array, ...]:
    """Cho et al. 2014: v3 of the paper resets before the product, v1 (and cuDNN) after it."""
    a_r, a_z, a_n = w.ih(x).reshape(3, -1)
    u_r, u_z, u_n = w.hh(h).reshape(3, -1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    if reset == "before":
        n = tanh(a_n + w.hh([r * s for s in h]).reshape(3, -1)[2])
    else:
        n = tanh(a_n + r * u_n)
    new = (1.0 - z) * n + z * w.near(h)
    return new, new


def indrnn(w: Weights, x: Array, h: list[Array], activation: str = "tanh") -> tuple[Array, ...]:
    """Li et al. 2018, eq. 2."""
    new = ACTIVATIONS[activation](w.ih(x) + w["weight_hh"] * w.near(h))
    return new, new


def identity_rnn(
    w: Weights, x: Array, h: list[Array], activation: str = "tanh"
) -> tuple[Array, ...]:
    """h_t = h_{t-1} + F(x_t): the Jacobian through time is the identity."""
    new = w.near(h) + ACTIVATIONS[activation](w.ih(x))
    return new, new


def min_gru(
    w: Weights, x: Array, h: list[Array], candidate: str = "identity"
) -> tuple[Array, ...]:
    """Feng et al. 2024: the gate and the candidate see x alone."""
    a_z, a_k = w.ih(x).reshape(2, -1)
    z = sigmoid(a_z)
    new = (1.0 - z) * w.near(h) + z * ACTIVATIONS[candidate](a_k)
    return new, new


def ugrnn(w: Weights, x: Array, h: list[Array], activation: str = "tanh") -> tuple[Array, ...]:
    """Collins, Sohl-Dickstein, Sussillo 2017, eq. 2-4."""
    a_c, a_g = (w.ih(x) + w.hh(h)).reshape(2, -1)
    g = sigmoid(a_g)
    new = g * w.near(h) + (1.0 - g) * ACTIVATIONS[activation](a_c)
    return new, new


def intersection_rnn(w: Weights, x: Array, h: list[Array]) -> tuple[Array, ...]:
    """Collins, Sohl-Dickstein, Sussillo 2017, eq. 15-20: y goes up, h goes on."""
    a_y, a_h, a_gy, a_gh = (w.ih(x) + w.hh(h)).reshape(4, -1)
    g_y, g_h = sigmoid(a_gy), sigmoid(a_gh)
    y = g_y * x + (1.0 - g_y) * relu(a_y)
    new = g_h * w.near(h) + (1.0 - g_h) * tanh(a_h)
    return y, new


CELLS: dict[str, Callable[..., tuple[Array, ...]]] = {
    "RNN": rnn,
    "LSTM": lstm,
    "GRU": gru,
    "IndRNN": indrnn,
    "IdentityRNN": identity_rnn,
    "MinGRU": min_gru,
    "UGRNN": ugrnn,
    "IntersectionRNN": intersection_rnn,
}
