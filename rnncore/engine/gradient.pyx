"""Weight gradients, and what is done with a flat array of them: its norm and its scale.

Every element of a weight gradient is one chain of fused multiply-adds over the rows from the
last step to the first, starting from the value in `grads`: chunks and threads do not change
its bits.
"""

import math

import numpy

from libc.string cimport memset

from rnncore.engine.batch cimport slot
from rnncore.engine.plan cimport kernels_of
from rnncore.engine.product cimport at, gradient_product
from rnncore.engine.recurrence cimport parts_of
from rnncore.engine.states cimport step_row
from rnncore.engine.types cimport (
    Arrays, Batch, Layer, Matrix, Tape, rnn_kernels, rnn_matrix, rnn_unit,
)

from rnncore.engine.plan import current_isa

cdef enum:
    ROWS = 256             # rows of dZ and of the other operand that stay in cache together


# One layer's weight gradients, to be summed by one or more threads, each for panels of its own.
cdef struct Sums:
    const Layer *layer
    const Batch *batch
    Tape *tape
    Arrays *grads


cdef struct Panels:
    Py_ssize_t first, count


cdef void _accumulate(const Layer *layer, const Matrix *w, const Panels *part, Py_ssize_t rows,
                      const void *a, Py_ssize_t lda, const void *dz, void *sums) noexcept nogil:
    """sums += a' dz over consecutive rows, the last ones first."""
    cdef Py_ssize_t count
    while rows > 0:
        count = min(rows, ROWS)
        rows -= count
        gradient_product(layer, w, part.first, part.count, count, at(a, rows * lda, layer), lda,
                         at(dz, rows * layer.ldz, layer), sums)


cdef Py_ssize_t _stretch(const Batch *batch, Py_ssize_t t, Py_ssize_t back) noexcept nogil:
    """The first step of the longest run of steps, up to t, whose rows `back` steps earlier are
    consecutive as its own are."""
    while t > 0 and slot(batch, t - 1 - back) + batch.live[t - 1] == slot(batch, t - back):
        t -= 1
    return t


cdef rnn_matrix _open(const Layer *layer, const Panels *part, const rnn_matrix *shape,
                      Py_ssize_t first, const void *grad, void *sums) noexcept nogil:
    """Begin the sums of some panels with the values in `grad`; return what moves them back."""
    cdef rnn_matrix mine = shape[0]
    cdef Py_ssize_t width = layer.blocks * layer.lanes, k
    mine.begin = part.first * layer.lanes
    mine.end = min(layer.hidden, (part.first + part.count) * layer.lanes)
    for k in range(shape.depth):
        memset(at(sums, k * layer.ldz + part.first * width, layer), 0,
               part.count * width * layer.itemsize)
    layer.kernels.to_panels(&mine, grad, at(sums, first * layer.lanes, layer), width, layer.ldz)
    return mine


cdef void _matrix_gradient(const Sums *s, const Panels *part, const Matrix *w, const void *a,
                           Py_ssize_t lda, Py_ssize_t back, void *grad) noexcept nogil:
    """grad += dZ' a, where step t of dZ meets step t - back of the states a; back = 0: a has
    one row for each of dZ."""
    cdef const Layer *layer = s.layer
    cdef Py_ssize_t end = s.batch.steps, first
    cdef const void *dz = at(s.tape.z, step_row(layer, s.batch, 0) * layer.ldz, layer)
    cdef void *sums = s.tape.sums
    cdef rnn_matrix mine = _open(layer, part, &w.shape, w.first, grad, sums)
    if back == 0:
        _accumulate(layer, w, part, s.batch.offset[end], a, lda, dz, sums)
        end = 0
    while end > 0:
        first = _stretch(s.batch, end - 1, back)
        _accumulate(layer, w, part, s.batch.offset[end] - s.batch.offset[first],
                    at(a, slot(s.batch, first - back) * lda, layer), lda,
                    at(dz, s.batch.offset[first] * layer.ldz, layer), sums)
        end = first
    layer.kernels.from_panels(&mine, grad, at(sums, w.first * layer.lanes, layer),
                              layer.blocks * layer.lanes, layer.ldz)


cdef void _bias_gradient(const Sums *s, const Panels *part, const rnn_matrix *shape,
                         void *grad) noexcept nogil:
    cdef const Layer *layer = s.layer
    cdef Py_ssize_t width = layer.blocks * layer.lanes, skip = part.first * width
    cdef rnn_matrix mine
    if grad == NULL:
        return
    mine = _open(layer, part, shape, 0, grad, s.tape.sums)
    layer.kernels.column_sums(
        s.batch.offset[s.batch.steps], part.count * width,
        at(s.tape.z, step_row(layer, s.batch, 0) * layer.ldz + skip, layer), layer.ldz,
        at(s.tape.sums, skip, layer))
    layer.kernels.from_panels(&mine, grad, s.tape.sums, width, layer.ldz)


