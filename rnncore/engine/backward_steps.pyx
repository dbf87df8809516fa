"""The loop over time, backward, for every cell: as the one forward, from the last step."""

from rnncore.engine.batch cimport Patch, slot
from rnncore.engine.cut cimport Cut, advance, begin, cut_step, piece
from rnncore.engine.flow cimport arrive, depart, enter, finish_flow
from rnncore.engine.product cimport at, backward_product
from rnncore.engine.record cimport note
from rnncore.engine.share cimport Division, Part, divide, patch_of, share
from rnncore.engine.states cimport Boundary, collect, inject, ring, z_at
from rnncore.engine.steps cimport (
    CHUNKS, Steps, bring, check_signals, chunk_rows, deliver, for_spans, parts_of,
)
from rnncore.engine.types cimport Batch, Layer, Tape, rnn_panel


cdef inline void _carry(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t,
                        Py_ssize_t row, Py_ssize_t rows, Py_ssize_t panel,
                        Py_ssize_t panels) noexcept nogil:
    """Add what the recurrent products carry back to some rows and panels of step t."""
    cdef void *carried = tape.dc if layer.cell.fed == c'c' else tape.dh
    cdef Py_ssize_t tap, later, living
    carried = at(carried, (ring(layer, batch, t) + row) * layer.ldh, layer)
    for tap in range(layer.n_taps):
        later = t + layer.taps[tap]
        if later < 0 or later >= batch.steps:
            continue
        living = min(batch.live[later] - row, rows)
        if living > 0:
            backward_product(layer, &layer.h[tap], living, panel, panels,
                             z_at(layer, batch, tape, later, row),
                             carried, layer.ldh, carried, layer.ldh)


cdef void _watched_products(const Layer *layer, const Batch *batch, Tape *tape,
                            const Part *part, Py_ssize_t t) noexcept nogil:
    """What is carried back to step t, by whole rows for the remedies to look at: the products
    of all panels come before any of the rest."""
    cdef Cut cut = cut_step(layer, part, batch.live[t] if t >= 0 else batch.size, 1)
    cdef rnn_panel p
    depart(layer, batch, tape, t, part)
    begin(&cut, t)
    while layer.cell.fed and cut.left > 0:
        p = piece(layer, batch, tape, t, &cut)
        _carry(layer, batch, tape, t, cut.row, p.rows, cut.panel, p.panels)
        advance(&cut)
    arrive(layer, batch, tape, t, part)


cdef void _backward_step(const Layer *layer, const Batch *batch, Tape *tape, const Part *part,
                         Py_ssize_t t, int companions) noexcept nogil:
    cdef Cut cut = cut_step(layer, part, batch.live[t] if t >= 0 else batch.size, 1)
    cdef int last = layer.cell.n_stages - 1, stage
    cdef rnn_panel p
    for stage in range(last, -1, -1):
        begin(&cut, t)
        while cut.left > 0:
            p = piece(layer, batch, tape, t, &cut)
            if stage < last:
                backward_product(layer, &layer.reset, p.rows, cut.panel, p.panels,
                                 z_at(layer, batch, tape, t, cut.row), layer.zeros, 0,
                                 at(tape.drh, cut.row * layer.ldh, layer), layer.ldh)
            elif layer.cell.fed and tape.flow.remedies == NULL:
                _carry(layer, batch, tape, t, cut.row, p.rows, cut.panel, p.panels)
            if tape.entering[0] != NULL and stage == last and t >= 0:
                note(layer, batch, tape, t, cut.row, cut.panel, &p)
            if t >= 0 or layer.cell.enters:
                layer.cell.stage[stage].backward(&p)
            advance(&cut)
        layer.kernels.wait(companions)
        if t < 0:
            return


cdef void _input_gradient(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t panel,
                          Py_ssize_t panels, Py_ssize_t t, Py_ssize_t row,
                          Py_ssize_t rows) noexcept nogil:
    """dx = dZ W, onto what the cell itself left there; panels are those of the input."""
    cdef void *dx = at(tape.dx, (batch.offset[t] - batch.origin + row) * layer.ldx, layer)
    backward_product(layer, &layer.x, rows, panel, panels, z_at(layer, batch, tape, t, row),
                     dx if layer.cell.mixes_input else layer.zeros,
                     layer.ldx if layer.cell.mixes_input else 0, dx, layer.ldx)


cdef void _chunk(const Steps *s, const Part *mine, int companions) noexcept nogil:
    """The steps, then the gradient of their input while their dZ is in cache; dy and dx are
    copied while they are."""
    cdef bint watched = s.tape.flow.remedies != NULL
    cdef Patch of_x = patch_of(s.layer, mine, s.layer.inputs)
    cdef Py_ssize_t lanes = s.layer.lanes, t
    bring(s, mine, &s.tape.from_dy, at(s.tape.dy, slot(s.batch, 0) * s.layer.ldh, s.layer),
          s.layer.ldh, s.layer.hidden)
    for t in range(s.last - 1, s.first - 1, -1):
        if watched:
            _watched_products(s.layer, s.batch, s.tape, mine, t)
        inject(s.layer, s.batch, s.tape, s.boundary, t, mine)
        if watched:
            enter(s.layer, s.batch, s.tape, t, mine)
        _backward_step(s.layer, s.batch, s.tape, mine, t,
                       companions if s.layer.cell.fed else 1)
        if t < 0:
            collect(s.layer, s.batch, s.tape, s.boundary, t, mine)
    if s.input_gradient:
        s.layer.kernels.wait(companions)
        for_spans(s, mine, _input_gradient, 1, of_x.first // lanes,
                  (of_x.last + lanes - 1) // lanes)
        deliver(s, mine, s.tape.dx, s.layer.ldx, &s.tape.to_dx, s.layer.inputs)


cdef void _backward_part(void *context, int part, int parts) noexcept nogil:
    cdef const Steps *job = <const Steps *> context
    cdef Steps s = job[0]
    cdef Division into = divide(s.layer, s.batch, parts, s.tape.flow.remedies != NULL)
    cdef Part mine = share(s.layer, s.batch, &into, part)
    cdef int companions = parts if into.panels > 1 else 1
    s.first = s.last
    while s.first > job.first:
        s.first = max(s.last - s.chunk, job.first)
        _chunk(&s, &mine, companions)
        s.last = s.first


cdef int backward_layer(const Layer *layer, const Batch *batch, Tape *tape,
                        const Boundary *boundary, bint input_gradient) except -1 nogil:
    """Turn the activations in Z into gradients of the pre-activations, and find that of the
    input if it is wanted. dy is in place, the rings are clear."""
    cdef int parts = parts_of(layer, batch, tape.flow.remedies != NULL)
    cdef Steps s
    s.layer, s.batch, s.tape, s.boundary = layer, batch, tape, boundary
    s.input_gradient, s.first = input_gradient, batch.steps
    s.chunk = max(chunk_rows(layer, batch) // max(batch.size, 1), 1)
    while s.first > -batch.past:
        s.last, s.first = s.first, max(s.first - CHUNKS * s.chunk, -batch.past)
        layer.kernels.run_parts(_backward_part, &s, parts)
        check_signals(batch)
    if tape.flow.remedies != NULL:
        finish_flow(layer, batch, &tape.flow)
    return 0
