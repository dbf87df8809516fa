"""Memory carved from one block: run the same carving twice, first to learn the size."""

cimport numpy as cnp

cdef struct Arena:
    char *base          # NULL while only the size is asked for
    Py_ssize_t used


cdef inline void *take(Arena *arena, Py_ssize_t size) noexcept nogil:
    """The next `size` bytes, aligned to a cache line."""
    cdef Py_ssize_t start = arena.used
    arena.used += (size + 63) // 64 * 64
    return arena.base + start if arena.base != NULL else NULL


cdef inline Py_ssize_t padded(Py_ssize_t n, Py_ssize_t lanes,
                              Py_ssize_t itemsize) noexcept nogil:
    """A row stride for n elements: whole vectors, and never a multiple of 512 bytes, at which
    rows would compete for the same lines of the cache."""
    n = (n + lanes - 1) // lanes * lanes
    return n + lanes if n * itemsize % 512 == 0 else n


cdef inline char *aligned(object memory) except NULL:
    """The first cache line of a writable byte array that is 64 bytes longer than needed."""
    cdef cnp.ndarray given = memory
    cdef size_t address = <size_t> cnp.PyArray_DATA(given)
    return <char *> ((address + 63) // 64 * 64)
