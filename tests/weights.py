"""Small models with recurrent weights, and what is asked of such weights."""

from __future__ import annotations

import numpy as np

import rnncore as rc


def filled(hidden=12, dtype="float64", size=1.0, kind=rc.RNN, **options):
    """A model with a recurrent layer, whose recurrent elements are N(0, size^2 / H)."""
    layer = kind(3, hidden, dtype=dtype, **options)
    model = rc.Model([layer, rc.Linear(layer.output_size, 2, dtype=dtype)], seed=0)
    rc.init.normal(model, std=size / np.sqrt(hidden), seed=1)
    return model


def near(model, by, seed=2):
    """Orthogonal recurrent weights, and noise on them."""
    rc.init.orthogonal(model, seed=seed)
    rng = np.random.default_rng(seed)
    for name, w in recurrent(model).items():
        noise = rng.standard_normal(w.shape) * by
        model.set_parameter(name, (w + noise).astype(w.dtype))
    return model


def recurrent(model):
    return {n: w for n, w in model.named_parameters().items() if "weight_hh" in n}


def blocks(w):
    """The gate blocks of a recurrent weight, copied, in float64."""
    return w.astype(np.float64).reshape(-1, w.shape[1], w.shape[1])


def deviation(w):
    """The largest |W'W - I|_F of the blocks."""
    return max(np.linalg.norm(b.T @ b - np.eye(len(b))) for b in blocks(w))


def radius(w):
    return max(np.abs(np.linalg.eigvals(b)).max() for b in blocks(w))


WIDE = {"kind": rc.LSTM, "num_layers": 2, "bidirectional": True, "taps": (1, 8)}
