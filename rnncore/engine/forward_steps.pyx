"""The loop over time, forward, for every cell.

A cell enters only as its row of the table. The loop walks rectangles of rows and panels: the
matrix product of a rectangle, then the cell's pointwise function on it while it is in cache.
Threads go through all chunks of a job without waiting for those that work on other rows.
"""

from rnncore.engine.arena cimport Arena, take
from rnncore.engine.batch cimport slot
from rnncore.engine.cut cimport Cut, advance, begin, cut_step, move, piece, turn
from rnncore.engine.product cimport at, forward_operands, forward_product
from rnncore.engine.share cimport Division, Part, divide, share, whole
from rnncore.engine.states cimport get_states, output_rows, shift_states, z_at
from rnncore.engine.steps cimport (
    CHUNKS, Steps, bring, check_signals, chunk_rows, deliver, for_spans, parts_of,
)
from rnncore.engine.types cimport Batch, Layer, MAX_TAPS, Matrix, Tape, rnn_panel, rnn_product


cdef void carve_forward(const Layer *layer, const Batch *batch, Py_ssize_t rows, Tape *tape,
                        Arena *arena) noexcept nogil:
    """The arrays a forward pass over `rows` live rows fills."""
    cdef Py_ssize_t states = batch.past * batch.size + rows, item = layer.itemsize
    tape.z = take(arena, (states if layer.cell.enters else rows) * layer.ldz * item)
    tape.h = take(arena, states * layer.ldh * item)
    tape.c = take(arena, states * layer.ldh * item) if layer.cell.state[0] and \
        layer.cell.state[1] == c'c' else NULL
    tape.y = take(arena, states * layer.ldh * item) if layer.cell.output == c'y' else NULL
    tape.rh = take(arena, rows * layer.ldh * item) if layer.cell.n_stages > 1 else NULL


# One thread on its way through the rectangles of some steps. It goes from each to the next by
# additions: with few rows a rectangle takes no longer than finding out where it is.
cdef struct Walk:
    Cut cut
    rnn_panel panel
    rnn_product products[MAX_TAPS + 1]   # of the taps, and of a second stage


cdef inline rnn_product _anywhere(const Layer *layer, const Matrix *w) noexcept nogil:
    """What all rectangles have in common."""
    return forward_operands(layer, w, 0, 0, 0, NULL, layer.ldh, NULL, layer.ldz, NULL)


cdef void _set_out(Walk *walk, const Steps *s, const Part *mine, Py_ssize_t t) noexcept nogil:
    """Begin with step t, whose live rows are those of the steps after it until told again."""
    cdef const Layer *layer = s.layer
    cdef Py_ssize_t tap
    walk.cut = cut_step(layer, mine, s.batch.live[t] if t >= 0 else s.batch.size, layer.blocks)
    begin(&walk.cut, t * layer.cell.n_stages)  # each stage turns
    walk.panel = piece(layer, s.batch, s.tape, t, &walk.cut)
    for tap in range(layer.n_taps):
        walk.products[tap] = _anywhere(layer, &layer.h[tap])
    walk.products[layer.n_taps] = _anywhere(layer, &layer.reset)


cdef void _to_next_step(Walk *walk, const Layer *layer, const Batch *batch,
                        Py_ssize_t t) noexcept nogil:
    """Go on from step t to the one after it, at the place where the last ended: the weights of
    its panels are still in cache."""
    cdef Py_ssize_t before = t - layer.lag
    move(layer, &walk.panel, batch.live[t],
         batch.live[before] if before >= 0 else batch.size, 0)


cdef inline void _to_next(Walk *walk, const Layer *layer) noexcept nogil:
    """Go on to the next rectangle of a stage; stay at the last."""
    cdef Cut *cut = &walk.cut
    cdef Py_ssize_t row = cut.row, panel = cut.panel
    if advance(cut):
        move(layer, &walk.panel, cut.row - row, cut.row - row, cut.panel - panel)


