"""The way of a step from Python into a program.

Arrays are looked at through NumPy's C API, which costs a few comparisons; a buffer costs 100
ns, more than a step of a small network.
"""

import numpy

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals

from rnncore.engine.chain cimport Chain, stream_run
from rnncore.engine.program cimport Program

cnp.import_array()

cdef enum:
    LEAST_WORK = 1 << 17   # multiply-adds worth letting the GIL go for: 3 us, which takes 0.1
    CHUNK_WORK = 1 << 26   # between two looks at the signals: some milliseconds


cdef inline bint _fits(object array, int kind, bint writable, int skip, Py_ssize_t size,
                       Py_ssize_t width) noexcept:
    """Whether something is an array in C order and of a dtype, and its axes after the first
    `skip` are (size, width), or (width,) for one row; without a width where that is -1."""
    cdef const cnp.npy_intp *shape
    cdef int axes, features = width >= 0
    if not cnp.PyArray_Check(array):
        return False
    if cnp.PyArray_TYPE(<cnp.ndarray> array) != kind or not cnp.PyArray_ISCARRAY_RO(
            <cnp.ndarray> array) or writable and not cnp.PyArray_ISWRITEABLE(
            <cnp.ndarray> array):
        return False
    axes, shape = cnp.PyArray_NDIM(<cnp.ndarray> array), cnp.PyArray_DIMS(<cnp.ndarray> array)
    if axes == skip + features:
        return size == 1 and (not features or shape[axes - 1] == width)
    return axes == skip + features + 1 and shape[skip] == size and \
        (not features or shape[axes - 1] == width)


