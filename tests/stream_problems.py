"""Networks to be streamed, and comparisons of states."""

from __future__ import annotations

import numpy as np
from problems import parts, same_bits, takes_many_taps

import rnncore as rc


def same_states(got, expected):
    for a, b in zip(got, expected, strict=True):
        assert (a is None) == (b is None)
        for one, other in zip(parts(a), parts(b), strict=True):
            if one is not None:
                same_bits(one, other, "state")


def draw(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def structured(cell, structures, shapes, dtype):
    """Models of one layer in each of the structures, and their inputs (9, B, I); of `shapes`,
    which are (B, I, H), others for every cell."""
    for i, structure in enumerate(structures):
        if len(structure.get("taps", ())) > 1 and not takes_many_taps(cell):
            continue
        size, inputs, hidden = shapes[(i + len(cell.name)) % len(shapes)]
        inputs = hidden if cell.kind == "IntersectionRNN" else inputs
        layer = getattr(rc, cell.kind)(inputs, hidden, dtype=dtype, **cell.options | structure)
        yield rc.Model([layer], seed=i), draw(9, size, inputs, dtype=dtype)


def network(batch_first=False, **options):
    """An embedding, residual and dilated layers, +RNN, all kinds of stages."""
    return rc.Model([
        rc.Embedding(11, 6), rc.Linear(6, 6, activation="tanh", residual=True),
        rc.LSTM(6, 7, num_layers=2, taps=(1, 3), dropout=0.5), rc.Linear(7, 5),
        rc.IntersectionRNN(5, 5), rc.RNN(5, 5, form="pascanu", activation="sigmoid", taps=(2,)),
        rc.GRU(5, 5, residual=True), rc.Linear(5, 3, activation="sigmoid"),
    ], seed=0, batch_first=batch_first, **options)