cdef inline void _multiply(Walk *walk, const Layer *layer, const Matrix *w, rnn_product *p,
                           const void *a) noexcept nogil:
    """Z += a W' in the rectangle where a walk is; `a` points to its first row."""
    cdef const Cut *cut = &walk.cut
    cdef void *z = walk.panel.z
    if layer.blas != NULL:
        forward_product(layer, w, walk.panel.rows, 0, layer.panels, a, layer.ldh, z, layer.ldz,
                        z)
        return
    p.rows, p.panels, p.a = walk.panel.rows, walk.panel.panels, a
    p.w = at(w.forward, cut.panel * p.w_panel, layer)
    p.start = p.c = at(z, w.first * layer.lanes, layer)
    p.next = NULL
    if cut.left > 1 and p.rows == cut.rows:  # what comes next are other panels
        p.next = at(w.forward, (cut.panel + cut.right) * p.w_panel, layer)
    layer.kernels.product(p)


cdef void _forward_step(const Layer *layer, const Batch *batch, Tape *tape, Walk *walk,
                        Py_ssize_t t, int companions) noexcept nogil:
    """One step of one thread, which waits for its companions after each stage."""
    cdef Py_ssize_t tap, row, operand
    cdef int stage
    cdef const void *fed = tape.c if layer.cell.fed == c'c' else tape.h
    for stage in range(layer.cell.n_stages):
        while walk.cut.left > 0:
            row = walk.cut.row
            walk.panel.rows = min(walk.cut.high, walk.cut.low + walk.cut.rows - row)
            walk.panel.panels = min(walk.cut.wide, walk.cut.last - walk.cut.panel)
            if stage == 1:
                operand = batch.offset[t] - batch.origin + row
                _multiply(walk, layer, &layer.reset, &walk.products[layer.n_taps],
                          at(tape.rh, operand * layer.ldh, layer))
            elif layer.cell.fed and t >= 0:
                for tap in range(layer.n_taps):
                    operand = slot(batch, t - layer.taps[tap]) + row
                    _multiply(walk, layer, &layer.h[tap], &walk.products[tap],
                              at(fed, operand * layer.ldh, layer))
            layer.cell.stage[stage].forward(&walk.panel)
            _to_next(walk, layer)
        turn(&walk.cut)
        layer.kernels.wait(companions)


cdef void _input_product(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t panel,
                         Py_ssize_t panels, Py_ssize_t t, Py_ssize_t row,
                         Py_ssize_t rows) noexcept nogil:
    """Z = bias + x W."""
    cdef Py_ssize_t live = batch.offset[t] - batch.origin + row
    forward_product(layer, &layer.x, rows, panel, panels,
                    at(tape.x, live * tape.ldx, layer), tape.ldx, layer.bias, 0,
                    z_at(layer, batch, tape, t, row))


cdef void _chunk(const Steps *s, const Part *mine, int companions) noexcept nogil:
    """The input product, then the steps; x and y are copied while they are in cache."""
    cdef Walk walk
    cdef Py_ssize_t t
    bring(s, mine, &s.tape.from_x, <void *> s.tape.x, s.tape.ldx, s.layer.inputs)
    if s.tape.from_x.data != NULL:
        s.layer.kernels.wait(companions)
    for_spans(s, mine, _input_product, s.layer.blocks, mine.first, mine.last)
    for t in range(s.first, s.last):
        if t <= 0 or t == s.first or s.batch.live[t] != s.batch.live[t - 1]:
            _set_out(&walk, s, mine, t)
        else:
            _to_next_step(&walk, s.layer, s.batch, t - 1)
        _forward_step(s.layer, s.batch, s.tape, &walk, t,
                      companions if s.layer.cell.fed else 1)
    deliver(s, mine, output_rows(s.layer, s.batch, s.tape), s.layer.ldh, &s.tape.to_y,
            s.layer.hidden)


