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
from rnncore.engine.states cimport step_row
from rnncore.engine.types cimport (
    Arrays, Batch, Layer, Matrix, Tape, rnn_kernels, rnn_matrix, rnn_unit,
)

from rnncore.engine.plan import current_isa

cdef enum:
    ROWS = 256             # rows of dZ and of the other operand that stay in cache together


cdef void _accumulate(const Layer *layer, const Matrix *w, Py_ssize_t rows, const void *a,
                      Py_ssize_t lda, const void *dz, void *sums) noexcept nogil:
    """sums += a' dz over consecutive rows, the last ones first."""
    cdef Py_ssize_t count
    while rows > 0:
        count = min(rows, ROWS)
        rows -= count
        gradient_product(layer, w, count, at(a, rows * lda, layer), lda,
                         at(dz, rows * layer.ldz, layer), sums)


cdef Py_ssize_t _stretch(const Batch *batch, Py_ssize_t t, Py_ssize_t back) noexcept nogil:
    """The first step of the longest run of steps, up to t, whose rows `back` steps earlier are
    consecutive as its own are."""
    while t > 0 and slot(batch, t - 1 - back) + batch.live[t - 1] == slot(batch, t - back):
        t -= 1
    return t


cdef void _matrix_gradient(const Layer *layer, const Batch *batch, Tape *tape, const Matrix *w,
                           const void *a, Py_ssize_t lda, Py_ssize_t back,
                           void *grad) noexcept nogil:
    """grad += dZ' a, where step t of dZ meets step t - back of the states a; back = 0: a has
    one row for each of dZ."""
    cdef Py_ssize_t end = batch.steps, first, width = layer.blocks * layer.lanes
    cdef const void *dz = at(tape.z, step_row(layer, batch, 0) * layer.ldz, layer)
    cdef void *sums = at(tape.sums, w.first * layer.lanes, layer)
    memset(tape.sums, 0, w.shape.depth * layer.ldz * layer.itemsize)
    layer.kernels.to_panels(&w.shape, grad, sums, width, layer.ldz)
    if back == 0:
        _accumulate(layer, w, batch.offset[end], a, lda, dz, tape.sums)
        end = 0
    while end > 0:
        first = _stretch(batch, end - 1, back)
        _accumulate(layer, w, batch.offset[end] - batch.offset[first],
                    at(a, slot(batch, first - back) * lda, layer), lda,
                    at(dz, batch.offset[first] * layer.ldz, layer), tape.sums)
        end = first
    layer.kernels.from_panels(&w.shape, grad, sums, width, layer.ldz)


cdef void _bias_gradient(const Layer *layer, const Batch *batch, Tape *tape,
                         const rnn_matrix *shape, void *grad) noexcept nogil:
    cdef Py_ssize_t width = layer.blocks * layer.lanes
    if grad == NULL:
        return
    memset(tape.sums, 0, layer.ldz * layer.itemsize)
    layer.kernels.to_panels(shape, grad, tape.sums, width, 0)
    layer.kernels.column_sums(batch.offset[batch.steps], layer.panels * width,
                              at(tape.z, step_row(layer, batch, 0) * layer.ldz, layer),
                              layer.ldz, tape.sums)
    layer.kernels.from_panels(shape, grad, tape.sums, width, 0)


cdef void _unit_gradient(const Layer *layer, const Batch *batch, Tape *tape,
                         const rnn_unit *unit, void *grad) noexcept nogil:
    """grad += column sums of dZ[block] * state."""
    cdef rnn_matrix shape
    cdef Py_ssize_t t, back = layer.lag if unit.previous else 0
    cdef const void *state = tape.c if unit.state == c'c' else tape.h
    shape.hidden, shape.depth, shape.count, shape.row_block[0] = layer.hidden, 1, 1, 0
    memset(tape.sums, 0, layer.ldh * layer.itemsize)
    layer.kernels.to_panels(&shape, grad, tape.sums, layer.lanes, 0)
    for t in range(batch.steps - 1, -1, -1):
        layer.kernels.unit_gradient(
            batch.live[t], layer.panels,
            at(tape.z, step_row(layer, batch, t) * layer.ldz + unit.block * layer.lanes, layer),
            layer.ldz, layer.blocks * layer.lanes,
            at(state, slot(batch, t - back) * layer.ldh, layer), layer.ldh, tape.sums)
    layer.kernels.from_panels(&shape, grad, tape.sums, layer.lanes, 0)


cdef void weight_gradients(const Layer *layer, const Batch *batch, Tape *tape,
                           Arrays *grads) noexcept nogil:
    """Add the gradients of all parameters of a layer, from its dZ and its operands."""
    cdef const void *fed = tape.c if layer.cell.fed == c'c' else tape.h
    cdef Py_ssize_t i
    _matrix_gradient(layer, batch, tape, &layer.x, tape.x, tape.ldx, 0, grads.weight_x)
    if layer.cell.fed:
        for i in range(layer.n_taps):
            _matrix_gradient(layer, batch, tape, &layer.h[i], fed, layer.ldh, layer.taps[i],
                             grads.weight_h[i])
    if layer.cell.n_stages > 1:
        _matrix_gradient(layer, batch, tape, &layer.reset, tape.rh, layer.ldh, 0,
                         grads.weight_h[0])
    _bias_gradient(layer, batch, tape, &layer.bias_x, grads.bias_x)
    _bias_gradient(layer, batch, tape, &layer.bias_h, grads.bias_h)
    for i in range(layer.cell.n_units):
        _unit_gradient(layer, batch, tape, &layer.cell.unit[i],
                       at(grads.unit, i * layer.hidden, layer))


def _flat(array, name):
    if not isinstance(array, numpy.ndarray) or array.dtype not in (numpy.float32, numpy.float64):
        raise TypeError(f"{name} is {getattr(array, 'dtype', type(array).__name__)}, expected a "
                        "float32 or float64 array")
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
