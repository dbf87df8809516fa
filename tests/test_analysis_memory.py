"""What states know of the past: against closed forms of linear networks, and oracles."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal

import rnncore as rc
from rnncore.analysis.memory import forward_memory

WHITE = np.random.default_rng(0)


def linear(w, inputs=1, activation="identity", dtype=np.float64, **options):
    layer = rc.RNN(inputs, len(w), activation=activation, bias=False, dtype=dtype, seed=0,
                   **options)
    layer.set_parameter("weight_hh_l0", np.asarray(w, dtype))
    return rc.Model([layer, rc.Linear(layer.output_size, 1, dtype=dtype)])


def orthogonal(size):
    return np.linalg.qr(np.random.default_rng(3).standard_normal((size, size)))[0]


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.1])
def test_a_linear_network_with_an_orthogonal_matrix_has_its_gain_as_rate(gain):
    model, x = linear(gain * orthogonal(6)), WHITE.standard_normal((60, 3, 1))
    (memory,) = forward_memory(model, x, lags=50)
    assert_allclose(memory.log10_perturbation, np.arange(51)[:, None] * np.log10([gain] * 3),
                    atol=1e-6)
    assert memory.rate == pytest.approx(gain, rel=1e-6)


def test_states_that_grow_have_their_rate_until_they_overflow():
    model, x = linear(2.0 * orthogonal(4)), np.ones((1500, 1, 1))
    (memory,) = forward_memory(model, x, lags=1500)
    assert memory.log10_perturbation[900, 0] == pytest.approx(900 * np.log10(2), rel=1e-6)
    assert np.isnan(memory.log10_perturbation[-1, 0])


def test_a_decay_below_what_a_float_can_be_is_a_number():
    model = linear(0.01 * np.eye(4), activation="sigmoid", dtype=np.float32)
    x = np.zeros((400, 1, 1), np.float32)
    (memory,) = forward_memory(model, x, lags=400)
    # h settles at once; near it a step multiplies by 0.01 f', with f' = h (1 - h) at its h*
    h = 0.5
    for _ in range(99):
        h = 1 / (1 + np.exp(-0.01 * h))
    expected = np.log10(0.01 * h * (1 - h))
    assert memory.log10_perturbation[-1, 0] == pytest.approx(400 * expected, rel=1e-3)
    assert memory.log10_perturbation[-1, 0] < -1000


@pytest.mark.parametrize(("kind", "options"), [("LSTM", {}), ("GRU", {}), ("UGRNN", {}),
                                               ("RNN", {"taps": (1, 3)})])
def test_the_perturbation_is_that_of_the_oracle(kind, options):
    """The derivative of the state k steps later along it, by complex steps."""
    model = rc.Model([getattr(rc, kind)(2, 4, dtype=np.float64, **options)], seed=4)
    layer, lags = model.layers[0], 6
    x = WHITE.standard_normal((9, 1, 2))
    (memory,) = forward_memory(model, x, lags=lags, at=2, seed=5)
    params = dict(layer.parameters.items())
    parts = 2 if kind == "LSTM" else 1
    shape = (1, 3, 1, 4) if "taps" in options else (1, 1, 4)
    rng = np.random.default_rng(5)
    ways = [rng.standard_normal(shape) for _ in range(parts)]
    norm = np.sqrt(sum((way**2).sum() for way in ways))
    _, begin = layer.infer(x[:2])
    begin = begin if parts == 2 else (begin,)
    for k in range(1, lags + 1):
        bent = tuple(s + 1e-30j * way / norm for s, way in zip(begin, ways, strict=True))
        _, end = reference.run(kind, params, x[2:2 + k], bent if parts == 2 else bent[0],
                               **options)
        end = end if parts == 2 else (end,)
        size = np.sqrt(sum(((e.imag / 1e-30) ** 2).sum() for e in end))
        assert memory.log10_perturbation[k, 0] == pytest.approx(np.log10(size), abs=1e-6)


def test_an_identity_map_forgets_nothing_and_a_memoryless_cell_all():
    x = WHITE.standard_normal((20, 2, 3))
    keeps = rc.Model([rc.IdentityRNN(3, 4, dtype=np.float64)], seed=0)
    assert_allclose(forward_memory(keeps, x)[0].log10_perturbation, 0, atol=1e-8)
    (forgets,) = forward_memory(linear(np.zeros((4, 4)), 3), x)
    assert (forgets.log10_perturbation[1:] == -np.inf).all()
    assert np.isnan(forgets.rate)


def test_a_shift_register_recalls_as_many_inputs_as_it_has_units():
    w = np.eye(8, k=-1)
    model, x = linear(w), WHITE.standard_normal((300, 4, 1))
    layer = model.layers[0]
    layer.set_parameter("weight_ih_l0", np.eye(8, 1))
    (memory,) = forward_memory(model, x, lags=12)
    assert_allclose(memory.recall[:8], 1, atol=1e-6)
    assert (memory.recall[8:] < 0.05).all()
    assert memory.capacity == pytest.approx(8, abs=0.2)


def test_a_leaky_unit_recalls_by_its_closed_form():
    """h = sum a^k x_{t-k}: R^2 at lag k is a^2k (1 - a^2) for white input."""
    model, x = linear([[0.8]]), WHITE.standard_normal((3000, 4, 1))
    (memory,) = forward_memory(model, x, lags=6)
    assert_allclose(memory.recall, 0.8 ** (2 * np.arange(7)) * (1 - 0.8**2), atol=0.02)


def test_a_reverse_direction_recalls_the_future_within_lengths():
    w = np.eye(3, k=-1)
    layer = rc.RNN(1, 3, activation="identity", bias=False, bidirectional=True,
                   dtype=np.float64)
    for turn in ("", "_reverse"):
        layer.set_parameter(f"weight_hh_l0{turn}", w)
        layer.set_parameter(f"weight_ih_l0{turn}", np.eye(3, 1))
    x = WHITE.standard_normal((40, 6, 1))
    lengths = np.array([40, 30, 5, 40, 0, 35])
    x[np.arange(40)[:, None] >= lengths] = np.nan
    found = forward_memory(rc.Model([layer]), x, lengths=lengths, lags=5)
    assert [memory.name for memory in found] == ["0.l0", "0.l0_reverse"]
    for memory in found:
        assert_allclose(memory.recall[:3], 1, atol=1e-6)
        assert (memory.recall[3:] < 0.2).all()
        live = ~np.isnan(memory.log10_perturbation)
        assert_array_equal(live.sum(0), [6, 6, 6, 6, 0, 6])


def test_no_rows_have_no_memory_and_no_steps_are_refused():
    model = rc.Model([rc.LSTM(2, 3)])
    (memory,) = forward_memory(model, np.zeros((4, 0, 2), np.float32), lags=3)
    assert memory.log10_perturbation.shape == (4, 0)
    assert np.isnan(memory.recall).all()
    with pytest.raises(ValueError, match="x has no steps, expected at least one"):
        forward_memory(model, np.zeros((0, 2, 2), np.float32))


def test_nothing_is_changed_by_looking():
    model = rc.Model([rc.Embedding(5, 3), rc.GRU(3, 4, num_layers=2, dropout=0.5),
                      rc.Linear(4, 2)], seed=0)
    before, drawn = model.parameters.copy(), model.generator_states()
    symbols = WHITE.integers(0, 5, (12, 2))
    found = forward_memory(model, symbols, lags=3)
    assert [memory.name for memory in found] == ["1.l0", "1.l1"]
    assert_array_equal(model.parameters, before)
    assert model.generator_states() == drawn
    assert model.layers[1].training
    again = forward_memory(model, symbols, lags=3)
    assert_array_equal(found[1].recall, again[1].recall)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"lags": 0}, ValueError, "lags is 0, expected at least 1"),
    ({"lags": 2.5}, TypeError, "lags is 2.5, expected an integer"),
    ({"at": 9}, ValueError, "at is 9, expected a step from 0 to 8"),
    ({"ridge": -1.0}, ValueError, "ridge is -1.0, expected at least 0"),
    ({"seed": -1}, ValueError, "seed is -1"),
    ({"lengths": [10, 1]}, ValueError, "lengths"),
])
def test_bad_arguments_are_named(options, error, message):
    model = rc.Model([rc.GRU(2, 3)])
    with pytest.raises(error, match=message):
        forward_memory(model, np.zeros((9, 2, 2), np.float32), **options)
    with pytest.raises(ValueError, match="model has the layers Linear"):
        forward_memory(rc.Model([rc.Linear(2, 3)]), np.zeros((9, 2, 2), np.float32))
