"""Programs: what a step of a stream does, written down once and replayed.

A program shares the packed weights of its plans and has memory of its own, all of it from the
beginning.
"""

import numpy

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from rnncore.engine.arena cimport Arena, aligned, padded, take
from rnncore.engine.chain cimport Chain, Stage, past_row, put_row, step_of
from rnncore.engine.operations cimport (
    Block, Listing, Memory, Operation, Step, add_output, add_step,
)
from rnncore.engine.plan cimport Plan, kernels_of
from rnncore.engine.product cimport at
from rnncore.engine.types cimport Layer

from rnncore.engine.plan import current_isa


cdef bint _adds_input(const Stage *stage, Py_ssize_t index) noexcept nogil:
    return stage.residual and stage.layers[index].inputs == stage.layers[index].hidden


cdef bint _hands_copy(const Stage *stage, Py_ssize_t index) noexcept nogil:
    """Whether a layer hands on something else than the slot it writes: with its input added, or
    to a stage that would have to know the slot."""
    return _adds_input(stage, index) or \
        (stage.copies and index == stage.n_layers - 1 and stage.slots > 1)


cdef void _carve_memory(const Stage *stage, Py_ssize_t index, Py_ssize_t size,
                        Arena *arena) noexcept nogil:
    cdef const Layer *layer = &stage.layers[index]
    cdef Memory *memory = &stage.memory[index]
    cdef Py_ssize_t row = size * layer.ldh * layer.itemsize
    memory.h = take(arena, stage.slots * row)
    memory.c = take(arena, stage.slots * row) if layer.cell.state[0] and \
        layer.cell.state[1] == c'c' else NULL
    memory.y = take(arena, stage.slots * row) if layer.cell.output == c'y' else NULL
    memory.rh = take(arena, row) if layer.cell.n_stages > 1 else NULL
    memory.z = take(arena, size * layer.ldz * layer.itemsize)
    memory.handed = take(arena, row) if _hands_copy(stage, index) else NULL


cdef Block _list_stage(Stage *stage, Py_ssize_t size, Block x, Arena *arena) noexcept nogil:
    """List the steps of a stage with input x; return its output, that of the last slot."""
    cdef Py_ssize_t i, slot
    cdef Block output, handed
    cdef Listing listing
    cdef Step step
    for i in range(stage.n_layers):
        _carve_memory(stage, i, size, arena)
    output = x
    for slot in range(stage.slots):
        output, listing.arena, listing.end = x, arena, &stage.first[slot]
        for i in range(stage.n_layers):
            step = step_of(stage, i, size, slot)
            step.x = output
            add_step(&step, &listing)
            output.stride = step.layer.ldh
            output.rows = <char *> at(
                step.memory.y if step.layer.cell.output == c'y' else step.memory.h,
                slot * size * output.stride, step.layer)
            if _hands_copy(stage, i):
                handed.rows, handed.stride = <char *> step.memory.handed, output.stride
                add_output(&step, output, handed, _adds_input(stage, i), &listing)
                output = handed
        stage.outputs[slot] = output
    return output


cdef void _list(Chain *chain, Arena *arena) noexcept nogil:
    """Run twice: first to learn the size."""
    cdef Py_ssize_t i
    cdef Block x
    chain.x.rows = <char *> take(arena, chain.size * chain.x.stride * chain.itemsize)
    x = chain.x
    for i in range(chain.n_stages):
        x = _list_stage(&chain.stages[i], chain.size, x, arena)


cdef Py_ssize_t _multiplications(const Stage *stage) noexcept nogil:
    """Of one row, padding included."""
    cdef Py_ssize_t i, count = 0
    cdef const Layer *layer
    for i in range(stage.n_layers):
        layer = &stage.layers[i]
        count += layer.ldz * (layer.inputs + layer.hidden * layer.n_taps)
    return count


