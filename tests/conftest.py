"""Before NumPy is loaded: no threads in its BLAS, which only slow down small products. And
Ctrl-C arrives, for the tests of it, also where the suite was started with it ignored, as shells
start what runs in the background.
"""

from __future__ import annotations

import os
import signal

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
signal.signal(signal.SIGINT, signal.default_int_handler)
