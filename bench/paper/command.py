"""The command line of the study."""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path

from paper.part import Part
from paper.parts import PARTS
from paper.runs import Results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are named, and write what they give."""
    parser = argparse.ArgumentParser(description="Published experiments, run again.")
    parser.add_argument("part", nargs="+", choices=sorted(PARTS), metavar="PART",
                        help=" or ".join(sorted(PARTS)))
    parser.add_argument("--quick", action="store_true",
                        help="a few short runs, to see that everything works")
    parser.add_argument("--out", type=Path, default=Path("paper-results"), metavar="FOLDER",
                        help="where the results are, and go (default: %(default)s)")
    options = parser.parse_args(arguments)
    for name in options.part:
        stem = options.out / (f"{name}-quick" if options.quick else name)
        results = Results(stem.with_suffix(".jsonl"))
        try:
            carry_out(PARTS[name], results, options.quick)
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here")
            write(PARTS[name], results, stem)
            return 130  # as a shell reports SIGINT
        write(PARTS[name], results, stem)
    return 0


def carry_out(part: Part, results: Results, quick: bool) -> None:
    """Do the runs that are not done yet."""
    runs = part.runs(quick)
    for number, run in enumerate(runs, 1):
        if run in results.done:
            continue
        start = time.perf_counter()
        measured = part.run(run, quick)
        measured["seconds"] = round(time.perf_counter() - start, 1)
        results.add(run, measured)
        shown = ", ".join(f"{key} {value}" for key, value in measured.items()
                          if not isinstance(value, list))  # these are for the file
        print(f"{number} of {len(runs)}: {run.arm}, length {run.length}, seed {run.seed}: "
              f"{shown}", flush=True)


def write(part: Part, results: Results, stem: Path) -> None:
    """Print the table and write it, and the figure where matplotlib is installed."""
    if not results.done:
        return
    table = part.table(results)
    print(table)
    stem.with_suffix(".txt").write_text(table + "\n", encoding="utf-8")
    if importlib.util.find_spec("matplotlib") is None:
        print("no figure: matplotlib is not installed")
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    part.draw(results, figure)
    figure.savefig(stem.with_suffix(".png"), dpi=150)
