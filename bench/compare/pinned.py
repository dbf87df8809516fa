"""Where a library's process begins: on its CPUs, which libraries count when they are imported.

    python -m compare.pinned CPU,CPU LIBRARY THREADS
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Pin this process, then let it serve."""
    cpus, library, threads = sys.argv[1:]
    os.sched_setaffinity(0, map(int, cpus.split(",")))
    from .worker import serve

    serve(library, int(threads))


if __name__ == "__main__":
    main()
