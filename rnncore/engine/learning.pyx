"""What sequences made for training can do beside running: gradients, clipping, steps of SGD."""

import numpy

from libc.math cimport isfinite
from libc.string cimport memcpy, memset

from rnncore cimport (
    RNN_ERROR_MODEL, RNN_ERROR_NONFINITE, RNN_ERROR_NULL, RNN_ERROR_ORDER, RNN_ERROR_VALUE,
    RNN_OK, rnn_model, rnn_sequence, rnn_status,
)
from rnncore.engine.flat cimport norm_of
from rnncore.engine.handles cimport (
    SEQUENCE, begin, check, check_apart, check_array, make_model, refuse,
)
from rnncore.engine.network cimport Network
from rnncore.engine.passes cimport run_back
from rnncore.engine.sequence_handles cimport Sequence, check_symbols
from rnncore.engine.types cimport rnn_update

cdef double _CLIP_EPSILON = 1e-6  # as rnncore.clip_norm and torch.nn.utils.clip_grad_norm_


cdef rnn_status _check(const void *sequence) noexcept nogil:
    """Whether a handle is that of a sequence that learns."""
    cdef rnn_status status = check(sequence, SEQUENCE)
    if status == RNN_OK and not (<Network> (<const Sequence *> sequence).network).training:
        status = RNN_ERROR_ORDER
    return status


cdef rnn_status sequence_backward(rnn_sequence *sequence, const void *dy, size_t dy_bytes,
                                  void *dx, size_t dx_bytes) noexcept nogil:
    cdef Sequence *s = <Sequence *> sequence
    cdef rnn_status status = _check(s)
    cdef size_t rows, out
    if status == RNN_OK and not (<Network> s.network).ready:
        status = RNN_ERROR_ORDER
    if status != RNN_OK:
        return status
    rows = (<Network> s.network).all.steps * (<Network> s.network).size
    out = rows if s.model.shape.per_step else <size_t> (<Network> s.network).size
    status = check_array(dy, dy_bytes, out * s.model.shape.y_bytes, s.model.shape.itemsize)
    if status == RNN_OK and dx != NULL:
        if s.model.shape.symbols:
            return RNN_ERROR_MODEL
        status = check_array(dx, dx_bytes, rows * s.model.shape.x_bytes,
                             s.model.shape.itemsize)
        if status == RNN_OK:
            status = check_apart(dy, dy_bytes, dx, dx_bytes)
    if status == RNN_OK:  # the symbols may be others by now
        status = check_symbols(s.model, (<Network> s.network).symbols, rows)
    if status == RNN_OK:
        run_back(<Network> s.network, dy, dx)
    return status


cdef rnn_status sequence_clip_norm(rnn_sequence *sequence, double max_norm,
                                   double *norm) noexcept nogil:
    cdef Sequence *s = <Sequence *> sequence
    cdef rnn_status status = _check(s)
    cdef double found, factor
    if status != RNN_OK:
        return status
    if not max_norm > 0:
        return RNN_ERROR_VALUE
    found = norm_of((<Network> s.network).kernels, (<Network> s.network).n,
                    (<Network> s.network).grads)
    if norm != NULL:
        norm[0] = found
    if not isfinite(found):
        return RNN_ERROR_NONFINITE
    factor = max_norm / (found + _CLIP_EPSILON)
    if factor < 1:
        (<Network> s.network).kernels.scale((<Network> s.network).n,
                                            (<Network> s.network).grads, factor)
    return RNN_OK


cdef rnn_status sequence_sgd(rnn_sequence *sequence, double lr, double momentum) noexcept nogil:
    cdef Sequence *s = <Sequence *> sequence
    cdef rnn_status status = _check(s)
    cdef rnn_update step
    cdef unsigned mode
    if status != RNN_OK:
        return status
    if not (0 <= lr and isfinite(lr) and 0 <= momentum < 1):
        return RNN_ERROR_VALUE
    memset(&step, 0, sizeof(step))
    step.n, step.lr, step.beta1 = (<Network> s.network).n, lr, momentum
    step.w, step.g = (<Network> s.network).values, (<Network> s.network).grads
    if momentum > 0:
        step.state[0] = (<Network> s.network).momentum
    mode = (<Network> s.network).kernels.enter()
    (<Network> s.network).kernels.sgd(&step)
    (<Network> s.network).kernels.leave(mode)
    memset((<Network> s.network).grads, 0, step.n * (<Network> s.network).item)
    (<Network> s.network).ready = False
    (<Network> s.network).repack()
    return RNN_OK


cdef rnn_status sequence_get_parameters(const rnn_sequence *sequence, void *values,
                                        size_t bytes) noexcept nogil:
    cdef const Sequence *s = <const Sequence *> sequence
    cdef rnn_status status = _check(s)
    if status == RNN_OK:
        status = check_array(values, bytes, (<Network> s.network).n * s.model.shape.itemsize,
                             s.model.shape.itemsize)
    if status == RNN_OK:
        memcpy(values, (<Network> s.network).values, bytes)
    return status


cdef rnn_status sequence_set_parameters(rnn_sequence *sequence, const void *values,
                                        size_t bytes) noexcept nogil:
    cdef Sequence *s = <Sequence *> sequence
    cdef rnn_status status = _check(s)
    if status == RNN_OK:
        status = check_array(values, bytes, (<Network> s.network).n * s.model.shape.itemsize,
                             s.model.shape.itemsize)
    if status == RNN_OK:
        memcpy((<Network> s.network).values, values, bytes)
        (<Network> s.network).ready = False
        (<Network> s.network).repack()
    return status


cdef rnn_status sequence_gradients(rnn_sequence *sequence, void **gradients,
                                   size_t *bytes) noexcept nogil:
    cdef Sequence *s = <Sequence *> sequence
    cdef rnn_status status = _check(s)
    if status == RNN_OK and (gradients == NULL or bytes == NULL):
        status = RNN_ERROR_NULL
    if status == RNN_OK:
        gradients[0] = (<Network> s.network).grads
        bytes[0] = (<Network> s.network).n * s.model.shape.itemsize
    return status


cdef object _learned(Network network):
    """A snapshot of the parameters that a network has now."""
    values = numpy.empty_like(network.snapshot.values)
    cdef unsigned char[::1] view = values.view(numpy.uint8)
    memcpy(&view[0], network.values, network.n * network.item)
    return network.snapshot.trained(values)


cdef rnn_status sequence_model(const rnn_sequence *sequence, rnn_model **made, char *message,
                               size_t bytes) noexcept nogil:
    cdef const Sequence *s = <const Sequence *> sequence
    cdef rnn_status status = begin(s, <void **> made, message, bytes)
    if status == RNN_OK:
        status = refuse(_check(s), message, bytes)
    if status != RNN_OK:
        return status
    with gil:
        return make_model(_learned, <object> s.network, RNN_ERROR_MODEL, made, message, bytes)
