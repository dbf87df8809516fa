"""Networks: all layers of a model, with memory for sequences of up to so many steps that is
there from the beginning, in one block. Their passes are in passes.pyx.

A network that learns has parameters of its own, and packs them anew in place.
"""

import numpy

from cpython.buffer cimport PyBUF_WRITE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from rnncore.engine.arena cimport Arena, take
from rnncore.engine.backward cimport Buffers, carve_backward
from rnncore.engine.batch cimport Sequences, address_of, packed_view
from rnncore.engine.plan cimport Plan, fill_arrays, kernels_of, pack_layer
from rnncore.engine.run cimport Run
from rnncore.engine.snapshot cimport Snapshot
from rnncore.engine.types cimport Arrays, Batch, View

from rnncore.engine.plan import current_isa
from rnncore.engine.spec import use
from rnncore.engine.threads import processors


cdef void _take_batch(Batch *batch, Py_ssize_t steps, Py_ssize_t size, Arena *arena) noexcept:
    batch.steps, batch.size = steps, size
    batch.live = <Py_ssize_t *> take(arena, steps * sizeof(Py_ssize_t))
    batch.offset = <Py_ssize_t *> take(arena, (steps + 1) * sizeof(Py_ssize_t))
    batch.length = <Py_ssize_t *> take(arena, size * sizeof(Py_ssize_t))
    batch.place = <Py_ssize_t *> take(arena, size * sizeof(Py_ssize_t))


