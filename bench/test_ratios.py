"""What one thing costs beside another: lengths, cells, threads. float32, I = H, one thread
unless said.

    pytest bench/test_ratios.py -s

The ways run in turn within one round; the figures are medians over rounds of the ratio to the
first of the same round.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from timeit import timeit

import numpy as np
import pytest

import rnncore as rc

CELLS = {"LSTM": (rc.LSTM, {}), "peephole": (rc.LSTM, {"peephole": "diagonal"}),
         "peephole cell": (rc.LSTM, {"peephole": "cell"}), "UGRNN": (rc.UGRNN, {}),
         "+RNN": (rc.IntersectionRNN, {}), "GRU": (rc.GRU, {}), "RNN": (rc.RNN, {})}
ROUNDS = 15


def beside_first(ways):
    """The median time of each way relative to the first one's of the same round."""
    for job in ways.values():
        job()
    rounds = [{name: timeit(job, number=1) for name, job in ways.items()}
              for _ in range(ROUNDS)]
    first = next(iter(ways))
    return {name: statistics.median(each[name] / each[first] for each in rounds)
            for name in ways}


def shown(title, ratios):
    print(f"\n{title}: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()),
          end="")


def training(layer, x, lengths=None):
    def train():
        layer.forward(x, lengths=lengths)
        layer.backward(x)

    return train


def on(threads, job):
    """A job on so many threads, a few times in a row: they sleep while one works alone."""
    def run():
        with rc.num_threads(threads):
            for _ in range(4):
                job()

    return run


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("size, steps, hidden", [(32, 100, 256), (32, 50, 128), (64, 100, 128)])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_lengths(kind, size, steps, hidden):
    """Lengths spread evenly over [1, T]: half the steps are live."""
    layer, x = getattr(rc, kind)(hidden, hidden, seed=0), normal(steps, size, hidden)
    lengths = np.linspace(1, steps, size).round().astype(int)[::-1]
    with rc.num_threads(1):
        forward = beside_first({"full": lambda: layer.infer(x),
                                "lengths": lambda: layer.infer(x, lengths=lengths)})
        both = beside_first({"full": training(layer, x),
                             "lengths": training(layer, x, lengths)})
    shown(f"{kind} B{size} T{steps} H{hidden}", {"forward": forward["lengths"],
                                                 "training": both["lengths"]})


def test_cells():
    """GFLOP/s beside the LSTM's, B32 T100 H256."""
    x = normal(100, 32, 256)
    layers = {name: kind(256, 256, seed=0, **options)
              for name, (kind, options) in CELLS.items()}
    work = {name: sum(w.size for _, w in layer.parameters.items() if w.ndim == 2)
            for name, layer in layers.items()}
    ways = {"forward": {name: lambda n=layer: n.infer(x) for name, layer in layers.items()},
            "training": {name: training(layer, x) for name, layer in layers.items()}}
    with rc.num_threads(1):
        for way, jobs in ways.items():
            shown(way, {name: work[name] / work["LSTM"] / ratio
                        for name, ratio in beside_first(jobs).items()})


@pytest.mark.parametrize("size, steps, hidden",
                         [(32, 100, 256), (64, 100, 512), (16, 100, 128)])
def test_without_recurrent_product(size, steps, hidden):
    """Cells that have no product with the state, beside BLAS's product with x alone."""
    x = normal(steps, size, hidden)
    for kind, blocks in ((rc.IndRNN, 1), (rc.IdentityRNN, 1), (rc.MinGRU, 2)):
        layer, weight = kind(hidden, hidden, seed=0), normal(hidden, blocks * hidden)
        flat, out = x.reshape(-1, hidden), np.empty((steps * size, blocks * hidden), np.float32)
        with rc.num_threads(1):
            shown(f"{kind.__name__} B{size} T{steps} H{hidden}", beside_first({
                "product": lambda f=flat, w=weight, o=out: np.matmul(f, w, out=o),
                "infer": lambda n=layer: n.infer(x)}))


@pytest.mark.parametrize("size, steps, hidden",
                         [(1, 100, 64), (1, 100, 256), (1, 100, 512), (4, 100, 128),
                          (8, 100, 64), (16, 100, 128), (20, 50, 50), (32, 100, 256),
                          (128, 50, 128)])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_threads(kind, size, steps, hidden):
    """Two threads beside one: at most 1.05, and 0.5 at best."""
    layer, x = getattr(rc, kind)(hidden, hidden, seed=0), normal(steps, size, hidden)
    shown(f"{kind} B{size} T{steps} H{hidden}", {
        name: beside_first({"one": on(1, job), "two": on(2, job)})["two"]
        for name, job in (("forward", lambda: layer.infer(x)),
                          ("training", training(layer, x)))})


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_oversubscribed():
    """In a process of its own that has one processor from the beginning."""
    processor = max(os.sched_getaffinity(0))
    child = subprocess.run([sys.executable, __file__], check=True, capture_output=True,
                           text=True,
                           preexec_fn=lambda: os.sched_setaffinity(0, {processor}))
    print(child.stdout, end="")


def oversubscribed():
    """Eight threads on one processor beside one thread there: at most 2."""
    for size, hidden in ((1, 512), (16, 128), (32, 256)):
        layer, x = rc.LSTM(hidden, hidden, seed=0), normal(100, size, hidden)
        jobs = {"forward": lambda n=layer, x=x: n.infer(x), "training": training(layer, x)}
        shown(f"eight threads, LSTM B{size} T100 H{hidden}", {
            name: beside_first({"one": on(1, job), "eight": on(8, job)})["eight"]
            for name, job in jobs.items()})


if __name__ == "__main__":
    oversubscribed()
