"""Settings of single parameters, and the factor of a schedule."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from optim_problems import Model

import rnncore as rc


def test_options_change_the_rates_of_the_parameters_they_match():
    """A later pattern wins; what it leaves open stands as an earlier one has it."""
    options = {"*": {"lr": 0.5}, "b": {"lr": 0.25, "weight_decay": 0.5}, "[bc]": {"lr": 0.125}}
    model, optimizer = Model(), rc.SGD(1.0, options=options)
    before = model.tensors.state_dict()
    model.step(optimizer, 1.0)
    assert_allclose(model.tensors["a"], before["a"] - 0.5)
    assert_allclose(model.tensors["b"], before["b"] - 0.125 * (1 + 0.5 * before["b"]))
    assert_allclose(model.tensors["c"], before["c"] - 0.125)


@pytest.mark.parametrize("make", [lambda **own: rc.SGD(0.5, **own), rc.RMSprop, rc.AdamW])
def test_matrices_decay_and_vectors_do_not(make):
    model = Model()
    before = model.tensors.state_dict()
    model.step(make(weight_decay=0.5), 0.0)
    assert (np.abs(model.tensors["b"]) < np.abs(before["b"])).all()
    assert all((model.tensors[name] == before[name]).all() for name in "ac")


def test_an_option_decays_a_vector_and_keeps_a_matrix():
    model = Model()
    before = model.tensors.state_dict()
    options = {"a": {"weight_decay": 0.25}, "b": {"weight_decay": 0}}
    model.step(rc.AdamW(0.5, weight_decay=0.5, options=options), 0.0)
    assert_allclose(model.tensors["a"], before["a"] * (1 - 0.5 * 0.25))
    assert all((model.tensors[name] == before[name]).all() for name in "bc")


def test_what_decays_of_every_layer_is_a_matrix():
    """Biases, peepholes and IndRNN's recurrent weights are vectors."""
    model = rc.Model([rc.LSTM(2, 3, peephole="diagonal"), rc.IndRNN(3, 4), rc.Linear(4, 1)],
                     loss="mse")
    with model.writable() as flat:
        flat[:] = 1
    rc.SGD(0.5, weight_decay=1.0).step(model)
    kept = {name for name, value in model.named_parameters().items() if (value == 1).all()}
    assert kept == {name for name in model.named_parameters()
                    if "bias" in name or name in ("0.weight_ph_l0", "1.weight_hh_l0")}


@pytest.mark.parametrize("make", [rc.Adam, rc.SGD])
def test_a_pattern_that_matches_nothing_is_refused_before_anything_changes(make):
    model, optimizer = Model(), make(lr=0.1, options={"a": {"lr": 1}, "d*": {"lr": 2}})
    before = model.tensors.values.copy()
    with pytest.raises(ValueError, match="pattern 'd\\*' of options matches no parameter, expec"
                                         "ted to match some of a, b, c"):
        model.step(optimizer, 1.0)
    assert (model.tensors.values == before).all() and not optimizer.state_dict()["steps"].size


def test_a_restored_optimizer_has_its_own_options():
    """A state is of moments and steps; options are matched with the names anew."""
    model, optimizer = Model(), rc.Adam(0.1)
    model.step(optimizer, 1.0)
    restored = rc.Adam(0.1, options={"b": {"lr": 0.0}})
    restored.load_state_dict(optimizer.state_dict())
    before = model.tensors.state_dict()
    model.step(restored, 1.0)
    assert (model.tensors["b"] == before["b"]).all()
    assert (model.tensors["a"] != before["a"]).all()


def test_a_deep_copy_goes_on_alone():
    model, optimizer = Model(), rc.AdamW(options={"b": {"lr": 0.5}})
    model.step(optimizer, 1.0)
    state = optimizer.state_dict()
    model.step(copy.deepcopy(optimizer), 2.0)
    assert all((optimizer.state_dict()[name] == state[name]).all() for name in state)


# ---- The factor of a schedule ----


@pytest.mark.parametrize("make", [rc.SGD, rc.RMSprop, rc.AdamW])
def test_a_factor_multiplies_all_learning_rates_of_one_step(make):
    """That of the optimizer and those of the options."""
    one, other = Model(), Model()
    scheduled = make(0.5, weight_decay=0.5, options={"a": {"lr": 0.125}})
    plain = make(0.125, weight_decay=0.5, options={"a": {"lr": 0.03125}})
    one.tensors.grads[:] = other.tensors.grads[:] = np.arange(11) - 5.0
    scheduled.step(one, lr_factor=0.25)
    plain.step(other)
    assert one.tensors.values.tobytes() == other.tensors.values.tobytes()
    assert scheduled.lr == 0.5


@pytest.mark.parametrize("factor", [-1.0, math.nan, math.inf])
def test_a_wrong_factor_or_rate_changes_nothing(factor):
    model, optimizer = Model(), rc.Adam()
    before = model.tensors.values.copy()
    with pytest.raises(ValueError, match="lr_factor is .*, expected a number in"):
        optimizer.step(model, factor)
    optimizer.lr = factor
    with pytest.raises(ValueError, match="lr is .*, expected a number in"):
        optimizer.step(model)
    assert (model.tensors.values == before).all() and not optimizer.state_dict()["steps"].size
