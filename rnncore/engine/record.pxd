from rnncore.engine.arena cimport Arena
from rnncore.engine.types cimport Batch, Layer, Tape, rnn_panel

cdef void carve_record(const Layer *layer, const Batch *batch, bint wanted, Tape *tape,
                       Arena *arena) noexcept nogil
cdef void note(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t, Py_ssize_t row,
               Py_ssize_t panel, const rnn_panel *p) noexcept nogil
cdef object rows_of(const Layer *layer, const Batch *batch, const void *rows, bint reverse)
cdef object blocks_of(const Layer *layer, const Batch *batch, const Tape *tape, str order,
                      bint reverse)
