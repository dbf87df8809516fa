"""Which constructor arguments are refused, and in which words."""

from __future__ import annotations

import re

import numpy as np
import pytest

import rnncore as rc

WRONG = [
    (lambda: rc.LSTM(0, 5), ValueError, "input_size is 0, expected at least 1"),
    (lambda: rc.LSTM(3, 0), ValueError, "hidden_size is 0, expected at least 1"),
    (lambda: rc.GRU(3, -2), ValueError, "hidden_size is -2, expected at least 1"),
    (lambda: rc.GRU(3, 5.0), TypeError, "hidden_size is 5.0, expected an integer"),
    (lambda: rc.GRU(True, 5), TypeError, "input_size is True, expected an integer"),
    (lambda: rc.RNN(3, 5, num_layers=0), ValueError, "num_layers is 0, expected at least 1"),
    (lambda: rc.Linear(0, 5), ValueError, "input_size is 0, expected at least 1"),
    (lambda: rc.Linear(3, 0), ValueError, "output_size is 0, expected at least 1"),
    (lambda: rc.Embedding(0, 5), ValueError, "num_embeddings is 0, expected at least 1"),
    (lambda: rc.Embedding(3, 0), ValueError, "embedding_dim is 0, expected at least 1"),
    (lambda: rc.RNN(3, 5, bidirectional="no"), TypeError, "bidirectional is 'no', expected"),
    (lambda: rc.RNN(3, 5, bias=None), TypeError, "bias is None, expected"),
    (lambda: rc.RNN(3, 5, residual=2), TypeError, "residual is 2, expected"),
    (lambda: rc.RNN(3, 5, batch_first="yes"), TypeError, "batch_first is 'yes', expected"),
    (lambda: rc.RNN(3, 5, dtype=np.int32), TypeError,
     "dtype is int32, expected float32 or float64"),
    (lambda: rc.Linear(3, 5, dtype=np.float16), TypeError,
     "dtype is float16, expected float32 or float64"),
    (lambda: rc.Embedding(3, 5, dtype=complex), TypeError,
     "dtype is complex128, expected float32 or float64"),
    (lambda: rc.RNN(3, 5, dtype=None), TypeError, "dtype is None, expected float32 or float64"),
    # Dropout and taps.
    (lambda: rc.RNN(3, 5, dropout=1.0), ValueError,
     "dropout is 1.0, expected at least 0 and less than 1"),
    (lambda: rc.RNN(3, 5, dropout=-0.1), ValueError, "dropout is -0.1, expected at least 0"),
    (lambda: rc.RNN(3, 5, dropout=float("nan")), ValueError, "dropout is nan, expected at least"),
    (lambda: rc.RNN(3, 5, dropout="0.5"), TypeError, "dropout is '0.5', expected a number"),
    (lambda: rc.RNN(3, 5, taps=()), ValueError, "taps is (), expected steps in increasing order"),
    (lambda: rc.RNN(3, 5, taps=(2, 1)), ValueError, "taps is (2, 1), expected steps in increasing"),
    (lambda: rc.RNN(3, 5, taps=(1, 1)), ValueError, "taps is (1, 1), expected steps in increasing"),
    (lambda: rc.RNN(3, 5, taps=(0, 1)), ValueError, "taps is 0, expected at least 1"),
    (lambda: rc.RNN(3, 5, taps=(1.0,)), TypeError, "taps is 1.0, expected an integer"),
    (lambda: rc.RNN(3, 5, taps=3), TypeError, "taps is 3, expected"),
    (lambda: rc.RNN(3, 5, taps=range(1, 18)), ValueError, "taps has 17 entries, expected at most 16"),
    (lambda: rc.IndRNN(3, 5, taps=(1, 2)), ValueError,
     "taps is (1, 2), expected one: IndRNN has no recurrent product"),
    (lambda: rc.IdentityRNN(3, 5, taps=(1, 2)), ValueError, "taps is (1, 2), expected one: Ident"),
    (lambda: rc.MinGRU(3, 5, taps=(1, 2)), ValueError, "taps is (1, 2), expected one: MinGRU has"),
    (lambda: rc.GRU(3, 5, reset="before", taps=(1, 2)), ValueError,
     "taps is (1, 2), expected one with reset='before'"),
    (lambda: rc.GRU(3, 5, reset="before", taps=2), TypeError, "taps is 2, expected"),
    # Choices.
    (lambda: rc.RNN(3, 5, activation="gelu"), ValueError,
     "activation is 'gelu', expected one of 'tanh', 'relu', 'sigmoid', 'identity'"),
    (lambda: rc.IndRNN(3, 5, activation=None), ValueError, "activation is None, expected one of"),
    (lambda: rc.IdentityRNN(3, 5, activation="Tanh"), ValueError, "activation is 'Tanh', expected"),
    (lambda: rc.Linear(3, 5, activation="softmax"), ValueError, "activation is 'softmax', expected"),
    (lambda: rc.UGRNN(3, 5, activation="sigmoid"), ValueError,
     "activation is 'sigmoid', expected one of 'tanh', 'relu'"),
    (lambda: rc.MinGRU(3, 5, candidate="relu"), ValueError,
     "candidate is 'relu', expected one of 'identity', 'tanh'"),
    (lambda: rc.GRU(3, 5, reset="both"), ValueError,
     "reset is 'both', expected one of 'after', 'before'"),
    (lambda: rc.LSTM(3, 5, forget="always"), ValueError,
     "forget is 'always', expected one of 'gate', 'none', 'coupled'"),
    (lambda: rc.LSTM(3, 5, peephole="full"), ValueError,
     "peephole is 'full', expected one of None, 'diagonal', 'cell'"),
    (lambda: rc.RNN(3, 5, form="jordan"), ValueError,
     "form is 'jordan', expected one of 'elman', 'pascanu'"),
    # Combinations.
    (lambda: rc.RNN(3, 5, form="pascanu", skip=2), ValueError,
     "skip is 2, expected None with form='pascanu'"),
    (lambda: rc.RNN(3, 5, skip=0), ValueError, "skip is 0, expected at least 1"),
    (lambda: rc.RNN(3, 5, skip=1.5), TypeError, "skip is 1.5, expected an integer"),
    (lambda: rc.RNN(3, 5, skip=2, skip_scale=float("inf")), ValueError, "skip_scale is inf, exp"),
    (lambda: rc.RNN(3, 5, skip_scale=2.0), ValueError, "skip_scale is 2.0, expected"),
    (lambda: rc.LSTM(3, 5, forget_bias=float("nan")), ValueError, "forget_bias is nan, expected"),
    (lambda: rc.RNN(3, 5, forget_bias=1.0), TypeError, "forget_bias"),
    (lambda: rc.MinGRU(3, 5, forget_bias=1.0), TypeError, "forget_bias"),
    (lambda: rc.RNN(3, 5, units=4), TypeError, "unexpected keyword argument 'units'"),
    (lambda: rc.IntersectionRNN(3, 5), ValueError, "input_size is 3, expected hidden_size = 5"),
    (lambda: rc.IntersectionRNN(5, 5, bidirectional=True, num_layers=2), ValueError,
     "bidirectional is True, expected False with num_layers > 1"),
    (lambda: rc.Linear(3, 5, residual=True), ValueError,
     "residual is True, expected input_size = output_size, got 3 and 5"),
    # Building from a description.
    (lambda: rc.layers.build({"layer": "Lstm"}), ValueError, "layer is 'Lstm', expected one of RNN"),
    (lambda: rc.layers.build({"input_size": 3}), ValueError, "layer is None, expected one of RNN"),
    (lambda: rc.layers.build({"layer": "GRU", "input_size": 3, "hidden_size": 5, "peephole": 1}),
     ValueError, "GRU has no settings ['peephole'], expected some of input_size"),
]


@pytest.mark.parametrize(("make", "error", "words"), WRONG, ids=[c[2] for c in WRONG])
def test_constructors(make, error, words):
    with pytest.raises(error, match=re.escape(words)):
        make()
