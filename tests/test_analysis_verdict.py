"""Verdicts on networks and data that were made to deserve them. How often they are right on
trained networks is measured by bench/verdicts.py."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from problems import same_bits

import rnncore as rc
from rnncore.analysis import diagnose

T, B, H = 24, 40, 6


def unit_sum(of_last=False, **options):
    """A model that adds its inputs up, or knows the last alone: what a reference may be."""
    layer = rc.RNN(1, 1, activation="identity", bias=False)
    model = rc.Model([layer, rc.Last()], **options)
    with model.writable() as weights:
        weights[:] = 1.0, 0.0 if of_last else 1.0
    return model


def sums(seed=0):
    x = np.random.default_rng(seed).standard_normal((T, B, 1)).astype(np.float32)
    return x, x.sum(axis=0)


def linear_model(w, out=None):
    layer = rc.RNN(1, len(w), activation="identity", bias=False, seed=0)
    layer.set_parameter("weight_hh_l0", w.astype(np.float32))
    top = rc.Linear(len(w), 1, bias=False, seed=0)
    if out is not None:
        top.set_parameter("weight", out.astype(np.float32))
    return rc.Model([layer, rc.Last(), top])


def test_a_sum_of_all_inputs_depends_on_them():
    x, y = sums()
    found = diagnose(unit_sum(), x, y, reference=unit_sum()).dependence
    assert found.long
    assert found.loss < 1e-8
    assert found.lag == 12
    # Eleven old inputs of variance 1, and eleven of another sequence in their place.
    assert found.rise == pytest.approx(22, rel=0.5)
    assert found.error > 0


def test_a_loss_of_one_s_own_goes_row_by_row():
    def squares(output, target, weights):
        gap = output - target
        return np.sum(weights * (gap**2).mean(axis=-1)), 2 * gap * weights[..., None]

    x, y = sums()
    mse, own = unit_sum(), unit_sum(loss=squares)
    found, expected = (diagnose(mse, x, y, reference=model).dependence for model in (own, mse))
    assert found.error == pytest.approx(expected.error, rel=1e-5)
    assert found.exchanged == pytest.approx(expected.exchanged, rel=1e-5)
    assert diagnose(own, x, y, updates=2).dependence.lag == 12


def test_an_output_that_follows_its_last_input_does_not():
    x, _ = sums()
    found = diagnose(unit_sum(), x, x[-1], reference=unit_sum(of_last=True))
    assert found.dependence.rise == 0
    assert not found.dependence.long
    assert not found.problem
    assert "The data show no dependence on inputs older than 12 steps" in str(found)


@pytest.mark.parametrize(("gain", "verdict"), [(0.5, "vanishing"), (1.0, "healthy"),
                                               (2.0, "exploding")])
def test_verdicts_of_linear_nets_follow_their_gain(gain, verdict):
    w = gain * np.linalg.qr(np.random.default_rng(0).standard_normal((H, H)))[0]
    found = diagnose(linear_model(w), *sums(), reference=unit_sum())
    assert found.verdict == verdict
    assert found.problem == (verdict != "healthy")
    (layer,) = found.layers
    assert layer.name == "0.l0"
    assert layer.kept == pytest.approx(12 * np.log10(gain), abs=1e-4)
    assert layer.arrives == pytest.approx(12 * np.log10(gain), abs=1e-4)
    words = {"vanishing": "vanishes in all directions", "healthy": "arrives",
             "exploding": "explodes"}[verdict]
    assert "0.l0 " + words in found.text
    remedy = {"vanishing": "LSTM", "healthy": "not why", "exploding": "clip_norm"}[verdict]
    assert remedy in found.text
    assert f"{gain**12:.2g}" in found.text


def test_a_way_that_the_error_does_not_take_is_unused():
    """Half of the units keep everything, the others forget at once; only these are read."""
    half = H // 2
    w = np.diag([1.0] * half + [0.0] * half)
    out = np.array([[0.0] * half + [1.0] * half])
    found = diagnose(linear_model(w, out), *sums(), reference=unit_sum())
    assert found.verdict == "unused"
    assert found.layers[0].kept == pytest.approx(0, abs=1e-6)
    assert found.layers[0].arrives == -np.inf
    assert "the error has hardly any there" in found.text
    assert found.problem


def test_the_best_layer_speaks_for_the_model():
    layers = [rc.RNN(1, 4, activation="sigmoid"), rc.IdentityRNN(4, 4), rc.Last(),
              rc.Linear(4, 1)]
    found = diagnose(rc.Model(layers, seed=0), *sums(), reference=unit_sum())
    assert found.verdict == "healthy"
    assert [layer.name for layer in found.layers] == ["0.l0", "1.l0"]


def test_the_cell_state_counts_too():
    layer = rc.LSTM(1, 4, forget="none", seed=0)
    for name in ("weight_hh_l0", "weight_ih_l0"):  # the carousel alone
        layer.set_parameter(name, np.zeros(layer.parameters.shapes[name], np.float32))
    found = diagnose(rc.Model([layer, rc.Last(), rc.Linear(4, 1)]), *sums(),
                     reference=unit_sum())
    assert found.verdict == "healthy"
    assert 0 <= found.layers[0].kept < 0.3  # 1 of c to c, and what there is of c to h


def test_a_reference_is_trained_if_none_is_given():
    task = rc.tasks.TemporalOrder(16, seed=0)
    model = rc.Model([rc.RNN(6, 8, activation="sigmoid"), rc.Last(), rc.Linear(8, 4)],
                     task.loss, seed=0)
    found = diagnose(model, *task.sample(600), lag=8)
    assert found.verdict == "vanishing"
    assert found.dependence.loss < 0.3
    assert found.dependence.exchanged > 1.0
    assert found.problem
    assert found.text.startswith("Over 8 steps, the gradient of 0.l0 vanishes")


def test_of_a_short_dependence_a_trained_reference_finds_none():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, (13, 300))
    model = rc.Model([rc.Embedding(4, 3), rc.RNN(3, 8), rc.Linear(8, 4)], "cross_entropy",
                     seed=0)
    found = diagnose(model, x[:-1], (x[1:] + x[:-1]) % 2, updates=100)
    assert not found.dependence.long


def test_lengths_and_masks_move_the_last_step():
    """What is behind it is not looked at."""
    x, _ = sums()
    lengths = np.full(B, T - 4)
    lengths[::3] = 15
    y = np.stack([x[:n, b].sum(axis=0) for b, n in enumerate(lengths)])
    for b, n in enumerate(lengths):
        x[n:, b] = np.nan
    found = diagnose(unit_sum(), x, y, lengths, lag=10, reference=unit_sum())
    assert found.dependence.loss < 1e-8
    assert found.dependence.long
    assert found.verdict == "healthy"
    per_step = rc.Model([rc.RNN(1, 1, activation="identity", bias=False)])
    with per_step.writable() as weights:
        weights[:] = 1.0
    running = np.cumsum(np.nan_to_num(x), axis=0)
    mask = np.zeros((T, B))
    mask[lengths - 2, np.arange(B)] = 1
    again = diagnose(per_step, x, running + 0.1, lengths, mask, lag=10, reference=per_step)
    assert again.dependence.loss == pytest.approx(0.01, rel=1e-4)
    assert again.dependence.long
    assert again.layers[0].arrives == pytest.approx(0, abs=1e-6)


def test_an_lstm_has_a_verdict_whatever_the_lengths():
    x, y = sums()
    lengths = np.arange(B) % (T - 14) + 15
    model = rc.Model([rc.LSTM(1, 4, seed=0), rc.Last(), rc.Linear(4, 1, seed=0)])
    found = diagnose(model, x, y, lengths, lag=12, reference=unit_sum())
    alone = [diagnose(model, x[:n, [b, b]], y[[b, b]], lag=12, reference=unit_sum()).layers[0]
             for b, n in list(enumerate(lengths))[:8]]
    assert found.layers[0].arrives == pytest.approx(np.median([a.arrives for a in alone]))
    assert found.layers[0].kept == pytest.approx(np.median([a.kept for a in alone]), abs=1e-3)


def test_without_an_error_the_factors_speak():
    x, _ = sums()
    y, _ = unit_sum().infer(x)
    found = diagnose(unit_sum(), x, y, reference=unit_sum())
    assert np.isnan(found.layers[0].arrives)
    assert "and there is no error" in found.text
    assert found.verdict == "healthy"


def test_batch_first_makes_no_difference():
    x, y = sums()
    one = diagnose(unit_sum(), x, y, reference=unit_sum())
    other = diagnose(unit_sum(batch_first=True), x.swapaxes(0, 1), y,
                     reference=unit_sum(batch_first=True))
    assert one == other


def test_asking_changes_nothing():
    task = rc.tasks.TemporalOrder(12, seed=0)
    model = rc.Model([rc.LSTM(6, 8, num_layers=2, dropout=0.5), rc.Last(), rc.Linear(8, 4)],
                     task.loss, seed=0)
    x, y = task.sample(16)
    model.loss_and_grad(x, y)
    twin, first = copy.deepcopy(model), diagnose(model, x, y, updates=3)
    same_bits(model.grads, twin.grads)
    same_bits(model.parameters, twin.parameters)
    same_bits(model.forward(x)[0], twin.forward(x)[0])
    assert diagnose(model, x, y, updates=3) == first


def test_wrong_arguments_are_refused():
    x, y = sums()
    model = unit_sum()
    with pytest.raises(ValueError, match="Linear, Last, expected a recurrent one"):
        diagnose(rc.Model([rc.Linear(1, 1), rc.Last()]), x, y)
    with pytest.raises(ValueError, match="is bidirectional, expected forward"):
        diagnose(rc.Model([rc.RNN(1, 1, bidirectional=True)]), x, np.repeat(x, 2, axis=2))
    with pytest.raises(ValueError, match="lag is 23, expected less than the 24 steps"):
        diagnose(model, x, y, lag=23)
    with pytest.raises(ValueError, match="lag is 0, expected at least 1"):
        diagnose(model, x, y, lag=0)
    with pytest.raises(ValueError, match="updates is -1, expected at least 0"):
        diagnose(model, x, y, updates=-1)
    with pytest.raises(TypeError, match="reference is a int, expected a Model"):
        diagnose(model, x, y, reference=3)
    with pytest.raises(ValueError, match="expected a loss at the last step alone"):
        diagnose(model, x, y, reference=rc.Model([rc.RNN(1, 1)]))
    with pytest.raises(ValueError, match="x has 7 rows, expected at least 8"):
        diagnose(model, x[:, :7], y[:7])
    with pytest.raises(ValueError, match=r"x has shape \(24, 1\), expected a batch"):
        diagnose(model, x[:, 0], y[0])
    with pytest.raises(ValueError, match="loss is nan"):
        diagnose(model, x * np.float32(np.nan), y, reference=model)
    with pytest.raises(ValueError, match="loss is (inf|nan)"):
        diagnose(linear_model(1e3 * np.eye(H)), *sums(), reference=model)
