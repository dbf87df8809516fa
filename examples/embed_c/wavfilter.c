/* wavfilter.c - a trained network as an effect: it reads a WAV file block by block, as an audio
 * plug-in is called, runs a saved model over the samples, and writes the result.
 *
 *     >>> import wavfilter
 *     >>> wavfilter.run("amplifier.safetensors", "guitar.wav", "louder.wav", block=64)
 *
 * Files are 16-bit PCM with one channel; the model is of one input and one output. Python is
 * needed for the arguments alone: blocks are read, run and written without its lock, and after
 * the first nothing is allocated. */
#include <Python.h>
#include <rnncore.h>
#include <stdio.h>
#include <string.h>

enum { HEADER = 44, MOST = 4096 };         /* bytes of the header written; samples of a block */

static const rnncore_api *rnn;

static uint32_t number(const unsigned char *bytes)      /* little-endian, as RIFF has them */
{
    return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void put_number(unsigned char *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(value >> 8 * i);
}

/* Find the samples: `format` receives the chunk of that name; return how many bytes of samples
 * follow, 0 where this is no such file. */
static uint32_t open_samples(FILE *in, unsigned char format[16])
{
    unsigned char head[12];
    int known = 0;
    if (fread(head, 1, 12, in) < 12 || memcmp(head, "RIFF", 4) || memcmp(head + 8, "WAVE", 4))
        return 0;
    while (fread(head, 1, 8, in) == 8) {
        uint32_t size = number(head + 4);
        if (!memcmp(head, "data", 4))
            return known ? size : 0;
        if (!memcmp(head, "fmt ", 4) && size >= 16) {
            if (fread(format, 1, 16, in) < 16)
                return 0;
            known = format[0] == 1 && format[2] == 1 && format[14] == 16;
            size -= 16;
        }
        if (fseek(in, size + (size & 1), SEEK_CUR))
            return 0;
    }
    return 0;
}

static int write_header(FILE *out, const unsigned char format[16], uint32_t bytes)
{
    unsigned char header[HEADER] = "RIFF....WAVEfmt ....................data....";
    put_number(header + 4, HEADER - 8 + bytes);
    put_number(header + 16, 16);
    memcpy(header + 20, format, 16);
    put_number(header + 40, bytes);
    return fwrite(header, 1, HEADER, out) == HEADER;
}

static int16_t clipped(float y)
{
    y *= 32768.f;
    return (int16_t)(y < -32768.f ? -32768.f : y > 32767.f ? 32767.f : y);
}

/* Run the stream over all samples; return what went wrong, or NULL. */
static const char *filter(rnn_stream *stream, FILE *in, FILE *out, size_t block)
{
    static const char not_wav[] = "the input is not a WAV file of 16-bit PCM with one channel";
    float x[MOST], y[MOST];
    int16_t samples[MOST];
    unsigned char format[16];
    uint32_t left = open_samples(in, format) / 2;
    if (!left)
        return not_wav;
    if (!write_header(out, format, left * 2))
        return "the output cannot be written";
    while (left > 0) {
        const size_t n = left < block ? left : block;
        if (fread(samples, 2, n, in) < n)
            return "the input ends too early";
        for (size_t i = 0; i < n; i++)
            x[i] = samples[i] / 32768.f;
        const rnn_status status = rnn->stream_run(stream, n, x, n * sizeof *x, y, n * sizeof *y);
        if (status != RNN_OK)
            return rnn->status_string(status);
        for (size_t i = 0; i < n; i++)
            samples[i] = clipped(y[i]);
        if (fwrite(samples, 2, n, out) < n)
            return "the output cannot be written";
        left -= (uint32_t)n;
    }
    return NULL;
}

/* Open the files and the stream, run, and close what was opened. */
static const char *run_files(rnn_model *model, const char *source, const char *target,
                             size_t block)
{
    rnn_stream *stream = NULL;
    rnn_shape shape = {0};
    const char *error = "the model does not map one float to one float";
    FILE *in = NULL, *out = NULL;
    shape.struct_size = sizeof shape;
    rnn->model_shape(model, &shape);
    if (shape.x_bytes == sizeof(float) && shape.y_bytes == sizeof(float) && !shape.symbols) {
        rnn_status status = rnn->stream_create(model, 1, NULL, 0, &stream);
        error = status == RNN_OK ? NULL : rnn->status_string(status);
    }
    if (!error && !(in = fopen(source, "rb")))
        error = "the input cannot be opened";
    if (!error && !(out = fopen(target, "wb")))
        error = "the output cannot be opened";
    if (!error)
        error = filter(stream, in, out, block);
    if (in)
        fclose(in);
    if (out && fclose(out) && !error)
        error = "the output cannot be written";
    rnn->stream_close(&stream);
    return error;
}

static PyObject *run(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"model", "source", "target", "block", NULL};
    const char *path, *source, *target, *error;
    char message[300] = "";
    rnn_model *model;
    Py_ssize_t block = 64;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sss|n", names, &path, &source, &target,
                                     &block))
        return NULL;
    if (block < 1 || block > MOST)
        return PyErr_Format(PyExc_ValueError, "block is %zd, expected 1 to %d", block, MOST);
    if (rnn->model_from_file(path, &model, message, sizeof message) != RNN_OK) {
        PyErr_SetString(PyExc_ValueError, message);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    error = run_files(model, source, target, (size_t)block);
    rnn->model_close(&model);
    Py_END_ALLOW_THREADS
    if (error) {
        PyErr_SetString(PyExc_ValueError, error);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)(void (*)(void))run, METH_VARARGS | METH_KEYWORDS,
     "run(model, source, target, block=64)\n--\n\n"
     "Run a saved model over the samples of a WAV file and write the result."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "wavfilter", "A trained network as an effect on a WAV file.", -1,
    methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_wavfilter(void)
{
    rnn = rnncore_import();
    return rnn ? PyModule_Create(&definition) : NULL;
}
