"""Random calls of the C interface, most of them wrong: each gives a status, and none does harm.

Handles are open, closed, NULL, of another kind or no handles at all; sizes and numbers are
right, off by a little, or huge. Under the address sanitizer, which .ci/nightly builds, a read
or a write where there is nothing ends the test.
"""

from __future__ import annotations

import ctypes
import random

import c_interface as c
import numpy as np
import pytest
from problems import same_bits
from stream_problems import draw, network

import rnncore as rc

CASES = 10_000
HUGE = (2**31, 2**32 + 1, 2**62, 2**63, 2**64 - 1)
NUMBERS = (0.0, 0.1, 0.5, 1.0, -1.0, float("nan"), float("inf"), 1e308)


class Calls:
    """Handles of all kinds, and arguments drawn for any function."""

    def __init__(self, model, seed):
        self.random, self.model = random.Random(seed), model
        self.buffer = np.zeros(1 << 16, np.uint8)
        self.buffer[:1024:8] = 1  # symbols, and floats next to nothing
        self.junk = np.full(64, 0x5A, np.uint8)
        self.python = [model, rc.Model([rc.RNN(3, 2)], seed=0).stream(2), 3, None]
        self.open = {kind: [] for kind in ("model", "stream", "sequence")}
        self.closed = []  # copies of pointers to handles in memory of ours
        self.memory = {}  # of the handles that lie in it
        self.statuses = set()

    def handle(self, kind):
        draw, other = self.random.random(), self.random.choice(list(self.open))
        pool = self.open[kind if draw < 0.85 else other]
        if draw > 0.97 or not pool:
            return self.random.choice([None, self.junk.ctypes.data, *self.closed])
        return self.random.choice(pool)

    def size(self, handle, name):
        """A number of bytes or of rows that is right as often as not."""
        shape, draw = c.Shape(struct_size=ctypes.sizeof(c.Shape)), self.random.random()
        kind = next((k for k, pool in self.open.items() if handle in pool), None)
        if draw < 0.05 or kind is None:
            return self.random.choice((0, 1, 7, 64, *HUGE))
        getattr(c.api, f"{kind}_shape")(handle, ctypes.byref(shape))
        rows = max(shape.batch, 1) * (1 if draw < 0.5 else self.random.randrange(4))
        if "state" in name:
            return shape.state_bytes
        return {"x_bytes": rows * shape.x_bytes, "dx_bytes": rows * shape.x_bytes,
                "y_bytes": rows * shape.y_bytes, "dy_bytes": rows * shape.y_bytes}.get(
                    name, self.random.choice((rows, shape.parameters * shape.itemsize)))

    def pointer(self, name, untyped):
        if self.random.random() < 0.05:
            return self.random.choice((None, self.buffer.ctypes.data + untyped))
        return self.buffer.ctypes.data + (1 << 15 if name in ("y", "dx", "values") else 0)

    def argument(self, text, first):
        """An argument for a declaration such as `const void *x`."""
        name = text.split("*")[-1].split()[-1] if "*" in text else text.split()[-1]
        if text.startswith(("rnn_status", "int")):
            return self.random.choice((-1, 0, 1, 1, 2, 300))
        if text.startswith("size_t") and "*" not in text:
            if name in ("steps", "batch", "row", "to_row", "from_row"):
                return self.random.choice((0, 1, 1, 2, 2, 3, self.random.choice(HUGE)))
            return self.size(first, name)
        if text.startswith("double") and "*" not in text:
            return self.random.choice(NUMBERS)
        if "lengths" in text:
            return self.random.choice((None, None, self.buffer.ctypes.data))
        return self.pointer(name, "void *" in text and "**" not in text)


def one_call(calls, name, declared):
    """Call a function; keep account of the handles."""
    first = result = None
    arguments, place = [], None
    for text in declared:
        kind = text.replace("const ", "").split("_")[1].split()[0] if "rnn_" in text else None
        if kind in calls.open and "**" not in text:
            arguments.append(calls.handle(kind))
            first = arguments[0]
        elif name.endswith("close"):
            result = ctypes.c_void_p(calls.handle(name.split("_")[0]))
            first = result.value
            arguments.append(ctypes.byref(result))
        elif "made" in text:
            result = ctypes.c_void_p()
            arguments.append(ctypes.byref(result) if calls.random.random() < 0.98 else None)
        elif "shape" in text and "*" in text:
            arguments.append(ctypes.byref(c.Shape(struct_size=calls.random.choice(
                (ctypes.sizeof(c.Shape), 0, 8, 2**40)))))
        elif "void *memory" in text:
            place = np.empty(1 << 20, np.uint8) if calls.random.random() < 0.8 else None
            arguments.append(None if place is None else place.ctypes.data + 3)
        elif "size_t bytes" in text and place is not None:
            arguments.append((1 << 20) - 3 if calls.random.random() < 0.9 else 1000)
        elif "from_python" in name and text.startswith("void *"):
            arguments.append(id(calls.random.choice(calls.python)))
        elif "char *message" in text:
            arguments.append(None)
        elif name == "model_from_file" and "path" in text:
            arguments.append(calls.random.choice((b"", b"/", b"/dev/null", b"nowhere")))
        else:
            arguments.append(calls.argument(text, first))
    status = getattr(c.api, name)(*arguments)
    account(calls, name, status, result, first, place)
    return status


def account(calls, name, status, result, first, place):
    if name.endswith("close") and status == 0:
        calls.open[name.split("_")[0]].remove(first)
        if first in calls.memory:
            calls.closed.append(first)  # the memory stays
    elif result is not None and result.value and status == 0:
        kind = "model" if name == "sequence_model" else name.split("_")[0]
        calls.open[kind].append(result.value)
        if place is not None:
            calls.memory[result.value] = place


@pytest.mark.parametrize("make", [network, lambda: rc.Model([rc.LSTM(3, 5)], seed=0), lambda: (
    rc.Model([rc.GRU(2, 4, bidirectional=True), rc.Last(), rc.Linear(8, 2)], seed=0))])
def test_random_calls(make):
    model, seen = make(), {}
    before = model.parameters.copy()
    calls = Calls(model, seed=0)
    functions = [(name, [text.strip() for text in signature[:-1].split("(", 1)[1].split(",")])
                 for name, signature in c.functions() if name != "status_string"]
    for _ in range(CASES):
        name, declared = calls.random.choice(functions)
        if calls.random.random() < 0.2 and len(calls.open["model"]) < 3:
            name, declared = next(f for f in functions if f[0] == "model_from_python")
        if name.endswith("close") and calls.random.random() < 0.7:
            continue
        status = one_call(calls, name, declared)
        seen.setdefault(status, set()).add(name)
    for kind in ("sequence", "stream", "model"):
        for value in calls.open[kind]:
            c.call(f"{kind}_close", ctypes.byref(ctypes.c_void_p(value)))
    assert set(seen) <= set(c.STATUS.values())
    assert len(seen) > 11  # of the statuses there are
    assert len(seen[0]) > 25  # of the functions that went well at least once
    same_bits(model.parameters, before)
    if not model.takes_symbols and model.per_step:
        x = draw(4, 1, 3)
        y = np.empty((4, 1, 5), np.float32)
        c.stream_of(c.model_of(model))("run", 4, x, y)
        same_bits(y, model.infer(x)[0])
