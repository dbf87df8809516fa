"""The loops over time, forward and backward, for every cell.

A cell enters only as its row of the table. Both loops walk rectangles of rows and panels: the
matrix product of a rectangle, then the cell's pointwise function on it while it is in cache.
"""

from cpython.exc cimport PyErr_CheckSignals

from rnncore.engine.arena cimport Arena, take
from rnncore.engine.batch cimport slot
from rnncore.engine.product cimport at, backward_product, forward_product
from rnncore.engine.states cimport Boundary, collect, inject, ring, step_row
from rnncore.engine.types cimport Batch, Layer, Tape, rnn_panel

cdef enum:
    ROWS = 48              # of a rectangle: its part of Z stays in the first level cache


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


cdef inline rnn_panel _rectangle(const Layer *layer, const Batch *batch, const Tape *tape,
                                 Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows,
                                 Py_ssize_t panel, Py_ssize_t panels) noexcept nogil:
    """Point at some rows and panels of step t. Fields the cell does not use mean nothing."""
    cdef rnn_panel p
    cdef Py_ssize_t unit = panel * layer.lanes
    cdef Py_ssize_t now = (slot(batch, t) + row) * layer.ldh + unit
    cdef Py_ssize_t before = (slot(batch, t - layer.lag) + row) * layer.ldh + unit \
        if t >= 0 and layer.lag else now
    cdef Py_ssize_t carried = (ring(layer, batch, t) + row) * layer.ldh + unit if layer.lag else 0
    cdef Py_ssize_t live = batch.offset[t] - batch.origin + row if t >= 0 else 0
    p.rows, p.panels, p.blocks, p.scale = rows, panels, layer.blocks, layer.scale
    p.ldz, p.ldh, p.ldx = layer.ldz, layer.ldh, layer.ldx
    p.z = at(tape.z, (step_row(layer, batch, t) + row) * layer.ldz + unit * layer.blocks, layer)
    p.x = at(tape.x, live * layer.ldx + unit, layer)
    p.unit = at(layer.unit, unit, layer)
    p.h_prev, p.c_prev = at(tape.h, before, layer), at(tape.c, before, layer)
    p.h, p.c, p.y = at(tape.h, now, layer), at(tape.c, now, layer), at(tape.y, now, layer)
    p.rh = at(tape.rh, live * layer.ldh + unit, layer)
    p.dy = at(tape.dy, now, layer)
    p.dh, p.dc = at(tape.dh, carried, layer), at(tape.dc, carried, layer)
    p.drh = at(tape.drh, row * layer.ldh + unit, layer)
    p.dx = at(tape.dx, live * layer.ldx + unit, layer)
    return p


# How the rows and panels of one step are cut into rectangles, panels outermost.
cdef struct Cut:
    Py_ssize_t rows, panels, high, wide, row_cuts, count


