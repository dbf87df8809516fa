"""The kernels on flat arrays: every length, element type and instruction set, behind fences."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fences import can_fence, fenced
from numpy.testing import assert_allclose
from problems import FUSED, every_dtype, every_isa, same_bits

from rnncore.engine.flat import clamp, global_norm, largest, scale
from rnncore.engine.spec import use
from rnncore.engine.update import adam, rmsprop, sgd

SIZES = [*range(41), 1000]

# name: how many arrays of moments, the update in the kernels, and in NumPy
RULES = {
    "sgd": (0, lambda w, g, s: sgd(w, g, s, 0.1, decay=0.25)),
    "momentum": (1, lambda w, g, s: sgd(w, g, s, 0.1, 0.9, decay=0.25)),
    "nesterov": (1, lambda w, g, s: sgd(w, g, s, 0.1, 0.9, True, 0.25)),
    "rmsprop": (1, lambda w, g, s: rmsprop(w, g, s, 0.1, 0.9, 1e-3, decay=0.25)),
    "rmsprop momentum": (2, lambda w, g, s: rmsprop(w, g, s, 0.1, 0.9, 1e-3, 0.5, 0.25)),
    "adam": (2, lambda w, g, s: adam(w, g, s, 0.1, 0.9, 0.99, 1e-3, 3, 0.25)),
}
every_rule = pytest.mark.parametrize("rule", RULES)


def in_numpy(rule, w, g, s):
    """The weights and moments after the update, in the type of the arguments."""
    d = g + 0.25 * w
    if rule == "sgd":
        return [w - 0.1 * d]
    if rule in ("momentum", "nesterov"):
        v = 0.9 * s[0] + d
        return [w - 0.1 * (d + 0.9 * v if rule == "nesterov" else v), v]
    if rule == "adam":
        m, v = 0.9 * s[0] + 0.1 * g, 0.99 * s[1] + 0.01 * g * g
        root = np.sqrt(v / (1 - 0.99**3))
        return [0.75 * w - 0.1 / (1 - 0.9**3) * m / (root + 1e-3), m, v]
    v = 0.9 * s[0] + 0.1 * d * d
    step = d / (np.sqrt(v) + 1e-3)
    if rule == "rmsprop":
        return [w - 0.1 * step, v]
    b = 0.5 * s[1] + step
    return [w - 0.1 * b, v, b]


def make_arrays(rule, size, dtype):
    """Weights, gradients, moments; none is negative among these."""
    rng = np.random.default_rng(size)
    w, g = (rng.standard_normal(size).astype(dtype) for _ in range(2))
    moments = np.abs(rng.standard_normal((RULES[rule][0], size))).astype(dtype)
    return w, g, list(moments)


@every_isa
@every_dtype
@every_rule
@pytest.mark.skipif(not can_fence(), reason="no mprotect here")
@pytest.mark.parametrize("behind", [True, False])
def test_an_update_of_any_length_stays_within_its_arrays(rule, dtype, isa, behind):
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    with use(isa=isa):
        for size in SIZES:
            w, g, moments = make_arrays(rule, size, dtype)
            expected = in_numpy(rule, *(np.float64(a) for a in (w, g)),
                                [np.float64(s) for s in moments])
            got, gradients = fenced(w, behind), fenced(g, behind)
            state = [fenced(s, behind) for s in moments]
            RULES[rule][1](got, gradients, state)
            same_bits(gradients, g, "gradients")
            for array, wanted in zip([got, *state], expected, strict=True):
                assert_allclose(array, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.skipif(len(FUSED) < 2, reason="one instruction set with fused multiply-adds")
@every_dtype
@every_rule
def test_updates_agree_in_bits(rule, dtype):
    results = []
    for isa in FUSED:
        w, g, moments = make_arrays(rule, 1003, dtype)
        with use(isa=isa):
            RULES[rule][1](w, g, moments)
        results.append([w, *moments])
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            same_bits(got, expected)


@every_isa
@every_dtype
@every_rule
def test_an_update_in_pieces_is_that_of_the_whole(rule, dtype, isa):
    whole, pieces = (make_arrays(rule, 101, dtype) for _ in range(2))
    with use(isa=isa):
        RULES[rule][1](*whole)
        for a, b in ((0, 1), (1, 40), (40, 57), (57, 101)):
            w, g, moments = pieces
            RULES[rule][1](w[a:b], g[a:b], [s[a:b] for s in moments])
    for got, expected in zip([pieces[0], *pieces[2]], [whole[0], *whole[2]], strict=True):
        same_bits(got, expected)


@every_isa
@every_dtype
@every_rule
def test_fading_moments_never_become_denormals(rule, dtype, isa):
    """Which some processors are slow with: without gradients they end at 0, or before that."""
    count, update = RULES[rule]
    tiny = np.finfo(dtype).tiny
    w, g = np.zeros(35, dtype), np.zeros(35, dtype)
    moments = [np.full(35, 1.5 * tiny, dtype) for _ in range(count)]
    with use(isa=isa):
        for _ in range(20):
            update(w, g, moments)
            assert not np.any([(s > 0) & (s < tiny) for s in moments])
    assert np.all(np.full(35, tiny) * dtype(0.5) > 0)  # the caller's mode is back


@every_isa
@every_dtype
@pytest.mark.skipif(not can_fence(), reason="no mprotect here")
@pytest.mark.parametrize("behind", [True, False])
def test_norm_magnitude_and_clips_of_any_length(dtype, isa, behind):
    with use(isa=isa):
        for size in SIZES:
            x = np.random.default_rng(size).standard_normal(size).astype(dtype)
            got = fenced(x, behind)
            assert_allclose(global_norm(got), np.linalg.norm(np.float64(x)), rtol=1e-14)
            assert largest(got) == np.abs(x).max(initial=0)
            clamp(got, 0.5)
            same_bits(got, np.clip(x, dtype(-0.5), dtype(0.5)))
            scale(got, 2.0)
            same_bits(got, 2 * np.clip(x, dtype(-0.5), dtype(0.5)))


@every_isa
@every_dtype
def test_nan_is_found_wherever_it_is_and_stays(dtype, isa):
    with use(isa=isa):
        for size in (1, 7, 33):
            for place in range(size):
                x = np.full(size, -np.inf, dtype)
                assert largest(x) == np.inf
                x[place] = -np.nan
                assert np.isnan(largest(x))
                clamp(x, 3.0)
                assert np.isnan(x[place]) and (np.delete(x, place) == -3).all()


@every_rule
def test_wrong_arrays_change_nothing(rule):
    count, update = RULES[rule]
    w, g, moments = make_arrays(rule, 9, np.float32)
    before = w.copy()
    strided, frozen = np.ones(18, np.float32)[::2], g.copy()
    frozen.flags.writeable = False
    cases = [
        ((w, g[:8], moments), ValueError, "g has 8 elements of float32, expected 9 of float32"),
        ((w, np.float64(g), moments), ValueError, "g has 9 elements of float64, expected 9 of"),
        ((w, strided, moments), ValueError, "g has shape (9,), expected one flat contiguous"),
        ((w.tolist(), g, moments), TypeError, "w is list, expected a float32 or float64 array"),
        ((w.reshape(3, 3), g, moments), ValueError, "w has shape (3, 3), expected one flat"),
        ((frozen, g, moments), ValueError, "read-only"),
        ((w, g, [*moments, *[w] * 3]), ValueError, f"moments holds {count + 3} arrays, expect"),
    ]
    if count:
        short, closed = [*moments[:-1], w[:3]], [*moments[:-1], frozen]
        cases += [((w, g, short), ValueError, f"moments[{count - 1}] has 3 elements of float"),
                  ((w, g, closed), ValueError, "read-only")]
    for arrays, error, words in cases:
        with pytest.raises(error, match=re.escape(words)):
            update(*arrays)
    same_bits(w, before)


def test_a_step_of_adam_is_counted_from_one():
    w = np.ones(3)
    with pytest.raises(ValueError, match="count is 0, expected at least 1"):
        adam(w, w, [w, w], 0.1, 0.9, 0.99, 1e-8, 0)


@pytest.mark.parametrize("function", [largest, lambda a: clamp(a, 1.0)])
def test_clips_take_flat_arrays(function):
    with pytest.raises(TypeError, match="array is int64, expected a float32 or float64 array"):
        function(np.ones(3, int))
    with pytest.raises(ValueError, match=r"array has shape \(2, 2\), expected one flat"):
        function(np.ones((2, 2)))
