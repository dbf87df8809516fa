from rnncore.engine.chain cimport Chain


cdef class Snapshot:
    cdef readonly list parts      # of each layer a Plan; the table of an embedding; None: Last
    cdef readonly list arrays     # of each layer what its Plan is made of: views of `values`
    cdef readonly object values   # (n,) all parameters
    cdef readonly list frozen     # slices of what is not trained
    cdef readonly Py_ssize_t inputs, outputs, symbols, itemsize
    cdef readonly bint one_way, per_step
    cdef Chain form               # of a stream, where one_way
    cdef object _stages
