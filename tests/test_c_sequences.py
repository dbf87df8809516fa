"""Sequences through the C interface: the bits of Python's passes and trainings."""

from __future__ import annotations

import copy
import ctypes
import gc

import c_interface as c
import numpy as np
import pytest
from fences import can_fence, fenced
from problems import every_cell, every_dtype, same_bits, takes_many_taps
from stream_problems import draw, network

import rnncore as rc

STRUCTURES = [{"num_layers": 2, "bidirectional": True}, {"taps": (2,)},
              {"taps": (1, 3), "residual": True}]


def deep():
    """All kinds of layers that a step of a sequence can be of."""
    return network()


def last():
    return rc.Model([rc.Linear(3, 4, activation="tanh"), rc.LSTM(4, 5, bidirectional=True),
                     rc.Last(), rc.Linear(10, 6, activation="relu"), rc.Linear(6, 2)], seed=0)


def draw_x(model, steps, size, seed=0):
    if model.takes_symbols:
        return np.random.default_rng(seed).integers(0, model.input_size, (steps, size))
    return draw(steps, size, model.input_size, dtype=model.dtype, seed=seed)


def address(lengths):
    return None if lengths is None else lengths.ctypes.data


def gradients(sequence, dtype):
    place, size = ctypes.c_void_p(), ctypes.c_size_t()
    sequence("gradients", ctypes.byref(place), ctypes.byref(size))
    array = (ctypes.c_char * size.value).from_address(place.value)
    return np.frombuffer(array, dtype)


def refused(status, sequence, *arguments):
    with pytest.raises(c.RefusedError, match=f"^RNN_ERROR_{status}$"):
        sequence(*arguments)


def check_passes(model, steps, size, lengths=None, threads=1):
    """A forward and a backward pass, then inference from its final state."""
    x, outputs = draw_x(model, steps, size), model.output_size
    sequence = c.sequence_of(c.model_of(model), steps, size, threads=threads)
    shape = (steps, size, outputs) if model.per_step else (size, outputs)
    y, dy = np.empty(shape, model.dtype), draw(*shape, dtype=model.dtype, seed=1)
    expected, state = model.eval().forward(x, None, lengths)
    sequence("forward", steps, address(lengths), x, y)
    same_bits(y, expected, "y")
    model.grads.fill(0)
    symbols = model.takes_symbols
    dx = None if symbols else np.empty_like(x)
    given = dy.copy()  # what lies past the end of a row means nothing here, in Python it is 0
    if lengths is not None and model.per_step:
        given[np.arange(steps)[:, None] >= lengths] = 0
    expected, _ = model.backward(given, input_grad=not symbols)
    sequence("backward", dy, *((None, 0) if symbols else (dx,)))
    if not symbols:
        same_bits(dx, expected, "dx")
    same_bits(gradients(sequence, model.dtype), model.grads, "gradients")
    sequence("infer", steps, address(lengths), x, y)
    same_bits(y, model.infer(x, state, lengths)[0], "y from the final state")


@every_dtype
@every_cell
def test_passes_have_the_bits_of_python(cell, dtype):
    for i, structure in enumerate(STRUCTURES):
        if len(structure.get("taps", ())) > 1 and not takes_many_taps(cell):
            continue
        inputs = hidden = (5, 19)[(i + len(cell.name)) % 2]
        if cell.kind == "IntersectionRNN":
            structure = {k: v for k, v in structure.items() if k != "num_layers"}
        layer = getattr(rc, cell.kind)(inputs, hidden, dtype=dtype, **cell.options | structure)
        check_passes(rc.Model([layer], seed=i), 7, 4, np.array([3, 0, 7, 6]))


@pytest.mark.parametrize("lengths", [None, [7, 7, 5, 2, 0]])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("make", [deep, last])
def test_whole_networks_have_the_bits_of_python(make, threads, lengths):
    check_passes(make(), 7, 5, None if lengths is None else np.array(lengths), threads)


@pytest.mark.parametrize("shape", [(1, 1), (300, 1), (3, 70)])
def test_sizes_at_which_work_is_cut(shape):
    check_passes(rc.Model([rc.GRU(3, 133), rc.Linear(133, 2)], seed=0), *shape)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("make", [deep, lambda: rc.Model([rc.LSTM(3, 40), rc.Linear(40, 2)],
                                                         seed=0)])
