from rnncore.engine.types cimport rnn_kernels


cdef double norm_of(const rnn_kernels *kernels, Py_ssize_t n, const void *x) noexcept nogil
