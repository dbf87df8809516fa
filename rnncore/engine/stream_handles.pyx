"""Handles of streams: a head and a chain's arrays, in one block of memory."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from rnncore cimport (
    RNN_ERROR_MEMORY, RNN_ERROR_MODEL, RNN_ERROR_NULL, RNN_ERROR_SIZE, RNN_ERROR_SYMBOL,
    RNN_ERROR_VALUE, RNN_OK, rnn_model, rnn_shape, rnn_status, rnn_stream,
)
from rnncore.engine.chain cimport (
    Chain, clear_rows, copy_row, get_states, letters, put_states, same_form, state_size,
    stream_run,
)
from rnncore.engine.handles cimport (
    CLOSED, MODEL, STREAM, Model, begin, check, check_apart, check_array, give_shape,
    is_too_much, line_of, make_model, refuse, release, retain,
)
from rnncore.engine.program cimport Program, lay_out

# How the package above finds the Program of its streams; set once, at import.
cdef object _program = None


cdef void connect(program) noexcept:
    global _program
    _program = program


cdef struct Stream:
    uint32_t kind
    bint owns                 # its memory is the library's
    bint keeps_mode           # of floating point: the caller has set it
    void *memory
    Model *model
    size_t x_bytes, y_bytes   # of one step of all rows
    size_t x_item             # bytes of an element of x
    Chain *chain              # `own`, or that of a Python stream
    Chain own


cdef rnn_status _count(const Model *model, size_t batch, size_t *bytes) noexcept nogil:
    """The bytes of a stream, with those to align it."""
    cdef Chain chain
    cdef size_t head = sizeof(Stream) + 128
    if model.form == NULL:
        return RNN_ERROR_MODEL
    if batch < 1:
        return RNN_ERROR_VALUE
    # A row takes no more than the only row of a stream.
    if is_too_much(<double> batch * lay_out(model.form, 1, NULL, &chain)):
        return RNN_ERROR_MEMORY
    bytes[0] = head + lay_out(model.form, batch, NULL, &chain)
    return RNN_OK


cdef rnn_status stream_bytes(const rnn_model *model, size_t batch,
                             size_t *bytes) noexcept nogil:
    cdef rnn_status status = check(model, MODEL)
    if status != RNN_OK:
        return status
    if bytes == NULL:
        return RNN_ERROR_NULL
    return _count(<const Model *> model, batch, bytes)


cdef rnn_status _make(Model *model, size_t batch, void *memory, size_t bytes,
                      rnn_stream **made) noexcept nogil:
    """Make a stream in memory of the caller's, or of the library's where that is NULL."""
    cdef size_t needed = 0
    cdef rnn_status status = _count(model, batch, &needed)
    cdef bint owns = memory == NULL
    cdef Stream *stream
    if status != RNN_OK:
        return status
    if owns:
        memory = malloc(needed)
        if memory == NULL:
            return RNN_ERROR_MEMORY
    elif bytes < needed:
        return RNN_ERROR_SIZE
    memset(memory, 0, needed)
    stream = <Stream *> line_of(memory)
    stream.owns, stream.memory, stream.chain = owns, memory, &stream.own
    lay_out(model.form, batch, line_of(stream + 1), &stream.own)
    _open(stream, model, made)
    return RNN_OK


cdef void _open(Stream *stream, Model *model, rnn_stream **made) noexcept nogil:
    """Finish a stream that has its chain."""
    retain(model)
    stream.kind, stream.model = STREAM, model
    stream.x_bytes = stream.chain.size * model.shape.x_bytes
    stream.y_bytes = stream.chain.size * model.shape.y_bytes
    stream.x_item = model.shape.itemsize if stream.chain.table == NULL else 8
    made[0] = <rnn_stream *> stream


cdef rnn_status stream_create(rnn_model *model, size_t batch, void *memory, size_t bytes,
                              rnn_stream **made) noexcept nogil:
    cdef rnn_status status = check(model, MODEL)
    if made == NULL:
        return RNN_ERROR_NULL
    made[0] = NULL
    if status != RNN_OK:
        return status
    return _make(<Model *> model, batch, memory, bytes, made)


cdef rnn_status stream_clone(const rnn_stream *stream, void *memory, size_t bytes,
                             rnn_stream **made) noexcept nogil:
    cdef const Stream *old = <const Stream *> stream
    cdef rnn_status status = check(stream, STREAM)
    if made == NULL:
        return RNN_ERROR_NULL
    made[0] = NULL
    if status == RNN_OK:
        status = _make(old.model, old.chain.size, memory, bytes, made)
    return stream_copy(made[0], stream) if status == RNN_OK else status


cdef rnn_status _share(rnn_model *model, rnn_stream **made) noexcept:
    """A stream on the chain of the Program that owns a model; it is the model's only user."""
    cdef Stream *stream = <Stream *> malloc(sizeof(Stream))
    if stream != NULL:
        memset(stream, 0, sizeof(Stream))
        stream.owns, stream.memory = True, stream
        stream.chain = &(<Program> (<Model *> model).owner).chain
        _open(stream, <Model *> model, made)
    release(<Model *> model)
    return RNN_OK if stream != NULL else RNN_ERROR_MEMORY


