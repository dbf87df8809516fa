"""Loops of steps below the GIL, as a program in Cython has them, through rnncore.h; see
test_stream.py and step_times.py.
"""

from libc.stdint cimport uint32_t

from rnncore cimport RNN_OK, rnn_model, rnn_stream, rnncore_api, rnncore_import

cdef const rnncore_api *rnn = rnncore_import()

cdef extern from *:
    """
    #include <time.h>
    static inline unsigned long long nanoseconds(void)
    {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000000000ull + t.tv_nsec;
    }
    """
    unsigned long long nanoseconds() nogil


cdef class Steps:
    """A stream of one row of a float32 model, stepped from the same x (I) to the same y (K),
    in the caller's floating-point mode if that is to be kept."""

    cdef rnn_stream *stream

    def __cinit__(self, model, bint keep_mode=False):
        cdef rnn_model *handle = NULL
        cdef int status = rnn.model_from_python(<void *> model, &handle, NULL, 0)
        if status == RNN_OK:
            status = rnn.stream_create(handle, 1, NULL, 0, &self.stream)
        rnn.model_close(&handle)
        if status == RNN_OK:
            status = rnn.stream_keep_mode(self.stream, keep_mode)
        if status != RNN_OK:
            raise ValueError(status)

    def __dealloc__(self):
        rnn.stream_close(&self.stream)

    def run(self, const float[::1] x, float[::1] y, Py_ssize_t count):
        """Step so many times."""
        cdef size_t of_x = x.shape[0] * sizeof(float), of_y = y.shape[0] * sizeof(float)
        cdef Py_ssize_t _i
        with nogil:
            for _i in range(count):
                rnn.stream_step(self.stream, &x[0], of_x, &y[0], of_y)

    def times(self, const float[::1] x, float[::1] y, uint32_t[::1] steps, bint idle=False):
        """The nanoseconds of each step, those of the clock's call included; of that call alone
        if `idle`."""
        cdef size_t of_x = x.shape[0] * sizeof(float), of_y = y.shape[0] * sizeof(float)
        cdef unsigned long long before, after
        cdef Py_ssize_t i
        with nogil:
            before = nanoseconds()
            for i in range(steps.shape[0]):
                if not idle:
                    rnn.stream_step(self.stream, &x[0], of_x, &y[0], of_y)
                after = nanoseconds()
                steps[i], before = <uint32_t> (after - before), after
