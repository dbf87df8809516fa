"""Handles of sequences: a head in front of a network's memory, in one block."""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from rnncore cimport (
    RNN_ERROR_ALIGNMENT, RNN_ERROR_MEMORY, RNN_ERROR_NULL, RNN_ERROR_ORDER, RNN_ERROR_PYTHON,
    RNN_ERROR_SIZE, RNN_ERROR_VALUE, RNN_OK, rnn_model, rnn_sequence, rnn_shape, rnn_status,
)
from rnncore.engine.handles cimport (
    CLOSED, MODEL, SEQUENCE, Errors, Model, check, check_apart, check_array, give_shape,
    is_too_much, line_of, put_back, python_lives, release, report, retain, set_aside,
)
from rnncore.engine.network cimport Network
from rnncore.engine.passes cimport run

from rnncore.engine.threads import MAX_THREADS

cdef int _MAX_THREADS = MAX_THREADS


cdef rnn_status _check_sizes(const rnn_model *model, size_t steps, size_t batch,
                             int threads) noexcept nogil:
    cdef rnn_status status = check(model, MODEL)
    if status == RNN_OK and not python_lives():
        return RNN_ERROR_PYTHON
    if status == RNN_OK and (steps < 1 or batch < 1 or not 1 <= threads <= _MAX_THREADS):
        return RNN_ERROR_VALUE
    return status


cdef Network _network(const Model *model, size_t steps, size_t batch, int training,
                      int threads):
    """A network that waits for its memory."""
    # A step of a row takes no more than the only one.
    cdef Network one = Network(<object> model.owner, 1, 1, training != 0, threads)
    if is_too_much(<double> one.bytes * steps * batch):
        raise MemoryError()
    return Network(<object> model.owner, steps, batch, training != 0, threads)


cdef rnn_status _place(Model *model, Network network, size_t needed, void *memory,
                       size_t bytes, rnn_sequence **made) except *:
    """Put a network into memory of the caller's, or of the library's where that is NULL."""
    cdef bint owns = memory == NULL
    cdef Sequence *sequence
    if not owns and bytes < needed:
        return RNN_ERROR_SIZE
    if owns:
        memory = malloc(needed)
        if memory == NULL:
            return RNN_ERROR_MEMORY
    memset(memory, 0, needed)
    sequence = <Sequence *> line_of(memory)
    try:
        network.place(line_of(sequence + 1))
    except BaseException:
        if owns:
            free(memory)
        raise
    Py_INCREF(network)
    sequence.kind, sequence.owns, sequence.memory = SEQUENCE, owns, memory
    sequence.model, sequence.network = model, <PyObject *> network
    retain(model)
    made[0] = <rnn_sequence *> sequence
    return RNN_OK


cdef rnn_status _make(Model *model, size_t steps, size_t batch, int training, int threads,
                      void *memory, size_t *bytes, rnn_sequence **made) noexcept:
    """Make a sequence, or count its bytes where `made` is NULL; in any state of Python's
    errors."""
    cdef Network network
    cdef size_t needed
    cdef Errors errors = set_aside()
    cdef rnn_status status = RNN_OK
    try:
        network = _network(model, steps, batch, training, threads)
        needed = network.bytes + sizeof(Sequence) + 128  # and those to align it
        if made == NULL:
            bytes[0] = needed
        else:
            status = _place(model, network, needed, memory, bytes[0], made)
    except BaseException as error:
        status = report(error, RNN_ERROR_PYTHON, NULL, 0)
    put_back(&errors)
    return status


cdef rnn_status sequence_bytes(const rnn_model *model, size_t steps, size_t batch,
                               int training, int threads, size_t *bytes) noexcept nogil:
    cdef rnn_status status = _check_sizes(model, steps, batch, threads)
    if status != RNN_OK:
        return status
    if bytes == NULL:
        return RNN_ERROR_NULL
    with gil:
        return _make(<Model *> model, steps, batch, training, threads, NULL, bytes, NULL)


