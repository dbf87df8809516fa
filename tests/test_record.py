"""What a recorded backward pass shows, against a backward pass that takes every step by itself;
and that recording changes no bit."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CELLS, RUNNERS
from fences import poisoned
from flow_problems import LENGTHS, back, close, draw, every_pair
from problems import every_cell, every_dtype, make_problem, same_bits, whole

import rnncore as rc
from rnncore.engine import threads
from rnncore.engine.spec import Remedies, use
from rnncore.remedies import remedies

RECORD = Remedies(record=True)


def recorded(problem, given=RECORD):
    """The gradients of a backward pass, dx, and its records."""
    layer = problem.layer
    layer.grads[:] = 0
    layer.forward(problem.x, whole(problem.state), problem.lengths)
    dx, dstate = layer.backward(problem.dy, whole(problem.dstate), remedies=given)
    return layer.grads.copy(), dx, dstate, layer.records


@every_pair
def test_a_record_is_what_enters_every_step_and_what_comes_of_it(cell, case):
    problem, rows = draw(cell, case)
    biased = "bias_ih_l0" in problem.layer.parameters
    for isa, engine in RUNNERS:
        with use(isa=isa, engine=engine), poisoned():
            _, dx, _, (record,) = recorded(problem)
        assert record.dx.shape == dx.shape
        same_bits(record.dx, dx)
        for b, row in enumerate(rows):
            steps, length = row.steps()[-2::-1], len(row.x)
            for of_all in (*record.states, *record.dstates, record.dz, record.activations):
                assert not of_all[length:, b].any()
            for t, step in enumerate(steps):
                for i, d in enumerate(record.dstates):
                    close(d[t, b], step.entering[i], 1e-10, (t, b))
                for i, s in enumerate(record.states):
                    close(s[t, b], row.pasts()[t + 1][i, 0], 1e-12, (t, b))
                if row.has_weights and cell.kind != "IndRNN":
                    dz = by_rows(record, problem.layer, record.dz[t, b])
                    close(dz, step.dz, 1e-10, (t, b))
        if biased:  # whose gradients are the sums of dZ
            fed = [record.blocks.index(letter) for letter in problem.layer._cell.x_rows]
            close(record.dz[:, :, fed].sum((0, 1)).ravel(),
                  problem.layer.parameters.grad("bias_ih_l0"), 1e-12)


def by_rows(record, layer, dz):
    """The blocks of one row and step as the rows of weight_hh are stacked."""
    return dz[[record.blocks.index(letter) for letter in layer._cell.h_rows]].ravel()


def next_states(cell, letters, activations, before):
    """The states after a step from its activations and the states before it."""
    a, h = dict(zip(letters, activations, strict=True)), before[0]
    if cell.kind == "LSTM":
        f = a.get("f", 1 - a["i"] if "coupled" in cell.name else 1.0)
        c = f * before[1] + a["i"] * a["g"]
        return a["o"] * np.tanh(c), c
    if cell.kind == "GRU":
        n = a["m" if "m" in a else "n"]
        return ((1 - a["z"]) * n + a["z"] * h,)
    if cell.kind == "MinGRU":
        return ((1 - a["z"]) * h + a["z"] * a["k"],)
    if cell.kind in ("UGRNN", "IntersectionRNN"):
        return (a["g"] * h + (1 - a["g"]) * a["k"],)
    if cell.kind == "IdentityRNN":
        return (h + a["a"],)
    return (a["a"],)


@every_cell
@every_dtype
def test_activations_give_the_states(cell, dtype):
    problem = make_problem(cell, {}, dtype, 19, 3, LENGTHS, 5)
    layer = problem.layer
    if cell.options.get("skip"):
        pytest.skip("its h is h two steps back, and what is added")
    y, _ = layer.forward(problem.x, whole(problem.state), problem.lengths)
    (activations,) = layer.activations()
    assert activations.shape == (*problem.x.shape[:2], len(layer.blocks), 19)
    layer.backward(problem.dy, whole(problem.dstate), remedies=RECORD)
    (record,) = layer.records
    same_bits(record.activations, activations)
    for b, length in enumerate(LENGTHS):
        before = [s[0, b] for s in problem.state]
        for t in range(length):
            after = next_states(cell, layer.blocks, activations[t, b], before)
            before = [s[t, b] for s in record.states]
            if cell.options.get("form") == "pascanu":
                f = {"tanh": np.tanh, "identity": lambda v: v,
                     "relu": lambda v: np.maximum(v, 0),
                     "sigmoid": lambda v: 1 / (1 + np.exp(-v))}[cell.options["activation"]]
                before = [f(before[0])]
            for ours, theirs in zip(before, after, strict=True):
                close(ours, theirs, 1e-6 if dtype == np.float32 else 1e-14)
    with pytest.raises(RuntimeError, match="activations without a forward pass"):
        layer.activations()


@pytest.mark.parametrize("given", [{}, {"omega": rc.Omega(0.1), "clip_step": 0.5}],
                         ids=["alone", "with remedies"])
@pytest.mark.parametrize("options", [{}, {"taps": (2,)}], ids=["plain", "two back"])
@every_dtype
@every_cell
def test_recording_changes_no_bit(cell, dtype, options, given):
    problem = make_problem(cell, options, dtype, 33, 5, LENGTHS, 5)
    found = remedies(given.get("omega"), given.get("clip_step"))
    for isa, engine in RUNNERS:
        with use(isa=isa, engine=engine):
            plain, *_ = recorded(problem, found)
            assert problem.layer.records == []
            same_bits(recorded(problem, (found or Remedies())._replace(record=True))[0], plain)


@pytest.mark.parametrize(("rows", "hidden"), [(33, 70), (3, 300)])
@pytest.mark.parametrize("name", ["rnn_tanh", "lstm", "gru_before"])
def test_threads_and_engines_record_the_same(name, rows, hidden, monkeypatch):
    """Threads to the bit; BLAS, which has all units in one piece, in single precision."""
    monkeypatch.setattr(threads._Setting, "processors", 8)
    lengths = np.random.default_rng(0).integers(0, 21, rows)
    problem = make_problem(CELLS[name], {}, np.float32, hidden, 40, lengths, 20)
    found = []
    for number in (1, 3):
        with rc.num_threads(number):
            found.append(recorded(problem)[3][0])
    with use(engine="blas"):
        found.append(recorded(problem)[3][0])
    for one, three, blas in zip(*((*r.dstates, r.dz, r.activations) for r in found),
                                strict=True):
        same_bits(one, three)
        close(blas, one, 1e-4)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_every_layer_and_direction_has_a_record(kind):
    """The same as of a layer by itself that is given what the one below puts out."""
    rng, lengths = np.random.default_rng(0), np.array([6, 2, 4])
    stack = getattr(rc, kind)(3, 4, num_layers=2, bidirectional=True, dtype=np.float64, seed=0)
    x, dy = rng.standard_normal((6, 3, 3)), rng.standard_normal((6, 3, 8))
    stack.forward(x, lengths=lengths)
    dx, _ = stack.backward(dy, remedies=RECORD)
    assert len(stack.records) == 4
    same_bits(stack.records[0].dx, dx)

    def turned(array):
        result = array.copy()
        for b, length in enumerate(lengths):
            result[:length, b] = array[:length, b][::-1]
        return result

    below, above = x, [stack.records[2].dx, dy]
    for number in range(2):
        outputs = []
        for way, suffix in enumerate((f"_l{number}", f"_l{number}_reverse")):
            turn = turned if way else lambda array: array
            single = getattr(rc, kind)(below.shape[2], 4, dtype=np.float64)
            single.load_state_dict({n: stack.parameters[n.replace("_l0", suffix)]
                                    for n in single.parameters})
            y, _ = single.forward(turn(below), lengths=lengths)
            single.backward(turn(np.ascontiguousarray(above[number][..., 4 * way:][..., :4])),
                            remedies=RECORD)
            (alone,), ours = single.records, stack.records[2 * number + way]
            for name in ("states", "dstates"):
                for a, b in zip(getattr(alone, name), getattr(ours, name), strict=True):
                    same_bits(turn(a), b)
            same_bits(turn(alone.dz), ours.dz)
            same_bits(turn(alone.activations), ours.activations)
            outputs.append(turn(y))
        below = np.concatenate(outputs, axis=-1)


def test_without_input_gradient_there_is_no_dx():
    layer = rc.LSTM(3, 4, num_layers=2, seed=0)
    y, _ = layer.forward(np.ones((5, 2, 3), np.float32))
    layer.backward(np.ones_like(y), input_grad=False, remedies=RECORD)
    assert layer.records[0].dx is None
    assert layer.records[1].dx.shape == (5, 2, 4)


@pytest.mark.parametrize("shape", [(0, 2), (3, 0)])
def test_nothing_is_recorded_as_nothing(shape):
    layer = rc.GRU(3, 4, seed=0)
    y, _ = layer.forward(np.ones((*shape, 3), np.float32))
    layer.backward(np.ones_like(y), remedies=RECORD)
    assert layer.records[0].dz.shape == (*shape, 4, 4)
    assert layer.records[0].dstates[0].shape == (*shape, 4)


def test_omega_is_reported_as_without_a_record():
    problem, _ = draw(CELLS["lstm"], "plain")
    _, wanted = back(problem, omega=rc.Omega(0.5))
    recorded(problem, remedies(rc.Omega(0.5), None)._replace(record=True))
    assert problem.layer.omega == wanted
