"""Orthogonal weights: the projection, how long it holds, and the penalty."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import linalg
from weights import WIDE, blocks, deviation, filled, near, recurrent

import rnncore as rc

RNG = np.random.default_rng


# ---- Orthogonal ----


@pytest.mark.parametrize("by", [1e-3, 0.02, 0.5])  # one step of Newton-Schulz, several, SVD
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_projection_is_the_nearest_orthogonal_matrix(dtype, by):
    model = near(filled(dtype=dtype), by)
    (name, w), = recurrent(model).items()
    expected = linalg.polar(w.astype(np.float64))[0]
    rc.Orthogonal().project(model)
    found = model.named_parameters()[name]
    assert found.dtype == dtype
    assert np.abs(found - expected).max() < (1e-6 if dtype == "float32" else 1e-14)


def test_every_gate_layer_direction_and_tap_is_projected_by_itself():
    model = near(filled(dtype="float32", **WIDE), 0.01)
    before = model.state_dict()
    rc.Orthogonal().project(model)
    for name, w in model.named_parameters().items():
        if "weight_hh" in name:
            for block, old in zip(blocks(w), blocks(before[name]), strict=True):
                assert np.abs(block - linalg.polar(old)[0]).max() < 1e-6
        else:
            assert (w == before[name]).all()
    assert len(recurrent(model)) == 8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [1, 2, 12, 128])
@pytest.mark.parametrize("by", [1e-4, 1e-3, 1.0])
def test_a_second_projection_changes_nothing(hidden, dtype, by):
    model = near(filled(hidden, dtype), by)
    rc.Orthogonal().project(model)
    once = model.parameters.copy()
    rc.Orthogonal().project(model)
    assert np.abs(model.parameters - once).max() <= 2 * np.finfo(dtype).eps


def test_an_orthogonal_start_is_left_as_it_is():
    model = filled(64, "float32")
    rc.init.orthogonal(model, seed=0)
    before = model.parameters.copy()
    rc.Orthogonal().project(model)
    assert (model.parameters == before).all()


@pytest.mark.parametrize(("size", "calls"), [(0.49, 0), (0.51, 1), (3.0, 1)])
def test_the_decomposition_is_for_what_is_far(monkeypatch, size, calls):
    """Scaled by s, I of H units has |W'W - I|_F = (s^2 - 1) sqrt(H)."""
    svd, seen = np.linalg.svd, []
    monkeypatch.setattr(np.linalg, "svd", lambda w: seen.append(w) or svd(w))
    model = filled(4)
    rc.init.identity(model, scale=np.sqrt(1 + size / 2))
    rc.Orthogonal().project(model)
    assert len(seen) == calls
    assert np.abs(model.named_parameters()["0.weight_hh_l0"] - np.eye(4)).max() < 1e-14


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_matrices_far_from_all_become_orthogonal(scale, dtype):
    model = filled(dtype=dtype, size=scale)
    rc.Orthogonal().project(model)
    assert deviation(recurrent(model)["0.weight_hh_l0"]) < 1e-5


def test_newton_schulz_squares_the_distance():
    """The bound by which it stops: the next |W'W - I|_F is at most the square of this one."""
    rng = RNG(0)
    q, _ = np.linalg.qr(rng.standard_normal((10, 10)))
    for size in (0.5, 0.1, 0.01):
        symmetric = rng.standard_normal((10, 10))
        symmetric += symmetric.T
        values, vectors = np.linalg.eigh(symmetric)
        excess = values * size / np.linalg.norm(values)
        w = q @ (vectors * np.sqrt(1 + excess)) @ vectors.T
        assert deviation(w) == pytest.approx(size)
        assert deviation(w @ (3 * np.eye(10) - w.T @ w) / 2) <= size**2


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-5), ("float64", 2e-14)])
def test_steps_of_adam_leave_the_weights_orthogonal(dtype, bound):
    """The Frobenius norm for 128 units. Over 10000 steps of a learning rate of 1e-3 in float32
    it stayed below 4e-6, and the largest element below 1e-6.
    """
    model = filled(128, dtype)
    rc.init.orthogonal(model, seed=0)
    start = recurrent(model)["0.weight_hh_l0"].copy()
    constraint, adam, rng = rc.Orthogonal(), rc.Adam(lr=1e-3), RNG(0)
    for step in range(100):
        x = rng.standard_normal((5, 4, 3)).astype(dtype)
        model.loss_and_grad(x, np.cumsum(x, axis=0)[:, :, :2])
        model.clip_norm(1.0)
        adam.step(model)
        moved = deviation(recurrent(model)["0.weight_hh_l0"])
        assert step or moved > 0.01  # there was something to bring back
        constraint.project(model)
        assert deviation(recurrent(model)["0.weight_hh_l0"]) < bound
    assert np.abs(recurrent(model)["0.weight_hh_l0"] - start).max() > 0.01


