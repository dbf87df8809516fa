/* rnncore.h - networks of rnncore called from C, C++ and Cython, without Python's lock.
 *
 * Nothing is linked: `rnncore_import` fetches a struct of functions from the Python package.
 * Include Python.h first where it is called; other files need this header alone.
 *
 *     const rnncore_api *rnn = rnncore_import();
 *     rnn_model *model; rnn_stream *stream;
 *     if (rnn->model_from_file("model.safetensors", &model, NULL, 0) ||
 *         rnn->stream_create(model, 1, NULL, 0, &stream)) ...
 *     while (...) rnn->stream_step(stream, x, sizeof x, y, sizeof y);
 *     rnn->stream_close(&stream);
 *     rnn->model_close(&model);
 *
 * Status   Every function that can fail returns a status and does nothing where it fails: no
 *          function throws, exits or prints. Python's error indicator is left as it was.
 * Arrays   float or double as the model has it (`itemsize`), int64_t for the symbols of an
 *          embedding; time-major, (T, B, features), without gaps, aligned as their elements
 *          are. Their size in bytes comes with them and is checked: a wrong shape or a wrong
 *          type of elements is RNN_ERROR_SIZE.
 * Lock     "Lock" at a function says that it takes Python's lock for a moment; it may be called
 *          with or without it. All others never touch Python and, but for the making of
 *          streams, never allocate and never call the system; they are safe where signals and
 *          deadlines are. Call them without the lock, or all other Python threads wait. (A
 *          model made while RNNCORE_GEMM=blas was set calls SciPy's BLAS, which may allocate.)
 * Threads  A model is never changed and serves any number of threads at once. A stream or a
 *          sequence serves one at a time; different ones may run at once, on one model. Who
 *          closes a handle has it alone. Work is done by the thread that calls; sequences made
 *          with more than one thread also use the pool of the process, which calls the system,
 *          and whose threads are started when they are first wanted.
 * Memory   Streams and sequences lie in memory of the caller's, of any alignment, or, where
 *          that is NULL, in memory of the library's. Memory of the caller's stays his until the
 *          handle is closed, and may not be moved.
 * Handles  A handle keeps alive what it uses: models, streams and sequences may be closed in
 *          any order, and the Python objects they came from may go. Closing sets the caller's
 *          pointer to NULL. A NULL handle, one of another kind and a closed one give a status;
 *          but a copy of a pointer to memory that has been given back, which is where the
 *          library allocated it, cannot be told from a good one.
 * Forks    In the child of a fork all handles work, on copies of their own; the pool begins
 *          anew. The thread that forks may not be inside of a call on the pool.
 * Numbers  The bits are those of Python: a stream's steps are those of `infer` on the whole
 *          sequence. Denormals count as zero; the mode is set on entry and restored, unless a
 *          stream is told that its caller has set it (`stream_keep_mode`).
 */
#ifndef RNNCORE_H
#define RNNCORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RNNCORE_ABI 1                     /* raised where the struct below is not appended to */
#define RNNCORE_CAPSULE "rnncore.capi.C_API"

typedef enum rnn_status {
    RNN_OK = 0,
    RNN_ERROR_NULL = 1,        /* a handle or a pointer is NULL */
    RNN_ERROR_HANDLE = 2,      /* not a handle of this kind */
    RNN_ERROR_CLOSED = 3,      /* a handle that was closed */
    RNN_ERROR_ABI = 4,         /* header and library do not fit */
    RNN_ERROR_STRUCT = 5,      /* struct_size of an rnn_shape is not one that is known */
    RNN_ERROR_SIZE = 6,        /* the bytes of an array are not as many as expected */
    RNN_ERROR_ALIGNMENT = 7,   /* an array is not aligned as its elements are */
    RNN_ERROR_OVERLAP = 8,     /* an output shares memory with an input */
    RNN_ERROR_VALUE = 9,       /* a number is out of its range */
    RNN_ERROR_SYMBOL = 10,     /* x holds a symbol that the embedding does not have */
    RNN_ERROR_MODEL = 11,      /* not what a model of this kind can do */
    RNN_ERROR_TYPE = 12,       /* the Python object is not a Model, or not a Stream */
    RNN_ERROR_FILE = 13,       /* the file cannot be read, or is not a model */
    RNN_ERROR_MEMORY = 14,     /* there is not so much memory */
    RNN_ERROR_ORDER = 15,      /* backward without forward before it, or no training asked for */
    RNN_ERROR_NONFINITE = 16,  /* the gradient is not finite */
    RNN_ERROR_PYTHON = 17      /* Python is not there any more, or raised an error */
} rnn_status;

typedef struct rnn_model rnn_model;        /* packed weights */
typedef struct rnn_stream rnn_stream;      /* a model called step by step, with its states */
typedef struct rnn_sequence rnn_sequence;  /* a model called for many steps, which can learn */

