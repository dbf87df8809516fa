"""Named parameters in flat arrays: views, versions, joining, loading."""

from __future__ import annotations

import copy
import signal

import numpy as np
import pytest

from rnncore.interrupts import uninterrupted
from rnncore.parameters import Parameters

SHAPES = {"weight": (2, 3), "bias": (2,)}


def filled(dtype=np.float64, start=0.0):
    """Parameters 0, 1, 2, ... and gradients -0, -1, -2, ..."""
    p = Parameters(SHAPES, dtype)
    with p.writable() as flat:
        flat[:] = start + np.arange(8)
    p.grads[:] = -p.values
    return p


def test_names_are_views_of_the_flat_arrays_in_order():
    p = filled()
    assert list(p) == ["weight", "bias"] and len(p) == 2 and "bias" in p
    assert p["weight"].tolist() == [[0, 1, 2], [3, 4, 5]] and p["bias"].tolist() == [6, 7]
    assert p.slice("bias") == slice(6, 8) and p.size == 8 and p.dtype == np.float64
    assert [name for name, _ in p.items()] == list(p)
    p.grad("bias")[:] = 9
    assert p.grads[6:].tolist() == [9, 9]
    p.grad_dict()["weight"][0, 0] = 5
    assert p.grads[0] == 5


def test_values_are_read_only_and_gradients_are_not():
    p = filled()
    for view in (p.values, p["bias"], dict(p.items())["weight"]):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1
    p.grads[0] = 1


def test_every_write_raises_the_version():
    p = Parameters(SHAPES, np.float32)
    assert p.version == 0
    p.set("bias", np.ones(2, np.float32))
    assert p.version == 1
    p.load_state_dict(p.state_dict())
    assert p.version == 2
    with pytest.raises(RuntimeError), p.writable() as flat:
        flat[0] = 3
        raise RuntimeError
    assert p.version == 3 and p.values[0] == 3


def test_a_writable_view_is_read_only_after_its_block():
    p = filled()
    with p.writable() as flat:
        flat[0] = 5
    with pytest.raises(ValueError, match="read-only"):
        flat[0] = 6


def test_joined_parts_alias_the_whole():
    a, b = filled(), filled(start=10)
    whole = Parameters.joined({"0": a, "1": b})
    assert list(whole) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert whole.values.tolist() == [*range(8), *range(10, 18)]
    assert whole.grads.tolist() == [-v for v in whole.values]
    b.set("bias", np.array([1.0, 2.0]))
    assert whole["1.bias"].tolist() == [1, 2]
    with whole.writable() as flat:
        flat[0] = 42
    assert a["weight"][0, 0] == 42 and a.values[0] == 42
    a.grad("bias")[0] = 3
    assert whole.grad("0.bias")[0] == 3
    with b.writable() as flat:
        assert flat.size == 8
        flat[:] = 7
    assert (whole.values[8:] == 7).all() and (whole.values[:8] != 7).any()
    with pytest.raises(ValueError, match="read-only"):
        a["bias"][0] = 1


def test_parts_report_the_version_of_the_whole_and_never_one_seen_before():
    a, b = filled(), Parameters(SHAPES, np.float64)
    for _ in range(5):
        a.set("bias", np.ones(2))
    seen = a.version
    whole = Parameters.joined({"0": a, "1": b})
    assert a.version == b.version == whole.version > seen
    b.set("bias", np.ones(2))
    assert a.version == whole.version > seen + 1


def test_an_empty_part_joins_whatever_its_dtype():
    whole = Parameters.joined({"0": filled(), "1": Parameters({}, np.float32)})
    assert whole.dtype == np.float64 and whole.size == 8


def test_a_deep_copy_is_independent_even_of_a_part():
    a = filled()
    whole = Parameters.joined({"0": a})
    part, all_of_it = copy.deepcopy(a), copy.deepcopy(whole)
    assert part.values.tobytes() == a.values.tobytes()
    assert all_of_it.grads.tobytes() == whole.grads.tobytes()
    with whole.writable() as flat:
        flat[:] = 0
    whole.grads[:] = 0
    assert part.values[1] == 1 and part.grads[1] == -1 and all_of_it.values[1] == 1
    Parameters.joined({"again": part})


