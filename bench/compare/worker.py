"""The process of one library: it does what it is asked on its standard input.

A request is a line of JSON and so is the answer, which goes where standard output went; what
libraries print goes to standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from .peers import PEERS
from .probe import Probe
from .rows import Problem, Row


class Worker:
    """The work of a peer, and what can be asked of it."""

    def __init__(self, library: str, threads: int) -> None:
        self.peer = PEERS[library](threads)

    def describe(self) -> str:
        """What it runs on."""
        return self.peer.describe()

    def prepare(self, row: str, mode: str, path: str) -> None:
        """Take up a row, run it once, and write its outputs to a file of arrays."""
        self.call, read = getattr(self.peer, mode)(Problem(Row.parse(row)))
        outputs = read(self.call())
        np.savez(path, **outputs)
        self.last = self._time()

    def run(self, seconds: float) -> tuple[float, float]:
        """The median time of a call, over about so many seconds; and the share of that time in
        which threads of this process waited for a CPU.

        The first call is not counted, as others have used the caches, unless it would take half
        of what was asked for. At least one is counted.
        """
        if self.last < seconds / 2:
            self.call()
        times: list[float] = []
        waited, start = waiting(), time.perf_counter()
        while not times or time.perf_counter() + self.last < start + seconds:
            self.last = self._time()
            times.append(self.last)
        waited = waiting() - waited
        return statistics.median(times), waited / (time.perf_counter() - start)

    def _time(self) -> float:
        start = time.perf_counter()
        self.call()
        return time.perf_counter() - start


def waiting() -> float:
    """Seconds for which threads of this process were ready to run and did not, so far."""
    total = 0.0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread has ended
            total += int(path.read_text().split()[1]) / 1e9
    return total


def serve(library: str, threads: int) -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker: Any = Probe(threads) if library == "probe" else Worker(library, threads)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"value": getattr(worker, name)(*arguments)}
        except Exception as error:  # the parent says which library failed at what
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
