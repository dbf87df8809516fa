"""The factors of the gradient: against complex-step derivatives of the oracle, closed forms,
and the gradient itself."""

from __future__ import annotations

import numpy as np
import pytest
from flow_problems import LENGTHS, close, draw, every_pair
from gradient_problems import batch, linear_net, orthogonal
from problems import whole
from reference import complex_step

import rnncore as rc
from rnncore import analysis
from rnncore.analysis.factors import products_over


def factor(row, t):
    """ds_t / ds_{t-1} of a row of the reference, in companion form, (S, S)."""
    past = row.pasts()[t]  # (parts, D, H)

    def after(flat):
        given = flat.reshape(past.shape)
        new = row.step(row.params, row.x[t], given).reshape(-1, past.shape[2])[1:]
        return np.concatenate([new[:, None], given[:, :-1]], axis=1).ravel()

    return np.stack([complex_step(lambda v, i=i: after(v)[i], past.ravel())
                     for i in range(past.size)])


@every_pair
def test_factors_are_complex_step_derivatives(cell, case):
    problem, rows = draw(cell, case)
    model = rc.Model([problem.layer])
    found = analysis.jacobians(model, problem.x, [whole(problem.state)], problem.lengths)
    for b, row in enumerate(rows):
        for t in range(LENGTHS[b]):
            close(found["0.l0"][t, b], factor(row, t), 1e-10, (t, b))
        assert not found["0.l0"][LENGTHS[b]:, b].any()


def test_a_reverse_direction_has_the_factors_of_its_own_time():
    rng, lengths = np.random.default_rng(0), np.array([5, 2, 0])
    layer = rc.GRU(2, 3, bidirectional=True, dtype=np.float64)
    model = rc.Model([layer], seed=0)
    x = rng.standard_normal((5, 3, 2))
    alone = rc.GRU(2, 3, dtype=np.float64)
    alone.load_state_dict({n: layer.parameters[n + "_reverse"] for n in alone.parameters})
    turned = x.copy()
    for b, length in enumerate(lengths):
        turned[:length, b] = x[:length, b][::-1]
    found = analysis.jacobians(model, x, lengths=lengths)["0.l0_reverse"]
    wanted = analysis.jacobians(rc.Model([alone]), turned, lengths=lengths)["0.l0"]
    for b, length in enumerate(lengths):
        np.testing.assert_array_equal(found[:length, b], wanted[:length, b][::-1])


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.1])
def test_a_linear_net_has_the_slope_of_its_matrix(gain):
    model = linear_net(gain * orthogonal(8))
    x, y = batch(model, 40)
    found, = analysis.jacobian_norms(model, x, y)
    np.testing.assert_allclose(found.norms, gain)
    np.testing.assert_allclose(found.products, np.arange(41)[:, None] * np.log10(gain)
                               + np.zeros(3), atol=1e-9)
    np.testing.assert_allclose(found.singular, 40 * np.log10(gain), atol=1e-9)
    np.testing.assert_allclose(found.lyapunov, np.log(gain), atol=1e-9)
    np.testing.assert_allclose(found.expanding, float(gain > 1), atol=1e-12)
    np.testing.assert_allclose(found.shrinking, float(gain < 1), atol=1e-12)


def test_exponents_and_singular_values_of_a_diagonal_net():
    sizes = np.array([1.3, 1.0, 0.9, 0.5, 0.1])
    model = linear_net(np.diag(sizes))
    x, _ = batch(model, 30)
    found, = analysis.jacobian_norms(model, x, m=4)
    np.testing.assert_allclose(found.lyapunov[:, 0], np.log(sizes[:4]), atol=1e-12)
    np.testing.assert_allclose(found.singular[:3, 0], 30 * np.log10(sizes[:3]), atol=1e-9)
    wide, = analysis.jacobian_norms(model, x, m=5)
    assert np.isnan(wide.singular[4]).all()  # 1e-30 beside 2620


def test_an_lstm_without_forget_gate_carries_c_as_it_is():
    layer = rc.LSTM(2, 4, forget="none", dtype=np.float64, seed=0)
    x, _ = batch(rc.Model([layer]), 12)
    found = analysis.jacobians(rc.Model([rc.LSTM(2, 4, forget="none", seed=1)]),
                               x.astype(np.float32))["0.l0"]
    np.testing.assert_array_equal(found[..., 4:, 4:], np.broadcast_to(np.eye(4),
                                                                      (12, 3, 4, 4)))


def test_the_identity_map_keeps_everything():
    model = rc.Model([rc.IdentityRNN(3, 5)], seed=0)
    x, y = batch(model, 20)
    found, = analysis.jacobian_norms(model, x, y)
    for ones in (found.norms, 10**found.products, 10**found.singular):
        np.testing.assert_array_equal(ones, 1.0)
    assert not found.lyapunov.any()
    assert not found.expanding.any()
    assert not found.shrinking.any()


