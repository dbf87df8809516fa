"""What other extensions were compiled with never changes: it is appended to, or RNNCORE_ABI is
raised, which asks all of them to be compiled anew.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import c_interface as c
import numpy as np
import pytest

import rnncore as rc
from rnncore import cli

FIELDS = {
    "rnncore_api": "struct_size abi_version version",
    "rnn_shape": "struct_size steps batch inputs outputs symbols itemsize x_bytes y_bytes "
                 "state_bytes parameters one_way per_step isa engine",
}
STATUS = ("OK NULL HANDLE CLOSED ABI STRUCT SIZE ALIGNMENT OVERLAP VALUE SYMBOL MODEL TYPE "
          "FILE MEMORY ORDER NONFINITE PYTHON")
PLACE = "void *, size_t"
ARRAYS = "const int64_t *, const void *, size_t, void *, size_t"
# Every entry as it was published, without the names of its arguments; only the end may grow.
PUBLISHED = f"""
rnn_status check(int, size_t)
const char * status_string(rnn_status)
rnn_status model_from_python(void *, rnn_model **, char *, size_t)
rnn_status model_from_file(const char *, rnn_model **, char *, size_t)
rnn_status model_shape(const rnn_model *, rnn_shape *)
rnn_status model_close(rnn_model **)
rnn_status stream_bytes(const rnn_model *, size_t, size_t *)
rnn_status stream_create(rnn_model *, size_t, void *, size_t, rnn_stream **)
rnn_status stream_clone(const rnn_stream *, void *, size_t, rnn_stream **)
rnn_status stream_from_python(void *, rnn_stream **, char *, size_t)
rnn_status stream_close(rnn_stream **)
rnn_status stream_shape(const rnn_stream *, rnn_shape *)
rnn_status stream_step(rnn_stream *, const void *, size_t, void *, size_t)
rnn_status stream_run(rnn_stream *, size_t, const void *, size_t, void *, size_t)
rnn_status stream_reset(rnn_stream *)
rnn_status stream_reset_row(rnn_stream *, size_t)
rnn_status stream_copy(rnn_stream *, const rnn_stream *)
rnn_status stream_copy_row(rnn_stream *, size_t, const rnn_stream *, size_t)
rnn_status stream_get_state(const rnn_stream *, void *, size_t)
rnn_status stream_set_state(rnn_stream *, const void *, size_t)
rnn_status sequence_bytes(const rnn_model *, size_t, size_t, int, int, size_t *)
rnn_status sequence_create(rnn_model *, size_t, size_t, int, int, {PLACE}, rnn_sequence **)
rnn_status sequence_close(rnn_sequence **)
rnn_status sequence_shape(const rnn_sequence *, rnn_shape *)
rnn_status sequence_infer(rnn_sequence *, size_t, {ARRAYS})
rnn_status sequence_forward(rnn_sequence *, size_t, {ARRAYS})
rnn_status sequence_backward(rnn_sequence *, const void *, size_t, void *, size_t)
rnn_status sequence_clip_norm(rnn_sequence *, double, double *)
rnn_status sequence_sgd(rnn_sequence *, double, double)
rnn_status sequence_reset(rnn_sequence *)
rnn_status sequence_reset_row(rnn_sequence *, size_t)
rnn_status sequence_copy_row(rnn_sequence *, size_t, const rnn_sequence *, size_t)
rnn_status sequence_get_state(const rnn_sequence *, void *, size_t)
rnn_status sequence_set_state(rnn_sequence *, const void *, size_t)
rnn_status sequence_get_parameters(const rnn_sequence *, void *, size_t)
rnn_status sequence_set_parameters(rnn_sequence *, const void *, size_t)
rnn_status sequence_gradients(rnn_sequence *, void **, size_t *)
rnn_status sequence_model(const rnn_sequence *, rnn_model **, char *, size_t)
rnn_status stream_keep_mode(rnn_stream *, int)
"""


def signature(name, text):
    """A declaration without the names of its arguments."""
    result, arguments = re.fullmatch(r"(.*?)\((.*)\)", text).groups()
    kinds = [re.sub(r"\w+$", "", argument.strip()).strip() for argument in arguments.split(",")]
    return f"{result.strip()} {name}({', '.join(kinds)})"


def test_published_entries_stay():
    found = [signature(*entry) for entry in c.functions()]
    published = PUBLISHED.split("\n")[1:-1]
    assert found[:len(published)] == published
    assert found == published, "a new entry belongs at the end of the table"


@pytest.mark.parametrize("struct", FIELDS)
def test_published_fields_stay(struct):
    assert [name for name, _ in c.fields(struct)] == FIELDS[struct].split()


def test_published_statuses_stay():
    names = ["RNN_OK", *(f"RNN_ERROR_{name}" for name in STATUS.split()[1:])]
    assert {name: i for i, name in enumerate(names)} == c.STATUS


def test_the_struct_says_what_it_is():
    assert c.api.struct_size == ctypes.sizeof(c.Api)
    assert c.api.abi_version == 1 == int(re.search(r"RNNCORE_ABI (\d+)", c.TEXT)[1])
    assert c.api.version == rc.__version__.encode()
    assert all(getattr(c.api, name) for name, _ in c.functions())


@pytest.mark.parametrize(("abi", "size", "fits"), [
    (1, ctypes.sizeof(c.Api), True), (2, ctypes.sizeof(c.Api), False), (0, 24, False),
    (1, ctypes.sizeof(c.Api) + 8, False), (1, ctypes.sizeof(c.Api) - 4, False), (1, 16, False),
    (1, 0, False), (-1, 2**64 - 1, False),
])
def test_a_caller_of_another_header_is_refused(abi, size, fits):
    assert c.api.check(abi, size) == c.STATUS["RNN_OK" if fits else "RNN_ERROR_ABI"]


def test_every_status_has_a_line():
    lines = {c.api.status_string(value) for value in c.STATUS.values()}
    assert len(lines) == len(c.STATUS)
    assert all(lines)
    for other in (-1, len(c.STATUS), 2**31 - 1):
        assert c.api.status_string(other) == b"not a status of this library"


def test_the_cython_declarations_are_those_of_the_header():
    """Each function of the struct, its types and its order."""
    text = (Path(rc.__file__).parent / "__init__.pxd").read_text(encoding="utf-8")
    struct = text[text.index("ctypedef struct rnncore_api"):]
    found = re.findall(r"([\w *]+?)\(\*(\w+)\)\((.*?)\) noexcept", struct, re.DOTALL)
    assert [signature(name, f"{' '.join(result.split())}({' '.join(arguments.split())})")
            for result, name, arguments in found] == [signature(*f) for f in c.functions()]
    for name, value in c.STATUS.items():
        assert re.search(rf"^        {name}$", text, re.MULTILINE), value


# ---- Compilers ----

COMPILERS = [name for name in ("gcc", "clang", "clang-14", "g++", "clang++", "clang++-14")
             if shutil.which(name)]
STANDARDS = {False: ("c99", "c11"), True: ("c++17",)}
CASES = [(compiler, standard) for compiler in COMPILERS
         for standard in STANDARDS["++" in compiler]]
PROGRAM = """
#include {python}
#include <rnncore.h>
int sizes[] = {{sizeof(rnncore_api) == {api} ? 1 : -1, sizeof(rnn_shape) == {shape} ? 1 : -1}};
size_t of(const rnncore_api *rnn, const rnn_stream *stream)
{{
    rnn_shape shape = {{sizeof shape, {zeros}}};
    return rnn->stream_shape(stream, &shape) == RNN_OK ? shape.inputs : 0;
}}
"""


@pytest.mark.parametrize("python", [False, True])
@pytest.mark.parametrize(("compiler", "standard"), CASES)
def test_the_header_compiles_without_a_warning(compiler, standard, python, tmp_path):
    """By itself, and behind Python.h, whose own warnings are not ours."""
    program = tmp_path / ("program.cpp" if "++" in compiler else "program.c")
    program.write_text(PROGRAM.format(
        python="<Python.h>" if python else "<stddef.h>", api=ctypes.sizeof(c.Api),
        shape=ctypes.sizeof(c.Shape),
        zeros=", ".join(["0"] * (len(c.Shape._fields_) - 1))))
    run = subprocess.run(
        [compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-pedantic",
         "-isystem", sysconfig.get_paths()["include"], "-I", rc.get_include(), "-c",
         str(program), "-o", str(tmp_path / "program.o")], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


IMPORTING = """
#include <Python.h>
#include <rnncore.h>
static PyObject *imports(PyObject *self, PyObject *none)
{
    const rnncore_api *api = rnncore_import();
    (void)self, (void)none;
    return api ? PyUnicode_FromString(api->version) : NULL;
}
static PyMethodDef methods[] = {{"imports", imports, METH_NOARGS, ""}, {0}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "importing", "", -1, methods};
PyMODINIT_FUNC PyInit_importing(void) { return PyModule_Create(&module); }
"""


@pytest.mark.skipif("gcc" not in COMPILERS, reason="no gcc here")
@pytest.mark.parametrize(("change", "message"), [
    (None, None),
    (("RNNCORE_ABI 1 ", "RNNCORE_ABI 2 "), "older than the header"),
    (("RNNCORE_ABI 1 ", "RNNCORE_ABI 0 "), "newer than the header"),
    (("} rnncore_api;", "void (*later)(void); } rnncore_api;"), "older than the header"),
])
def test_an_extension_of_another_header_is_refused_at_import(change, message, tmp_path):
    text = c.HEADER.read_text(encoding="utf-8")
    assert change is None or change[0] in text
    (tmp_path / "rnncore.h").write_text(text.replace(*change) if change else text)
    (tmp_path / "importing.c").write_text(IMPORTING)
    built = tmp_path / f"importing{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run(["gcc", "-shared", "-fPIC", "-isystem", sysconfig.get_paths()["include"],
                    "-I", str(tmp_path), str(tmp_path / "importing.c"), "-o", str(built)],
                   check=True)
    spec = importlib.util.spec_from_file_location("importing", built)
    module = importlib.util.module_from_spec(spec)
    if message is None:
        assert module.imports() == rc.__version__
    else:
        with pytest.raises(ImportError, match=message):
            module.imports()


# ---- Where it is found ----


def test_the_compiler_is_told_where_the_header_is(capsys):
    assert cli.main(["info", "--cflags"]) == 0
    assert capsys.readouterr().out == f"-I{rc.get_include()}\n"
    assert c.HEADER.parent == Path(rc.get_include())
    run = subprocess.run([sys.executable, "-m", "rnncore", "info", "--cflags"],
                         capture_output=True, text=True, check=True)
    assert run.stdout == f"-I{rc.get_include()}\n"


def test_pkg_config_knows_the_package(capsys):
    assert cli.main(["info", "--pkgconfigdir"]) == 0
    folder = Path(capsys.readouterr().out.rstrip("\n"))
    text = (folder / "rnncore.pc").read_text(encoding="utf-8")
    assert f"\nVersion: {rc.__version__}\n" in text
    if shutil.which("pkg-config"):
        run = subprocess.run(["pkg-config", "--cflags", "rnncore"], capture_output=True,
                             text=True, check=True, env={"PKG_CONFIG_PATH": str(folder),
                                                         "PATH": "/usr/bin:/bin"})
        assert Path(run.stdout.split("-I")[1].strip()) == folder


def test_arrays_of_ctypes_have_the_sizes_of_the_struct():
    """What the other tests call by would else be another struct than the compilers'."""
    assert ctypes.sizeof(c.Shape) == sum(np.dtype(k).itemsize for k in
                                         [np.uintp] * 11 + [np.int32] * 2 + [np.uintp] * 2)
