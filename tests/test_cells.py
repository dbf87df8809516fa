"""Forward passes: every cell in every case of cases.py equals the oracle.

Complete: 40 cells x cases x {float32, float64} x instruction sets of this machine x engines.
y and the final states are within 1e-13 of the oracle's largest value in float64, and within
4 eps ceil(log2(K T)) in float32, where K = I + H terms enter a sum and T steps follow each
other. `infer` gives the bits of `forward` wherever the engine is native.
"""

from __future__ import annotations

from math import ceil, log2

import numpy as np
import pytest
from against_oracle import Findings, as_state, problem
from cases import CELLS, PAIRS, RUNNERS
from reference import parts

import rnncore as rc
from rnncore.engine.plan import cell_names
from rnncore.engine.spec import use


def tolerance(dtype, sizes, steps):
    if dtype == "float64":
        return 1e-13
    return 4 * np.finfo(np.float32).eps * ceil(log2(max(sum(sizes) * steps, 2)))


def test_every_row_of_the_table_is_tested():
    assert set(CELLS) == set(cell_names())
    for cell in CELLS.values():
        sizes = (5, 5) if cell.kind == "IntersectionRNN" else (3, 5)
        assert getattr(rc, cell.kind)(*sizes, **cell.options)._spec.cell == cell.name


@pytest.mark.parametrize(("cell", "case"), PAIRS)
def test_forward(cell, case):
    p, findings = problem(cell, case), Findings()
    wanted = p.oracle()
    titles = ["y", *(f"last state {i}" for i in range(len(wanted) - 1))]
    for dtype in ("float64", "float32"):
        layer, given = p.layer(dtype), p.given(dtype)
        bound = tolerance(dtype, p.sizes, p.case.T)
        for isa, engine in RUNNERS:
            with use(isa, engine):
                y, last = layer.forward(*given)
                found = y, *parts(last)
                y, last = layer.infer(*given)
            inferred = y, *parts(last)
            assert found[0].dtype == dtype
            for title, a, b, w in zip(titles, found, inferred, wanted, strict=True):
                title = f"{title}, {dtype}, {isa}, {engine}"
                findings.close(title, a, w, bound)
                if engine == "native":
                    findings.same_bits(f"infer: {title}", b, a)
                else:
                    findings.close(f"infer: {title}", b, w, bound)
    findings.report()


def cell_states(p):
    """c of every step, (S, T, B, H): the last c of every prefix, or of every suffix where the
    direction is reverse. Of one layer, or of several in one direction."""
    T, x = p.case.T, p.arrays["x"]
    lengths = np.array(p.case.lengths or [T] * p.case.B)
    reverse = p.options.get("bidirectional", False)
    c = np.zeros((p.options.get("num_layers", 1) * (1 + reverse), T, p.case.B, p.sizes[1]))
    for t in range(T):
        before, after = x[: t + 1], x[t:]
        done, left = np.minimum(lengths, t + 1), np.maximum(lengths - t, 0)
        newest = [p.oracle(x=before, lengths=done)[2], p.oracle(x=after, lengths=left)[2]]
        newest = [last[:, 0] if last.ndim == 4 else last for last in newest]
        c[:, t] = newest[0]
        if reverse:
            c[1, t] = newest[1][1]
        c[:, t, lengths <= t] = 0.0
    return c


@pytest.mark.parametrize(
    "case", ["plain", "lengths below T", "lengths, both directions", "taps (2,), lengths"]
)
@pytest.mark.parametrize("cell", [name for name in CELLS if CELLS[name].kind == "LSTM"])
def test_cell_states_of_all_steps(cell, case):
    p, findings = problem(cell, case), Findings()
    wanted = cell_states(p)
    for isa, engine in RUNNERS:
        layer = p.layer("float64")
        with use(isa, engine):
            y, last = layer.forward(*p.given("float64"))
            got, got_last, c = layer.forward(*p.given("float64"), return_cell_states=True)
        findings.close(f"c, {isa}, {engine}", c, wanted, 1e-13)
        for one, other in zip((got, *got_last), (y, *last), strict=True):
            findings.same_bits(f"y or states, {isa}, {engine}", one, other)
    findings.report()


def test_cell_states_of_one_sequence():
    p = problem("lstm", "one sequence")
    x, (h, c), _ = p.given("float64")
    layer = p.layer("float64")
    alone = layer.forward(x, (h, c), return_cell_states=True)[2]
    batch = layer.forward(x[:, None], (h[:, None], c[:, None]), return_cell_states=True)[2]
    np.testing.assert_array_equal(alone, batch[:, :, 0], strict=True)


def test_only_an_lstm_has_cell_states():
    with pytest.raises(
        ValueError, match="return_cell_states is True, but GRU has no cell state"
    ):
        rc.GRU(3, 5).forward(np.zeros((2, 1, 3), np.float32), return_cell_states=True)


@pytest.mark.parametrize(
    "cell", [cell.name for cell in CELLS.values() if cell.kind != "Linear"]
)
def test_batch_first_and_no_state(cell):
    """(B, T, features) is the same batch turned around; None is a state of zeros."""
    p = problem(cell, "lengths, both directions")
    x, state, lengths = p.given("float64")
    zeros = as_state(np.zeros_like(part) for part in parts(state))
    layer = p.layer("float64")
    y, last = layer.forward(x, zeros, lengths)
    turned = type(layer)(**{**arguments(layer), "batch_first": True})
    turned.load_state_dict(layer.state_dict())
    for run in (turned.forward, turned.infer):
        y_turned, last_turned = run(x.swapaxes(0, 1), None, lengths)
        np.testing.assert_array_equal(y_turned.swapaxes(0, 1), y, strict=True)
        for one, other in zip(parts(last_turned), parts(last), strict=True):
            np.testing.assert_array_equal(one, other, strict=True)


def arguments(layer):
    """The constructor's."""
    return {name: value for name, value in layer.config().items() if name != "layer"}
