"""Dropout between layers: the masks that are drawn, and what passes through them."""

from __future__ import annotations

import numpy as np
import pytest
from against_oracle import Findings, derivatives, gradients, problem
from cases import CELLS, RUNNERS
from numpy.testing import assert_array_equal
from reference import parts

import rnncore as rc
from rnncore.engine.spec import use

RECURRENT = [cell.name for cell in CELLS.values() if cell.kind != "Linear"]


def layer_of(dropout=0.3, seed=0, dtype=np.float64, **options):
    options = {"num_layers": 3, "bidirectional": True, **options}
    return rc.GRU(4, 6, dropout=dropout, seed=seed, dtype=dtype, **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_masks_keep_the_mean(dropout, dtype):
    masks = layer_of(dropout, dtype=dtype)._masks(100, 50)
    assert len(masks) == 2  # of every layer but the last
    for mask in masks:
        assert mask.shape == (100, 50, 12) and mask.dtype == dtype
        assert set(np.unique(mask)) == {dtype(0), dtype(1 / (1 - dropout))}
        error = np.sqrt(dropout / (1 - dropout) / mask.size)  # one standard deviation
        assert abs(mask.mean() - 1) < 4 * error
        for axis in range(3):  # no step, row or unit is more likely to drop out
            means = np.moveaxis(mask, axis, 0).reshape(mask.shape[axis], -1).mean(1)
            assert abs(means - 1).max() < 5 * error * np.sqrt(mask.shape[axis])
    assert not np.array_equal(*masks)


def test_masks_follow_from_the_seed():
    one, same, other = layer_of(seed=1), layer_of(seed=1), layer_of(seed=2)
    first, second = one._masks(7, 5), one._masks(7, 5)
    for mask, again in zip(
        (*first, *second), (*same._masks(7, 5), *same._masks(7, 5)), strict=True
    ):
        assert_array_equal(mask, again)
    assert not np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], other._masks(7, 5)[0])
    one.reseed(np.random.default_rng(3))
    same.reseed(np.random.default_rng(3))
    assert_array_equal(one._masks(7, 5), same._masks(7, 5))


def test_only_training_drops_out():
    x = np.random.default_rng(0).standard_normal((5, 3, 4))
    layer, plain = layer_of(seed=0), layer_of(dropout=0.0, seed=0)
    y, _ = plain.forward(x)
    assert not np.array_equal(layer.forward(x)[0], y)
    assert_array_equal(layer.infer(x)[0], y)
    layer.eval()
    assert layer._masks(5, 3) == ()
    assert_array_equal(layer.forward(x)[0], y)
    layer.train()
    assert not np.array_equal(layer.forward(x)[0], y)


def test_one_layer_has_nothing_to_drop():
    x = np.random.default_rng(0).standard_normal((5, 3, 4))
    layer = layer_of(num_layers=1)
    assert_array_equal(layer.forward(x)[0], layer.infer(x)[0])


@pytest.mark.parametrize("case", ["two layers", "two layers, residual", "lengths, two layers"])
@pytest.mark.parametrize("cell", RECURRENT)
def test_gradients_pass_through_the_masks(cell, case, monkeypatch):
    """Forward and backward equal the oracle with the same masks."""
    if cell == "plusrnn" and case == "lengths, two layers":
        case = "lengths below T"
    p, findings, rng = problem(cell, case), Findings(), np.random.default_rng(1)
    width = p.sizes[1] * (1 + p.options.get("bidirectional", False))
    masks = (2.0 * rng.integers(2, size=(p.case.T, p.case.B, width)),)
    wanted, exact = p.oracle(masks=masks), derivatives(p, masks=masks)
    layer = p.layer("float64")
    monkeypatch.setattr(layer, "_masks", lambda steps, size: masks)
    for isa, engine in RUNNERS:
        with use(isa, engine):
            y, last = layer.forward(*p.given("float64"))
            grads = gradients(p, layer, "float64")
        for title, got, want in zip(("y", *"hc"), (y, *parts(last)), wanted, strict=False):
            findings.close(f"{title}, {isa}, {engine}", got, want, 1e-13)
        findings.agree(f"{isa}, {engine}", grads, exact)
    findings.report()
