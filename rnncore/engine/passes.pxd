from libc.stdint cimport int64_t

from rnncore.engine.network cimport Network


cdef void run(Network net, Py_ssize_t steps, const int64_t *lengths, const void *x, void *y,
              bint keep) noexcept nogil
cdef void run_back(Network net, const void *dy, void *dx) noexcept nogil
