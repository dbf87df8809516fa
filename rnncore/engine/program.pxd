from rnncore.engine.chain cimport Chain, Stage


cdef void form_chain(Chain *chain, list plans, table, Stage *stages) except *
cdef Py_ssize_t lay_out(const Chain *form, Py_ssize_t size, char *base,
                        Chain *chain) noexcept nogil

cdef class Program:
    cdef Chain chain
    cdef readonly list plans
    cdef readonly object table
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t work
    cdef object _memory
