"""What a run can show beside its results, copied out of packed arrays.

The tape of a layer holds its states, and in Z its activations, until the backward pass puts
dZ in their place. A backward pass that is recorded also keeps d_t, all of the gradient of the
carried states that enters step t: what comes from later steps, and dy where the state is the
output. It is noted where the pointwise function of a step is about to read it, so that
recording changes no bit of what is computed, and costs one comparison where it is off.

Arrays are (T, B, ...) with time as the user has it, and 0 past the end of a row.
"""

import numpy

from libc.string cimport memcpy

from rnncore.engine.arena cimport Arena, take
from rnncore.engine.batch cimport store, view_of
from rnncore.engine.product cimport at
from rnncore.engine.states cimport z_at
from rnncore.engine.types cimport Batch, Layer, Tape, rnn_matrix, rnn_panel


cdef void carve_record(const Layer *layer, const Batch *batch, bint wanted, Tape *tape,
                       Arena *arena) noexcept nogil:
    """Room for d_t, or none. Where the state enters the pointwise function, d_t is dZ."""
    cdef Py_ssize_t size = batch.offset[batch.steps] * layer.ldh * layer.itemsize
    cdef int letter
    for letter in range(2):
        tape.entering[letter] = NULL
        if wanted and layer.cell.state[0] and layer.cell.state[letter] and \
                not layer.cell.enters:
            tape.entering[letter] = take(arena, size)


cdef void note(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t, Py_ssize_t row,
               Py_ssize_t panel, const rnn_panel *p) noexcept nogil:
    """Keep what enters a rectangle of step t."""
    cdef Py_ssize_t place = (batch.offset[t] + row) * layer.ldh + panel * layer.lanes
    cdef Py_ssize_t n = p.panels * layer.lanes, i
    cdef const void *carried
    cdef void *to
    cdef int letter
    for letter in range(2):
        if tape.entering[letter] == NULL:
            return
        carried = p.dc if layer.cell.state[letter] == c'c' else p.dh
        for i in range(p.rows):
            to = at(tape.entering[letter], place + i * layer.ldh, layer)
            memcpy(to, at(carried, i * layer.ldh, layer), n * layer.itemsize)
            if layer.cell.state[letter] == layer.cell.output:
                layer.kernels.add(n, to, at(p.dy, i * layer.ldh, layer))


cdef object _empty(const Layer *layer, const Batch *batch, tuple shape):
    return numpy.empty((batch.steps, batch.size, *shape),
                       numpy.float32 if layer.itemsize == 4 else numpy.float64)


cdef object rows_of(const Layer *layer, const Batch *batch, const void *rows, bint reverse):
    """Packed rows (N, ldh) as an array (T, B, H)."""
    every = _empty(layer, batch, (layer.hidden,))
    store(batch, layer.itemsize, rows, layer.ldh, view_of(every, layer.itemsize), layer.hidden,
          reverse)
    return every


cdef object blocks_of(const Layer *layer, const Batch *batch, const Tape *tape, str order,
                      bint reverse):
    """Z as an array (T, B, G, H), its gate blocks in an order given by their letters."""
    cdef Py_ssize_t t, row, wide = layer.blocks * layer.hidden, block
    cdef rnn_matrix unpack
    packed = numpy.empty((batch.offset[batch.steps], wide),
                         numpy.float32 if layer.itemsize == 4 else numpy.float64)
    every = _empty(layer, batch, (wide,))
    cdef char[:, ::1] rows = packed.view(numpy.int8)
    unpack.hidden = unpack.end = layer.hidden
    unpack.depth = unpack.ld = 1
    unpack.begin, unpack.count = 0, <int> layer.blocks
    for block in range(layer.blocks):
        unpack.row_block[block] = order.find(chr(layer.cell.blocks[block]))
    for t in range(batch.steps):
        for row in range(batch.live[t]):
            layer.kernels.from_panels(&unpack, &rows[batch.offset[t] + row, 0],
                                      z_at(layer, batch, tape, t, row),
                                      layer.blocks * layer.lanes, 0)
    if packed.size:
        store(batch, layer.itemsize, &rows[0, 0], wide, view_of(every, layer.itemsize), wide,
              reverse)
    else:
        every[...] = 0
    return every.reshape(batch.steps, batch.size, layer.blocks, layer.hidden)