cdef inline Cut _cut(const Layer *layer, Py_ssize_t live, Py_ssize_t vectors) noexcept nogil:
    """One rectangle for BLAS. Natively a panel at a time: several for a single row, which
    wants many weights in flight, and two where a panel is one vector."""
    cdef Cut cut
    cut.rows, cut.panels = live, layer.panels
    cut.high, cut.wide = ROWS, 4 if live == 1 else 2 if vectors == 1 else 1
    if layer.blas != NULL:
        cut.high, cut.wide = max(live, 1), layer.panels
    cut.row_cuts = (live + cut.high - 1) // cut.high
    cut.count = cut.row_cuts * ((layer.panels + cut.wide - 1) // cut.wide)
    return cut


cdef inline rnn_panel _piece(const Layer *layer, const Batch *batch, const Tape *tape,
                             Py_ssize_t t, const Cut *cut, Py_ssize_t i, Py_ssize_t *row,
                             Py_ssize_t *panel) noexcept nogil:
    """Rectangle number i of step t, and where it begins."""
    row[0], panel[0] = i % cut.row_cuts * cut.high, i // cut.row_cuts * cut.wide
    return _rectangle(layer, batch, tape, t, row[0], min(cut.high, cut.rows - row[0]), panel[0],
                      min(cut.wide, cut.panels - panel[0]))


cdef void _forward_step(const Layer *layer, const Batch *batch, Tape *tape,
                        Py_ssize_t t) noexcept nogil:
    cdef Cut cut = _cut(layer, batch.live[t] if t >= 0 else batch.size, layer.blocks)
    cdef Py_ssize_t i, panel = 0, row = 0, tap
    cdef int stage
    cdef rnn_panel p
    cdef void *z
    cdef const void *fed = tape.c if layer.cell.fed == c'c' else tape.h
    for stage in range(layer.cell.n_stages):
        for i in range(cut.count):
            p = _piece(layer, batch, tape, t, &cut, i, &row, &panel)
            z = at(tape.z, (step_row(layer, batch, t) + row) * layer.ldz, layer)
            if stage == 1:
                forward_product(layer, &layer.reset, p.rows, panel, p.panels,
                                at(tape.rh, (batch.offset[t] - batch.origin + row) * layer.ldh,
                                   layer),
                                layer.ldh, z, layer.ldz, z)
            elif layer.cell.fed and t >= 0:
                for tap in range(layer.n_taps):
                    forward_product(layer, &layer.h[tap], p.rows, panel, p.panels,
                                    at(fed, (slot(batch, t - layer.taps[tap]) + row) * layer.ldh,
                                       layer),
                                    layer.ldh, z, layer.ldz, z)
            layer.cell.stage[stage].forward(&p)


cdef int forward_layer(const Layer *layer, const Batch *batch, Tape *tape) except -1 nogil:
    """Run a layer over all steps of a batch; the initial states are in place."""
    cdef Py_ssize_t t = 0, first, rows
    cdef Py_ssize_t most = max(CHUNK // (layer.ldz * layer.itemsize), 1)
    if layer.cell.enters and batch.begun == 0:
        for first in range(batch.past):
            _forward_step(layer, batch, tape, -1 - first)
    while t < batch.steps:
        first, rows = t, 0
        while t < batch.steps and (t == first or rows + batch.live[t] <= most):
            rows += batch.live[t]
            t += 1
        forward_product(layer, &layer.x, rows, 0, layer.panels,
                        at(tape.x, (batch.offset[first] - batch.origin) * tape.ldx, layer),
                        tape.ldx, layer.bias, 0,
                        at(tape.z, step_row(layer, batch, first) * layer.ldz, layer))
        while first < t:
            _forward_step(layer, batch, tape, first)
            first += 1
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
                             at(tape.z, (step_row(layer, batch, later) + row) * layer.ldz, layer),
                             carried, layer.ldh, carried, layer.ldh)


cdef void _backward_step(const Layer *layer, const Batch *batch, Tape *tape,
                         Py_ssize_t t) noexcept nogil:
    cdef Cut cut = _cut(layer, batch.live[t] if t >= 0 else batch.size, 1)
    cdef Py_ssize_t i, panel = 0, row = 0
    cdef int last = layer.cell.n_stages - 1, stage
    cdef rnn_panel p
    for stage in range(last, -1, -1):
        for i in range(cut.count):
            p = _piece(layer, batch, tape, t, &cut, i, &row, &panel)
            if stage < last:
                backward_product(layer, &layer.reset, p.rows, panel, p.panels,
                                 at(tape.z, (step_row(layer, batch, t) + row) * layer.ldz, layer),
                                 layer.zeros, 0, at(tape.drh, row * layer.ldh, layer), layer.ldh)
            elif layer.cell.fed:
                _carry(layer, batch, tape, t, row, p.rows, panel, p.panels)
            if t >= 0 or layer.cell.enters:
                layer.cell.stage[stage].backward(&p)
        if t < 0:
            return


cdef int backward_layer(const Layer *layer, const Batch *batch, Tape *tape,
                        const Boundary *boundary) except -1 nogil:
    """Turn the activations in Z into gradients of the pre-activations. dy is in place, the
    rings are clear."""
    cdef Py_ssize_t t = batch.steps, checked = t
    while t > -batch.past:
        t -= 1
        inject(layer, batch, tape, boundary, t)
        _backward_step(layer, batch, tape, t)
        if t < 0:
            collect(layer, batch, tape, boundary, t)
        if (checked - t) * batch.size * layer.ldz * layer.itemsize > CHUNK:
            checked = t
            with gil:
                PyErr_CheckSignals()
    return 0


cdef void input_gradient(const Layer *layer, const Batch *batch, Tape *tape) noexcept nogil:
    """dx = dZ W, onto what the cell itself left there."""
    cdef Py_ssize_t panels = (layer.inputs + layer.lanes - 1) // layer.lanes
    cdef Py_ssize_t rows = batch.offset[batch.steps]
    cdef const void *start = tape.dx if layer.cell.mixes_input else layer.zeros
    cdef Py_ssize_t start_row = layer.ldx if layer.cell.mixes_input else 0
    backward_product(layer, &layer.x, rows, 0, panels,
                     at(tape.z, step_row(layer, batch, 0) * layer.ldz, layer),
                     start, start_row, tape.dx, layer.ldx)
