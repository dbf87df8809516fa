"""Small models, and what the tests of models and training share."""

from __future__ import annotations

import numpy as np

import rnncore as rc

F64 = np.float64
K, H, C = 2, 4, 3  # features, hidden units, outputs or classes


def make(loss="cross_entropy", last=False, cell=rc.LSTM, **options):
    """A recurrent layer and a read-out in float64, of every step or of the last one."""
    layers = [cell(K, H, dtype=F64), rc.Linear(H, C, dtype=F64)]
    if last:
        layers.insert(1, rc.Last())
    return rc.Model(layers, loss, **{"seed": 0, **options})


def numeric_gradient(model, *args, **kwargs):
    """Central differences of the loss by every parameter."""
    gradient = np.empty_like(model.grads)
    start = model.parameters.copy()
    for i in range(start.size):
        ends = []
        for sign in (1, -1):
            with model.writable() as flat:
                flat[:] = start
                flat[i] += sign * 1e-5
            ends.append(model.loss_and_grad(*args, **kwargs)[0])
        gradient[i] = (ends[0] - ends[1]) / 2e-5
    with model.writable() as flat:
        flat[:] = start
    return gradient


def train(model, pieces, optimizer):
    """Updates from tuples (x, target, lengths, mask), with the state carried on."""
    losses, state = [], None
    for x, target, *rest in pieces:
        loss, state = model.loss_and_grad(x, target, state, *rest)
        optimizer.step(model)
        losses.append(loss)
    return losses


def same(model, other):
    """Whether all parameters are the same in bits."""
    return model.parameters.tobytes() == other.parameters.tobytes()
