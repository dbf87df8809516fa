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
    Memory *memory            # (n_layers) NULL before the chain is laid out
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


cdef int stream_run(Chain *chain, const void *x, void *y, Py_ssize_t steps,
                    bint keeps_mode) noexcept nogil
cdef Step step_of(const Stage *stage, Py_ssize_t index, Py_ssize_t size,
                  Py_ssize_t slot) noexcept nogil
cdef int letters(const Stage *stage) noexcept nogil
cdef Py_ssize_t state_size(const Chain *chain, Py_ssize_t i) noexcept nogil
cdef void get_states(const Chain *chain, Py_ssize_t i, int letter,
                     void *values) noexcept nogil
cdef void put_states(const Chain *chain, Py_ssize_t i, int letter,
                     const void *values) noexcept nogil
cdef void clear_rows(const Chain *chain, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
cdef void copy_row(const Chain *to, Py_ssize_t to_row, const Chain *chain,
                   Py_ssize_t row) noexcept nogil
cdef bint same_form(const Chain *a, const Chain *b) noexcept nogil
