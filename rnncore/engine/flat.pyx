"""A model's flat arrays: their norm and their largest element, and clipping by either."""

import numpy

from libc.math cimport frexp, isfinite, ldexp, sqrt

from rnncore.engine.plan cimport kernels_of
from rnncore.engine.types cimport rnn_kernels

from rnncore.engine.plan import current_isa


# A checked array, which its owner keeps alive.
cdef struct Flat:
    const rnn_kernels *kernels
    Py_ssize_t n
    void *data

cdef double _nothing = 0      # where an array without elements points


def flat_bytes(array, name):
    """The memory of a flat contiguous float32 or float64 array; refuse any other."""
    dtype = array.dtype if isinstance(array, numpy.ndarray) else type(array).__name__
    if dtype not in (numpy.float32, numpy.float64):
        raise TypeError(f"{name} is {dtype}, expected a float32 or float64 array")
    if array.ndim != 1 or not array.flags.c_contiguous:
        raise ValueError(f"{name} has shape {array.shape}, expected one flat contiguous array")
    return array.view(numpy.uint8)


cdef Flat _open(array, bint writable) except *:
    cdef Flat flat
    cdef const unsigned char[::1] view = flat_bytes(array, "array")
    if writable and not array.flags.writeable:
        raise ValueError("array is read-only, expected one that can be written to")
    flat.kernels, flat.n = kernels_of(current_isa(), array.itemsize), array.size
    flat.data = <void *> &view[0] if flat.n else &_nothing
    return flat


cdef double norm_of(const rnn_kernels *kernels, Py_ssize_t n, const void *x) noexcept nogil:
    """The Euclidean norm of x (n), accumulated in float64."""
    cdef double squares = kernels.sum_squares(n, x, 1), most, factor
    cdef int exponent
    if 1e-280 < squares < 1e300 or kernels.itemsize == 4:
        return sqrt(squares)
    most = kernels.largest(n, x)
    if most == 0 or not isfinite(most):
        return sqrt(squares)
    # A power of two: exact. At most 2^1023, which brings the least denormal to 2^-51.
    frexp(most, &exponent)
    factor = ldexp(1, min(-exponent, 1023))
    return sqrt(kernels.sum_squares(n, x, factor)) / factor


def global_norm(array):
    """The Euclidean norm of a flat array (n,), accumulated in float64.

    A float32 array of norm 1e30 gives 1e30, a float64 one of norm 1e300 gives 1e300; the bits
    are the same on every instruction set.

    Raises
    ------
    TypeError, ValueError
        If `array` is not a flat contiguous float32 or float64 array.
    """
    cdef Flat flat = _open(array, False)
    cdef double norm
    with nogil:
        norm = norm_of(flat.kernels, flat.n, flat.data)
    return norm


def largest(array):
    """The largest magnitude in a flat array (n,), 0 where it is empty; NaN if there is one.

    Raises
    ------
    TypeError, ValueError
        As `global_norm`.
    """
    cdef Flat flat = _open(array, False)
    cdef double found
    with nogil:
        found = flat.kernels.largest(flat.n, flat.data)
    return found


def scale(array, double factor):
    """Multiply a flat array (n,) by a factor, in place.

    Raises
    ------
    TypeError, ValueError
        As `global_norm`, or if `array` is read-only.
    """
    cdef Flat flat = _open(array, True)
    with nogil:
        flat.kernels.scale(flat.n, flat.data, factor)


def clamp(array, double limit):
    """Bring each element of a flat array (n,) into [-limit, limit], in place; NaN stays.

    Raises
    ------
    TypeError, ValueError
        As `scale`.
    """
    cdef Flat flat = _open(array, True)
    with nogil:
        flat.kernels.clamp(flat.n, flat.data, limit)
