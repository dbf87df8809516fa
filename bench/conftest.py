"""What benches share: a BLAS of one thread, and Cython of their own, compiled against the
headers of the checkout."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read once, when NumPy or SciPy loads its BLAS

import pytest

import rnncore as rc

ENGINE = Path(rc.__file__).parent / "engine"


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """A function that compiles a .pyx of this folder and imports it; it needs Cython."""
    build = pytest.importorskip("Cython.Build")
    setuptools = pytest.importorskip("setuptools")
    numpy = pytest.importorskip("numpy")

    def module_of(name):
        folder = tmp_path_factory.mktemp(name)
        source = Path(__file__).with_name(f"{name}.pyx")
        module = setuptools.Extension(
            name, [str(source)], include_dirs=[str(ENGINE), numpy.get_include()],
            extra_compile_args=["-O2"])
        made = setuptools.Distribution({"ext_modules": build.cythonize(
            [module], build_dir=str(folder), include_path=[str(ENGINE.parents[1])],
            compiler_directives={"language_level": 3, "freethreading_compatible": True})})
        command = made.get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(folder), str(folder)
        command.ensure_finalized()
        command.run()
        spec = importlib.util.spec_from_file_location(name, command.get_outputs()[0])
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded

    return module_of
