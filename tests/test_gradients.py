"""Backward passes: every gradient of every cell in every case of cases.py.

Complete: 40 cells x cases x {float32, float64} x instruction sets of this machine x engines x
every parameter, the input, the initial states; random gradients come into y and into the final
states. In float64 they equal complex-step derivatives of the oracle to 1e-10 of the largest
entry of their array: along every unit vector in the cases with `basis`, along random directions
in the others. In float32 they equal those in float64 of the same layer, instruction set and
engine to 1e-5.
"""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, PAIRS, RUNNERS, Findings, largest, problem
from reference import complex_step, parts

from rnncore.engine.spec import use

DIRECTIONS = 2


def directions(shape, basis, rng):
    """(n, *shape): every unit vector, or a few random directions."""
    if basis:
        size = int(np.prod(shape))
        return np.eye(size).reshape(size, *shape)
    return rng.standard_normal((DIRECTIONS, *shape))


def derivatives(p):
    """By name of each array: directions (n, *shape) and the loss's derivatives along them."""
    rng, found = np.random.default_rng(0), {}
    for name, value in p.arrays.items():
        ways = directions(value.shape, p.case.basis, rng)
        slopes = [complex_step(lambda a, n=name: p.loss(**{n: a}), value, way) for way in ways]
        found[name] = ways, np.array(slopes)
    return found


def gradients(p, layer, dtype):
    """By name: the gradients of one forward and backward pass."""
    layer.grads[:] = 0
    layer.forward(*p.given(dtype))
    dx, dstate = layer.backward(*p.coming(dtype))
    starts = parts(dstate) if p.case.with_state else ()
    grads = {name: grad.copy() for name, grad in layer.grad_dict().items()}
    return grads | {"x": dx} | {f"state {i}": part for i, part in enumerate(starts)}


@pytest.mark.parametrize(("cell", "case"), [p for p in PAIRS if not CASES[p[1]].forward_only])
def test_gradients(cell, case):
    p, findings = problem(cell, case), Findings()
    exact, double, single = derivatives(p), p.layer("float64"), p.layer("float32")
    for isa, engine in RUNNERS:
        with use(isa, engine):
            wide, narrow = gradients(p, double, "float64"), gradients(p, single, "float32")
        assert wide.keys() == narrow.keys() == exact.keys()
        for name, (ways, slopes) in exact.items():
            grad, title = wide[name], f"{name}, {isa}, {engine}"
            assert grad.dtype == "float64" and narrow[name].dtype == "float32"
            along = np.tensordot(ways, grad, grad.ndim)
            findings.close(f"float64, {title}", along, slopes, 1e-10, largest(grad))
            findings.close(f"float32, {title}", narrow[name], grad, 1e-5)
    findings.report()
