"""Initializers: distributions, gate blocks, names, and refusals that change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import rnncore as rc

EVERY_CASE = [
    lambda m, **k: rc.init.orthogonal(m, **k),
    lambda m, **k: rc.init.uniform(m, low=-1, high=2, **k),
    lambda m, **k: rc.init.normal(m, std=0.5, **k),
    lambda m, **k: rc.init.glorot_uniform(m, **k),
    lambda m, **k: rc.init.glorot_normal(m, **k),
    lambda m, **k: rc.init.sparse(m, kept=2, **k),
    lambda m, **k: rc.init.irnn(m, **k),
]


def deviation(w):
    """The largest element of |W'W - I|."""
    return np.abs(w.T.astype(float) @ w - np.eye(w.shape[1])).max()


def radius(w):
    return np.abs(np.linalg.eigvals(w.astype(float))).max()


# ---- Names ----


def test_the_recurrent_weights_of_all_layers_directions_and_taps_are_the_default():
    model = rc.Model([rc.LSTM(3, 4, num_layers=2, bidirectional=True, taps=(1, 8)),
                      rc.GRU(8, 4), rc.Linear(4, 2)])
    before = model.state_dict()
    rc.init.normal(model, std=1.0, seed=0)
    changed = {n for n, w in model.named_parameters().items() if (w != before[n]).all()}
    same = {n for n, w in model.named_parameters().items() if (w == before[n]).all()}
    assert changed == {n for n in before if "weight_hh" in n}
    assert same == set(before) - changed and "0.weight_hh_l1_reverse_tap8" in changed


def test_patterns_choose_among_names():
    model = rc.Model([rc.RNN(3, 4, num_layers=2), rc.Linear(4, 2)])
    before = model.state_dict()
    rc.init.normal(model, "0.weight_hh_l1", "1.*", std=1.0, seed=0)
    changed = {n for n, w in model.named_parameters().items() if (w != before[n]).any()}
    assert changed == {"0.weight_hh_l1", "1.weight", "1.bias"}


def test_a_layer_in_a_model_is_initialized_as_a_layer_by_itself_is():
    alone, inside = rc.LSTM(3, 4, seed=0), rc.LSTM(3, 4, seed=0)
    model = rc.Model([inside])
    version = model.tensors.version
    for layer in (alone, inside):
        rc.init.orthogonal(layer, seed=5)
    assert (alone.parameters.values == model.parameters).all()
    assert model.tensors.version > version
    rc.init.orthogonal(model, seed=6)
    assert (alone.parameters["weight_hh_l0"] != inside.parameters["weight_hh_l0"]).all()


@pytest.mark.parametrize("draw", EVERY_CASE)
def test_the_seed_decides(draw):
    layers = [rc.RNN(3, 4, activation="relu", seed=0) for _ in range(4)]
    for layer, seed in zip(layers, (1, np.random.default_rng(1), 2), strict=False):
        draw(layer, seed=seed)
    values = [layer.parameters.values for layer in layers]
    assert (values[0] == values[1]).all()
    assert (values[0] != values[2]).any() and (values[0] != values[3]).any()


@pytest.mark.parametrize("draw", EVERY_CASE)
def test_numbers_are_drawn_in_float64_and_then_cast(draw):
    layers = [rc.RNN(3, 4, activation="relu", dtype=t, seed=0) for t in ("float32", "float64")]
    for layer in layers:
        draw(layer, seed=3)
    narrow, wide = (layer.parameters.values for layer in layers)
    assert narrow.dtype == np.float32 and (narrow == wide.astype(np.float32)).all()


def test_frozen_parameters_are_initialized():
    model = rc.Model([rc.RNN(3, 4)])
    model.freeze("*")
    rc.init.identity(model)
    assert (model.named_parameters()["0.weight_hh_l0"] == np.eye(4)).all()


# ---- Matrices ----


