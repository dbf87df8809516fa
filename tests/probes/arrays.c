/* arrays.c - where NumPy's arrays have their memory from, in the thread that asks for it: from a
 * store that runs out, or from pages of their own, all NaN, beside inaccessible ones. */
#include <Python.h>
#include <numpy/arrayobject.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static long left;                                       /* how many arrays there is memory for */

static void *take(void *context, size_t size) { return left-- > 0 ? malloc(size) : NULL; }
static void *clear(void *context, size_t n, size_t size)
{
    return left-- > 0 ? calloc(n, size) : NULL;
}
static void *resize(void *context, void *old, size_t size) { return realloc(old, size); }
static void give(void *context, void *memory, size_t size) { free(memory); }

static PyDataMem_Handler scarce = {"scarce", 1, {NULL, take, clear, resize, give}};

/* A page with the two sizes, an inaccessible one, the array's and another inaccessible one. */
typedef struct { size_t size, whole; } header;
static int behind;                                      /* whether arrays end where theirs do */

static header *header_of(char *memory)
{
    const size_t page = sysconf(_SC_PAGESIZE);
    return (header *)(memory - (size_t)memory % page - 2 * page);
}

static char *between(size_t size, int filled_with)
{
    const size_t page = sysconf(_SC_PAGESIZE), pages = (size + page - 1) / page * page;
    char *start = mmap(NULL, pages + 3 * page, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    *(header *)start = (header){size, pages + 3 * page};
    mprotect(start + page, page, PROT_NONE);
    mprotect(start + 2 * page + pages, page, PROT_NONE);
    return memset(start + 2 * page + (behind ? pages - size : 0), filled_with, size);
}

static void *take_fenced(void *context, size_t size) { return between(size, 0xFF); }
static void *clear_fenced(void *context, size_t n, size_t size) { return between(n * size, 0); }
static void give_fenced(void *context, void *memory, size_t size)
{
    if (memory)
        munmap(header_of(memory), header_of(memory)->whole);
}
static void *resize_fenced(void *context, void *old, size_t size)
{
    char *memory = between(size, 0xFF);
    if (memory && old)
        memcpy(memory, old, header_of(old)->size < size ? header_of(old)->size : size);
    if (memory)
        give_fenced(context, old, 0);
    return memory;
}

static PyDataMem_Handler fenced = {
    "fenced", 1, {NULL, take_fenced, clear_fenced, resize_fenced, give_fenced}
};

static PyObject *use(PyDataMem_Handler *handler)
{
    PyObject *capsule = PyCapsule_New(handler, "mem_handler", NULL);
    PyObject *before = capsule ? PyDataMem_SetHandler(capsule) : NULL;
    Py_XDECREF(capsule);
    return before;
}

/* Each returns what restore takes. after(n): there is memory for n arrays more. */
static PyObject *after(PyObject *self, PyObject *n)
{
    left = PyLong_AsLong(n);
    return PyErr_Occurred() ? NULL : use(&scarce);
}

/* fence(behind): every array ends before an inaccessible page, or begins behind one. */
static PyObject *fence(PyObject *self, PyObject *flag)
{
    behind = PyObject_IsTrue(flag);
    return use(&fenced);
}

static PyObject *restore(PyObject *self, PyObject *before)
{
    return PyDataMem_SetHandler(before);
}

static PyMethodDef methods[] = {
    {"after", after, METH_O, NULL}, {"fence", fence, METH_O, NULL},
    {"restore", restore, METH_O, NULL}, {0},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "arrays", NULL, -1, methods};

PyMODINIT_FUNC PyInit_arrays(void)
{
    import_array();
    return PyModule_Create(&definition);
}
