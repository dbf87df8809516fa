"""How fast the flat arrays are gone over, beside a copy of as many bytes, on one thread.

    pytest bench/test_optimizer.py -s

Each function moves so many bytes a parameter; its time is compared with what `numpy.copyto`
needs to move them. All run in turn within one round, so that none finds its arrays in cache
from its own last run, and noise comes to all. Medians over the rounds of the thread's own time:
longer calls are interrupted more often on a busy machine.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest

import rnncore as rc
from rnncore.engine.flat import global_norm
from rnncore.parameters import Parameters

PARAMETERS, ROUNDS = 4_000_000, 31


class Model:
    """What an optimizer sees of a model."""

    def __init__(self, dtype):
        self.tensors = Parameters({"weight": (PARAMETERS // 1000, 1000)}, dtype)
        self.frozen = frozenset()
        self.tensors.grads[:] = np.random.default_rng(0).standard_normal(PARAMETERS)


def jobs(dtype):
    """Each function with the numbers of parameters it moves in and out."""
    model, target = Model(dtype), np.empty(PARAMETERS, dtype)
    grads, clipped = model.tensors.grads, model.tensors.grads.copy()

    def clip_value():
        clipped[0] = 9  # above the limit, or the second pass would be spared
        rc.clip_value(clipped, 0.5)

    optimizers = {
        "SGD": (rc.SGD(1e-6, weight_decay=1e-6), 3),
        "SGD, momentum": (rc.SGD(1e-6, 0.9), 5),
        "RMSprop": (rc.RMSprop(1e-6), 5),
        "Adam": (rc.Adam(1e-6), 7),
        "AdamW": (rc.AdamW(1e-6), 7),
    }
    return {
        "copy": (lambda: np.copyto(target, grads), 2),
        "global norm": (lambda: global_norm(grads), 1),
        # A norm of 1 is scaled too, by 1 / (1 + 1e-6).
        "clip_norm": (lambda: rc.clip_norm(clipped, 1.0), 3),
        "clip_value": (clip_value, 3),
        **{name: (lambda optimizer=optimizer: optimizer.step(model), moved)
           for name, (optimizer, moved) in optimizers.items()},
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_a_copy(dtype, record_property):
    with rc.num_threads(1):
        functions = jobs(dtype)
        times = {name: [] for name in functions}
        for _ in range(ROUNDS):
            for name, (function, _) in functions.items():
                start = time.thread_time()
                function()
                times[name].append(time.thread_time() - start)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    per_item = medians["copy"] / functions["copy"][1]
    print(f"\n{PARAMETERS:,} parameters, {dtype}, {rc.current_isa()}")
    for name, seconds in medians.items():
        ratio = seconds / (functions[name][1] * per_item)
        record_property(name, seconds)
        print(f"{name:15} {1e3 * seconds:6.2f} ms   {ratio:5.2f} of the time of its bytes")