cdef void _unit_gradient(const Sums *s, const Panels *part, const rnn_unit *unit,
                         void *grad) noexcept nogil:
    """grad += column sums of dZ[block] * state, summed in block 0 of the panels."""
    cdef const Layer *layer = s.layer
    cdef Py_ssize_t t, back = layer.lag if unit.previous else 0
    cdef Py_ssize_t width = layer.blocks * layer.lanes
    cdef const void *state = s.tape.c if unit.state == c'c' else s.tape.h
    cdef rnn_matrix shape = layer.bias_x, mine
    shape.count, shape.row_block[0] = 1, 0
    mine = _open(layer, part, &shape, 0, grad, s.tape.sums)
    for t in range(s.batch.steps - 1, -1, -1):
        layer.kernels.unit_gradient(
            s.batch.live[t], part.count, width,
            at(s.tape.z, step_row(layer, s.batch, t) * layer.ldz + part.first * width
               + unit.block * layer.lanes, layer), layer.ldz,
            at(state, slot(s.batch, t - back) * layer.ldh + part.first * layer.lanes, layer),
            layer.ldh, at(s.tape.sums, part.first * width, layer))
    layer.kernels.from_panels(&mine, grad, s.tape.sums, width, layer.ldz)


cdef void _gradient_part(void *context, int part, int parts) noexcept nogil:
    """All gradients of the units of some panels."""
    cdef const Sums *s = <const Sums *> context
    cdef const Layer *layer = s.layer
    cdef const void *fed = s.tape.c if layer.cell.fed == c'c' else s.tape.h
    cdef Panels mine
    cdef Py_ssize_t i
    mine.first = layer.panels * part // parts
    mine.count = layer.panels * (part + 1) // parts - mine.first
    if mine.count == 0:
        return
    _matrix_gradient(s, &mine, &layer.x, s.tape.x, s.tape.ldx, 0, s.grads.weight_x)
    if layer.cell.fed:
        for i in range(layer.n_taps):
            _matrix_gradient(s, &mine, &layer.h[i], fed, layer.ldh, layer.taps[i],
                             s.grads.weight_h[i])
    if layer.cell.n_stages > 1:
        _matrix_gradient(s, &mine, &layer.reset, s.tape.rh, layer.ldh, 0, s.grads.weight_h[0])
    _bias_gradient(s, &mine, &layer.bias_x, s.grads.bias_x)
    _bias_gradient(s, &mine, &layer.bias_h, s.grads.bias_h)
    for i in range(layer.cell.n_units):
        _unit_gradient(s, &mine, &layer.cell.unit[i], at(s.grads.unit, i * layer.hidden, layer))


cdef void weight_gradients(const Layer *layer, const Batch *batch, Tape *tape,
                           Arrays *grads) noexcept nogil:
    """Add the gradients of all parameters of a layer, from its dZ and its operands."""
    cdef Sums s
    s.layer, s.batch, s.tape, s.grads = layer, batch, tape, grads
    layer.kernels.run_parts(_gradient_part, &s, batch.threads if parts_of(layer, batch) > 1
                            else 1)


def _flat(array, name):
    dtype = array.dtype if isinstance(array, numpy.ndarray) else type(array).__name__
    if dtype not in (numpy.float32, numpy.float64):
        raise TypeError(f"{name} is {dtype}, expected a float32 or float64 array")
    if array.ndim != 1 or not array.flags.c_contiguous:
        raise ValueError(f"{name} has shape {array.shape}, expected one flat contiguous array")
    return array.view(numpy.uint8)


def global_norm(array):
    """The Euclidean norm of a flat array, accumulated in float64.

    A float32 array of norm 1e30 gives 1e30, a float64 one of norm 1e300 gives 1e300; the bits
    are the same on every instruction set.

    Raises
    ------
    TypeError, ValueError
        If `array` is not a flat contiguous float32 or float64 array.
    """
    cdef const unsigned char[::1] view = _flat(array, "array")
    cdef const rnn_kernels *kernels = kernels_of(current_isa(), array.itemsize)
    cdef Py_ssize_t n = array.size
    cdef double squares, scale = 1
    if n == 0:
        return 0.0
    with nogil:
        squares = kernels.sum_squares(n, &view[0], scale)
    if 1e-280 < squares < 1e300 or array.itemsize == 4 or not numpy.isfinite(array).all():
        return math.sqrt(squares)
    largest = float(numpy.abs(array).max())
    if largest == 0:
        return 0.0
    scale = math.ldexp(1.0, -math.frexp(largest)[1])   # a power of two: exact
    with nogil:
        squares = kernels.sum_squares(n, &view[0], scale)
    return math.sqrt(squares) / scale


def scale(array, double factor):
    """Multiply a flat array by a factor, in place.

    Raises
    ------
    TypeError, ValueError
        If `array` is not a flat contiguous float32 or float64 array.
    """
    cdef unsigned char[::1] view = _flat(array, "array")
    cdef const rnn_kernels *kernels = kernels_of(current_isa(), array.itemsize)
    cdef Py_ssize_t n = array.size
    if n:
        with nogil:
            kernels.scale(n, &view[0], factor)
