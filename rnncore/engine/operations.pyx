"""Operations: products, pointwise functions and copies whose operands are known beforehand.

They are what a step of a stream consists of, listed once and replayed: calling a kernel then
costs no more than the call. The arithmetic is that of `forward_layer`, in the same order.
"""

from libc.string cimport memcpy

from rnncore.engine.arena cimport take
from rnncore.engine.cut cimport ROWS, recurrent_vectors, size_of, some_stay
from rnncore.engine.product cimport at, forward_operands, gemm
from rnncore.engine.types cimport Layer, Matrix, rnn_panel, rnn_product

cdef enum:
    BYTES = 1 << 14        # of a rectangle's Z, which stays in the first level cache


cdef inline void _copy(const Copy *copy) noexcept nogil:
    cdef Py_ssize_t row
    for row in range(copy.rows):
        memcpy(<char *> copy.target + row * copy.to_stride,
               <const char *> copy.source + row * copy.from_stride, copy.size)


cdef void _run_native(const Operation *operation) noexcept nogil:
    cdef const Rectangle *r = <const Rectangle *> operation
    cdef Py_ssize_t i
    _copy(&r.bias)
    for i in range(r.count):
        r.product(&r.products[i])
    r.pointwise(&r.panel)


cdef void _run_blas(const Operation *operation) noexcept nogil:
    cdef const Rectangle *r = <const Rectangle *> operation
    cdef const rnn_product *p
    cdef Py_ssize_t i
    _copy(&r.bias)
    for i in range(r.count):
        p = &r.products[i]
        gemm(r.layer, c'N', c'N', p.rows, p.panels * p.c_panel, p.depth, p.a, p.a_row, p.w,
             r.layer.ldz, p.c, p.c_row)
    r.pointwise(&r.panel)


cdef void _run_output(const Operation *operation) noexcept nogil:
    cdef const Output *o = <const Output *> operation
    cdef Py_ssize_t row
    _copy(&o.copy)
    if o.x != NULL:
        for row in range(o.copy.rows):
            o.layer.kernels.add(o.layer.hidden, <char *> o.copy.target + row * o.copy.to_stride,
                                <const char *> o.x + row * o.x_stride)


cdef inline void *_append(Listing *listing, void (*run)(const Operation *) noexcept nogil,
                          Py_ssize_t size) noexcept nogil:
    """Room for an operation at the end of the list; NULL while only the size is asked for."""
    cdef Operation *operation = <Operation *> take(listing.arena, size)
    if operation != NULL:
        operation.run, operation.next = run, NULL
        listing.end[0], listing.end = operation, &operation.next
    return operation


cdef inline Py_ssize_t _past(const Step *step, Py_ssize_t back) noexcept nogil:
    """The first row of an earlier step in an array of states."""
    return (step.slot - back + step.slots) % step.slots * step.size


cdef rnn_panel panel_of(const Step *step, const Span *span) noexcept nogil:
    """Point at some rows and panels. Fields the cell does not use mean nothing."""
    cdef const Layer *layer = step.layer
    cdef const Memory *memory = step.memory
    cdef Py_ssize_t unit = span.panel * layer.lanes
    cdef Py_ssize_t now = (_past(step, 0) + span.row) * layer.ldh + unit
    cdef Py_ssize_t before = (_past(step, layer.lag) + span.row) * layer.ldh + unit
    cdef rnn_panel p
    p.rows, p.panels, p.blocks, p.scale = span.rows, span.panels, layer.blocks, layer.scale
    p.ldz, p.ldh, p.ldx, p.back = layer.ldz, layer.ldh, step.x.stride, 0
    p.z = at(memory.z, span.row * layer.ldz + unit * layer.blocks, layer)
    p.x = at(step.x.rows, span.row * step.x.stride + unit, layer)
    p.unit = at(layer.unit, unit, layer)
    p.h_prev, p.c_prev = at(memory.h, before, layer), at(memory.c, before, layer)
    p.h, p.c, p.y = at(memory.h, now, layer), at(memory.c, now, layer), at(memory.y, now, layer)
    p.rh = at(memory.rh, span.row * layer.ldh + unit, layer)
    p.dy = p.dh = p.dc = p.drh = p.dx = NULL
    return p


cdef rnn_product _product(const Step *step, const Span *span, const Matrix *w, const void *a,
                          Py_ssize_t a_row, const void *start,
                          Py_ssize_t start_row) noexcept nogil:
    """Z = start + a W' in the blocks that W feeds; `a` and `start` point to the first row of a
    batch. For BLAS start is Z."""
    cdef const Layer *layer = step.layer
    cdef void *z = at(step.memory.z, span.row * layer.ldz, layer)
    cdef rnn_product p = forward_operands(
        layer, w, span.rows, span.panel, span.panels, at(a, span.row * a_row, layer), a_row,
        at(start, span.row * start_row, layer), start_row, z)
    if layer.blas != NULL:
        p.w, p.c = w.dense, z
    return p


cdef inline bint _continues(const Layer *layer, const Matrix *w) noexcept nogil:
    """Whether a product feeds the blocks that the input feeds, so that its sums go on with
    those in registers."""
    return layer.blas == NULL and w.first == layer.x.first and \
        w.shape.count == layer.x.shape.count


