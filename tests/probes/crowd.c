/* crowd.c - an extension in C on rnncore.h: many streams of one model in many threads. */
#include <Python.h>
#include <pthread.h>
#include <rnncore.h>
#include <stdlib.h>
#include <time.h>

static const rnncore_api *rnn;
enum { WIDE = 512 };                                    /* bytes of x and of y of one step */

typedef struct {
    rnn_stream **streams;
    uint64_t *sums;                                     /* of the bits of all outputs */
    long *rounds;                                       /* that a stream has had */
    Py_ssize_t first, last;
    size_t x_bytes, y_bytes;
    long most;
    double until;
    rnn_status status;
} share;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* One step of stream i, from an input that depends on both. */
static rnn_status step(share *s, Py_ssize_t i)
{
    float x[WIDE / 4], y[WIDE / 4];
    for (size_t k = 0; k < s->x_bytes / 4; k++)
        x[k] = (float)((i * 7919 + s->rounds[i] * 104729 + k) % 1009) / 1009 - 0.5f;
    rnn_status status = rnn->stream_step(s->streams[i], x, s->x_bytes, y, s->y_bytes);
    for (size_t k = 0; k < s->y_bytes / 4; k++) {
        uint32_t bits;
        memcpy(&bits, y + k, 4);
        s->sums[i] = (s->sums[i] ^ bits) * 1099511628211u;
    }
    s->rounds[i]++;
    return status;
}

static void *work(void *given)
{
    share *s = given;
    for (long round = 0; round < s->most && now() < s->until && !s->status; round++)
        for (Py_ssize_t i = s->first; i < s->last && !s->status; i++)
            s->status = step(s, i);
    return NULL;
}

/* How many streams differ from those that run one after the other, on one thread. */
static long differing(share *all, long *steps_done)
{
    long wrong = 0;
    for (Py_ssize_t i = all->first; i < all->last; i++) {
        const uint64_t sum = all->sums[i];
        const long rounds = all->rounds[i];
        *steps_done += rounds;
        all->sums[i] = 0;
        all->rounds[i] = 0;
        all->status = rnn->stream_reset(all->streams[i]);
        while (all->rounds[i] < rounds && !all->status)
            all->status = step(all, i);
        wrong += all->sums[i] != sum || all->status;
    }
    return wrong;
}

static long run_threads(share *all, int threads)
{
    pthread_t *ids = calloc(threads, sizeof *ids);
    share *shares = calloc(threads, sizeof *shares);
    long wrong = 0;
    for (int i = 0; i < threads; i++) {
        shares[i] = *all;
        shares[i].first = all->last * i / threads;
        shares[i].last = all->last * (i + 1) / threads;
        if (pthread_create(&ids[i], NULL, work, &shares[i]))
            abort();
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        wrong += shares[i].status != RNN_OK;
    }
    free(ids);
    free(shares);
    return wrong;
}

/* crowd(model, streams, threads, rounds, seconds): how many streams of a model, stepped by so
 * many threads for so many rounds or seconds, differ from serial ones; and all steps. */
static PyObject *crowd(PyObject *module, PyObject *args)
{
    PyObject *object;
    rnn_model *model;
    rnn_shape shape = {0};
    rnn_status status = RNN_OK;
    share all = {0};
    int threads;
    double seconds;
    long wrong, done = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "Onild", &object, &all.last, &threads, &all.most, &seconds))
        return NULL;
    if (rnn->model_from_python(object, &model, NULL, 0))
        return PyErr_Format(PyExc_ValueError, "no model");
    shape.struct_size = sizeof shape;
    rnn->model_shape(model, &shape);
    all.x_bytes = shape.x_bytes, all.y_bytes = shape.y_bytes;
    Py_BEGIN_ALLOW_THREADS
    all.streams = calloc(all.last, sizeof *all.streams);
    all.sums = calloc(all.last, sizeof *all.sums);
    all.rounds = calloc(all.last, sizeof *all.rounds);
    for (Py_ssize_t i = 0; i < all.last && !status; i++)
        status = rnn->stream_create(model, 1, NULL, 0, &all.streams[i]);
    rnn->model_close(&model);
    all.until = now() + seconds;
    wrong = run_threads(&all, threads);
    wrong += differing(&all, &done);
    for (Py_ssize_t i = 0; i < all.last; i++)
        rnn->stream_close(&all.streams[i]);
    free(all.streams);
    free(all.sums);
    free(all.rounds);
    Py_END_ALLOW_THREADS
    return Py_BuildValue("ll", wrong + status, done);
}

static PyMethodDef methods[] = {{"crowd", crowd, METH_VARARGS, ""}, {NULL, NULL, 0, NULL}};
static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "crowd", "", -1, methods, NULL, NULL, NULL, NULL,
};
PyMODINIT_FUNC PyInit_crowd(void)
{
    rnn = rnncore_import();
    return rnn ? PyModule_Create(&definition) : NULL;
}
