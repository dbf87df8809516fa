"""Extensions that tests and benchmarks compile for themselves."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sysconfig

import pytest

import rnncore

CC = (sysconfig.get_config_var("CC") or "cc").split()[0]
# An extension is watched by the sanitizer that the library was built with.
SANITIZER = {"1": ["-fsanitize=address,undefined"], "thread": ["-fsanitize=thread"]}.get(
    os.environ.get("RNNCORE_SANITIZE", ""), [])


def shared(source, folder, *flags):
    """Compile a C file into a shared object."""
    if shutil.which(CC) is None:
        pytest.skip("no compiler here")
    target = folder / f"{source.stem}{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run([CC, "-O2", "-shared", "-fPIC", "-pthread", *SANITIZER, *flags,
                    "-isystem", sysconfig.get_paths()["include"], "-I", rnncore.get_include(),
                    str(source), "-o", str(target), "-ldl"], check=True)
    return target


def translated(source, folder, *flags):
    """Compile a Cython file into a shared object."""
    compiler = pytest.importorskip("Cython.Compiler.Main")
    target = folder / f"{source.stem}.c"
    options = compiler.CompilationOptions(
        compiler.default_options, output_file=str(target), language_level=3,
        include_path=[os.path.dirname(os.path.dirname(rnncore.__file__))])
    if compiler.compile(str(source), options=options).num_errors:
        raise RuntimeError(f"{source} cannot be translated")
    return shared(target, folder, *flags)


def load(path):
    """Import a compiled extension."""
    spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
