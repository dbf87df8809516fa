from rnncore.engine.types cimport Arrays, Batch, Layer, Tape

cdef void weight_gradients(const Layer *layer, const Batch *batch, Tape *tape,
                           Arrays *grads) noexcept nogil