def test_identity_scales_each_gate_block():
    layer = rc.GRU(3, 4)
    rc.init.identity(layer, scale=0.5)
    assert (layer.parameters["weight_hh_l0"] == np.tile(0.5 * np.eye(4), (3, 1))).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orthogonal_blocks_are_orthogonal_and_differ(dtype):
    layer = rc.LSTM(3, 64, num_layers=2, bidirectional=True, dtype=dtype)
    rc.init.orthogonal(layer, gain=2.0, seed=0)
    for name in (n for n in layer.parameters if "weight_hh" in n):
        blocks = layer.parameters[name].reshape(4, 64, 64) / 2
        assert max(map(deviation, blocks)) < (1e-6 if dtype == "float32" else 1e-14)
        assert np.abs(blocks[0] - blocks[1]).max() > 0.1


@pytest.mark.parametrize(("inputs", "hidden"), [(3, 7), (7, 3)])
def test_blocks_that_are_not_square_get_orthonormal_rows_or_columns(inputs, hidden):
    layer = rc.LSTM(inputs, hidden, dtype="float64")
    rc.init.orthogonal(layer, "weight_ih*", seed=0)
    for block in layer.parameters["weight_ih_l0"].reshape(4, hidden, inputs):
        assert deviation(block if hidden > inputs else block.T) < 1e-14


def test_gate_blocks_are_those_of_the_layer_not_of_the_shape():
    layer = rc.LSTM(5, 10, dtype="float64")  # weight_ih (40, 5): four of (10, 5), not eight
    rc.init.orthogonal(layer, "weight_ih*", seed=0)
    assert all(deviation(w) < 1e-14 for w in layer.parameters["weight_ih_l0"].reshape(4, 10, 5))


