from rnncore.engine.arena cimport Arena
from rnncore.engine.types cimport Batch, Layer, Tape

cdef void carve_forward(const Layer *layer, const Batch *batch, Py_ssize_t rows, Tape *tape,
                        Arena *arena) noexcept nogil
cdef int forward_layer(const Layer *layer, const Batch *batch, Tape *tape, void **finals,
                       Py_ssize_t index) except -1 nogil
cdef int infer_layer(const Layer *layer, const Batch *batch, Tape *tape, void **finals,
                     Py_ssize_t index) except -1 nogil
