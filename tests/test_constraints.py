"""Constraints and penalties: radius and bound, names, frozen parameters, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from weights import WIDE, blocks, filled, radius, recurrent

import rnncore as rc

# ---- The spectral radius ----


@pytest.mark.parametrize(("dtype", "rel"), [("float32", 1e-5), ("float64", 1e-12)])
def test_the_radius_of_each_block_is_limited(dtype, rel):
    model = filled(dtype=dtype, size=2.0, **WIDE)
    rc.init.identity(model, "0.weight_hh_l0", scale=0.5)  # below the limit
    before = model.state_dict()
    rc.SpectralRadius(0.9).project(model)
    for name, w in recurrent(model).items():
        for block, old in zip(blocks(w), blocks(before[name]), strict=True):
            assert radius(block) == pytest.approx(min(0.9, radius(old)), rel=rel)
            assert np.allclose(block, old * min(1, 0.9 / radius(old)), rtol=rel)
    assert (model.named_parameters()["0.weight_hh_l0"] == before["0.weight_hh_l0"]).all()
    once = model.parameters.copy()
    rc.SpectralRadius(0.9).project(model)
    assert np.allclose(model.parameters, once, rtol=rel)


def test_the_radius_is_not_the_singular_value():
    """[[0, 4], [0.25, 0]] has eigenvalues 1 and -1, and singular values 4 and 0.25."""
    model = filled(2)
    w = np.array([[0.0, 4.0], [0.25, 0.0]])
    for norm, expected in (("radius", w), ("singular", w / 4)):
        model.set_parameter("0.weight_hh_l0", w)
        rc.SpectralRadius(1.0, norm=norm).project(model)
        assert np.allclose(model.named_parameters()["0.weight_hh_l0"], expected, rtol=1e-14)


# ---- The bound of IndRNN ----


@pytest.mark.parametrize(("activation", "bound"), [
    ("relu", 2 ** (1 / 50)), ("tanh", (2 / 0.9 ** (50 / 10)) ** (1 / 50))])
def test_indrnn_vectors_are_clipped(activation, bound):
    model = rc.Model([rc.IndRNN(3, 40, num_layers=2, bidirectional=True), rc.Linear(80, 1)])
    rc.init.normal(model, std=1.0, seed=0)
    before = model.state_dict()
    constraint = rc.IndRNNBound(50, gamma=2.0, activation=activation)
    assert constraint.bound == pytest.approx(bound, rel=1e-14)
    for _ in range(2):
        constraint.project(model)
        for name, w in model.named_parameters().items():
            limit = np.float32(bound) if "weight_hh" in name else np.inf
            assert (w == np.clip(before[name], -limit, limit)).all()
    assert (np.abs(before["0.weight_hh_l0"]) > bound).any()


# ---- Names, frozen parameters, refusals ----

ALL = [rc.Orthogonal, lambda p: rc.SpectralRadius(0.1, parameters=p),
       lambda p: rc.OrthogonalPenalty(1.0, p)]


def act(thing, model):
    """Apply a constraint, or a penalty; return what was changed, by name."""
    model.grads.fill(0)
    before = model.state_dict()
    if hasattr(thing, "project"):
        thing.project(model)
        return {n for n, w in model.named_parameters().items() if (w != before[n]).any()}
    thing.add_gradient(model)
    return {n for n, g in model.grad_dict().items() if g.any()}


@pytest.mark.parametrize("make", ALL)
def test_a_pattern_chooses_the_parameters(make):
    model = filled(**WIDE)
    assert act(make("*weight_hh*_tap8"), model) == {n for n in recurrent(model) if "tap8" in n}
    assert act(make("0.weight_hh_l1"), model) == {"0.weight_hh_l1"}


@pytest.mark.parametrize("make", ALL)
def test_frozen_parameters_are_passed_over(make):
    model = filled(num_layers=2)
    model.freeze("0.weight_hh_l0")
    assert act(make("*weight_hh*"), model) == {"0.weight_hh_l1"}
    model.freeze("*")
    assert act(make("*weight_hh*"), model) == set()


def test_a_frozen_indrnn_is_passed_over():
    model = rc.Model([rc.IndRNN(3, 4)])
    rc.init.uniform(model, low=5, high=6, seed=0)
    model.freeze("0.weight_hh*")
    assert act(rc.IndRNNBound(5), model) == set()
    model.unfreeze()
    assert act(rc.IndRNNBound(5), model) == {"0.weight_hh_l0"}


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(("pattern", "message"), [
    ("1.weight_hh*", "pattern '1.weight_hh\\*' matches no parameter"),
    ("0.*", r"0.weight_ih_l0 has blocks of shape \(12, 3\), expected square"),
    ("1.*", r"1.weight has blocks of shape \(2, 12\), expected square"),
    ("*bias_ih*", r"0.bias_ih_l0 has shape \(12,\), expected a matrix"),
])
def test_what_has_no_square_blocks_is_refused(make, pattern, message):
    model = filled()
    before = model.parameters.copy(), model.grads.copy()
    with pytest.raises(ValueError, match=message):
        act(make(pattern), model)
    assert (model.parameters == before[0]).all() and (model.grads == before[1]).all()


def test_vectors_are_no_matrices_and_matrices_no_vectors():
    model = rc.Model([rc.IndRNN(3, 4)])
    with pytest.raises(ValueError, match=r"0.weight_hh_l0 has shape \(4,\), expected a matrix"):
        rc.Orthogonal().project(model)
    for pattern in ("*weight_ih*", "*bias*"):
        with pytest.raises(ValueError, match="expected weight_hh of an IndRNN"):
            rc.IndRNNBound(5, parameters=pattern).project(model)
    with pytest.raises(ValueError, match="expected weight_hh of an IndRNN"):
        rc.IndRNNBound(5).project(filled())


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("constraint", [rc.Orthogonal(), rc.SpectralRadius(1.0)])
def test_parameters_that_are_not_finite_are_named(constraint, value):
    model = filled(num_layers=2)
    w = recurrent(model)["0.weight_hh_l1"].copy()
    w[3, 4] = value
    model.set_parameter("0.weight_hh_l1", w)
    before = model.parameters.copy()
    with pytest.raises(FloatingPointError, match="0.weight_hh_l1 is not finite"):
        constraint.project(model)
    assert np.array_equal(model.parameters, before, equal_nan=True)


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: rc.OrthogonalPenalty(-1), ValueError, "weight is -1, expected at least 0"),
    (lambda: rc.OrthogonalPenalty(np.nan), ValueError, "weight is nan, expected a finite"),
    (lambda: rc.SpectralRadius(0), ValueError, "limit is 0, expected a number above 0"),
    (lambda: rc.SpectralRadius(1, norm="nuclear"), ValueError, "norm is 'nuclear', expected"),
    (lambda: rc.IndRNNBound(0), ValueError, "steps is 0, expected at least 1"),
    (lambda: rc.IndRNNBound(2.5), TypeError, "steps is 2.5, expected an integer"),
    (lambda: rc.IndRNNBound(5, gamma=0), ValueError, "gamma is 0, expected a number above 0"),
    (lambda: rc.IndRNNBound(5, activation="selu"), ValueError, "activation is 'selu'"),
])
def test_wrong_arguments_are_refused_at_once(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("thing", [
    rc.Orthogonal("*l0"), rc.OrthogonalPenalty(0.5), rc.SpectralRadius(0.9, "singular"),
    rc.IndRNNBound(20, 3.0, "tanh")])
def test_a_constraint_is_shown_as_it_is_made(thing):
    assert vars(eval(repr(thing), vars(rc))) == vars(thing)
