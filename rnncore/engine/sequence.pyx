"""What Python calls: forward, backward and infer over checked arrays.

Arguments are as the layers check them: x (T, B, I) and dy (T, B, H * directions) with
contiguous features, states (layers * directions, D, B, H) contiguous, all of the plan's dtype.
`workspaces` lends the memory of a pass. Below this file nothing can fail but Ctrl-C.
"""

import numpy

cimport numpy as cnp

from rnncore.engine.arena cimport Arena, aligned, take
from rnncore.engine.backward cimport (
    Buffers, backward as run_back, carve_backward, gradients,
)
from rnncore.engine.batch cimport Sequences, address_of, new_array, slot, view_of
from rnncore.engine.plan cimport Plan, fill_arrays
from rnncore.engine.product cimport at
from rnncore.engine.record cimport blocks_of, rows_of
from rnncore.engine.run cimport Run
from rnncore.engine.types cimport Arrays, Layer, Remedies, Tape, View

from rnncore.engine.spec import Record


cdef enum:
    LINE = 64                 # bytes of a cache line, at which the memory of a pass begins
    WINDOW = 1 << 10          # rows of some steps between two layers
    ALONE = 1 << 14           # where nothing is between: what is counted of steps grows


cdef object _dtype(Plan plan):
    return numpy.float32 if plan.spec.itemsize == 4 else numpy.float64


cdef tuple _new_states(Plan plan, Sequences sequences):
    """An array (layers * directions, D, B, H) per letter; without its axis where D is 1."""
    cdef const Layer *layer = plan.layers
    cdef cnp.npy_intp[4] shape
    cdef int axes = 3 if plan.past == 1 else 4
    shape[0], shape[1] = plan.n_layers * plan.directions, plan.past
    shape[axes - 2], shape[axes - 1] = sequences.batch.size, layer.hidden
    return tuple([new_array(axes, shape, layer.itemsize) for _ in plan.state])


cdef object _new_rows(Sequences sequences, Py_ssize_t width, Py_ssize_t itemsize):
    cdef cnp.npy_intp[3] shape
    shape[0], shape[1], shape[2] = sequences.batch.steps, sequences.batch.size, width
    return new_array(3, shape, itemsize)


cdef int _point(const void **pointers, tuple states, Py_ssize_t itemsize) except -1:
    """Point at contiguous arrays of states; NULL for None and for what has no elements."""
    cdef Py_ssize_t letter
    pointers[0] = pointers[1] = NULL
    for letter in range(len(states) if states is not None else 0):
        if states[letter] is not None:
            pointers[letter] = address_of(states[letter], itemsize)
    return 0


def forward(Plan plan, cnp.ndarray x, tuple state, lengths, masks, workspaces, int threads=1,
            bint cells=False):
    """Run a batch and keep what `backward` needs.

    Returns
    -------
    y, final states (a tuple, one array per letter of the cell's state, without the axis of D
    where it is 1, as everywhere here), cell states of all steps (layers * directions, T, B, H)
    or None, and the run.
    """
    cdef Py_ssize_t item = plan.layers.itemsize
    cdef Sequences sequences = Sequences(x.shape[0], x.shape[1], lengths, plan.past, threads)
    cdef Run run = Run(plan, sequences, masks)
    cdef Arena arena
    cdef const void *states[2]
    cdef const void *finals[2]
    cdef View source = view_of(x, item), target
    cdef unsigned mode
    out = _new_rows(sequences, run.width, item)
    final = _new_states(plan, sequences)
    _point(states, state, item)
    _point(finals, final, item)
    target = view_of(out, item)
    arena.base, arena.used = NULL, 0
    run.carve(&arena)
    run.memory = workspaces.take(arena.used + LINE)
    arena.base, arena.used = aligned(run.memory), 0
    run.carve(&arena)
    mode = plan.layers[0].kernels.enter()
    try:
        with nogil:
            run.forward(&source, &target, states, <void **> finals)
    finally:
        plan.layers[0].kernels.leave(mode)
    return out, final, _cell_states(run) if cells else None, run