cdef class Program:
    """Steps of `size` rows through plans, each of one direction, after an embedding's `table`
    (symbols, width), contiguous, if there is one. All states are zero."""

    def __cinit__(self, list plans, table, Py_ssize_t size):
        cdef Py_ssize_t i
        cdef Plan plan
        cdef Stage *stage
        cdef Chain *chain = &self.chain
        self.plans, self.table, self.size, self.work = plans, table, size, 0
        chain.size = size
        chain.stages = <Stage *> calloc(len(plans) or 1, sizeof(Stage))
        if chain.stages == NULL:
            raise MemoryError()
        for i, plan in enumerate(plans):
            stage, chain.n_stages = &chain.stages[i], i + 1
            stage.layers, stage.n_layers = plan.layers, plan.n_layers
            stage.slots, stage.residual = plan.past + 1, plan.residual
            stage.copies = i + 1 < len(plans)
            stage.memory = <Memory *> calloc(stage.n_layers, sizeof(Memory))
            stage.first = <Operation **> calloc(stage.slots, sizeof(Operation *))
            stage.outputs = <Block *> calloc(stage.slots, sizeof(Block))
            if not (stage.memory and stage.first and stage.outputs):
                raise MemoryError()
            self.work += size * _multiplications(stage)
        self._ends()
        self._allocate()

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.chain.n_stages):
            free(self.chain.stages[i].memory)
            free(self.chain.stages[i].first)
            free(self.chain.stages[i].outputs)
        free(self.chain.stages)

    cdef void _ends(self) except *:
        """What goes in and out: the widths, and the kernels' way to treat denormals."""
        cdef Chain *chain = &self.chain
        cdef const Layer *layer
        cdef const unsigned char[:, ::1] table
        if self.plans:
            layer = chain.stages[0].layers
            chain.kernels, chain.itemsize, chain.inputs = \
                layer.kernels, layer.itemsize, layer.inputs
            chain.outputs = chain.stages[chain.n_stages - 1].layers.hidden
        else:
            chain.itemsize, chain.inputs = self.table.itemsize, self.table.shape[1]
            chain.kernels = kernels_of(current_isa(), chain.itemsize)
            chain.outputs = chain.inputs
        if self.table is not None:
            table = self.table.view(numpy.uint8)
            chain.table, chain.symbols = <const char *> &table[0, 0], table.shape[0]
        chain.x.stride = padded(chain.inputs, chain.kernels.lanes, chain.itemsize)

    cdef void _allocate(self) except *:
        cdef Arena arena
        arena.base, arena.used = NULL, 0
        _list(&self.chain, &arena)
        self._memory = numpy.zeros(arena.used + 64, numpy.uint8)
        arena.base, arena.used = aligned(self._memory), 0
        _list(&self.chain, &arena)
        self.put([None] * len(self.plans))

    def get(self):
        """The states: of each plan a tuple of arrays (layers, D, B, H), newest first."""
        states = []
        for i, plan in enumerate(self.plans):
            shape = plan.spec.layers, plan.spec.past, self.size, plan.spec.hidden
            dtype = numpy.float32 if plan.spec.itemsize == 4 else numpy.float64
            states.append(tuple([numpy.empty(shape, dtype) for _ in (<Plan> plan).state]))
            self._move(i, states[i], False, 0, self.size)
        return states

    def put(self, list states):
        """Set the states to what `get` gave, or to zero for a plan that has None."""
        cdef unsigned mode = self.chain.kernels.enter()
        for i, state in enumerate(states):
            self._move(i, state, True, 0, self.size)
        self.chain.kernels.leave(mode)

    def clear(self, Py_ssize_t row):
        """Set the states of one row to zero."""
        cdef unsigned mode = self.chain.kernels.enter()
        for i in range(self.chain.n_stages):
            self._move(i, None, True, row, row + 1)
        self.chain.kernels.leave(mode)

    cdef void _move(self, Py_ssize_t i, state, bint put, Py_ssize_t begin,
                    Py_ssize_t end) except *:
        """Copy rows of the states of a plan from or to arrays, or zeros in place of None."""
        cdef const Stage *stage = &self.chain.stages[i]
        cdef Py_ssize_t size = stage.layers.hidden * self.chain.itemsize
        cdef Py_ssize_t past = stage.slots - 1, index, back, row, rows
        cdef unsigned char[::1] bytes_
        cdef char *value = NULL
        cdef int letter
        for letter in range(len((<Plan> self.plans[i]).state)):
            if state is not None:
                bytes_ = state[letter].reshape(-1).view(numpy.uint8)
            for index in range(stage.n_layers):
                for back in range(past):
                    for row in range(begin, end):
                        if state is not None:
                            rows = (index * past + back) * self.chain.size + row
                            value = <char *> &bytes_[rows * size]
                        if put:
                            put_row(stage, index, letter, self.chain.size, back, row, value)
                        else:
                            memcpy(value, past_row(stage, index, letter, self.chain.size, back,
                                                   row), size)
