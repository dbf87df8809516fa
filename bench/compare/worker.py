"""The process of one library: it does what it is asked on its standard input.

    python -m compare.worker NAME THREADS

A request is a line of JSON and so is the answer, which goes where standard output went; what
libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from typing import Any

import numpy as np

from .peers import PEERS
from .probe import Probe
from .rows import Problem, Row


class Worker:
    """The work of a peer, and what can be asked of it."""

    def __init__(self, name: str, threads: int) -> None:
        self.peer = PEERS[name](threads)

    def describe(self) -> str:
        """What it runs on."""
        return self.peer.describe()

    def prepare(self, row: str, mode: str, path: str) -> None:
        """Take up a row, run it once, and write its outputs to a file of arrays."""
        self.call, read = getattr(self.peer, mode)(Problem(Row.parse(row)))
        outputs = read(self.call())
        np.savez(path, **outputs)
        self.last = self._time()

    def run(self, seconds: float) -> float:
        """The median time of a call, over about so many seconds; at least one call.

        The first is not counted, as others have used the caches, unless it would take as long
        as all that was asked for.
        """
        if self.last < seconds / 2:
            self.call()
        times, end = [], time.perf_counter() + seconds
        while not times or time.perf_counter() + self.last < end:
            self.last = self._time()
            times.append(self.last)
        return statistics.median(times)

    def _time(self) -> float:
        start = time.perf_counter()
        self.call()
        return time.perf_counter() - start


def main() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    kind, threads = sys.argv[1], int(sys.argv[2])
    worker: Any = Probe(threads) if kind == "probe" else Worker(kind, threads)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"value": getattr(worker, name)(*arguments)}
        except Exception as error:  # the parent says which library failed at what
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