def test_a_training_has_the_bits_of_python(make, momentum, threads):
    """Truncated back-propagation: the state goes on, windows differ in their steps."""
    model, steps, size = make().eval(), 9, 3
    sequence = c.sequence_of(c.model_of(model), steps, size, threads=threads)
    optimizer, state = rc.SGD(lr=0.1, momentum=momentum), None
    for update in range(12):
        length = steps if update % 3 else 4
        x = draw_x(model, length, size, seed=update)
        target = draw(length, size, model.output_size, seed=update + 50)
        y, norm = np.empty_like(target), ctypes.c_double()
        sequence("forward", length, None, x, y)
        sequence("backward", 2 * (y - target), None, 0)
        sequence("clip_norm", 0.5, ctypes.byref(norm))
        sequence("sgd", 0.1, momentum)
        expected, state = model.forward(x, state)
        same_bits(y, expected)
        model.grads.fill(0)
        model.backward(2 * (y - target), input_grad=False)
        assert model.clip_norm(0.5) == norm.value
        optimizer.step(model)
    learned = np.empty_like(model.parameters)
    sequence("get_parameters", learned)
    same_bits(learned, model.parameters)
    assert not np.array_equal(learned, make().parameters)
    trained = c.Handle("model", "sequence_model", sequence.value, "message")
    sequence.close()
    x, y = draw_x(model, 5, 2), np.empty((5, 2, model.output_size), np.float32)
    c.stream_of(trained, 2)("run", 5, x, y)
    same_bits(y, model.infer(x)[0])
    again = c.sequence_of(trained, 5, 2)
    trained.close()
    again("infer", 5, None, x, y)
    same_bits(y, model.infer(x)[0])


def test_parameters_are_the_sequence_s_own():
    """What learns changes no model, stream or other sequence; it can be set from outside."""
    model = deep().eval()
    before, handle = copy.deepcopy(model), c.model_of(model)
    learning, other = c.sequence_of(handle, 5, 2), c.sequence_of(handle, 5, 2, training=False)
    stream, x = c.stream_of(handle, 2), draw_x(model, 5, 2)
    y = np.empty((5, 2, 3), np.float32)
    learning("forward", 5, None, x, y)
    learning("backward", y, None, 0)
    learning("sgd", 0.5, 0.0)
    expected = before.infer(x)[0]
    other("infer", 5, None, x, y)
    same_bits(y, expected)
    stream("run", 5, x, y)
    same_bits(y, expected)
    same_bits(model.parameters, before.parameters)
    learning("set_parameters", before.parameters)
    learning("reset")
    learning("infer", 5, None, x, y)
    same_bits(y, expected)
    assert not gradients(learning, np.float32).any()


def test_gradients_add_up_and_skip_what_is_frozen():
    model, x = rc.Model([rc.RNN(2, 3), rc.Linear(3, 2)], seed=0), draw(4, 2, 2)
    model.freeze("0.weight_hh*", "1.bias")
    sequence, y = c.sequence_of(c.model_of(model), 4, 2), np.empty((4, 2, 2), np.float32)
    for _ in range(2):
        sequence("reset")
        sequence("forward", 4, None, x, y)
        sequence("backward", y, None, 0)
        model.forward(x)
        model.backward(y)
    same_bits(gradients(sequence, np.float32), model.grads)


def test_a_network_without_recurrent_layers():
    model = rc.Model([rc.Embedding(5, 3, dtype=np.float64)], seed=0)
    check_passes(model, 4, 2, np.array([4, 1]))


