"""What the remedies cost: Omega and per-step clipping beside the plain backward pass, truncated
and checkpointed training beside the full one; on one thread.

    pytest bench/test_remedies.py -s

The ways run in turn within one round; the figures are medians over rounds of the ratio to the
plain one of the same round, and the peak of the memory that NumPy allocates.
"""

from __future__ import annotations

import statistics
import tracemalloc
from timeit import timeit

import numpy as np
import pytest

import rnncore as rc
from rnncore.remedies import remedies

SHAPES = [("RNN", 32, 256, {}), ("LSTM", 32, 256, {}), ("GRU", 32, 256, {}),
          ("GRU", 32, 256, {"reset": "before"}), ("RNN", 20, 50, {})]  # kind, B, H; T=100, I=H


@pytest.mark.parametrize("kind, size, hidden, options", SHAPES)
def test_backward(kind, size, hidden, options):
    layer, rng = getattr(rc, kind)(hidden, hidden, seed=0, **options), np.random.default_rng(0)
    x = rng.standard_normal((100, size, hidden)).astype(np.float32)
    ways = {"plain": None, "omega": remedies(rc.Omega(0.5), None),
            "clip_step": remedies(None, 1e-3)}
    times = {name: [] for name in ways}
    with rc.num_threads(1):
        for _ in range(max(20, 4_000_000 // x.size)):
            for name, given in ways.items():
                layer.forward(x)
                times[name].append(timeit(
                    lambda given=given: layer.backward(x, remedies=given), number=1))
    print(f"\n{kind}{options or ''} B{size} H{hidden} T100: backward "
          f"{1000 * statistics.median(times['plain']):.3f} ms", end="")
    for name in ("omega", "clip_step"):
        ratios = [a / b for a, b in zip(times[name], times["plain"], strict=True)]
        print(f", with {name} {statistics.median(ratios):.3f}", end="")


def test_truncated_and_checkpointed():
    """One pass through 2000 steps of 16 rows."""
    x = np.random.default_rng(0).standard_normal((2000, 16, 64)).astype(np.float32)
    ways = {"full": {}, "checkpoint_every=45": {"checkpoint_every": 45},
            "tbptt=100": {"tbptt": 100}, "tbptt=(50, 100)": {"tbptt": (50, 100)}}
    times, peaks = {name: [] for name in ways}, {}
    with rc.num_threads(1):
        for measured in range(6):
            for name, given in ways.items():
                model = rc.Model([rc.LSTM(64, 64)], seed=0)
                if measured == 0:
                    tracemalloc.start()
                taken = timeit(lambda m=model, g=given: m.fit((x, x), **g), number=1)
                if measured == 0:
                    peaks[name] = tracemalloc.get_traced_memory()[1]
                    tracemalloc.stop()
                else:
                    times[name].append(taken)
    for name in ways:
        ratios = [a / b for a, b in zip(times[name], times["full"], strict=True)]
        print(f"\n{name}: {1000 * statistics.median(times[name]):.0f} ms, "
              f"{statistics.median(ratios):.2f} of the full time, {peaks[name] / 2**20:.1f} MB",
              end="")
