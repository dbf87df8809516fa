from rnncore.engine.arena cimport Arena
from rnncore.engine.states cimport Boundary
from rnncore.engine.types cimport Batch, Layer, Tape

cdef void carve_forward(const Layer *layer, const Batch *batch, Py_ssize_t rows, Tape *tape,
                        Arena *arena) noexcept nogil
cdef int forward_layer(const Layer *layer, const Batch *batch, Tape *tape) except -1 nogil
cdef int backward_layer(const Layer *layer, const Batch *batch, Tape *tape,
                        const Boundary *boundary, bint input_gradient) except -1 nogil
cdef Py_ssize_t chunk_rows(const Layer *layer, const Batch *batch) noexcept nogil
cdef Py_ssize_t even_rows(const Layer *layer, const Batch *batch) noexcept nogil
