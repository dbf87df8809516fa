from rnncore cimport rnn_model, rnn_shape, rnn_status, rnn_stream


cdef void connect(program) noexcept
cdef rnn_status stream_bytes(const rnn_model *model, size_t batch, size_t *bytes) noexcept nogil
cdef rnn_status stream_create(rnn_model *model, size_t batch, void *memory, size_t bytes,
                              rnn_stream **made) noexcept nogil
cdef rnn_status stream_clone(const rnn_stream *stream, void *memory, size_t bytes,
                             rnn_stream **made) noexcept nogil
cdef rnn_status stream_from_python(void *stream, rnn_stream **made, char *message,
                                   size_t bytes) noexcept nogil
cdef rnn_status stream_close(rnn_stream **stream) noexcept nogil
cdef rnn_status stream_shape(const rnn_stream *stream, rnn_shape *shape) noexcept nogil
cdef rnn_status stream_keep_mode(rnn_stream *stream, int keep) noexcept nogil
cdef rnn_status step(rnn_stream *stream, const void *x, size_t x_bytes, void *y,
                     size_t y_bytes) noexcept nogil
cdef rnn_status run(rnn_stream *stream, size_t steps, const void *x, size_t x_bytes, void *y,
                    size_t y_bytes) noexcept nogil
cdef rnn_status stream_reset(rnn_stream *stream) noexcept nogil
cdef rnn_status stream_reset_row(rnn_stream *stream, size_t row) noexcept nogil
cdef rnn_status stream_copy(rnn_stream *to, const rnn_stream *source) noexcept nogil
cdef rnn_status stream_copy_row(rnn_stream *to, size_t to_row, const rnn_stream *source,
                                size_t from_row) noexcept nogil
cdef rnn_status stream_get_state(const rnn_stream *stream, void *state,
                                 size_t bytes) noexcept nogil
cdef rnn_status stream_set_state(rnn_stream *stream, const void *state,
                                 size_t bytes) noexcept nogil
