/* probe.c - an extension in C on rnncore.h: what its loops allocate, and whether they wait. */
#define _GNU_SOURCE
#include <Python.h>
#include <dlfcn.h>
#include <pthread.h>
#include <rnncore.h>
#include <time.h>
#include <unistd.h>

static const rnncore_api *rnn;
enum { WIDE = 512 };                                    /* bytes of x and of y of one step */

/* What the calling thread has allocated; 0 where allocations.c is not loaded. */
static long allocated(void)
{
    long (*count)(void) = (long (*)(void))dlsym(RTLD_DEFAULT, "allocations");
    return count ? count() : 0;
}

static PyObject *refused(rnn_status status)
{
    PyErr_SetString(PyExc_ValueError, rnn->status_string(status));
    return NULL;
}

/* The arguments (model, count): a handle, its shape, and x, which is 0 if it is of symbols. */
static int take_model(PyObject *args, rnn_model **model, Py_ssize_t *count, rnn_shape *shape,
                      void *x, size_t bytes)
{
    PyObject *object;
    rnn_status status;
    if (!PyArg_ParseTuple(args, "On", &object, count))
        return 0;
    if ((status = rnn->model_from_python(object, model, NULL, 0)))
        return refused(status) != NULL;
    shape->struct_size = sizeof *shape;
    rnn->model_shape(*model, shape);
    if (shape->symbols)
        memset(x, 0, bytes);
    return 1;
}

/* steps(model, count): the allocations of so many steps of a stream, of blocks of steps, and of
 * resets and copies among them. Two system calls, getppid, stand around them. */
static PyObject *steps(PyObject *module, PyObject *args)
{
    double x[WIDE / 8] = {0.5, -1}, y[WIDE / 8], many_x[WIDE], many_y[WIDE];
    rnn_model *model;
    rnn_stream *stream, *other;
    rnn_shape shape = {0};
    rnn_status status = RNN_OK;
    Py_ssize_t count;
    long before;
    (void)module;
    memset(many_x, 0, sizeof many_x);
    if (!take_model(args, &model, &count, &shape, x, sizeof x))
        return NULL;
    rnn->stream_create(model, 1, NULL, 0, &stream);
    rnn->stream_create(model, 1, NULL, 0, &other);
    Py_BEGIN_ALLOW_THREADS
    before = allocated();
    getppid();
    for (Py_ssize_t i = 0; i < count && !status; i++) {
        status = rnn->stream_step(stream, x, shape.x_bytes, y, shape.y_bytes);
        if (i % 1000 == 0 && !status) {
            status = rnn->stream_run(stream, 8, many_x, 8 * shape.x_bytes, many_y,
                                     8 * shape.y_bytes);
            rnn->stream_copy(other, stream);
            rnn->stream_copy_row(stream, 0, other, 0);
            rnn->stream_reset_row(other, 0);
            rnn->stream_reset(other);
        }
    }
    getppid();
    before = allocated() - before;
    Py_END_ALLOW_THREADS
    rnn->model_close(&model);
    rnn->stream_close(&stream);
    rnn->stream_close(&other);
    return status ? refused(status) : PyLong_FromLong(before);
}

/* learning(model, count): the allocations of so many steps of training on 5 steps of 2 rows. */
static PyObject *learning(PyObject *module, PyObject *args)
{
    double x[10 * WIDE / 8] = {1, 2, 3}, y[10 * WIDE / 8], norm;
    const int64_t lengths[] = {5, 3};
    rnn_model *model;
    rnn_sequence *sequence;
    rnn_shape shape = {0};
    rnn_status status = RNN_OK;
    Py_ssize_t count;
    long before;
    (void)module;
    if (!take_model(args, &model, &count, &shape, x, sizeof x))
        return NULL;
    status = rnn->sequence_create(model, 5, 2, 1, 1, NULL, 0, &sequence);
    Py_BEGIN_ALLOW_THREADS
    const size_t in = 10 * shape.x_bytes, out = (shape.per_step ? 10 : 2) * shape.y_bytes;
    before = allocated();
    getppid();
    for (Py_ssize_t i = 0; i < count && !status; i++) {
        const int64_t *some = i % 2 ? lengths : NULL;
        if (!(status = rnn->sequence_infer(sequence, 5, some, x, in, y, out)) &&
            !(status = rnn->sequence_forward(sequence, 5, some, x, in, y, out)) &&
            !(status = rnn->sequence_backward(sequence, y, out, NULL, 0)) &&
            !(status = rnn->sequence_clip_norm(sequence, 0.1, &norm)))
            status = rnn->sequence_sgd(sequence, 1e-3, 0.9);
    }
    getppid();
    before = allocated() - before;
    Py_END_ALLOW_THREADS
    rnn->model_close(&model);
    rnn->sequence_close(&sequence);
    return status ? refused(status) : PyLong_FromLong(before);
}

