"""What is behind the handles of rnncore.h. A handle begins with its kind."""

from cpython.exc cimport PyErr_Fetch, PyErr_Restore
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from rnncore cimport (
    RNN_ERROR_ALIGNMENT, RNN_ERROR_CLOSED, RNN_ERROR_HANDLE, RNN_ERROR_NULL, RNN_ERROR_OVERLAP,
    RNN_ERROR_SIZE, RNN_OK, rnn_model, rnn_shape, rnn_status,
)
from rnncore.engine.chain cimport Chain

cdef enum:
    MODEL = 0x6d6e6e72        # "rnnm" and so on, as they lie in memory
    STREAM = 0x736e6e72
    SEQUENCE = 0x716e6e72
    CLOSED = 0x786e6e72


cdef struct Model:
    uint32_t kind
    int users                 # the handle itself, streams and sequences
    PyObject *owner           # of all that is pointed to: a Snapshot, or a Stream's Program
    const Chain *form         # of its streams; NULL where there can be none
    rnn_shape shape


# An exception on its way, or none: Python must not run while there is one.
cdef struct Errors:
    PyObject *kind
    PyObject *value
    PyObject *traceback


cdef inline Errors set_aside() noexcept:
    cdef Errors errors
    PyErr_Fetch(&errors.kind, &errors.value, &errors.traceback)
    return errors


cdef inline void put_back(Errors *errors) noexcept:
    PyErr_Restore(errors.kind, errors.value, errors.traceback)


cdef inline rnn_status check(const void *handle, uint32_t kind) noexcept nogil:
    """Whether something is an open handle of a kind."""
    if handle == NULL:
        return RNN_ERROR_NULL
    if (<const uint32_t *> handle)[0] == kind:
        return RNN_OK
    return RNN_ERROR_CLOSED if (<const uint32_t *> handle)[0] == CLOSED else RNN_ERROR_HANDLE


cdef inline rnn_status check_array(const void *array, size_t bytes, size_t expected,
                                   size_t alignment) noexcept nogil:
    """Whether something is an array of so many bytes."""
    if bytes != expected:
        return RNN_ERROR_SIZE
    if array == NULL and bytes > 0:
        return RNN_ERROR_NULL
    return RNN_ERROR_ALIGNMENT if <size_t> array & (alignment - 1) else RNN_OK


cdef inline rnn_status check_apart(const void *a, size_t a_bytes, const void *b,
                                   size_t b_bytes) noexcept nogil:
    """Whether two arrays share no memory."""
    if <size_t> a < <size_t> b + b_bytes and <size_t> b < <size_t> a + a_bytes:
        return RNN_ERROR_OVERLAP
    return RNN_OK


cdef inline bint is_too_much(double bytes) noexcept nogil:
    """Whether no one has so many: a terabyte, far from where sizes overflow."""
    return bytes > 1e12


cdef inline char *line_of(const void *address) noexcept nogil:
    """The first cache line that begins at an address or behind it."""
    return <char *> ((<size_t> address + 63) & ~(<size_t> 63))


cdef bint python_lives() noexcept nogil
cdef rnn_status give_shape(const rnn_shape *known, rnn_shape *shape) noexcept nogil
cdef const char *status_string(rnn_status status) noexcept nogil
cdef rnn_status refuse(rnn_status status, char *message, size_t bytes) noexcept nogil
cdef rnn_status begin(const void *given, void **made, char *message,
                      size_t bytes) noexcept nogil
cdef rnn_status report(error, rnn_status wrong, char *message, size_t bytes) noexcept
cdef void retain(Model *model) noexcept nogil
cdef void release(Model *model) noexcept nogil
cdef Model *new_model(owner) except NULL
cdef rnn_status make_model(make, argument, rnn_status wrong, rnn_model **made, char *message,
                           size_t bytes) noexcept

cdef void connect(snapshot, load) noexcept
cdef rnn_status model_from_python(void *model, rnn_model **made, char *message,
                                  size_t bytes) noexcept nogil
cdef rnn_status model_from_file(const char *path, rnn_model **made, char *message,
                                size_t bytes) noexcept nogil
cdef rnn_status model_shape(const rnn_model *model, rnn_shape *shape) noexcept nogil
cdef rnn_status model_close(rnn_model **model) noexcept nogil