cdef inline Py_ssize_t _end(const Batch *batch, Py_ssize_t t, Py_ssize_t last,
                            Py_ssize_t most) noexcept nogil:
    """Where the steps from t on end that have so many rows at most; one step at least."""
    cdef Py_ssize_t rows = 0
    t = max(t, 0)
    while t < last and rows + batch.live[t] <= most:
        rows += batch.live[t]
        t += 1
    return t


cdef void _remembering_part(const Steps *job, const Part *mine, int companions) noexcept nogil:
    """Every step has a place of its own."""
    cdef Steps s = job[0]
    s.last = s.first
    while s.last < job.last:
        s.last = _end(s.batch, s.first, job.last, s.chunk)
        _chunk(&s, mine, companions)
        s.first = s.last


cdef void _forgetting_part(const Steps *job, const Part *mine, int companions,
                           int parts) noexcept nogil:
    """Each chunk is a batch that takes the place of the one before, whose last states stay.
    Where rows have ended, another thread's rows may have stood there: all wait."""
    cdef Batch run = job.batch[0]
    cdef Tape tape = job.tape[0]
    cdef Steps s = job[0]
    cdef Py_ssize_t t = max(job.first, 0), end
    cdef bint moved = job.last > 0 and job.batch.live[job.last - 1] < job.batch.size
    s.batch, s.tape = &run, &tape
    while True:
        end = _end(job.batch, t, job.last, s.chunk)
        run.live, run.offset = job.batch.live + t, job.batch.offset + t
        run.origin, run.begun, run.steps = run.offset[0], job.batch.begun + t, end - t
        if tape.from_x.data == NULL:
            tape.x = at(job.tape.x, run.origin * tape.ldx, s.layer)
        s.first, s.last = job.first if t == 0 else 0, run.steps
        _chunk(&s, mine, companions)
        get_states(s.layer, &run, &tape, mine, s.finals, s.index)
        if end < job.batch.steps:
            shift_states(s.layer, &run, &tape, mine)
            s.layer.kernels.wait(parts if moved else companions)
        if end == job.last:
            return
        t = end


cdef void _forward_part(void *context, int part, int parts) noexcept nogil:
    cdef const Steps *s = <const Steps *> context
    cdef Division into = divide(s.layer, s.batch, parts, False)
    cdef Part mine = share(s.layer, s.batch, &into, part)
    cdef int companions = parts if into.panels > 1 else 1
    if s.finals == NULL:
        _remembering_part(s, &mine, companions)
    else:
        _forgetting_part(s, &mine, companions, parts)


cdef int _run(Steps *s) except -1 nogil:
    """Run a layer over all steps of a batch, a job after the other."""
    cdef int parts = parts_of(s.layer, s.batch, False)
    s.first, s.last = -s.batch.past if s.layer.cell.enters else 0, 0
    s.chunk = chunk_rows(s.layer, s.batch)
    while True:
        s.last = _end(s.batch, s.first, s.batch.steps, CHUNKS * s.chunk)
        s.layer.kernels.run_parts(_forward_part, s, parts)
        check_signals(s.batch)
        if s.last == s.batch.steps:
            return 0
        s.first = s.last


cdef int forward_layer(const Layer *layer, const Batch *batch, Tape *tape, void **finals,
                       Py_ssize_t index) except -1 nogil:
    """Run a layer over a batch, keeping all its states, and hand out the last; those before are
    in place."""
    cdef Part all_of_it = whole(layer, batch)
    cdef Steps s
    s.layer, s.batch, s.tape, s.finals = layer, batch, tape, NULL
    _run(&s)
    get_states(layer, batch, tape, &all_of_it, finals, index)
    return 0


cdef int infer_layer(const Layer *layer, const Batch *batch, Tape *tape, void **finals,
                     Py_ssize_t index) except -1 nogil:
    """The same with a tape that holds one chunk, and of x no more where it is copied."""
    cdef Steps s
    s.layer, s.batch, s.tape, s.finals, s.index = layer, batch, tape, finals, index
    return _run(&s)
