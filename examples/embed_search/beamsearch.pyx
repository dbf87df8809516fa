"""Beam search: the likeliest continuations of some symbols, in a loop without the GIL.

The loop over time is this program's own, over two sequence plans of one model: the beams of a
step, and those of the next, whose states are copied row by row from the beams they continue.
"""

import numpy as np

from libc.math cimport INFINITY, exp, log
from libc.stdint cimport int64_t

from rnncore cimport (
    RNN_OK, rnn_model, rnn_sequence, rnn_shape, rnn_status, rnncore_api, rnncore_import,
)

cdef const rnncore_api *rnn = rnncore_import()


cdef int check(rnn_status status, const char *message=NULL) except -1:
    """Raise what a status says, in the words of the message if there is one."""
    if status != RNN_OK:
        raise ValueError((rnn.status_string(status) if message == NULL else message).decode())
    return 0


cdef class Search:
    """Beams of a model that predicts the next symbol.

    Parameters
    ----------
    model : rnncore.Model
        In float32, from an Embedding to a width of as many symbols as that has.
    beams : int
        How many continuations are followed.
    """

    cdef rnn_sequence *now
    cdef rnn_sequence *after
    cdef readonly Py_ssize_t beams, symbols

    def __cinit__(self, model, Py_ssize_t beams):
        cdef char message[300]
        cdef rnn_model *handle = NULL
        cdef rnn_shape shape
        check(rnn.model_from_python(<void *> model, &handle, message, sizeof(message)), message)
        try:
            shape.struct_size = sizeof(shape)
            check(rnn.model_shape(handle, &shape))
            if shape.symbols == 0 or shape.symbols != shape.outputs or shape.itemsize != 4 or \
                    not 1 <= beams <= <Py_ssize_t> shape.symbols:
                raise ValueError("this is not a float32 model of more symbols than beams")
            check(rnn.sequence_create(handle, 1, beams, False, 1, NULL, 0, &self.now))
            check(rnn.sequence_create(handle, 1, beams, False, 1, NULL, 0, &self.after))
        finally:
            rnn.model_close(&handle)
        self.beams, self.symbols = beams, shape.symbols

    def __dealloc__(self):
        rnn.sequence_close(&self.now)
        rnn.sequence_close(&self.after)

    def run(self, prompt, Py_ssize_t length):
        """The likeliest continuations of a prompt, (beams, length), best first, and the natural
        logarithms of their probabilities."""
        cdef int64_t[::1] given = np.ascontiguousarray(prompt, np.int64)
        cdef int64_t[:, ::1] parents = np.empty((length, self.beams), np.int64)
        cdef int64_t[:, ::1] found = np.empty((length, self.beams), np.int64)
        cdef double[::1] scores = np.empty(self.beams)
        cdef float[:, ::1] y = np.empty((self.beams, self.symbols), np.float32)
        cdef double[::1] room = np.empty(self.beams)
        cdef int64_t[::1] x = np.empty(self.beams, np.int64)
        cdef rnn_status status
        if not given.shape[0]:
            raise ValueError("prompt is empty, expected a symbol at least")
        with nogil:
            status = self.loop(given, x, y, parents, found, scores, room)
        check(status)
        paths, row = np.empty((self.beams, length), np.int64), np.arange(self.beams)
        for t in range(length - 1, -1, -1):
            paths[:, t] = np.asarray(found)[t, row]
            row = np.asarray(parents)[t, row]
        return paths, np.asarray(scores)

    cdef rnn_status loop(self, int64_t[::1] prompt, int64_t[::1] x, float[:, ::1] y,
                         int64_t[:, ::1] parents, int64_t[:, ::1] found, double[::1] scores,
                         double[::1] best) noexcept nogil:
        cdef rnn_status status = rnn.sequence_reset(self.now)
        cdef Py_ssize_t t, beam
        for t in range(prompt.shape[0] if status == RNN_OK else 0):  # all beams are the same
            for beam in range(self.beams):
                x[beam] = prompt[t]
            status = self.step(x, y)
            if status != RNN_OK:
                return status
        for beam in range(self.beams):  # but one counts
            scores[beam] = -INFINITY if beam else 0
        for t in range(found.shape[0] if status == RNN_OK else 0):
            self.choose(y, parents[t], found[t], scores, best)
            for beam in range(self.beams):
                x[beam], scores[beam] = found[t, beam], best[beam]
                rnn.sequence_copy_row(self.after, beam, self.now, parents[t, beam])
            self.now, self.after = self.after, self.now
            status = self.step(x, y)
            if status != RNN_OK:
                return status
        return status

    cdef rnn_status step(self, int64_t[::1] x, float[:, ::1] y) noexcept nogil:
        return rnn.sequence_infer(self.now, 1, NULL, &x[0], self.beams * sizeof(int64_t),
                                  &y[0, 0], self.beams * self.symbols * sizeof(float))

    cdef void choose(self, float[:, ::1] y, int64_t[::1] parents, int64_t[::1] found,
                     double[::1] scores, double[::1] best) noexcept nogil:
        """The best of all beams times all symbols, by insertion into a sorted list."""
        cdef Py_ssize_t beam, symbol, place, count = 0
        cdef double total, score
        for beam in range(self.beams):
            total = 0
            for symbol in range(self.symbols):
                total += exp(y[beam, symbol])
            for symbol in range(self.symbols):
                score = scores[beam] + y[beam, symbol] - log(total)
                if count == self.beams and not score > best[count - 1]:
                    continue
                place = count if count < self.beams else count - 1
                count = place + 1
                while place > 0 and best[place - 1] < score:
                    best[place], found[place], parents[place] = \
                        best[place - 1], found[place - 1], parents[place - 1]
                    place -= 1
                best[place], found[place], parents[place] = score, symbol, beam
