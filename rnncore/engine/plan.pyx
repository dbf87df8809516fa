"""Plans: a stack of layers with its weights packed for one instruction set and engine.

A plan is never changed after it is made. New weights make a new plan, so that whoever still
runs on the old one (a backward pass, a stream) keeps what it began with.
"""

import numpy

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, strcmp

from rnncore.engine cimport blas
from rnncore.engine.arena cimport Arena, aligned, padded, take
from rnncore.engine.batch cimport address_of
from rnncore.engine.types cimport (
    Arrays, Layer, MAX_TAPS, Matrix, rnn_cell, rnn_kernels, rnn_matrix,
)

from rnncore.engine.spec import choice

cdef extern from "../kernels/kernels.h":
    const rnn_kernels *rnn_find_kernels(const char *isa, Py_ssize_t itemsize)
    const char *const *rnn_isa_names
    const char *rnn_best_isa()

LIMIT_TAPS = MAX_TAPS


def compiled_isas():
    """The instruction sets this build has, best first."""
    names, i = [], 0
    while rnn_isa_names[i] != NULL:
        names.append(rnn_isa_names[i].decode())
        i += 1
    return tuple(names)


def available_isas():
    """The instruction sets this processor can run, best first."""
    return tuple(name for name in compiled_isas() if rnn_find_kernels(name.encode(), 4) != NULL)


def current_isa():
    """The instruction set that new plans use."""
    return choice().isa or rnn_best_isa().decode()


cdef const rnn_kernels *kernels_of(str isa, Py_ssize_t itemsize) except NULL:
    cdef const rnn_kernels *kernels = rnn_find_kernels(isa.encode(), itemsize)
    if kernels == NULL:
        raise ValueError(f"instruction set {isa!r} is not available here, expected one of "
                         f"{', '.join(available_isas())}")
    return kernels


cdef const rnn_cell *_cell_of(const rnn_kernels *kernels, str name) except NULL:
    cdef const rnn_cell *const *cell = kernels.cells
    cdef bytes wanted = name.encode()
    while cell[0] != NULL:
        if strcmp(cell[0].name, wanted) == 0:
            return cell[0]
        cell += 1
    raise ValueError(f"no cell named {name!r}")


def cell_names():
    """The cells of the table."""
    cdef const rnn_kernels *kernels = kernels_of(rnn_best_isa().decode(), 4)
    names, i = [], 0
    while kernels.cells[i] != NULL:
        names.append(kernels.cells[i].name.decode())
        i += 1
    return tuple(names)


def activate(str function, array):
    """Apply the kernels' sigmoid or tanh to a contiguous array, in place; for tests."""
    cdef const rnn_kernels *kernels = kernels_of(current_isa(), array.itemsize)
    cdef unsigned char[::1] view = array.view(numpy.uint8)
    cdef unsigned mode
    if function not in ("sigmoid", "tanh"):
        raise ValueError(f"function is {function!r}, expected 'sigmoid' or 'tanh'")
    mode = kernels.enter()
    (kernels.sigmoid if function == "sigmoid" else kernels.tanh)(array.size, &view[0])
    kernels.leave(mode)


cdef const void *_address(array, Py_ssize_t itemsize) except? NULL:
    """Where a contiguous array of the plan's dtype begins; NULL for None."""
    if array is None:
        return NULL
    return address_of(array, itemsize)


cdef int fill_arrays(Arrays *arrays, tuple given, Py_ssize_t itemsize) except -1:
    """Point at (weight_ih, (weight_hh, ...), bias_ih, bias_hh, unit), any of them None."""
    cdef Py_ssize_t tap
    weight_x, weights_h, bias_x, bias_h, unit = given
    arrays.weight_x = <void *> _address(weight_x, itemsize)
    for tap in range(len(weights_h)):
        arrays.weight_h[tap] = <void *> _address(weights_h[tap], itemsize)
    arrays.bias_x = <void *> _address(bias_x, itemsize)
    arrays.bias_h = <void *> _address(bias_h, itemsize)
    arrays.unit = <void *> _address(unit, itemsize)
    return 0


cdef rnn_matrix _matrix(Layer *layer, Py_ssize_t depth, Py_ssize_t first, Py_ssize_t count,
                        str order):
    """Blocks [first, first + count) of a panel, as rows in the order the user stacks them."""
    cdef rnn_matrix matrix
    cdef Py_ssize_t block
    matrix.hidden, matrix.count = layer.hidden, <int> count
    matrix.depth = matrix.ld = depth
    matrix.begin, matrix.end = 0, layer.hidden
    for block in range(count):
        matrix.row_block[block] = order.find(chr(layer.cell.blocks[first + block]))
    return matrix


cdef void _carve_matrix(Layer *layer, Matrix *matrix, Arena *arena) noexcept:
    cdef Py_ssize_t inner = matrix.shape.depth, item = layer.itemsize
    cdef Py_ssize_t count = matrix.shape.count
    cdef Py_ssize_t inner_panels = (inner + layer.lanes - 1) // layer.lanes
    if layer.blas != NULL:
        matrix.dense = take(arena, inner * layer.ldz * item)
        return
    matrix.forward = take(arena, layer.panels * inner * count * layer.lanes * item)
    matrix.backward = take(arena, inner_panels * count * layer.hidden * layer.lanes * item)


cdef void _carve(Layer *layer, Arena *arena) noexcept:
    cdef Py_ssize_t tap
    _carve_matrix(layer, &layer.x, arena)
    if layer.cell.fed:
        for tap in range(layer.n_taps):
            _carve_matrix(layer, &layer.h[tap], arena)
    if layer.cell.n_stages > 1:
        _carve_matrix(layer, &layer.reset, arena)
    layer.bias = take(arena, layer.ldz * layer.itemsize)
    layer.unit = take(arena, layer.cell.n_units * layer.ldh * layer.itemsize)
    layer.zeros = take(arena, max(layer.ldh, layer.ldx) * layer.itemsize)


