"""Checks of arguments; messages name the argument, what came and what was expected."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rnncore.engine.plan import LIMIT_TAPS

Array = npt.NDArray[Any]


def positive(name: str, value: Any) -> int:
    """A checked size."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {value!r}, expected an integer")
    if value < 1:
        raise ValueError(f"{name} is {value}, expected at least 1")
    return int(value)


def check_count(name: str, value: Any, at_least: int = 1) -> None:
    """Refuse what is not an integer, or too small."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, expected an integer") from None
    if number < at_least:
        raise ValueError(f"{name} is {value}, expected at least {at_least}")


def flag(name: str, value: Any) -> bool:
    """A checked truth value."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}, expected True or False")
    return bool(value)


def finite(name: str, value: Any) -> float:
    """A checked number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} is {value!r}, expected a number")
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}, expected a finite number")
    return float(value)


def not_negative(name: str, value: Any) -> float:
    """A checked number of at least 0."""
    if finite(name, value) < 0:
        raise ValueError(f"{name} is {value}, expected at least 0")
    return float(value)


def one_of(name: str, value: Any, expected: tuple[Any, ...]) -> Any:
    """A checked choice."""
    if value not in expected:
        raise ValueError(f"{name} is {value!r}, expected one of "
                         f"{', '.join(repr(e) for e in expected)}")
    return value


def float_type(value: npt.DTypeLike) -> np.dtype[Any]:
    """A checked dtype of parameters."""
    try:
        dtype = np.dtype(value) if value is not None else None
    except TypeError:
        dtype = None
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"dtype is {value!r}, expected float32 or float64")
    assert dtype is not None
    return dtype


def seeded(seed: Any) -> np.random.Generator:
    """The generator of a checked seed."""
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))
                             or seed < 0):
        raise ValueError(f"seed is {seed!r}, expected None or an integer of at least 0")
    return np.random.default_rng(seed)


def increasing_taps(given: Any) -> tuple[int, ...]:
    """Checked past steps of a recurrent product."""
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        raise TypeError(f"taps is {given!r}, expected a sequence of integers")
    taps = tuple(positive("taps", tap) for tap in given)
    if not taps or any(operator.ge(*pair) for pair in pairwise(taps)):
        raise ValueError(f"taps is {taps}, expected steps in increasing order")
    if len(taps) > LIMIT_TAPS:
        raise ValueError(f"taps has {len(taps)} entries, expected at most {LIMIT_TAPS}")
    return taps


def matching(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """The names that match some of the patterns, in their order; each pattern matches some."""
    names = list(names)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"pattern {pattern!r} matches no parameter, expected to match "
                             f"some of {', '.join(names)}")
    return [name for name in names if any(fnmatchcase(name, p) for p in patterns)]


def share(name: str, value: Any) -> float:
    """A checked probability of dropping out."""
    if not 0 <= finite(name, value) < 1:
        raise ValueError(f"{name} is {value}, expected at least 0 and less than 1")
    return float(value)


def of_dtype(name: str, array: Any, dtype: np.dtype[Any]) -> Array:
    """An array of exactly the layer's dtype: nothing is cast unasked."""
    given: Array = np.asarray(array)
    if given.dtype != dtype:
        raise TypeError(f"{name} has dtype {given.dtype}, expected {dtype}: "
                        f"cast it with .astype(np.{dtype})")
    return given


def lengths_of(lengths: npt.ArrayLike | None, steps: int, size: int) -> Array | None:
    """The checked lengths of a batch, or None for full ones."""
    if lengths is None:
        return None
    array = np.asarray(lengths)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"lengths has dtype {array.dtype}, expected integers")
    if array.shape != (size,):
        raise ValueError(f"lengths has shape {array.shape}, expected ({size},)")
    if size and (array.min() < 0 or array.max() > steps):
        raise ValueError(f"lengths lie in [{array.min()}, {array.max()}], expected in "
                         f"[0, {steps}]")
    return array.astype(np.intp)


def output(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], x: Array) -> Array:
    """A checked array to write to."""
    if not isinstance(out, np.ndarray) or out.dtype != dtype or out.shape != shape:
        raise ValueError(f"out is {getattr(out, 'dtype', type(out).__name__)} of shape "
                         f"{getattr(out, 'shape', None)}, expected {dtype} of shape {shape}")
    if not out.flags.c_contiguous or not out.flags.writeable or not out.flags.aligned:
        raise ValueError("out is not contiguous, aligned and writable, expected all three")
    if np.may_share_memory(out, x):
        raise ValueError("out shares memory with x, expected an array of its own")
    return out


def no_state(layer: object, state: Any, name: str = "state") -> None:
    """Refuse a state for a layer that has none."""
    if state is not None:
        raise ValueError(f"{name} is {type(state).__name__}, expected None: "
                         f"{type(layer).__name__} has no state")
