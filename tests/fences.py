"""Arrays that end, or begin, where an inaccessible page does; workspaces full of NaN.

An access outside of a fenced array ends the process, with a traceback from faulthandler that
names the test.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import tempfile
from pathlib import Path
from unittest import mock

import c_builds
import numpy as np

from rnncore.engine.memory import Workspaces

PAGE = mmap.PAGESIZE
PROT_NONE = 0
LINE = 64  # bytes: the engine asks for one more line than it needs and aligns within


def can_fence():
    return hasattr(ctypes.CDLL(None), "mprotect")


def fenced(array, behind=True):
    """A copy of an array that ends right before an inaccessible page, or begins behind one."""
    if array.nbytes == 0:
        return array.copy()
    size = -(-array.nbytes // PAGE) * PAGE
    memory = mmap.mmap(-1, size + 2 * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (address, address + PAGE + size):
        if ctypes.CDLL(None).mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), PROT_NONE):
            raise OSError("mprotect failed")
    offset = PAGE + (size - array.nbytes if behind else 0)
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


def fence_parameters(layer, behind=True):
    """Put every parameter and every gradient of a layer that has not run yet on its own pages;
    its flat arrays are of no use after that."""
    own = layer.parameters
    own._values = {name: fenced(array, behind) for name, array in own._values.items()}
    own._grads = {name: fenced(array, behind) for name, array in own._grads.items()}


def _workspace(size, fill, behind):
    """What the engine takes for `size` bytes, so that the aligned part of them is fenced."""
    memory = fenced(np.full(size - behind, fill, np.uint8), behind)
    # One byte of the array lies in the fence: the engine skips 63 in front of a line.
    return np.lib.stride_tricks.as_strided(memory, (size,), (1,))


@functools.cache
def arrays():
    """The extension that decides where NumPy's arrays have their memory from."""
    with tempfile.TemporaryDirectory() as folder:
        return c_builds.load(c_builds.shared(
            Path(__file__).parent / "probes" / "arrays.c", Path(folder), "-Wall", "-Werror",
            "-isystem", np.get_include(), "-DNPY_NO_DEPRECATED_API=NPY_1_22_API_VERSION",
            "-DNPY_TARGET_VERSION=NPY_1_22_API_VERSION"))


@contextlib.contextmanager
def poisoned(behind=True):
    """Fence everything the engine allocates; what it does not ask to be zero is NaN."""
    empty, zeros = np.empty, np.zeros

    def poison(shape, dtype=float):
        return _workspace(shape, 0xFF, behind) if dtype is np.uint8 else empty(shape, dtype)

    def clear(shape, dtype=float):
        return _workspace(shape, 0, behind) if dtype is np.uint8 else zeros(shape, dtype)

    def take(pool, size):
        return np.empty(size, np.uint8)  # never what another pass has left

    before = arrays().fence(behind)
    try:
        with (
            mock.patch.multiple(np, empty=poison, zeros=clear),
            mock.patch.object(Workspaces, "take", take),
            mock.patch.object(Workspaces, "give", lambda pool, *memory: None),
        ):
            yield
    finally:
        arrays().restore(before)
