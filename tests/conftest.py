"""Before NumPy is loaded: no threads in its BLAS, which only slow down small products."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