def test_orthogonal_is_uniform_over_the_group():
    """Of Haar's measure E tr W = 0, E (tr W)^2 = 1 and det = +-1 alike (Diaconis & Shahshahani
    1994); eigenphases have no place of choice. QR alone has traces of -1.3 in the mean.
    """
    layer = rc.LSTM(1, 6, dtype="float64")
    rng, blocks = np.random.default_rng(0), []
    for _ in range(500):
        rc.init.orthogonal(layer, seed=rng)
        blocks.append(layer.parameters["weight_hh_l0"].reshape(4, 6, 6).copy())
    w = np.concatenate(blocks)  # 2000 matrices
    trace = np.trace(w, axis1=1, axis2=2)
    assert abs(trace.mean()) < 4 / np.sqrt(2000)
    assert abs((trace**2).mean() - 1) < 4 * np.sqrt(2 / 2000)
    assert abs((np.linalg.det(w) > 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)
    # Every element is distributed as one of a random unit vector: its square is a beta.
    for i, j in [(0, 0), (5, 5), (2, 4)]:
        assert stats.kstest(w[:, i, j] ** 2, stats.beta(0.5, 2.5).cdf).pvalue > 1e-3
        assert abs((w[:, i, j] > 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)


def test_uniform_and_normal_have_their_moments():
    layer = rc.RNN(1, 200)
    rc.init.uniform(layer, low=-1.0, high=3.0, seed=0)
    w = layer.parameters["weight_hh_l0"].reshape(-1)  # 40000 numbers
    assert w.min() >= -1 and w.max() <= 3
    assert stats.kstest(w, stats.uniform(-1, 4).cdf).pvalue > 1e-3
    rc.init.normal(layer, mean=1.0, std=0.1, seed=0)
    assert stats.kstest(layer.parameters["weight_hh_l0"].reshape(-1),
                        stats.norm(1, 0.1).cdf).pvalue > 1e-3


@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_glorot_counts_rows_and_columns_of_a_gate(gain):
    layer = rc.LSTM(100, 50)
    bound = gain * np.sqrt(6 / 150)
    rc.init.glorot_uniform(layer, "weight_ih*", gain=gain, seed=0)
    w = layer.parameters["weight_ih_l0"].reshape(-1)
    assert stats.kstest(w, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3
    rc.init.glorot_normal(layer, "weight_ih*", gain=gain, seed=0)
    w = layer.parameters["weight_ih_l0"].reshape(-1)
    assert stats.kstest(w, stats.norm(0, gain * np.sqrt(2 / 150)).cdf).pvalue > 1e-3


@pytest.mark.parametrize("incoming", [True, False])
def test_sparse_blocks_have_their_radius_and_their_entries(incoming):
    layer = rc.GRU(3, 40, dtype="float64")
    rc.init.sparse(layer, kept=15, radius=0.95, incoming=incoming, seed=0)
    for block in layer.parameters["weight_hh_l0"].reshape(3, 40, 40):
        assert radius(block) == pytest.approx(0.95, rel=1e-12)
        assert (np.count_nonzero(block, axis=1 if incoming else 0) == 15).all()
        assert len(set(np.count_nonzero(block, axis=0 if incoming else 1))) > 1


def test_one_entry_in_a_row_is_enough_for_a_radius():
    layer = rc.RNN(1, 5, dtype="float64")
    for seed in range(20):
        rc.init.sparse(layer, kept=1, radius=0.5, seed=seed)
        assert radius(layer.parameters["weight_hh_l0"]) == pytest.approx(0.5, rel=1e-6)


# ---- Whole layers ----


def test_an_irnn_has_the_identity_small_input_weights_and_no_biases():
    model = rc.Model([rc.RNN(50, 80, num_layers=2, activation="relu", taps=(1, 3)),
                      rc.Linear(80, 2)])
    linear = model.layers[1].parameters.values.copy()
    rc.init.irnn(model, scale=0.9, seed=0)
    p = model.layers[0].parameters
    for layer in range(2):
        assert (p[f"weight_hh_l{layer}"] == np.float32(0.9) * np.eye(80)).all()
        assert not p[f"bias_ih_l{layer}"].any() and not p[f"bias_hh_l{layer}"].any()
        for name in (f"weight_ih_l{layer}", f"weight_hh_l{layer}_tap3"):
            assert p[name].std() == pytest.approx(0.001, rel=0.05)
    assert (model.layers[1].parameters.values == linear).all()


def test_an_irnn_without_biases_has_its_identity():
    layer = rc.RNN(2, 3, activation="relu", bias=False)
    rc.init.irnn(layer, seed=0)
    assert (layer.parameters["weight_hh_l0"] == np.eye(3)).all()


def test_smart_tanh_is_the_recipe_of_pascanu_mikolov_and_bengio():
    layer = rc.RNN(60, 50)
    rc.init.smart_tanh(layer, seed=0)
    w = layer.parameters["weight_hh_l0"]
    assert radius(w) == pytest.approx(0.95, rel=1e-6)
    assert (np.count_nonzero(w, axis=0) == 15).all()  # what a unit feeds
    assert layer.parameters["weight_ih_l0"].std() == pytest.approx(0.01, rel=0.05)
    assert not layer.parameters["bias_ih_l0"].any() and not layer.parameters["bias_hh_l0"].any()


@pytest.mark.parametrize("long_memory", [False, True])
def test_indrnn_weights_are_within_the_bound(long_memory):
    layer = rc.IndRNN(3, 2000, num_layers=2)
    before = layer.parameters["weight_hh_l0"].copy()
    rc.init.indrnn(layer, "weight_hh_l1", steps=10, gamma=2.0, long_memory=long_memory, seed=0)
    high = 2 ** 0.1
    low = 1 / high if long_memory else 0.0
    u = layer.parameters["weight_hh_l1"]
    assert stats.kstest(u, stats.uniform(low, high - low).cdf).pvalue > 1e-3
    assert (layer.parameters["weight_hh_l0"] == before).all()


@pytest.mark.parametrize(("layer", "rows"), [
    (rc.LSTM(3, 4, num_layers=2, bidirectional=True), slice(4, 8)),
    (rc.LSTM(3, 4, peephole="cell"), slice(4, 8)),
    (rc.UGRNN(3, 4), slice(4, 8)),
    (rc.IntersectionRNN(4, 4), slice(8, 16)),
])
def test_the_forget_bias_sets_the_gates_that_keep_the_state_alone(layer, rows):
    before = layer.state_dict()
    rc.init.forget_bias(layer, 2.5)
    seen = 0
    for name, values in layer.parameters.items():
        expected = before[name].copy()
        if name.startswith("bias_ih"):
            expected[rows], seen = 2.5, seen + 1
        elif name.startswith("bias_hh"):
            expected[rows] = 0
        assert (values == expected).all()
    assert seen == layer.num_layers * (1 + layer.bidirectional)


def test_the_forget_bias_reaches_the_layers_of_a_model_that_have_one():
    model = rc.Model([rc.GRU(3, 4), rc.LSTM(4, 4), rc.Linear(4, 2)])
    gru = model.layers[0].parameters.values.copy()
    rc.init.forget_bias(model, 3.0)
    assert (model.named_parameters()["1.bias_ih_l0"][4:8] == 3).all()
    assert (model.layers[0].parameters.values == gru).all()


# ---- Refusals ----


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda m: rc.init.orthogonal(m, "2.*"), ValueError, "'2.*' matches no parameter"),
    (lambda m: rc.init.orthogonal(m, "0.*"), ValueError, r"bias_ih_l0 has shape \(16,\)"),
    (lambda m: rc.init.orthogonal(7), TypeError, "model is a int, expected a Model or a layer"),
    (lambda m: rc.init.orthogonal(m, gain=np.inf), ValueError, "gain is inf"),
    (lambda m: rc.init.orthogonal(m, gain="1"), TypeError, "gain is '1', expected a number"),
    (lambda m: rc.init.identity(m, "1.bias"), ValueError, r"1.bias has shape \(2,\), expected"),
    (lambda m: rc.init.uniform(m, low=1, high=0), ValueError, "low is 1, expected at most"),
    (lambda m: rc.init.normal(m, std=-1), ValueError, "std is -1, expected at least 0"),
    (lambda m: rc.init.glorot_normal(m, gain=-1), ValueError, "gain is -1, expected at least"),
    (lambda m: rc.init.sparse(m), ValueError, "kept is 15, expected at most 4"),
    (lambda m: rc.init.sparse(m, "0.weight_ih*"), ValueError, r"shape \(4, 3\), expected"),
    (lambda m: rc.init.sparse(m, kept=0), ValueError, "kept is 0, expected at least 1"),
    (lambda m: rc.init.sparse(m, kept=1, incoming=2), TypeError, "incoming is 2"),
    (lambda m: rc.init.irnn(m), ValueError, r"LSTM\(3, 4\) is no RNN with activation='relu'"),
    (lambda m: rc.init.irnn(rc.Linear(3, 4)), ValueError, "has no recurrent layer"),
    (lambda m: rc.init.smart_tanh(rc.RNN(3, 4, activation="relu")), ValueError, "'tanh'"),
    (lambda m: rc.init.indrnn(m, steps=5), ValueError, "expected weight_hh of an IndRNN"),
    (lambda m: rc.init.indrnn(m, steps=0), ValueError, "steps is 0, expected at least 1"),
    (lambda m: rc.init.indrnn(m, steps=5, gamma=0.5), ValueError, "gamma is 0.5"),
    (lambda m: rc.init.forget_bias(rc.GRU(3, 4)), ValueError, r"GRU\(3, 4\) has no bias of a "),
    (lambda m: rc.init.forget_bias(rc.LSTM(3, 4, bias=False)), ValueError, "has no bias of a"),
    (lambda m: rc.init.forget_bias(m, np.nan), ValueError, "value is nan"),
])
def test_wrong_arguments_are_named_and_change_nothing(call, error, message):
    model = rc.Model([rc.LSTM(3, 4), rc.Linear(4, 2)], seed=0)
    before = model.parameters.copy()
    with pytest.raises(error, match=message):
        call(model)
    assert (model.parameters == before).all()