cdef rnn_status stream_from_python(void *stream, rnn_stream **made, char *message,
                                   size_t bytes) noexcept nogil:
    cdef rnn_model *model = NULL
    cdef rnn_status status = begin(stream, <void **> made, message, bytes)
    if status != RNN_OK:
        return status
    with gil:
        status = make_model(_program, <object> stream, RNN_ERROR_MODEL, &model, message, bytes)
        return refuse(_share(model, made), message, bytes) if status == RNN_OK else status


cdef rnn_status stream_close(rnn_stream **stream) noexcept nogil:
    cdef Stream *closed = <Stream *> stream[0] if stream != NULL else NULL
    cdef rnn_status status = check(closed, STREAM)
    if status == RNN_OK:
        stream[0], closed.kind = NULL, CLOSED
        release(closed.model)
        if closed.owns:
            free(closed.memory)
    return status


cdef rnn_status stream_shape(const rnn_stream *stream, rnn_shape *shape) noexcept nogil:
    cdef const Stream *s = <const Stream *> stream
    cdef rnn_status status = check(s, STREAM)
    if status == RNN_OK:
        status = give_shape(&s.model.shape, shape)
    if status == RNN_OK:
        shape.batch, shape.parameters, shape.per_step = s.chain.size, 0, True
        shape.state_bytes *= shape.batch
    return status


cdef rnn_status stream_keep_mode(rnn_stream *stream, int keep) noexcept nogil:
    cdef rnn_status status = check(stream, STREAM)
    if status == RNN_OK:
        (<Stream *> stream).keeps_mode = keep != 0
    return status


cdef rnn_status step(rnn_stream *stream, const void *x, size_t x_bytes, void *y,
                     size_t y_bytes) noexcept nogil:
    cdef Stream *s = <Stream *> stream
    cdef rnn_status status = check(s, STREAM)
    if status == RNN_OK:
        status = check_array(x, x_bytes, s.x_bytes, s.x_item)
    if status == RNN_OK:
        status = check_array(y, y_bytes, s.y_bytes, s.chain.itemsize)
    if status != RNN_OK:
        return status
    return RNN_OK if stream_run(s.chain, x, y, 1, s.keeps_mode) == 0 else RNN_ERROR_SYMBOL


cdef rnn_status run(rnn_stream *stream, size_t steps, const void *x, size_t x_bytes, void *y,
                    size_t y_bytes) noexcept nogil:
    cdef Stream *s = <Stream *> stream
    cdef rnn_status status = check(s, STREAM)
    if status != RNN_OK:
        return status
    if x_bytes // s.x_bytes != steps or y_bytes // s.y_bytes != steps:
        return RNN_ERROR_SIZE
    status = check_array(x, x_bytes, steps * s.x_bytes, s.x_item)
    if status == RNN_OK:
        status = check_array(y, y_bytes, steps * s.y_bytes, s.chain.itemsize)
    if status == RNN_OK:
        status = check_apart(x, x_bytes, y, y_bytes)
    if status != RNN_OK:
        return status
    return RNN_OK if stream_run(s.chain, x, y, steps, s.keeps_mode) == 0 else RNN_ERROR_SYMBOL