def test_the_memory_of_the_caller_is_enough():
    """For every number of steps and all lengths, in the midst of inaccessible pages."""
    if not can_fence():
        pytest.skip("no mprotect here")
    for make in (deep, last):
        model, size = make().eval(), ctypes.c_size_t()
        handle = c.model_of(model)
        c.call("sequence_bytes", handle.value, 6, 3, 1, 1, ctypes.byref(size))
        for behind in (False, True):
            memory = fenced(np.empty(size.value, np.uint8), behind)
            sequence = c.sequence_of(handle, 6, 3, memory=memory)
            for steps in (6, 1, 3, 0):
                lengths = np.array([steps, 0, (steps + 1) // 2])
                x, shape = draw_x(model, steps, 3), (steps, 3, model.output_size)
                y = fenced(np.empty(shape if model.per_step else shape[1:], np.float32), behind)
                sequence("reset")
                sequence("infer", steps, address(lengths), fenced(x, behind), y)
                same_bits(y, model.infer(x, None, lengths)[0])
                sequence("reset")
                sequence("forward", steps, address(lengths), x, y)
                same_bits(y, model.infer(x, None, lengths)[0])
                sequence("backward", np.ones_like(y), None, 0)
                sequence("clip_norm", 1.0, None)
                sequence("sgd", 0.0, 0.5)
            sequence.close()
        with pytest.raises(c.RefusedError, match="SIZE"):
            c.sequence_of(handle, 6, 3, memory=np.empty(size.value - 1, np.uint8))


def test_states_are_those_of_python():
    model, x = deep().eval(), np.random.default_rng(0).integers(0, 11, (6, 2))
    sequence, y = c.sequence_of(c.model_of(model), 6, 2, training=False), np.empty((6, 2, 3))
    y = y.astype(np.float32)
    sequence("infer", 6, None, x, y)
    state = np.empty(sequence.shape().state_bytes // 4, np.float32)
    sequence("get_state", state)
    stream = c.stream_of(c.model_of(model), 2)
    stream("set_state", state)
    expected = np.empty_like(y)
    stream("run", 6, x, expected)
    sequence("infer", 6, None, x, y)
    same_bits(y, expected)
    sequence("set_state", state)
    sequence("infer", 6, None, x, y)
    same_bits(y, expected)


def test_rows_are_reset_and_copied_alone():
    model, x = deep().eval(), np.random.default_rng(0).integers(0, 11, (9, 4))
    handle = c.model_of(model)
    one, other = (c.sequence_of(handle, 9, size, training=False) for size in (4, 2))
    y, z = np.empty((9, 4, 3), np.float32), np.empty((9, 2, 3), np.float32)
    one("infer", 5, None, x[:5], y[:5])
    other("copy_row", 1, one.value, 3)
    one("reset_row", 2)
    one("copy_row", 0, one.value, 1)
    one("infer", 4, None, x[5:], y[5:])
    other("infer", 4, None, np.ascontiguousarray(x[5:, 2:]), z[5:])
    expected = model.infer(x)[0]
    same_bits(y[:, [1, 3]], expected[:, [1, 3]])
    same_bits(z[5:, 1], expected[5:, 3])
    same_bits(y[5:, 2], model.infer(x[5:, 2])[0])
    same_bits(y[5:, 0], model.infer(np.concatenate([x[:5, 1], x[5:, 0]]))[0][5:])
    for row in (4, 2**64 - 1):
        refused("VALUE", one, "reset_row", row)
        refused("VALUE", one, "copy_row", row, other.value, 0)
        refused("VALUE", other, "copy_row", 0, one.value, row)


@pytest.mark.parametrize(("layer", "other"), [
    (rc.RNN(3, 4), rc.GRU(3, 4)), (rc.GRU(3, 4), rc.GRU(3, 5)), (rc.GRU(3, 4), rc.LSTM(3, 4)),
    (rc.GRU(3, 4), rc.GRU(3, 2, dtype="float64")),
    (rc.LSTM(3, 4, num_layers=2), rc.LSTM(3, 4, bidirectional=True)),
    (rc.LSTM(3, 4, num_layers=2), rc.LSTM(3, 4, taps=(2,))),
])
def test_rows_are_copied_between_models_of_one_form(layer, other):
    """States may be of as many bytes and yet be other states."""
    one, strange = (c.sequence_of(c.model_of(rc.Model([each])), 1, 2, training=False)
                    for each in (layer, other))
    refused("MODEL", one, "copy_row", 0, strange.value, 0)
    refused("MODEL", strange, "copy_row", 0, one.value, 0)


def test_a_sequence_outlives_all_others():
    model, x = deep().eval(), np.random.default_rng(0).integers(0, 11, (6, 2))
    expected = model.infer(x)[0]
    handle = c.model_of(model)
    sequence, y = c.sequence_of(handle, 6, 2), np.empty((6, 2, 3), np.float32)
    handle.close()
    del model
    gc.collect()
    sequence("forward", 6, None, x, y)
    same_bits(y, expected)
    sequence("backward", y, None, 0)
    sequence("sgd", 0.1, 0.0)