def test_products_are_those_of_the_factors():
    model = rc.Model([rc.LSTM(3, 4, taps=(1, 2)), rc.GRU(4, 3)], seed=0)
    x, _ = batch(model, 7, 3)
    lengths = np.array([7, 4, 0])
    factors = analysis.jacobians(model, x, lengths=lengths)
    for found in analysis.jacobian_norms(model, x, lengths=lengths, m=3):
        for b, length in enumerate(lengths):
            product = np.eye(len(factors[found.name][0, 0]))
            for lag in range(length + 1):
                sigma = np.linalg.svd(product, compute_uv=False)
                assert found.products[lag, b] == pytest.approx(np.log10(sigma[0]), abs=1e-10)
                if lag < length:
                    own = factors[found.name][length - 1 - lag, b]
                    assert found.norms[length - 1 - lag, b] == pytest.approx(
                        np.linalg.norm(own, 2), rel=1e-12)
                    product = product @ own
            if length:
                np.testing.assert_allclose(found.singular[:, b], np.log10(sigma[:3]),
                                           atol=1e-8)
            assert np.isnan(found.products[length + 1:, b]).all()
            assert np.isnan(found.norms[length:, b]).all()
        assert np.isnan(found.lyapunov[:, 2]).all()


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "IntersectionRNN"])
def test_large_layers_are_searched_with_the_same_result(kind):
    """Nothing of the size S x S."""
    model = rc.Model([getattr(rc, kind)(10, 10), rc.Linear(10, 2)], seed=0)
    x, _ = batch(model, 20, 3)
    formed, = analysis.jacobian_norms(model, x, lengths=[20, 5, 0], m=3)
    searched, = analysis.jacobian_norms(model, x, lengths=[20, 5, 0], m=3, dense=0)
    assert searched.lags.tolist() == [0, 1, 2, 4, 8, 16, 20]
    np.testing.assert_allclose(searched.norms, formed.norms, rtol=1e-9)
    np.testing.assert_allclose(searched.products, formed.products[searched.lags], atol=1e-9)
    np.testing.assert_allclose(searched.singular, formed.singular, atol=1e-9)
    assert searched.expanding is None
    # From other vectors, the exponents of so few steps are near, and of many the same.
    np.testing.assert_allclose(searched.lyapunov[0, 0], formed.lyapunov[0, 0], atol=0.1)


@pytest.mark.parametrize("dense", [0, 128])
def test_dead_units_pass_nothing_on(dense):
    layer = rc.RNN(3, 6, activation="relu", dtype=np.float64, seed=0)
    layer.set_parameter("bias_ih_l0", np.full(6, -100.0))
    model = rc.Model([layer, rc.Last()])
    x, y = batch(model, 5, 2)
    found, = analysis.jacobian_norms(model, x, m=2, dense=dense)
    assert not found.norms.any()
    assert (found.products[1:] == -np.inf).all()
    assert (found.lyapunov == -np.inf).all()
    assert (products_over(model, x, 3, np.array([5, 4]))["0.l0"] == -np.inf).all()
    assert (analysis.lagged(model, x, y).dh == -np.inf).sum() == 8
    assert analysis.gradient_flow(model, x, y).layers[0].live == 0.2
    terms = analysis.temporal_contributions(model, x, y)
    assert not terms.share("0.weight_hh_l0").any()


def test_the_gradient_is_the_product_of_its_factors():
    model = rc.Model([rc.GRU(3, 5, dtype=np.float64), rc.Last(), rc.Linear(5, 2,
                                                                          dtype=np.float64)],
                     seed=0)
    x, y = batch(model, 12, 2)
    factors = analysis.jacobians(model, x)["0.l0"]
    dh = analysis.gradient_flow(model, x, y).layers[0].dh
    out, _ = model.infer(x)
    d = (out - y) @ model.layers[2].parameters["weight"] * 2 / y.size
    for t in range(11, -1, -1):
        np.testing.assert_allclose(np.linalg.norm(d, axis=1), dh[t], rtol=1e-10)
        d = (d[:, None] @ factors[t])[:, 0]


