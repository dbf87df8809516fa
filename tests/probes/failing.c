/* failing.c - makes the memory of NumPy's arrays run out, in the thread that asks for it. */
#include <Python.h>
#include <numpy/arrayobject.h>
#include <stdlib.h>

static long left;                                       /* how many arrays there is memory for */

static void *take(void *context, size_t size) { return left-- > 0 ? malloc(size) : NULL; }
static void *clear(void *context, size_t n, size_t size)
{
    return left-- > 0 ? calloc(n, size) : NULL;
}
static void *resize(void *context, void *old, size_t size) { return realloc(old, size); }
static void give(void *context, void *memory, size_t size) { free(memory); }

static PyDataMem_Handler handler = {"failing", 1, {NULL, take, clear, resize, give}};

/* after(n): no array but the next n. Returns what restore takes. */
static PyObject *after(PyObject *self, PyObject *n)
{
    PyObject *capsule = PyCapsule_New(&handler, "mem_handler", NULL);
    PyObject *before = capsule ? PyDataMem_SetHandler(capsule) : NULL;
    left = PyLong_AsLong(n);
    Py_XDECREF(capsule);
    return before;
}

static PyObject *restore(PyObject *self, PyObject *before)
{
    return PyDataMem_SetHandler(before);
}

static PyMethodDef methods[] = {
    {"after", after, METH_O, NULL}, {"restore", restore, METH_O, NULL}, {0},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "failing", NULL, -1, methods};

PyMODINIT_FUNC PyInit_failing(void)
{
    import_array();
    return PyModule_Create(&definition);
}
