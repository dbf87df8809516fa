"""How many threads the engine may use.

Threads never change a bit of a result: they divide rows of the batch and panels of units, and
no sum.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator

MAX_THREADS = 256


def available_cpus() -> int:
    """The processors this process may use: its affinity, and its control group's quota."""
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        cpus = min(cpus, max(math.ceil(int(quota) / int(period)), 1))
    return cpus


def _default() -> int:
    cap = os.environ.get("RNNCORE_NUM_THREADS")
    if not cap:
        return min(available_cpus(), MAX_THREADS)
    if not cap.isdecimal() or not 1 <= int(cap) <= MAX_THREADS:
        raise ImportError(f"RNNCORE_NUM_THREADS is {cap!r}, expected an integer from 1 to "
                          f"{MAX_THREADS}")
    return min(available_cpus(), int(cap))


class _Setting:
    """The number of the whole process, and how many can run at once."""

    number = _default()
    processors = available_cpus()


def get_num_threads() -> int:
    """How many threads a call may use."""
    return _Setting.number


def processors() -> int:
    """How many threads can run at once: no more should wait for one another."""
    return _Setting.processors


def set_num_threads(number: int) -> None:
    """Let every call in this process use up to `number` threads.

    The default is the number of processors that the process may use, capped by
    RNNCORE_NUM_THREADS.

    Raises
    ------
    TypeError, ValueError
        If `number` is not an integer from 1 to 256.

    Examples
    --------
    >>> before = get_num_threads()
    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    >>> set_num_threads(before)
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"number is {number!r}, expected an integer")
    if not 1 <= number <= MAX_THREADS:
        raise ValueError(f"number is {number}, expected from 1 to {MAX_THREADS}")
    _Setting.number = number


@contextlib.contextmanager
def num_threads(number: int) -> Iterator[None]:
    """Use up to `number` threads inside a `with` block.

    Examples
    --------
    >>> with num_threads(1):
    ...     get_num_threads()
    1
    """
    before = get_num_threads()
    set_num_threads(number)
    try:
        yield
    finally:
        set_num_threads(before)
