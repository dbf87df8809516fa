"""Passes of a network: forwards through all layers, keeping what the backward pass needs or
nothing, and backwards.

What a call to the layers of Python does with arrays that it makes, this does with arrays that
are there. Between layers they are laid out as a user's, (T, B, features). Below the GIL, and
nothing is allocated.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from rnncore.engine.arena cimport Arena
from rnncore.engine.backward cimport (
    Buffers, backward, carve_backward, gradients,
)
from rnncore.engine.batch cimport arrange
from rnncore.engine.network cimport Network, Room, moved
from rnncore.engine.run cimport Run
from rnncore.engine.types cimport Batch, View


cdef inline View _user(const void *data, Py_ssize_t size, Py_ssize_t width) noexcept nogil:
    """An array (T, size, width)."""
    cdef View view
    view.data, view.outer, view.inner, view.packed = <void *> data, size * width, width, False
    return view


cdef void _begin(Room *room, Run run) noexcept nogil:
    """Give a layer the batch of this pass."""
    cdef Py_ssize_t past = run.sequences.batch.past
    run.sequences.batch = room.batch[0]
    run.sequences.batch.past = past
    run.sequences.rows = room.batch.offset[room.batch.steps]
    run.sequences.full = run.sequences.rows == room.batch.steps * room.batch.size


cdef void _run_layer(Network net, Room *room, Run run, const void *x, void *y,
                     bint keep) noexcept nogil:
    """Run a layer; keep what its backward pass needs, or nothing."""
    cdef View source = _user(x, room.batch.size, room.inputs)
    cdef View target = _user(y, room.batch.size, room.width)
    cdef Arena arena
    _begin(room, run)
    arena.base, arena.used = room.tape if keep else net.scratch, 0
    if keep:
        run.carve(&arena)
        run.forward(&source, &target, <const void **> room.states, room.states)
    else:
        run.infer(&source, &target, <const void **> room.states, room.states, &arena)


cdef void _look_up(Network net, Room *room, const int64_t *x, char *y) noexcept nogil:
    """The vectors of symbols x (T, B), 0 past the end of a row."""
    cdef const Batch *batch = room.batch
    cdef Py_ssize_t t, row, place, size = room.width * net.item
    for t in range(batch.steps):
        for row in range(batch.size):
            place = t * batch.size + batch.place[row]
            if t < batch.length[row]:
                memcpy(y + place * size, room.table + x[place] * size, size)
            else:
                memset(y + place * size, 0, size)


cdef void _take_last(Network net, Room *room, const char *x, char *y) noexcept nogil:
    """The last valid step of each row of x (T, B, width), 0 where there is none."""
    cdef const Batch *batch = room.batch
    cdef Py_ssize_t row, place, size = room.width * net.item
    memset(y, 0, batch.size * size)
    for row in range(batch.size):
        place = (batch.length[row] - 1) * batch.size + batch.place[row]
        if batch.length[row] > 0:
            memcpy(y + batch.place[row] * size, x + place * size, size)


cdef void run(Network net, Py_ssize_t steps, const int64_t *lengths, const void *x, void *y,
              bint keep) noexcept nogil:
    """x (T, B, inputs), or symbols (T, B), to y; for a backward pass if `keep`."""
    cdef unsigned mode = net.kernels.enter()
    cdef void *target
    cdef Room *room
    cdef Py_ssize_t i
    net.all.steps, net.symbols, net.ready = steps, <const int64_t *> x, keep
    arrange(&net.all, lengths)
    arrange(&net.last, NULL)
    for i in range(net.n_rooms):
        room = &net.rooms[i]
        target = y if i == net.n_rooms - 1 else room.y
        if room.table != NULL:
            _look_up(net, room, <const int64_t *> x, <char *> target)
        elif room.run == NULL:
            _take_last(net, room, <const char *> x, <char *> target)
        else:
            _run_layer(net, room, <Run> room.run, x, target, keep)
        x = target
    net.kernels.leave(mode)


cdef void _back(Network net, Room *room, Run run, const void *dy, void *dx) noexcept nogil:
    """Add the gradients of a layer; dx may be NULL."""
    cdef View source = _user(dy, room.batch.size, room.width)
    cdef const void *finals[2]
    cdef Buffers buffers
    cdef Arena arena
    finals[0] = finals[1] = NULL
    arena.base, arena.used = net.scratch, 0
    carve_backward(run, &buffers, NULL, False, &arena)
    memset(buffers.inputs, 0, run.plan.n_layers * sizeof(View))
    if dx != NULL:
        buffers.inputs[0] = _user(dx, room.batch.size, room.inputs)
    backward(run, &buffers, &source, finals, room.starts, dx != NULL)
    gradients(run, room.grads)


cdef void _add_vectors(Network net, Room *room, const char *dy) noexcept nogil:
    """Add the gradients of the vectors that were looked up, those of the last step first."""
    cdef const Batch *batch = room.batch
    cdef Py_ssize_t t, row, place, size = room.width * net.item
    cdef char *grads = <char *> moved(room.table, net.values, net.grads)
    for t in range(batch.steps - 1, -1, -1):
        for row in range(batch.live[t] - 1, -1, -1):
            place = t * batch.size + batch.place[row]
            net.kernels.add(room.width, grads + net.symbols[place] * size, dy + place * size)


cdef void _give_last(Network net, Room *room, const char *dy, char *dx) noexcept nogil:
    """The gradient of the last valid steps, 0 elsewhere."""
    cdef const Batch *batch = room.batch
    cdef Py_ssize_t row, place, size = room.width * net.item
    memset(dx, 0, batch.steps * batch.size * size)
    for row in range(batch.size):
        place = (batch.length[row] - 1) * batch.size + batch.place[row]
        if batch.length[row] > 0:
            memcpy(dx + place * size, dy + batch.place[row] * size, size)


cdef void run_back(Network net, const void *dy, void *dx) noexcept nogil:
    """Add to the gradients those of the last pass; dx, unless it is NULL, receives that of
    x."""
    cdef unsigned mode = net.kernels.enter()
    cdef Py_ssize_t i
    cdef void *target
    cdef Room *room
    net.ready = False
    for i in range(net.n_rooms - 1, -1, -1):
        room = &net.rooms[i]
        target = net.below if i > 0 else dx
        if room.table != NULL:
            _add_vectors(net, room, <const char *> dy)
        elif room.run == NULL:
            _give_last(net, room, <const char *> dy, <char *> target)
        else:
            _back(net, room, <Run> room.run, dy, target)
        dy = target
        net.above, net.below = net.below, net.above
    for i in range(net.n_frozen):
        memset(<char *> net.grads + net.frozen[2 * i] * net.item, 0,
               net.frozen[2 * i + 1] * net.item)
    net.kernels.leave(mode)
