"""Batches of sequences: rows sorted by length and packed step after step, so that products and
loops see the live rows of each step and nothing else; and the copies at the edge.

In packed arrays time runs as the layer sees it. The reverse direction runs over the mirror
image, reversed inside each row's length.
"""

import numpy

from libc.string cimport memcpy, memset

from rnncore.engine.types cimport Batch


cdef View view_of(object array, Py_ssize_t itemsize) except *:
    """Look at a (outer, inner, features) array of the plan's dtype."""
    cdef const float[:, :, :] single
    cdef const double[:, :, :] double_
    cdef View view
    view.data, view.outer, view.inner = NULL, 0, 0
    if array.size == 0:
        return view
    if itemsize == sizeof(float):
        single = array
        view.data = <void *> &single[0, 0, 0]
    else:
        double_ = array
        view.data = <void *> &double_[0, 0, 0]
    view.outer, view.inner = array.strides[0] // itemsize, array.strides[1] // itemsize
    return view


cdef class Sequences:
    """T steps of B rows, of which row b has lengths[b]; `past` initial states in front.

    `lengths` is a checked array of B integers, or None for rows that all have T steps.
    """

    def __cinit__(self, Py_ssize_t steps, Py_ssize_t size, lengths, Py_ssize_t past,
                  int threads):
        cdef Py_ssize_t[::1] live, offset, length, place
        cdef Py_ssize_t t, alive = size
        if lengths is None:
            lengths = numpy.full(size, steps, numpy.intp)
            order = numpy.arange(size, dtype=numpy.intp)
        else:
            order = numpy.argsort(-lengths, kind="stable").astype(numpy.intp)
        self.full = bool((lengths == steps).all())
        lengths = lengths[order].astype(numpy.intp)
        counts = numpy.zeros((2, steps + 1), numpy.intp)
        self._arrays = counts, lengths, order
        live, offset, length, place = counts[0], counts[1], lengths, order
        for t in range(steps):
            while alive > 0 and length[alive - 1] <= t:
                alive -= 1
            live[t] = alive
            offset[t + 1] = offset[t] + alive
        self.rows = offset[steps]
        self.batch.steps, self.batch.size, self.batch.past = steps, size, past
        self.batch.live, self.batch.offset = &live[0], &offset[0]
        self.batch.origin, self.batch.begun, self.batch.threads = 0, 0, threads
        self.batch.length = &length[0] if size else NULL
        self.batch.place = &place[0] if size else NULL


cdef inline char *_at(void *base, Py_ssize_t element, Py_ssize_t itemsize) noexcept nogil:
    return <char *> base + element * itemsize


cdef void load(const Batch *batch, Py_ssize_t itemsize, View source, void *rows,
               Py_ssize_t stride, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    """Copy the live rows of a user's array, n features each, and clear them up to `width`."""
    cdef Py_ssize_t t, row
    cdef char *to
    for t in range(batch.steps):
        for row in range(batch.live[t]):
            to = _at(rows, (batch.offset[t] + row) * stride, itemsize)
            memcpy(to, _at(source.data, t * source.outer + batch.place[row] * source.inner,
                           itemsize), n * itemsize)
            memset(to + n * itemsize, 0, (width - n) * itemsize)


cdef void store(const Batch *batch, Py_ssize_t itemsize, const void *rows, Py_ssize_t stride,
                View target, Py_ssize_t n, bint reverse) noexcept nogil:
    """Copy packed rows to a user's array, and 0 to the steps past each row's end."""
    cdef Py_ssize_t t, row, step
    cdef char *to
    for t in range(batch.steps):
        for row in range(batch.size):
            to = _at(target.data, t * target.outer + batch.place[row] * target.inner, itemsize)
            if t >= batch.length[row]:
                memset(to, 0, n * itemsize)
                continue
            step = batch.length[row] - 1 - t if reverse else t
            memcpy(to, _at(<void *> rows, (batch.offset[step] + row) * stride, itemsize),
                   n * itemsize)


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
