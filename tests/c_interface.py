"""rnncore.h as Python sees it: its declarations read from the text, its functions called."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np

import rnncore
from rnncore.capi import C_API

HEADER = Path(rnncore.__file__).parent / "include" / "rnncore.h"
TEXT = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)
STATUS = {name: int(value) for name, value in re.findall(r"(RNN_\w+) = (\d+)", TEXT)}


def _body(struct):
    return re.search(rf"typedef struct {struct} \{{(.*?)\}} {struct};", TEXT, re.DOTALL)[1]


def _words(text):
    return " ".join(text.split())


def functions():
    """Of every entry of the struct its name and its signature, in their order."""
    return [(name, f"{_words(result)}({_words(arguments)})") for result, name, arguments in
            re.findall(r"([\w *]+?)\(\*(\w+)\)\((.*?)\);", _body("rnncore_api"), re.DOTALL)]


def fields(struct):
    """Of every field that is no function its name and its type, in their order."""
    found = []
    for line in re.sub(r"\(\*\w+\)\(.*?\)", "(", _body(struct), flags=re.DOTALL).split(";"):
        if line.strip() and "(" not in line:
            kind, names = re.match(r"((?:const )?\w+)\s+(.*)", _words(line)).groups()
            found += [(name.strip(" *"), kind + " *" * name.count("*"))
                      for name in names.split(",")]
    return found


_KINDS = {"size_t": ctypes.c_size_t, "int": ctypes.c_int, "double": ctypes.c_double,
          "rnn_status": ctypes.c_int, "const char *": ctypes.c_char_p}


def _kind(text):
    """The ctypes type of an argument, its name behind it, or of a field or a result."""
    text = re.sub(r"\b(?!char|int|size_t|double)\w+$", "", text.strip()) if "*" in text or \
        " " in text else text
    text = _words(text.replace("*", " * "))
    return _KINDS.get(text, ctypes.c_void_p)


def _function(signature):
    result, arguments = re.fullmatch(r"(.*?)\((.*)\)", signature).groups()
    kinds = [_kind(argument) for argument in arguments.split(",")]
    return ctypes.CFUNCTYPE(_KINDS[result.strip()], *kinds)


class Shape(ctypes.Structure):
    """rnn_shape."""

    _fields_ = [(name, _KINDS[kind]) for name, kind in fields("rnn_shape")]


class Api(ctypes.Structure):
    """rnncore_api."""

    _fields_ = [(name, _KINDS[kind]) for name, kind in fields("rnncore_api")] + [
        (name, _function(signature)) for name, signature in functions()]


def _import():
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return Api.from_address(get(C_API, b"rnncore.capi.C_API"))


api = _import()


class RefusedError(Exception):
    """A status that is not RNN_OK, by name."""


def call(name, *arguments):
    """Call a function; arrays go as their address and their bytes."""
    given = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            given += [argument.ctypes.data, argument.nbytes]
        else:
            given.append(argument)
    status = getattr(api, name)(*given)
    if status != STATUS["RNN_OK"]:
        raise RefusedError({value: key for key, value in STATUS.items()}[status])


class Handle:
    """A handle, closed where nobody uses it any more."""

    def __init__(self, kind, maker, *arguments):
        self.kind, self.value = kind, ctypes.c_void_p()
        call(maker, *arguments[:-1 if arguments and arguments[-1] == "message" else None],
             ctypes.byref(self.value),
             *((None, 0) if arguments and arguments[-1] == "message" else ()))

    def __call__(self, name, *arguments):
        call(f"{self.kind}_{name}", self.value, *arguments)

    def shape(self):
        shape = Shape(struct_size=ctypes.sizeof(Shape))
        call(f"{self.kind}_shape", self.value, ctypes.byref(shape))
        return shape

    def close(self):
        call(f"{self.kind}_close", ctypes.byref(self.value))

    def __del__(self):
        if self.value:
            self.close()


def model_of(model):
    """A handle of a Python model."""
    return Handle("model", "model_from_python", id(model), "message")


def stream_of(model, batch=1, memory=None):
    """A stream of a model's handle; in memory of the caller's, an array, if that is given."""
    place = (None, 0) if memory is None else (memory.ctypes.data, memory.nbytes)
    stream = Handle("stream", "stream_create", model.value, batch, *place)
    stream.memory = memory  # to be there until it is closed
    return stream


def clone_of(stream):
    """A clone in memory of the library's."""
    return Handle("stream", "stream_clone", stream.value, None, 0)


def sequence_of(model, steps, batch, training=True, threads=1, memory=None):
    """A sequence of a model's handle, as `stream_of`."""
    place = (None, 0) if memory is None else (memory.ctypes.data, memory.nbytes)
    sequence = Handle("sequence", "sequence_create", model.value, steps, batch, int(training),
                      threads, *place)
    sequence.memory = memory
    return sequence
