"""Streams through the C interface: the bits of Python, memory of the caller's, lifetimes."""

from __future__ import annotations

import ctypes
import gc
import os
from concurrent.futures import ThreadPoolExecutor

import c_interface as c
import numpy as np
import pytest
from cases import CELLS
from fences import can_fence, fenced
from problems import every_cell, every_dtype, every_isa, same_bits
from stream_problems import draw, network, structured

import rnncore as rc
from rnncore.engine.spec import use

STRUCTURES = [{}, {"num_layers": 2}, {"taps": (3,)}, {"taps": (1, 3), "residual": True}]
SHAPES = [(1, 5, 5), (3, 1, 16), (2, 19, 37)]  # B, I, H


def by_steps(stream, x, outputs):
    y = np.empty((len(x), len(x[0]), outputs), x.dtype if x.dtype.kind == "f" else np.float32)
    for x_t, y_t in zip(x, y, strict=True):
        stream("step", x_t, y_t)
    return y


def flat(state):
    """The arrays of a Python stream's state, one after the other."""
    parts = [part for entry in state if entry is not None
             for part in (entry if isinstance(entry, tuple) else (entry,))]
    return np.concatenate([part.reshape(-1) for part in parts])


@every_dtype
@every_isa
@every_cell
def test_steps_give_the_bits_of_infer(cell, isa, dtype):
    for model, x in structured(cell, STRUCTURES, SHAPES, dtype):
        with use(isa=isa, engine="native"):
            y, _ = model.infer(x)
            handle = c.model_of(model)
        assert handle.shape().isa == isa.encode()
        stream, again = c.stream_of(handle, x.shape[1]), np.empty_like(y)
        same_bits(by_steps(stream, x, model.output_size), y, "y")
        stream("reset")
        stream("run", len(x), x, again)
        same_bits(again, y, "y of a block")


@every_dtype
@every_cell
def test_a_history_of_100000_steps(cell, dtype):
    """From Python and from C, steps and blocks in turn."""
    model = rc.Model([getattr(rc, cell.kind)(5, 5, dtype=dtype, **cell.options)], seed=0)
    x = draw(100_000, 1, 5, dtype=dtype)
    y, z = np.empty((2, *x.shape), dtype)
    stream, same = c.stream_of(c.model_of(model)), model.stream()
    for t in range(0, len(x), 500):
        stream("step", x[t], y[t])
        same.step(x[t], out=z[t])
        stream("run", 499, x[t + 1:t + 500], y[t + 1:t + 500])
        same.run(x[t + 1:t + 500], out=z[t + 1:t + 500])
    expected = model.infer(x)[0]
    same_bits(y, expected, "from C")
    same_bits(z, expected, "from Python")


