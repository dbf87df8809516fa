"""SciPy's BLAS as a table of two C functions, filled on first use.

Importing scipy.linalg takes longer than importing rnncore, so nothing here runs until the
`blas` engine is asked for. The functions come from the capsules that SciPy exports, whose
names are their C signatures: a BLAS whose integers are not C ints is refused by name instead
of being called wrongly.
"""

from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer

from rnncore.engine.types cimport Blas, dgemm_function, sgemm_function

cdef Blas _table


cdef void *_function(str name) except NULL:
    from scipy.linalg import cython_blas
    cdef object capsule = cython_blas.__pyx_capi__[name]
    cdef const char *signature = PyCapsule_GetName(capsule)
    arguments = (<bytes> signature).decode().split("(", 1)[1].rstrip(")").split(", ")
    integers = {arguments[i] for i in (2, 3, 4, 7, 9, 12)} if len(arguments) == 13 else None
    if integers != {"int *"}:
        raise ImportError(f"scipy's {name} has the signature {(<bytes> signature).decode()}, "
                          "expected 32-bit integers: use the native engine")
    return PyCapsule_GetPointer(capsule, signature)


cdef const Blas *table() except NULL:
    """The functions of the `blas` engine; the first call imports scipy.linalg."""
    if _table.sgemm == NULL:
        _table.dgemm = <dgemm_function> _function("dgemm")
        _table.sgemm = <sgemm_function> _function("sgemm")
    return &_table