cdef rnn_status stream_reset(rnn_stream *stream) noexcept nogil:
    cdef Stream *s = <Stream *> stream
    cdef rnn_status status = check(s, STREAM)
    if status == RNN_OK:
        clear_rows(s.chain, 0, s.chain.size)
    return status


cdef rnn_status stream_reset_row(rnn_stream *stream, size_t row) noexcept nogil:
    cdef Stream *s = <Stream *> stream
    cdef rnn_status status = check(s, STREAM)
    if status == RNN_OK and row >= <size_t> s.chain.size:
        status = RNN_ERROR_VALUE
    if status == RNN_OK:
        clear_rows(s.chain, row, row + 1)
    return status


cdef rnn_status _check_two(const rnn_stream *to, const rnn_stream *source) noexcept nogil:
    """Whether states can go from one stream to the other."""
    cdef rnn_status status = check(to, STREAM)
    if status == RNN_OK:
        status = check(source, STREAM)
    if status == RNN_OK and not same_form((<const Stream *> to).chain,
                                          (<const Stream *> source).chain):
        status = RNN_ERROR_MODEL
    return status


cdef rnn_status stream_copy(rnn_stream *to, const rnn_stream *source) noexcept nogil:
    cdef rnn_status status = _check_two(to, source)
    cdef Chain *mine
    cdef Py_ssize_t row
    if status != RNN_OK or to == source:
        return status
    mine = (<Stream *> to).chain
    if mine.size != (<const Stream *> source).chain.size:
        return RNN_ERROR_VALUE
    for row in range(mine.size):
        copy_row(mine, row, (<const Stream *> source).chain, row)
    return RNN_OK


cdef rnn_status stream_copy_row(rnn_stream *to, size_t to_row, const rnn_stream *source,
                                size_t from_row) noexcept nogil:
    cdef rnn_status status = _check_two(to, source)
    cdef Chain *mine
    cdef Chain *chain
    if status != RNN_OK:
        return status
    mine, chain = (<Stream *> to).chain, (<const Stream *> source).chain
    if to_row >= <size_t> mine.size or from_row >= <size_t> chain.size:
        return RNN_ERROR_VALUE
    if to != source or to_row != from_row:
        copy_row(mine, to_row, chain, from_row)
    return RNN_OK


cdef rnn_status _move_state(const Stream *s, void *state, size_t bytes,
                            bint put) noexcept nogil:
    """Copy all states to an array, or from it."""
    cdef size_t expected = s.chain.size * s.model.shape.state_bytes
    cdef rnn_status status = check_array(state, bytes, expected, s.chain.itemsize)
    cdef char *values = <char *> state
    cdef Py_ssize_t i
    cdef int letter
    for i in range(s.chain.n_stages if status == RNN_OK else 0):
        for letter in range(letters(&s.chain.stages[i])):
            if put:
                put_states(s.chain, i, letter, values)
            else:
                get_states(s.chain, i, letter, values)
            values += state_size(s.chain, i) * s.chain.itemsize
    return status


cdef rnn_status stream_get_state(const rnn_stream *stream, void *state,
                                 size_t bytes) noexcept nogil:
    cdef rnn_status status = check(stream, STREAM)
    return _move_state(<const Stream *> stream, state, bytes, False) if status == RNN_OK \
        else status


cdef rnn_status stream_set_state(rnn_stream *stream, const void *state,
                                 size_t bytes) noexcept nogil:
    cdef rnn_status status = check(stream, STREAM)
    return _move_state(<const Stream *> stream, <void *> state, bytes, True) \
        if status == RNN_OK else status
