"""The processor: its name, its CPUs and its caches."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

# Bytes, where the system does not say.
USUAL = {"L1": 32 * 1024, "L2": 512 * 1024, "L3": 8 * 1024**2}


def cpus_for(threads: int) -> set[int]:
    """As many CPUs as threads, of those this process may use; the last, as interrupts and other
    work are more often on the first.
    """
    return set(sorted(os.sched_getaffinity(0))[-threads:])


def processor() -> str:
    """The name, as the system knows it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def flags() -> set[str]:
    """The instruction sets, as the system names them."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return set(line.partition(":")[2].split())
    return set()


def caches(cpu: int) -> dict[str, int]:
    """Bytes of the data caches L1, L2 and L3 of a CPU."""
    found = dict(USUAL)
    for index in Path(f"/sys/devices/system/cpu/cpu{cpu}/cache").glob("index*"):
        with contextlib.suppress(OSError, ValueError):
            level, kind, size = ((index / name).read_text().strip()
                                 for name in ("level", "type", "size"))
            if kind != "Instruction":
                found[f"L{level}"] = 1024 * int(size.removesuffix("K"))
    return found


def level_of(size: float, sizes: dict[str, int]) -> str:
    """The smallest cache that so many bytes fit into, or the largest there is."""
    return next((level for level in ("L1", "L2", "L3") if size <= sizes[level]), "L3")
