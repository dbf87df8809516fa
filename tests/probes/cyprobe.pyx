"""An extension in Cython on `cimport rnncore`: steps and what they allocate."""

from rnncore cimport RNN_OK, rnn_model, rnn_stream, rnncore_api, rnncore_import

cdef const rnncore_api *rnn = rnncore_import()

cdef extern from *:
    """
    #include <dlfcn.h>
    static long allocated(void)
    {
        long (*count)(void) = (long (*)(void))dlsym(RTLD_DEFAULT, "allocations");
        return count ? count() : 0;
    }
    """
    long allocated() nogil


def run(model, const float[:, ::1] x, float[:, ::1] y):
    """Step from x (T, I) to y (T, K); return the allocations."""
    cdef rnn_model *handle = NULL
    cdef rnn_stream *stream = NULL
    cdef long before
    cdef Py_ssize_t t
    cdef int status = rnn.model_from_python(<void *> model, &handle, NULL, 0)
    if status == RNN_OK:
        status = rnn.stream_create(handle, 1, NULL, 0, &stream)
    with nogil:
        before = allocated()
        for t in range(x.shape[0]):
            status |= rnn.stream_step(stream, &x[t, 0], x.shape[1] * sizeof(float), &y[t, 0],
                                      y.shape[1] * sizeof(float))
        before = allocated() - before
    rnn.stream_close(&stream)
    rnn.model_close(&handle)
    if status != RNN_OK:
        raise ValueError(status)
    return before
