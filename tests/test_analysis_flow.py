"""Where the gradient flows: against closed forms, the bound of the theory, the loss's own
gradient; the oracles of PyTorch are in test_oracle_torch_flow.py."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from gradient_problems import MODELS, batch, every_model, linear_net, orthogonal
from problems import every_dtype, same_bits

import rnncore as rc
from rnncore import analysis
from rnncore.analysis.scaled import NOTHING, Scaled, added, norms, scaled


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.1])
def test_a_linear_net_has_the_slope_of_its_matrix(gain):
    model = linear_net(gain * orthogonal(12))
    x, y = batch(model, 60)
    curves = analysis.lagged(model, x, y).dh[0]  # (lags, rows)
    lags = np.arange(60)
    for row in curves.T:
        slope = np.polyfit(lags, row, 1)[0]
        assert slope == pytest.approx(np.log10(gain), abs=1e-9)
    flow = analysis.gradient_flow(model, x, y).layers[0].dh
    np.testing.assert_allclose(np.log10(flow[::-1]), curves, atol=1e-9)


def test_a_vanished_gradient_has_a_logarithm():
    """0.25^100 = 6.2e-61, and 0.25^1000, of which float32 knows nothing."""
    model = rc.Model([rc.RNN(1, 1, activation="sigmoid", bias=False)])
    with model.writable() as weights:
        weights[:] = -1.0, 1.0
    x, start = np.full((1001, 1, 1), 0.5, np.float32), [np.full((1, 1, 1), 0.5, np.float32)]
    found = analysis.lagged(model, x, 0 * x, state=start).dh[0, :, 0]
    np.testing.assert_allclose(found - found[0], np.arange(1001) * np.log10(0.25), atol=1e-3)
    assert round(found[100] - found[0], 1) == -60.2


def test_an_exploded_gradient_has_a_logarithm():
    model = linear_net(2.0 * orthogonal(4), dtype=np.float32)
    x, y = batch(model, 400)
    x[1:] = 0  # and yet the state would overflow
    x[0] *= 1e-30
    found = analysis.lagged(model, x[:120], y).dh[0]
    np.testing.assert_allclose(found - found[0], np.log10(2) * np.arange(120)[:, None]
                               + 0 * found, atol=1e-4)


@every_dtype
def test_the_identity_map_has_a_constant_flow_to_the_bit(dtype):
    model = rc.Model([rc.IdentityRNN(3, 5, dtype=dtype), rc.Last()], seed=0)
    x, y = batch(model, 50)
    flow = analysis.gradient_flow(model, x, y).layers[0]
    same_bits(flow.dh, np.broadcast_to(flow.dh[-1:], flow.dh.shape))
    assert flow.live == 1.0
    found = analysis.lagged(model, x, y).dh[0]
    same_bits(found, np.broadcast_to(found[:1], found.shape))


def test_an_lstm_without_forget_gate_carries_its_cell_s_error_on():
    """The carousel: what comes back to c from c is all of it."""
    layer = rc.LSTM(2, 4, forget="none", dtype=np.float64, seed=0)
    for name in ("weight_hh_l0", "weight_ih_l0"):
        layer.set_parameter(name, np.zeros(layer.parameters.shapes[name]))
    model = rc.Model([layer, rc.Last()])
    x, y = batch(model, 40)
    flow = analysis.gradient_flow(model, x, y).layers[0]
    same_bits(flow.dc[:-1], np.broadcast_to(flow.dc[:1], (39, 3)))
    np.testing.assert_allclose(flow.dc[-1], flow.dc[0], rtol=1e-12)  # o tanh'(c) is NumPy's
    assert not flow.dh[:-1].any()


def test_the_bound_of_the_theory_holds_on_a_thousand_nets():
    """|dE_t/dh_k| <= (gamma sigma)^(t-k) |dE_t/dh_t| (Pascanu et al. 2013, section 2.1)."""
    gammas = {"tanh": 1.0, "relu": 1.0, "identity": 1.0, "sigmoid": 0.25}
    rng, closest = np.random.default_rng(0), np.inf
    for net in range(1000):
        name = list(gammas)[net % 4]
        w = rng.standard_normal((5, 5)) * rng.uniform(0.1, 2.0)
        model = linear_net(w, name)
        x, y = batch(model, 8, rows=2, seed=net)
        eta = gammas[name] * np.linalg.svd(w, compute_uv=False)[0]
        found = analysis.lagged(model, x, y).dh[0]
        slack = found[0] + np.arange(8)[:, None] * np.log10(eta) - found
        assert (slack[found > -np.inf] > -1e-9).all(), (net, name)
        closest = min(closest, slack[1:].min())
    assert closest < 0.1  # and some come close


@every_model
@pytest.mark.parametrize("lengths", [None, (6, 2, 4, 0)], ids=["full", "lengths"])
def test_step_by_step_is_as_in_one_pass(name, lengths):
    """`lagged`, which rescales, against the gradient of the loss of that step alone."""
    model = rc.Model(MODELS[name](np.float64), seed=0, reduction="sum")
    x, y = batch(model, 6, 4)
    if lengths is not None:
        x[2:, 1] = np.nan
    for t in (0, 3, 5):
        only = np.zeros((6, 4))
        only[t] = 1
        flow = analysis.gradient_flow(model, x, y, lengths=lengths, mask=only)
        found = analysis.lagged(model, x, y, t, lengths=lengths)
        assert found.names == tuple(layer.name for layer in flow.layers)
        assert set(found.lags) <= set(range(t - 5, t + 1))
        steps = t - found.lags
        ends = np.full(4, 6) if lengths is None else np.array(lengths)
        there = (steps[:, None] < ends) & (t < ends)
        for layer, dh in zip(flow.layers, found.dh, strict=True):
            np.testing.assert_array_equal(np.isnan(dh), ~there)
            np.testing.assert_allclose(10 ** dh[there], layer.dh[steps][there], rtol=1e-10,
                                       atol=1e-16)
            if layer.dc is not None:
                dc = found.dc[found.names.index(layer.name)]
                np.testing.assert_allclose(10 ** dc[there], layer.dc[steps][there], rtol=1e-10,
                                           atol=1e-16)


def test_the_last_step_of_each_row_is_where_lags_begin():
    model = rc.Model([rc.RNN(3, 4, dtype=np.float64), rc.Last()], seed=0)
    x, y = batch(model, 6, 3)
    found = analysis.lagged(model, x, y, lengths=[6, 2, 4]).dh[0]
    flow = analysis.gradient_flow(model, x, y, lengths=[6, 2, 4]).layers[0].dh
    for b, length in enumerate((6, 2, 4)):
        np.testing.assert_allclose(10 ** found[:length, b], flow[:length, b][::-1], rtol=1e-10)
        assert np.isnan(found[length:, b]).all()


def test_symbols_have_no_gradient_but_their_vectors_do():
    model = rc.Model([rc.Embedding(5, 3), rc.RNN(3, 4), rc.Linear(4, 5)], seed=0,
                     loss="cross_entropy")
    x = np.random.default_rng(0).integers(0, 5, (7, 2))
    assert analysis.gradient_flow(model, x, x).layers[0].dx.shape == (7, 2)
    terms = analysis.temporal_contributions(model, x, x)
    model.loss_and_grad(x, x)
    np.testing.assert_allclose(terms.gradient["0.weight"], model.grad_dict()["0.weight"],
                               rtol=1e-4, atol=1e-7)


def test_depth_is_seen_in_feed_forward_nets_and_in_stacks():
    deep = rc.Model([rc.Linear(4, 4, activation="sigmoid", dtype=np.float64)
                     for _ in range(12)], seed=0)
    x, y = batch(deep, 2)
    found = analysis.depth_flow(deep, x, y)
    assert list(found) == [str(i) for i in range(12)]
    sizes = [np.linalg.norm(value) for value in found.values()]
    assert sizes == sorted(sizes)
    out, _ = deep.forward(x)
    dx, _ = deep.backward(2 * (out - y) / y.size)
    sigma = np.linalg.norm(deep.layers[0].parameters["weight"], 2)
    assert (norms(dx) <= found["0"] * sigma / 4 + 1e-18).all()
    stack = rc.Model([rc.RNN(3, 4, num_layers=3), rc.Linear(4, 2)], seed=0)
    assert list(analysis.depth_flow(stack, *batch(stack, 5))) == ["0.l0", "0.l1", "0", "1"]
    with pytest.raises(ValueError, match="model has the layers Linear, .*expected a recurrent"):
        analysis.gradient_flow(deep, x, y)


def test_one_sequence_is_a_batch_of_one():
    model = rc.Model([rc.LSTM(3, 4), rc.Linear(4, 2)], seed=0)
    x, y = batch(model, 6, 1)
    state = [(np.ones((1, 1, 4), np.float32), np.ones((1, 1, 4), np.float32)), None]
    alone = [(np.ones((1, 4), np.float32), np.ones((1, 4), np.float32)), None]
    both = (analysis.gradient_flow(model, x, y, state),
            analysis.gradient_flow(model, x[:, 0], y[:, 0], alone))
    same_bits(both[0].layers[0].dc, both[1].layers[0].dc)
    last = rc.Model([rc.LSTM(3, 4), rc.Last()], loss="cross_entropy", seed=0)
    same_bits(analysis.gradient_flow(last, x, np.array([1])).layers[0].dh,
              analysis.gradient_flow(last, x[:, 0], np.array(1)).layers[0].dh)


def test_batch_first_is_the_model_s_affair():
    model = rc.Model([rc.GRU(3, 4), rc.Linear(4, 2)], seed=0)
    x, y = batch(model, 6, 4)
    turned = rc.Model([rc.GRU(3, 4), rc.Linear(4, 2)], batch_first=True, seed=0)
    same_bits(analysis.gradient_flow(model, x, y).layers[0].dh,
              analysis.gradient_flow(turned, x.swapaxes(0, 1), y.swapaxes(0, 1)).layers[0].dh)


def test_asking_changes_nothing():
    """Neither weights nor gradients, nor dropout to come, nor a pass that is under way."""
    model = rc.Model([rc.LSTM(3, 8, num_layers=2, dropout=0.5), rc.Linear(8, 2)], seed=0)
    x, y = batch(model, 6)
    model.loss_and_grad(x, y)
    twin = copy.deepcopy(model)
    out, _ = model.forward(x)
    for ask in (analysis.gradient_flow, analysis.lagged, analysis.temporal_contributions):
        ask(model, x, y)
    same_bits(twin.forward(x)[0], out)
    for one in (model, twin):
        one.backward(np.ones_like(out))
    same_bits(model.grads, twin.grads)
    same_bits(model.parameters, twin.parameters)
    assert model.layers[0].training


def test_wrong_arguments_are_refused():
    model = rc.Model([rc.RNN(3, 4), rc.Linear(4, 2)], seed=0)
    x, y = batch(model, 6)
    for ask in (analysis.gradient_flow, analysis.lagged, analysis.temporal_contributions):
        with pytest.raises(TypeError, match="model is a RNN, expected a Model"):
            ask(rc.RNN(3, 4), x, y)
        with pytest.raises(ValueError, match="Linear, expected a recurrent one"):
            ask(rc.Model([rc.Linear(3, 2)]), x, y)
        with pytest.raises(ValueError, match=r"x has shape \(6, 3, 2\)"):
            ask(model, x[..., :2], y)
        with pytest.raises(TypeError, match="x has dtype float64"):
            ask(model, x.astype(float), y)
        with pytest.raises(ValueError, match="loss is nan, expected a finite number"):
            ask(model, x * np.float32(np.nan), y)
    with pytest.raises(ValueError, match="t is 6, expected a step from 0 to 5"):
        analysis.lagged(model, x, y, 6)
    with pytest.raises(ValueError, match="t is -1, expected at least 0"):
        analysis.lagged(model, x, y, -1)
    with pytest.raises(TypeError, match="t is 1.5, expected an integer"):
        analysis.lagged(model, x, y, 1.5)
    with pytest.raises(ValueError, match=r"steps lie in \[2, 6\], expected in \[0, 5\]"):
        analysis.temporal_contributions(model, x, y, steps=[2, 6])
    with pytest.raises(TypeError, match="expected a sequence of integers"):
        analysis.temporal_contributions(model, x, y, steps=[0.5])
    last = rc.Model([rc.RNN(3, 4), rc.Last()], seed=0)
    with pytest.raises(ValueError, match="t is 2, expected None: a model with Last"):
        analysis.lagged(last, x, np.ones((3, 4), np.float32), 2)


@every_dtype
def test_scaled_rows_are_the_rows(dtype):
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((50, 7)) * 10.0 ** rng.uniform(-30, 30, (50, 1))).astype(dtype)
    rows[3] = 0
    one = scaled(rows)
    same_bits(np.ldexp(one.rows, np.maximum(one.exponent, -5000)[:, None].astype(int)), rows)
    assert one.exponent[3] == NOTHING
    assert one.log10[3] == -np.inf
    small = Scaled(one.rows, np.where(one.exponent == NOTHING, NOTHING, one.exponent - 10000))
    np.testing.assert_allclose(small.log10, one.log10 - 10000 * np.log10(2))
    same_bits(added(small, one).rows, one.rows)  # too small to be seen
    np.testing.assert_allclose(np.ldexp(added(one, one).rows, np.maximum(
        added(one, one).exponent, -5000)[:, None].astype(int)), 2 * rows)
    huge = np.array([[1e200, 1e200], [1e-200, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(norms(huge), [2**0.5 * 1e200, 1e-200, 0.0])


def test_norms_of_batches_are_those_of_all_rows():
    rows = np.random.default_rng(0).random((5, 3, 4))
    np.testing.assert_allclose(analysis.over_batch(rows), np.linalg.norm(rows, axis=1))
