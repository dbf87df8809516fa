from rnncore.engine.types cimport Blas

cdef const Blas *table() except NULL
