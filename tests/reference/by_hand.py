"""One unit, one step of every cell, worked out with `math` alone, formula by formula."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp
from math import tanh as th
from typing import Any

import numpy as np

from .parameters import Array, param_shapes

# x, h (the state of every cell) and c (the LSTM's other one); row k of weight_ih is W[k] and
# so on, as many rows as the cell has.
X, H, C = 0.5, -0.4, 0.7
W, U, P = (0.3, -0.8, 1.1, 0.6), (-0.9, 0.2, -0.5, 1.3), (0.35, -1.2, 0.45)
BI, BH = (0.1, 0.4, -0.2, -0.6), (-0.9, 0.5, 0.7, 0.25)
ROWS = {"weight_ih": W, "weight_hh": U, "weight_ph": P, "bias_ih": BI, "bias_hh": BH}
ROWS |= {"weight": W, "bias": BI}


def s(v: float) -> float:
    return 1.0 / (1.0 + exp(-v))


# The sums in front of the nonlinearities, row by row: from x; from h with a bias of its own;
# from both; from both with the one bias; from c (peephole="cell").
A = [w * X + b for w, b in zip(W, BI, strict=True)]
UH = [w * H + b for w, b in zip(U, BH, strict=True)]
Z = [a + u for a, u in zip(A, UH, strict=True)]
E = [a + w * H for a, w in zip(A, U, strict=True)]
UC = [w * C + b for w, b in zip(U, BH, strict=True)]

Steps = Iterator[tuple[str, dict[str, Any], tuple[float, ...]]]


def steps() -> Steps:
    """(kind, options, (y, new state, ...)) for input_size = hidden_size = 1."""
    yield "RNN", {}, (th(Z[0]),) * 2
    yield "RNN", {"activation": "relu"}, (max(Z[0], 0.0),) * 2
    yield "RNN", {"skip": 1, "skip_scale": 0.3}, (H + 0.3 * th(Z[0]),) * 2
    yield "RNN", {"form": "pascanu"}, (A[0] + U[0] * th(H) + BH[0],) * 2
    yield "IndRNN", {}, (th(E[0]),) * 2
    yield "IndRNN", {"activation": "sigmoid"}, (s(E[0]),) * 2
    yield "IdentityRNN", {}, (H + th(A[0]),) * 2
    yield "MinGRU", {}, ((1 - s(A[0])) * H + s(A[0]) * A[1],) * 2
    yield "MinGRU", {"candidate": "tanh"}, ((1 - s(A[0])) * H + s(A[0]) * th(A[1]),) * 2
    yield "UGRNN", {}, (s(E[1]) * H + (1 - s(E[1])) * th(E[0]),) * 2
    yield "UGRNN", {"activation": "relu"}, (s(E[1]) * H + (1 - s(E[1])) * max(E[0], 0.0),) * 2
    y = s(E[2]) * X + (1 - s(E[2])) * max(E[0], 0.0)
    yield "IntersectionRNN", {}, (y, s(E[3]) * H + (1 - s(E[3])) * th(E[1]))
    r, z = s(Z[0]), s(Z[1])
    yield "GRU", {}, ((1 - z) * th(A[2] + r * UH[2]) + z * H,) * 2
    n = th(A[2] + U[2] * (r * H) + BH[2])
    yield "GRU", {"reset": "before"}, ((1 - z) * n + z * H,) * 2
    yield "Linear", {"activation": "relu", "residual": True}, (max(A[0], 0.0) + X,)
    yield from lstm_steps()


def lstm_steps() -> Steps:
    def step(i: float, f: float, g: float, o: float, p: float = 0.0) -> tuple[float, ...]:
        c = f * C + i * th(g)
        return s(o + p * c) * th(c), s(o + p * c) * th(c), c

    i = s(Z[0])
    yield "LSTM", {}, step(i, s(Z[1]), Z[2], Z[3])
    yield "LSTM", {"forget": "none"}, step(i, 1.0, Z[1], Z[2])
    yield "LSTM", {"forget": "coupled"}, step(i, 1 - i, Z[1], Z[2])
    i, f = s(Z[0] + P[0] * C), s(Z[1] + P[1] * C)  # P has rows i, f, o
    yield "LSTM", {"peephole": "diagonal"}, step(i, f, Z[2], Z[3], P[2])
    yield "LSTM", {"peephole": "diagonal", "forget": "none"}, step(i, 1.0, Z[1], Z[2], P[1])
    i, f = s(A[0] + UC[0]), s(A[1] + UC[1])  # U has rows i, f, o
    yield "LSTM", {"peephole": "cell"}, step(i, f, A[2], A[3] + UC[2])
    yield "LSTM", {"peephole": "cell", "forget": "coupled"}, step(i, 1 - i, A[1], A[2] + UC[1])


def params(kind: str, **options: Any) -> dict[str, Array]:
    """The parameters of these steps under their public names."""
    shapes = param_shapes(kind, 1, 1, **options)
    return {
        name: np.reshape(ROWS[name.removesuffix("_l0")][: shape[0]], shape)
        for name, shape in shapes.items()
    }
