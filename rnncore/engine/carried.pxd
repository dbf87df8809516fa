"""What is carried back to a step, before dy of that step joins it: to which rows, from how many
steps later, and where it is.
"""

from rnncore.engine.batch cimport slot
from rnncore.engine.product cimport at
from rnncore.engine.share cimport Part
from rnncore.engine.states cimport ring
from rnncore.engine.types cimport Batch, Layer, Tape


# A state's carried gradient at some rows of one step, and what of dy joins it there.
cdef struct Carried:
    void *rows
    const void *dy            # NULL where this state is not the output


cdef inline Py_ssize_t arriving(const Batch *batch, Py_ssize_t later,
                                const Part *part) noexcept nogil:
    """How many rows of a part live at a later step, from which something is carried here."""
    if later < 0 or later >= batch.steps:
        return 0
    return max(min(batch.live[later], part.high) - part.low, 0)


cdef inline Py_ssize_t first_lag(const Layer *layer) noexcept nogil:
    """The steps that what arrives first has come."""
    return min(layer.lag, layer.taps[0])


cdef inline bint one_tap(const Layer *layer) noexcept nogil:
    """Whether all that arrives at a step is z of one tap."""
    return layer.n_taps == 1 and layer.lag == layer.taps[0]


cdef inline int fed_state(const Layer *layer) noexcept nogil:
    """The number of the state that the recurrent matrix multiplies."""
    return layer.cell.fed == c'c'


cdef inline Py_ssize_t living(const Batch *batch, Py_ssize_t t,
                              const Part *part) noexcept nogil:
    """How many rows of a part live at a step, or have an initial state."""
    return arriving(batch, t, part) if t >= 0 else part.high - part.low


cdef inline int carried_to(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t,
                           Py_ssize_t row, Carried *parts) noexcept nogil:
    """Point at what is carried to a row of step t and those after it; return the number of
    states."""
    cdef Py_ssize_t place = (ring(layer, batch, t) + row) * layer.ldh
    cdef int letter
    cdef char name
    for letter in range(2):
        name = layer.cell.state[letter]
        if name == 0:
            return letter
        parts[letter].rows = at(tape.dc if name == c'c' else tape.dh, place, layer)
        parts[letter].dy = at(tape.dy, (slot(batch, t) + row) * layer.ldh, layer) \
            if name == layer.cell.output else NULL
    return 2
