"""Problems of Omega and per-step clipping, for the engine and for a backward pass that takes
every step by itself.
"""

from __future__ import annotations

import numpy as np
import pytest
from problems import (
    RECURRENT,
    make_problem,
    parts,
    takes_many_taps,
    whole,
)
from reference import complex_step
from reference.flow import Row, depth_of, omega

from rnncore.remedies import remedies

LENGTHS = (4, 0, 2, 5)
OPTIONS = {"plain": {}, "two back": {"taps": (2,)}, "two taps": {"taps": (1, 3)},
           "no bias": {"bias": False}, "skip before taps": {"skip": 1, "taps": (2, 3)},
           "skip with a tap": {"skip": 3, "taps": (1, 3)}}


def suits(cell, options):
    if "skip" in options:
        return "skip" in cell.options
    return len(options.get("taps", ())) < 2 or takes_many_taps(cell)


every_pair = pytest.mark.parametrize("cell, case", [
    pytest.param(cell, case, id=f"{cell.name}-{case}")
    for cell in RECURRENT for case, options in OPTIONS.items() if suits(cell, options)])
FORMS = [(form, reduction) for form in ("plain", "squared") for reduction in ("mean", "sum")]


def draw(cell, case, seed=3, hidden=3):
    """A problem in float64 for an engine, and its rows for the reference."""
    options = OPTIONS[case]
    problem = make_problem(cell, options, np.float64, hidden, 2, LENGTHS, 5, seed)
    layer, rng = problem.layer, np.random.default_rng(seed)
    with layer.parameters.writable() as flat:
        flat[:] = rng.standard_normal(flat.size)
    params, all_options = layer.state_dict(), {**cell.options, **options}
    rows = []
    for b, length in enumerate(LENGTHS):
        def of_row(state, b=b):
            return np.stack([s.reshape(-1, len(LENGTHS), hidden)[:, b] for s in state])

        rows.append(Row(cell.kind, params, all_options, problem.x[:length, b],
                        of_row(problem.state), problem.dy[:length, b], of_row(problem.dstate)))
    assert rows[0].start.shape[1] == depth_of(all_options)
    return problem, rows


def back(problem, **given):
    """By name the gradients of a backward pass, and what it says of Omega."""
    layer = problem.layer
    layer.grads[:] = 0
    layer.forward(problem.x, whole(problem.state), problem.lengths)
    dx, dstate = layer.backward(problem.dy, whole(problem.dstate),
                                remedies=remedies(given.get("omega"), given.get("clip_step")))
    found = {name: grad.copy() for name, grad in layer.grad_dict().items()} | {"x": dx}
    return found | {f"state {i}": s for i, s in enumerate(parts(dstate))}, layer.omega


def close(got, wanted, tolerance, what=""):
    size = max(abs(wanted).max(initial=0), 1e-3)
    assert abs(got - wanted).max(initial=0) <= tolerance * size, what


class Wanted:
    """Omega of some rows by the reference, and its derivative by all recurrent weights."""

    def __init__(self, problem, stepped, *given):
        self.shapes = {n: w.shape for n, w in problem.layer.parameters.items()
                       if "weight_hh" in n}
        self.ends = np.cumsum([0, *map(np.prod, self.shapes.values())]).astype(int)
        self.stepped, self.given = stepped, given
        self.value, self.live, self.terms = self.moved(np.zeros(self.ends[-1]))
        self.slopes = complex_step(lambda v: self.moved(v)[0], np.zeros(self.ends[-1]))

    def moved(self, v):
        weights = {name: v[self.ends[i] : self.ends[i + 1]].reshape(shape)
                   for i, (name, shape) in enumerate(self.shapes.items())}
        return omega(self.stepped, weights, *self.given)

    def differences(self):
        steps = 1e-5 * np.eye(self.ends[-1])
        return np.array([(self.moved(h)[0] - self.moved(-h)[0]).real / 2e-5 for h in steps])

    def flat(self, found):
        return np.concatenate([[0.0], *(found[name].ravel() for name in self.shapes)])[1:]

    def check(self, reported, found, plain, alpha):
        """What a layer reports, and what `alpha` Omega adds to its gradients."""
        assert reported[1:] == (self.live, self.terms)
        close(reported[0], np.real(self.value), 1e-12, self.given)
        close((self.flat(found) - self.flat(plain)) / alpha, self.slopes, 1e-10, self.given)


def clipping(form, threshold):
    """What the reference does to what arrives at a row of a step."""
    def clip(arriving, entered):
        limit = threshold * (np.linalg.norm(entered) if form == "ratio" else 1)
        norm = np.linalg.norm(arriving)
        return arriving * (limit / norm if norm > limit else 1)

    return clip
