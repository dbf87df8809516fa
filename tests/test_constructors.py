"""Which constructor arguments are refused, and in which words."""

from __future__ import annotations

import re

import numpy as np
import pytest

import rnncore as rc

WRONG_TYPES = {
    "hidden_size is 5.0, expected an integer": lambda: rc.GRU(3, 5.0),
    "input_size is True, expected an integer": lambda: rc.GRU(True, 5),
    "bidirectional is 'no', expected True or False": lambda: rc.RNN(3, 5, bidirectional="no"),
    "bias is None, expected True or False": lambda: rc.RNN(3, 5, bias=None),
    "residual is 2, expected True or False": lambda: rc.RNN(3, 5, residual=2),
    "batch_first is 'yes', expected True or False": lambda: rc.RNN(3, 5, batch_first="yes"),
    "dtype is dtype('int32'), expected float32 or float64":
        lambda: rc.RNN(3, 5, dtype=np.dtype(np.int32)),
    "dtype is <class 'numpy.float16'>, expected float32 or float64":
        lambda: rc.Linear(3, 5, dtype=np.float16),
    "dtype is 'complex', expected float32 or float64":
        lambda: rc.Embedding(3, 5, dtype="complex"),
    "dtype is 'single precision', expected float32 or float64":
        lambda: rc.RNN(3, 5, dtype="single precision"),
    "dtype is None, expected float32 or float64": lambda: rc.RNN(3, 5, dtype=None),
    "dropout is '0.5', expected a number": lambda: rc.RNN(3, 5, dropout="0.5"),
    "taps is 1.0, expected an integer": lambda: rc.RNN(3, 5, taps=(1.0,)),
    "taps is 3, expected a sequence of integers": lambda: rc.RNN(3, 5, taps=3),
    "taps is 2, expected a sequence of integers":
        lambda: rc.GRU(3, 5, reset="before", taps=2),
    "skip_scale is 'x', expected a number": lambda: rc.RNN(3, 5, skip=2, skip_scale="x"),
    "forget_bias is None, expected a number": lambda: rc.LSTM(3, 5, forget_bias=None),
    "skip is 1.5, expected an integer": lambda: rc.RNN(3, 5, skip=1.5),
    "unexpected keyword argument 'units'": lambda: rc.RNN(3, 5, units=4),
}

