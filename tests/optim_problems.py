"""What optimizers and clipping see of a model, and the optimizers that have a state."""

from __future__ import annotations

import numpy as np

import rnncore as rc
from rnncore.parameters import Parameters


class Model:
    """What an optimizer sees of a model."""

    def __init__(self, shapes=None, dtype=np.float64, seed=0):
        rng = np.random.default_rng(seed)
        self.tensors = Parameters(shapes or {"a": (3,), "b": (2, 2), "c": (4,)}, dtype)
        self.frozen = frozenset()
        with self.tensors.writable() as flat:
            flat[:] = rng.standard_normal(flat.size)

    def step(self, optimizer, grads):
        self.tensors.grads[:] = grads
        optimizer.step(self)
        return self.tensors.values.copy()


STATEFUL = [lambda: rc.SGD(0.1, 0.9), rc.RMSprop, lambda: rc.RMSprop(momentum=0.9), rc.Adam,
            rc.AdamW]
