"""Programs: what a step of a stream does, written down once and replayed.

A program shares the packed weights of its plans and has memory of its own, all of it from the
beginning: a chain is first formed, which says what it consists of, then laid out, as often as
wanted and wherever there is memory.
"""

import numpy

from libc.string cimport memcpy, memset

from rnncore.engine.arena cimport Arena, aligned, padded, take
from rnncore.engine.batch cimport address_of
from rnncore.engine.chain cimport (
    Chain, Stage, clear_rows, get_states, letters, put_states, step_of,
)
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


cdef void _carve_memory(Stage *stage, Py_ssize_t index, Py_ssize_t size,
                        Arena *arena) noexcept nogil:
    cdef const Layer *layer = &stage.layers[index]
    cdef Py_ssize_t row = size * layer.ldh * layer.itemsize
    cdef Memory memory
    memory.h = take(arena, stage.slots * row)
    memory.c = take(arena, stage.slots * row) if layer.cell.state[0] and \
        layer.cell.state[1] == c'c' else NULL
    memory.y = take(arena, stage.slots * row) if layer.cell.output == c'y' else NULL
    memory.rh = take(arena, row) if layer.cell.n_stages > 1 else NULL
    memory.z = take(arena, size * layer.ldz * layer.itemsize)
    memory.handed = take(arena, row) if _hands_copy(stage, index) else NULL
    if arena.base != NULL:
        stage.memory[index] = memory


cdef Block _list_step(Stage *stage, Py_ssize_t size, Py_ssize_t slot, Block x,
                      Arena *arena) noexcept nogil:
    """List the step of a stage that writes a slot; return its output."""
    cdef bint placed = arena.base != NULL
    cdef Block output = x, handed
    cdef Listing listing
    cdef Step step
    cdef Py_ssize_t i
    listing.arena, listing.end = arena, &stage.first[slot] if placed else NULL
    for i in range(stage.n_layers):
        step = step_of(stage, i, size, slot)
        step.x = output
        add_step(&step, &listing)
        output.rows, output.stride = NULL, step.layer.ldh
        if placed:
            output.rows = <char *> at(
                step.memory.y if step.layer.cell.output == c'y' else step.memory.h,
                slot * size * output.stride, step.layer)
        if _hands_copy(stage, i):
            handed.rows, handed.stride = NULL, output.stride
            if placed:
                handed.rows = <char *> step.memory.handed
            add_output(&step, output, handed, _adds_input(stage, i), &listing)
            output = handed
    return output


cdef Block _list_stage(Stage *stage, Py_ssize_t size, Block x, Arena *arena) noexcept nogil:
    """List the steps of a stage with input x; return its output, that of the last slot."""
    cdef Block output = x
    cdef Py_ssize_t i
    for i in range(stage.n_layers):
        _carve_memory(stage, i, size, arena)
    for i in range(stage.slots):
        output = _list_step(stage, size, i, x, arena)
        if arena.base != NULL:
            stage.outputs[i] = output
    return output


cdef void _carve_stages(Chain *chain, Arena *arena) noexcept nogil:
    """Move the stages of a chain to memory of its own."""
    cdef Py_ssize_t i, size = chain.n_stages * sizeof(Stage)
    cdef Stage *stages = <Stage *> take(arena, size)
    cdef Stage *stage
    cdef void *memory
    cdef void *first
    cdef void *outputs
    if arena.base != NULL:
        memcpy(stages, chain.stages, size)
        chain.stages = stages
    for i in range(chain.n_stages):
        stage = &chain.stages[i]
        memory = take(arena, stage.n_layers * sizeof(Memory))
        first = take(arena, stage.slots * sizeof(Operation *))
        outputs = take(arena, stage.slots * sizeof(Block))
        if arena.base != NULL:
            stage.now, stage.memory = 0, <Memory *> memory
            stage.first, stage.outputs = <Operation **> first, <Block *> outputs


cdef Py_ssize_t lay_out(const Chain *form, Py_ssize_t size, char *base,
                        Chain *chain) noexcept nogil:
    """Make a chain of `size` rows like `form`, all states zero, with its arrays at `base`,
    which is aligned to a cache line and zeroed; return how many bytes they take. Where base is
    NULL only that is found out."""
    cdef Arena arena
    cdef Py_ssize_t i
    cdef Block x
    chain[0] = form[0]
    chain.size, arena.base, arena.used = size, base, 0
    _carve_stages(chain, &arena)
    chain.x.rows = <char *> take(&arena, size * chain.x.stride * chain.itemsize)
    x = chain.x
    for i in range(chain.n_stages):
        x = _list_stage(&chain.stages[i], size, x, &arena)
    if base != NULL:
        clear_rows(chain, 0, size)
    return arena.used


