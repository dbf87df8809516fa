"""The gradient between two steps of the backward pass: measured for Omega, clipped.

With d_t all of the state's gradient that enters step t, and z_t all of it that leaves step t
to step t - tap before dy joins it, both over the whole carried state,

    clipping   z_t <- z_t min(1, v / |z_t|)   ("ratio": v |d_t| in place of v)
    Omega      mean over live (t, b) of (|z_t| / |d_t| - 1)^2    (Pascanu, Mikolov & Bengio
               2013, eq. 9), or "squared", (|z_t|^2 / |d_t|^2 - 1)^2 (eq. 10)

d_t, the activations and dZ_t are held fixed in the derivative of Omega (eq. 10), and z_t is
linear in the recurrent matrix: dOmega/dW = sum of c dZ_t (linear map of z_t)', so that Omega
does no more than add c z_t to the states that dZ_t meets in the product for dW. c is per row,
2 (q - 1) / (N q |d|^2) with q = |z| / |d|, or "squared" 4 (q^2 - 1) / (N |d|^2).
"""

from libc.math cimport INFINITY, sqrt
from libc.string cimport memcpy, memset

from rnncore.engine.arena cimport Arena, take
from rnncore.engine.batch cimport slot
from rnncore.engine.carried cimport (
    Carried, arriving, carried_to, fed_state, first_lag, living, one_tap,
)
from rnncore.engine.cut cimport rectangle
from rnncore.engine.product cimport at, backward_product
from rnncore.engine.share cimport Part
from rnncore.engine.states cimport ring, z_at
from rnncore.engine.types cimport BLEND, Batch, Flow, Layer, Remedies, Tape, rnn_panel


cdef void carve_flow(const Layer *layer, const Batch *batch, Tape *tape,
                     Arena *arena) noexcept nogil:
    """What stays of one layer and direction until its weight gradients are summed. Where all
    that arrives is z of one tap, it is kept where dy of the step it comes from was: one array
    fewer to go through the caches."""
    cdef Flow *flow = &tape.flow
    cdef Py_ssize_t rows = batch.offset[batch.steps]
    cdef Py_ssize_t wide = rows * layer.ldh * layer.itemsize
    flow.d = <double *> take(arena, rows * sizeof(double))
    if flow.remedies.omega:
        flow.z = <double *> take(arena, layer.n_taps * rows * sizeof(double))
        if one_tap(layer):
            tape.dy = take(arena, slot(batch, 0) * layer.ldh * layer.itemsize + wide)
            flow.kept = at(tape.dy, slot(batch, 0) * layer.ldh, layer)
        else:
            flow.kept = take(arena, layer.n_taps * wide)
        flow.reset = take(arena, wide) if layer.cell.n_stages > 1 else NULL


cdef void carve_scratch(const Layer *layer, const Batch *batch, const Remedies *remedies,
                        Flow *flow, Arena *arena) noexcept nogil:
    """What all layers share."""
    cdef Py_ssize_t wide = batch.size * layer.ldh * layer.itemsize
    flow.remedies = remedies
    flow.size = <double *> take(arena, batch.size * sizeof(double))
    flow.zeros, flow.turned, flow.seen = take(arena, wide), take(arena, wide), take(arena, wide)
    flow.sums = take(arena, batch.threads * BLEND * layer.ldh * layer.itemsize)


cdef void begin_flow(const Layer *layer, const Batch *batch, Flow *flow) noexcept nogil:
    cdef Py_ssize_t rows = batch.offset[batch.steps]
    if layer.cell.enters:
        memset(flow.zeros, 0, batch.size * layer.ldh * layer.itemsize)
    memset(flow.d, 0, rows * sizeof(double))
    if flow.remedies.omega:
        memset(flow.z, 0, layer.n_taps * rows * sizeof(double))


cdef void _through(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t,
                   Py_ssize_t row, Py_ssize_t rows, void *source, const void *dy,
                   void *target) noexcept nogil:
    """target = source * f'(x_t) + dy, by the pointwise function of a cell whose state enters
    it; `source` becomes 0."""
    cdef rnn_panel p = rectangle(layer, batch, tape, t, row, rows, 0, layer.panels)
    p.dh, p.dy, p.z, p.ldz = source, dy, target, layer.ldh
    layer.cell.stage[0].backward(&p)


cdef inline void _square(const Layer *layer, Py_ssize_t rows, const void *x, const void *y,
                         double *sums) noexcept nogil:
    layer.kernels.row_squares(rows, layer.hidden, layer.ldh, x, y, NULL, sums, sums)


