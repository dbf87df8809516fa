from rnncore.engine.batch cimport slot
from rnncore.engine.product cimport at
from rnncore.engine.share cimport Part
from rnncore.engine.types cimport Batch, Layer, Tape


# The gradients of one layer's final and initial states, by letter of the cell's state:
# (D, B, H) each; final may be NULL.
cdef struct Boundary:
    const void *final[2]
    void *initial[2]


cdef inline Py_ssize_t step_row(const Layer *layer, const Batch *batch,
                                Py_ssize_t t) noexcept nogil:
    """The first row of step t in Z."""
    cdef Py_ssize_t initial = 0 if layer.cell.enters else batch.past * batch.size
    return slot(batch, t) - initial


cdef inline void *z_at(const Layer *layer, const Batch *batch, const Tape *tape, Py_ssize_t t,
                       Py_ssize_t row) noexcept nogil:
    """A row of step t in Z."""
    return at(tape.z, (step_row(layer, batch, t) + row) * layer.ldz, layer)


cdef inline Py_ssize_t ring(const Layer *layer, const Batch *batch,
                            Py_ssize_t t) noexcept nogil:
    """The first row of step t in the rings of carried gradients."""
    cdef Py_ssize_t place = 0 if layer.lag == 1 else t % layer.lag
    return (place + layer.lag if place < 0 else place) * batch.size


cdef inline void *output_rows(const Layer *layer, const Batch *batch,
                              Tape *tape) noexcept nogil:
    """Where the outputs of a run begin."""
    cdef void *rows = tape.y if layer.cell.output == c'y' else tape.h
    return at(rows, slot(batch, 0) * layer.ldh, layer)


cdef void set_states(const Layer *layer, const Batch *batch, Tape *tape, const void **states,
                     Py_ssize_t index) noexcept nogil
cdef void get_states(const Layer *layer, const Batch *batch, Tape *tape, const Part *part,
                     void **states, Py_ssize_t index) noexcept nogil
cdef void shift_states(const Layer *layer, const Batch *batch, Tape *tape,
                       const Part *part) noexcept nogil
cdef void inject(const Layer *layer, const Batch *batch, Tape *tape, const Boundary *boundary,
                 Py_ssize_t t, const Part *part) noexcept nogil
cdef void collect(const Layer *layer, const Batch *batch, Tape *tape, const Boundary *boundary,
                  Py_ssize_t t, const Part *part) noexcept nogil
