from rnncore.engine.arena cimport Arena
from rnncore.engine.run cimport Run
from rnncore.engine.types cimport Arrays, Remedies, View

# What a backward pass needs beside the run's own arrays.
cdef struct Buffers:
    void *above               # (N, widest) gradient of a layer's output, packed
    void *below               # (N, widest) of its input
    void *dx                  # (N, ldx) of the input of a reverse direction
    void *turned              # (N, ldx) the same with time running forwards
    View *inputs              # (layers) where gradients of their inputs go; data NULL: nowhere

cdef void carve_backward(Run run, Buffers *buffers, const Remedies *remedies,
                         bint recorded, Arena *arena) noexcept nogil
cdef int backward(Run run, Buffers *buffers, const View *dy, const void **finals,
                  void **initials, bint input_grad) except -1 nogil
cdef void gradients(Run run, Arrays *grads) noexcept nogil
