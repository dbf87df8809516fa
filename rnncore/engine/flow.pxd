from rnncore.engine.arena cimport Arena
from rnncore.engine.share cimport Part
from rnncore.engine.types cimport Batch, Flow, Layer, Remedies, Tape

cdef void carve_flow(const Layer *layer, const Batch *batch, Tape *tape,
                     Arena *arena) noexcept nogil
cdef void carve_scratch(const Layer *layer, const Batch *batch, const Remedies *remedies,
                        Flow *flow, Arena *arena) noexcept nogil
cdef void begin_flow(const Layer *layer, const Batch *batch, Flow *flow) noexcept nogil
cdef void depart(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t,
                 const Part *part) noexcept nogil
cdef void arrive(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t,
                 const Part *part) noexcept nogil
cdef void enter(const Layer *layer, const Batch *batch, Tape *tape, Py_ssize_t t,
                const Part *part) noexcept nogil
cdef void finish_flow(const Layer *layer, const Batch *batch, Flow *flow) noexcept nogil