cdef inline void _see(const Flow *flow, const Layer *layer, const Part *part,
                      Carried *parts) noexcept nogil:
    """For a cell whose state enters the pointwise function, what arrives is seen behind it."""
    parts[0].rows = at(flow.seen, part.low * layer.ldh, layer)


cdef void depart(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t,
                 const Part *part) noexcept nogil:
    """Take down what is carried to step t elementwise, before the products join it."""
    cdef Flow *flow = &tape.flow
    cdef Py_ssize_t n = batch.offset[batch.steps], size = layer.ldh * layer.itemsize
    cdef Py_ssize_t tap, rows, later, place
    cdef Carried parts[2]
    cdef int count, i
    if not flow.remedies.omega or (one_tap(layer) and layer.cell.state[1] == 0):
        return  # without Omega, or where nothing comes but by the product
    count = carried_to(layer, batch, tape, t, part.low, parts)
    for tap in range(layer.n_taps):
        later = t + layer.taps[tap]
        rows = arriving(batch, later, part)
        if rows == 0:
            continue
        place = tap * n + batch.offset[later] + part.low
        if layer.taps[tap] != layer.lag:
            memset(at(flow.kept, place * layer.ldh, layer), 0, rows * size)
            continue
        for i in range(count):
            if i != fed_state(layer):
                _square(layer, rows, parts[i].rows, NULL, flow.z + place)
            elif not one_tap(layer):
                memcpy(at(flow.kept, place * layer.ldh, layer), parts[i].rows, rows * size)


cdef inline double *_entering(const Flow *flow, const Batch *batch, Py_ssize_t t,
                              const Part *part) noexcept nogil:
    """The squares of |d_t| of a part's rows; t < 0 has none."""
    return flow.d + batch.offset[max(t, 0)] + part.low


cdef inline Py_ssize_t _at_once(const Layer *layer, const Batch *batch, const Flow *flow,
                                Py_ssize_t t, const Part *part) noexcept nogil:
    """For how many rows |z| and |d_t| of the state that is fed are found in one reading: those
    that nothing but dy joins. A row without a later step may get a final state's gradient."""
    if (t < 0 or flow.remedies.threshold < INFINITY or not one_tap(layer) or layer.cell.enters
            or layer.cell.state[fed_state(layer)] != layer.cell.output):
        return 0
    return arriving(batch, t + layer.lag, part)


cdef void _keep(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t,
                Py_ssize_t tap, const Part *part, const Carried *fed) noexcept nogil:
    """Keep z of one tap for the product with dZ, and its square."""
    cdef Flow *flow = &tape.flow
    cdef Py_ssize_t later = t + layer.taps[tap], rows = arriving(batch, later, part), place
    cdef void *kept
    cdef void *seen = at(flow.seen, part.low * layer.ldh, layer)
    cdef void *zeros = at(flow.zeros, part.low * layer.ldh, layer)
    if rows == 0:
        return
    place = tap * batch.offset[batch.steps] + batch.offset[later] + part.low
    kept = at(flow.kept, place * layer.ldh, layer)
    if one_tap(layer) and not layer.cell.enters:
        layer.kernels.row_squares(rows, layer.hidden, layer.ldh, fed.rows,
                                  fed.dy if _at_once(layer, batch, flow, t, part) else NULL,
                                  kept, flow.z + place, _entering(flow, batch, t, part))
    elif one_tap(layer):
        memcpy(kept, fed.rows, rows * layer.ldh * layer.itemsize)
    else:
        backward_product(layer, &layer.h[tap], rows, 0, layer.panels,
                         z_at(layer, batch, tape, later, part.low), kept, layer.ldh, kept,
                         layer.ldh)
    if layer.cell.enters:
        _through(layer, batch, tape, t, part.low, rows, kept, zeros, seen)
        _square(layer, rows, seen, NULL, flow.z + place)
        _through(layer, batch, tape, t, part.low, rows, seen, zeros, kept)
    elif not one_tap(layer):
        _square(layer, rows, kept, NULL, flow.z + place)
    if flow.reset != NULL:  # r is there, see _keep_reset; what the second matrix meets is r z
        layer.kernels.multiply(rows * layer.ldh, at(flow.reset, place * layer.ldh, layer), kept)