cdef Py_ssize_t _multiplications(const Stage *stage) noexcept nogil:
    """Of one row, padding included."""
    cdef Py_ssize_t i, count = 0
    cdef const Layer *layer
    for i in range(stage.n_layers):
        layer = &stage.layers[i]
        count += layer.ldz * (layer.inputs + layer.hidden * layer.n_taps)
    return count


cdef void _form_ends(Chain *chain, table) except *:
    """What goes in and out: the widths, and the kernels' way to treat denormals."""
    cdef const Layer *layer
    cdef const unsigned char[:, ::1] symbols
    if chain.n_stages:
        layer = chain.stages[0].layers
        chain.kernels, chain.itemsize, chain.inputs = \
            layer.kernels, layer.itemsize, layer.inputs
        chain.outputs = chain.stages[chain.n_stages - 1].layers.hidden
    else:
        chain.itemsize, chain.inputs = table.itemsize, table.shape[1]
        chain.kernels = kernels_of(current_isa(), chain.itemsize)
        chain.outputs = chain.inputs
    if table is not None:
        symbols = table.view(numpy.uint8)
        chain.table, chain.symbols = <const char *> &symbols[0, 0], symbols.shape[0]
    chain.x.stride = padded(chain.inputs, chain.kernels.lanes, chain.itemsize)


cdef void form_chain(Chain *chain, list plans, table, Stage *stages) except *:
    """What a chain consists of, but for its rows and its arrays: plans of one direction after
    an embedding's table (symbols, width), or None. All of it has to outlive the chain but
    `stages`, one for each plan."""
    cdef Stage *stage
    cdef Plan plan
    cdef Py_ssize_t i
    memset(chain, 0, sizeof(Chain))
    chain.stages, chain.n_stages = stages, len(plans)
    for i, plan in enumerate(plans):
        stage = &stages[i]
        memset(stage, 0, sizeof(Stage))
        stage.layers, stage.n_layers = plan.layers, plan.n_layers
        stage.slots, stage.residual = plan.past + 1, plan.residual
        stage.copies = i + 1 < len(plans)
    _form_ends(chain, table)


cdef class Program:
    """Steps of `size` rows through plans, each of one direction, after an embedding's `table`
    (symbols, width), contiguous, if there is one. All states are zero."""

    def __cinit__(self, list plans, table, Py_ssize_t size):
        cdef Chain form
        cdef Py_ssize_t i, count
        cdef unsigned char[::1] stages = numpy.empty(len(plans) * sizeof(Stage) + 1,
                                                     numpy.uint8)
        self.plans, self.table, self.size = plans, table, size
        form_chain(&form, plans, table, <Stage *> &stages[0])
        count = lay_out(&form, size, NULL, &self.chain)
        self._memory = numpy.zeros(count + 64, numpy.uint8)
        lay_out(&form, size, aligned(self._memory), &self.chain)
        self.work = 0
        for i in range(self.chain.n_stages):
            self.work += size * _multiplications(&self.chain.stages[i])

    def get(self):
        """The states: of each plan a tuple of arrays (layers, D, B, H), newest first; without
        an axis for D where that is 1."""
        cdef Py_ssize_t i
        cdef int letter
        states, item = [], self.chain.itemsize
        for i, plan in enumerate(self.plans):
            past = () if plan.spec.past == 1 else (plan.spec.past,)
            shape = plan.spec.layers, *past, self.size, plan.spec.hidden
            dtype = numpy.float32 if item == 4 else numpy.float64
            states.append(tuple([numpy.empty(shape, dtype) for _ in (<Plan> plan).state]))
            for letter in range(len(states[i])):
                get_states(&self.chain, i, letter,
                           <void *> address_of(states[i][letter], item))
        return states

    def put(self, list states):
        """Set the states to what `get` gave, or to zero for a plan that has None."""
        cdef Py_ssize_t i, item = self.chain.itemsize
        cdef const void *value
        cdef int letter
        for i, state in enumerate(states):
            for letter in range(letters(&self.chain.stages[i])):
                value = NULL
                if state is not None:
                    value = address_of(state[letter], item)
                put_states(&self.chain, i, letter, value)

    def clear(self, Py_ssize_t row):
        """Set the states of one row to zero."""
        clear_rows(&self.chain, row, row + 1)