@pytest.mark.parametrize("taps", [(1,), (2,), (1, 2)])
def test_energy_is_that_of_the_gradient_in_the_directions_of_the_factor(taps):
    model = rc.Model([rc.RNN(3, 4, taps=taps, dtype=np.float64)], seed=0)
    with model.writable() as weights:
        weights *= 3
    x, y = batch(model, 6, 2)
    found, = analysis.jacobian_norms(model, x, y)
    factors = analysis.jacobians(model, x)["0.l0"]
    dy = 2 * (model.infer(x)[0] - y) / y.size
    d, some = np.zeros((2, factors.shape[2])), 0
    for t in range(5, -1, -1):
        d[:, :4] += dy[t]
        for b in range(2):
            u, sigma, _ = np.linalg.svd(factors[t, b])
            shares = (u.T @ d[b]) ** 2 / (d[b] @ d[b])
            longer = shares[sigma > 1 + 1e-9].sum()
            assert found.expanding[t, b] == pytest.approx(longer, abs=1e-10)
            assert found.shrinking[t, b] == pytest.approx(shares[sigma < 1 - 1e-9].sum(),
                                                          abs=1e-10)
            some += 0.05 < longer < 0.95
        d = (d[:, None] @ factors[t])[:, 0]
    assert some


def test_long_products_have_logarithms():
    """Far below the least float64, 5e-324."""
    model = linear_net(1e-5 * orthogonal(3))
    x, _ = batch(model, 120, 1)
    found, = analysis.jacobian_norms(model, x)
    assert found.products[120, 0] == pytest.approx(-600, abs=1e-8)
    searched, = analysis.jacobian_norms(linear_net(1e-5 * orthogonal(5)), x, m=1, dense=0)
    assert searched.products[-1, 0] == pytest.approx(-600, abs=1e-6)
    alone = products_over(model, x, 100, np.array([120]))
    assert alone["0.l0"] == pytest.approx(-500, abs=1e-8)


@pytest.mark.parametrize("layer", [rc.LSTM(3, 24, num_layers=2), rc.RNN(3, 48, taps=(1, 2)),
                                   rc.IndRNN(3, 40), rc.RNN(3, 30, activation="relu")],
                         ids=lambda layer: type(layer).__name__)
def test_one_lag_alone_is_what_it_is_among_all(layer):
    """Of more state variables than the search takes vectors, and of rows that differ."""
    model = rc.Model([layer], seed=0)
    with model.writable() as weights:
        weights *= 2
    x, _ = batch(model, 20, 3)
    lengths = np.array([20, 13, 17])
    every = analysis.jacobian_norms(model, x, lengths=lengths, m=1)
    for lag in (1, 7, 12):
        alone = products_over(model, x, lag, lengths)
        for found in every:
            np.testing.assert_allclose(alone[found.name], found.products[lag], atol=1e-3)


@pytest.mark.parametrize(("steps", "rows", "lengths"), [(0, 2, None), (3, 0, None),
                                                       (3, 2, [0, 0]), (1, 1, None)])
def test_no_steps_and_no_rows_give_empty_results(steps, rows, lengths):
    model = rc.Model([rc.LSTM(3, 4, num_layers=2), rc.Linear(4, 2)], seed=0)
    x, y = batch(model, steps, rows)
    given = {"lengths": lengths}
    assert analysis.gradient_flow(model, x, y, **given).layers[0].dh.shape == (steps, rows)
    assert list(analysis.depth_flow(model, x, y, **given)) == ["0.l0", "0", "1"]
    assert analysis.lagged(model, x, y, **given).dh.shape[2] == rows
    terms = analysis.temporal_contributions(model, x, y, **given)
    assert terms.norms["1.bias"].shape == (steps, steps)
    assert analysis.jacobians(model, x, **given)["0.l1"].shape == (steps, rows, 8, 8)
    for dense in (0, 128):
        found = analysis.jacobian_norms(model, x, y, **given, m=2, dense=dense)
        assert [layer.lyapunov.shape for layer in found] == 2 * [(2, rows)]


def test_wrong_arguments_are_refused():
    model = rc.Model([rc.RNN(3, 4), rc.Linear(4, 2)], seed=0)
    x, y = batch(model, 6)
    for ask in (analysis.jacobian_norms, analysis.jacobians):
        with pytest.raises(TypeError, match="model is a RNN, expected a Model"):
            ask(rc.RNN(3, 4), x)
        with pytest.raises(ValueError, match="Linear, expected a recurrent one"):
            ask(rc.Model([rc.Linear(3, 2)]), x)
        with pytest.raises(ValueError, match="x is not finite"):
            ask(model, x * np.float32(np.inf))
        with pytest.raises(ValueError, match=r"x has shape \(6, 3, 2\)"):
            ask(model, x[..., :2])
    with pytest.raises(ValueError, match="m is 0, expected at least 1"):
        analysis.jacobian_norms(model, x, m=0)
    with pytest.raises(ValueError, match="loss is inf|loss is nan"):
        analysis.jacobian_norms(model, x, y * np.float32(np.inf))
    model.set_parameter("0.weight_hh_l0", np.full((4, 4), np.nan, np.float32))
    with pytest.raises(ValueError, match="0.weight_hh_l0 is not finite"):
        analysis.jacobians(model, x)
