"""The command line: `python -m bench.compare`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import figure
from .lanes import Lane, installed
from .machine import caches, cpus_for, processor
from .peers import PEERS
from .probe import compiler
from .rounds import Measured, measure
from .rows import MODES, Row, chosen
from .summary import best_peer, ratio
from .tables import document, with_quartiles

STEPS = [Row(cell, 1, 1, hidden) for cell in ("LSTM", "GRU", "RNN") for hidden in (64, 256)]


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare",
        description="Measure rnncore and every peer that is installed, round by round.")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N",
                        help="numbers of threads, each on as many CPUs (default: 1 2)")
    parser.add_argument("--rounds", type=int, default=9, metavar="N",
                        help="how often each library has its turn (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.05, metavar="S",
                        help="about how long a turn takes (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW",
                        help="rows as 'LSTM B1 T100 H64', or words of them: 'GRU', 'B1 H64'")
    parser.add_argument("--mode", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--library", nargs="+", default=list(PEERS), choices=list(PEERS),
                        help="beside rnncore itself (default: all that are installed)")
    parser.add_argument("--step", action="store_true",
                        help="instead of the table, one step of one row from Python")
    parser.add_argument("--out", type=Path, metavar="PREFIX",
                        help="also write PREFIX.md, PREFIX.json and PREFIX.png")
    options = parser.parse_args(given)
    options.threads = sorted({n for n in options.threads if n <= len(os.sched_getaffinity(0))})
    if not options.threads or options.threads[0] < 1 or options.rounds < 1:
        parser.error("--threads and --rounds have to be at least 1, and there have to be as "
                     "many CPUs as threads")
    try:
        options.rows = STEPS if options.step and not options.only else chosen(options.only)
    except ValueError as error:
        parser.error(str(error))
    if options.step:
        options.mode, options.threads = ["step"], options.threads[:1]
    return options


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and write them."""
    options = arguments(given)
    results: list[Measured] = []
    with ExitStack() as stack:
        lanes = started(stack, options)
        ran = {lane.name: lane.ask("describe") for lane in lanes}
        machine = {"processor": processor(), "caches": caches(max(cpus_for(1))),
                   "date": time.strftime("%Y-%m-%d"), "rounds": options.rounds,
                   "libraries": ran}
        try:
            results.extend(measured(lanes, options))
        except KeyboardInterrupt:
            print("stopped; this is what there is")
    text = document(machine, results)
    print(f"\n{text}", end="")
    if options.out:
        write(options.out, text, machine, results)
    return 0


def started(stack: ExitStack, options: argparse.Namespace) -> list[Lane]:
    """The processes: for each number of threads the probe, rnncore, and the peers."""
    names = [name for name in installed() if name in {"rnncore", *options.library}]
    if compiler() and not options.step:
        names.append("probe")
    own = importlib.util.find_spec("rnncore")
    folder = Path(own.origin).parents[1] if own and own.origin else None
    lanes = []
    for threads in options.threads:
        for name in names:
            lanes.append(Lane(name, threads, folder))
            stack.callback(lanes[-1].close)
    return lanes


def measured(lanes: Sequence[Lane], options: argparse.Namespace) -> Iterator[Measured]:
    """Measure row after row, and say how it went."""
    for mode in options.mode:
        for row in options.rows:
            for result in measure(lanes, row, mode, options.rounds, options.seconds):
                best = best_peer(result)
                shown = f"{with_quartiles(ratio(result, best), '.2f')} x {best}" if best else ""
                print(f"{row}, {mode}, {result.threads}: {shown}", flush=True)
                yield result


def write(prefix: Path, text: str, machine: dict[str, Any], results: Sequence[Measured]
          ) -> None:
    """Write the three files; the picture where matplotlib is installed."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{prefix}.md").write_text(text, encoding="utf-8")
    content = {"machine": machine, "results": [asdict(result) for result in results]}
    Path(f"{prefix}.json").write_text(json.dumps(content) + "\n", encoding="utf-8")
    if importlib.util.find_spec("matplotlib") is None:
        print("no picture: matplotlib is not installed")
    else:
        figure.save(Path(f"{prefix}.png"), f"float32, {machine['processor']}", results)
