"""Tables from `.npz` files, and which file is one; `.csv` files have a module of their own."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnncore.jobs import InputError
from rnncore.tables.spreadsheet import read_rows
from rnncore.tables.table import Table

Entry = npt.NDArray[Any]

SUFFIXES = (".npz", ".csv")


def read_table(path: str) -> Table:
    """Read a table of sequences.

    Parameters
    ----------
    path : str
        A file that ends in ".npz" or ".csv"; what has to be in it, `rnncore train --help` says.

    Raises
    ------
    InputError
        If it cannot be read, or is not such a table; the message begins with the path.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read {path}: {reason}") from None
    parse = read_rows if path.lower().endswith(".csv") else _read_arrays
    try:
        x, y, classes = parse(data)
        table = Table(x, y, classes, hashlib.sha256(data).hexdigest())
        table.check()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return table


def _read_arrays(data: bytes) -> tuple[list[Entry], Any, list[Any] | None]:
    """Sequences, targets and classes of an .npz file."""
    arrays = _open(data)
    for name in ("x", "y"):
        if name not in arrays:
            raise InputError(f"it has no array {name!r}, expected x, y and, if lengths differ, "
                             "lengths")
    for name in arrays.keys() - {"x", "y", "lengths"}:
        raise InputError(f"it has an array {name!r}, expected x, y and lengths alone")
    x, y = arrays["x"], arrays["y"]
    if x.dtype.kind not in "fiub":
        raise InputError(f"x has dtype {x.dtype}, expected numbers")
    if x.ndim not in (2, 3):
        raise InputError(f"x has shape {x.shape}, expected (samples, time, features) or "
                         "(samples, time)")
    wide = (x if x.ndim == 3 else x[:, :, np.newaxis]).astype(np.float64)
    lengths = _lengths(arrays.get("lengths"), *wide.shape[:2])
    sequences = [row[:length] for row, length in zip(wide, lengths, strict=True)]
    return sequences, *_targets(y, x.shape, lengths)


def _open(data: bytes) -> dict[str, Entry]:
    try:
        with np.load(io.BytesIO(data)) as archive:
            return {name: _entry(archive, name) for name in archive.files}
    except InputError:
        raise
    except (AttributeError, EOFError, OSError, TypeError, ValueError, zipfile.BadZipFile):
        raise InputError("it is not an .npz file, or damaged") from None


def _entry(archive: Any, name: str) -> Entry:
    """An array by name; NumPy refuses objects unless it is told otherwise."""
    try:
        entry = archive[name]
    except (EOFError, MemoryError, OSError, RuntimeError, ValueError, zipfile.BadZipFile,
            zlib.error):
        raise InputError(f"its array {name!r} is damaged or holds objects, expected numbers or "
                         "strings") from None
    if not isinstance(entry, np.ndarray):
        raise InputError(f"it holds a file {name!r}, expected arrays alone")
    return entry


def _lengths(given: Entry | None, samples: int, steps: int) -> Entry:
    if given is None:
        return np.full(samples, steps)
    if given.shape != (samples,) or given.dtype.kind not in "iu":
        raise InputError(f"lengths has shape {given.shape} and dtype {given.dtype}, expected "
                         f"({samples},) of integers")
    for index in np.flatnonzero((given < 1) | (given > steps)):
        raise InputError(f"lengths[{index}] is {given[index]}, expected 1 to {steps}")
    return given


def _targets(y: Entry, shape: tuple[int, ...], lengths: Entry) -> tuple[Any, list[Any] | None]:
    """The targets and classes of y, whose dtype tells classes from regression."""
    samples, steps = shape[:2]
    if y.dtype.kind in "iubU":
        if y.shape != (samples,):
            raise InputError(f"y has shape {y.shape}, expected ({samples},) of classes")
        labels, classes = np.unique(y, return_inverse=True)
        return classes, labels.tolist()
    if y.dtype.kind != "f":
        raise InputError(f"y has dtype {y.dtype}, expected integers or strings for classes, or "
                         "floats for regression")
    y = y.astype(np.float64)
    if y.ndim == 3 and y.shape[:2] == (samples, steps) and y.shape[2]:
        return [row[:length] for row, length in zip(y, lengths, strict=True)], None
    if y.ndim in (1, 2) and len(y) == samples and y.size:
        return y.reshape(samples, -1), None
    raise InputError(f"y has shape {y.shape}, expected ({samples},), ({samples}, targets) or "
                     f"({samples}, {steps}, targets)")
