from rnncore cimport rnn_model, rnn_sequence, rnn_status


cdef rnn_status sequence_backward(rnn_sequence *sequence, const void *dy, size_t dy_bytes,
                                  void *dx, size_t dx_bytes) noexcept nogil
cdef rnn_status sequence_clip_norm(rnn_sequence *sequence, double max_norm,
                                   double *norm) noexcept nogil
cdef rnn_status sequence_sgd(rnn_sequence *sequence, double lr, double momentum) noexcept nogil
cdef rnn_status sequence_get_parameters(const rnn_sequence *sequence, void *values,
                                        size_t bytes) noexcept nogil
cdef rnn_status sequence_set_parameters(rnn_sequence *sequence, const void *values,
                                        size_t bytes) noexcept nogil
cdef rnn_status sequence_gradients(rnn_sequence *sequence, void **gradients,
                                   size_t *bytes) noexcept nogil
cdef rnn_status sequence_model(const rnn_sequence *sequence, rnn_model **made, char *message,
                               size_t bytes) noexcept nogil