cdef object _states(Run run, Py_ssize_t index, str letter):
    """A state of every step of one layer and direction."""
    cdef const Layer *layer = &run.plan.layers[index]
    cdef const Tape *tape = &run.tapes[index]
    cdef const void *rows = tape.c if letter == "c" else tape.y if letter == "y" else tape.h
    return rows_of(layer, &run.sequences.batch,
                   at(rows, slot(&run.sequences.batch, 0) * layer.ldh, layer),
                   index % run.plan.directions == 1)


cdef object _cell_states(Run run):
    """c of every step."""
    return numpy.stack([_states(run, index, "c")
                        for index in range(run.plan.n_layers * run.plan.directions)])


def activations(Run run):
    """The activations of every layer and direction, (T, B, G, H) each, the blocks in the order
    of `Spec.blocks`; of a run that has not gone back."""
    cdef Py_ssize_t index
    cdef const Layer *layer
    cdef bint reverse
    found, kept = [], run.memory
    if kept is None:
        raise RuntimeError("the run is used up")
    for index in range(run.plan.n_layers * run.plan.directions):
        layer, reverse = &run.plan.layers[index], index % run.plan.directions == 1
        if layer.cell.enters:  # Z keeps what the state was; f of it is what is fed
            found.append(_states(run, index, "h")[:, :, None])
        else:
            found.append(blocks_of(layer, &run.sequences.batch, &run.tapes[index],
                                   run.plan.spec.blocks, reverse))
    return found


