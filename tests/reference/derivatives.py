"""Exact derivatives by the complex step (Squire, Trapp 1998): f'(a) = Im f(a + ih) / h.

There is no difference of close numbers in it, so h may be far below the rounding unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def complex_step(
    function: Callable[[Array], Any],
    array: Array,
    direction: Array | None = None,
    h: float = 1e-30,
) -> Any:
    """The gradient of a real scalar function of one array, shaped like the array.

    With a `direction`, the derivative along it: one call of the function instead of one per
    entry, for arrays with many.
    """
    if direction is not None:
        return np.imag(function(array + 1j * h * direction)) / h
    gradient = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        step = np.zeros(array.shape, complex)
        step[index] = 1j * h
        gradient[index] = np.imag(function(array + step)) / h
    return gradient
