"""Networks and batches whose gradients are looked at."""

from __future__ import annotations

import numpy as np
import pytest

import rnncore as rc


def orthogonal(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


def linear_net(w, activation="identity", dtype=np.float64):
    """A linear recurrent layer whose state is the output, with recurrent weights w."""
    layer = rc.RNN(2, len(w), activation=activation, dtype=dtype, seed=0)
    layer.set_parameter("weight_hh_l0", w.astype(dtype))
    return rc.Model([layer, rc.Last()], loss="mse")


def batch(model, steps, rows=3, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((steps, rows, model.input_size)).astype(model.dtype)
    shape = (steps, rows) if model.per_step else (rows,)
    return x, rng.standard_normal((*shape, model.output_size)).astype(model.dtype)


MODELS = {
    "stack": lambda d: [rc.LSTM(3, 4, num_layers=2, residual=True, dtype=d), rc.Linear(4, 2,
                                                                                       dtype=d)],
    "both directions": lambda d: [rc.GRU(3, 4, num_layers=2, bidirectional=True, dtype=d),
                                  rc.Linear(8, 2, dtype=d)],
    "taps": lambda d: [rc.RNN(3, 4, taps=(1, 3), dtype=d), rc.UGRNN(4, 2, taps=(2,), dtype=d)],
    "pascanu": lambda d: [rc.Linear(3, 3, dtype=d), rc.RNN(3, 4, form="pascanu", dtype=d),
                          rc.IndRNN(4, 2, dtype=d)],
    "plus": lambda d: [rc.IntersectionRNN(3, 3, dtype=d), rc.MinGRU(3, 2, dtype=d)],
    "reset before": lambda d: [rc.GRU(3, 4, reset="before", dtype=d),
                               rc.LSTM(4, 2, peephole="diagonal", dtype=d)],
    "skip": lambda d: [rc.RNN(3, 2, skip=2, skip_scale=0.5, dtype=d)],
    "cell peepholes": lambda d: [rc.LSTM(3, 2, peephole="cell", dtype=d)],
}
every_model = pytest.mark.parametrize("name", MODELS)
