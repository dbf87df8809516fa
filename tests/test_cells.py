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
from against_oracle import Findings, problem
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