cdef list _records(Run run, list activated, list dx):
    """What a run that went back shows of every layer and direction."""
    cdef Py_ssize_t index
    cdef const Layer *layer
    cdef const Tape *tape
    cdef bint reverse
    cdef int letter
    records = []
    for index in range(len(activated)):
        layer, tape = &run.plan.layers[index], &run.tapes[index]
        reverse = index % run.plan.directions == 1
        dz = blocks_of(layer, &run.sequences.batch, tape, run.plan.spec.blocks, reverse)
        states = tuple([_states(run, index, name) for name in run.plan.state])
        dstates = tuple([dz[:, :, 0] if layer.cell.enters else
                         rows_of(layer, &run.sequences.batch, tape.entering[letter], reverse)
                         for letter in range(len(run.plan.state))])
        records.append(Record(run.plan.spec.blocks, activated[index], states, dstates, dz,
                              dx[index // run.plan.directions]))
    return records


cdef const Remedies *_remedies(Remedies *to, given) except? NULL:
    """`given` as a struct, NULL where nothing is done about the gradient."""
    if given is None or (given.threshold == float("inf") and not given.omega):
        return NULL
    to.threshold, to.ratio, to.omega = given.threshold, given.ratio, given.omega
    to.alpha, to.bound = given.alpha, given.bound
    to.squared, to.mean = given.squared, given.mean
    return to


cdef list _omega(Run run):
    """Omega's value, live terms and terms of every layer and direction."""
    cdef Py_ssize_t index
    return [(run.tapes[index].flow.value, run.tapes[index].flow.live,
             run.tapes[index].flow.terms)
            for index in range(run.plan.n_layers * run.plan.directions)]


cdef Arrays *_carve(Run run, Buffers *buffers, const Remedies *remedies, bint recorded,
                    list grads, list inputs, Arena *arena) except? NULL:
    """The memory of a backward pass; point at the gradients of every layer and direction, and
    of the inputs of every layer that are wanted."""
    cdef Arrays *arrays = <Arrays *> take(arena, len(grads) * sizeof(Arrays))
    cdef Py_ssize_t index
    carve_backward(run, buffers, remedies, recorded, arena)
    if arrays == NULL:
        return NULL
    for index in range(len(grads)):
        fill_arrays(&arrays[index], grads[index], run.item)
    for index in range(len(inputs)):
        buffers.inputs[index].data = NULL
        if inputs[index] is not None:
            buffers.inputs[index] = view_of(inputs[index], run.item)
    return arrays


cdef list _input_gradients(Run run, bint first, bint others):
    """An array for the gradient of the input of every layer, or None."""
    cdef Sequences sequences = run.sequences
    cdef Py_ssize_t index
    shape = sequences.batch.steps, sequences.batch.size
    return [numpy.empty((*shape, run.plan.spec.width(index)), _dtype(run.plan))
            if (others if index else first) else None for index in range(run.plan.n_layers)]


def backward(Run run, dy, tuple dstate, list grads, bint input_grad, workspaces,
             remedies=None):
    """Add the gradients of a run to `grads`, one tuple of arrays per layer and direction as
    Plan takes them.

    Returns
    -------
    dx (None without input_grad), the gradients of the initial states, Omega: a list of
    (value, live terms, terms), one entry per layer and direction; and as many `Record`s, if
    the remedies ask for them. The run is used up.
    """
    cdef Plan plan = run.plan
    cdef Arena arena
    cdef Buffers buffers
    cdef const void *finals[2]
    cdef const void *initials[2]
    cdef View source = view_of(dy, run.item)
    cdef unsigned mode
    cdef Arrays *arrays
    cdef Remedies given
    cdef const Remedies *wanted = _remedies(&given, remedies)
    cdef bint recorded = remedies is not None and remedies.record
    initial = _new_states(plan, run.sequences)
    inputs = _input_gradients(run, input_grad, recorded)
    activated = activations(run) if recorded else []
    kept = run.take_memory()
    if kept is None:
        raise RuntimeError("the run is used up")
    _point(finals, dstate, run.item)
    _point(initials, initial, run.item)
    arena.base, arena.used = NULL, 0
    _carve(run, &buffers, wanted, recorded, grads, inputs, &arena)
    memory = workspaces.take(arena.used + LINE)
    arena.base, arena.used = aligned(memory), 0
    arrays = _carve(run, &buffers, wanted, recorded, grads, inputs, &arena)
    mode = plan.layers[0].kernels.enter()
    try:
        with nogil:
            run_back(run, &buffers, &source, finals, <void **> initials, input_grad)
            gradients(run, arrays)
    finally:
        plan.layers[0].kernels.leave(mode)
    records = _records(run, activated, inputs)
    workspaces.give(memory, kept)
    return inputs[0], initial, _omega(run), records


def infer(Plan plan, cnp.ndarray x, tuple state, lengths, workspaces, int threads=1, out=None):
    """Run a batch keeping nothing but the output and the final states: some steps at a time,
    so that memory does not grow with the number of steps; unless there is a reverse
    direction, which begins at the end."""
    cdef Py_ssize_t first, steps = x.shape[0], size = x.shape[1]
    cdef bint alone = plan.n_layers == 1 and not plan.residual
    cdef Py_ssize_t most = (ALONE if alone else WINDOW) // max(size, 1) + 1
    if plan.directions > 1 or steps <= most:
        return _infer(plan, x, state, lengths, workspaces, threads, out)
    if out is None:
        out = numpy.empty((steps, size, plan.spec.hidden), _dtype(plan))
    for first in range(0, steps, most):
        part = slice(first, first + most)
        left = None if lengths is None else \
            numpy.clip(lengths - first, 0, min(most, steps - first))
        _, state = _infer(plan, x[part], state, left, workspaces, threads, out[part])
    return out, state


cdef tuple _infer(Plan plan, cnp.ndarray x, tuple state, lengths, workspaces, int threads, out):
    cdef Py_ssize_t item = plan.layers.itemsize
    cdef Sequences sequences = Sequences(x.shape[0], x.shape[1], lengths, plan.past, threads)
    cdef Run run = Run(plan, sequences, ())
    cdef Arena arena
    cdef const void *states[2]
    cdef const void *finals[2]
    cdef View source = view_of(x, item), target
    cdef unsigned mode
    if out is None:
        out = _new_rows(sequences, run.width, item)
    final = _new_states(plan, sequences)
    _point(states, state, item)
    _point(finals, final, item)
    target = view_of(out, item)
    arena.base, arena.used = NULL, 0
    run.infer(&source, &target, states, <void **> finals, &arena)
    memory = workspaces.take(arena.used + LINE)
    arena.base, arena.used = aligned(memory), 0
    mode = plan.layers[0].kernels.enter()
    try:
        with nogil:
            run.infer(&source, &target, states, <void **> finals, &arena)
    finally:
        plan.layers[0].kernels.leave(mode)
    workspaces.give(memory)
    return out, final
