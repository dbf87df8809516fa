from rnncore.engine.states cimport Boundary
from rnncore.engine.types cimport Batch, Layer, Tape

cdef int backward_layer(const Layer *layer, const Batch *batch, Tape *tape,
                        const Boundary *boundary, bint input_gradient) except -1 nogil
