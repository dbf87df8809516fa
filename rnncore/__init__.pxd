"""rnncore for Cython: what rnncore.h declares. `cimport rnncore` links nothing; the compiler
needs `rnncore.get_include()`.
"""

from libc.stdint cimport int64_t

cdef extern from "rnncore.h" nogil:
    enum:
        RNNCORE_ABI
    const char *RNNCORE_CAPSULE

    ctypedef enum rnn_status:
        RNN_OK
        RNN_ERROR_NULL
        RNN_ERROR_HANDLE
        RNN_ERROR_CLOSED
        RNN_ERROR_ABI
        RNN_ERROR_STRUCT
        RNN_ERROR_SIZE
        RNN_ERROR_ALIGNMENT
        RNN_ERROR_OVERLAP
        RNN_ERROR_VALUE
        RNN_ERROR_SYMBOL
        RNN_ERROR_MODEL
        RNN_ERROR_TYPE
        RNN_ERROR_FILE
        RNN_ERROR_MEMORY
        RNN_ERROR_ORDER
        RNN_ERROR_NONFINITE
        RNN_ERROR_PYTHON

    ctypedef struct rnn_model:
        pass
    ctypedef struct rnn_stream:
        pass
    ctypedef struct rnn_sequence:
        pass

    ctypedef struct rnn_shape:
        size_t struct_size
        size_t steps, batch, inputs, outputs, symbols, itemsize, x_bytes, y_bytes
        size_t state_bytes, parameters
        int one_way, per_step
        const char *isa
        const char *engine

    ctypedef struct rnncore_api:
        size_t struct_size
        int abi_version
        const char *version

        rnn_status (*check)(int abi_version, size_t struct_size) noexcept nogil
        const char *(*status_string)(rnn_status status) noexcept nogil

        rnn_status (*model_from_python)(void *model, rnn_model **made, char *message,
                                        size_t bytes) noexcept nogil
        rnn_status (*model_from_file)(const char *path, rnn_model **made, char *message,
                                      size_t bytes) noexcept nogil
        rnn_status (*model_shape)(const rnn_model *model, rnn_shape *shape) noexcept nogil
        rnn_status (*model_close)(rnn_model **model) noexcept nogil

        rnn_status (*stream_bytes)(const rnn_model *model, size_t batch,
                                   size_t *bytes) noexcept nogil
        rnn_status (*stream_create)(rnn_model *model, size_t batch, void *memory, size_t bytes,
                                    rnn_stream **made) noexcept nogil
        rnn_status (*stream_clone)(const rnn_stream *stream, void *memory, size_t bytes,
                                   rnn_stream **made) noexcept nogil
        rnn_status (*stream_from_python)(void *stream, rnn_stream **made, char *message,
                                         size_t bytes) noexcept nogil
        rnn_status (*stream_close)(rnn_stream **stream) noexcept nogil
        rnn_status (*stream_shape)(const rnn_stream *stream, rnn_shape *shape) noexcept nogil
        rnn_status (*stream_step)(rnn_stream *stream, const void *x, size_t x_bytes, void *y,
                                  size_t y_bytes) noexcept nogil
        rnn_status (*stream_run)(rnn_stream *stream, size_t steps, const void *x,
                                 size_t x_bytes, void *y, size_t y_bytes) noexcept nogil
        rnn_status (*stream_reset)(rnn_stream *stream) noexcept nogil
        rnn_status (*stream_reset_row)(rnn_stream *stream, size_t row) noexcept nogil
        rnn_status (*stream_copy)(rnn_stream *to, const rnn_stream *source) noexcept nogil
        rnn_status (*stream_copy_row)(rnn_stream *to, size_t to_row, const rnn_stream *source,
                                      size_t from_row) noexcept nogil
        rnn_status (*stream_get_state)(const rnn_stream *stream, void *state,
                                       size_t bytes) noexcept nogil
        rnn_status (*stream_set_state)(rnn_stream *stream, const void *state,
                                       size_t bytes) noexcept nogil

        rnn_status (*sequence_bytes)(const rnn_model *model, size_t steps, size_t batch,
                                     int training, int threads, size_t *bytes) noexcept nogil
        rnn_status (*sequence_create)(rnn_model *model, size_t steps, size_t batch,
                                      int training, int threads, void *memory, size_t bytes,
                                      rnn_sequence **made) noexcept nogil
        rnn_status (*sequence_close)(rnn_sequence **sequence) noexcept nogil
        rnn_status (*sequence_shape)(const rnn_sequence *sequence,
                                     rnn_shape *shape) noexcept nogil
        rnn_status (*sequence_infer)(rnn_sequence *sequence, size_t steps,
                                     const int64_t *lengths, const void *x, size_t x_bytes,
                                     void *y, size_t y_bytes) noexcept nogil
        rnn_status (*sequence_forward)(rnn_sequence *sequence, size_t steps,
                                       const int64_t *lengths, const void *x, size_t x_bytes,
                                       void *y, size_t y_bytes) noexcept nogil
        rnn_status (*sequence_backward)(rnn_sequence *sequence, const void *dy, size_t dy_bytes,
                                        void *dx, size_t dx_bytes) noexcept nogil
        rnn_status (*sequence_clip_norm)(rnn_sequence *sequence, double max_norm,
                                         double *norm) noexcept nogil
        rnn_status (*sequence_sgd)(rnn_sequence *sequence, double lr,
                                   double momentum) noexcept nogil
        rnn_status (*sequence_reset)(rnn_sequence *sequence) noexcept nogil
        rnn_status (*sequence_reset_row)(rnn_sequence *sequence, size_t row) noexcept nogil
        rnn_status (*sequence_copy_row)(rnn_sequence *to, size_t to_row,
                                        const rnn_sequence *source,
                                        size_t from_row) noexcept nogil
        rnn_status (*sequence_get_state)(const rnn_sequence *sequence, void *state,
                                         size_t bytes) noexcept nogil
        rnn_status (*sequence_set_state)(rnn_sequence *sequence, const void *state,
                                         size_t bytes) noexcept nogil
        rnn_status (*sequence_get_parameters)(const rnn_sequence *sequence, void *values,
                                              size_t bytes) noexcept nogil
        rnn_status (*sequence_set_parameters)(rnn_sequence *sequence, const void *values,
                                              size_t bytes) noexcept nogil
        rnn_status (*sequence_gradients)(rnn_sequence *sequence, void **gradients,
                                         size_t *bytes) noexcept nogil
        rnn_status (*sequence_model)(const rnn_sequence *sequence, rnn_model **made,
                                     char *message, size_t bytes) noexcept nogil

        rnn_status (*stream_keep_mode)(rnn_stream *stream, int keep) noexcept nogil

cdef extern from "rnncore.h":
    const rnncore_api *rnncore_import() except NULL
