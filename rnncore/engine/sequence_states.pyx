"""The states of sequences: resetting and copying their rows, reading and setting them."""

from libc.string cimport memcpy, memmove, memset

from rnncore cimport RNN_ERROR_MODEL, RNN_ERROR_VALUE, RNN_OK, rnn_sequence, rnn_status
from rnncore.engine.handles cimport SEQUENCE, check, check_array
from rnncore.engine.network cimport Network, Room
from rnncore.engine.run cimport Run
from rnncore.engine.sequence_handles cimport Sequence


cdef rnn_status sequence_reset(rnn_sequence *sequence) noexcept nogil:
    cdef const Sequence *s = <const Sequence *> sequence
    cdef rnn_status status = check(s, SEQUENCE)
    cdef Room *room
    cdef Py_ssize_t i, letter
    for i in range((<Network> s.network).n_rooms if status == RNN_OK else 0):
        room = &(<Network> s.network).rooms[i]
        for letter in range(room.letters):
            memset(room.states[letter], 0, room.state_bytes)
    return status


cdef void _copy_row(const Sequence *to, size_t to_row, const Sequence *source,
                    size_t from_row) noexcept nogil:
    """Copy the states of a row, or clear them where there is no source."""
    cdef size_t many = (<Network> to.network).size, others = many, size, block
    cdef Py_ssize_t i, letter
    cdef Room *room
    cdef char *state
    if source != NULL:
        others = (<Network> source.network).size
    for i in range((<Network> to.network).n_rooms):
        room = &(<Network> to.network).rooms[i]
        for letter in range(room.letters):
            size = room.row_bytes
            # Of each layer and each step of the past.
            for block in range(<size_t> room.state_bytes // (size * many)):
                state = <char *> room.states[letter] + (block * many + to_row) * size
                if source == NULL:
                    memset(state, 0, size)
                else:
                    memmove(state, <char *> (<Network> source.network).rooms[i].states[letter]
                            + (block * others + from_row) * size, size)


cdef bint _alike(Run one, Run other) noexcept nogil:
    """Whether the states of two layers are alike, their rows apart."""
    return one.plan.n_layers == other.plan.n_layers and one.plan.past == other.plan.past and \
        one.plan.directions == other.plan.directions and \
        one.plan.layers.cell == other.plan.layers.cell and \
        one.plan.layers.hidden == other.plan.layers.hidden


cdef bint _same_form(Network one, Network other) noexcept nogil:
    """As `same_form` of chains."""
    cdef Py_ssize_t i
    cdef void *mine
    cdef void *others
    if one.n_rooms != other.n_rooms or one.kernels != other.kernels:
        return False
    for i in range(one.n_rooms):
        mine, others = one.rooms[i].run, other.rooms[i].run
        if (mine == NULL) != (others == NULL):
            return False
        if mine != NULL and not _alike(<Run> mine, <Run> others):
            return False
    return True


cdef rnn_status sequence_reset_row(rnn_sequence *sequence, size_t row) noexcept nogil:
    cdef const Sequence *s = <const Sequence *> sequence
    cdef rnn_status status = check(s, SEQUENCE)
    if status == RNN_OK and row >= <size_t> (<Network> s.network).size:
        status = RNN_ERROR_VALUE
    if status == RNN_OK:
        _copy_row(s, row, NULL, 0)
    return status


cdef rnn_status sequence_copy_row(rnn_sequence *to, size_t to_row, const rnn_sequence *source,
                                  size_t from_row) noexcept nogil:
    cdef const Sequence *mine = <const Sequence *> to
    cdef const Sequence *s = <const Sequence *> source
    cdef rnn_status status = check(mine, SEQUENCE)
    if status == RNN_OK:
        status = check(s, SEQUENCE)
    if status != RNN_OK:
        return status
    if not _same_form(<Network> mine.network, <Network> s.network):
        return RNN_ERROR_MODEL
    if to_row >= <size_t> (<Network> mine.network).size or \
            from_row >= <size_t> (<Network> s.network).size:
        return RNN_ERROR_VALUE
    _copy_row(mine, to_row, s, from_row)
    return RNN_OK


cdef rnn_status _move_state(const Sequence *s, char *values, size_t bytes,
                            bint put) noexcept nogil:
    """Copy all states to an array, or from it."""
    cdef rnn_status status = check(s, SEQUENCE)
    cdef Room *room
    cdef Py_ssize_t i, letter
    if status == RNN_OK:
        status = check_array(values, bytes,
                             s.model.shape.state_bytes * (<Network> s.network).size,
                             s.model.shape.itemsize)
    for i in range((<Network> s.network).n_rooms if status == RNN_OK else 0):
        room = &(<Network> s.network).rooms[i]
        for letter in range(room.letters):
            if put:
                memcpy(room.states[letter], values, room.state_bytes)
            else:
                memcpy(values, room.states[letter], room.state_bytes)
            values += room.state_bytes
    return status


cdef rnn_status sequence_get_state(const rnn_sequence *sequence, void *state,
                                   size_t bytes) noexcept nogil:
    return _move_state(<const Sequence *> sequence, <char *> state, bytes, False)


cdef rnn_status sequence_set_state(rnn_sequence *sequence, const void *state,
                                   size_t bytes) noexcept nogil:
    return _move_state(<const Sequence *> sequence, <char *> state, bytes, True)
