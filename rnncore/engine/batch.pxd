from libc.stdint cimport int64_t

from rnncore.engine.types cimport Batch


# A user's array (outer, inner, features), its features contiguous; strides in elements.
cdef struct View:
    void *data
    Py_ssize_t outer, inner

cdef View view_of(array, Py_ssize_t itemsize) except *
cdef const void *address_of(array, Py_ssize_t itemsize) except? NULL

cdef void arrange(Batch *batch, const int64_t *lengths) noexcept nogil

cdef class Sequences:
    cdef Batch batch
    cdef Py_ssize_t rows          # N, the live rows of all steps
    cdef readonly bint full       # every row has all T steps, in the user's order
    cdef Py_ssize_t *_memory

cdef void load(const Batch *batch, Py_ssize_t itemsize, View source, void *rows,
               Py_ssize_t stride, Py_ssize_t n, Py_ssize_t width) noexcept nogil
cdef void store(const Batch *batch, Py_ssize_t itemsize, const void *rows, Py_ssize_t stride,
                View target, Py_ssize_t n, bint reverse) noexcept nogil
cdef void mirror(const Batch *batch, Py_ssize_t itemsize, const void *source,
                 Py_ssize_t source_stride, void *rows, Py_ssize_t stride, Py_ssize_t n,
                 Py_ssize_t width) noexcept nogil

cdef inline Py_ssize_t slot(const Batch *batch, Py_ssize_t t) noexcept nogil:
    """The first row of step t in an array of states; t counts from -D."""
    if t < 0:
        return (batch.past + t) * batch.size
    return batch.past * batch.size + batch.offset[t] - batch.origin
