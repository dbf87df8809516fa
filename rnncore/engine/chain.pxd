from rnncore.engine.operations cimport Block, Memory, Operation, Step
from rnncore.engine.types cimport Layer, rnn_kernels


# The layers of one plan. What a step does depends on the slot that it writes, so there is a
# list of operations for every slot.
cdef struct Stage:
    const Layer *layers
    Py_ssize_t n_layers, slots
    Py_ssize_t now            # the slot of the next step
    bint residual
    bint copies               # whether a stage comes after it
    Memory *memory            # (n_layers)
    Operation **first         # (slots)
    Block *outputs            # (slots)


# A whole network and what its steps need.
cdef struct Chain:
    const rnn_kernels *kernels
    Py_ssize_t size, itemsize, inputs, outputs, n_stages
    const char *table         # (symbols, inputs) of an embedding, or NULL
    Py_ssize_t symbols
    Block x                   # (B, inputs)
    Stage *stages             # (n_stages)


cdef int stream_step(Chain *chain, const void *x, void *y) noexcept nogil
cdef int stream_run(Chain *chain, const void *x, void *y, Py_ssize_t steps) noexcept nogil
cdef Step step_of(const Stage *stage, Py_ssize_t index, Py_ssize_t size,
                  Py_ssize_t slot) noexcept nogil
cdef void *past_row(const Stage *stage, Py_ssize_t index, int letter, Py_ssize_t size,
                    Py_ssize_t back, Py_ssize_t row) noexcept nogil
cdef void put_row(const Stage *stage, Py_ssize_t index, int letter, Py_ssize_t size,
                  Py_ssize_t back, Py_ssize_t row, const void *value) noexcept nogil
