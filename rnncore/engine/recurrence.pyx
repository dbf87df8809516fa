"""The loops over time, forward and backward, for every cell.

A cell enters only as its row of the table. Both loops walk rectangles of rows and panels: the
matrix product of a rectangle, then the cell's pointwise function on it while it is in cache.
"""

from cpython.exc cimport PyErr_CheckSignals

from rnncore.engine.arena cimport Arena, take
from rnncore.engine.batch cimport Patch, load_step, slot, store_step
from rnncore.engine.cut cimport Cut, cut_step, piece
from rnncore.engine.flow cimport arrive, depart, enter, finish_flow
from rnncore.engine.product cimport at, backward_product, forward_product
from rnncore.engine.record cimport note
from rnncore.engine.share cimport Division, Part, divide, patch_of, share, worth_sharing
from rnncore.engine.states cimport Boundary, collect, inject, output_rows, ring, z_at
from rnncore.engine.types cimport Batch, Layer, Tape, View, rnn_panel

cdef enum:
    CHUNK = 1 << 18        # bytes of Z between two looks at the input; half a small L2


cdef void carve_forward(const Layer *layer, const Batch *batch, Py_ssize_t rows, Tape *tape,
                        Arena *arena) noexcept nogil:
    """The arrays a forward pass over `rows` live rows fills."""
    cdef Py_ssize_t states = batch.past * batch.size + rows, item = layer.itemsize
    tape.z = take(arena, (states if layer.cell.enters else rows) * layer.ldz * item)
    tape.h = take(arena, states * layer.ldh * item)
    tape.c = take(arena, states * layer.ldh * item) if layer.cell.state[0] and \
        layer.cell.state[1] == c'c' else NULL
    tape.y = take(arena, states * layer.ldh * item) if layer.cell.output == c'y' else NULL
    tape.rh = take(arena, rows * layer.ldh * item) if layer.cell.n_stages > 1 else NULL


# Some steps, to be run by one or more threads, each on rows and panels of its own.
cdef struct Steps:
    const Layer *layer
    const Batch *batch
    Tape *tape
    const Boundary *boundary
    Py_ssize_t first, last    # [first, last)
    bint input_gradient       # whether the backward pass is to find dx


cdef void _bring(const Steps *s, const Part *part, const View *source, void *rows,
                 Py_ssize_t stride, Py_ssize_t n) noexcept nogil:
    """Copy what a thread has of some steps from where it is, if that is elsewhere."""
    cdef Patch patch = patch_of(s.layer, part, n)
    cdef Py_ssize_t t
    for t in range(max(s.first, 0), s.last if source.data != NULL else 0):
        load_step(s.batch, s.layer.itemsize, source, t, &patch, rows, stride, n)


cdef void _deliver(const Steps *s, const Part *part, const void *rows, Py_ssize_t stride,
                   const View *target, Py_ssize_t n) noexcept nogil:
    """Copy what a thread has of some steps to where it is wanted, if it is."""
    cdef Patch patch = patch_of(s.layer, part, n)
    cdef Py_ssize_t t
    for t in range(max(s.first, 0), s.last if target.data != NULL else 0):
        store_step(s.batch, s.layer.itemsize, rows, stride, target, t, &patch, False)


cdef void _forward_step(const Layer *layer, const Batch *batch, Tape *tape, const Part *part,
                        Py_ssize_t t, int companions) noexcept nogil:
    """One step of one thread, which waits for its companions after each stage."""
    cdef Cut cut = cut_step(layer, part, batch.live[t] if t >= 0 else batch.size, layer.blocks)
    cdef Py_ssize_t i, panel = 0, row = 0, tap, past
    cdef int stage
    cdef rnn_panel p
    cdef void *z
    cdef const void *fed = tape.c if layer.cell.fed == c'c' else tape.h
    for stage in range(layer.cell.n_stages):
        for i in range(cut.count):
            p = piece(layer, batch, tape, t, &cut, i, &row, &panel)
            z = z_at(layer, batch, tape, t, row)
            if stage == 1:
                forward_product(layer, &layer.reset, p.rows, panel, p.panels,
                                at(tape.rh, (batch.offset[t] - batch.origin + row) * layer.ldh,
                                   layer),
                                layer.ldh, z, layer.ldz, z)
            elif layer.cell.fed and t >= 0:
                for tap in range(layer.n_taps):
                    past = slot(batch, t - layer.taps[tap]) + row
                    forward_product(layer, &layer.h[tap], p.rows, panel, p.panels,
                                    at(fed, past * layer.ldh, layer), layer.ldh, z, layer.ldz,
                                    z)
            layer.cell.stage[stage].forward(&p)
        layer.kernels.wait(companions)


