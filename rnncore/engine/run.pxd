from rnncore.engine.arena cimport Arena
from rnncore.engine.batch cimport Sequences
from rnncore.engine.plan cimport Plan
from rnncore.engine.types cimport Tape, View

cdef class Run:
    cdef Plan plan
    cdef Sequences sequences
    cdef Tape *tapes              # (layers * directions); behind them masks, inputs, strides
    cdef void **inputs            # (layers + 1) of each layer, packed; the last is the output
    cdef Py_ssize_t *strides      # (layers + 1) their row strides
    cdef Py_ssize_t item, width   # width: H * directions
    cdef View *masks              # (layers) data is NULL where nothing drops out
    cdef object memory, _masks

    cdef object take_memory(self)
    cdef bint adds_input(self, Py_ssize_t layer) noexcept nogil
    cdef bint composed(self, Py_ssize_t layer) noexcept nogil
    cdef void carve_output(self, Py_ssize_t layer, Arena *arena) noexcept nogil
    cdef void carve(self, Arena *arena) noexcept nogil
    cdef int forward(self, const View *x, const View *y, const void **states,
                     void **finals) except -1 nogil
    cdef void take_output(self, Py_ssize_t layer, Py_ssize_t direction, const void *rows,
                          Py_ssize_t stride) noexcept nogil
    cdef void finish_output(self, Py_ssize_t layer) noexcept nogil
    cdef void drop(self, Py_ssize_t layer, void *rows, Py_ssize_t stride) noexcept nogil
    cdef int infer_directions(self, Py_ssize_t layer, const View *x, const View *y,
                              const void **states, void **finals,
                              Arena *arena) except -1 nogil
    cdef int infer(self, const View *x, const View *y, const void **states, void **finals,
                   Arena *arena) except -1 nogil
