"""What the C interface refuses: a status, words where there is room for them, nothing done."""

from __future__ import annotations

import ctypes
import json
import random
import re

import c_interface as c
import numpy as np
import pytest
from problems import same_bits
from safetensors.numpy import save_file
from stream_problems import draw, network

import rnncore as rc
from rnncore.files import architecture

F32, F64 = np.float32, np.float64


def refused(status, name, *arguments):
    with pytest.raises(c.RefusedError, match=f"^RNN_ERROR_{status}$"):
        c.call(name, *arguments)


def state_of(stream):
    state = np.empty(stream.shape().state_bytes // 4, F32)
    stream("get_state", state)
    return state


@pytest.mark.parametrize(("x", "y", "status"), [
    (np.ones((2, 4), F32), np.ones((2, 4), F32), "SIZE"),
    (np.ones((1, 3), F32), np.ones((2, 4), F32), "SIZE"),
    (np.ones((2, 3), F64), np.ones((2, 4), F32), "SIZE"),
    (np.ones((2, 3), F32), np.ones((2, 4), F64), "SIZE"),
    (np.ones((2, 3), F32), np.ones((0, 4), F32), "SIZE"),
    (np.zeros(25, np.uint8)[1:], np.ones((2, 4), F32), "ALIGNMENT"),
    (np.ones((2, 3), F32), np.zeros(34, np.uint8)[2:], "ALIGNMENT"),
])
def test_a_refused_step_changes_nothing(x, y, status):
    stream = c.stream_of(c.model_of(rc.Model([rc.LSTM(3, 4)], seed=0)), 2)
    stream("step", draw(2, 3), np.empty((2, 4), F32))
    before, kept = state_of(stream), y.copy()
    refused(status, "stream_step", stream.value, x, y)
    refused(status, "stream_run", stream.value, 1, x, y)
    same_bits(state_of(stream), before)
    same_bits(y, kept)


def test_no_array_is_null():
    stream = c.stream_of(c.model_of(rc.Model([rc.LSTM(3, 4)], seed=0)))
    x, y = draw(1, 3), np.empty((1, 4), F32)
    refused("NULL", "stream_step", stream.value, None, x.nbytes, y)
    refused("NULL", "stream_step", stream.value, x, None, y.nbytes)
    refused("NULL", "stream_get_state", stream.value, None, stream.shape().state_bytes)
    refused("SIZE", "stream_set_state", stream.value, x)
    stream("run", 0, None, 0, None, 0)


@pytest.mark.parametrize("steps", [0, 1, 3, 2**62, 2**64 - 1])
def test_as_many_steps_as_arrays(steps):
    stream = c.stream_of(c.model_of(rc.Model([rc.LSTM(1, 1)], seed=0)))
    refused("SIZE", "stream_run", stream.value, steps, draw(2, 1), np.empty((2, 1), F32))


def test_arrays_of_a_block_lie_apart():
    stream = c.stream_of(c.model_of(rc.Model([rc.GRU(3, 3)], seed=0)))
    memory = np.zeros(40, F32)
    x = memory[9:18]
    for y in (x, memory[17:26], memory[1:10]):
        refused("OVERLAP", "stream_run", stream.value, 3, x, y)
    stream("run", 3, x, memory[18:27])


@pytest.mark.parametrize("bad", [-1, 11, 2**62, -2**63])
def test_an_unknown_symbol_changes_nothing(bad):
    stream = c.stream_of(c.model_of(network()), 2)
    stream("step", np.array([1, 2]), np.empty((2, 3), F32))
    before = state_of(stream)
    refused("SYMBOL", "stream_step", stream.value, np.array([3, bad]), np.empty((2, 3), F32))
    refused("SYMBOL", "stream_run", stream.value, 2, np.array([[3, 3], [3, bad]]),
            np.empty((2, 2, 3), F32))
    same_bits(state_of(stream), before)


def test_rows_and_batches_that_are_none():
    handle = c.model_of(rc.Model([rc.LSTM(3, 4)], seed=0))
    stream, wide = c.stream_of(handle, 2), c.stream_of(handle, 3)
    other = c.stream_of(c.model_of(rc.Model([rc.LSTM(3, 5)], seed=0)), 2)
    for row in (2, 2**64 - 1):
        refused("VALUE", "stream_reset_row", stream.value, row)
        refused("VALUE", "stream_copy_row", stream.value, row, wide.value, 0)
        refused("VALUE", "stream_copy_row", wide.value, 0, stream.value, row)
    refused("VALUE", "stream_copy", stream.value, wide.value)
    refused("MODEL", "stream_copy", stream.value, other.value)
    refused("MODEL", "stream_copy_row", stream.value, 0, other.value, 0)
    made, size = ctypes.c_void_p(), ctypes.c_size_t()
    for batch, status in ((0, "VALUE"), (2**63, "MEMORY"), (2**64 - 1, "MEMORY"),
                          (2**58, "MEMORY")):
        refused(status, "stream_bytes", handle.value, batch, ctypes.byref(size))
        refused(status, "stream_create", handle.value, batch, None, 0, ctypes.byref(made))
    refused("SIZE", "stream_create", handle.value, 1, 64, 100, ctypes.byref(made))


def test_no_handle_is_null_or_of_another_kind():
    """Every function that takes a handle."""
    model = c.model_of(rc.Model([rc.LSTM(3, 4)], seed=0))
    stream = c.stream_of(model)
    junk = np.zeros(64, np.uint64).ctypes
    for name, text in c.functions():
        first = re.search(r"\((?:const )?rnn_(\w+) \*+", text)
        if first is None:
            continue
        other = stream if first[1] == "model" else model
        for value, status in ((None, "NULL"), (junk.data, "HANDLE"),
                              (other.value.value, "HANDLE")):
            handle = ctypes.c_void_p(value)
            rest = [ctypes.byref(ctypes.c_void_p()) if "made" in argument else 0
                    for argument in text.split(",")[1:]]
            refused(status, name, ctypes.byref(handle) if name.endswith("close") else handle,
                    *rest)
    refused("NULL", "stream_create", model.value, 1, None, 0, None)
    refused("NULL", "model_close", None)
    refused("NULL", "model_from_python", id(model), None, None, 0)


def test_what_is_closed_is_refused():
    """Where a pointer's copy can be told: in memory of the caller's, and while it is in use."""
    handle, size = c.model_of(rc.Model([rc.LSTM(3, 4)], seed=0)), ctypes.c_size_t()
    c.call("stream_bytes", handle.value, 1, ctypes.byref(size))
    stream = c.stream_of(handle, 1, np.empty(size.value, np.uint8))
    copies = ctypes.c_void_p(stream.value.value), ctypes.c_void_p(handle.value.value)
    memory = stream.memory
    handle.close()
    refused("CLOSED", "model_close", ctypes.byref(copies[1]))
    refused("CLOSED", "stream_bytes", copies[1], 1, ctypes.byref(size))
    stream.close()
    assert not stream.value
    refused("NULL", "stream_close", ctypes.byref(stream.value))
    refused("NULL", "model_close", ctypes.byref(handle.value))
    refused("CLOSED", "stream_step", copies[0], draw(1, 3), np.empty((1, 4), F32))
    refused("CLOSED", "stream_close", ctypes.byref(copies[0]))
    refused("CLOSED", "stream_reset", copies[0])
    assert memory is not None


def from_python(thing):
    message, made = ctypes.create_string_buffer(200), ctypes.c_void_p()
    status = c.api.model_from_python(id(thing), ctypes.byref(made), message, 200)
    assert not made
    return status, message.value.decode()


def test_other_objects_are_named():
    assert from_python(3) == (c.STATUS["RNN_ERROR_TYPE"],
                              "model is int, expected an rnncore.Model")
    message, made = ctypes.create_string_buffer(12), ctypes.c_void_p(1)
    for bytes_, text in ((12, b"stream is a"), (1, b""), (0, b"\xff")):
        message.raw = b"\xff" + bytes(11)
        stream = object()
        status = c.api.stream_from_python(id(stream), ctypes.byref(made), message, bytes_)
        assert (status, message.value, made.value) == (c.STATUS["RNN_ERROR_TYPE"],
                                                       text.replace(b" a", b" o"), None)


def test_all_that_is_refused_is_told():
    """Also what Python never sees."""
    model, made = rc.Model([rc.LSTM(3, 4)], seed=0), ctypes.c_void_p()
    plain = c.sequence_of(c.model_of(model), 1, 1, training=False)
    for name, given, place in (
            ("model_from_python", None, ctypes.byref(made)), ("model_from_file", b"", None),
            ("model_from_python", id(model), None), ("stream_from_python", id(model), None),
            ("model_from_file", None, ctypes.byref(made)),
            ("sequence_model", plain.value, ctypes.byref(made)),
            ("sequence_model", None, None)):
        message = ctypes.create_string_buffer(b"\xff" * 99)
        status = getattr(c.api, name)(given, place, message, 99)
        assert message.value == c.api.status_string(status)
        assert status == c.STATUS["RNN_ERROR_ORDER" if given is plain.value else
                                  "RNN_ERROR_NULL"]


def test_words_end_with_a_character(tmp_path):
    message, made = ctypes.create_string_buffer(400), ctypes.c_void_p()
    path = str(tmp_path / "größerer Fluß").encode()
    assert c.api.model_from_file(path, ctypes.byref(made), message, 400)
    whole = message.value
    assert "größerer Fluß" in whole.decode()
    for room in range(1, len(whole) + 1):
        assert c.api.model_from_file(path, ctypes.byref(made), message, room)
        assert whole.decode().startswith(message.value.decode())
        assert room - 3 < len(message.value) < room


def test_bidirectional_models_have_no_streams():
    handle = c.model_of(rc.Model([rc.LSTM(2, 3, bidirectional=True)]))
    size, made = ctypes.c_size_t(), ctypes.c_void_p()
    assert handle.shape().one_way == 0
    refused("MODEL", "stream_bytes", handle.value, 1, ctypes.byref(size))
    refused("MODEL", "stream_create", handle.value, 1, None, 0, ctypes.byref(made))


def test_a_shape_of_another_size_is_refused():
    handle = c.model_of(rc.Model([rc.LSTM(2, 3)]))
    stream = c.stream_of(handle)
    for size in (0, 8, ctypes.sizeof(c.Shape) - 8, ctypes.sizeof(c.Shape) + 8, 2**64 - 1):
        shape = c.Shape(struct_size=size, inputs=77)
        refused("STRUCT", "model_shape", handle.value, ctypes.byref(shape))
        refused("STRUCT", "stream_shape", stream.value, ctypes.byref(shape))
        assert shape.inputs == 77


def from_file(path):
    message, made = ctypes.create_string_buffer(300), ctypes.c_void_p()
    status = c.api.model_from_file(path, ctypes.byref(made), message, 300)
    if status == c.STATUS["RNN_OK"]:
        c.call("model_close", ctypes.byref(made))
    assert not made
    return status, message.value


@pytest.mark.parametrize(("key", "value"), [
    ("hidden_size", 10**6), ("hidden_size", 10**18), ("num_layers", 10**12),
    ("hidden_size", 77), ("input_size", 10**9), ("num_layers", "3"), ("hidden_size", -1),
    ("layer", "Model"), ("hidden_size", None), ("dtype", "object"), ("taps", [10**15]),
    ("taps", [10**18]), (None, "LSTM"),
])
def test_architectures_that_claim_anything_are_refused_at_once(tmp_path, key, value):
    """Before there is memory for what they claim."""
    path, model = tmp_path / "m.safetensors", rc.Model([rc.LSTM(3, 4)], seed=0)
    saved = architecture(model)
    saved["layers"][0] = saved["layers"][0] | {key: value} if key else value
    save_file(model.state_dict(), path, {"rnncore": json.dumps(saved)})
    status, message = from_file(str(path).encode())
    assert status == c.STATUS["RNN_ERROR_FILE"], message
    assert message


def test_files_that_are_no_models(tmp_path):
    """A missing one, a folder, and 300 that are cut off or damaged."""
    path = tmp_path / "m.safetensors"
    name = str(path).encode()
    bad = c.STATUS["RNN_ERROR_FILE"]
    assert from_file(name)[0] == bad
    assert b"m.safetensors" in from_file(name)[1]
    assert from_file(str(tmp_path).encode())[0] == bad
    rc.Model([rc.LSTM(3, 4), rc.Linear(4, 2)], seed=0).save(path)
    good, draws = path.read_bytes(), random.Random(0)
    assert from_file(name) == (c.STATUS["RNN_OK"], b"")
    for _ in range(150):
        path.write_bytes(good[:draws.randrange(len(good))])
        assert from_file(name)[0] == bad
        damaged = bytearray(good)
        for _ in range(draws.randrange(1, 8)):  # weights are any bits that are finite
            damaged[draws.randrange(len(good))] ^= 1 << draws.randrange(8)
        path.write_bytes(damaged)
        status, message = from_file(name)
        assert status in (c.STATUS["RNN_OK"], bad), message
        assert (status == c.STATUS["RNN_OK"]) == (message == b"")
