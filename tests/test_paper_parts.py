"""The parts of the study that compare cells and remedies, on runs of a second."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from paper import command
from paper.parts import cells, long
from paper.runs import Results, Run

import rnncore as rc


@pytest.fixture
def adding(monkeypatch, tmp_path):
    """The part "cells" where no music lies, with few short sequences."""
    monkeypatch.setenv("RNNCORE_DATA", str(tmp_path / "nowhere"))
    for name, few in [("ADDING", 10), ("ADDING_TRAIN", 32), ("ADDING_TEST", 16),
                      ("QUICK_EPOCHS", 2)]:
        monkeypatch.setattr(cells, name, few)
    return cells.adding(seed=0)


def test_every_cell_is_measured_with_equal_units_and_parameters(adding, tmp_path, capsys):
    assert command.main(["cells", "--quick", "--out", str(tmp_path)]) == 0
    results = Results(tmp_path / "cells-quick.jsonl")
    assert len(results.done) == 2 * len(cells.CELLS)
    (lstm,) = results.of("LSTM; equal units", 10)
    for run, measured in results.done.items():
        assert math.isfinite(measured["test"]) and measured["epoch"] >= 0
        if run.arm.endswith("units"):
            assert measured["units"] == cells.UNITS
        else:
            assert 0.9 * lstm["parameters"] < measured["parameters"] <= lstm["parameters"]
    table = capsys.readouterr().out
    for cell in cells.CELLS:
        assert sum(line.startswith(cell + "  ") for line in table.splitlines()) == 2


def test_every_recurrent_layer_is_among_the_cells():
    layers = {kind for kind, _ in cells.CELLS.values()}
    assert layers == {rc.RNN, rc.IndRNN, rc.IdentityRNN, rc.MinGRU, rc.UGRNN, rc.GRU, rc.LSTM,
                      rc.IntersectionRNN}


@pytest.mark.parametrize("cell", ["IndRNN", "LSTM", "+RNN"])
def test_one_unit_more_has_too_many_parameters(adding, cell):
    allowed = cells.network("LSTM", cells.UNITS, adding, 0).parameters.size
    model = cells.sized(cell, "equal parameters", adding, 0)
    wider = cells.network(cell, model.layers[-1].input_size + 1, adding, 0)
    assert model.parameters.size <= allowed < wider.parameters.size


def test_timing_an_epoch_changes_no_weight(adding):
    model = cells.network("GRU", 5, adding, 0)
    before = model.parameters.copy()
    assert cells._epoch(model, adding) > 0
    assert (model.parameters == before).all()


@pytest.fixture
def brief(monkeypatch):
    for name, few in [("BETWEEN", 2), ("TRIED", 10)]:
        monkeypatch.setattr(long, name, few)
    for name, arm in long.ARMS.items():
        monkeypatch.setitem(long.ARMS, name, arm._replace(updates=12))
    monkeypatch.setattr(long.Long, "quick_lengths", (20,))


def test_every_remedy_is_tried_and_reported(brief, tmp_path, capsys):
    assert command.main(["long", "--quick", "--out", str(tmp_path)]) == 0
    lines = (tmp_path / "long-quick.jsonl").read_text().splitlines()
    assert {json.loads(line)["arm"] for line in lines} == set(long.ARMS)
    table = capsys.readouterr().out
    assert all(f"\n{arm}  " in table for arm in long.ARMS)


def test_remedies_hold_through_training(brief):
    for name, length in [("IndRNN", 20), ("orthogonal, hard", 20)]:
        arm = long.ARMS[name]
        task = arm.task(length, seed=0)
        model = long.network(arm, task, length, 0)
        model.fit(task.sample(32), optimizer=rc.Adam(0.1), epochs=3, **arm.held(length))
        w = model.named_parameters()["0.weight_hh_l0"]
        if name == "IndRNN":
            assert abs(w).max() <= 2 ** (1 / length) * (1 + 1e-6)
        else:
            assert abs(w.T @ w - np.eye(len(w))).max() < 1e-5


def test_a_run_that_is_not_finite_ends(brief, monkeypatch):
    wild = long.ARMS["IRNN"]._replace(rate=1e30)
    monkeypatch.setitem(long.ARMS, "IRNN", wild)
    measured = long.Long().run(Run("IRNN", 20, 0), quick=True)
    assert not measured["solved"] and not measured["finite"]
