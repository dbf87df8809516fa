"""The C interface, for `rnncore_import` of rnncore.h; nothing here is called from Python."""

from __future__ import annotations

import os
from typing import Any

import rnncore
from rnncore.engine.capi import capsule
from rnncore.engine.program import Program
from rnncore.engine.snapshot import Snapshot
from rnncore.files import load
from rnncore.layers import Embedding
from rnncore.layers.recurrent import Recurrent
from rnncore.network import Network
from rnncore.parameters import Array
from rnncore.stream import Stream


def _snapshot(model: object) -> Snapshot:
    if not isinstance(model, Network):
        raise TypeError(f"model is {type(model).__name__}, expected an rnncore.Model")
    values = model.parameters.copy()
    parts: list[Any] = []
    arrays: list[Any] = []
    for i, layer in enumerate(model.layers):

        def view(name: str, i: int = i) -> Array:
            full = f"{i}.{name}"
            return values[model.tensors.slice(full)].reshape(model.tensors.shapes[full])

        if isinstance(layer, Recurrent):
            parts.append(layer._packed())
            arrays.append(layer._arrays(view))
        elif isinstance(layer, Embedding):
            parts.append(layer._packed())
            arrays.append(view("weight"))
        else:  # Last
            parts.append(None)
            arrays.append(None)
    frozen = [model.tensors.slice(name) for name in sorted(model.frozen)]
    return Snapshot(parts, arrays, values, frozen)


def _program(stream: object) -> Program:
    if not isinstance(stream, Stream):
        raise TypeError(f"stream is {type(stream).__name__}, expected an rnncore Stream")
    return stream._program


C_API = capsule(rnncore.__version__, _snapshot,
                lambda path: _snapshot(load(os.fsdecode(path))), _program)
