"""Handles of models: how Python objects and files become them, and who keeps them alive.

A model handle counts its users, which are the handle that the caller has and all streams and
sequences; the last one lets go what the model consists of.
"""

from cpython.bytes cimport PyBytes_FromString
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset, strlen

from rnncore cimport (
    RNN_ERROR_FILE, RNN_ERROR_MEMORY, RNN_ERROR_MODEL, RNN_ERROR_NULL, RNN_ERROR_PYTHON,
    RNN_ERROR_STRUCT, RNN_ERROR_TYPE, RNN_OK, rnn_model, rnn_shape, rnn_status,
)
from rnncore.engine.chain cimport Chain
from rnncore.engine.plan cimport Plan
from rnncore.engine.program cimport Program
from rnncore.engine.snapshot cimport Snapshot

cdef extern from *:
    """
    #define rnn_add(to, by) __atomic_add_fetch(to, by, __ATOMIC_ACQ_REL)
    """
    int rnn_add(int *to, int by) nogil

cdef extern from "Python.h":
    int Py_IsInitialized() nogil

# What the package above makes of a model and of a file; set once, at import.
cdef object _snapshot = None, _load = None

# By status.
cdef const char *_lines[18]
_lines[:] = [
    b"all went well",
    b"a handle or a pointer is NULL",
    b"this is not a handle, or one of another kind",
    b"the handle was closed",
    b"header and library do not fit",
    b"struct_size of the rnn_shape is not sizeof(rnn_shape)",
    b"the bytes of an array or of memory are not as many as expected",
    b"an array is not aligned as its elements are",
    b"an output shares memory with an input",
    b"a number is out of its range",
    b"x holds a symbol that the embedding does not have",
    b"this is not what a model of this kind can do",
    b"the Python object is of a wrong type",
    b"the file cannot be read, or is not a model",
    b"there is not so much memory",
    b"backward has no forward pass before it, or the sequence was not made for training",
    b"the gradient is not finite",
    b"Python is not there any more, or raised an error",
]


cdef const char *status_string(rnn_status status) noexcept nogil:
    if 0 <= <int> status < 18:
        return _lines[<int> status]
    return "not a status of this library"


cdef void connect(snapshot, load) noexcept:
    global _snapshot, _load
    _snapshot, _load = snapshot, load


cdef bint python_lives() noexcept nogil:
    return Py_IsInitialized() != 0


cdef void _tell(const char *words, size_t size, char *message, size_t bytes) noexcept nogil:
    """Write as much of some words as there is room for, and no part of a character."""
    if message != NULL and bytes > 0:
        size = min(size, bytes - 1)
        while size > 0 and words[size] & 0xC0 == 0x80:
            size -= 1
        memcpy(message, words, size)
        message[size] = 0


cdef rnn_status refuse(rnn_status status, char *message, size_t bytes) noexcept nogil:
    """A status, told in its own words where it is an error."""
    cdef const char *line = status_string(status)
    if status != RNN_OK:
        _tell(line, strlen(line), message, bytes)
    return status


cdef rnn_status begin(const void *given, void **made, char *message,
                      size_t bytes) noexcept nogil:
    """What comes before Python makes a handle of something."""
    if made != NULL:
        made[0] = NULL
    if given == NULL or made == NULL:
        return refuse(RNN_ERROR_NULL, message, bytes)
    return refuse(RNN_OK if python_lives() else RNN_ERROR_PYTHON, message, bytes)


cdef rnn_status report(error, rnn_status wrong, char *message, size_t bytes) noexcept:
    """The status of an exception, `wrong` where a value was, and its words."""
    words = str(error).encode("utf-8", "replace") or type(error).__name__.encode()
    _tell(words, len(words), message, bytes)
    if isinstance(error, TypeError):
        return RNN_ERROR_TYPE
    if isinstance(error, (OSError, ValueError)):
        return wrong
    return RNN_ERROR_MEMORY if isinstance(error, (MemoryError, OverflowError)) \
        else RNN_ERROR_PYTHON


cdef void _describe(Model *model, list plans, Py_ssize_t itemsize) except *:
    """What plans alone tell of a model."""
    cdef Plan plan
    model.shape.struct_size, model.shape.itemsize = sizeof(rnn_shape), itemsize
    for plan in plans:
        model.shape.isa = plan.layers.kernels.isa
        model.shape.engine = "native" if plan.layers.blas == NULL else "blas"
        model.shape.state_bytes += len(plan.state) * plan.n_layers * plan.directions \
            * plan.past * <size_t> plan.spec.hidden * itemsize