/* What a handle takes and gives. Set struct_size to sizeof(rnn_shape) before the call. */
typedef struct rnn_shape {
    size_t struct_size;
    size_t steps, batch;       /* T at most, 0 but for sequences; B rows, 0 for models */
    size_t inputs, outputs;    /* features of x and y */
    size_t symbols;            /* 0; or x holds symbols below it, of which `inputs` is 1 */
    size_t itemsize;           /* 4: float; 8: double */
    size_t x_bytes, y_bytes;   /* of one step of one row */
    size_t state_bytes;        /* of the states of all rows; of one row for models */
    size_t parameters;         /* how many, 0 for streams */
    int one_way;               /* whether streams can be made: no layer is bidirectional */
    int per_step;              /* 0: y of a sequence is that of its last step, (B, outputs) */
    const char *isa, *engine;  /* "avx512", "avx2", "neon", "baseline"; "native", "blas" */
} rnn_shape;

/* What can be asked of the library; entries are appended and never changed. */
typedef struct rnncore_api {
    size_t struct_size;        /* of the library's struct */
    int abi_version;
    const char *version;       /* of the library */

    /* Whether the library serves a caller who was compiled with this header. */
    rnn_status (*check)(int abi_version, size_t struct_size);
    /* One line for a status; never NULL, never to be freed. */
    const char *(*status_string)(rnn_status status);

    /* ---- Models. Lock, but for the shape ----
     * `model` of the first is a PyObject *, an rnncore.Model; its weights at this moment are
     * taken. `message`, of so many bytes, receives in words (UTF-8) what is wrong, where
     * something is; it may be NULL. `made` is then set to NULL, here and wherever a handle is
     * made. */
    rnn_status (*model_from_python)(void *model, rnn_model **made, char *message, size_t bytes);
    rnn_status (*model_from_file)(const char *path, rnn_model **made, char *message,
                                  size_t bytes);
    rnn_status (*model_shape)(const rnn_model *model, rnn_shape *shape);
    rnn_status (*model_close)(rnn_model **model);

    /* ---- Streams ----
     * Of the memory of a stream of `batch` rows, its size and the making; states are zero. With
     * memory of the library's (NULL) `stream_create` and `stream_clone` allocate, and only
     * then; `stream_clone` takes over states and weights. `stream` of `stream_from_python` is
     * a PyObject *, an rnncore Stream, whose states the handle shares until that is refreshed.
     * It and `stream_close` take the lock. */
    rnn_status (*stream_bytes)(const rnn_model *model, size_t batch, size_t *bytes);
    rnn_status (*stream_create)(rnn_model *model, size_t batch, void *memory, size_t bytes,
                                rnn_stream **made);
    rnn_status (*stream_clone)(const rnn_stream *stream, void *memory, size_t bytes,
                               rnn_stream **made);
    rnn_status (*stream_from_python)(void *stream, rnn_stream **made, char *message,
                                     size_t bytes);
    rnn_status (*stream_close)(rnn_stream **stream);
    rnn_status (*stream_shape)(const rnn_stream *stream, rnn_shape *shape);

    /* x (B, inputs) to y (B, outputs), which may be the same memory; of a model that is not
     * per step, what the last of the steps so far would give. */
    rnn_status (*stream_step)(rnn_stream *stream, const void *x, size_t x_bytes, void *y,
                              size_t y_bytes);
    /* x (T, B, inputs) to y (T, B, outputs), T = steps; they may not overlap. */
    rnn_status (*stream_run)(rnn_stream *stream, size_t steps, const void *x, size_t x_bytes,
                             void *y, size_t y_bytes);
    /* States become zero: all, or those of one row. */
    rnn_status (*stream_reset)(rnn_stream *stream);
    rnn_status (*stream_reset_row)(rnn_stream *stream, size_t row);
    /* Take over the states of another stream, or those of one of its rows, bit for bit. The
     * models may differ in their weights, as before and after learning, in nothing else. */
    rnn_status (*stream_copy)(rnn_stream *to, const rnn_stream *from);
    rnn_status (*stream_copy_row)(rnn_stream *to, size_t to_row, const rnn_stream *from,
                                  size_t from_row);
    /* The states as Python's `stream.state` has them, its arrays one after the other: of each
     * recurrent layer of the model and each letter (h, then c) an array (layers, B, H), with
     * taps (layers, past steps, B, H), newest first. */
    rnn_status (*stream_get_state)(const rnn_stream *stream, void *state, size_t bytes);
    rnn_status (*stream_set_state)(rnn_stream *stream, const void *state, size_t bytes);

    /* ---- Sequences ----
     * A sequence runs B rows of up to T steps. With `training` it has weights of its own, those
     * of the model to begin with, that it can learn; else it shares the model's. The states at
     * the end of a pass are those that the next begins with. Bytes, making and closing take the
     * lock, and making allocates some small objects beside the memory. */
    rnn_status (*sequence_bytes)(const rnn_model *model, size_t steps, size_t batch,
                                 int training, int threads, size_t *bytes);
    rnn_status (*sequence_create)(rnn_model *model, size_t steps, size_t batch, int training,
                                  int threads, void *memory, size_t bytes,
                                  rnn_sequence **made);
    rnn_status (*sequence_close)(rnn_sequence **sequence);
    rnn_status (*sequence_shape)(const rnn_sequence *sequence, rnn_shape *shape);

    /* x (T, B, inputs) to y (T, B, outputs), or (B, outputs) where not per step, T = steps. Row
     * b has lengths[b] steps, 0 to T, or T where `lengths` (B) is NULL; y is 0 past its end.
     * `forward` keeps what `backward` needs. Dropout does not apply. */
    rnn_status (*sequence_infer)(rnn_sequence *sequence, size_t steps, const int64_t *lengths,
                                 const void *x, size_t x_bytes, void *y, size_t y_bytes);
    rnn_status (*sequence_forward)(rnn_sequence *sequence, size_t steps, const int64_t *lengths,
                                   const void *x, size_t x_bytes, void *y, size_t y_bytes);
    /* Add the gradients of the last `forward` to those of the parameters; once for each. dy is
     * the loss's gradient by y, not read past the end of a row, and dx receives that by x,
     * unless it is NULL. The symbols x of an embedding are read once more, where they were.
     * Gradients of frozen parameters are 0. */
    rnn_status (*sequence_backward)(rnn_sequence *sequence, const void *dy, size_t dy_bytes,
                                    void *dx, size_t dx_bytes);
    /* Scale the gradients so that their norm over all parameters is at most max_norm, unless
     * they are not finite; `norm`, unless it is NULL, receives the norm before. */
    rnn_status (*sequence_clip_norm)(rnn_sequence *sequence, double max_norm, double *norm);
    /* v = momentum v + gradient; parameters -= lr v; then the gradients become zero. Without
     * momentum, v is the gradient, and what is remembered of it stays. */
    rnn_status (*sequence_sgd)(rnn_sequence *sequence, double lr, double momentum);
    /* As of streams. Rows may be copied within a sequence, as a search does. */
    rnn_status (*sequence_reset)(rnn_sequence *sequence);
    rnn_status (*sequence_reset_row)(rnn_sequence *sequence, size_t row);
    rnn_status (*sequence_copy_row)(rnn_sequence *to, size_t to_row, const rnn_sequence *from,
                                    size_t from_row);
    rnn_status (*sequence_get_state)(const rnn_sequence *sequence, void *state, size_t bytes);
    rnn_status (*sequence_set_state)(rnn_sequence *sequence, const void *state, size_t bytes);
    /* All parameters in the order of Python's `model.parameters`, for an optimizer of the
     * caller's; and where their gradients are, in the same order, which he may change. */
    rnn_status (*sequence_get_parameters)(const rnn_sequence *sequence, void *values,
                                          size_t bytes);
    rnn_status (*sequence_set_parameters)(rnn_sequence *sequence, const void *values,
                                          size_t bytes);
    rnn_status (*sequence_gradients)(rnn_sequence *sequence, void **gradients, size_t *bytes);
    /* A model of the weights that a sequence has now. Lock. */
    rnn_status (*sequence_model)(const rnn_sequence *sequence, rnn_model **made, char *message,
                                 size_t bytes);

    /* ---- Appended ----
     * With `keep`, steps and runs leave the floating-point mode of the thread as it is, which
     * saves some nanoseconds: for a caller who has it so that denormals are zero, inputs and
     * results (FTZ and DAZ on x86, FZ on Arm), as audio programs do. Where he has not, denormals
     * cost time and may give other bits than Python's. Clones begin without. */
    rnn_status (*stream_keep_mode)(rnn_stream *stream, int keep);
} rnncore_api;

