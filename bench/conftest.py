"""What benches share: a BLAS of one thread, and Cython of their own, compiled against the
headers of the checkout."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read once, when NumPy or SciPy loads its BLAS

import c_builds
import pytest

import rnncore as rc

ENGINE = Path(rc.__file__).parent / "engine"


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """A function that compiles a .pyx of this folder and imports it; it needs Cython."""
    def module_of(name):
        source, folder = Path(__file__).with_name(f"{name}.pyx"), tmp_path_factory.mktemp(name)
        return c_builds.load(c_builds.translated(source, folder, "-I", str(ENGINE)))

    return module_of
