"""A loop of steps below the GIL, as a program in Cython would have it; see test_stream.py."""

from rnncore.engine.chain cimport stream_step
from rnncore.engine.program cimport Program


def steps(Program program not None, const float[::1] x, float[::1] y, Py_ssize_t count):
    """Step `count` times from the same x (B * I) to the same y (B * K)."""
    cdef Py_ssize_t _i
    with nogil:
        for _i in range(count):
            stream_step(&program.chain, &x[0], &y[0])
