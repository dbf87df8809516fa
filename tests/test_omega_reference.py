"""Omega and per-step clipping against a backward pass that takes every step by itself."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CELLS, RUNNERS
from fences import poisoned
from flow_problems import (
    FORMS,
    Wanted,
    back,
    clipping,
    close,
    draw,
    every_pair,
)
from problems import (
    make_problem,
    same_bits,
)

import rnncore as rc
from rnncore.engine.spec import use


def check_derivative(problem, rows):
    """With activations and dZ fixed; nothing else in the gradient changes, not in a bit."""
    stepped = [(row, row.steps()) for row in rows]
    for form, reduction in FORMS:
        wanted = Wanted(problem, stepped, form, reduction)
        close(wanted.differences(), wanted.slopes, 1e-8, (form, reduction))
        for isa, engine in RUNNERS:
            with use(isa=isa, engine=engine):
                plain, none = back(problem)
                found, (reported,) = back(problem, omega=rc.Omega(0.5, form, reduction))
            assert none == [(0.0, 0, 0)]
            wanted.check(reported, found, plain, 0.5)
            for name in found.keys() - wanted.shapes.keys():
                if stepped[0][0].start.shape[1] == 1:
                    same_bits(found[name], plain[name], name)
                else:  # gradients of final states join after what is carried, not before
                    close(found[name], plain[name], 1e-14, name)


@every_pair
def test_omega_is_the_immediate_derivative_by_the_recurrent_weights_alone(cell, case):
    check_derivative(*draw(cell, case))


@pytest.mark.parametrize("name", ["rnn_tanh", "rnn_pascanu_tanh", "gru_before", "lstm_cell",
                                  "indrnn_tanh"])
def test_omega_of_more_units_than_are_read_at_a_time(name):
    check_derivative(*draw(CELLS[name], "plain", hidden=19))


@pytest.mark.parametrize("form", ["signal", "ratio"])
@every_pair
def test_what_is_carried_to_a_row_is_clipped_at_every_step(cell, case, form):
    problem, rows = draw(cell, case)
    plain, _ = back(problem)
    wanted, own = {}, {}
    for threshold in (0.3, 1e9):
        for row in rows:
            steps = row.steps(clipping(form, threshold))
            gradients = row.gradients(steps) | {"start": steps[-1].entering}
            for name, value in gradients.items():
                own.setdefault(name, []).append(value)
        wanted = {n: sum(v[-4:]) for n, v in own.items() if n not in ("x", "start")}
        starts = np.stack(own["start"][-4:], axis=2)  # (parts, D, B, H)
        for isa, engine in RUNNERS:
            with use(isa=isa, engine=engine):
                found, _ = back(problem, clip_step=rc.ClipStep(threshold, form))
            for name, value in wanted.items():
                close(found[name], value, 1e-10, name)
            for b, value in enumerate(own["x"][-4:]):
                close(found["x"][: len(value), b], value, 1e-10, "x")
            for i, start in enumerate(starts):
                close(found[f"state {i}"].reshape(start.shape), start, 1e-10, f"state {i}")
    for name, value in found.items():
        close(value, plain[name], 1e-12, name)  # a threshold that is never reached


@pytest.mark.parametrize("form", ["signal", "ratio"])
@every_pair
def test_omega_looks_at_what_is_carried_before_it_is_clipped(cell, case, form):
    """And leaves the steps out that less enters than the bound."""
    problem, rows = draw(cell, case)
    stepped = [(row, row.steps(clipping(form, 0.3))) for row in rows]
    sizes = sorted((step.entering**2).sum() for _, steps in stepped for step in steps[:-1])
    gap = int(np.argmax(np.diff(sizes)))
    bound, clip = (sizes[gap] + sizes[gap + 1]) / 2, rc.ClipStep(0.3, form)
    wanted = Wanted(problem, stepped, "plain", "mean", bound)
    assert 0 < wanted.live < wanted.terms
    for isa, engine in RUNNERS:
        with use(isa=isa, engine=engine):
            plain, _ = back(problem, clip_step=clip)
            found, (reported,) = back(problem, omega=rc.Omega(2.0, bound=bound), clip_step=clip)
        wanted.check(reported, found, plain, 2.0)


@pytest.mark.parametrize("name, options", [
    ("rnn_tanh", {"taps": (1, 2), "num_layers": 2, "bidirectional": True}),
    ("rnn_pascanu_tanh", {"taps": (1, 3)}),
    ("rnn_pascanu_tanh", {}),
    ("rnn_skip_tanh", {"taps": (1, 3)}),
    ("indrnn_tanh", {}),
    ("gru_before", {}),
    ("lstm_cell", {"taps": (1, 2)}),
])
def test_a_batch_gives_the_sum_of_its_parts(name, options):
    """Three threads, steps of more rows than are summed at a time, lengths that end among any
    thread's rows; the parts are on one thread, and short."""
    lengths = np.random.default_rng(0).integers(0, 5, 400)
    assert (lengths > 0).sum() > 256
    assert lengths.sum() * 75 * 150 >= 1 << 23  # enough work to wake a thread for
    problem = make_problem(CELLS[name], options, np.float64, 75, 75, lengths, 4)
    clip, wanted, reports = rc.ClipStep(0.05, "ratio"), [], []
    with rc.num_threads(1):
        for first in range(0, 400, 100):
            part = problem.rows(list(range(first, first + 100)), 4)
            given = rc.Omega(100.0, reduction="sum")
            found, reported = back(part, omega=given, clip_step=clip)
            wanted.append(found)
            reports.append(reported)
    with rc.num_threads(3), poisoned():
        found, reported = back(problem, omega=rc.Omega(400.0, reduction="sum"), clip_step=clip)
    assert (found["x"] != back(problem)[0]["x"]).any()  # some rows are clipped
    for name, value in found.items():
        if name in problem.layer.parameters:
            close(value, sum(part[name] for part in wanted), 1e-10, name)
        else:
            axis = 1 if name == "x" else -2
            same_bits(value, np.concatenate([part[name] for part in wanted], axis), name)
    for i, (value, *counts) in enumerate(reported):
        assert 400 * value == pytest.approx(100 * sum(r[i][0] for r in reports), rel=1e-10)
        assert counts == [sum(r[i][k] for r in reports) for k in (1, 2)]
