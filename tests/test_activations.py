"""The kernels' sigmoid and tanh on every instruction set: errors, special values, symmetry.

The exact values are NumPy's in the next wider type, float64 for float32 and the 80-bit long
double for float64. tests/nightly/activations.py goes through all float32 arguments.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from rnncore.engine.plan import activate, available_isas
from rnncore.engine.spec import use

FUSED = ("avx512", "avx2", "neon")  # with a fused multiply-add: all have the same bits
FUNCTIONS = ("sigmoid", "tanh")
DTYPES = (np.float32, np.float64)
LIMIT = 3.0  # units in the last place that the library promises, in either type

# The largest error over `sample`, in units in the last place: with a fused multiply-add, and
# without one.
MEASURED = {
    ("sigmoid", np.float32): (2.239, 2.239),
    ("sigmoid", np.float64): (2.266, 2.266),
    ("tanh", np.float32): (1.844, 1.844),
    ("tanh", np.float64): (2.020, 2.020),
}

every_isa = pytest.mark.parametrize("isa", available_isas())
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
every_function = pytest.mark.parametrize("function", FUNCTIONS)


def call(function, x, isa):
    y = np.array(x)
    with use(isa=isa):
        activate(function, y)
    return y


def bits(array):
    return array.view(f"u{array.itemsize}")


def sample(dtype):
    """Every exponent, both signs; densest where the functions bend, between 2^-12 and 2^10."""
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    per_exponent = 256 if dtype == np.float64 else 2048
    parts = []
    for exponent in range(info.minexp, info.maxexp):
        count = 1 << 15 if -12 <= exponent < 10 else per_exponent
        mantissas = 1 + (np.arange(count) + rng.random(count)) / count
        parts.append(np.ldexp(np.minimum(mantissas, 2 - info.eps), exponent))
    x = np.concatenate(parts).astype(dtype)
    return np.concatenate([x, -x])


def exact(function, x):
    """The value in a wider type."""
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    if np.finfo(wide).nmant <= np.finfo(x.dtype).nmant:
        pytest.skip("no type wider than float64 here")
    x = x.astype(wide)
    if function == "tanh":
        return np.tanh(x)
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, wide(1)) / (1 + small)


def errors(function, x, isa):
    """In units in the last place of the exact value, where that is normal."""
    value, info = exact(function, x), np.finfo(x.dtype)
    normal = np.abs(value) >= info.tiny
    value, y = value[normal], call(function, x, isa)[normal]
    place = np.ldexp(value.dtype.type(1), np.frexp(value)[1] - info.nmant - 1)
    return np.abs(y - value) / place


@every_isa
@every_dtype
@every_function
def test_error_over_all_exponents(function, dtype, isa):
    largest = float(errors(function, sample(dtype), isa).max())
    assert largest <= LIMIT
    expected = MEASURED[function, dtype][isa not in FUSED]
    # Long double itself is good to 1/2000 of a float64's last place.
    assert largest == pytest.approx(expected, abs=0.005), "the table is out of date"


@every_isa
@every_dtype
def test_special_values(dtype, isa):
    info = np.finfo(dtype)
    large, denormal = info.max, info.smallest_subnormal * 5
    x = np.array([0.0, -0.0, np.inf, -np.inf, large, -large, 1000, -1000, np.nan, -np.nan,
                  denormal, -denormal], dtype)
    assert_array_equal(call("sigmoid", x, isa)[:10],
                       np.array([0.5, 0.5, 1, 0, 1, 0, 1, 0, np.nan, np.nan], dtype))
    assert_array_equal(call("sigmoid", x, isa)[10:], np.array([0.5, 0.5], dtype))
    y = call("tanh", x, isa)
    assert_array_equal(y[:10], np.array([0, 0, 1, -1, 1, -1, 1, -1, np.nan, np.nan], dtype))
    assert np.all(np.abs(y[10:]) < info.tiny), "a denormal may count as zero, not as more"
    assert_array_equal(np.signbit(y[[0, 1, 10, 11]]), [False, True, False, True])


@every_isa
@every_dtype
def test_saturation_is_exact(dtype, isa):
    digits = np.finfo(dtype).nmant + 1
    x = np.linspace((digits + 1) * np.log(2), 800, 5001).astype(dtype)
    assert_array_equal(call("sigmoid", x, isa), np.ones_like(x))
    assert_array_equal(call("tanh", x, isa), np.ones_like(x))
    assert_array_equal(call("tanh", -x, isa), -np.ones_like(x))
    zero = call("sigmoid", np.array([-746, -1e4, -np.finfo(dtype).max], dtype), isa)
    assert_array_equal(bits(zero), np.zeros_like(bits(zero)))


@every_isa
@every_dtype
def test_values_stay_in_their_range(dtype, isa):
    x = sample(dtype)
    y = call("sigmoid", x, isa)
    assert y.min() >= 0
    assert y.max() <= 1
    assert np.abs(call("tanh", x, isa)).max() <= 1


@every_isa
@every_dtype
def test_tanh_is_odd(dtype, isa):
    x = sample(dtype)
    assert_array_equal(bits(call("tanh", -x, isa)), bits(-call("tanh", x, isa)))


@every_isa
@every_dtype
def test_sigmoids_of_opposite_arguments_add_up_to_one(dtype, isa):
    x = sample(dtype)
    wide = np.longdouble  # so that the sum itself is not rounded
    total = call("sigmoid", x, isa).astype(wide) + call("sigmoid", -x, isa)
    assert np.abs(total - 1).max() <= 2 * np.finfo(dtype).eps


# How far a value may fall below that of a smaller argument, in units in the last place: only
# one of the four is not monotone.
STEPS_BACK = {("sigmoid", np.float64): 2}


@every_isa
@every_dtype
@every_function
def test_monotone(function, dtype, isa):
    rng, allowed = np.random.default_rng(1), STEPS_BACK.get((function, dtype), 0)
    for middle in np.concatenate([rng.uniform(-20, 20, 60), 2.0 ** rng.uniform(-30, 6, 60)]):
        first = bits(np.array([abs(middle)], dtype))[0]
        x = (first + np.arange(4096, dtype=first.dtype)).view(dtype)
        x = np.sort(np.copysign(x, middle))
        y = call(function, x, isa)
        fall = (np.maximum.accumulate(y) - y) / np.spacing(np.abs(y))
        assert fall.max() <= allowed, f"around {middle}"


@every_dtype
@every_function
def test_instruction_sets_have_the_same_bits(function, dtype):
    x = sample(dtype)
    results = [call(function, x, isa) for isa in available_isas() if isa in FUSED]
    for other in results[1:]:
        assert_array_equal(bits(other), bits(results[0]))


@every_isa
@every_dtype
@every_function
def test_place_in_the_array_does_not_matter(function, dtype, isa):
    x = np.random.default_rng(2).normal(size=70).astype(dtype)
    alone = np.concatenate([call(function, x[i:i + 1], isa) for i in range(x.size)])
    for start in range(3):
        for end in range(start, x.size + 1):
            assert_array_equal(bits(call(function, x[start:end], isa)), bits(alone[start:end]))


@every_isa
@every_function
def test_an_array_without_elements(function, isa):
    assert call(function, np.zeros(0, np.float32), isa).size == 0
