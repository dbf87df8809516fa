"""What sequences of the C interface refuse, and that all is then as it was."""

from __future__ import annotations

import ctypes

import c_interface as c
import numpy as np
import pytest
from problems import same_bits
from stream_problems import draw
from test_c_sequences import address, gradients, refused

import rnncore as rc


def test_what_is_refused_changes_nothing():
    model = rc.Model([rc.LSTM(3, 4)], seed=0)
    handle, x, y = c.model_of(model), draw(5, 2, 3), np.empty((5, 2, 4), np.float32)
    sequence = c.sequence_of(handle, 5, 2)
    refused("ORDER", sequence, "backward", y, None, 0)
    sequence("forward", 5, None, x, y)
    state, kept = np.empty(16, np.float32), gradients(sequence, np.float32).copy()
    sequence("get_state", state)
    before, after = y.copy(), np.empty_like(state)
    for steps, lengths, a, b, status in (
            (6, None, draw(6, 2, 3), np.empty((6, 2, 4), np.float32), "VALUE"),
            (2**64 - 1, None, x, y, "VALUE"), (4, None, x, y, "SIZE"),
            (5, None, x, y[:4], "SIZE"), (5, None, x, x, "SIZE"),
            (5, np.array([6, 0]), x, y, "VALUE"), (5, np.array([-1, 0]), x, y, "VALUE"),
            (5, None, x.astype(np.float64), y, "SIZE"),
            (5, None, np.zeros(121, np.uint8)[1:], y, "ALIGNMENT")):
        for name in ("infer", "forward"):
            refused(status, sequence, name, steps, address(lengths), a, b)
    refused("SIZE", sequence, "backward", y[1:], None, 0)
    refused("SIZE", sequence, "backward", y, x[1:])
    refused("OVERLAP", sequence, "backward", y, y.reshape(-1)[:30])
    for lr, momentum in ((-1, 0), (np.nan, 0), (np.inf, 0), (1, 1), (1, -1), (1, np.nan)):
        refused("VALUE", sequence, "sgd", lr, momentum)
    for limit in (0, -1, np.nan):
        refused("VALUE", sequence, "clip_norm", limit, None)
    sequence("get_state", after)
    same_bits(after, state)
    same_bits(y, before)
    same_bits(gradients(sequence, np.float32), kept)
    sequence("backward", y, None, 0)
    refused("ORDER", sequence, "backward", y, None, 0)
    own = gradients(sequence, np.float32)
    own[3] = np.nan
    refused("NONFINITE", sequence, "clip_norm", 1.0, None)
    plain = c.sequence_of(handle, 5, 2, training=False)
    refused("ORDER", plain, "forward", 5, None, x, y)
    for name, arguments in (("backward", (y, None, 0)), ("sgd", (0.1, 0.0)),
                            ("clip_norm", (1.0, None)), ("get_parameters", (x,))):
        refused("ORDER", plain, name, *arguments)


def test_symbols_that_have_become_others_are_refused():
    """They are read again by the backward pass."""
    model, x = rc.Model([rc.Embedding(5, 3), rc.Linear(3, 2)]), np.ones((2, 2), np.int64)
    sequence, y = c.sequence_of(c.model_of(model), 2, 2), np.empty((2, 2, 2), np.float32)
    sequence("forward", 2, None, x, y)
    for bad in (5, -1, 2**62, -2**63):
        x[1, 1] = bad
        refused("SYMBOL", sequence, "backward", y, None, 0)
    assert not gradients(sequence, np.float32).any()
    x[1, 1] = 0
    sequence("backward", y, None, 0)
    assert gradients(sequence, np.float32).any()


def test_momentum_is_remembered_past_steps_without():
    sequence = c.sequence_of(c.model_of(rc.Model([rc.Linear(2, 1)], seed=0)), 1, 1)
    before, after = np.empty((2, 3), np.float32)
    sequence("get_parameters", before)
    for momentum in (0.5, 0.0, 0.5):  # v = 1, then 1 but not kept, then 0.5 * 1 + 1
        gradients(sequence, np.float32)[:] = 1
        sequence("sgd", 0.25, momentum)
    sequence("get_parameters", after)
    np.testing.assert_allclose(before - after, 0.25 * (1 + 1 + 1.5), rtol=1e-6)


def test_sizes_that_are_none():
    handle, size = c.model_of(rc.Model([rc.LSTM(3, 4)], seed=0)), ctypes.c_size_t()
    for steps, batch, threads, status in (
            (0, 1, 1, "VALUE"), (1, 0, 1, "VALUE"), (1, 1, 0, "VALUE"), (1, 1, 257, "VALUE"),
            (2**63, 1, 1, "MEMORY"), (2**32, 2**32, 1, "MEMORY"), (1, 2**64 - 1, 1, "MEMORY"),
            (2**24, 1, 1, None)):
        arguments = handle.value, steps, batch, 1, threads, ctypes.byref(size)
        if status is None:
            c.call("sequence_bytes", *arguments)
        else:
            with pytest.raises(c.RefusedError, match=status):
                c.call("sequence_bytes", *arguments)
