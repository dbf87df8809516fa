"""One unit: its fixed points, where it settles, what it keeps of a gradient."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference import complex_step
from reference.cells import ACTIVATIONS as ORACLE

from rnncore.analysis.activations import ACTIVATIONS, activation_table
from rnncore.analysis.scalar import scalar_map

NAMES = ("sigmoid", "tanh", "relu", "identity")


def attracting(unit):
    return [point for point in unit.fixed_points if point.kind == "attracts"]


@pytest.mark.parametrize("name", NAMES)
def test_slopes_are_derivatives(name):
    unit, a = ACTIVATIONS[name], np.array([-30.0, -2.0, -0.3, 0.4, 1.7, 40.0])
    step = 1e-30
    assert_allclose(unit.f(a), ORACLE[name](a), rtol=1e-12)
    assert_allclose(unit.slope(a), ORACLE[name](a + 1j * step).imag / step, rtol=1e-10,
                    atol=1e-24)
    near = 1e-5
    assert_allclose(unit.bend(a), (unit.slope(a + near) - unit.slope(a - near)) / (2 * near),
                    rtol=1e-6, atol=1e-9)
    assert unit.slope(np.linspace(-5, 5, 1001)).max() == pytest.approx(unit.gamma)
    assert unit.inverse(float(unit.f(0.7))) == pytest.approx(0.7)


def test_the_table_has_the_numbers_of_the_theory():
    table = activation_table((2, 5))
    assert table.powers[table.names.index("sigmoid")].tolist() == [0.0625, 0.25**5]
    assert round(0.25**5, 5) == 0.00098
    assert (table.powers[1:] == 1).all()
    with pytest.raises(ValueError, match="lags is 0, expected at least 1"):
        activation_table((0,))


@pytest.mark.parametrize("name", NAMES)
def test_states_are_those_of_the_equation(name):
    x, h = np.array([0.5, -1.0, 2.0, 0.0]), 0.3
    unit = scalar_map(name, 0.8, c=0.5, b=-0.1, h0=h, x=x)
    for t, value in enumerate(x, 1):
        h = float(ORACLE[name](np.array(0.8 * h + 0.5 * value - 0.1)))
        assert unit.h[t] == pytest.approx(h, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_exact(name):
    x = np.array([0.5, 1.0, 0.2, 0.7])

    def last(w, h0):
        h = h0
        for value in x:
            h = ORACLE[name](w * h + 0.5 * value + 0.1)
        return h.sum()

    unit = scalar_map(name, 0.8, c=0.5, b=0.1, h0=0.3, x=x)
    w, h0 = np.array([0.8]), np.array([0.3])
    assert_allclose(unit.dw[-1], complex_step(lambda w: last(w, h0), w)[0], rtol=1e-10)
    gradient = complex_step(lambda h0: last(w, h0), h0)[0]
    assert_allclose(unit.log10_gradient[-1], np.log10(gradient), rtol=1e-10)
    near = 1e-5
    slopes = [scalar_map(name, 0.8 + d, c=0.5, b=0.1, h0=0.3, x=x).dw[-1]
              for d in (near, -near)]
    assert unit.dw2[-1] == pytest.approx((slopes[0] - slopes[1]) / (2 * near), rel=1e-6)


@pytest.mark.parametrize("w", [0.5, 1.0, 1.3, -0.9])
def test_the_linear_unit_has_the_closed_forms(w):
    unit, t = scalar_map("identity", w, h0=0.7, steps=40), np.arange(41)
    assert_allclose(unit.h, 0.7 * w**t, rtol=1e-12)
    assert_allclose(unit.dw[1:], (t * 0.7 * w ** (t - 1.0))[1:], rtol=1e-12)
    assert_allclose(unit.dw2[2:], (t * (t - 1) * 0.7 * w ** (t - 2.0))[2:], rtol=1e-12)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_all_fixed_points_are_found(name):
    """As many as sign changes on a fine grid, and each is left as it is."""
    rng, a = np.random.default_rng(0), np.linspace(-60, 60, 60_001)
    f = ORACLE[name](a)
    for _ in range(200):
        w, d = rng.normal() * 6, rng.normal() * 3
        points = scalar_map(name, w, b=d, steps=1).fixed_points
        assert len(points) == (np.diff(np.sign(w * f + d - a)) != 0).sum()
        for h, rate, kind in points:
            assert ORACLE[name](np.array(w * h + d)) == pytest.approx(h, abs=1e-12)
            slope = ORACLE[name](np.array(w * h + d + 1e-30j)).imag / 1e-30
            assert rate == pytest.approx(abs(w * slope), rel=1e-6, abs=1e-12)
            assert kind == ("attracts" if rate < 1 else "repels")


@pytest.mark.parametrize(("name", "w", "b", "expected"), [
    ("tanh", 1.0, 0.0, [(0.0, 1.0, "neutral")]),
    ("sigmoid", 4.0, -2.0, [(0.5, 1.0, "neutral")]),
    ("tanh", 1e20, 0.0,
     [(-1.0, 0.0, "attracts"), (0.0, 1e20, "repels"), (1.0, 0.0, "attracts")]),
    ("identity", 0.5, 1.0, [(2.0, 0.5, "attracts")]),
    ("identity", -2.0, 3.0, [(1.0, 2.0, "repels")]),
    ("identity", 1.0, 1.0, []),
    ("relu", 0.5, 1.0, [(2.0, 0.5, "attracts")]),
    ("relu", 2.0, -1.0, [(0.0, 0.0, "attracts"), (1.0, 2.0, "repels")]),
    ("relu", 2.0, 1.0, []),
    ("relu", 1.5, 0.0, [(0.0, 1.5, "repels")]),
    ("relu", 1.0, -1.0, [(0.0, 0.0, "attracts")]),
])
def test_fixed_points_at_the_edges(name, w, b, expected):
    points = scalar_map(name, w, b=b, steps=1).fixed_points
    assert [point.kind for point in points] == [kind for _, _, kind in expected]
    assert_allclose([point[:2] for point in points], [row[:2] for row in expected] or
                    np.empty((0,)), atol=1e-12)


# ---- The claims of the theory ----


def test_the_sigmoid_saturates_whatever_w():
    """One attracting point for w > 0, and no rate above W(1/e), the largest a / (1 + e^a)."""
    largest = 0.2784645427610738
    rates = []
    for w in np.geomspace(1e-3, 1e4, 200):
        unit = scalar_map("sigmoid", w)
        (point,) = unit.fixed_points
        assert point.kind == "attracts"
        assert point.rate <= largest + 1e-12
        assert unit.saturation is not None
        assert unit.saturation <= 8
        assert unit.log10_gradient[-1] < -55
        rates.append(point.rate)
    assert max(rates) == pytest.approx(largest, abs=5e-4)


def test_the_sigmoid_attracts_below_1_with_every_bias():
    rng = np.random.default_rng(0)
    for _ in range(300):
        unit = scalar_map("sigmoid", rng.normal() * 20, b=rng.normal() * 10, steps=1)
        assert all(point.rate < 1 for point in attracting(unit))
        assert unit.w < 0 or attracting(unit)


def test_tanh_keeps_longest_with_w_near_1():
    weights = np.linspace(0.2, 2, 37)
    left = [scalar_map("tanh", w, h0=0.5, steps=200).log10_gradient[-1] for w in weights]
    assert weights[np.argmax(left)] == pytest.approx(1.0)
    assert max(left) > -4
    assert left[0] < -50
    assert left[-1] < -50
    assert max(attracting(scalar_map("tanh", 1.02))[0].rate, 0) > 0.95


@pytest.mark.parametrize("name", ["relu", "identity"])
def test_relu_and_identity_blow_up_above_1(name):
    above, below, at = (scalar_map(name, w, steps=2000) for w in (1.5, 0.5, 1.0))
    assert above.h[-1] == np.inf
    assert above.saturation is None
    assert above.log10_gradient[-1] == pytest.approx(2000 * np.log10(1.5))
    assert below.saturation == 9  # 0.5^10 is below 1e-3
    assert (at.h == 0.5).all()
    assert at.held is not None
    assert at.saturation == 0
    assert not at.log10_gradient.any()


def test_a_unit_that_swings_does_not_saturate():
    unit = scalar_map("sigmoid", -20.0, b=10.0, h0=0.4)
    assert unit.fixed_points[0].kind == "repels"
    assert unit.saturation is None
    assert abs(unit.h[-1] - unit.h[-2]) > 0.9


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"f": "softplus"}, ValueError, "f is 'softplus', expected one of 'sigmoid', 'tanh'"),
    ({"w": np.nan}, ValueError, "w is nan, expected a finite number"),
    ({"w": "1"}, TypeError, "w is '1', expected a number"),
    ({"x": np.zeros((2, 2))}, ValueError, r"x has shape \(2, 2\), expected \(T,\)"),
    ({"x": [1.0, np.inf]}, ValueError, "x is not finite"),
    ({"x": [1.0, 2.0], "steps": 3}, ValueError, r"x has shape \(2,\), expected \(3,\)"),
    ({"x": "a"}, TypeError, "x has dtype"),
    ({"steps": 0}, ValueError, "steps is 0, expected at least 1"),
    ({"tolerance": -1}, ValueError, "tolerance is -1, expected at least 0"),
])
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        scalar_map(**{"f": "tanh", "w": 1.0, **arguments})