/* raising(model, stream): call what takes Python's lock while an exception is on its way, which
 * is then still there. */
static PyObject *raising(PyObject *module, PyObject *args)
{
    PyObject *object, *shown;
    rnn_model *model = NULL, *other = NULL;
    rnn_stream *stream = NULL;
    rnn_sequence *sequence = NULL;
    rnn_status status;
    size_t bytes;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &object, &shown))
        return NULL;
    PyErr_SetString(PyExc_KeyError, "on its way");
    if (!(status = rnn->model_from_python(object, &model, NULL, 0)) &&
        !(status = rnn->stream_from_python(shown, &stream, NULL, 0)) &&
        !(status = rnn->sequence_bytes(model, 5, 2, 1, 1, &bytes)) &&
        !(status = rnn->sequence_create(model, 5, 2, 1, 1, NULL, 0, &sequence)) &&
        !(status = rnn->sequence_model(sequence, &other, NULL, 0)) &&
        !(status = rnn->model_close(&other)) &&
        rnn->model_from_file("", &other, NULL, 0) != RNN_ERROR_FILE)
        status = RNN_ERROR_PYTHON;
    rnn->model_close(&model);
    rnn->stream_close(&stream);
    rnn->sequence_close(&sequence);
    return status ? refused(status) : NULL;
}

/* ---- Beside Python's lock ---- */

typedef struct {
    rnn_stream *stream;
    rnn_sequence *sequence;
    rnn_shape shape;
    rnn_status status;
} pair;

static void *run_pair(void *given)
{
    double x[10 * WIDE / 8] = {0}, y[10 * WIDE / 8], norm;
    pair *p = given;
    const size_t in = 10 * p->shape.x_bytes, out = 10 * p->shape.y_bytes;
    p->status = rnn->stream_run(p->stream, 10, x, in, y, out);
    if (!p->status && !(p->status = rnn->sequence_forward(p->sequence, 5, NULL, x, in, y, out)) &&
        !(p->status = rnn->sequence_backward(p->sequence, y, out, NULL, 0)) &&
        !(p->status = rnn->sequence_clip_norm(p->sequence, 1, &norm)) &&
        !(p->status = rnn->sequence_sgd(p->sequence, 0.1, 0.9)))
        p->status = rnn->sequence_infer(p->sequence, 5, NULL, x, in, y, out);
    return NULL;
}

/* locked(model, seconds): step and learn on a thread that Python does not know, while this one
 * keeps Python's lock; whether that was done in time. */
static PyObject *locked(PyObject *module, PyObject *args)
{
    static pair p;                                      /* outlives a thread that hangs */
    struct timespec until;
    PyObject *object;
    rnn_model *model;
    pthread_t thread;
    int seconds, late;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oi", &object, &seconds))
        return NULL;
    if ((p.status = rnn->model_from_python(object, &model, NULL, 0)))
        return refused(p.status);
    p.shape.struct_size = sizeof p.shape;
    rnn->model_shape(model, &p.shape);
    rnn->stream_create(model, 1, NULL, 0, &p.stream);
    rnn->sequence_create(model, 5, 2, 1, 1, NULL, 0, &p.sequence);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    if (pthread_create(&thread, NULL, run_pair, &p))
        return PyErr_NoMemory();
    late = pthread_timedjoin_np(thread, NULL, &until);
    if (late || p.status)
        return late ? PyBool_FromLong(0) : refused(p.status);
    rnn->model_close(&model);
    rnn->stream_close(&p.stream);
    rnn->sequence_close(&p.sequence);
    return PyBool_FromLong(1);
}

static PyMethodDef methods[] = {
    {"steps", steps, METH_VARARGS, ""},
    {"learning", learning, METH_VARARGS, ""},
    {"raising", raising, METH_VARARGS, ""},
    {"locked", locked, METH_VARARGS, ""},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "probe", "", -1, methods, NULL, NULL, NULL, NULL,
};
PyMODINIT_FUNC PyInit_probe(void)
{
    rnn = rnncore_import();
    return rnn ? PyModule_Create(&definition) : NULL;
}
