"""The backward pass of a run: layers from last to first, then all weight gradients.

Weight gradients come at the very end, so that an interrupted pass leaves `grads` as it was.
"""

from libc.string cimport memset

from rnncore.engine.arena cimport Arena, padded, take
from rnncore.engine.backward_steps cimport backward_layer
from rnncore.engine.batch cimport load, mirror, packed_view, slot, store
from rnncore.engine.flow cimport begin_flow, carve_flow, carve_scratch
from rnncore.engine.gradient cimport weight_gradients
from rnncore.engine.product cimport at
from rnncore.engine.record cimport carve_record
from rnncore.engine.run cimport Run
from rnncore.engine.states cimport Boundary
from rnncore.engine.types cimport Arrays, Batch, Flow, Layer, Remedies, Tape, View


cdef Py_ssize_t _stride(Run run) noexcept nogil:
    """A row stride for the input and the output of every layer."""
    return padded(max(run.plan.layers[0].inputs, run.width), run.plan.layers[0].lanes, run.item)


cdef void carve_backward(Run run, Buffers *buffers, const Remedies *remedies,
                         bint recorded, Arena *arena) noexcept nogil:
    cdef Py_ssize_t rows = run.sequences.rows, item = run.item, index
    cdef const Batch *batch = &run.sequences.batch
    cdef const Layer *layer = &run.plan.layers[0]
    cdef Py_ssize_t carried = layer.lag * batch.size * layer.ldh * item
    cdef Py_ssize_t wide = _stride(run) * item
    cdef Py_ssize_t columns = layer.lanes - 1  # a BLAS sums all of them in panel order
    cdef Tape shared
    cdef bint watched = remedies != NULL and layer.cell.state[0] != 0
    if layer.blas != NULL:
        columns = max(max(layer.inputs, run.width), layer.hidden)
    shared.dy = take(arena, (batch.past * batch.size + rows) * layer.ldh * item)
    shared.dh, shared.dc = take(arena, carried), take(arena, carried)
    shared.drh = take(arena, batch.size * layer.ldh * item)
    shared.sums = take(arena, (2 + columns) * layer.ldz * item)
    memset(&shared.flow, 0, sizeof(Flow))
    if watched:
        carve_scratch(layer, batch, remedies, &shared.flow, arena)
    for index in range(run.plan.n_layers * run.plan.directions):
        run.tapes[index].flow = shared.flow
        run.tapes[index].dy, run.tapes[index].dh = shared.dy, shared.dh
        if watched:
            carve_flow(layer, batch, &run.tapes[index], arena)
        run.tapes[index].dc, run.tapes[index].drh = shared.dc, shared.drh
        run.tapes[index].sums = shared.sums
        carve_record(layer, batch, recorded, &run.tapes[index], arena)
    buffers.below = take(arena, rows * wide)
    buffers.above = take(arena, rows * wide if run.plan.n_layers > 1
                         or run.composed(run.plan.n_layers - 1) else 0)
    buffers.dx = take(arena, rows * wide if run.plan.directions > 1 else 0)
    buffers.turned = take(arena, rows * wide if run.plan.directions > 1 else 0)
    buffers.inputs = <View *> take(arena, run.plan.n_layers * sizeof(View))


cdef View _enter(Run run, Buffers *buffers, const View *dy) noexcept nogil:
    """The gradient of the last layer's output: the user's, or a packed copy if that layer's
    output is more than that of its one direction."""
    cdef Py_ssize_t last = run.plan.n_layers - 1
    if not run.composed(last):
        return dy[0]
    load(&run.sequences.batch, run.item, dy[0], buffers.above, run.strides[last + 1], run.width)
    return packed_view(buffers.above, run.strides[last + 1])


cdef void _begin(Run run, const Layer *layer, Tape *tape, const View *above,
                 Py_ssize_t direction) noexcept nogil:
    """Say where dy of one direction is; clear what is carried, and all padding."""
    cdef const Batch *batch = &run.sequences.batch
    cdef Py_ssize_t n = layer.hidden
    cdef Py_ssize_t carried = layer.lag * batch.size * layer.ldh * run.item
    memset(tape.dy, 0, slot(batch, 0) * layer.ldh * run.item)
    memset(tape.dh, 0, carried)
    memset(tape.dc, 0, carried)
    memset(tape.drh, 0, batch.size * layer.ldh * run.item)
    if tape.flow.remedies != NULL:
        begin_flow(layer, batch, &tape.flow)
    tape.from_dy = above[0]
    if direction == 1:
        tape.from_dy.data = NULL
        mirror(batch, run.item, at(above.data, n, layer), above.inner,
               at(tape.dy, slot(batch, 0) * layer.ldh, layer), layer.ldh, n, layer.ldh)


cdef void _add_rows(Run run, const Layer *layer, void *to, const void *rows,
                    Py_ssize_t stride) noexcept nogil:
    """Add packed rows to the gradients of a layer's input."""
    cdef Py_ssize_t row
    for row in range(run.sequences.rows):
        layer.kernels.add(layer.inputs, at(to, row * layer.ldx, layer),
                          at(rows, row * stride, layer))


cdef int backward(Run run, Buffers *buffers, const View *dy, const void **finals,
                  void **initials, bint input_grad) except -1 nogil:
    """Run all layers back from the gradient of the output."""
    cdef Py_ssize_t number, direction, index, states
    cdef View above = _enter(run, buffers, dy)
    cdef const Batch *batch = &run.sequences.batch
    cdef const Layer *layer = run.plan.layers
    cdef Tape *tape
    cdef Boundary boundary
    cdef int letter
    cdef bint wanted, whole
    for number in range(run.plan.n_layers - 1, -1, -1):
        run.drop(number, above.data, above.inner)
        wanted = number > 0 or input_grad
        whole = run.plan.directions == 1 and not run.adds_input(number)
        for direction in range(run.plan.directions):
            index = number * run.plan.directions + direction
            layer, tape = &run.plan.layers[index], &run.tapes[index]
            states = index * batch.past * batch.size * layer.hidden
            for letter in range(2):
                boundary.final[letter] = at(finals[letter], states, layer) \
                    if finals[letter] != NULL else NULL
                boundary.initial[letter] = at(initials[letter], states, layer)
            tape.dx = buffers.dx if direction else buffers.below
            tape.to_dx = buffers.inputs[number] if whole else packed_view(NULL, 0)
            _begin(run, layer, tape, &above, direction)
            backward_layer(layer, batch, tape, &boundary, wanted)
            if direction == 1 and wanted:
                mirror(batch, run.item, buffers.dx, layer.ldx, buffers.turned, layer.ldx,
                       layer.inputs, layer.inputs)
                _add_rows(run, layer, buffers.below, buffers.turned, layer.ldx)
        if wanted and run.adds_input(number):
            _add_rows(run, layer, buffers.below, above.data, above.inner)
        if buffers.inputs[number].data != NULL and not whole:
            store(batch, run.item, buffers.below, layer.ldx, buffers.inputs[number],
                  layer.inputs, False)
        buffers.above, buffers.below = buffers.below, buffers.above
        above = packed_view(buffers.above, layer.ldx)
    return 0


cdef void gradients(Run run, Arrays *grads) noexcept nogil:
    """Add the weight gradients of every layer and direction."""
    cdef Py_ssize_t index
    for index in range(run.plan.n_layers * run.plan.directions):
        weight_gradients(&run.plan.layers[index], &run.sequences.batch, &run.tapes[index],
                         &grads[index])
