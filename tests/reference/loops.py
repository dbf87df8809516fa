"""The cells once more, as PyTorch loops for autograd: whole batches, full precision, no speed.

Written from the equations, not from `cells`: two independent readings must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, sigmoid, tanh
from torch.nn.functional import linear

ACTIVATIONS = {"tanh": tanh, "relu": torch.relu, "sigmoid": sigmoid, "identity": lambda a: a}
Leaves = dict[str, Tensor]


def products(p: Leaves, past: Tensor, taps: Sequence[int]) -> Tensor:
    """sum_d U_d s_{t-d} + b_hh for past states (D, B, H), the newest first."""
    total = linear(past[taps[0] - 1], p["weight_hh"], p.get("bias_hh"))
    for tap in taps[1:]:
        total = total + past[tap - 1] @ p[f"weight_hh_tap{tap}"].T
    return total


def rnn(p, x, h, taps=(1,), activation="tanh", form="elman", skip=None, skip_scale=1.0):
    f, fed = ACTIVATIONS[activation], linear(x, p["weight_ih"], p.get("bias_ih"))
    if form == "pascanu":
        new = products(p, f(h), taps) + fed
    elif skip is None:
        new = f(products(p, h, taps) + fed)
    else:
        new = h[skip - 1] + skip_scale * f(products(p, h, taps) + fed)
    return new, new


def lstm(p, x, h, c, taps=(1,), forget="gate", peephole=None):
    a = list(linear(x, p["weight_ih"], p.get("bias_ih")).split(h[0].shape[-1], -1))
    seen = c if peephole == "cell" else h
    u = list(products(p, seen, taps).split(h[0].shape[-1], -1))
    if peephole == "cell":  # rows i, (f), o: nothing for g
        u.insert(len(u) - 1, torch.zeros_like(u[0]))
    z = [left + right for left, right in zip(a, u, strict=True)]
    old = c[taps[0] - 1]
    if peephole == "diagonal":
        p_i, *p_f, p_o = p["weight_ph"].split(h[0].shape[-1])
        z[0] = z[0] + p_i * old
        if p_f:
            z[1] = z[1] + p_f[0] * old
    i, g, o = sigmoid(z[0]), tanh(z[-2]), z[-1]
    if forget == "none":
        new = old + i * g
    elif forget == "coupled":
        new = (1 - i) * old + i * g
    else:
        new = sigmoid(z[1]) * old + i * g
    if peephole == "diagonal":
        o = o + p_o * new
    y = sigmoid(o) * tanh(new)
    return y, y, new


def gru(p, x, h, taps=(1,), reset="after"):
    a_r, a_z, a_n = linear(x, p["weight_ih"], p.get("bias_ih")).chunk(3, -1)
    u_r, u_z, u_n = products(p, h, taps).chunk(3, -1)
    r, z, old = sigmoid(a_r + u_r), sigmoid(a_z + u_z), h[taps[0] - 1]
    if reset == "before":
        _, _, weight = p["weight_hh"].chunk(3)
        _, _, bias = p["bias_hh"].chunk(3)
        n = tanh(a_n + linear(r * old, weight, bias))
    else:
        n = tanh(a_n + r * u_n)
    new = n + z * (old - n)
    return new, new


def indrnn(p, x, h, taps=(1,), activation="tanh"):
    fed = linear(x, p["weight_ih"], p.get("bias_ih"))
    new = ACTIVATIONS[activation](fed + p["weight_hh"] * h[taps[0] - 1])
    return new, new


def identity_rnn(p, x, h, taps=(1,), activation="tanh"):
    new = h[taps[0] - 1] + ACTIVATIONS[activation](linear(x, p["weight_ih"], p.get("bias_ih")))
    return new, new


def min_gru(p, x, h, taps=(1,), candidate="identity"):
    z, k = linear(x, p["weight_ih"], p.get("bias_ih")).chunk(2, -1)
    new = torch.lerp(h[taps[0] - 1], ACTIVATIONS[candidate](k), sigmoid(z))
    return new, new


def ugrnn(p, x, h, taps=(1,), activation="tanh"):
    fed = linear(x, p["weight_ih"], p.get("bias_ih"))
    c, g = (fed + products(p, h, taps)).chunk(2, -1)
    new = torch.lerp(ACTIVATIONS[activation](c), h[taps[0] - 1], sigmoid(g))
    return new, new


def intersection_rnn(p, x, h, taps=(1,)):
    fed = linear(x, p["weight_ih"], p.get("bias_ih"))
    v, k, g, d = (fed + products(p, h, taps)).chunk(4, -1)
    y = torch.lerp(torch.relu(v), x, sigmoid(g))
    return y, torch.lerp(tanh(k), h[taps[0] - 1], sigmoid(d))


STEPS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "RNN": rnn,
    "LSTM": lstm,
    "GRU": gru,
    "IndRNN": indrnn,
    "IdentityRNN": identity_rnn,
    "MinGRU": min_gru,
    "UGRNN": ugrnn,
    "IntersectionRNN": intersection_rnn,
}


def scan(
    kind: str, p: Leaves, x: Tensor, past: list[Tensor], ends: Tensor, **options: Any
) -> tuple[Tensor, list[Tensor]]:
    """One layer: x (T, B, K), past states (D, B, H) each -> y (T, B, H), the last ones."""
    outputs = []
    for t, x_t in enumerate(x):
        y, *new = STEPS[kind](p, x_t, *past, **options)
        outputs.append(y)
        shifted = [torch.cat([s[None], old[:-1]]) for s, old in zip(new, past, strict=True)]
        past = [torch.where(t < ends, s, old) for s, old in zip(shifted, past, strict=True)]
    return torch.stack(outputs), past


def loop(
    kind: str,
    lengths: Sequence[int],
    *,
    num_layers: int = 1,
    residual: bool = False,
    bias: bool = True,
    **options: Any,
) -> Callable[..., tuple[Tensor, tuple[Tensor, ...]]]:
    """A layer of one direction: (leaves, x (T, B, K), *states) -> (y, last states)."""

    def function(
        leaves: Leaves, x: Tensor, *start: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        ends = torch.tensor(lengths)[:, None]  # (B, 1)
        live = (torch.arange(len(x)) < ends).T[..., None]  # (T, B, 1)
        B, H = start[0].shape[-2:]
        last = []
        for k in range(num_layers):
            own = {n.replace(f"_l{k}", ""): v for n, v in leaves.items() if f"_l{k}" in n}
            past = [state[k].reshape(-1, B, H) for state in start]
            y, states = scan(kind, own, x, past, ends, **options)
            x = live * (y + x if residual and y.shape == x.shape else y)
            last.append(states)
        stacked = [torch.stack(states) for states in zip(*last, strict=True)]
        return x, tuple(s.reshape(o.shape) for s, o in zip(stacked, start, strict=True))

    return function