#ifdef Py_PYTHON_H
/* The functions of the installed package, for the whole life of the process; NULL, with a
 * Python exception set, where it is not installed or does not fit this header. Needs the lock. */
static inline const rnncore_api *rnncore_import(void)
{
    const rnncore_api *api = NULL;
    PyObject *module = PyImport_ImportModule("rnncore.capi");
    PyObject *capsule = module ? PyObject_GetAttrString(module, "C_API") : NULL;
    if (capsule)
        api = (const rnncore_api *)PyCapsule_GetPointer(capsule, RNNCORE_CAPSULE);
    Py_XDECREF(capsule);
    Py_XDECREF(module);
    if (api && (api->abi_version != RNNCORE_ABI || api->struct_size < sizeof(rnncore_api) ||
                api->check(RNNCORE_ABI, sizeof(rnncore_api)) != RNN_OK)) {
        PyErr_Format(PyExc_ImportError,
                     "rnncore %s has ABI %d with %zu bytes, expected ABI %d with %zu or more: "
                     "it is %s than the header this module was compiled with",
                     api->version, api->abi_version, api->struct_size, RNNCORE_ABI,
                     sizeof(rnncore_api),
                     api->abi_version > RNNCORE_ABI ? "newer" : "older");
        api = NULL;
    }
    return api;
}
#endif

#ifdef __cplusplus
}
#endif
#endif
