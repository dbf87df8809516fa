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


# How one thread's rows and panels of a step are cut into rectangles of `high` rows and `wide`
# panels, or what is left of them; panels outermost. A walk begins in one corner or the other.
cdef struct Cut:
    Py_ssize_t low, rows, first, last
    Py_ssize_t high, wide, count
    Py_ssize_t far_row, far_panel    # of the last corner
    Py_ssize_t row, panel, left      # where a walk is, and how many are left with that one
    Py_ssize_t down, right           # its steps


cdef inline Py_ssize_t recurrent_vectors(const Layer *layer) noexcept nogil:
    """How many vectors of weights the fed states have in a panel."""
    return layer.h[0].shape.count * layer.n_taps * layer.hidden


cdef inline Py_ssize_t size_of(const Layer *layer, Py_ssize_t vectors) noexcept nogil:
    """The bytes of all panels of so many vectors."""
    return layer.panels * vectors * layer.lanes * layer.itemsize


cdef inline bint some_stay(Py_ssize_t size) noexcept nogil:
    """Whether a good part of so many bytes of weights stays in the first level cache from step
    to step, and not all."""
    return WEIGHTS < size <= 3 * WEIGHTS


cdef inline Py_ssize_t _wide(const Layer *layer, Py_ssize_t rows,
                             Py_ssize_t blocks) noexcept nogil:
    """How many panels a rectangle has: one; four where a panel is one vector. A single row
    wants many weights in flight, and many sums, each of which waits for itself."""
    cdef Py_ssize_t size
    if rows > 1:
        return 4 if blocks == 1 else 1
    size = size_of(layer, recurrent_vectors(layer))
    if blocks == 1:
        return 8 if size <= 2 * WEIGHTS else 4
    return 2 if some_stay(size) else 4


cdef inline Cut cut_step(const Layer *layer, const Part *part, Py_ssize_t live,
                         Py_ssize_t blocks) noexcept nogil:
    """One rectangle for BLAS; natively several, of panels of so many blocks."""
    cdef Cut cut
    cdef Py_ssize_t down, across
    cut.low, cut.rows = part.low, max(min(part.high, live) - part.low, 0)
    cut.first, cut.last = part.first, part.last
    cut.high, cut.wide = ROWS, _wide(layer, cut.rows, blocks)
    if layer.blas != NULL:
        cut.high, cut.wide = max(cut.rows, 1), layer.panels
    down = (cut.rows + cut.high - 1) // cut.high
    across = (cut.last - cut.first + cut.wide - 1) // cut.wide
    cut.count = down * across
    cut.far_row = cut.low + (down - 1) * cut.high
    cut.far_panel = cut.first + (across - 1) * cut.wide
    return cut


cdef inline void begin(Cut *cut, Py_ssize_t t) noexcept nogil:
    """Walk through step t: every other begins with the panels that the one before ended with,
    whose weights are still in cache."""
    cut.left, cut.down, cut.right = cut.count, cut.high, cut.wide
    cut.row, cut.panel = cut.low, cut.first
    if t & 1 and cut.count > 0:
        cut.down, cut.right = -cut.high, -cut.wide
        cut.row, cut.panel = cut.far_row, cut.far_panel


cdef inline void turn(Cut *cut) noexcept nogil:
    """Walk back."""
    cut.left, cut.down, cut.right = cut.count, -cut.down, -cut.right


cdef inline bint advance(Cut *cut) noexcept nogil:
    """Walk on; whether there is anything left."""
    cut.left -= 1
    if cut.left <= 0:
        return False
    cut.row += cut.down
    if not cut.low <= cut.row <= cut.far_row:
        cut.row = cut.low if cut.down > 0 else cut.far_row
        cut.panel += cut.right
    return True


cdef inline void move(const Layer *layer, rnn_panel *p, Py_ssize_t rows, Py_ssize_t past,
                      Py_ssize_t panels) noexcept nogil:
    """Point so many rows further down, `past` in the states of an earlier step, and panels to
    the right; in what the way forward uses."""
    cdef Py_ssize_t unit = panels * layer.lanes
    cdef Py_ssize_t now = rows * layer.ldh + unit, before = past * layer.ldh + unit
    p.z = at(p.z, rows * layer.ldz + unit * layer.blocks, layer)
    p.x = at(p.x, rows * layer.ldx + unit, layer)
    p.unit = at(p.unit, unit, layer)
    p.h_prev, p.c_prev = at(p.h_prev, before, layer), at(p.c_prev, before, layer)
    p.h, p.c, p.y = at(p.h, now, layer), at(p.c, now, layer), at(p.y, now, layer)
    p.rh = at(p.rh, now, layer)


cdef inline rnn_panel piece(const Layer *layer, const Batch *batch, const Tape *tape,
                            Py_ssize_t t, const Cut *cut) noexcept nogil:
    """The rectangle of step t at which a walk is."""
    cdef Py_ssize_t rows = min(cut.high, cut.low + cut.rows - cut.row)
    return rectangle(layer, batch, tape, t, cut.row, rows, cut.panel,
                     min(cut.wide, cut.last - cut.panel))
