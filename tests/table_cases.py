"""Tables for the tests of reading, of models and of training: as arrays, and as files."""

from __future__ import annotations

import numpy as np

from rnncore.tables import read_table

N, T, F = 24, 6, 2


def classes(rng):
    """Sequences whose class is the sign of the mean of the first feature."""
    x = rng.standard_normal((N, T, F))
    return {"x": x, "y": (x[:, :, 0].mean(axis=1) > 0).astype(int)}


def table_of(given, folder):
    """Write arrays or a text to a file, and read it as a table."""
    if isinstance(given, dict):
        path = folder / "data.npz"
        np.savez(path, **given)
    else:
        path = folder / "data.csv"
        path.write_bytes(given if isinstance(given, bytes) else given.encode())
    return read_table(str(path))
