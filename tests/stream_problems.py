"""Networks to be streamed, and comparisons of states."""

from __future__ import annotations

import numpy as np
from problems import parts, same_bits

import rnncore as rc


def same_states(got, expected):
    for a, b in zip(got, expected, strict=True):
        assert (a is None) == (b is None)
        for one, other in zip(parts(a), parts(b), strict=True):
            if one is not None:
                same_bits(one, other, "state")


def draw(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def network(batch_first=False, **options):
    """An embedding, residual and dilated layers, +RNN, all kinds of stages."""
    return rc.Model([
        rc.Embedding(11, 6), rc.Linear(6, 6, activation="tanh", residual=True),
        rc.LSTM(6, 7, num_layers=2, taps=(1, 3), dropout=0.5), rc.Linear(7, 5),
        rc.IntersectionRNN(5, 5), rc.RNN(5, 5, form="pascanu", activation="sigmoid", taps=(2,)),
        rc.GRU(5, 5, residual=True), rc.Linear(5, 3, activation="sigmoid"),
    ], seed=0, batch_first=batch_first, **options)
