"""How the rows and panels of one step are cut into rectangles, and where a rectangle's arrays
are.
"""

from rnncore.engine.batch cimport slot
from rnncore.engine.product cimport at
from rnncore.engine.share cimport Part
from rnncore.engine.states cimport ring, step_row
from rnncore.engine.types cimport Batch, Layer, Tape, rnn_panel

cdef enum:
    ROWS = 48              # of a rectangle: its part of Z stays in the first level cache
    WEIGHTS = 52 << 10     # bytes of weights, most of which stay there until the next step


cdef inline rnn_panel rectangle(const Layer *layer, const Batch *batch, const Tape *tape,
                                Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows,
                                Py_ssize_t panel, Py_ssize_t panels) noexcept nogil:
    """Point at some rows and panels of step t. Fields the cell does not use mean nothing."""
    cdef rnn_panel p
    cdef Py_ssize_t unit = panel * layer.lanes
    cdef Py_ssize_t now = (slot(batch, t) + row) * layer.ldh + unit
    cdef Py_ssize_t before = (slot(batch, t - layer.lag) + row) * layer.ldh + unit \
        if t >= 0 and layer.lag else now
    cdef Py_ssize_t carried = 0
    cdef Py_ssize_t live = batch.offset[t] - batch.origin + row if t >= 0 else 0
    if layer.lag:
        carried = (ring(layer, batch, t) + row) * layer.ldh + unit
    p.rows, p.panels, p.blocks, p.scale = rows, panels, layer.blocks, layer.scale
    p.ldz, p.ldh, p.ldx = layer.ldz, layer.ldh, layer.ldx
    p.back = (slot(batch, t) - slot(batch, t - 1)) * layer.ldh
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


# How one thread's rows and panels of one step are cut into rectangles, panels outermost.
cdef struct Cut:
    Py_ssize_t low, rows, first, last, high, wide, row_cuts, count


cdef inline Py_ssize_t in_turn(Py_ssize_t i, Py_ssize_t count, Py_ssize_t step) noexcept nogil:
    """Which of so many rectangles comes as number i: a step begins with the panels that the one
    before ended with, whose weights are still in cache."""
    return count - 1 - i if step & 1 else i


cdef inline bint half_stays(const Layer *layer, Py_ssize_t inner) noexcept nogil:
    """Whether half of a layer's forward weights, `inner` vectors of a block in all, stay in the
    first level cache from step to step, and not all of them."""
    cdef Py_ssize_t fit = WEIGHTS // (inner * layer.lanes * layer.itemsize)
    return fit < layer.panels <= 2 * fit


cdef inline Cut cut_step(const Layer *layer, const Part *part, Py_ssize_t live,
                         Py_ssize_t vectors) noexcept nogil:
    """One rectangle for BLAS. Natively a panel at a time; several for a single row, which
    wants many weights in flight, and where a panel is one vector."""
    cdef Cut cut
    cut.low, cut.rows = part.low, max(min(part.high, live) - part.low, 0)
    cut.first, cut.last = part.first, part.last
    cut.high, cut.wide = ROWS, 4 if cut.rows == 1 or vectors == 1 else 1
    if cut.rows == 1 and vectors > 1 and half_stays(layer, vectors * layer.hidden):
        cut.wide = 2
    if layer.blas != NULL:
        cut.high, cut.wide = max(cut.rows, 1), layer.panels
    cut.row_cuts = (cut.rows + cut.high - 1) // cut.high
    cut.count = cut.row_cuts * ((cut.last - cut.first + cut.wide - 1) // cut.wide)
    return cut


cdef inline rnn_panel piece(const Layer *layer, const Batch *batch, const Tape *tape,
                            Py_ssize_t t, const Cut *cut, Py_ssize_t i, Py_ssize_t *row,
                            Py_ssize_t *panel) noexcept nogil:
    """Rectangle number i of step t, and where it begins."""
    cdef Py_ssize_t place = in_turn(i, cut.count, t)
    cdef Py_ssize_t down = place % cut.row_cuts * cut.high
    row[0], panel[0] = cut.low + down, cut.first + place // cut.row_cuts * cut.wide
    return rectangle(layer, batch, tape, t, row[0], min(cut.high, cut.rows - down), panel[0],
                     min(cut.wide, cut.last - panel[0]))
