"""What `import rnncore` costs over `import numpy`: the median of 21 pairs of fresh processes.

Memory is the same in every run, and held to its budget. Time is not: on a busy machine both
imports take longer, so their ratio is what counts, and it is applied to the fastest import of
NumPy that was seen. What is left of the noise gets a margin.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

PAIRS = 21
MILLISECONDS, MEGABYTES = 20.0, 8.0  # the budgets
MARGIN = 1.5  # for time alone

PROGRAM = """
import resource, time
start = time.perf_counter()
import {}
seconds = time.perf_counter() - start
print(seconds * 1e3, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measure(module: str) -> tuple[float, float]:
    """The milliseconds of an import, and the peak resident megabytes of its process."""
    run = [sys.executable, "-c", PROGRAM.format(module)]
    time, memory = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    return float(time), float(memory)


def main() -> int:
    measure("rnncore")  # compiles the bytecode, fills the file cache
    pairs = [(measure("numpy"), measure("rnncore")) for _ in range(PAIRS)]
    ratio = statistics.median(ours[0] / theirs[0] for theirs, ours in pairs)
    quickest = min(theirs[0] for theirs, _ in pairs)
    time = (ratio - 1) * quickest
    raw = statistics.median(ours[0] - theirs[0] for theirs, ours in pairs)
    memory = statistics.median(ours[1] - theirs[1] for theirs, ours in pairs)
    print(f"import rnncore, over import numpy ({quickest:.0f} ms), medians of {PAIRS} pairs:")
    print(f"  time    {time:.1f} ms ({ratio:.2f}x; difference {raw:.1f} ms), budget "
          f"{MILLISECONDS:g} ms and half of that for noise")
    print(f"  memory  {memory:.1f} MB, budget {MEGABYTES:g} MB")
    return int(time > MILLISECONDS * MARGIN or memory > MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
