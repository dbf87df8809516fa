"""Chains: the steps of a stream, and the states between them, in C alone.

States lie in rings of slots: a step reads those of the steps before it where they are, and
nothing is moved. Nothing here allocates, and nothing can fail but an unknown symbol.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset, strlen

from rnncore.engine.operations cimport Block, Memory, Operation, Span, Step, panel_of
from rnncore.engine.product cimport at
from rnncore.engine.types cimport Layer, rnn_panel


cdef inline int _check_input(const Chain *chain, const void *x,
                             Py_ssize_t steps) noexcept nogil:
    """-1 where x (T, B) has a symbol that the table has not."""
    cdef const int64_t *symbols = <const int64_t *> x
    cdef Py_ssize_t i
    for i in range(steps * chain.size if chain.table != NULL else 0):
        if not 0 <= symbols[i] < chain.symbols:
            return -1
    return 0


cdef inline void _copy_row(char *to, const char *source, Py_ssize_t size) noexcept nogil:
    """memcpy of words of 4 bytes, without the call: rows of x and y are short."""
    cdef Py_ssize_t i = 0
    while i + 16 <= size:
        memcpy(to + i, source + i, 16)
        i += 16
    while i < size:
        memcpy(to + i, source + i, 4)
        i += 4


cdef inline void _step(Chain *chain, const void *x, void *y) noexcept nogil:
    cdef Py_ssize_t i, row, size = chain.inputs * chain.itemsize
    cdef Py_ssize_t stride = chain.x.stride * chain.itemsize
    cdef const Operation *operation
    cdef Block result = chain.x
    cdef Stage *stage
    for row in range(chain.size):
        _copy_row(chain.x.rows + row * stride,
                  <const char *> x + row * size if chain.table == NULL
                  else chain.table + (<const int64_t *> x)[row] * size, size)
    for i in range(chain.n_stages):
        stage = &chain.stages[i]
        operation = stage.first[stage.now]
        while operation != NULL:
            operation.run(operation)
            operation = operation.next
        result = stage.outputs[stage.now]
        stage.now = stage.now + 1 if stage.now + 1 < stage.slots else 0
    size, stride = chain.outputs * chain.itemsize, result.stride * chain.itemsize
    for row in range(chain.size):
        _copy_row(<char *> y + row * size, result.rows + row * stride, size)


cdef int stream_run(Chain *chain, const void *x, void *y, Py_ssize_t steps,
                    bint keeps_mode) noexcept nogil:
    """Some steps of all rows: x (T, B, I), or the symbols (T, B) of an embedding, to y
    (T, B, K), which may be the same memory for one step. Returns 0; or -1, with nothing done,
    for an unknown symbol. `keeps_mode` says that denormals are zero already."""
    cdef Py_ssize_t t, item = sizeof(int64_t) if chain.table != NULL else \
        chain.inputs * chain.itemsize
    cdef Py_ssize_t target = chain.size * chain.outputs * chain.itemsize
    cdef unsigned mode = 0
    if _check_input(chain, x, steps) < 0:
        return -1
    if not keeps_mode:
        mode = chain.kernels.enter()
    for t in range(steps):
        _step(chain, <const char *> x + t * chain.size * item, <char *> y + t * target)
    if not keeps_mode:
        chain.kernels.leave(mode)
    return 0


cdef Step step_of(const Stage *stage, Py_ssize_t index, Py_ssize_t size,
                  Py_ssize_t slot) noexcept nogil:
    cdef Step step
    step.layer, step.memory = &stage.layers[index], NULL
    if stage.memory != NULL:
        step.memory = &stage.memory[index]
    step.x.rows, step.x.stride = NULL, 0
    step.size, step.slot, step.slots = size, slot, stage.slots
    return step


cdef int letters(const Stage *stage) noexcept nogil:
    """How many states the user knows of a layer."""
    return <int> strlen(stage.layers.cell.state)


cdef inline Py_ssize_t _slot(const Stage *stage, Py_ssize_t back) noexcept nogil:
    """The slot that was written `back` steps before the last."""
    return (stage.now - 1 - back + stage.slots) % stage.slots


cdef void *_past_row(const Stage *stage, Py_ssize_t index, int letter, Py_ssize_t size,
                     Py_ssize_t back, Py_ssize_t row) noexcept nogil:
    """Where a layer has a state of the user's, `back` steps before the last."""
    cdef const Layer *layer = &stage.layers[index]
    cdef const Memory *memory = &stage.memory[index]
    cdef void *state = memory.y if layer.cell.enters else \
        memory.c if layer.cell.state[letter] == c'c' else memory.h
    return at(state, (_slot(stage, back) * size + row) * layer.ldh, layer)


