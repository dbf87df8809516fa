from rnncore cimport rnn_sequence, rnn_status


cdef rnn_status sequence_reset(rnn_sequence *sequence) noexcept nogil
cdef rnn_status sequence_reset_row(rnn_sequence *sequence, size_t row) noexcept nogil
cdef rnn_status sequence_copy_row(rnn_sequence *to, size_t to_row, const rnn_sequence *source,
                                  size_t from_row) noexcept nogil
cdef rnn_status sequence_get_state(const rnn_sequence *sequence, void *state,
                                   size_t bytes) noexcept nogil
cdef rnn_status sequence_set_state(rnn_sequence *sequence, const void *state,
                                   size_t bytes) noexcept nogil
