from rnncore.engine.chain cimport Chain


cdef class Program:
    cdef Chain chain
    cdef readonly list plans
    cdef readonly object table
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t work
    cdef object _memory
    cdef void _ends(self) except *
    cdef void _allocate(self) except *
    cdef void _move(self, Py_ssize_t i, state, bint put, Py_ssize_t begin,
                    Py_ssize_t end) except *