cdef void _move_arrays(Arrays *arrays, const void *old, void *new) noexcept:
    """Point at the same parameters in another block."""
    cdef void **each = <void **> arrays
    cdef size_t i
    for i in range(sizeof(Arrays) // sizeof(void *)):
        each[i] = moved(each[i], old, new)


cdef class Network:
    """A snapshot ready for `size` rows of up to `steps` steps. It is of no use before `place`
    has given it its memory, of `bytes`, aligned to a cache line and all zeros."""

    def __cinit__(self, Snapshot snapshot, Py_ssize_t steps, Py_ssize_t size, bint training,
                  int threads):
        cdef Py_ssize_t i, rows = steps * size, width = snapshot.inputs
        cdef Batch *batch = &self.all
        cdef Arena arena
        self.snapshot, self.steps, self.size, self.training = snapshot, steps, size, training
        self.item, self.n, self._kept = snapshot.itemsize, snapshot.values.size, []
        self.n_rooms, self.n_frozen = len(snapshot.parts), len(snapshot.frozen)
        self.rooms = <Room *> calloc(self.n_rooms, sizeof(Room))
        if self.rooms == NULL:
            raise MemoryError()
        self.kernels = kernels_of(current_isa(), self.item)
        self.all.threads, self.all.companions = threads, min(threads, <int> processors())
        self.last = self.all
        for i, part in enumerate(snapshot.parts):
            self.rooms[i].batch, self.rooms[i].inputs = batch, width
            if isinstance(part, Plan):
                self._enter(&self.rooms[i], part, rows)
                width = part.spec.width(1)
            elif part is not None:
                width = part.shape[1]
            else:  # what follows the last step of each row are single steps
                batch, rows = &self.last, size
            self.rooms[i].width = width
        arena.base, arena.used = NULL, 0
        self._carve(&arena)
        self.bytes = arena.used

    def __dealloc__(self):
        free(self.rooms)

    cdef void _enter(self, Room *room, Plan plan, Py_ssize_t rows) except *:
        """Prepare the run of a plan; its batch is for now nothing but the largest sizes."""
        cdef Sequences sequences = Sequences(0, 0, None, plan.past, self.all.threads)
        cdef Run run = Run(plan, sequences, ())
        sequences.batch.size, sequences.rows = self.size, rows
        self.kernels = plan.layers.kernels
        self._kept.append(run)
        room.run, room.letters = <void *> run, len(plan.state)
        room.n_layers = plan.n_layers * plan.directions
        room.row_bytes = plan.layers.hidden * self.item
        room.state_bytes = room.n_layers * plan.past * self.size * room.row_bytes

    cdef Py_ssize_t _carve_room(self, Room *room, Arena *arena) except -1:
        """The memory of a layer; return how much scratch its passes take. Where the arrays of a
        pass are is found anew in each, for as many steps as it has."""
        cdef Run run = <Run> room.run
        cdef Arena inferring, backing
        cdef Buffers buffers
        cdef View anywhere = packed_view(NULL, 0)
        cdef Py_ssize_t letter
        for letter in range(room.letters):
            room.states[letter] = take(arena, room.state_bytes)
        inferring.base, inferring.used, backing.base, backing.used = NULL, 0, NULL, 0
        run.infer(&anywhere, &anywhere, NULL, NULL, &inferring)
        if not self.training:
            return inferring.used
        for letter in range(room.letters):
            room.starts[letter] = take(arena, room.state_bytes)
        room.values = <Arrays *> take(arena, room.n_layers * sizeof(Arrays))
        room.grads = <Arrays *> take(arena, room.n_layers * sizeof(Arrays))
        room.packed = <char *> take(arena, run.plan.bytes)
        room.tape = <char *> take(arena, 0)
        run.carve(arena)
        carve_backward(run, &buffers, NULL, False, &backing)
        return max(inferring.used, backing.used)

    cdef void _carve(self, Arena *arena) except *:
        cdef Py_ssize_t rows = self.steps * self.size * self.item, wide = 0, scratch = 0, i
        cdef Py_ssize_t own = self.n * self.item if self.training else 0
        cdef Room *room
        _take_batch(&self.all, self.steps, self.size, arena)
        _take_batch(&self.last, 1, self.size, arena)
        self.values, self.grads, self.momentum = \
            take(arena, own), take(arena, own), take(arena, own)
        self.frozen = <Py_ssize_t *> take(arena, 2 * self.n_frozen * sizeof(Py_ssize_t))
        for i in range(self.n_rooms):
            room = &self.rooms[i]
            wide = max(wide, max(room.inputs, room.width))
            room.y = take(arena, rows * room.width if i < self.n_rooms - 1 else 0)
            if room.run != NULL:
                scratch = max(scratch, self._carve_room(room, arena))
        self.above = take(arena, rows * wide if self.training else 0)
        self.below = take(arena, rows * wide if self.training else 0)
        self.scratch = <char *> take(arena, scratch)

    cdef void place(self, char *memory) except *:
        """Take memory; states are zero, and parameters are the snapshot's."""
        cdef const void *old = address_of(self.snapshot.values, self.item)
        cdef Py_ssize_t i
        cdef Arena arena
        arena.base, arena.used = memory, 0
        self._carve(&arena)
        if self.training:
            memcpy(self.values, old, self.n * self.item)
        for i, part in enumerate(self.snapshot.parts):
            if self.rooms[i].run == NULL and part is not None:
                self.rooms[i].table = <const char *> address_of(part, self.item)
            if self.training and part is not None:
                self._own(&self.rooms[i], part, self.snapshot.arrays[i], old)
        for i, part in enumerate(self.snapshot.frozen):
            self.frozen[2 * i], self.frozen[2 * i + 1] = part.start, part.stop - part.start

    cdef void _own(self, Room *room, part, arrays, const void *old) except *:
        """Have a layer use the network's own parameters: those that `arrays` are of the
        snapshot's, which begin at `old`."""
        cdef Run run
        cdef Py_ssize_t k
        if room.run == NULL:
            room.table = <const char *> moved(address_of(arrays, self.item), old, self.values)
            return
        for k, given in enumerate(arrays):
            fill_arrays(&room.values[k], given, self.item)
            room.grads[k] = room.values[k]
            _move_arrays(&room.values[k], old, self.values)
            _move_arrays(&room.grads[k], old, self.grads)
        run = <Run> room.run
        memory = numpy.frombuffer(
            PyMemoryView_FromMemory(room.packed, run.plan.bytes, PyBUF_WRITE), numpy.uint8)
        with use(isa=part.isa, engine=part.engine):
            run.plan = Plan(part.spec, arrays, memory)

    cdef void repack(self) noexcept nogil:
        """Pack the parameters anew, after they have changed."""
        cdef Py_ssize_t i, k
        cdef Room *room
        for i in range(self.n_rooms):
            room = &self.rooms[i]
            if room.run != NULL:
                memset(room.packed, 0, (<Run> room.run).plan.bytes)
            for k in range(room.n_layers):
                pack_layer(&(<Run> room.run).plan.layers[k], &room.values[k])