cdef rnn_status sequence_create(rnn_model *model, size_t steps, size_t batch, int training,
                                int threads, void *memory, size_t bytes,
                                rnn_sequence **made) noexcept nogil:
    cdef rnn_status status = _check_sizes(model, steps, batch, threads)
    if made == NULL:
        return RNN_ERROR_NULL
    made[0] = NULL
    if status != RNN_OK:
        return status
    with gil:
        return _make(<Model *> model, steps, batch, training, threads, memory, &bytes, made)


cdef rnn_status sequence_close(rnn_sequence **sequence) noexcept nogil:
    cdef Sequence *closed = <Sequence *> sequence[0] if sequence != NULL else NULL
    cdef rnn_status status = check(closed, SEQUENCE)
    if status == RNN_OK:
        sequence[0], closed.kind = NULL, CLOSED
        if python_lives():
            with gil:
                Py_DECREF(<object> closed.network)
        release(closed.model)
        if closed.owns:
            free(closed.memory)
    return status


cdef rnn_status sequence_shape(const rnn_sequence *sequence, rnn_shape *shape) noexcept nogil:
    cdef const Sequence *s = <const Sequence *> sequence
    cdef rnn_status status = check(s, SEQUENCE)
    if status == RNN_OK:
        status = give_shape(&s.model.shape, shape)
    if status == RNN_OK:
        shape.steps, shape.batch = (<Network> s.network).steps, (<Network> s.network).size
        shape.state_bytes *= shape.batch
    return status


cdef rnn_status _check_pass(const Model *model, Network net, size_t steps,
                            const int64_t *lengths, const void *x, size_t x_bytes,
                            const void *y, size_t y_bytes) noexcept nogil:
    cdef size_t size = net.size, rows = steps * size, i
    cdef size_t out = rows if model.shape.per_step else size
    cdef rnn_status status
    if steps > <size_t> net.steps:
        return RNN_ERROR_VALUE
    status = check_array(x, x_bytes, rows * model.shape.x_bytes,
                         8 if model.shape.symbols else net.item)
    if status == RNN_OK:
        status = check_array(y, y_bytes, out * model.shape.y_bytes, net.item)
    if status == RNN_OK:
        status = check_apart(x, x_bytes, y, y_bytes)
    if status == RNN_OK and lengths != NULL and <size_t> lengths & 7:
        status = RNN_ERROR_ALIGNMENT
    if status != RNN_OK:
        return status
    for i in range(size if lengths != NULL else 0):
        if not 0 <= lengths[i] <= <int64_t> steps:
            return RNN_ERROR_VALUE
    return check_symbols(model, x, rows)


cdef rnn_status _run(rnn_sequence *sequence, size_t steps, const int64_t *lengths,
                     const void *x, size_t x_bytes, void *y, size_t y_bytes,
                     bint keep) noexcept nogil:
    cdef Sequence *s = <Sequence *> sequence
    cdef rnn_status status = check(s, SEQUENCE)
    if status == RNN_OK and keep and not (<Network> s.network).training:
        status = RNN_ERROR_ORDER
    if status == RNN_OK:
        status = _check_pass(s.model, <Network> s.network, steps, lengths, x, x_bytes, y,
                             y_bytes)
    if status == RNN_OK:
        run(<Network> s.network, steps, lengths, x, y, keep)
    return status


cdef rnn_status sequence_infer(rnn_sequence *sequence, size_t steps, const int64_t *lengths,
                               const void *x, size_t x_bytes, void *y,
                               size_t y_bytes) noexcept nogil:
    return _run(sequence, steps, lengths, x, x_bytes, y, y_bytes, False)


cdef rnn_status sequence_forward(rnn_sequence *sequence, size_t steps, const int64_t *lengths,
                                 const void *x, size_t x_bytes, void *y,
                                 size_t y_bytes) noexcept nogil:
    return _run(sequence, steps, lengths, x, x_bytes, y, y_bytes, True)
