"""Weight gradients.

Every element of a weight gradient is one chain of fused multiply-adds over the rows from the
last step to the first, starting from the value in `grads`: chunks and threads do not change
its bits.
"""

from libc.string cimport memset

from rnncore.engine.batch cimport slot
from rnncore.engine.product cimport at, gradient_product, rest_product, whole_columns
from rnncore.engine.share cimport worth_sharing
from rnncore.engine.states cimport step_row
from rnncore.engine.types cimport (
    BLEND, CHUNK, Arrays, Batch, Flow, Layer, Matrix, Tape, rnn_matrix, rnn_unit,
)

# One layer's weight gradients, to be summed by one or more threads, each for its own panels.
cdef struct Sums:
    const Layer *layer
    const Batch *batch
    Tape *tape
    Arrays *grads


# One thread's panels, and its scratch for what Omega adds to an operand.
cdef struct Panels:
    Py_ssize_t first, count
    void *scratch


# Where the gradient of a matrix is summed: in whole vectors of columns where the user has it,
# and what columns are left in panel order. That of x has the biases beside it.
cdef struct Target:
    const Matrix *w
    void *grad                # (count * H, K)
    void *sums                # (columns that are left, ldz)
    Py_ssize_t whole
    rnn_matrix rest
    void *bias_x              # sums of the panels, or NULL
    void *bias_h


# The states that meet the rows of dZ: those of `back` steps earlier, or with back = 0 one row
# for each row of dZ. To each, weight[row] * kept[row] is added, row counting those of dZ.
cdef struct Operand:
    const void *rows
    Py_ssize_t stride, back
    const void *kept          # (N, ldh), or NULL
    const double *weight      # (N)


cdef inline Operand _operand(const void *rows, Py_ssize_t stride,
                             Py_ssize_t back) noexcept nogil:
    cdef Operand a
    a.rows, a.stride, a.back, a.kept, a.weight = rows, stride, back, NULL, NULL
    return a


cdef const void *_blended(const Layer *layer, const Panels *part, const Operand *a,
                          const void *rows, Py_ssize_t row, Py_ssize_t count,
                          Py_ssize_t *stride) noexcept nogil:
    """Some rows of an operand, with what Omega adds to them; `row` is the first of dZ."""
    stride[0] = a.stride
    if a.kept == NULL:
        return rows
    stride[0] = layer.ldh
    layer.kernels.blend(count, layer.hidden, rows, a.stride, at(a.kept, row * layer.ldh, layer),
                        layer.ldh, a.weight + row, part.scratch)
    return part.scratch