def test_an_orthogonal_network_learns():
    """To repeat noise of 12 steps ago; what has no past is 0, half of all."""
    model = rc.Model([rc.RNN(1, 16, activation="identity"), rc.Linear(16, 1)], seed=0)
    rc.init.orthogonal(model, "0.weight_hh*", seed=0)
    adam, constraint, rng = rc.Adam(lr=3e-3), rc.Orthogonal(), RNG(0)
    for _ in range(400):
        x = rng.standard_normal((24, 16, 1)).astype(np.float32)
        loss, _ = model.loss_and_grad(x, np.concatenate([np.zeros_like(x[12:]), x[:12]]))
        model.clip_norm(1.0)
        adam.step(model)
        constraint.project(model)
    assert loss < 0.01
    assert deviation(recurrent(model)["0.weight_hh_l0"]) < 1e-5


def test_the_projection_keeps_two_matrices_at_most():
    model = near(filled(256, "float32"), 1e-4)
    tracemalloc.start()
    try:
        rc.Orthogonal().project(model)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.2 * 256 * 256 * 4


# ---- The penalty ----


@pytest.mark.parametrize("options", [{}, {"kind": rc.GRU, "num_layers": 2}])
def test_the_penalty_adds_its_gradient(options):
    model = filled(5, **options)
    penalty, h = rc.OrthogonalPenalty(0.3), 1e-6
    model.grads[:] = RNG(0).standard_normal(model.grads.size)
    before = model.grads.copy()
    value = penalty.add_gradient(model)
    added = model.grads - before
    assert value == pytest.approx(0.3 * sum(
        np.linalg.norm(b.T @ b - np.eye(5)) ** 2
        for w in recurrent(model).values() for b in blocks(w)))
    for i in RNG(1).choice(model.parameters.size, 60, replace=False):
        ends = []
        for step in (h, -h):
            with model.writable() as flat:
                flat[i] += step
            ends.append(penalty.add_gradient(model))
            with model.writable() as flat:
                flat[i] -= step
        assert added[i] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6, abs=1e-7)
    assert np.count_nonzero(added) == sum(w.size for w in recurrent(model).values())


def test_the_penalty_of_float32_is_that_of_float64():
    models = [filled(20, dtype, **WIDE) for dtype in ("float32", "float64")]
    values = [rc.OrthogonalPenalty(0.1).add_gradient(model) for model in models]
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert models[0].grads.dtype == np.float32
    assert np.allclose(models[0].grads, models[1].grads, rtol=1e-4, atol=1e-5)


def test_descent_on_the_penalty_alone_leads_to_orthogonality():
    model, penalty, sgd = filled(8, size=0.8), rc.OrthogonalPenalty(1.0), rc.SGD(lr=0.05)
    for _ in range(200):
        model.grads.fill(0)
        value = penalty.add_gradient(model)
        sgd.step(model)
    assert value < 1e-10


def test_a_penalty_that_overflows_is_for_the_clip_to_see():
    model = filled(5, "float32", size=1e30)
    assert not np.isfinite(rc.OrthogonalPenalty(1.0).add_gradient(model))
    with pytest.raises(FloatingPointError, match="0.weight_hh_l0"):
        model.clip_norm(1.0)


def test_frozen_parameters_have_no_penalty():
    model = filled(num_layers=2)
    both = rc.OrthogonalPenalty(1.0).add_gradient(model)
    one = rc.OrthogonalPenalty(1.0, "0.weight_hh_l0").add_gradient(model)
    model.freeze("0.weight_hh_l0")
    assert rc.OrthogonalPenalty(1.0).add_gradient(model) == pytest.approx(both - one)
