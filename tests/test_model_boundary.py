"""Wrong arguments of a model are refused by name and change nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from small import F64, C, K, make

import rnncore as rc

T, B = 5, 3
X, Y = np.zeros((T, B, K)), np.zeros((T, B), int)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.zeros((T, B, 7))}, ValueError,
         r"x has shape \(5, 3, 7\), expected \(time, batch, 2\)"),
        ({"x": np.zeros((1, T, B, K))}, ValueError, r"expected \(time, batch, 2\)"),
        ({"x": np.float64(1)}, ValueError, r"x has shape \(\), expected"),
        ({"x": X.astype(np.float32)}, TypeError,
         r"x has dtype float32, expected float64: cast it with x.astype\(np.float64\)"),
        ({"x": Y}, TypeError, "x has dtype int64, expected float64"),
        ({"target": Y + C}, ValueError, "target holds 3, expected values from 0 to 2"),
        ({"target": Y[1:]}, ValueError, r"target has shape \(4, 3\), expected \(5, 3\) of cl"),
        ({"lengths": [5, 5]}, ValueError, r"lengths has shape \(2,\), expected \(3,\)"),
        ({"lengths": [5, 6, 1]}, ValueError, r"lengths\[1\] is 6, expected 0 to 5"),
        ({"lengths": [5, 5, -1]}, ValueError, r"lengths\[2\] is -1, expected 0 to 5"),
        ({"lengths": [5.0, 5.0, 1.0]}, TypeError, "lengths has dtype float64, expected"),
        ({"x": X[:, 0], "target": Y[:, 0], "lengths": [5]}, ValueError,
         r"lengths came with one sequence of shape \(5, 2\), expected None"),
        ({"mask": np.ones((T, B), int)}, TypeError, "mask has dtype int64, expected bool, or"),
        ({"mask": -np.ones((T, B))}, ValueError, "mask holds -1.0, expected finite weights of"),
        ({"mask": np.full((T, B), np.nan)}, ValueError, "mask holds nan, expected finite"),
        ({"resets": np.ones((T, B))}, TypeError, "resets has dtype float64, expected bool"),
        ({"resets": np.ones(T, bool)}, ValueError, r"resets has shape \(5,\), expected \(5, 3"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every is 0, expected at least 1"),
        ({"mask": np.ones((B, T), bool)}, ValueError, r"mask has shape \(3, 5\), expected \(5"),
        ({"state": [None]}, ValueError, "state is a list of length 1, expected a list of one"),
        ({"state": 3}, ValueError, "state is a int, expected a list of one entry for each of"),
        ({"state": [None, np.zeros(3)]}, ValueError, r"state\[1\] is of a layer without state"),
    ],
)
def test_wrong_arguments_change_nothing(change, error, message):
    model = make()
    model.grads[:] = 1
    before = model.state_dict()
    with pytest.raises(error, match=message):
        model.loss_and_grad(**{"x": X, "target": Y, **change})
    assert (model.grads == 1).all()
    assert all((before[n] == p).all() for n, p in model.named_parameters().items())


def test_wrong_arguments_of_a_batch_first_model_are_told_in_its_order():
    model = make(batch_first=True)
    with pytest.raises(ValueError, match=r"x has shape \(3, 5, 7\), expected \(batch, time"):
        model.infer(np.zeros((B, T, 7)))
    with pytest.raises(ValueError, match=r"target has shape \(5, 3\), expected \(3, 5\) of"):
        model.loss_and_grad(np.zeros((B, T, K)), Y)
    with pytest.raises(ValueError, match=r"lengths\[0\] is 6, expected 0 to 5"):
        model.infer(np.zeros((B, T, K)), lengths=[6, 0, 0])


def test_symbols_that_are_none():
    model = rc.Model([rc.Embedding(6, K, dtype=F64), rc.Linear(K, C, dtype=F64)])
    with pytest.raises(TypeError, match="x has dtype float64, expected integers for an Embedd"):
        model.infer(np.zeros((T, B)))
    with pytest.raises(ValueError, match=r"x has shape \(5, 3, 2\), expected \(time, batch\)"):
        model.infer(np.zeros((T, B, K), int))
    for bad in (6, -1):
        with pytest.raises(ValueError, match=f"x holds {bad}, expected indices from 0 to 5"):
            model.infer(np.full((T, B), bad))


@pytest.mark.parametrize("pattern", ["2.*", "weight", ""])
def test_a_pattern_must_match(pattern):
    model = make()
    with pytest.raises(ValueError, match=f"pattern '{pattern}' matches no parameter, expected"):
        model.freeze("0.*", pattern)
    assert not model.frozen
    with pytest.raises(ValueError, match="no pattern came, expected names such as"):
        model.freeze()


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (lambda: [], ValueError, "layers holds no layer with parameters, expected at least"),
        (lambda: [rc.Last()], ValueError, "layers holds no layer with parameters"),
        (lambda: [rc.RNN(2, 8), rc.Linear(9, 2)], ValueError,
         r"layer 1, Linear\(.*\), takes width 9, expected 8, which layer 0, RNN\(2, 8\) gives"),
        (lambda: [rc.RNN(2, 8), rc.Last(), rc.Linear(9, 2)], ValueError, "layer 2, .*takes wi"),
        (lambda: [rc.RNN(2, 8), rc.Linear(8, 2, dtype=F64)], TypeError,
         r"layer 1, Linear\(.*\), has dtype float64, expected float32 as the others"),
        (lambda: [rc.RNN(2, 8), rc.Embedding(8, 2)], ValueError,
         "layer 1, .* takes symbols, expected an Embedding as layer 0 alone"),
        (lambda: [rc.RNN(2, 8), rc.Last(), rc.RNN(8, 2)], ValueError,
         "layer 2, .* comes after Last, expected Linear layers alone"),
        (lambda: [rc.RNN(2, 8, batch_first=True)], ValueError,
         "layer 0, .* has batch_first=True, expected it of the Model alone"),
    ],
)
def test_layers_that_do_not_fit(layers, error, message):
    with pytest.raises(error, match=message):
        rc.Model(layers())


def test_a_layer_is_in_one_model_once():
    layer = rc.RNN(2, 2)
    with pytest.raises(ValueError, match="part 0 is in a model already: use a deep copy of it"):
        rc.Model([layer, layer])
    rc.Model([layer])
    with pytest.raises(ValueError, match="part 0 is in a model already"):
        rc.Model([layer])
    rc.Model([copy.deepcopy(layer), rc.Linear(2, 1)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "nll"}, "loss is 'nll', expected 'mse', 'cross_entropy', 'kl', 'bernoulli'"),
        ({"reduction": "max"}, "reduction is 'max', expected 'mean' or 'sum'"),
    ],
)
def test_unknown_options_leave_the_layers_free(options, message):
    layer = rc.RNN(2, 2)
    with pytest.raises(ValueError, match=message):
        rc.Model([layer], **options)
    rc.Model([layer])
