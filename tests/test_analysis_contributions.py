"""What every step contributes to the gradient of every later error."""

from __future__ import annotations

import numpy as np
import pytest
from gradient_problems import MODELS, batch, every_model

import rnncore as rc
from rnncore import analysis


@every_model
def test_contributions_add_up_to_the_gradient(name):
    model = rc.Model(MODELS[name](np.float64), seed=0)
    x, y = batch(model, 6, 4)
    if name == "both directions":
        with pytest.raises(ValueError, match="is bidirectional, expected forward"):
            analysis.temporal_contributions(model, x, y)
        return
    for lengths in (None, [6, 2, 4, 0]):
        terms = analysis.temporal_contributions(model, x, y, lengths=lengths)
        model.loss_and_grad(x, y, lengths=lengths)
        largest = max(abs(model.grads).max(), 1e-3)
        for key, grad in model.grad_dict().items():
            assert abs(terms.gradient[key] - grad).max() <= 1e-10 * largest
            assert not np.triu(terms.norms[key], 1).any()
            assert terms.share(key).sum() == pytest.approx(1.0)


def test_a_term_is_what_the_use_at_that_step_has_to_do_with_the_error_at_the_other():
    """Against differences: weights that change at step k alone."""
    layer = rc.RNN(2, 3, dtype=np.float64, seed=0)
    model = rc.Model([layer])
    x, y = batch(model, 5)
    found = analysis.temporal_contributions(model, x, y, steps=[3]).norms["0.weight_hh_l0"][0]
    w_ih, w = layer.parameters["weight_ih_l0"], layer.parameters["weight_hh_l0"]
    bias = layer.parameters["bias_ih_l0"] + layer.parameters["bias_hh_l0"]

    def error(k, change):
        h = np.zeros((3, 3))
        for t in range(4):
            h = np.tanh(x[t] @ w_ih.T + h @ (w + change * (t == k)).T + bias)
        return ((h - y[3]) ** 2).sum() / y.size

    for k in range(4):
        slopes = [(error(k, e.reshape(3, 3)) - error(k, -e.reshape(3, 3))) / 2e-6
                  for e in 1e-6 * np.eye(9)]
        assert found[k] == pytest.approx(np.linalg.norm(slopes), rel=1e-6, abs=1e-12)
    assert found[4] == 0


def test_a_model_with_last_has_one_error():
    model = rc.Model([rc.GRU(3, 4, dtype=np.float64), rc.Last(), rc.Linear(4, 2,
                                                                          dtype=np.float64)],
                     loss="cross_entropy", seed=0)
    x, _ = batch(model, 6)
    target = np.array([0, 1, 1])
    terms = analysis.temporal_contributions(model, x, target)
    model.loss_and_grad(x, target)
    assert terms.steps.tolist() == [5]
    for key, grad in model.grad_dict().items():
        assert abs(terms.gradient[key] - grad).max() <= 1e-10 * abs(model.grads).max()
    with pytest.raises(ValueError, match="lengths came for a model with Last"):
        analysis.temporal_contributions(model, x, target, lengths=[6, 6, 6])


def test_terms_past_all_numbers_are_infinite_and_what_is_nothing_stays_so():
    """With W = 16 I and inputs and states of 0, 300 steps are 16^300 = 1e361."""
    model = rc.Model([rc.RNN(2, 3, activation="identity"), rc.Last()])
    rc.init.identity(model, "0.weight_hh*", scale=16.0)
    rc.init.uniform(model, "*bias*", low=0.0, high=0.0)
    x, y = np.zeros((300, 2, 2), np.float32), np.ones((2, 3), np.float32)
    terms = analysis.temporal_contributions(model, x, y)
    lags = np.log10(terms.by_lag("0.bias_ih_l0"))
    np.testing.assert_allclose(np.diff(lags[:250]), np.log10(16))
    assert lags[-1] == np.inf
    assert np.isnan(terms.share("0.bias_ih_l0")[-1])
    assert not terms.norms["0.weight_hh_l0"].any()
    assert not terms.gradient["0.weight_ih_l0"].any()
