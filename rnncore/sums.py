"""Steps worked off in blocks, and sums whose bits do not depend on how time is cut.

The losses of a step are summed by NumPy, the same way in every piece; the steps are summed
exactly and rounded once (Shewchuk 1997, as `math.fsum`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from rnncore.parameters import Array

# Elements worked on at a time: 128 KB in float32, a fraction of a second-level cache.
_BLOCK = 32768


def blocks(output: Array, target: Array,
           weights: Array) -> Iterator[tuple[slice, Array, Array, Array]]:
    """Blocks of steps: their slice, outputs (N, K), targets (N,) or (N, K), weights (N,)."""
    width = output.shape[-1]
    z, w = output.reshape(-1, width), weights.reshape(-1)
    t = target.reshape(-1, width) if target.ndim == output.ndim else target.reshape(-1)
    step = max(1, _BLOCK // width)
    for start in range(0, len(z), step):
        rows = slice(start, start + step)
        yield rows, z[rows], t[rows], w[rows]


def per_step(losses: Array, weights: Array) -> Array:
    """The sums (T,) of losses (N,), whose weights are (T, ...), over all axes but the first."""
    steps = len(np.atleast_1d(weights))
    return losses.reshape(steps, -1).sum(axis=1) if losses.size else np.zeros(steps)


def exact_sum(terms: Array) -> float:
    """The sum rounded once, whatever the order; as it comes where it is not finite."""
    values: list[float] = terms.tolist()
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # above the range of float64, or inf - inf
        return float(sum(values))
