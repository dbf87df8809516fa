"""How threads share the steps of a layer.

Each has some rows of the batch for all steps, where there are enough rows; then none has to
wait for another. What threads are left over share the panels of the same rows, and wait for
each other after every stage of a step.
"""

from rnncore.engine.batch cimport Patch
from rnncore.engine.types cimport Batch, Layer

cdef enum:
    LEAST_ROWS = 8         # of a thread: fewer make poor tiles
    LEAST_WORK = 1 << 23   # multiply-adds worth waking a thread for: some 100 us of one core
    LEAST_STEP = 1 << 17   # of a thread between two waits: some 1 us, of fewer rows than 8 too


# Into how many parts rows and panels are divided.
cdef struct Division:
    int rows, panels


# The rows [low, high) of every step and the panels [first, last) of one thread.
cdef struct Part:
    Py_ssize_t low, high, first, last


cdef inline Division divide(const Layer *layer, const Batch *batch, int threads,
                            bint whole_rows) noexcept nogil:
    """Share the steps among so many threads at most. BLAS has threads of its own."""
    cdef Division into
    cdef Py_ssize_t step = max(batch.size, LEAST_ROWS) * layer.ldz * layer.hidden
    into.rows = <int> max(min(threads, batch.size // LEAST_ROWS), 1)
    into.panels = <int> min(min(min(threads, batch.companions) // into.rows, layer.panels),
                            step // (LEAST_STEP * into.rows))
    if whole_rows or into.panels < 1:
        into.panels = 1
    if layer.blas != NULL:
        into.rows = into.panels = 1
    return into


cdef inline Part share(const Layer *layer, const Batch *batch, const Division *into,
                       int part) noexcept nogil:
    """What one of the threads works on; nothing if there are more of them than parts."""
    cdef Part mine
    cdef int row = part // into.panels, panel = part % into.panels
    mine.low = min(batch.size * row // into.rows, batch.size)
    mine.high = min(batch.size * (row + 1) // into.rows, batch.size)
    mine.first = layer.panels * panel // into.panels
    mine.last = layer.panels * (panel + 1) // into.panels
    return mine


cdef inline Part whole(const Layer *layer, const Batch *batch) noexcept nogil:
    """All rows and panels."""
    cdef Part part
    part.low, part.high, part.first, part.last = 0, batch.size, 0, layer.panels
    return part


cdef inline Patch patch_of(const Layer *layer, const Part *part, Py_ssize_t n) noexcept nogil:
    """What one of the threads copies of rows of n features."""
    cdef Patch mine
    cdef Py_ssize_t panels = (n + layer.lanes - 1) // layer.lanes
    mine.low, mine.high = part.low, part.high
    mine.first = panels * part.first // layer.panels * layer.lanes
    mine.last = min(panels * part.last // layer.panels * layer.lanes, n)
    return mine


cdef inline bint worth_sharing(const Layer *layer, const Batch *batch) noexcept nogil:
    """Whether a pass is enough work to wake a thread for."""
    cdef Py_ssize_t rows = batch.offset[batch.steps] - batch.origin
    return rows * layer.ldz * (layer.inputs + layer.hidden) >= LEAST_WORK