cdef void _accumulate(const Sums *s, const Panels *part, const Target *to, const Operand *a,
                      const void *states, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """Add states' dZ over some rows of dZ, the first of which is `row`, and as many of the
    states, the last ones first."""
    cdef const Layer *layer = s.layer
    cdef Py_ssize_t width = layer.blocks * layer.lanes, count, stride = 0
    cdef const void *left
    cdef const void *dz
    while rows > 0:
        count = min(rows, CHUNK if a.kept == NULL else BLEND)
        rows -= count
        dz = at(s.tape.z, (step_row(layer, s.batch, 0) + row + rows) * layer.ldz, layer)
        left = _blended(layer, part, a, at(states, rows * a.stride, layer), row + rows, count,
                        &stride)
        if to.bias_x != NULL:
            layer.kernels.column_sums(
                count, part.count * width, at(dz, part.first * width, layer), layer.ldz,
                to.bias_x, to.bias_h)
        if to.whole > 0:
            gradient_product(layer, to.w, to.whole, part.first, part.count, count, left, stride,
                             dz, to.grad)
        if to.rest.depth > 0:
            rest_product(layer, to.w, to.rest.depth, part.first, part.count, count,
                         at(left, to.whole, layer), stride, dz, to.sums)


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


cdef void _close(const Layer *layer, const rnn_matrix *mine, Py_ssize_t first, void *grad,
                 const void *sums) noexcept nogil:
    """Move sums back to where they began."""
    layer.kernels.from_panels(mine, grad, at(sums, first * layer.lanes, layer),
                              layer.blocks * layer.lanes, layer.ldz)


cdef void _matrix_gradient(const Sums *s, const Panels *part, const Matrix *w, const Operand *a,
                           void *grad, void *bias_x, void *bias_h) noexcept nogil:
    """grad += dZ' a, and to sums of biases, if any, those of dZ."""
    cdef const Layer *layer = s.layer
    cdef Py_ssize_t end = s.batch.steps, first, row
    cdef rnn_matrix mine
    cdef Target to
    to.w, to.grad, to.bias_x, to.bias_h = w, grad, bias_x, bias_h
    to.sums = at(s.tape.sums, 2 * layer.ldz, layer)  # after those of the biases
    to.whole, to.rest = whole_columns(layer, w.shape.depth), w.shape
    to.rest.depth -= to.whole
    mine = _open(layer, part, &to.rest, w.first, at(grad, to.whole, layer), to.sums)
    if a.back == 0:
        _accumulate(s, part, &to, a, a.rows, 0, s.batch.offset[end])
        end = 0
    while end > 0:
        first = _stretch(s.batch, end - 1, a.back)
        row = s.batch.offset[first]
        _accumulate(s, part, &to, a,
                    at(a.rows, slot(s.batch, first - a.back) * a.stride, layer), row,
                    s.batch.offset[end] - row)
        end = first
    _close(layer, &mine, w.first, at(grad, to.whole, layer), to.sums)


cdef void _input_gradients(const Sums *s, const Panels *part) noexcept nogil:
    """Those of the matrix of x and of the biases, which are column sums of dZ, each onto what
    it begins with, in one reading of dZ."""
    cdef const Layer *layer = s.layer
    cdef Py_ssize_t skip = part.first * layer.blocks * layer.lanes
    cdef Operand a = _operand(s.tape.x, s.tape.ldx, 0)
    cdef void *of_x = s.tape.sums
    cdef void *of_h = at(of_x, layer.ldz, layer)
    cdef bint one = s.grads.bias_x != NULL, two = s.grads.bias_h != NULL
    cdef rnn_matrix x, h
    if one:
        x = _open(layer, part, &layer.bias_x, 0, s.grads.bias_x, of_x)
    if two:
        h = _open(layer, part, &layer.bias_h, 0, s.grads.bias_h, of_h)
    _matrix_gradient(s, part, &layer.x, &a, s.grads.weight_x,
                     at(of_x, skip, layer) if one else NULL,
                     at(of_h, skip, layer) if two else NULL)
    if one:
        _close(layer, &x, 0, s.grads.bias_x, of_x)
    if two:
        _close(layer, &h, 0, s.grads.bias_h, of_h)


cdef void _unit_gradient(const Sums *s, const Panels *part, const rnn_unit *unit,
                         const Operand *a, void *grad) noexcept nogil:
    """grad += column sums of dZ[block] * a, summed in block 0 of the panels."""
    cdef const Layer *layer = s.layer
    cdef Py_ssize_t width = layer.blocks * layer.lanes, stride = 0, t, row, rows, count
    cdef const void *states
    cdef rnn_matrix shape = layer.bias_x, mine
    shape.count, shape.row_block[0] = 1, 0
    mine = _open(layer, part, &shape, 0, grad, s.tape.sums)
    for t in range(s.batch.steps - 1, -1, -1):
        rows = s.batch.live[t]
        while rows > 0:
            count = min(rows, BLEND)
            rows -= count
            row = s.batch.offset[t] + rows
            states = at(a.rows, (slot(s.batch, t - a.back) + rows) * a.stride, layer)
            states = _blended(layer, part, a, states, row, count, &stride)
            layer.kernels.unit_gradient(
                count, part.count, width,
                at(s.tape.z, (step_row(layer, s.batch, 0) + row) * layer.ldz
                   + part.first * width + unit.block * layer.lanes, layer), layer.ldz,
                at(states, part.first * layer.lanes, layer), stride,
                at(s.tape.sums, part.first * width, layer))
    _close(layer, &mine, 0, grad, s.tape.sums)


cdef void _recurrent_gradients(const Sums *s, const Panels *part) noexcept nogil:
    cdef const Layer *layer = s.layer
    cdef const void *fed = s.tape.c if layer.cell.fed == c'c' else s.tape.h
    cdef const Flow *flow = &s.tape.flow
    cdef bint omega = flow.remedies != NULL and flow.remedies.omega
    cdef Py_ssize_t n = s.batch.offset[s.batch.steps], i
    cdef Operand a
    for i in range(layer.n_taps if layer.cell.fed else 0):
        a = _operand(fed, layer.ldh, layer.taps[i])
        if omega:
            a.kept, a.weight = at(flow.kept, i * n * layer.ldh, layer), flow.z + i * n
        _matrix_gradient(s, part, &layer.h[i], &a, s.grads.weight_h[i], NULL, NULL)
    if layer.cell.n_stages > 1:
        a = _operand(s.tape.rh, layer.ldh, 0)
        if omega:
            a.kept, a.weight = flow.reset, flow.z
        _matrix_gradient(s, part, &layer.reset, &a, s.grads.weight_h[0], NULL, NULL)


cdef void _unit_gradients(const Sums *s, const Panels *part) noexcept nogil:
    """Per-unit weights. Omega concerns one that carries the state alone, as IndRNN's, and not
    those beside a matrix, peepholes."""
    cdef const Layer *layer = s.layer
    cdef const rnn_unit *unit
    cdef Operand a
    cdef Py_ssize_t i
    for i in range(layer.cell.n_units):
        unit = &layer.cell.unit[i]
        a = _operand(s.tape.c if unit.state == c'c' else s.tape.h, layer.ldh,
                     layer.lag if unit.previous else 0)
        if not layer.cell.fed and s.tape.flow.remedies != NULL and s.tape.flow.remedies.omega:
            a.kept, a.weight = s.tape.flow.kept, s.tape.flow.z
        _unit_gradient(s, part, unit, &a, at(s.grads.unit, i * layer.hidden, layer))


cdef void _gradient_part(void *context, int part, int parts) noexcept nogil:
    """All gradients of the units of some panels."""
    cdef const Sums *s = <const Sums *> context
    cdef const Layer *layer = s.layer
    cdef Panels mine
    mine.first = layer.panels * part // parts
    mine.count = layer.panels * (part + 1) // parts - mine.first
    mine.scratch = at(s.tape.flow.sums, part * BLEND * layer.ldh, layer)
    if mine.count == 0:
        return
    _input_gradients(s, &mine)
    _recurrent_gradients(s, &mine)
    _unit_gradients(s, &mine)


cdef void weight_gradients(const Layer *layer, const Batch *batch, Tape *tape,
                           Arrays *grads) noexcept nogil:
    """Add the gradients of all parameters of a layer, from its dZ and its operands."""
    cdef Sums s
    s.layer, s.batch, s.tape, s.grads = layer, batch, tape, grads
    layer.kernels.run_parts(_gradient_part, &s, batch.threads if layer.blas == NULL
                            and worth_sharing(layer, batch) else 1)