cdef void _keep_reset(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t,
                      Py_ssize_t low, Py_ssize_t rows) noexcept nogil:
    """Keep the gate r of step t: dZ is about to take its place."""
    cdef Py_ssize_t size = layer.lanes * layer.itemsize, row, panel
    cdef char *to
    cdef const char *gate
    for row in range(low, low + rows):
        to = <char *> at(tape.flow.reset, (batch.offset[t] + row) * layer.ldh, layer)
        gate = <const char *> z_at(layer, batch, tape, t, row) + size  # block 1
        for panel in range(layer.panels):
            memcpy(to + panel * size, gate + panel * layer.blocks * size, size)


cdef void _clip(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t,
                const Part *part, Carried *parts, int count) noexcept nogil:
    """Bound what is carried to each row, over all states together."""
    cdef Flow *flow = &tape.flow
    cdef Py_ssize_t later = t + first_lag(layer), rows = arriving(batch, later, part), row
    cdef double *size = flow.size + part.low
    cdef double limit, norm
    cdef void *carried
    cdef int i
    memset(size, 0, rows * sizeof(double))
    for i in range(count):
        _square(layer, rows, parts[i].rows, NULL, size)
    for row in range(rows):
        norm, limit = sqrt(size[row]), flow.remedies.threshold
        if flow.remedies.ratio:
            limit *= sqrt(flow.d[batch.offset[later] + part.low + row])
        if norm <= limit:
            continue
        for i in range(count):
            layer.kernels.scale(layer.hidden, at(parts[i].rows, row * layer.ldh, layer),
                                limit / norm)
        if layer.cell.enters:  # its parts are a copy; what goes on is before f'
            carried = at(tape.dh, (ring(layer, batch, t) + part.low + row) * layer.ldh, layer)
            layer.kernels.scale(layer.hidden, carried, limit / norm)


cdef void arrive(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t,
                 const Part *part) noexcept nogil:
    """Look at all that comes to step t from later steps: Omega reads it, then it is clipped."""
    cdef Flow *flow = &tape.flow
    cdef Py_ssize_t rows = living(batch, t, part), tap
    cdef Carried parts[2]
    cdef int count = carried_to(layer, batch, tape, t, part.low, parts)
    cdef void *turned = at(flow.turned, part.low * layer.ldh, layer)
    if flow.remedies.omega:
        for tap in range(layer.n_taps):
            _keep(layer, batch, tape, t, tap, part, &parts[fed_state(layer)])
    if layer.cell.enters:
        memcpy(turned, parts[0].rows, rows * layer.ldh * layer.itemsize)
        _see(flow, layer, part, parts)
        _through(layer, batch, tape, t, part.low, rows, turned,
                 at(flow.zeros, part.low * layer.ldh, layer), parts[0].rows)
    if flow.remedies.threshold < INFINITY:
        _clip(layer, batch, tape, t, part, parts, count)


cdef void enter(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t,
                const Part *part) noexcept nogil:
    """Learn |d_t|, once the gradients of y and of final states have joined what arrived."""
    cdef Flow *flow = &tape.flow
    cdef Py_ssize_t rows = living(batch, t, part), first
    cdef Py_ssize_t done = _at_once(layer, batch, flow, t, part)
    cdef Carried parts[2]
    cdef int count, i
    if t < 0 or not (flow.remedies.omega or flow.remedies.ratio):
        return
    if flow.reset != NULL:
        _keep_reset(layer, batch, tape, t, part.low, rows)
    if done == rows and layer.cell.state[1] == 0:
        return  # the only state was measured as it arrived
    count = carried_to(layer, batch, tape, t, part.low, parts)
    if layer.cell.enters:
        _see(flow, layer, part, parts)
    for i in range(count):
        first = done if i == fed_state(layer) else 0
        _square(layer, rows - first, at(parts[i].rows, first * layer.ldh, layer),
                at(parts[i].dy, first * layer.ldh, layer),
                _entering(flow, batch, t, part) + first)


cdef void finish_flow(const Layer *layer, const Batch *batch, Flow *flow) noexcept nogil:
    """Turn |z|^2 into the weights of `kept`, on one thread: the order of the sum is fixed."""
    cdef const Remedies *remedies = flow.remedies
    cdef Py_ssize_t n = batch.offset[batch.steps], tap, row
    cdef double share = 0
    if not remedies.omega:
        return
    flow.terms = layer.n_taps * n
    for tap in range(layer.n_taps):
        flow.live += layer.kernels.omega_weights(n, flow.z + tap * n, flow.d, remedies.bound,
                                                 remedies.squared, &flow.value)
    if flow.live > 0:
        share = 1.0 / (flow.live if remedies.mean else batch.size)
    flow.value *= share
    share *= remedies.alpha
    for row in range(flow.terms):
        flow.z[row] *= share
