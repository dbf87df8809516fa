"""The most that the processor does at this moment: multiply-adds, and bytes out of each cache.

The C beside this file is compiled for the processor at hand, into a folder that is thrown away.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .machine import caches, flags

CHAINS = 12  # as in probe.c
SOURCE = Path(__file__).with_name("probe.c")
REPEATS = 5


def compiler() -> str | None:
    """The C compiler: $CC, or cc; None if there is none."""
    return shutil.which(os.environ.get("CC", "cc"))


def target(known: set[str]) -> tuple[int, list[str]]:
    """The bytes of a register, and the compiler's options for instructions of this name."""
    if "avx512f" in known:
        return 64, ["-mavx512f", "-mprefer-vector-width=512"]
    if {"avx2", "fma"} <= known:
        return 32, ["-mavx2", "-mfma"]
    return 16, []


def compiled(register: int, options: list[str]) -> ctypes.CDLL:
    """The library of probe.c."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "probe.so")
        subprocess.run([compiler() or "cc", "-O3", "-ffp-contract=fast", "-shared", "-fPIC",
                        f"-DVECTOR={register}", *options, str(SOURCE), "-o", str(library)],
                       check=True)
        return ctypes.CDLL(str(library))


class Probe:
    """The probes, on all CPUs of this process at once, a thread pinned to each."""

    def __init__(self, threads: int) -> None:
        self.cpus = sorted(os.sched_getaffinity(0))[:threads]
        self.register, options = target(flags())
        self.options = " ".join(options) or "the compiler's own"
        library = compiled(self.register, options)
        library.probe_fma.argtypes = ctypes.c_long, ctypes.c_float, ctypes.c_float
        library.probe_read.argtypes = ctypes.c_void_p, ctypes.c_long, ctypes.c_long
        self.fma, self.read = library.probe_fma, library.probe_read
        self._pool = ThreadPoolExecutor(len(self.cpus))
        self._start = threading.Barrier(len(self.cpus))
        self.sizes = _sizes(caches(self.cpus[0]))

    def describe(self) -> str:
        """What it was compiled for."""
        return f"{8 * self.register} bit, {self.options}"

    def run(self, seconds: float) -> dict[str, float]:
        """FLOP/s as "peak" and bytes/s as "L1", "L2", "L3": sums over the CPUs.

        Each is the median of repeats, which together take about so many seconds.
        """
        each = seconds / (REPEATS * (1 + len(self.sizes)))
        work = 2 * CHAINS * self.register // 4
        found = {"peak": self._all(lambda _: lambda n: self.fma(n, 0.5, 0.5), work, each)}
        for level, size in self.sizes.items():
            block = CHAINS * self.register
            size -= size % block
            count = size // self.register

            def prepared(index: int, size: int = size, count: int = count) -> Any:
                pages = np.ones(size + 64, np.uint8)  # of this thread's own
                start = pages.ctypes.data + -pages.ctypes.data % 64
                return lambda n, pages=pages: self.read(start, count, n)

            found[level] = self._all(prepared, size, each)
        return found

    def _all(self, prepare: Any, work: int, seconds: float) -> float:
        """The rates of all CPUs added: work per unit of what `prepare(index)` returns."""
        def one(index: int) -> float:
            os.sched_setaffinity(0, {self.cpus[index]})  # of this thread
            function = prepare(index)
            number, taken = 1, _seconds(function, 1)
            while taken < seconds / 4:
                number *= 2
                taken = _seconds(function, number)
            number = max(round(number * seconds / taken), 1)
            self._start.wait()
            return work * number / statistics.median(
                _seconds(function, number) for _ in range(REPEATS))

        return sum(self._pool.map(one, range(len(self.cpus))))


def _sizes(known: dict[str, int]) -> dict[str, int]:
    """For each cache, bytes that fit into it, and not into the one below."""
    return {"L1": known["L1"] // 2, "L2": known["L2"] // 2,
            "L3": min(known["L3"] // 2, 8 * known["L2"])}


def _seconds(function: Any, number: int) -> float:
    start = time.perf_counter()
    function(number)
    return time.perf_counter() - start
