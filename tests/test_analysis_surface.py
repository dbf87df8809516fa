"""The error surface of one unit: its gradient, its wall, descent on it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference import complex_step
from reference.cells import ACTIVATIONS as ORACLE

from rnncore.analysis.growth import fit_growth
from rnncore.analysis.scalar import scalar_map
from rnncore.analysis.surface import error_surface


def pascanu(w, b, steps=50, target=0.7):
    """Figure 6 in the paper's own form: x_t = w f(x_{t-1}) + b from x_0 = 0.5."""
    x = np.array(0.5)
    for _ in range(steps):
        x = w * ORACLE["sigmoid"](x) + b
    return (ORACLE["sigmoid"](x) - target) ** 2


def test_the_error_is_that_of_the_paper():
    surface = error_surface(w=[4.0, 5.0], b=[-2.5, -2.0, -1.0])
    assert_allclose(surface.error, [[pascanu(w, b) for w in (4.0, 5.0)] for b in surface.b],
                    rtol=1e-9)
    for row, b in enumerate(surface.b):
        for column, w in enumerate(surface.w):
            expected = complex_step(lambda p: pascanu(p[0], p[1]), np.array([w, b]))
            assert_allclose(surface.gradient[:, row, column], expected, rtol=1e-9)
    assert_allclose(surface.norm, np.hypot(*surface.gradient))


def test_there_is_a_wall():
    """Across the line on which the unit begins at a fixed point, the error jumps."""
    for w in (5.0, 5.5, 6.0):
        line = 0.5 - w / (1 + np.exp(-0.5))
        below, above = error_surface(w=[w], b=[line - 0.02, line + 0.02]).error[:, 0]
        assert below > 0.25 > 0.1 > above


def test_a_clipped_path_stays_where_a_plain_one_is_thrown_away():
    surface = error_surface()
    plain = surface.descend((4.8, -2.4), lr=0.05, updates=80)
    clipped = surface.descend((4.8, -2.4), lr=0.05, updates=80, clip=0.3)
    jumps = [np.linalg.norm(np.diff(path.points, axis=0), axis=1) for path in (plain, clipped)]
    assert jumps[0].max() > 1
    assert jumps[1].max() <= 0.05 * 0.3 * (1 + 1e-12)
    assert clipped.norms.max() > 1  # it met the wall too
    assert clipped.errors[-1] < 0.01 < 0.07 < plain.errors[-1]


def test_a_path_may_leave_all_numbers():
    surface = error_surface(f="identity", h0=1.0)
    path = surface.descend((1.2, 1.0), lr=1e3, updates=20)
    assert not np.isfinite(path.errors[-1])
    assert np.isfinite(surface.descend((1.2, 1.0), lr=1e-3, updates=20, clip=1.0).errors[-1])


def test_a_path_is_gradient_descent():
    surface = error_surface()
    path = surface.descend((5.0, -2.0), lr=0.1, updates=3, clip=0.05)
    point = np.array([5.0, -2.0])
    for update in range(3):
        assert_allclose(path.points[update], point, rtol=1e-9)
        gradient = complex_step(lambda p: pascanu(p[0], p[1]), point)
        norm = np.linalg.norm(gradient)
        assert path.norms[update] == pytest.approx(norm, rel=1e-9)
        assert path.errors[update] == pytest.approx(pascanu(*point), rel=1e-9)
        point = point - 0.1 * gradient * min(1, 0.05 / norm)
    assert len(path.points) == len(path.errors) == 4


@pytest.mark.parametrize("w", [4.5, 5.0, 5.5])
def test_on_the_wall_derivatives_grow_by_the_rate_of_the_fixed_point(w):
    """Its closed form: dh_t/db = s (r^t - 1) / (r - 1), with r = w s the rate."""
    surface = error_surface(steps=150)  # what does not grow has died down by then
    wall = surface.wall(w)
    b = 0.5 - w * surface.h0
    (rate,) = [point.rate for point in scalar_map("sigmoid", w, b=b).fixed_points
               if abs(point.h - surface.h0) < 1e-9]
    assert rate > 1
    assert wall.growth.rate == pytest.approx(rate, rel=0.003)
    assert wall.curvature_growth.rate == pytest.approx(rate**2, rel=0.01)
    t = np.arange(1, 151)
    slope = rate / w
    along = wall.direction @ [surface.h0, 1.0]
    assert_allclose(wall.slopes, along * slope * (rate**t - 1) / (rate - 1), rtol=1e-6)


def test_the_curvature_is_that_of_the_error():
    surface, near = error_surface(steps=12), 1e-5
    wall, point = surface.wall(4.5, -2.1), np.array([4.5, -2.1])
    gradients = [complex_step(lambda p: pascanu(p[0], p[1], steps=12), place)
                 for place in (point + near * wall.direction, point - near * wall.direction)]
    expected = wall.direction @ (gradients[0] - gradients[1]) / (2 * near)
    assert wall.curvature == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("w", [0.9, 1.0, 1.2])
def test_the_fits_of_the_linear_unit_are_its_closed_forms(w):
    unit = scalar_map("identity", w, h0=0.7, steps=60)
    for order, values in enumerate((unit.h, unit.dw, unit.dw2)):
        fit = fit_growth(values[1:], order=order)
        assert fit.constant == pytest.approx(0.7, rel=1e-9)
        assert fit.rate == pytest.approx(w, rel=1e-9)
        assert fit.residual < 1e-9


def test_a_fit_of_what_does_not_fit_says_so():
    t = np.arange(1, 51)
    assert fit_growth(2.0 * 1.1**t).residual < 1e-9
    assert fit_growth(t**3.0).residual > 0.1


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: error_surface(f="step"), ValueError, "f is 'step', expected one of"),
    (lambda: error_surface(w=np.zeros((2, 2))), ValueError, "w has shape"),
    (lambda: error_surface(b=[np.nan]), ValueError, "b is not finite"),
    (lambda: error_surface(b=["a"]), TypeError, "b has dtype <U1, expected numbers"),
    (lambda: error_surface(steps=0), ValueError, "steps is 0, expected at least 1"),
    (lambda: error_surface().descend((1.0,), 0.1), ValueError, "start has 1 numbers"),
    (lambda: error_surface().descend((4, -2), 0.1, clip=0), ValueError, "clip is 0"),
    (lambda: error_surface().descend((4, -2), 0.1, -1), ValueError, "updates is -1"),
    (lambda: error_surface(f="relu", h0=1.0).wall(1.0, -9.0), ValueError, "derivative"),
    (lambda: error_surface(h0=1.0).wall(5.0), ValueError, "h0 is 1, which sigmoid does not"),
    (lambda: error_surface(steps=2).wall(5.0), ValueError, "values has 1 entries"),
    (lambda: fit_growth([0.0, 0.0, 1.0]), ValueError, "values has 1 entries"),
    (lambda: fit_growth([1.0, np.inf]), ValueError, "is not finite"),
])
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
