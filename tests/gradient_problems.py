"""Networks and batches whose gradients are looked at."""

from __future__ import annotations

import numpy as np

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