@pytest.mark.parametrize("size", [1, 4])
def test_whole_networks_and_their_states(size):
    model, x = network(), np.random.default_rng(0).integers(0, 11, (30, size))
    stream, same = c.stream_of(c.model_of(model), size), model.stream(size)
    y, state = model.infer(x[:20])
    same_bits(by_steps(stream, x[:20], 3), y)
    got = np.empty(stream.shape().state_bytes // 4, np.float32)
    stream("get_state", got)
    same_bits(got, flat(state))
    stream("run", 1, x[:1], np.empty((1, size, 3), np.float32))  # another slot
    stream("set_state", got)
    same.state = state
    same_bits(by_steps(stream, x[20:], 3), same.run(x[20:]))


def test_a_stream_of_python_is_shared():
    model, x = rc.Model([rc.LSTM(2, 5, taps=(1, 2))], seed=0), draw(30, 3, 2)
    stream = model.stream(3)
    shared = c.Handle("stream", "stream_from_python", id(stream), "message")
    assert (shared.shape().batch, shared.shape().inputs, shared.shape().parameters) == (3, 2, 0)
    clone = c.clone_of(shared)
    y, _ = model.infer(x)
    same_bits(by_steps(shared, x[:10], 5), y[:10])
    same_bits(stream.run(x[10:20]), y[10:20])
    del stream, model
    gc.collect()
    same_bits(by_steps(shared, x[20:], 5), y[20:])
    shared.close()
    same_bits(by_steps(clone, x, 5), y)


def test_a_shape_is_that_of_the_stream():
    """Not of the model, which here gives the last step alone and has parameters."""
    model = rc.Model([rc.LSTM(2, 5, num_layers=2), rc.Last(), rc.Linear(5, 3)], seed=0)
    handle, stream = c.model_of(model), model.stream(4)
    known = handle.shape()
    assert (known.batch, known.parameters, known.per_step) == (0, model.parameters.size, 0)
    assert known.state_bytes == 2 * 2 * 5 * 4
    shared = c.Handle("stream", "stream_from_python", id(stream), "message")
    for one in (c.stream_of(handle, 4), shared, c.clone_of(shared)):
        shape = one.shape()
        assert (shape.batch, shape.parameters, shape.per_step, shape.steps) == (4, 0, 1, 0)
        assert shape.state_bytes == 4 * known.state_bytes
        assert (shape.inputs, shape.outputs, shape.x_bytes, shape.y_bytes) == (2, 3, 8, 12)


def test_a_handle_outlives_its_model():
    model, x = network(), np.random.default_rng(0).integers(0, 11, (9, 2))
    y, handle = model.infer(x)[0], c.model_of(model)
    model.load_state_dict({n: w * 2 for n, w in model.state_dict().items()})
    stream = c.stream_of(handle, 2)
    del model
    handle.close()
    gc.collect()
    same_bits(by_steps(stream, x, 3), y)
    clone = c.clone_of(stream)
    stream.close()
    clone("reset")
    same_bits(by_steps(clone, x, 3), y)


def test_a_file_becomes_a_stream(tmp_path):
    model, x = network(), np.random.default_rng(0).integers(0, 11, (9, 2))
    path = os.fsencode(tmp_path / "größer.safetensors")
    model.save(os.fsdecode(path))
    handle = c.Handle("model", "model_from_file", path, "message")
    same_bits(by_steps(c.stream_of(handle, 2), x, 3), model.infer(x)[0])


@pytest.mark.parametrize("make", [network, lambda: rc.Model([rc.RNN(3, 4, form="pascanu")])])
def test_rows_are_reset_and_copied_alone(make):
    model = make()
    symbols = model.takes_symbols
    x = np.random.default_rng(0).integers(0, 11, (12, 4)) if symbols else draw(12, 4, 3)
    handle, outputs = c.model_of(model), model.output_size
    one, other = c.stream_of(handle, 4), c.stream_of(handle, 4)
    by_steps(one, x[:5], outputs)
    by_steps(other, x[:2], outputs)  # its rings stand elsewhere
    one("reset_row", 2)
    other("copy", one.value)
    other("copy_row", 0, one.value, 3)
    other("copy_row", 1, other.value, 2)
    y, z = by_steps(one, x[5:], outputs), by_steps(other, x[5:], outputs)
    expected = model.infer(x)[0][5:]
    same_bits(y[:, [0, 1, 3]], expected[:, [0, 1, 3]])
    same_bits(y[:, 2], model.infer(x[5:, 2:3])[0][:, 0])
    same_bits(z[:, 2:], y[:, 2:])
    state = model.infer(x[:5])[1]
    from_three = model.stream(4)
    from_three.state = state
    seen = from_three.state
    for entry in seen:
        for part in entry if isinstance(entry, tuple) else (entry,):
            if part is not None:
                part[..., 0, :] = part[..., 3, :]
                part[..., 1, :] = 0
    from_three.state = seen
    same_bits(z[:, :2], from_three.run(x[5:])[:, :2])


def test_states_go_to_new_weights():
    """As after learning: the stream of another model of the same form."""
    model, x = rc.Model([rc.GRU(2, 5)], seed=0), draw(9, 1, 2)
    old, (_, state) = c.stream_of(c.model_of(model)), model.infer(x)
    by_steps(old, x, 5)
    model.load_state_dict({n: w * 2 for n, w in model.state_dict().items()})
    new = c.stream_of(c.model_of(model))
    new("copy", old.value)
    same_bits(by_steps(new, x, 5), model.infer(x, state)[0])


@pytest.mark.parametrize("offset", [0, 1, 4, 63])
def test_a_stream_in_memory_of_the_caller(offset):
    model, x = network(), np.random.default_rng(0).integers(0, 11, (9, 3))
    handle, size = c.model_of(model), ctypes.c_size_t()
    c.call("stream_bytes", handle.value, 3, ctypes.byref(size))
    memory = np.full(size.value + 64, 0xAB, np.uint8)
    stream = c.stream_of(handle, 3, memory[offset:offset + size.value])
    same_bits(by_steps(stream, x, 3), model.infer(x)[0])
    assert (memory[:offset] == 0xAB).all()
    assert (memory[offset + size.value:] == 0xAB).all()
    place = np.empty(size.value, np.uint8)
    other = c.Handle("stream", "stream_clone", stream.value, place.ctypes.data, place.nbytes)
    same_bits(by_steps(other, x, 3), by_steps(stream, x, 3))
    other.close()
    stream.close()
    with pytest.raises(c.RefusedError, match="SIZE"):
        c.stream_of(handle, 3, memory[:size.value - 1])


@pytest.mark.skipif(not can_fence(), reason="no mprotect here")
@pytest.mark.parametrize("behind", [False, True])
def test_nothing_beside_the_arrays_is_touched(behind):
    model, x = network(), np.random.default_rng(0).integers(0, 11, (5, 2))
    handle, size = c.model_of(model), ctypes.c_size_t()
    c.call("stream_bytes", handle.value, 2, ctypes.byref(size))
    memory = fenced(np.empty(size.value, np.uint8), behind)
    stream = c.stream_of(handle, 2, memory)
    out = fenced(np.empty((2, 3), np.float32), behind)
    for t, expected in enumerate(model.infer(x)[0]):
        stream("step", fenced(x[t], behind), out)
        same_bits(out, expected)
    state = fenced(np.empty(stream.shape().state_bytes // 4, np.float32), behind)
    stream("get_state", state)
    stream("set_state", state)
    stream.close()


def test_the_output_may_lie_on_the_input():
    model, x = rc.Model([rc.GRU(3, 3)], seed=0), draw(2, 3)
    expected = model.stream(2).step(x)
    c.stream_of(c.model_of(model), 2)("step", x, x)
    same_bits(x, expected)


@every_isa
def test_a_stream_may_keep_the_mode_of_its_caller(isa):
    """Then a step passes on a denormal; what is none has the bits of infer."""
    layer = rc.RNN(1, 1, activation="relu", bias=False)
    layer.load_state_dict({name: np.ones((1, 1), np.float32) for name in layer.parameters})
    small, y = np.full((1, 1), 1e-40, np.float32), np.empty((1, 1), np.float32)
    x = draw(9, 1, 1)
    with use(isa=isa, engine="native"):
        stream = c.stream_of(c.model_of(rc.Model([layer])))
        for keep, expected in ((0, 0), (1, small[0, 0]), (0, 0)):
            stream("keep_mode", keep)
            for handle, found in ((stream, expected), (c.clone_of(stream), 0)):
                handle("reset")
                handle("step", small, y)
                assert y == found
                handle("run", 1, small, y)
                assert (y > 0) == (found > 0)
            stream("reset")
            same_bits(by_steps(stream, x, 1), layer.infer(x)[0])


@pytest.mark.parametrize("name", ["lstm", "gru_after", "rnn_pascanu_tanh"])
def test_many_streams_in_many_threads(name):
    """Each thread steps and clones streams of one model."""
    cell = CELLS[name]
    model = rc.Model([getattr(rc, cell.kind)(3, 20, **cell.options), rc.Linear(20, 4)], seed=0)
    xs = [draw(30, 1, 3, seed=i) for i in range(40)]
    expected = [model.infer(x)[0].tobytes() for x in xs]
    handle, wrong = c.model_of(model), []
    made = [c.stream_of(handle) for _ in xs]
    handle.close()

    def call(first):
        streams = {i: made[i] for i in range(first, len(xs), 8)}
        got = {i: np.empty((30, 1, 4), np.float32) for i in streams}
        for t in range(30):
            for i, stream in list(streams.items()):
                stream("step", xs[i][t], got[i][t])
                if t == 15:
                    streams[i] = c.clone_of(stream)
        wrong.extend(i for i in got if got[i].tobytes() != expected[i])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(call, range(8)))
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_handles_work_in_a_forked_child():
    model, x = rc.Model([rc.LSTM(3, 4)], seed=0), draw(9, 1, 3)
    handle, y = c.model_of(model), model.infer(x)[0]
    stream = c.stream_of(handle)
    by_steps(stream, x[:4], 4)
    child = os.fork()
    if child == 0:
        own = by_steps(stream, x[4:], 4).tobytes() == y[4:].tobytes()
        fresh = by_steps(c.stream_of(handle), x, 4).tobytes() == y.tobytes()
        os._exit(0 if own and fresh else 1)
    assert os.waitpid(child, 0)[1] == 0
    same_bits(by_steps(stream, x[4:], 4), y[4:])
