from libc.stdint cimport int64_t

from rnncore.engine.arena cimport Arena
from rnncore.engine.plan cimport Plan
from rnncore.engine.snapshot cimport Snapshot
from rnncore.engine.types cimport Arrays, Batch, rnn_kernels


# One layer of a model, and what it needs beside its Run.
cdef struct Room:
    void *run                 # a Run that the network keeps; NULL: an embedding, or Last
    const char *table         # (symbols, width) of an embedding, or NULL
    Batch *batch              # of the network; behind Last one of a single step
    Py_ssize_t inputs, width  # of its input and its output
    Py_ssize_t n_layers       # of its plan: layers * directions
    void *y                   # (T, B, width) unless it is the last
    Py_ssize_t letters, state_bytes  # how many states, and of how many bytes each
    Py_ssize_t row_bytes      # of a state of one row, in one layer and step
    void *states[2]           # (layers * directions, D, B, H) before a pass, and then after it
    void *starts[2]           # the gradients of those before
    Arrays *values            # (n_layers) the network's own parameters
    Arrays *grads             # (n_layers) and their gradients
    char *packed              # those parameters packed
    char *tape                # what a forward pass leaves


cdef class Network:
    cdef readonly Snapshot snapshot
    cdef readonly Py_ssize_t steps, size, bytes
    cdef readonly bint training
    cdef bint ready           # whether a forward pass waits for its backward pass
    cdef const rnn_kernels *kernels
    cdef Py_ssize_t item, n, n_rooms, n_frozen
    cdef Room *rooms
    cdef void *values         # (n) own parameters, their gradients, the optimizer's momentum
    cdef void *grads
    cdef void *momentum
    cdef Py_ssize_t *frozen   # (n_frozen, 2) of what is not trained the begin and the size
    cdef void *above          # (T, B, widest) gradients between layers
    cdef void *below
    cdef char *scratch        # of one pass through one layer
    cdef Batch all, last
    cdef const int64_t *symbols      # x of the last forward pass
    cdef list _kept

    cdef void _enter(self, Room *room, Plan plan, Py_ssize_t rows) except *
    cdef Py_ssize_t _carve_room(self, Room *room, Arena *arena) except -1
    cdef void _carve(self, Arena *arena) except *
    cdef void place(self, char *memory) except *
    cdef void _own(self, Room *room, part, arrays, const void *old) except *
    cdef void repack(self) noexcept nogil


cdef inline void *moved(const void *place, const void *old, void *new) noexcept nogil:
    """Where in one block what stands at a place in another block is; NULL stays."""
    return <char *> new + (<const char *> place - <const char *> old) if place != NULL else NULL
