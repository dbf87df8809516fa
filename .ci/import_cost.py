"""What `import rnncore` costs over `import numpy`: the median of 21 pairs of fresh processes.

Memory is the same in every run. Time is not: on a busy machine both imports take longer. So it
is the processor's time that is taken, of the thread that imports (the threads that NumPy's BLAS
starts spin for a while, which is not the import's doing), the ratio of a pair that counts, and
the fastest import of NumPy that it is applied to; what is left of the noise gets a margin.
Elapsed time is shown beside it.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from typing import NamedTuple

PAIRS = 21
MILLISECONDS, MEGABYTES = 20.0, 8.0  # the budgets
MARGIN = 1.25  # for time alone

PROGRAM = """
import resource, time
elapsed, used = time.perf_counter(), time.thread_time()
import {}
used, elapsed = time.thread_time() - used, time.perf_counter() - elapsed
print(used * 1e3, elapsed * 1e3, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


class Cost(NamedTuple):
    """Milliseconds of the processor and of the clock, and peak resident megabytes."""

    used: float
    elapsed: float
    memory: float


def measure(module: str) -> Cost:
    """The cost of an import in a process of its own."""
    command = [sys.executable, "-c", PROGRAM.format(module)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return Cost(*map(float, run.stdout.split()))


def main() -> int:
    """Print the figures; return 1 if one is over its budget."""
    measure("rnncore")  # fills the file cache
    pairs = [(measure("numpy"), measure("rnncore")) for _ in range(PAIRS)]
    ratio = median(ours.used / numpy.used for numpy, ours in pairs)
    quickest = min(numpy.used for numpy, _ in pairs)
    time = (ratio - 1) * quickest
    elapsed = median(ours.elapsed - numpy.elapsed for numpy, ours in pairs)
    memory = median(ours.memory - numpy.memory for numpy, ours in pairs)
    print(f"import rnncore over import numpy ({quickest:.0f} ms), medians of {PAIRS} pairs:")
    print(f"  time    {time:.1f} ms ({ratio:.2f}x; by the clock {elapsed:.1f} ms), "
          f"at most {MILLISECONDS:g} ms, {MARGIN}x for noise")
    print(f"  memory  {memory:.1f} MB, at most {MEGABYTES:g} MB")
    return int(time > MILLISECONDS * MARGIN or memory > MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