def test_state_dicts_are_copies_and_load_back():
    p = filled(np.float32)
    state = p.state_dict()
    state["bias"][:] = 100
    assert p["bias"].tolist() == [6, 7]
    p.load_state_dict({"bias": np.float64([1, 2]), "weight": np.ones((2, 3))})
    assert p["bias"].tolist() == [1, 2] and p["bias"].dtype == np.float32
    p.load_state_dict({"bias": np.zeros(2), "other": np.zeros(1)}, strict=False)
    assert p["bias"].tolist() == [0, 0] and p["weight"][0, 0] == 1


def test_loading_its_own_views_exchanged_is_no_aliasing():
    p = Parameters({"a": (2,), "b": (2,)}, np.float64)
    p.set("a", np.ones(2))
    p.load_state_dict({"a": p["b"], "b": p["a"]})
    assert p["a"].tolist() == [0, 0] and p["b"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"bias": None}, ValueError, r"missing names \['bias'\]"),
        ({"new": np.zeros(1)}, ValueError, r"unexpected names \['new'\]"),
        ({"bias": np.zeros(3)}, ValueError, r"bias has shape \(3,\), expected \(2,\)"),
        ({"bias": np.array([1, np.nan])}, ValueError, "bias has 1 of 2 values that are not"),
        ({"bias": np.array([1, 1e300])}, ValueError, "not finite in float32"),
        ({"bias": np.array([1, 2])}, TypeError, "bias has dtype int64, expected a float type"),
    ],
)
def test_a_wrong_state_changes_nothing(change, error, message):
    p = filled(np.float32)
    before, version = p.values.copy(), p.version
    state = {"weight": np.ones((2, 3)), "bias": np.ones(2), **change}
    with pytest.raises(error, match=message):
        p.load_state_dict({name: a for name, a in state.items() if a is not None})
    assert (p.values == before).all() and p.version == version


@pytest.mark.parametrize(
    ("name", "array", "error", "message"),
    [
        ("gain", np.zeros(2), KeyError, "no parameter 'gain', expected one of weight, bias"),
        ("bias", np.zeros(2), TypeError, r"bias has dtype float64, expected float32: cast it"),
        ("bias", np.zeros(3, np.float32), ValueError, r"bias has shape \(3,\), expected"),
    ],
)
def test_set_refuses_by_name(name, array, error, message):
    p = Parameters(SHAPES, np.float32)
    with pytest.raises(error, match=message):
        p.set(name, array)
    assert p.version == 0


def test_reading_an_unknown_name_says_which_there_are():
    p = Parameters(SHAPES, np.float32)
    for read in (p.__getitem__, p.grad, p.slice):
        with pytest.raises(KeyError, match="expected one of weight, bias"):
            read("gain")


def test_joining_refuses_other_dtypes_and_parts_in_use():
    a, b = filled(), filled(np.float32)
    with pytest.raises(TypeError, match=r"dtypes \['float32', 'float64'\], expected one"):
        Parameters.joined({"0": a, "1": b})
    with pytest.raises(ValueError, match="part 0 is in a model already"):
        Parameters.joined({"0": a, "1": a})
    Parameters.joined({"0": a})
    with pytest.raises(ValueError, match="part 5 is in a model already: use a deep copy"):
        Parameters.joined({"5": a})


def test_only_two_dtypes():
    with pytest.raises(TypeError, match="dtype is float16, expected float32 or float64"):
        Parameters(SHAPES, np.float16)


def test_an_interrupt_waits_for_the_end_of_a_write():
    reached = False
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGINT)
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_may_replace_itself_while_it_was_deferred():
    def once(number, frame):
        signal.signal(number, signal.SIG_IGN)

    before = signal.signal(signal.SIGTERM, once)
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
