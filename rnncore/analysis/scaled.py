"""Rows of numbers with exponents of their own, so that nothing vanishes and nothing explodes.

A gradient that has gone back a hundred steps through sigmoid units is 0.25^100 = 6e-61 of what
it was, which float32 does not know. As all of it is linear, a row can be multiplied by a power
of two wherever it is convenient: that changes no digit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnncore.parameters import Array

NOTHING = -(2**40)  # the exponent of a row of zeros
_FARTHEST = 5000  # a difference of exponents that takes any float64 to 0


class Scaled(NamedTuple):
    """Rows (..., F) of which each is multiplied by 2**exponent (...)."""

    rows: Array
    exponent: Array

    @property
    def log10(self) -> Array:
        """The logarithms (...) of the norms of the rows, -inf of zeros."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log10(norms(self.rows)) + self.exponent * np.log10(2))

    def at(self, exponent: Array) -> Array:
        """The rows as multiples of 2**exponent; 0 where they are too small for that."""
        return times(self.rows, self.exponent - exponent)


def times(rows: Array, shift: Array) -> Array:
    """Rows (..., F) times 2**shift (...)."""
    near = np.clip(shift, -_FARTHEST, _FARTHEST)[..., None].astype(np.int32)
    return np.asarray(np.ldexp(rows, near))


def norms(rows: Array) -> Array:
    """The Euclidean norms (...) of rows (..., F), in float64, of any size that it can have."""
    wide = np.abs(rows.astype(np.float64))
    peak = wide.max(axis=-1, initial=0.0)
    unit = np.where((peak > 0) & np.isfinite(peak), peak, 1.0)
    return np.asarray(unit * np.sqrt(((wide / unit[..., None]) ** 2).sum(axis=-1)))


def scaled(rows: Array, exponent: Array | int = 0) -> Scaled:
    """Rows, multiplied by 2**exponent, brought to norms from 1/2 to 1."""
    size = norms(rows)
    shift = np.frexp(size)[1]
    whole = shift + np.asarray(exponent, np.int64)
    return Scaled(times(rows, -shift), np.where(size > 0, whole, NOTHING))


def added(a: Scaled, b: Scaled) -> Scaled:
    """The sum of rows."""
    top = np.maximum(a.exponent, b.exponent)
    return scaled(a.at(top) + b.at(top), top)
