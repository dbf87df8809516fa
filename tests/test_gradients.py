"""Backward passes: every gradient of every cell in every case of cases.py.

Complete: 40 cells x cases x {float32, float64} x instruction sets of this machine x engines x
every parameter, the input, the initial states; random gradients come into y and into the final
states. In float64 they equal complex-step derivatives of the oracle to 1e-10 of the largest
entry of their array: along every unit vector in the cases with `basis`, along random directions
of each array in the others, of all arrays together where the sequence is long. In float32 they
equal those in float64 of the same layer, instruction set and engine to 1e-5.
"""

from __future__ import annotations

import pytest
from against_oracle import Findings, derivatives, gradients, problem
from cases import PAIRS, RUNNERS

from rnncore.engine.spec import use


@pytest.mark.parametrize(("cell", "case"), PAIRS)
def test_gradients(cell, case):
    p, findings = problem(cell, case), Findings()
    exact, double, single = derivatives(p), p.layer("float64"), p.layer("float32")
    for isa, engine in RUNNERS:
        with use(isa, engine):
            wide, narrow = gradients(p, double, "float64"), gradients(p, single, "float32")
        findings.agree(f"float64, {isa}, {engine}", wide, exact)
        assert wide.keys() == narrow.keys() == p.arrays.keys()
        for name, grad in wide.items():
            assert grad.dtype == "float64" and narrow[name].dtype == "float32"
            findings.close(f"{name}, float32, {isa}, {engine}", narrow[name], grad, 1e-5)
    findings.report()