# A product over some panels of consecutive packed rows, the first of them a row of step t.
ctypedef void (*span_function)(const Layer *layer, const Batch *batch, Tape *tape,
                               Py_ssize_t panel, Py_ssize_t panels, Py_ssize_t t,
                               Py_ssize_t row, Py_ssize_t rows) noexcept nogil


cdef void _for_spans(const Steps *s, const Part *part, span_function run, Py_ssize_t vectors,
                     Py_ssize_t panel, Py_ssize_t end) noexcept nogil:
    """Multiply all rows of one thread in some steps: at once where it has all rows, else step
    by step, a few panels at a time, so that their weights stay in cache from step to step."""
    cdef Py_ssize_t first = max(s.first, 0), t, rows
    cdef Py_ssize_t wide = 4 if vectors == 1 else 1
    if first < s.last and part.low == 0 and part.high == s.batch.size:
        rows = s.batch.offset[s.last] - s.batch.offset[first]
        run(s.layer, s.batch, s.tape, panel, end - panel, first, 0, rows)
        return
    while panel < end:
        for t in range(first, s.last):
            rows = min(part.high, s.batch.live[t]) - part.low
            if rows > 0:
                run(s.layer, s.batch, s.tape, panel, min(wide, end - panel), t, part.low, rows)
        panel += wide


cdef void _input_product(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t panel,
                         Py_ssize_t panels, Py_ssize_t t, Py_ssize_t row,
                         Py_ssize_t rows) noexcept nogil:
    """Z = bias + x W."""
    cdef Py_ssize_t live = batch.offset[t] - batch.origin + row
    forward_product(layer, &layer.x, rows, panel, panels,
                    at(tape.x, live * tape.ldx, layer), tape.ldx, layer.bias, 0,
                    z_at(layer, batch, tape, t, row))


cdef void _forward_part(void *context, int part, int parts) noexcept nogil:
    """The input product, then the steps; x and y are copied while they are in cache."""
    cdef const Steps *s = <const Steps *> context
    cdef Division into = divide(s.layer, s.batch, parts, False)
    cdef Part mine = share(s.layer, s.batch, &into, part)
    cdef int companions = parts if into.panels > 1 else 1
    cdef Py_ssize_t t
    _bring(s, &mine, &s.tape.from_x, <void *> s.tape.x, s.tape.ldx, s.layer.inputs)
    if s.tape.from_x.data != NULL:
        s.layer.kernels.wait(companions)
    _for_spans(s, &mine, _input_product, s.layer.blocks, mine.first, mine.last)
    for t in range(s.first, s.last):
        _forward_step(s.layer, s.batch, s.tape, &mine, t,
                      companions if s.layer.cell.fed else 1)
    _deliver(s, &mine, output_rows(s.layer, s.batch, s.tape), s.layer.ldh, &s.tape.to_y,
             s.layer.hidden)


cdef int parts_of(const Layer *layer, const Batch *batch, bint whole_rows) noexcept nogil:
    """How many threads work on a pass: one where there is little work."""
    cdef Division into = divide(layer, batch, batch.threads, whole_rows)
    return into.rows * into.panels if worth_sharing(layer, batch) else 1


