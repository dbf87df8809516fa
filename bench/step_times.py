"""How long single steps take: histograms of a million steps of one row through rnncore.h.

    python bench/step_times.py [--count 1000000] [--shapes 1x16 1x32 1x64]

A step's time is that between two calls of the clock, less the median of the clock's own. What
is far above the median are interrupts and other programs: the loop calls no system and
allocates nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import c_builds

import rnncore as rc

KINDS = {"LSTM": rc.LSTM, "GRU": rc.GRU, "RNN": rc.RNN}
SHARES = (50, 90, 99, 99.9, 99.99, 100)
BAR = 50  # characters


def histogram(times: np.ndarray) -> str:
    """Lines of bins, each a quarter of a power of two wide, and the share of the steps."""
    edges = 2.0 ** np.arange(np.floor(4 * np.log2(max(times.min(), 1))) / 4,
                             np.log2(times.max() + 1) + 0.25, 0.25)
    counts, _ = np.histogram(times, edges)
    return "\n".join(f"{low:>12,.0f} ns  {count:>9,}  {'#' * round(BAR * count / len(times))}"
                     for low, count in zip(edges[:-1], counts, strict=True) if count)


def main() -> None:
    """Print a table of percentiles and a histogram of each kind and shape."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--shapes", nargs="+", default=["1x16", "1x32", "1x64"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(__file__).with_name("steps.pyx")
        compiled = c_builds.load(c_builds.translated(source, Path(folder)))
    for kind in KINDS:
        for shape in options.shapes:
            inputs, hidden = map(int, shape.split("x"))
            steps = compiled.Steps(rc.Model([KINDS[kind](inputs, hidden)], seed=0))
            x = np.random.default_rng(0).standard_normal(inputs, dtype=np.float32)
            y, times = np.empty(hidden, np.float32), np.empty(options.count, np.uint32)
            steps.times(x, y, times, idle=True)
            clock = int(np.median(times))
            steps.times(x, y, times)
            times = np.maximum(times.astype(np.int64) - clock, 0)
            print(f"\n{kind} {inputs}->{hidden}, less the clock's {clock} ns:",
                  ", ".join(f"{share}% {np.percentile(times, share):,.0f} ns"
                            for share in SHARES))
            print(histogram(times))


if __name__ == "__main__":
    main()
