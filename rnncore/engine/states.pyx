"""The ends of a run: initial states going in, final states coming out, and their gradients the
other way round.

The user's states are (layers * directions, D, B, H), axis 1 newest first.
"""

from libc.string cimport memcpy, memset

from rnncore.engine.batch cimport slot
from rnncore.engine.product cimport at
from rnncore.engine.types cimport Batch, Layer, Tape


cdef void *_state_rows(const Layer *layer, Tape *tape, int letter) noexcept nogil:
    """Where a state of the user's begins: the array of that letter, or Z for a cell whose
    initial state passes through the pointwise function."""
    if layer.cell.enters:
        return tape.z
    return tape.c if layer.cell.state[letter] == c'c' else tape.h


cdef void set_states(const Layer *layer, const Batch *batch, Tape *tape, const void **states,
                     Py_ssize_t index) noexcept nogil:
    """Put the initial states of layer and direction `index` in front; zeros where NULL."""
    cdef Py_ssize_t back, row, stride = layer.ldz if layer.cell.enters else layer.ldh
    cdef Py_ssize_t size = layer.hidden * layer.itemsize
    cdef void *to
    cdef int letter
    for letter in range(2):
        if layer.cell.state[letter] == 0:
            break
        for back in range(batch.past):
            for row in range(batch.size):
                to = at(_state_rows(layer, tape, letter),
                        ((batch.past - 1 - back) * batch.size + row) * stride, layer)
                memset(to, 0, stride * layer.itemsize)
                if states[letter] != NULL:
                    memcpy(to, at(states[letter], ((index * batch.past + back) * batch.size
                                                   + batch.place[row]) * layer.hidden, layer),
                           size)


cdef inline Py_ssize_t _units(const Layer *layer, const Part *part,
                              Py_ssize_t *first) noexcept nogil:
    """How many units a thread has, and the first of them."""
    first[0] = part.first * layer.lanes
    return min(part.last * layer.lanes, layer.hidden) - first[0]


cdef void get_states(const Layer *layer, const Batch *batch, Tape *tape, const Part *part,
                     void **states, Py_ssize_t index) noexcept nogil:
    """Hand out what a thread has of the states at the end of each row that ends in this run."""
    cdef Py_ssize_t back, row, length, first = 0
    cdef Py_ssize_t size = _units(layer, part, &first) * layer.itemsize
    cdef const void *rows
    cdef int letter
    for letter in range(2):
        if layer.cell.state[letter] == 0:
            break
        rows = tape.y if layer.cell.enters else _state_rows(layer, tape, letter)
        for row in range(part.low, part.high):
            length = batch.length[row] - batch.begun
            if length > batch.steps or length < 0 or (length == 0 and batch.begun > 0):
                continue
            for back in range(batch.past):
                memcpy(at(states[letter], ((index * batch.past + back) * batch.size
                                           + batch.place[row]) * layer.hidden + first, layer),
                       at(rows, (slot(batch, length - 1 - back) + row) * layer.ldh + first,
                          layer), size)


cdef void shift_states(const Layer *layer, const Batch *batch, Tape *tape,
                       const Part *part) noexcept nogil:
    """Make the last D steps of a run the initial states of the next, for what a thread has of
    the rows that live on: those of the step after."""
    cdef Py_ssize_t t, row, first = 0
    cdef Py_ssize_t size = _units(layer, part, &first) * layer.itemsize
    cdef void *arrays[3]
    cdef int i
    arrays[0], arrays[1], arrays[2] = tape.h, tape.c, tape.y if layer.cell.enters else NULL
    for i in range(3):
        for t in range(-batch.past, 0 if arrays[i] != NULL else -batch.past):
            for row in range(part.low, min(part.high, batch.live[batch.steps])):
                memcpy(at(arrays[i], (slot(batch, t) + row) * layer.ldh + first, layer),
                       at(arrays[i], (slot(batch, t + batch.steps) + row) * layer.ldh + first,
                          layer), size)


cdef void *_target(const Layer *layer, const Batch *batch, Tape *tape, int letter, Py_ssize_t t,
                   Py_ssize_t row) noexcept nogil:
    """Where the gradient of state number `letter` at step t is added: to dy where the state
    is the output, else to what is carried."""
    cdef char name = layer.cell.state[letter]
    if name == layer.cell.output and (t >= 0 or layer.cell.enters):
        return at(tape.dy, (slot(batch, t) + row) * layer.ldh, layer)
    return at(tape.dc if name == c'c' else tape.dh,
              (ring(layer, batch, t) + row) * layer.ldh, layer)


cdef void inject(const Layer *layer, const Batch *batch, Tape *tape, const Boundary *boundary,
                 Py_ssize_t t, const Part *part) noexcept nogil:
    """Add the gradients of final states to the rows whose last D steps hold step t."""
    cdef Py_ssize_t row = min(part.high, batch.live[t] if t >= 0 else batch.size)
    cdef Py_ssize_t back, first = 0, count = _units(layer, part, &first)
    cdef int letter
    while row > part.low:
        row -= 1
        back = batch.length[row] - 1 - t
        if back >= batch.past:
            return
        for letter in range(2):
            if layer.cell.state[letter] == 0:
                break
            if boundary.final[letter] != NULL:
                layer.kernels.add(
                    count, at(_target(layer, batch, tape, letter, t, row), first, layer),
                    at(boundary.final[letter],
                       (back * batch.size + batch.place[row]) * layer.hidden + first, layer))


cdef void collect(const Layer *layer, const Batch *batch, Tape *tape, const Boundary *boundary,
                  Py_ssize_t t, const Part *part) noexcept nogil:
    """Hand out the gradients of the initial states of step t < 0, and clear the ring's slot."""
    cdef Py_ssize_t row, first = 0, size = _units(layer, part, &first) * layer.itemsize
    cdef void *source
    cdef void *target
    cdef int letter
    for letter in range(2):
        if layer.cell.state[letter] == 0:
            break
        for row in range(part.low, part.high):
            source = target = _target(layer, batch, tape, letter, t, row)
            if layer.cell.enters:
                source = at(tape.z, (step_row(layer, batch, t) + row) * layer.ldz, layer)
            memcpy(at(boundary.initial[letter],
                      ((-1 - t) * batch.size + batch.place[row]) * layer.hidden + first, layer),
                   at(source, first, layer), size)
            memset(at(target, first, layer), 0, size)