cdef Py_ssize_t chunk_rows(const Layer *layer, const Batch *batch) noexcept nogil:
    """The rows of a run of steps whose Z stays in the caches of its threads; one step at
    least."""
    cdef Division into = divide(layer, batch, batch.threads, False)
    return max(batch.size, CHUNK // (layer.ldz * layer.itemsize) * into.rows * into.panels)


cdef Py_ssize_t even_rows(const Layer *layer, const Batch *batch) noexcept nogil:
    """The rows of each run where the steps of a batch are divided evenly: after a short one at
    the end, which one thread does alone, the others would have to be woken again."""
    cdef Py_ssize_t rows = batch.offset[batch.steps] - batch.origin
    cdef Py_ssize_t most = chunk_rows(layer, batch), runs = max((rows + most - 1) // most, 1)
    return min(rows // runs + batch.size, most)


cdef int forward_layer(const Layer *layer, const Batch *batch, Tape *tape) except -1 nogil:
    """Run a layer over all steps of a batch; the initial states are in place."""
    cdef Py_ssize_t rows, most = even_rows(layer, batch)
    cdef int parts = parts_of(layer, batch, False)
    cdef Steps s
    s.layer, s.batch, s.tape, s.boundary, s.first, s.last = layer, batch, tape, NULL, 0, 0
    s.input_gradient = False
    if layer.cell.enters and batch.begun == 0:
        s.first = -batch.past
        layer.kernels.run_parts(_forward_part, &s, parts)
    while s.last < batch.steps:
        s.first, rows = s.last, 0
        while s.last < batch.steps and rows + batch.live[s.last] <= most:
            rows += batch.live[s.last]
            s.last += 1
        layer.kernels.run_parts(_forward_part, &s, parts)
        if batch.interruptible:
            with gil:
                PyErr_CheckSignals()
    return 0


cdef inline void _carry(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t,
                        Py_ssize_t row, Py_ssize_t rows, Py_ssize_t panel,
                        Py_ssize_t panels) noexcept nogil:
    """Add what the recurrent products carry back to some rows and panels of step t."""
    cdef void *carried = tape.dc if layer.cell.fed == c'c' else tape.dh
    cdef Py_ssize_t tap, later, living
    carried = at(carried, (ring(layer, batch, t) + row) * layer.ldh, layer)
    for tap in range(layer.n_taps):
        later = t + layer.taps[tap]
        if later < 0 or later >= batch.steps:
            continue
        living = min(batch.live[later] - row, rows)
        if living > 0:
            backward_product(layer, &layer.h[tap], living, panel, panels,
                             z_at(layer, batch, tape, later, row),
                             carried, layer.ldh, carried, layer.ldh)


cdef void _watched_products(const Layer *layer, const Batch *batch, Tape *tape,
                            const Part *part, Py_ssize_t t) noexcept nogil:
    """What is carried back to step t, by whole rows for the remedies to look at: the products
    of all panels come before any of the rest."""
    cdef Cut cut = cut_step(layer, part, batch.live[t] if t >= 0 else batch.size, 1)
    cdef Py_ssize_t i, panel = 0, row = 0
    cdef rnn_panel p
    depart(layer, batch, tape, t, part)
    for i in range(cut.count if layer.cell.fed else 0):
        p = piece(layer, batch, tape, t, &cut, i, &row, &panel)
        _carry(layer, batch, tape, t, row, p.rows, panel, p.panels)
    arrive(layer, batch, tape, t, part)


cdef void _backward_step(const Layer *layer, const Batch *batch, Tape *tape, const Part *part,
                         Py_ssize_t t, int companions) noexcept nogil:
    cdef Cut cut = cut_step(layer, part, batch.live[t] if t >= 0 else batch.size, 1)
    cdef Py_ssize_t i, panel = 0, row = 0
    cdef int last = layer.cell.n_stages - 1, stage
    cdef rnn_panel p
    for stage in range(last, -1, -1):
        for i in range(cut.count):
            p = piece(layer, batch, tape, t, &cut, i, &row, &panel)
            if stage < last:
                backward_product(layer, &layer.reset, p.rows, panel, p.panels,
                                 z_at(layer, batch, tape, t, row),
                                 layer.zeros, 0, at(tape.drh, row * layer.ldh, layer),
                                 layer.ldh)
            elif layer.cell.fed and tape.flow.remedies == NULL:
                _carry(layer, batch, tape, t, row, p.rows, panel, p.panels)
            if tape.entering[0] != NULL and stage == last and t >= 0:
                note(layer, batch, tape, t, row, panel, &p)
            if t >= 0 or layer.cell.enters:
                layer.cell.stage[stage].backward(&p)
        layer.kernels.wait(companions)
        if t < 0:
            return


cdef void _input_gradient(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t panel,
                          Py_ssize_t panels, Py_ssize_t t, Py_ssize_t row,
                          Py_ssize_t rows) noexcept nogil:
    """dx = dZ W, onto what the cell itself left there; panels are those of the input."""
    cdef void *dx = at(tape.dx, (batch.offset[t] - batch.origin + row) * layer.ldx, layer)
    backward_product(layer, &layer.x, rows, panel, panels, z_at(layer, batch, tape, t, row),
                     dx if layer.cell.mixes_input else layer.zeros,
                     layer.ldx if layer.cell.mixes_input else 0, dx, layer.ldx)


cdef void _backward_part(void *context, int part, int parts) noexcept nogil:
    """The steps, then the gradient of their input while their dZ is in cache; dy and dx are
    copied while they are."""
    cdef const Steps *s = <const Steps *> context
    cdef bint watched = s.tape.flow.remedies != NULL
    cdef Division into = divide(s.layer, s.batch, parts, watched)
    cdef Part mine = share(s.layer, s.batch, &into, part)
    cdef int companions = parts if into.panels > 1 else 1
    cdef Py_ssize_t panels = (s.layer.inputs + s.layer.lanes - 1) // s.layer.lanes, t
    _bring(s, &mine, &s.tape.from_dy, at(s.tape.dy, slot(s.batch, 0) * s.layer.ldh, s.layer),
           s.layer.ldh, s.layer.hidden)
    for t in range(s.last - 1, s.first - 1, -1):
        if watched:
            _watched_products(s.layer, s.batch, s.tape, &mine, t)
        inject(s.layer, s.batch, s.tape, s.boundary, t, &mine)
        if watched:
            enter(s.layer, s.batch, s.tape, t, &mine)
        _backward_step(s.layer, s.batch, s.tape, &mine, t,
                       companions if s.layer.cell.fed else 1)
        if t < 0:
            collect(s.layer, s.batch, s.tape, s.boundary, t, &mine)
    if s.input_gradient:
        s.layer.kernels.wait(companions)
        _for_spans(s, &mine, _input_gradient, 1, panels * mine.first // s.layer.panels,
                   panels * mine.last // s.layer.panels)
        _deliver(s, &mine, s.tape.dx, s.layer.ldx, &s.tape.to_dx, s.layer.inputs)


cdef int backward_layer(const Layer *layer, const Batch *batch, Tape *tape,
                        const Boundary *boundary, bint input_gradient) except -1 nogil:
    """Turn the activations in Z into gradients of the pre-activations, and find that of the
    input if it is wanted. dy is in place, the rings are clear."""
    cdef Py_ssize_t stride = max(even_rows(layer, batch) // max(batch.size, 1), 1)
    cdef int parts = parts_of(layer, batch, tape.flow.remedies != NULL)
    cdef Steps s
    s.layer, s.batch, s.tape, s.boundary = layer, batch, tape, boundary
    s.input_gradient, s.first = input_gradient, batch.steps
    while s.first > -batch.past:
        s.last, s.first = s.first, max(s.first - stride, -batch.past)
        layer.kernels.run_parts(_backward_part, &s, parts)
        if batch.interruptible:
            with gil:
                PyErr_CheckSignals()
    if tape.flow.remedies != NULL:
        finish_flow(layer, batch, &tape.flow)
    return 0
