cimport numpy as cnp
from libc.stdint cimport int64_t

from rnncore.engine.types cimport Batch, View


# Of the rows of one step, [low, high) in the batch's order, the elements [first, last).
cdef struct Patch:
    Py_ssize_t low, high, first, last

cdef object new_array(int axes, cnp.npy_intp *shape, Py_ssize_t itemsize)
cdef View view_of(array, Py_ssize_t itemsize) except *
cdef const void *address_of(array, Py_ssize_t itemsize) except? NULL

cdef void arrange(Batch *batch, const int64_t *lengths) noexcept nogil

cdef class Sequences:
    cdef Batch batch
    cdef Py_ssize_t rows          # N, the live rows of all steps
    cdef readonly bint full       # every row has all T steps, in the user's order
    cdef Py_ssize_t *_memory
    cdef bint as_packed(self, const View *view) noexcept nogil

cdef void load_step(const Batch *batch, Py_ssize_t itemsize, const View *source, Py_ssize_t t,
                    const Patch *patch, void *rows, Py_ssize_t stride, Py_ssize_t n) \
    noexcept nogil
cdef void store_step(const Batch *batch, Py_ssize_t itemsize, const void *rows,
                     Py_ssize_t stride, const View *target, Py_ssize_t t, const Patch *patch,
                     bint reverse) noexcept nogil
cdef void load(const Batch *batch, Py_ssize_t itemsize, View source, void *rows,
               Py_ssize_t stride, Py_ssize_t n) noexcept nogil
cdef void store(const Batch *batch, Py_ssize_t itemsize, const void *rows, Py_ssize_t stride,
                View target, Py_ssize_t n, bint reverse) noexcept nogil
cdef void mirror(const Batch *batch, Py_ssize_t itemsize, const void *source,
                 Py_ssize_t source_stride, void *rows, Py_ssize_t stride, Py_ssize_t n,
                 Py_ssize_t width) noexcept nogil

cdef inline View packed_view(void *rows, Py_ssize_t stride) noexcept nogil:
    """Packed rows; none if NULL."""
    cdef View view
    view.data, view.outer, view.inner, view.packed = rows, 0, stride, True
    return view


cdef inline Py_ssize_t slot(const Batch *batch, Py_ssize_t t) noexcept nogil:
    """The first row of step t in an array of states; t counts from -D."""
    if t < 0:
        return (batch.past + t) * batch.size
    return batch.past * batch.size + batch.offset[t] - batch.origin
