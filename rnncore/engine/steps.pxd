"""What the loops over time have in common: a job of some steps, which threads share, each going
through its rows or panels of them a chunk at a time.
"""

from cpython.exc cimport PyErr_CheckSignals

from rnncore.engine.batch cimport Patch, load_step, store_step
from rnncore.engine.share cimport Division, Part, divide, patch_of, worth_sharing
from rnncore.engine.states cimport Boundary
from rnncore.engine.types cimport Batch, Layer, Tape, View

cdef enum:
    CHUNK = 1 << 18        # bytes of Z between two looks at the input; half a small L2
    CHUNKS = 16            # of a job, some milliseconds: between jobs Ctrl-C is looked for


# Some steps, to be run by one or more threads, each on rows and panels of its own.
cdef struct Steps:
    const Layer *layer
    const Batch *batch
    Tape *tape
    Py_ssize_t first, last    # [first, last)
    Py_ssize_t chunk          # how many rows, or steps on the way back, a thread does at a time
    bint input_gradient       # whether the backward pass is to find dx
    const Boundary *boundary
    Py_ssize_t index          # of the layer and direction, where final states are handed out
    void **finals             # NULL: they are not, and nothing of what came before is forgotten


cdef inline int check_signals(const Batch *batch) except -1 nogil:
    """Raise what Ctrl-C left, if the caller may be interrupted."""
    if batch.interruptible:
        with gil:
            PyErr_CheckSignals()
    return 0


cdef inline int parts_of(const Layer *layer, const Batch *batch,
                         bint whole_rows) noexcept nogil:
    """How many threads work on a pass: one where there is little work."""
    cdef Division into = divide(layer, batch, batch.threads, whole_rows)
    return into.rows * into.panels if worth_sharing(layer, batch) else 1


cdef inline Py_ssize_t chunk_rows(const Layer *layer, const Batch *batch) noexcept nogil:
    """The rows of a chunk of steps whose Z stays in the caches of its threads; one step at
    least."""
    cdef Division into = divide(layer, batch, batch.threads, False)
    return max(batch.size, CHUNK // (layer.ldz * layer.itemsize) * into.rows * into.panels)


cdef inline void bring(const Steps *s, const Part *part, const View *source, void *rows,
                       Py_ssize_t stride, Py_ssize_t n) noexcept nogil:
    """Copy what a thread has of some steps from where it is, if that is elsewhere."""
    cdef Patch patch = patch_of(s.layer, part, n)
    cdef Py_ssize_t t
    for t in range(max(s.first, 0), s.last if source.data != NULL else 0):
        load_step(s.batch, s.layer.itemsize, source, t, &patch, rows, stride, n)


cdef inline void deliver(const Steps *s, const Part *part, const void *rows, Py_ssize_t stride,
                         const View *target, Py_ssize_t n) noexcept nogil:
    """Copy what a thread has of some steps to where it is wanted, if it is."""
    cdef Patch patch = patch_of(s.layer, part, n)
    cdef Py_ssize_t t
    for t in range(max(s.first, 0), s.last if target.data != NULL else 0):
        store_step(s.batch, s.layer.itemsize, rows, stride, target, t, &patch, False)


# A product over some panels of consecutive packed rows, the first of them a row of step t.
ctypedef void (*span_function)(const Layer *layer, const Batch *batch, Tape *tape,
                               Py_ssize_t panel, Py_ssize_t panels, Py_ssize_t t,
                               Py_ssize_t row, Py_ssize_t rows) noexcept nogil


cdef inline void for_spans(const Steps *s, const Part *part, span_function run,
                           Py_ssize_t vectors, Py_ssize_t panel,
                           Py_ssize_t end) noexcept nogil:
    """Multiply all rows of one thread in some steps: at once where it has all rows, else step
    by step, a few panels at a time, so that their weights stay in cache from step to step."""
    cdef Py_ssize_t first = max(s.first, 0), t, rows
    cdef Py_ssize_t wide = 4 if vectors == 1 else 1
    if first < s.last and part.low == 0 and part.high == s.batch.size:
        rows = s.batch.offset[s.last] - s.batch.offset[first]
        run(s.layer, s.batch, s.tape, panel, end - panel, first, 0, rows)
        return
    while panel < end:
        for t in range(first, s.last):
            rows = min(part.high, s.batch.live[t]) - part.low
            if rows > 0:
                run(s.layer, s.batch, s.tape, panel, min(wide, end - panel), t, part.low, rows)
        panel += wide