cdef class Stepper:
    """Checks what comes from Python and runs a program.

    Parameters
    ----------
    program : Program
        Calling the constructor once more replaces it.
    """

    cdef Program _program
    cdef Chain *_chain
    cdef int _kind, _input_kind
    cdef Py_ssize_t _width   # of x; -1 for symbols

    def __init__(self, Program program not None):
        cdef bint symbols = program.table is not None
        self._kind = cnp.NPY_FLOAT if program.chain.itemsize == 4 else cnp.NPY_DOUBLE
        self._input_kind = cnp.NPY_INT64 if symbols else self._kind
        self._width = -1 if symbols else program.chain.inputs
        self._program, self._chain = program, &program.chain

    def step(self, x, out=None):
        """Advance all rows by one step.

        Parameters
        ----------
        x : array (B, I), or integers (B,) of an Embedding
            The next step of every row, in the dtype of the model. A stream of one row also
            takes (I,), or one integer.
        out : array (B, K), optional
            Where to write the output, in C order; it may be x. Nothing is allocated then.

        Returns
        -------
        array (B, K), or (K,) where x had no axis for rows
            `out`, or a new array.

        Raises
        ------
        TypeError, ValueError
            If an array is not of the dtype, shape or range described; no state changes then.
        """
        cdef Chain *chain = self._ready()
        cdef const void *source
        cdef void *target
        cdef int status
        if not _fits(x, self._input_kind, False, 0, chain.size, self._width):
            x = self._arranged(x, 0)
        out = self._target(x, out, 0)
        source, target = cnp.PyArray_DATA(<cnp.ndarray> x), cnp.PyArray_DATA(<cnp.ndarray> out)
        if self._program.work < LEAST_WORK:
            status = stream_run(chain, source, target, 1, False)
        else:
            with nogil:
                status = stream_run(chain, source, target, 1, False)
        if status < 0:
            raise self._unknown(x)
        return out

    def run(self, x, out=None):
        """Advance all rows by the steps of a block, x (T, B, I) to y (T, B, K); otherwise as
        `step`. `out` may not share memory with x.
        """
        cdef Chain *chain = self._ready()
        cdef Py_ssize_t t = 0, steps, most = CHUNK_WORK // max(self._program.work, 1) + 1
        cdef const char *source
        cdef char *target
        cdef Py_ssize_t x_step, y_step
        cdef int status
        if not _fits(x, self._input_kind, False, 1, chain.size, self._width):
            x = self._arranged(x, 1)
        if out is not None and numpy.may_share_memory(x, out):
            raise ValueError("out shares memory with x, expected an array of its own")
        out = self._target(x, out, 1)
        source = <const char *> cnp.PyArray_DATA(<cnp.ndarray> x)
        target = <char *> cnp.PyArray_DATA(<cnp.ndarray> out)
        x_step, y_step = x.strides[0], out.strides[0]
        before = self._program.get()
        try:
            while t < len(x):
                steps = min(most, <Py_ssize_t> len(x) - t)
                with nogil:
                    status = stream_run(chain, source + t * x_step, target + t * y_step,
                                        steps, False)
                if status < 0:
                    raise self._unknown(x)
                PyErr_CheckSignals()
                t += steps
        except BaseException:
            self._program.put(before)
            raise
        return out

    cdef inline Chain *_ready(self) except NULL:
        if self._chain == NULL:
            raise RuntimeError("the constructor of this stream was not called")
        return self._chain

    cdef object _target(self, object x, object out, int skip):
        """A checked `out`, or a new one, for a checked x."""
        cdef cnp.npy_intp shape[3]
        cdef const cnp.npy_intp *given = cnp.PyArray_DIMS(<cnp.ndarray> x)
        cdef int axes = cnp.PyArray_NDIM(<cnp.ndarray> x) + (self._width < 0), axis
        for axis in range(axes - 1):
            shape[axis] = given[axis]
        shape[axes - 1] = self._chain.outputs
        if out is None:
            return cnp.PyArray_EMPTY(axes, shape, self._kind, 0)
        if _fits(out, self._kind, True, skip, self._chain.size, self._chain.outputs) and \
                cnp.PyArray_NDIM(<cnp.ndarray> out) == axes and \
                (skip == 0 or cnp.PyArray_DIMS(<cnp.ndarray> out)[0] == shape[0]):
            return out
        expected = f"{self._dtype()} of shape {tuple([shape[axis] for axis in range(axes)])}"
        raise ValueError(f"out is {getattr(out, 'dtype', type(out).__name__)} of shape "
                         f"{getattr(out, 'shape', None)}, expected {expected}, in C order, "
                         "aligned and writable")

    cdef object _dtype(self):
        return numpy.dtype(numpy.float32 if self._kind == cnp.NPY_FLOAT else numpy.float64)

    cdef object _arranged(self, x, int skip):
        """x as the program reads it, or an error that says what was expected."""
        size, symbols, dtype = self._chain.size, self._width < 0, self._dtype()
        given = numpy.asarray(x)
        if symbols and given.dtype.kind not in "iu":
            raise TypeError(f"x has dtype {given.dtype}, expected integers for an Embedding")
        if not symbols and given.dtype != dtype:
            raise TypeError(f"x has dtype {given.dtype}, expected {dtype}: cast it with "
                            f"x.astype(np.{dtype})")
        rows = given.shape[skip:]
        width = () if symbols else (self._width,)
        if len(given.shape) < skip or (rows != (size, *width) and (size > 1 or rows != width)):
            axes = ["time"] * skip + [str(n) for n in (size, *width)]
            raise ValueError(f"x has shape {given.shape}, expected ({', '.join(axes)}"
                             f"{',' if len(axes) == 1 else ''})")
        if symbols and given.dtype == numpy.uint64:
            given = numpy.minimum(given, numpy.uint64(2**63 - 1))  # unknown all the same
        return numpy.require(given, numpy.int64 if symbols else dtype, ["C", "A"])

    cdef object _unknown(self, x):
        bad = x[(x < 0) | (x >= self._chain.symbols)].reshape(-1)[0]
        last = self._chain.symbols - 1
        return ValueError(f"x holds {bad}, expected indices from 0 to {last}")
