"""Batches of sequences: rows sorted by length and packed step after step, so that products and
loops see the live rows of each step and nothing else; and the copies at the edge.

In packed arrays time runs as the layer sees it. The reverse direction runs over the mirror
image, reversed inside each row's length.
"""

import numpy

cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from rnncore.engine.types cimport Batch, View

from rnncore.engine.threads import processors

cnp.import_array()


cdef object new_array(int axes, cnp.npy_intp *shape, Py_ssize_t itemsize):
    """An array of floats, of any content."""
    return cnp.PyArray_EMPTY(axes, shape, cnp.NPY_FLOAT if itemsize == 4 else cnp.NPY_DOUBLE, 0)


cdef View view_of(array, Py_ssize_t itemsize) except *:
    """Look at a (outer, inner, features) array of the plan's dtype."""
    cdef cnp.ndarray given = array
    cdef View view
    if cnp.PyArray_NDIM(given) != 3 or cnp.PyArray_ITEMSIZE(given) != itemsize:
        raise TypeError(f"an array of shape {array.shape} and {array.dtype}, expected three "
                        f"axes and {itemsize} bytes an element")
    view.data, view.outer, view.inner, view.packed = NULL, 0, 0, False
    if cnp.PyArray_SIZE(given) > 0:
        view.data = cnp.PyArray_DATA(given)
        view.outer = cnp.PyArray_STRIDE(given, 0) // itemsize
        view.inner = cnp.PyArray_STRIDE(given, 1) // itemsize
    return view


cdef const void *address_of(array, Py_ssize_t itemsize) except? NULL:
    """Where a contiguous array of the plan's dtype begins; NULL if it has no elements."""
    cdef cnp.ndarray given = array
    if cnp.PyArray_ITEMSIZE(given) != itemsize or not cnp.PyArray_IS_C_CONTIGUOUS(given):
        raise TypeError(f"an array of shape {array.shape} and {array.dtype}, expected a "
                        f"contiguous one of {itemsize} bytes an element")
    return cnp.PyArray_DATA(given) if cnp.PyArray_SIZE(given) > 0 else NULL


cdef void arrange(Batch *batch, const int64_t *lengths) noexcept nogil:
    """Sort the rows by falling length, stably, and find out which live at each step. `lengths`
    (B), each from 0 to T; NULL: all T. The arrays that `batch` points to are filled."""
    cdef Py_ssize_t *live = <Py_ssize_t *> batch.live
    cdef Py_ssize_t *offset = <Py_ssize_t *> batch.offset
    cdef Py_ssize_t *length = <Py_ssize_t *> batch.length
    cdef Py_ssize_t *place = <Py_ssize_t *> batch.place
    cdef Py_ssize_t t, row, count, longer = 0
    memset(offset, 0, (batch.steps + 1) * sizeof(Py_ssize_t))
    for row in range(batch.size):
        offset[lengths[row] if lengths != NULL else batch.steps] += 1
    for t in range(batch.steps, -1, -1):  # of each length the place of its first row
        count, offset[t] = offset[t], longer
        longer += count
        if t > 0:
            live[t - 1] = longer
    for row in range(batch.size):
        t = lengths[row] if lengths != NULL else batch.steps
        place[offset[t]], length[offset[t]] = row, t
        offset[t] += 1
    offset[0] = 0
    for t in range(batch.steps):
        offset[t + 1] = offset[t] + live[t]


cdef class Sequences:
    """T steps of B rows, of which row b has lengths[b]; `past` initial states in front.

    `lengths` is a checked array of B integers, or None for rows that all have T steps.
    """

    def __cinit__(self, Py_ssize_t steps, Py_ssize_t size, lengths, Py_ssize_t past,
                  int threads):
        cdef int64_t[::1] given
        cdef const int64_t *each = NULL
        self._memory = <Py_ssize_t *> malloc((2 * steps + 1 + 2 * size) * sizeof(Py_ssize_t))
        if self._memory == NULL:
            raise MemoryError()
        self.batch.steps, self.batch.size, self.batch.past = steps, size, past
        self.batch.live, self.batch.offset = self._memory, self._memory + steps
        self.batch.length = self.batch.offset + steps + 1
        self.batch.place = self.batch.length + size
        self.batch.origin, self.batch.begun, self.batch.interruptible = 0, 0, True
        if lengths is not None and size > 0:
            given = lengths.astype(numpy.int64)
            each = &given[0]
        arrange(&self.batch, each)
        self.rows = self.batch.offset[steps]
        self.full = self.rows == steps * size
        self.batch.threads, self.batch.companions = threads, 1
        if threads > 1:
            self.batch.companions = min(threads, processors())

    def __dealloc__(self):
        free(self._memory)

    cdef bint as_packed(self, const View *view) noexcept nogil:
        """Whether the rows of a user's array follow one another as packed rows do."""
        return self.full and view.data != NULL and view.outer == self.batch.size * view.inner


