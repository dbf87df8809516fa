from rnncore.engine.types cimport Arrays, Layer, rnn_kernels


cdef const rnn_kernels *kernels_of(str isa, Py_ssize_t itemsize) except NULL
cdef void pack_layer(Layer *layer, const Arrays *weights) noexcept nogil
cdef int fill_arrays(Arrays *arrays, tuple given, Py_ssize_t itemsize) except -1

cdef class Plan:
    cdef readonly object spec
    cdef readonly str isa, engine
    cdef readonly Py_ssize_t bytes  # of its packed weights
    cdef Layer *layers            # (layers * directions), layer 0 forward, layer 0 reverse, ...
    cdef Py_ssize_t n_layers, directions, past
    cdef bint residual
    cdef str state                # the letters of the cell's state
    cdef object _memory
    cdef void _size(self, Layer *layer, Py_ssize_t inputs) except *
