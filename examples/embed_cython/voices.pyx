"""Voices: a trained network that is stepped sample by sample, in a loop without the GIL.

What a sequence call cannot do stands inside the loop: the output is fed back to the input.
Each voice belongs to one thread at a time; all share the weights of one model.
"""

from rnncore cimport (
    RNN_OK, rnn_model, rnn_shape, rnn_status, rnn_stream, rnncore_api, rnncore_import,
)

cdef const rnncore_api *rnn = rnncore_import()


cdef int check(rnn_status status, const char *message=NULL) except -1:
    """Raise what a status says, in the words of the message if there is one."""
    if status != RNN_OK:
        raise ValueError((rnn.status_string(status) if message == NULL else message).decode())
    return 0


cdef class Voice:
    """A stream of a model of two inputs, a sample and the last output, and one output.

    Parameters
    ----------
    model : rnncore.Model
        In float32. Its weights are taken as they are now.
    feedback : float
        How much of the last output is added to the second input.
    """

    cdef rnn_stream *stream
    cdef float last, feedback

    def __cinit__(self, model, float feedback):
        cdef char message[300]
        cdef rnn_model *handle = NULL
        cdef rnn_shape shape
        check(rnn.model_from_python(<void *> model, &handle, message, sizeof(message)), message)
        try:
            shape.struct_size = sizeof(shape)
            check(rnn.model_shape(handle, &shape))
            if shape.x_bytes != 2 * sizeof(float) or shape.y_bytes != sizeof(float):
                raise ValueError("the model does not map two floats to one")
            check(rnn.stream_create(handle, 1, NULL, 0, &self.stream))
        finally:
            rnn.model_close(&handle)  # the stream keeps what it needs
        self.last, self.feedback = 0, feedback

    def __dealloc__(self):
        rnn.stream_close(&self.stream)

    def run(self, const float[::1] samples, float[::1] out):
        """Fill `out` from `samples`, both (T,), without the GIL."""
        cdef rnn_status status
        if out.shape[0] != samples.shape[0]:
            raise ValueError(f"out has {out.shape[0]} samples, expected {samples.shape[0]}")
        with nogil:
            status = self.loop(samples, out)
        check(status)

    cdef rnn_status loop(self, const float[::1] samples, float[::1] out) noexcept nogil:
        cdef float x[2]
        cdef rnn_status status
        cdef Py_ssize_t t
        for t in range(samples.shape[0]):
            x[0], x[1] = samples[t], self.feedback * self.last
            status = rnn.stream_step(self.stream, x, sizeof(x), &self.last, sizeof(float))
            if status != RNN_OK:
                return status
            out[t] = self.last
        return RNN_OK
