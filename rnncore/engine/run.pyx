"""Stacks of layers over batches of sequences: layers, directions, residuals and dropout around
the loops over time.

Between layers, arrays are packed (see batch.pyx) with time running forwards.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from rnncore.engine.arena cimport Arena, padded, take
from rnncore.engine.batch cimport Sequences, load, mirror, packed_view, store, view_of
from rnncore.engine.forward_steps cimport carve_forward, forward_layer, infer_layer
from rnncore.engine.plan cimport Plan
from rnncore.engine.product cimport at
from rnncore.engine.states cimport output_rows, set_states
from rnncore.engine.steps cimport chunk_rows
from rnncore.engine.types cimport Batch, Layer, Tape, View


cdef class Run:
    """One batch on its way through a plan; `masks` are the dropout masks of the layers' outputs
    in the user's layout (T, B, H * directions), scaled."""

    def __cinit__(self, Plan plan, Sequences sequences, masks):
        cdef Py_ssize_t layer, tapes = plan.n_layers * plan.directions, ends = plan.n_layers + 1
        self.plan, self.sequences, self._masks, self.memory = plan, sequences, masks, None
        self.item, self.width = plan.layers.itemsize, plan.layers.hidden * plan.directions
        self.tapes = <Tape *> calloc(1, tapes * sizeof(Tape) + plan.n_layers * sizeof(View)
                                     + ends * (sizeof(void *) + sizeof(Py_ssize_t)))
        if self.tapes == NULL:
            raise MemoryError()
        self.masks = <View *> (self.tapes + tapes)
        self.inputs = <void **> (self.masks + plan.n_layers)
        self.strides = <Py_ssize_t *> (self.inputs + ends)
        for layer in range(len(masks)):
            self.masks[layer] = view_of(masks[layer], self.item)

    def __dealloc__(self):
        free(self.tapes)

    cdef object take_memory(self):
        """What the run keeps, for who asks first: no two passes work on it, whatever threads
        do with a layer."""
        memory, self.memory = self.memory, None
        return memory

    def discard(self, workspaces):
        """Give back the memory of a run that will not go back."""
        memory = self.take_memory()
        if memory is not None:
            workspaces.give(memory)

    cdef bint adds_input(self, Py_ssize_t layer) noexcept nogil:
        """Whether the input of a layer is added to its output."""
        return self.plan.residual and \
            self.plan.layers[layer * self.plan.directions].inputs == self.width

    cdef bint composed(self, Py_ssize_t layer) noexcept nogil:
        """Whether the output of a layer is more than that of its one direction."""
        return self.plan.directions > 1 or self.adds_input(layer) or \
            self.masks[layer].data != NULL

    cdef void carve_output(self, Py_ssize_t layer, Arena *arena) noexcept nogil:
        cdef const Layer *first = &self.plan.layers[0]
        self.strides[layer + 1] = padded(self.width, first.lanes, self.item)
        self.inputs[layer + 1] = take(arena, self.sequences.rows * self.strides[layer + 1]
                                      * self.item)

    cdef void carve(self, Arena *arena) noexcept nogil:
        """The memory of a forward pass that keeps everything for the backward pass."""
        cdef Py_ssize_t layer, index, direction, rows = self.sequences.rows
        cdef const Layer *plan = self.plan.layers
        cdef Tape *tape = self.tapes
        self.strides[0] = plan.ldx
        self.inputs[0] = take(arena, rows * self.strides[0] * self.item)
        for layer in range(self.plan.n_layers):
            for direction in range(self.plan.directions):
                index = layer * self.plan.directions + direction
                plan, tape = &self.plan.layers[index], &self.tapes[index]
                tape.x, tape.ldx = self.inputs[layer], self.strides[layer]
                if direction == 1:
                    tape.x, tape.ldx = take(arena, rows * plan.ldx * self.item), plan.ldx
                carve_forward(plan, &self.sequences.batch, rows, tape, arena)
            if self.composed(layer):
                self.carve_output(layer, arena)
            else:
                self.strides[layer + 1] = plan.ldh
                self.inputs[layer + 1] = output_rows(plan, &self.sequences.batch, tape)

    cdef int forward(self, const View *x, const View *y, const void **states,
                     void **finals) except -1 nogil:
        """Run all layers on an array of the user's."""
        cdef Py_ssize_t layer, index, direction, last = self.plan.n_layers - 1
        cdef const Batch *batch = &self.sequences.batch
        cdef const Layer *plan
        cdef Tape *tape
        cdef View nowhere = packed_view(NULL, 0)
        for layer in range(self.plan.n_layers):
            for direction in range(self.plan.directions):
                index = layer * self.plan.directions + direction
                plan, tape = &self.plan.layers[index], &self.tapes[index]
                tape.from_x = x[0] if index == 0 else nowhere
                tape.to_y = y[0] if layer == last and not self.composed(last) else nowhere
                if direction == 1:
                    mirror(batch, self.item, self.inputs[layer], self.strides[layer],
                           <void *> tape.x, tape.ldx, plan.inputs, plan.ldx)
                set_states(plan, batch, tape, states, index)
                forward_layer(plan, batch, tape, finals, index)
                if self.composed(layer):
                    self.take_output(layer, direction, output_rows(plan, batch, tape), plan.ldh)
            self.finish_output(layer)
        if self.composed(last):
            store(batch, self.item, self.inputs[last + 1], self.strides[last + 1], y[0],
                  self.width, False)
        return 0

    cdef void take_output(self, Py_ssize_t layer, Py_ssize_t direction, const void *rows,
                          Py_ssize_t stride) noexcept nogil:
        """Copy the output of one direction into its columns of the layer's output."""
        cdef const Layer *plan = &self.plan.layers[layer * self.plan.directions]
        cdef Py_ssize_t row, to = self.strides[layer + 1], n = plan.hidden
        cdef void *columns = at(self.inputs[layer + 1], direction * n, plan)
        if direction == 1:
            mirror(&self.sequences.batch, self.item, rows, stride, columns, to, n, to - n)
            return
        for row in range(self.sequences.rows):
            memcpy(at(columns, row * to, plan), at(rows, row * stride, plan), n * self.item)
            memset(at(columns, row * to + n, plan), 0, (to - n) * self.item)

    cdef void finish_output(self, Py_ssize_t layer) noexcept nogil:
        """Add the layer's input, then drop out."""
        cdef const Layer *plan = &self.plan.layers[layer * self.plan.directions]
        cdef Py_ssize_t row
        if self.adds_input(layer):
            for row in range(self.sequences.rows):
                plan.kernels.add(
                    self.width, at(self.inputs[layer + 1], row * self.strides[layer + 1], plan),
                    at(self.inputs[layer], row * self.strides[layer], plan))
        self.drop(layer, self.inputs[layer + 1], self.strides[layer + 1])

    cdef void drop(self, Py_ssize_t layer, void *rows, Py_ssize_t stride) noexcept nogil:
        """Multiply packed rows by the mask of a layer's output."""
        cdef const Layer *plan = &self.plan.layers[0]
        cdef const Batch *batch = &self.sequences.batch
        cdef const View *mask = &self.masks[layer]
        cdef Py_ssize_t t, row
        if mask.data == NULL:
            return
        for t in range(batch.steps):
            for row in range(batch.live[t]):
                plan.kernels.multiply(
                    self.width, at(rows, (batch.offset[t] + row) * stride, plan),
                    at(mask.data, t * mask.outer + batch.place[row] * mask.inner, plan))

    cdef int infer(self, const View *x, const View *y, const void **states, void **finals,
                   Arena *arena) except -1 nogil:
        """Run all layers on an array of the user's, keeping no history; the first call only
        asks for the size. Where they lie as packed rows, x and y are used in place."""
        cdef Py_ssize_t layer, most = 0, begin, last = self.plan.n_layers - 1
        cdef Py_ssize_t rows = self.sequences.rows
        cdef const Batch *batch = &self.sequences.batch
        cdef View nowhere = packed_view(NULL, 0), source = nowhere
        cdef bint in_place = self.sequences.as_packed(x) and \
            not self.plan.layers[0].cell.mixes_input
        cdef bint read_again = self.plan.directions > 1 or self.adds_input(0)
        self.inputs[0], self.strides[0] = x.data, x.inner
        if not in_place:
            self.strides[0] = self.plan.layers[0].ldx
            if not read_again:
                source, rows = x[0], min(rows, chunk_rows(&self.plan.layers[0], batch))
            self.inputs[0] = take(arena, rows * self.strides[0] * self.item)
            if read_again and arena.base != NULL:
                load(batch, self.item, x[0], self.inputs[0], self.strides[0],
                     self.plan.layers[0].inputs)
        for layer in range(self.plan.n_layers):
            if layer == last and self.sequences.as_packed(y):
                self.inputs[last + 1], self.strides[last + 1] = y.data, y.inner
            elif layer < last or self.composed(last):
                self.carve_output(layer, arena)
            begin = arena.used
            self.infer_directions(layer, &source, y, states, finals, arena)
            source = nowhere
            most = max(most, arena.used)
            arena.used = begin
        arena.used = most
        if arena.base != NULL and self.composed(last) and self.inputs[last + 1] != y.data:
            store(batch, self.item, self.inputs[last + 1], self.strides[last + 1], y[0],
                  self.width, False)
        return 0

    cdef int infer_directions(self, Py_ssize_t layer, const View *x, const View *y,
                              const void **states, void **finals,
                              Arena *arena) except -1 nogil:
        """One layer, from where its input is copied if that is elsewhere; take the most memory
        that one of its directions needs."""
        cdef Py_ssize_t rows = self.sequences.rows, begin = arena.used, most = 0
        cdef Py_ssize_t index, direction
        cdef const Batch *batch = &self.sequences.batch
        cdef const Layer *plan
        cdef Tape tape
        cdef void *reversed_x
        cdef void *outputs
        for direction in range(self.plan.directions):
            index = layer * self.plan.directions + direction
            plan, arena.used = &self.plan.layers[index], begin
            tape.x, tape.ldx, tape.from_x = self.inputs[layer], self.strides[layer], x[0]
            tape.to_y = packed_view(self.inputs[layer + 1], self.strides[layer + 1])
            if layer == self.plan.n_layers - 1 and not self.composed(layer):
                tape.to_y = y[0]
            reversed_x = take(arena, rows * plan.ldx * self.item if direction else 0)
            outputs = take(arena, rows * plan.ldh * self.item if direction else 0)
            carve_forward(plan, batch, min(rows, chunk_rows(plan, batch)), &tape, arena)
            most = max(most, arena.used)
            if arena.base == NULL:
                continue
            if direction == 1:
                tape.x, tape.ldx = reversed_x, plan.ldx
                tape.to_y = packed_view(outputs, plan.ldh)
                mirror(batch, self.item, self.inputs[layer], self.strides[layer], reversed_x,
                       plan.ldx, plan.inputs, plan.ldx)
            set_states(plan, batch, &tape, states, index)
            infer_layer(plan, batch, &tape, finals, index)
            if direction == 1:
                self.take_output(layer, 1, outputs, plan.ldh)
        arena.used = most
        if arena.base != NULL:
            self.finish_output(layer)
        return 0