cdef void _put_row(const Stage *stage, Py_ssize_t index, int letter, Py_ssize_t size,
                   Py_ssize_t back, Py_ssize_t row, const void *value) noexcept nogil:
    """Set a row of a state; zeros where NULL. In cells that enter it passes through the
    pointwise function."""
    cdef const Layer *layer = &stage.layers[index]
    cdef Step step = step_of(stage, index, size, _slot(stage, back))
    cdef Py_ssize_t stride = layer.ldz if layer.cell.enters else layer.ldh
    cdef void *to = at(stage.memory[index].z, row * stride, layer) if layer.cell.enters \
        else _past_row(stage, index, letter, size, back, row)
    cdef rnn_panel panel
    cdef Span span
    memset(to, 0, stride * layer.itemsize)
    if value != NULL:
        memcpy(to, value, layer.hidden * layer.itemsize)
    if layer.cell.enters:
        span.row, span.rows, span.panel, span.panels = row, 1, 0, layer.panels
        panel = panel_of(&step, &span)
        layer.cell.stage[0].forward(&panel)


cdef Py_ssize_t state_size(const Chain *chain, Py_ssize_t i) noexcept nogil:
    """The elements of one state of a stage, (layers, D, B, H)."""
    cdef const Stage *stage = &chain.stages[i]
    return stage.n_layers * (stage.slots - 1) * chain.size * stage.layers.hidden


cdef void get_states(const Chain *chain, Py_ssize_t i, int letter,
                     void *values) noexcept nogil:
    """Copy a state of a stage to an array (layers, D, B, H), newest first."""
    cdef const Stage *stage = &chain.stages[i]
    cdef Py_ssize_t size = stage.layers.hidden * chain.itemsize, index, back, row
    cdef char *to = <char *> values
    for index in range(stage.n_layers):
        for back in range(stage.slots - 1):
            for row in range(chain.size):
                memcpy(to, _past_row(stage, index, letter, chain.size, back, row), size)
                to += size


cdef void put_states(const Chain *chain, Py_ssize_t i, int letter,
                     const void *values) noexcept nogil:
    """Set a state of a stage from such an array, or to zero where it is NULL."""
    cdef const Stage *stage = &chain.stages[i]
    cdef Py_ssize_t size = stage.layers.hidden * chain.itemsize, index, back, row
    cdef const char *value = <const char *> values
    cdef unsigned mode = chain.kernels.enter()
    for index in range(stage.n_layers):
        for back in range(stage.slots - 1):
            for row in range(chain.size):
                _put_row(stage, index, letter, chain.size, back, row, value)
                value += size if value != NULL else 0
    chain.kernels.leave(mode)


cdef void clear_rows(const Chain *chain, Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
    """Set the states of some rows to zero."""
    cdef const Stage *stage
    cdef unsigned mode = chain.kernels.enter()
    cdef Py_ssize_t i, index, back, row
    cdef int letter
    for i in range(chain.n_stages):
        stage = &chain.stages[i]
        for letter in range(letters(stage)):
            for index in range(stage.n_layers):
                for back in range(stage.slots - 1):
                    for row in range(begin, end):
                        _put_row(stage, index, letter, chain.size, back, row, NULL)
    chain.kernels.leave(mode)


cdef inline void _copy_slot(const Layer *layer, void *to, Py_ssize_t to_row, const void *source,
                            Py_ssize_t row) noexcept nogil:
    if to != NULL:
        memcpy(at(to, to_row * layer.ldh, layer), at(source, row * layer.ldh, layer),
               layer.ldh * layer.itemsize)


cdef void copy_row(const Chain *to, Py_ssize_t to_row, const Chain *chain,
                   Py_ssize_t row) noexcept nogil:
    """Take over the states of a row of a chain of the same form, bit for bit."""
    cdef Py_ssize_t i, index, back, there, here
    cdef const Memory *memory
    cdef const Memory *mine
    cdef const Layer *layer
    for i in range(chain.n_stages):
        for back in range(chain.stages[i].slots - 1):
            there = _slot(&to.stages[i], back) * to.size + to_row
            here = _slot(&chain.stages[i], back) * chain.size + row
            for index in range(chain.stages[i].n_layers):
                mine, memory = &to.stages[i].memory[index], &chain.stages[i].memory[index]
                layer = &chain.stages[i].layers[index]
                _copy_slot(layer, mine.h, there, memory.h, here)
                _copy_slot(layer, mine.c, there, memory.c, here)
                _copy_slot(layer, mine.y, there, memory.y, here)


cdef bint same_form(const Chain *a, const Chain *b) noexcept nogil:
    """Whether the states of two chains are alike, their rows apart."""
    cdef Py_ssize_t i, index
    cdef const Stage *one
    cdef const Stage *other
    if a.n_stages != b.n_stages or a.kernels != b.kernels:
        return False
    for i in range(a.n_stages):
        one, other = &a.stages[i], &b.stages[i]
        if one.n_layers != other.n_layers or one.slots != other.slots:
            return False
        for index in range(one.n_layers):
            if one.layers[index].cell != other.layers[index].cell or \
                    one.layers[index].hidden != other.layers[index].hidden:
                return False
    return True