cdef void _pack_matrix(Layer *layer, Matrix *matrix, const void *weight) noexcept nogil:
    cdef Py_ssize_t step = matrix.shape.count * layer.lanes, inner = matrix.shape.depth
    if layer.blas != NULL:
        layer.kernels.to_panels(
            &matrix.shape, weight,
            <char *> matrix.dense + matrix.first * layer.lanes * layer.itemsize,
            layer.blocks * layer.lanes, layer.ldz)
        return
    layer.kernels.to_panels(&matrix.shape, weight, matrix.forward, inner * step, step)
    layer.kernels.transpose(&matrix.shape, weight, matrix.backward)


cdef void pack_layer(Layer *layer, const Arrays *weights) noexcept nogil:
    """Pack the weights of a layer into zeros; done anew only by who has its plan alone."""
    cdef Py_ssize_t tap, width = layer.blocks * layer.lanes, item = layer.itemsize
    _pack_matrix(layer, &layer.x, weights.weight_x)
    if layer.cell.fed:
        for tap in range(layer.n_taps):
            _pack_matrix(layer, &layer.h[tap], weights.weight_h[tap])
    if layer.cell.n_stages > 1:
        _pack_matrix(layer, &layer.reset, weights.weight_h[0])
    if weights.bias_x != NULL:
        layer.kernels.to_panels(&layer.bias_x, weights.bias_x, layer.bias, width, 0)
    if weights.bias_h != NULL:
        layer.kernels.to_panels(&layer.bias_h, weights.bias_h, layer.bias, width, 0)
    for tap in range(layer.cell.n_units):
        memcpy(<char *> layer.unit + tap * layer.ldh * item,
               <char *> weights.unit + tap * layer.hidden * item, layer.hidden * item)


cdef class Plan:
    """A stack of layers ready to run.

    Parameters
    ----------
    spec : Spec
    weights : list of tuple
        For each layer and direction (weight_ih, (weight_hh, one per tap), bias_ih, bias_hh,
        per-unit weights), None where there is none; contiguous arrays of the spec's dtype.
    memory : array of bytes, optional
        Where to pack them: zeros, as many as the `bytes` of another plan of this spec.
    """

    def __cinit__(self, spec, list weights, memory=None):
        cdef const rnn_kernels *kernels
        cdef Arena arena
        cdef Arrays arrays
        cdef Py_ssize_t i, count = spec.layers * spec.directions
        self.spec, self.isa, self.engine = spec, current_isa(), choice().engine
        self.n_layers, self.directions = spec.layers, spec.directions
        self.past, self.residual = spec.past, spec.residual
        kernels = kernels_of(self.isa, spec.itemsize)
        self.layers = <Layer *> calloc(count, sizeof(Layer))
        if self.layers == NULL:
            raise MemoryError()
        for i in range(count):
            self.layers[i].kernels = kernels
            self._size(&self.layers[i], spec.width(i // spec.directions))
        self.state = self.layers[0].cell.state.decode()
        arena.base, arena.used = NULL, 0
        for i in range(count):
            _carve(&self.layers[i], &arena)
        self.bytes = arena.used + 64
        self._memory = numpy.zeros(self.bytes, numpy.uint8) if memory is None else memory
        arena.base, arena.used = aligned(self._memory), 0
        for i in range(count):
            _carve(&self.layers[i], &arena)
            fill_arrays(&arrays, weights[i], spec.itemsize)
            pack_layer(&self.layers[i], &arrays)

    def __dealloc__(self):
        free(self.layers)

    cdef void _size(self, Layer *layer, Py_ssize_t inputs) except *:
        """Everything about a layer but its memory."""
        spec = self.spec
        cdef Py_ssize_t item = spec.itemsize, lanes = layer.kernels.lanes, tap
        layer.cell = _cell_of(layer.kernels, spec.cell)
        layer.blas = blas.table() if self.engine == "blas" else NULL
        layer.itemsize, layer.lanes = item, lanes
        layer.inputs, layer.hidden = inputs, spec.hidden
        layer.panels = (layer.hidden + lanes - 1) // lanes
        layer.blocks = len(layer.cell.blocks)
        layer.ldz = padded(layer.panels * layer.blocks * lanes, lanes, item)
        layer.ldh = padded(layer.hidden, lanes, item)
        layer.ldx = padded(inputs, lanes, item)
        layer.lag, layer.past, layer.scale = spec.lag, spec.past, spec.scale
        layer.n_taps = len(spec.taps)
        for tap in range(layer.n_taps):
            layer.taps[tap] = spec.taps[tap]
            layer.h[tap].first = layer.cell.stage[0].first
            layer.h[tap].shape = _matrix(layer, spec.hidden, layer.cell.stage[0].first,
                                         layer.cell.stage[0].count, spec.h_order)
        layer.x.first = layer.cell.x_first
        layer.x.shape = _matrix(layer, inputs, layer.x.first, layer.cell.x_count, spec.x_order)
        if layer.cell.n_stages > 1:
            layer.reset.first = layer.cell.stage[1].first
            layer.reset.shape = _matrix(layer, spec.hidden, layer.reset.first,
                                        layer.cell.stage[1].count, spec.h_order)
        layer.bias_x = _matrix(layer, 1, 0, layer.blocks, spec.x_order)
        layer.bias_h = _matrix(layer, 1, 0, layer.blocks, spec.h_order)
