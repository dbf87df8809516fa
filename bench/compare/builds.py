"""Two builds of rnncore, compared as libraries are: `python -m bench.ab`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from .lanes import Lane
from .rounds import Measured, measure
from .rows import MODES, chosen
from .summary import geometric_mean, ratios, spread
from .tables import markdown, with_quartiles


def main(given: Sequence[str] | None = None) -> int:
    """Install both, measure, and print the ratios."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.ab", description="Measure two builds of rnncore, round by round.")
    parser.add_argument("wheels", nargs=2, metavar="WHEEL", type=Path)
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW",
                        help="rows, or words of them, as in bench.compare")
    parser.add_argument("--mode", nargs="+", default=list(MODES), choices=[*MODES, "step"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1], metavar="N")
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    parser.add_argument("--seconds", type=float, default=0.05, metavar="S")
    options = parser.parse_args(given)
    results = []
    with ExitStack() as stack:
        folders = [stack.enter_context(tempfile.TemporaryDirectory()) for _ in options.wheels]
        for wheel, folder in zip(options.wheels, folders, strict=True):
            install(wheel, folder)
        lanes = [Lane("rnncore", threads, folder, name) for threads in options.threads
                 for name, folder in zip("AB", folders, strict=True)]
        for lane in lanes:
            stack.callback(lane.close)
        for row in chosen(options.only):
            for mode in options.mode:
                results += measure(lanes, row, mode, options.rounds, options.seconds)
                print(".", end="", flush=True)
    print("\n" + table(results))
    return 0


def install(wheel: Path, folder: str) -> None:
    """Unpack a wheel into a folder to import from, without what it depends on."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
                    "--target", folder, os.fspath(wheel)], check=True)


def table(results: Sequence[Measured]) -> str:
    """The time of A in that of B for each row, and the geometric mean."""
    rows = [["", "A, us", "B, us", "A / B (> 1: B is faster)", "outputs differ by"]]
    medians = []
    for result in results:
        both = [spread([1e6 * seconds for seconds in result.seconds[name]]) for name in "AB"]
        ratio = ratios(result.seconds["A"], result.seconds["B"])
        medians.append(ratio.median)
        rows.append([f"{result.row}, {result.mode}, {result.threads}",
                     *(with_quartiles(found, ".1f") for found in both),
                     with_quartiles(ratio, ".3f"), f"{result.deviations['B']:.0e}"])
    return markdown([*rows, ["geometric mean", "", "", f"{geometric_mean(medians):.3f}", ""]])