WRONG_VALUES = {
    "input_size is 0, expected at least 1": lambda: rc.LSTM(0, 5),
    "hidden_size is 0, expected at least 1": lambda: rc.LSTM(3, 0),
    "hidden_size is -2, expected at least 1": lambda: rc.GRU(3, -2),
    "num_layers is 0, expected at least 1": lambda: rc.RNN(3, 5, num_layers=0),
    "input_size is -1, expected at least 1": lambda: rc.Linear(-1, 5),
    "output_size is 0, expected at least 1": lambda: rc.Linear(3, 0),
    "num_embeddings is 0, expected at least 1": lambda: rc.Embedding(0, 5),
    "embedding_dim is 0, expected at least 1": lambda: rc.Embedding(3, 0),
    "dropout is 1.0, expected at least 0 and less than 1": lambda: rc.RNN(3, 5, dropout=1.0),
    "dropout is -0.1, expected at least 0": lambda: rc.RNN(3, 5, dropout=-0.1),
    "dropout is nan, expected a finite number": lambda: rc.RNN(3, 5, dropout=float("nan")),
    "taps is (), expected steps in increasing order": lambda: rc.RNN(3, 5, taps=()),
    "taps is (2, 1), expected steps in increasing order": lambda: rc.RNN(3, 5, taps=(2, 1)),
    "taps is (1, 1), expected steps in increasing order": lambda: rc.RNN(3, 5, taps=(1, 1)),
    "taps is 0, expected at least 1": lambda: rc.RNN(3, 5, taps=(0, 1)),
    "taps has 17 entries, expected at most 16": lambda: rc.RNN(3, 5, taps=range(1, 18)),
    "taps is (1, 2), expected one: IndRNN has no recurrent product":
        lambda: rc.IndRNN(3, 5, taps=(1, 2)),
    "taps is (1, 2), expected one: Ident": lambda: rc.IdentityRNN(3, 5, taps=(1, 2)),
    "taps is (1, 2), expected one: MinGRU has": lambda: rc.MinGRU(3, 5, taps=(1, 2)),
    "taps is (1, 2), expected one with reset='before'":
        lambda: rc.GRU(3, 5, reset="before", taps=(1, 2)),
    "activation is 'gelu', expected one of 'tanh', 'relu', 'sigmoid', 'identity'":
        lambda: rc.RNN(3, 5, activation="gelu"),
    "activation is None, expected one of": lambda: rc.IndRNN(3, 5, activation=None),
    "activation is 'Tanh', expected": lambda: rc.IdentityRNN(3, 5, activation="Tanh"),
    "activation is 'softmax', expected": lambda: rc.Linear(3, 5, activation="softmax"),
    "activation is 'sigmoid', expected one of 'tanh', 'relu'":
        lambda: rc.UGRNN(3, 5, activation="sigmoid"),
    "candidate is 'relu', expected one of 'identity', 'tanh'":
        lambda: rc.MinGRU(3, 5, candidate="relu"),
    "reset is 'both', expected one of 'after', 'before'": lambda: rc.GRU(3, 5, reset="both"),
    "forget is 'always', expected one of 'gate', 'none', 'coupled'":
        lambda: rc.LSTM(3, 5, forget="always"),
    "peephole is 'full', expected one of None, 'diagonal', 'cell'":
        lambda: rc.LSTM(3, 5, peephole="full"),
    "form is 'jordan', expected one of 'elman', 'pascanu'": lambda: rc.RNN(3, 5, form="jordan"),
    "skip is 2, expected None with form='pascanu'":
        lambda: rc.RNN(3, 5, form="pascanu", skip=2),
    "skip is 0, expected at least 1": lambda: rc.RNN(3, 5, skip=0),
    "skip_scale is inf, expected a finite number":
        lambda: rc.RNN(3, 5, skip=2, skip_scale=float("inf")),
    "skip_scale is 2.0, expected 1.0": lambda: rc.RNN(3, 5, skip_scale=2.0),
    "forget_bias is nan, expected a finite number":
        lambda: rc.LSTM(3, 5, forget_bias=float("nan")),
    "seed is -1, expected None or an integer of at least 0": lambda: rc.GRU(3, 5, seed=-1),
    "seed is 'x', expected None or an integer of at least 0": lambda: rc.Linear(3, 5, seed="x"),
    "input_size is 3, expected hidden_size = 5": lambda: rc.IntersectionRNN(3, 5),
    "bidirectional is True, expected False with num_layers > 1":
        lambda: rc.IntersectionRNN(5, 5, bidirectional=True, num_layers=2),
    "residual is True, expected input_size = output_size, got 3 and 5":
        lambda: rc.Linear(3, 5, residual=True),
    "layer is 'Lstm', expected one of RNN": lambda: rc.layers.build({"layer": "Lstm"}),
    "layer is None, expected one of RNN": lambda: rc.layers.build({"input_size": 3}),
    "GRU has no settings ['peephole'], expected some of input_size":
        lambda: rc.layers.build(rc.GRU(3, 5).config() | {"peephole": "cell"}),
}


@pytest.mark.parametrize("words", WRONG_TYPES)
def test_wrong_types(words):
    with pytest.raises(TypeError, match=re.escape(words)):
        WRONG_TYPES[words]()


@pytest.mark.parametrize("words", WRONG_VALUES)
def test_wrong_values(words):
    with pytest.raises(ValueError, match=re.escape(words)):
        WRONG_VALUES[words]()


@pytest.mark.parametrize("kind", ["RNN", "GRU", "IndRNN", "IdentityRNN", "MinGRU"])
def test_cells_without_a_forget_bias(kind):
    with pytest.raises(TypeError, match="forget_bias"):
        getattr(rc, kind)(3, 5, forget_bias=1.0)
