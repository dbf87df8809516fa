from rnncore.engine.arena cimport Arena
from rnncore.engine.types cimport Layer, rnn_panel, rnn_product


# Something to be done in every step: the head of a larger struct that says to what.
cdef struct Operation:
    void (*run)(const Operation *) noexcept nogil
    Operation *next


# A list of operations under way, and where the memory for them comes from. While only the size
# is asked for, nothing is listed.
cdef struct Listing:
    Arena *arena
    Operation **end


# Rows of memory to be copied; sizes and strides in bytes.
cdef struct Copy:
    Py_ssize_t rows, size, from_stride, to_stride
    const void *source
    void *target


# Some rows and panels of a layer: the bias, where a product cannot begin with it; the products
# of the input and of past states; the pointwise function.
cdef struct Rectangle:
    Operation head
    const Layer *layer
    Copy bias
    Py_ssize_t count
    rnn_product *products
    void (*product)(const rnn_product *) noexcept nogil
    void (*pointwise)(const rnn_panel *) noexcept nogil
    rnn_panel panel


# An output that is handed on, with the layer's input added to it unless that is NULL.
cdef struct Output:
    Operation head
    const Layer *layer
    Copy copy
    const void *x
    Py_ssize_t x_stride


# B rows; the stride in elements.
cdef struct Block:
    char *rows
    Py_ssize_t stride


# What one layer works on. Of a state there is a slot for each past step that is looked at and
# one for the present.
cdef struct Memory:
    void *h                   # (slots, B, ldh)
    void *c
    void *y
    void *rh                  # (B, ldh)
    void *z                   # (B, ldz)
    void *handed              # (B, ldh) what is handed on where that is not h or y


# The step of one layer that writes a slot: its input, and how many rows and slots there are.
cdef struct Step:
    const Layer *layer
    const Memory *memory
    Block x
    Py_ssize_t size, slot, slots


# Some rows and some neighbouring panels; `next` is the panel that follows these, or -1.
cdef struct Span:
    Py_ssize_t row, rows, panel, panels, next


cdef rnn_panel panel_of(const Step *step, const Span *span) noexcept nogil
cdef void add_step(const Step *step, Listing *listing) noexcept nogil
cdef void add_output(const Step *step, Block output, Block target, bint add_input,
                     Listing *listing) noexcept nogil
