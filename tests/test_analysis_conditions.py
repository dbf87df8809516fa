"""Spectra of recurrent weights and what the theory says of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import rnncore as rc
from rnncore.analysis.conditions import EXPLODES, NEITHER, VANISHES, conditions
from rnncore.analysis.spectra import spectrum


def layer_with(w, **options):
    layer = rc.RNN(3, len(w), dtype=w.dtype, **options)
    layer.set_parameter("weight_hh_l0", w)
    return layer


def orthogonal(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


# ---- Spectra ----


def test_spectra_have_closed_forms():
    """2x2 blocks r R(phi) have eigenvalues r e^{+-i phi} and singular values r."""
    w = np.zeros((4, 4))
    for place, (r, phi) in enumerate(((0.5, 0.3), (1.5, 2.0))):
        c, s = r * np.cos(phi), r * np.sin(phi)
        w[2 * place:2 * place + 2, 2 * place:2 * place + 2] = [[c, -s], [s, c]]
    (found,) = spectrum(layer_with(w))
    assert_allclose(found.singular_values, [1.5, 1.5, 0.5, 0.5])
    expected = [1.5 * np.exp(2j), 1.5 * np.exp(-2j), 0.5 * np.exp(0.3j), 0.5 * np.exp(-0.3j)]
    assert_allclose(np.sort_complex(found.eigenvalues), np.sort_complex(expected))
    assert_allclose(np.abs(found.eigenvalues), [1.5, 1.5, 0.5, 0.5])
    assert (found.radius, found.sigma) == (pytest.approx(1.5), pytest.approx(1.5))


@pytest.mark.parametrize(("layer", "blocks"), [
    (rc.RNN(3, 4), [""]), (rc.LSTM(3, 4), list("ifgo")), (rc.GRU(3, 4), list("rzn")),
    (rc.GRU(3, 4, reset="before"), list("rzn")), (rc.UGRNN(3, 4), list("cg")),
    (rc.LSTM(3, 4, forget="none"), list("igo")), (rc.LSTM(3, 4, peephole="cell"), list("ifo")),
    (rc.IntersectionRNN(4, 4), ["y", "h", "g_y", "g_h"]),
], ids=repr)
def test_every_gate_has_its_own_spectrum_in_the_order_of_the_rows(layer, blocks):
    found = spectrum(layer)
    assert [entry.block for entry in found] == blocks
    rows = layer.parameters["weight_hh_l0"].astype(np.float64).reshape(len(blocks), 4, 4)
    for entry, w in zip(found, rows, strict=True):
        assert entry.name == "weight_hh_l0"
        assert entry.sigma == pytest.approx(np.linalg.norm(w, 2))
        assert_allclose(np.prod(entry.eigenvalues), np.linalg.det(w), atol=1e-12)


def test_layers_directions_and_taps_have_entries_of_their_own():
    model = rc.Model([rc.Linear(3, 3), rc.RNN(3, 4, num_layers=2, bidirectional=True,
                                              taps=(1, 3)), rc.MinGRU(8, 2), rc.Linear(2, 1)])
    names = [entry.name for entry in spectrum(model)]
    assert names == [f"1.weight_hh_l{layer}{turn}{tap}" for layer in (0, 1)
                     for turn in ("", "_reverse") for tap in ("", "_tap3")]
    assert [entry.tap for entry in spectrum(model)] == [1, 3] * 4
    parameters = model.named_parameters()
    for entry in spectrum(model):
        w = parameters[entry.name].astype(np.float64)
        assert entry.sigma == pytest.approx(np.linalg.norm(w, 2))
    assert [entry.name for entry in conditions(model)] == names[::2]


def test_the_vector_of_an_indrnn_is_a_diagonal_matrix():
    layer = rc.IndRNN(3, 3)
    layer.set_parameter("weight_hh_l0", np.array([0.5, -2.0, 1.0], np.float32))
    (found,) = spectrum(layer)
    assert found.eigenvalues.tolist() == [-2.0, 1.0, 0.5]
    assert_allclose(found.singular_values, [2.0, 1.0, 0.5])
    assert conditions(layer)[0].verdict == EXPLODES


# ---- Conditions ----


@pytest.mark.parametrize(("activation", "scale", "verdict"), [
    ("tanh", 0.99, VANISHES), ("tanh", 1.0, NEITHER), ("tanh", 1.01, EXPLODES),
    ("sigmoid", 3.9, VANISHES), ("sigmoid", 4.0, NEITHER), ("sigmoid", 4.1, EXPLODES),
    ("relu", 0.5, VANISHES), ("relu", 2.0, EXPLODES), ("identity", 0.9, VANISHES),
    ("identity", 1.0, NEITHER), ("identity", 1.1, EXPLODES),
])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigma_is_held_against_one_over_gamma(activation, scale, verdict, dtype):
    w = (scale * orthogonal(12)).astype(dtype)
    (found,) = conditions(layer_with(w, activation=activation))
    assert found.verdict == verdict
    assert found.verdict in found.text
    assert found.gamma == {"sigmoid": 0.25}.get(activation, 1.0)
    assert found.eta == pytest.approx(found.gamma * scale, rel=1e-5)
    assert f"{found.sigma:.4g}" in found.text or f"{found.radius:.4g}" in found.text


def test_the_singular_value_counts_and_not_the_eigenvalue():
    """A nilpotent matrix has the spectral radius 0, and lets a gradient grow for a step."""
    w = np.array([[0.0, 3.0], [0.0, 0.0]])
    (found,) = conditions(w, "tanh")
    assert (found.radius, found.sigma) == (0.0, pytest.approx(3.0))
    assert found.verdict == EXPLODES
    (linear,) = conditions(w, "identity")  # where the radius is tight
    assert linear.verdict == VANISHES
    assert "spectral radius 0" in linear.text


@pytest.mark.parametrize("layer", [rc.LSTM(3, 4), rc.GRU(3, 4), rc.UGRNN(3, 4),
                                   rc.IntersectionRNN(4, 4)], ids=repr)
def test_of_gated_cells_nothing_is_claimed(layer):
    for found in conditions(layer):
        assert found.verdict == NEITHER
        assert "gates carry the state" in found.text
        with pytest.raises(ValueError, match="gated cell, for which there is no bound"):
            found.log10_bound(3)
    gammas = {found.block: found.gamma for found in conditions(layer)}
    sigmoids = {"i", "f", "o", "r", "z", "g_y", "g_h"} | ({"g"} if "c" in gammas else set())
    assert all((gamma == 0.25) == (block in sigmoids) for block, gamma in gammas.items())


def test_the_bound_is_a_power_that_does_not_underflow():
    (found,) = conditions(layer_with(0.5 * np.eye(3), activation="sigmoid"))
    assert_allclose(found.log10_bound(1000), np.arange(1001) * np.log10(0.125))


@pytest.mark.parametrize("options", [{"taps": (1, 3)}, {"taps": (2,)}, {"skip": 2},
                                     {"skip": 1, "skip_scale": -0.5},
                                     {"skip": 3, "taps": (1, 2)}])
def test_the_bound_holds_with_taps_and_skips(options):
    """Against Jacobians dh_k / dh_0 of linear units, whose slopes are the largest there are."""
    layer = rc.RNN(2, 3, activation="identity", dtype=np.float64, seed=1, **options)
    (found,) = conditions(layer)
    ways = sorted({*layer.taps, *([layer.skip] if layer.skip else [])})
    bound = 10 ** found.log10_bound(7)
    for k in range(1, 8):
        layer.forward(np.zeros((k, 3, 2)))
        dy = np.zeros((k, 3, 3))
        dy[-1] = np.eye(3)
        dstate = layer.backward(dy)[1].reshape(ways[-1], 3, 3)  # newest first: of h_0
        norm = np.linalg.norm(dstate[0], 2)
        assert norm <= bound[k] * (1 + 1e-12)
        assert (bound[k] == 0) == (norm == 0) == (k < ways[0] or (ways == [2] and k % 2 == 1))
        if k == ways[0] and len(ways) == 1 and not layer.skip:
            assert norm == pytest.approx(bound[k])


def test_measured_gradients_stay_below_the_bound():
    """By back-propagation through the layer, from a gradient at the last step alone."""
    rng = np.random.default_rng(0)
    for seed in range(50):
        activation = ("tanh", "sigmoid", "relu", "identity")[seed % 4]
        layer = rc.RNN(3, 6, activation=activation, dtype=np.float64, seed=seed)
        layer.set_parameter("weight_hh_l0", rng.standard_normal((6, 6)))
        (found,) = conditions(layer)
        start = rng.standard_normal(6)
        norms = []
        for lag in range(1, 8):
            layer.forward(rng.standard_normal((lag, 1, 3)), rng.standard_normal((1, 1, 6)))
            dy = np.zeros((lag, 1, 6))
            dy[-1, 0] = start
            norms.append(np.linalg.norm(layer.backward(dy)[1]) / np.linalg.norm(start))
        assert (np.array(norms) <= 10 ** found.log10_bound(7)[1:] * (1 + 1e-9)).all()


@pytest.mark.parametrize(("model", "error", "message"), [
    (rc.IdentityRNN(3, 4), ValueError, "layers IdentityRNN, expected one with recurrent"),
    (rc.MinGRU(3, 4), ValueError, "layers MinGRU, expected one with recurrent weights"),
    (rc.Model([rc.Linear(3, 4)]), ValueError, "layers Linear, expected one with recurrent"),
    (np.zeros((3, 4)), ValueError, r"W has shape \(3, 4\), expected a square matrix"),
    (np.zeros((0, 0)), ValueError, r"W has shape \(0, 0\), expected a square matrix"),
    (np.full((2, 2), np.nan), ValueError, "W is not finite"),
    (np.eye(2) * 1j, TypeError, "W has dtype complex128, expected real numbers"),
    ("w", TypeError, "W has dtype"),
], ids=["identity", "mingru", "linear", "oblong", "empty", "nan", "complex", "text"])
def test_bad_input_is_named(model, error, message):
    for call in (spectrum, conditions):
        with pytest.raises(error, match=message):
            call(model)


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match="activation is 'gelu', expected one of"):
        conditions(np.eye(2), "gelu")