cdef void _begin(Rectangle *r, const Step *step, const Span *span) noexcept nogil:
    """The bias, and the products of the input and of the fed states."""
    cdef const Layer *layer = step.layer
    cdef Py_ssize_t width = layer.blocks * layer.lanes, skip = span.panel * width, tap
    cdef const void *fed = step.memory.c if layer.cell.fed == c'c' else step.memory.h
    cdef const void *start = layer.bias
    cdef Py_ssize_t start_row = 0
    cdef void *z = step.memory.z
    if layer.blas != NULL or layer.x.shape.count < layer.blocks:
        r.bias.rows, r.bias.size = span.rows, span.panels * width * layer.itemsize
        r.bias.source, r.bias.from_stride = at(layer.bias, skip, layer), 0
        r.bias.target = at(z, span.row * layer.ldz + skip, layer)
        r.bias.to_stride = layer.ldz * layer.itemsize
        start, start_row = z, layer.ldz
    r.products[0] = _product(step, span, &layer.x, step.x.rows, step.x.stride, start, start_row)
    for tap in range(r.count - 1):
        r.products[1 + tap] = _product(
            step, span, &layer.h[tap],
            at(fed, _past(step, layer.taps[tap]) * layer.ldh, layer), layer.ldh, z, layer.ldz)
        if span.next >= 0:
            r.products[1 + tap].next = at(
                layer.h[tap].forward, span.next * r.products[1 + tap].w_panel, layer)
        if _continues(layer, &layer.h[tap]):
            r.products[tap].more = &r.products[1 + tap]
    if r.count > 1 and _continues(layer, &layer.h[0]):
        r.count = 1


cdef void _add_rectangle(const Step *step, int stage, const Span *span,
                         Listing *listing) noexcept nogil:
    cdef const Layer *layer = step.layer
    cdef Py_ssize_t count = 1 + (layer.n_taps if stage == 0 and layer.cell.fed else 0)
    cdef Rectangle *r = <Rectangle *> _append(
        listing, _run_native if layer.blas == NULL else _run_blas, sizeof(Rectangle))
    cdef void *products = take(listing.arena, count * sizeof(rnn_product))
    if r == NULL:
        return
    r.layer, r.count, r.products = layer, count, <rnn_product *> products
    r.product, r.pointwise = layer.kernels.product, layer.cell.stage[stage].forward
    r.panel = panel_of(step, span)
    r.bias.rows = 0
    if stage == 0:
        _begin(r, step, span)
    else:
        r.products[0] = _product(step, span, &layer.reset, step.memory.rh, layer.ldh,
                                 step.memory.z, layer.ldz)


cdef inline Py_ssize_t _width(const Layer *layer, Py_ssize_t rows) noexcept nogil:
    """How many panels a rectangle of so many rows has; BLAS products are of all. Where not all
    weights of a layer stay in the first level cache but many do, rectangles are pairs of
    panels, which have just enough sums under way."""
    cdef Py_ssize_t vector = layer.lanes * layer.itemsize
    cdef Py_ssize_t wide = max(BYTES // (rows * layer.blocks * vector), 1)
    if some_stay(size_of(layer, layer.x.shape.count * layer.inputs + recurrent_vectors(layer))):
        wide = min(wide, 2)
    return layer.panels if layer.blas != NULL else min(wide, layer.panels)


cdef inline Py_ssize_t _in_turn(Py_ssize_t i, Py_ssize_t count, Py_ssize_t slot) noexcept nogil:
    """Which of so many columns comes as number i: every other step goes back."""
    return count - 1 - i if slot & 1 else i


cdef void add_step(const Step *step, Listing *listing) noexcept nogil:
    """List one step of a layer."""
    cdef const Layer *layer = step.layer
    cdef Py_ssize_t high = max(min(step.size, ROWS), 1) if layer.blas == NULL else step.size
    cdef Py_ssize_t wide = _width(layer, high), i
    cdef Py_ssize_t count = (layer.panels + wide - 1) // wide
    cdef Span span
    cdef int stage
    for stage in range(layer.cell.n_stages):
        for i in range(count):
            span.panel = _in_turn(i, count, step.slot) * wide
            span.panels, span.row = min(wide, layer.panels - span.panel), 0
            span.next = _in_turn(i + 1, count, step.slot) * wide if i + 1 < count else -1
            while span.row < step.size:
                span.rows = min(high, step.size - span.row)
                _add_rectangle(step, stage, &span, listing)
                span.row += span.rows


cdef void add_output(const Step *step, Block output, Block target, bint add_input,
                     Listing *listing) noexcept nogil:
    """List the copy of a layer's output to `target`, with the layer's input added or not."""
    cdef const Layer *layer = step.layer
    cdef Output *o = <Output *> _append(listing, _run_output, sizeof(Output))
    if o == NULL:
        return
    o.layer = layer
    o.copy.rows, o.copy.size = step.size, layer.hidden * layer.itemsize
    o.copy.source, o.copy.from_stride = output.rows, output.stride * layer.itemsize
    o.copy.target, o.copy.to_stride = target.rows, target.stride * layer.itemsize
    o.x, o.x_stride = step.x.rows if add_input else NULL, step.x.stride * layer.itemsize
