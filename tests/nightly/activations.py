"""Every float32 there is, through the sigmoid and the tanh of every instruction set.

Prints the largest error of each, in units in the last place of the exact value where argument
and result are normal, with the argument it belongs to. Exits with 1 if any is above 3, if a
zero, an infinity or a NaN gives a wrong value, or if a denormal argument or result is off by
more than the smallest normal number. Takes about ten minutes.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from rnncore.engine.plan import activate, available_isas
from rnncore.engine.spec import use

BLOCK = 1 << 16  # arguments at a time: half a megabyte in float64 stays in cache
LIMIT = 3.0  # units in the last place that the library promises
TINY = float(np.finfo(np.float32).tiny)


def exact(function, x):
    """The value in float64, whose own error is below 1e-8 of a float32's last place."""
    if function == "tanh":
        return np.tanh(x)
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


def inverse_place(value):
    """One over the distance of neighbouring float32 values around each normal value."""
    exponent = value.view(np.uint64) & np.uint64(0x7FF << 52)
    return (np.uint64((2 * 1023 + 23) << 52) - exponent).view(np.float64)


class Block:
    """The exact values of one function, and how far from them a computed one may be."""

    def __init__(self, function, x):
        self.x, wide = x, x.astype(np.float64)
        self.value = exact(function, wide)
        normal = (np.abs(wide) >= TINY) & (np.abs(self.value) >= TINY) & np.isfinite(wide)
        self.unit = np.where(normal, inverse_place(self.value), 0.0)
        self.rest = None if normal.all() else ~normal

    def largest_error(self, y):
        """The largest error, infinite where a special value is wrong, and its argument."""
        difference = np.abs(y.astype(np.float64) - self.value)
        error = difference * self.unit
        if self.rest is not None:
            error[self.rest] = np.where(difference[self.rest] <= TINY, 0.0, np.inf)
            error[np.isnan(self.x) & np.isnan(y)] = 0.0
        at = int(np.argmax(error))
        return float(error[at]), float(self.x[at])


def computed(function, isa, x):
    y = x.copy()
    with use(isa=isa):
        activate(function, y)
    return y


def main():
    largest = {(f, isa): (0.0, 0.0) for f in ("sigmoid", "tanh") for isa in available_isas()}
    began = time.perf_counter()
    for first in range(0, 1 << 32, BLOCK):
        x = np.arange(first, first + BLOCK, dtype=np.uint64).astype(np.uint32).view(np.float32)
        for function in ("sigmoid", "tanh"):
            block, known = Block(function, x), {}
            for isa in available_isas():
                y = computed(function, isa, x)
                bits = y.tobytes()  # instruction sets that agree are measured once
                if bits not in known:
                    known[bits] = block.largest_error(y)
                largest[function, isa] = max(largest[function, isa], known[bits])
    for (function, isa), (error, argument) in largest.items():
        print(f"{function:8} {isa:10} {error:.4f} at {argument!r}")
    print(f"all 2^32 arguments in {time.perf_counter() - began:.0f} s")
    return int(any(error > LIMIT for error, _ in largest.values()))


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        sys.exit(main())
