"""The kernels alone, in a loop below the GIL; see test_kernels.py."""

import numpy

from rnncore.engine.plan cimport kernels_of
from rnncore.engine.types cimport rnn_cell, rnn_kernels, rnn_panel, rnn_product


cdef float[::1] _array(Py_ssize_t n):
    """On a boundary of 64 bytes, as the engine's are."""
    whole = numpy.random.default_rng(0).uniform(0.1, 0.9, n + 32).astype(numpy.float32)
    first = -(whole.ctypes.data // 4) % 16
    return whole[first : first + n]


def product(str isa, Py_ssize_t rows, Py_ssize_t panels, Py_ssize_t blocks, Py_ssize_t depth):
    """A function that multiplies by a packed matrix so many times, and the elements of the
    result."""
    cdef const rnn_kernels *kernels = kernels_of(isa, 4)
    cdef Py_ssize_t lanes = kernels.lanes, row = panels * blocks * lanes
    a, w, c = _array(rows * depth), _array(panels * depth * blocks * lanes), _array(rows * row)

    def run(Py_ssize_t count):
        cdef float[::1] left = a, right = w, sums = c
        cdef rnn_product s
        cdef Py_ssize_t _i
        s.rows, s.panels, s.blocks, s.depth, s.a_blocks = rows, panels, blocks, depth, 1
        s.a, s.a_row, s.a_lane, s.a_panel, s.a_block = &left[0], depth, 1, lanes, 0
        s.a_ahead = 0
        s.w, s.w_panel, s.w_k = &right[0], depth * blocks * lanes, blocks * lanes
        s.start, s.start_row, s.c, s.c_row = &sums[0], row, &sums[0], row
        s.c_panel, s.next, s.more = blocks * lanes, NULL, NULL
        with nogil:
            for _i in range(count):
                kernels.product(&s)

    return run, rows * row


cdef const rnn_cell *_cell(const rnn_kernels *kernels, bytes name) except NULL:
    cdef int i = 0
    while kernels.cells[i] != NULL:
        if kernels.cells[i].name == name:
            return kernels.cells[i]
        i += 1
    raise KeyError(name)


def pointwise(str isa, str name, bint backward, Py_ssize_t rows, Py_ssize_t panels):
    """A function that runs a cell's first pointwise function on a rectangle so many times, and
    the vectors of hidden units that a run has. Values do not matter to the time: they may
    become what they become."""
    cdef const rnn_kernels *kernels = kernels_of(isa, 4)
    cdef const rnn_cell *cell = _cell(kernels, name.encode())
    cdef Py_ssize_t blocks = len(cell.blocks), wide = panels * kernels.lanes
    z = _array(rows * wide * blocks)
    states = [_array(rows * wide) for _ in range(12)]
    unit = _array(3 * wide)

    def run(Py_ssize_t count):
        cdef float[::1] gates = z, units = unit, a
        cdef rnn_panel p
        cdef float *at[12]
        cdef Py_ssize_t i, _i
        cdef unsigned mode = kernels.enter()
        for i in range(12):
            a = states[i]
            at[i] = &a[0]
        p.rows, p.panels, p.blocks, p.back, p.scale = rows, panels, blocks, 0, 1
        p.ldz, p.ldh, p.ldx, p.z, p.unit = wide * blocks, wide, wide, &gates[0], &units[0]
        p.x, p.h_prev, p.c_prev, p.h, p.c, p.y = at[0], at[1], at[2], at[3], at[4], at[5]
        p.rh, p.dy, p.dh, p.dc, p.drh, p.dx = at[6], at[7], at[8], at[9], at[10], at[11]
        with nogil:
            for _i in range(count):
                (cell.stage[0].backward if backward else cell.stage[0].forward)(&p)
        kernels.leave(mode)

    return run, rows * panels
