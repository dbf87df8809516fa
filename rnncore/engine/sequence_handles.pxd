from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from rnncore cimport (
    RNN_ERROR_SYMBOL, RNN_OK, rnn_model, rnn_sequence, rnn_shape, rnn_status,
)
from rnncore.engine.handles cimport Model


cdef struct Sequence:
    uint32_t kind
    bint owns                 # its memory is the library's
    void *memory
    Model *model
    PyObject *network         # a Network


cdef inline rnn_status check_symbols(const Model *model, const void *x,
                                     size_t count) noexcept nogil:
    """Whether the embedding of a model, if it has one, has all symbols of x (count)."""
    cdef const int64_t *symbols = <const int64_t *> x
    cdef size_t i
    for i in range(count if model.shape.symbols else 0):
        if not 0 <= symbols[i] < <int64_t> model.shape.symbols:
            return RNN_ERROR_SYMBOL
    return RNN_OK


cdef rnn_status sequence_bytes(const rnn_model *model, size_t steps, size_t batch,
                               int training, int threads, size_t *bytes) noexcept nogil
cdef rnn_status sequence_create(rnn_model *model, size_t steps, size_t batch, int training,
                                int threads, void *memory, size_t bytes,
                                rnn_sequence **made) noexcept nogil
cdef rnn_status sequence_close(rnn_sequence **sequence) noexcept nogil
cdef rnn_status sequence_shape(const rnn_sequence *sequence, rnn_shape *shape) noexcept nogil
cdef rnn_status sequence_infer(rnn_sequence *sequence, size_t steps, const int64_t *lengths,
                               const void *x, size_t x_bytes, void *y,
                               size_t y_bytes) noexcept nogil
cdef rnn_status sequence_forward(rnn_sequence *sequence, size_t steps, const int64_t *lengths,
                                 const void *x, size_t x_bytes, void *y,
                                 size_t y_bytes) noexcept nogil