cdef void _describe_snapshot(Model *model, Snapshot snapshot) except *:
    _describe(model, [p for p in snapshot.parts if isinstance(p, Plan)], snapshot.itemsize)
    model.form = &snapshot.form if snapshot.one_way else NULL
    model.shape.inputs, model.shape.outputs = snapshot.inputs, snapshot.outputs
    model.shape.symbols, model.shape.parameters = snapshot.symbols, snapshot.values.size
    model.shape.one_way, model.shape.per_step = snapshot.one_way, snapshot.per_step


cdef void _describe_program(Model *model, Program program) except *:
    """The model of a stream: its plans, without the parameters that they were made of."""
    cdef Chain *chain = &program.chain
    _describe(model, program.plans, chain.itemsize)
    model.form, model.shape.one_way = chain, True
    model.shape.symbols, model.shape.outputs = chain.symbols, chain.outputs
    model.shape.inputs = 1 if chain.table != NULL else chain.inputs


cdef Model *new_model(owner) except NULL:
    """A handle of a Snapshot, or of the Program of a stream, which it keeps alive."""
    cdef Model *model = <Model *> malloc(sizeof(Model))
    if model == NULL:
        raise MemoryError()
    memset(model, 0, sizeof(Model))
    model.kind, model.users = MODEL, 1
    try:
        if isinstance(owner, Snapshot):
            _describe_snapshot(model, owner)
        else:
            _describe_program(model, owner)
    except BaseException:
        free(model)
        raise
    if model.shape.isa == NULL:  # an embedding alone
        model.shape.isa, model.shape.engine = model.form.kernels.isa, "native"
    model.shape.x_bytes = sizeof(long long) if model.shape.symbols else \
        model.shape.inputs * model.shape.itemsize
    model.shape.y_bytes = model.shape.outputs * model.shape.itemsize
    Py_INCREF(owner)
    model.owner = <PyObject *> owner
    return model


cdef void retain(Model *model) noexcept nogil:
    rnn_add(&model.users, 1)


cdef void release(Model *model) noexcept nogil:
    """One user less. After Python's end there is nothing left to be let go."""
    if rnn_add(&model.users, -1) > 0:
        return
    if python_lives():
        with gil:
            Py_DECREF(<object> model.owner)
    free(model)


cdef rnn_status make_model(make, argument, rnn_status wrong, rnn_model **made, char *message,
                           size_t bytes) noexcept:
    """Make a handle of what `make(argument)` gives, in any state of Python's errors."""
    cdef Errors errors = set_aside()
    cdef rnn_status status = RNN_OK
    try:
        made[0] = <rnn_model *> new_model(make(argument))
    except BaseException as error:
        status = report(error, wrong, message, bytes)
    put_back(&errors)
    return status


cdef rnn_status model_from_python(void *model, rnn_model **made, char *message,
                                  size_t bytes) noexcept nogil:
    cdef rnn_status status = begin(model, <void **> made, message, bytes)
    if status != RNN_OK:
        return status
    with gil:
        return make_model(_snapshot, <object> model, RNN_ERROR_MODEL, made, message, bytes)


cdef rnn_status model_from_file(const char *path, rnn_model **made, char *message,
                                size_t bytes) noexcept nogil:
    cdef rnn_status status = begin(path, <void **> made, message, bytes)
    if status != RNN_OK:
        return status
    with gil:
        return make_model(_load, PyBytes_FromString(path), RNN_ERROR_FILE, made,
                          message, bytes)


cdef rnn_status give_shape(const rnn_shape *known, rnn_shape *shape) noexcept nogil:
    if shape == NULL:
        return RNN_ERROR_NULL
    if shape.struct_size != sizeof(rnn_shape):
        return RNN_ERROR_STRUCT
    shape[0] = known[0]
    return RNN_OK


cdef rnn_status model_shape(const rnn_model *model, rnn_shape *shape) noexcept nogil:
    cdef rnn_status status = check(model, MODEL)
    return give_shape(&(<const Model *> model).shape, shape) if status == RNN_OK else status


cdef rnn_status model_close(rnn_model **model) noexcept nogil:
    cdef Model *closed = <Model *> model[0] if model != NULL else NULL
    cdef rnn_status status = check(closed, MODEL)
    if status == RNN_OK:
        model[0], closed.kind = NULL, CLOSED
        release(closed)
    return status