cdef inline char *_at(const void *base, Py_ssize_t element, Py_ssize_t itemsize) noexcept nogil:
    return <char *> base + element * itemsize


cdef inline char *_row(const Batch *batch, const View *view, Py_ssize_t t, Py_ssize_t row,
                       Py_ssize_t itemsize) noexcept nogil:
    """Where a row of a step of this run is."""
    if view.packed:
        return _at(view.data, (batch.offset[t] + row) * view.inner, itemsize)
    return _at(view.data, (batch.begun + t) * view.outer + batch.place[row] * view.inner,
               itemsize)


cdef void load_step(const Batch *batch, Py_ssize_t itemsize, const View *source, Py_ssize_t t,
                    const Patch *patch, void *rows, Py_ssize_t stride,
                    Py_ssize_t n) noexcept nogil:
    """Copy some of a step to the packed rows of a run, of n features each, and clear what
    follows them up to the next row."""
    cdef Py_ssize_t row, first = patch.first, size = (patch.last - first) * itemsize
    cdef char *to
    if size <= 0:
        return
    for row in range(patch.low, min(patch.high, batch.live[t])):
        to = _at(rows, (batch.offset[t] - batch.origin + row) * stride, itemsize)
        memcpy(_at(to, first, itemsize),
               _at(_row(batch, source, t, row, itemsize), first, itemsize), size)
        if patch.last == n:
            memset(_at(to, n, itemsize), 0, (stride - n) * itemsize)


cdef void store_step(const Batch *batch, Py_ssize_t itemsize, const void *rows,
                     Py_ssize_t stride, const View *target, Py_ssize_t t, const Patch *patch,
                     bint reverse) noexcept nogil:
    """Copy some of a step of a run's packed rows to where it belongs, and 0 to the rows of a
    user's array that have ended. `reverse` turns time around inside each length."""
    cdef Py_ssize_t row, step = t, first = patch.first, size = (patch.last - first) * itemsize
    if size <= 0:
        return
    for row in range(patch.low, patch.high):
        if row < batch.live[t]:
            if reverse:
                step = batch.length[row] - 1 - t
            memcpy(_at(_row(batch, target, t, row, itemsize), first, itemsize),
                   _at(rows, (batch.offset[step] - batch.origin + row) * stride + first,
                       itemsize), size)
        elif not target.packed:
            memset(_at(_row(batch, target, t, row, itemsize), first, itemsize), 0, size)


cdef inline Patch _whole(const Batch *batch, Py_ssize_t n) noexcept nogil:
    cdef Patch patch
    patch.low, patch.high, patch.first, patch.last = 0, batch.size, 0, n
    return patch


cdef void load(const Batch *batch, Py_ssize_t itemsize, View source, void *rows,
               Py_ssize_t stride, Py_ssize_t n) noexcept nogil:
    """Copy the live rows of a user's array, n features each, and clear what follows them."""
    cdef Patch patch = _whole(batch, n)
    cdef Py_ssize_t t
    for t in range(batch.steps):
        load_step(batch, itemsize, &source, t, &patch, rows, stride, n)


cdef void store(const Batch *batch, Py_ssize_t itemsize, const void *rows, Py_ssize_t stride,
                View target, Py_ssize_t n, bint reverse) noexcept nogil:
    """Copy packed rows to a user's array, and 0 to the steps past each row's end."""
    cdef Patch patch = _whole(batch, n)
    cdef Py_ssize_t t
    for t in range(batch.steps):
        store_step(batch, itemsize, rows, stride, &target, t, &patch, reverse)


cdef void mirror(const Batch *batch, Py_ssize_t itemsize, const void *source,
                 Py_ssize_t source_stride, void *rows, Py_ssize_t stride, Py_ssize_t n,
                 Py_ssize_t width) noexcept nogil:
    """Copy packed rows with time reversed inside each length; its own inverse."""
    cdef Py_ssize_t t, row
    cdef char *to
    for t in range(batch.steps):
        for row in range(batch.live[t]):
            to = _at(rows, (batch.offset[t] + row) * stride, itemsize)
            memcpy(to, _at(<void *> source,
                           (batch.offset[batch.length[row] - 1 - t] + row) * source_stride,
                           itemsize), n * itemsize)
            memset(to + n * itemsize, 0, (width - n) * itemsize)
