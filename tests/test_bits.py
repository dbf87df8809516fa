"""The bitwise contract of the native engine, for every cell and instruction set.

A row's result does not depend on what else is in its batch, nor on padding; `infer` is
`forward`; a sequence may be cut and carried on; instruction sets with a fused multiply-add
agree in everything.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import (
    FUSED,
    RECURRENT,
    every_cell,
    every_dtype,
    every_isa,
    examples,
    make_problem,
    outcome,
    parts,
    problems,
    same_bits,
    takes_many_taps,
    whole,
)

import rnncore as rc
from rnncore.engine.flat import global_norm, scale
from rnncore.engine.plan import available_isas
from rnncore.engine.spec import use


def row_of(name, array, row):
    return array[..., row, :] if "state" in name else array[:, row]


def by_row(problem):
    """What belongs to single rows."""
    result = outcome(problem)
    del result["grads"]
    return result


def assert_rows_are_those_of_single_ones(batch):
    together = by_row(batch)
    for row, length in enumerate(batch.lengths):
        alone = by_row(batch.rows([row], length))
        for name, array in together.items():
            got = row_of(name, array, row)
            if "state" not in name:
                same_bits(got[length:], np.zeros_like(got[length:]), f"{name} past the end")
                got = got[:length]
            same_bits(got, row_of(name, alone[name], 0), f"{name} of row {row}")


@every_isa
@every_cell
@examples(8)
@given(data=st.data())
def test_a_row_does_not_depend_on_its_batch(cell, isa, data):
    """Any rows in any order, some of them twice, with any padding and number of threads."""
    problem = data.draw(problems(cell))
    rows = st.integers(0, len(problem.lengths) - 1)
    index = data.draw(st.lists(rows, min_size=1, max_size=30))
    steps, threads = len(problem.x) + data.draw(st.integers(0, 3)), data.draw(st.integers(1, 4))
    with use(isa=isa, engine="native"), rc.num_threads(threads):
        assert_rows_are_those_of_single_ones(problem)
        assert_rows_are_those_of_single_ones(problem.rows(index, steps))


@every_isa
@every_cell
def test_a_row_does_not_depend_on_a_large_batch(cell, isa):
    """More rows than one rectangle or tile has, more panels than are taken at once."""
    lengths = np.random.default_rng(0).integers(0, 5, 67)
    with use(isa=isa, engine="native"), rc.num_threads(3):
        assert_rows_are_those_of_single_ones(
            make_problem(cell, {}, np.float32, 101, 37, lengths, 5))


@every_isa
@every_cell
@examples(4)
@given(data=st.data())
def test_one_sequence_is_a_batch_of_one(cell, isa, data):
    problem = data.draw(problems(cell))
    batch = problem.rows([0], problem.lengths[0])
    with use(isa=isa, engine="native"):
        expected = by_row(batch)
        batch.x, batch.dy, batch.lengths = batch.x[:, 0], batch.dy[:, 0], None
        batch.state, batch.dstate = (tuple(s[..., 0, :] for s in states)
                                     for states in (batch.state, batch.dstate))
        for name, array in by_row(batch).items():
            same_bits(array, row_of(name, expected[name], 0), name)


@every_isa
@every_cell
@examples(6)
@given(data=st.data())
def test_pieces_carried_on_equal_one_run(cell, isa, data):
    """So a prefix, which is the first piece, does not know what comes after it."""
    problem = data.draw(problems(cell, one_way=True))
    layer, cut = problem.layer, data.draw(st.integers(0, len(problem.x)))
    early, late = np.minimum(problem.lengths, cut), np.maximum(problem.lengths - cut, 0)
    with use(isa=isa, engine="native"):
        y, last = layer.infer(problem.x, whole(problem.state), problem.lengths)
        for run in (layer.infer, layer.forward):
            first, state = run(problem.x[:cut], whole(problem.state), early)
            second, state = run(problem.x[cut:], state, late)
            same_bits(np.concatenate([first, second]), y, "y")
            for got, expected in zip(parts(state), parts(last), strict=True):
                same_bits(got, expected, "state")


def assert_infer_is_forward(problem, isa):
    layer, state = problem.layer, whole(problem.state)
    with use(isa=isa, engine="native"):
        y, last = layer.forward(problem.x, state, problem.lengths)
        for target in (None, np.full_like(y, np.nan)):
            got, final = layer.infer(problem.x, state, problem.lengths, out=target)
            same_bits(got, y, "y")
            for part, expected in zip(parts(final), parts(last), strict=True):
                same_bits(part, expected, "state")


@every_isa
@every_cell
@examples(6)
@given(data=st.data())
def test_infer_equals_forward(cell, isa, data):
    assert_infer_is_forward(data.draw(problems(cell)), isa)


@every_isa
@pytest.mark.parametrize("structure", [
    {"bidirectional": True}, {"num_layers": 2}, {"taps": (2,)}, {"taps": (1, 4)},
], ids=["both-ways", "stacked", "dilated", "taps"])
@every_cell
def test_infer_in_chunks_equals_forward(cell, structure, isa):
    """Z of all steps is several times the chunk of which `infer` keeps no more than one."""
    if len(structure.get("taps", (1,))) > 1 and not takes_many_taps(cell):
        structure = {"taps": (4,)}
    lengths = [300, 0, 299, 7, 160]
    assert_infer_is_forward(
        make_problem(cell, structure, np.float64, 83, 5, lengths, 300), isa)


@every_cell
@examples(12)
@given(data=st.data())
def test_instruction_sets_agree_in_everything(cell, data):
    problem = data.draw(problems(cell, dropout=0.3))
    results = []
    for isa in FUSED:
        with use(isa=isa, engine="native"):
            problem.layer.reseed(np.random.default_rng(0))
            results.append(outcome(problem))
    for other in results[1:]:
        for name, array in other.items():
            same_bits(array, results[0][name], name)


@every_cell
def test_instruction_sets_agree_on_a_large_batch(cell):
    """More rows of dZ than the weight gradients take at once."""
    problem = make_problem(cell, {}, np.float32, 101, 37, [9, 40, 0, 31] * 4, 40)
    results = []
    for isa in FUSED:
        with use(isa=isa, engine="native"):
            results.append(outcome(problem))
    for other in results[1:]:
        for name, array in other.items():
            same_bits(array, results[0][name], name)


# In one run the gradient of a state has one rounding less with form="pascanu", and with a skip
# beside the product its two parts add up in another order.
CARRIED = [c for c in RECURRENT if not c.name.startswith(("rnn_pascanu", "rnn_skip"))]


@every_isa
@pytest.mark.parametrize("cell", CARRIED, ids=lambda cell: cell.name)
def test_a_backward_pass_in_pieces_adds_the_same_gradients(cell, isa):
    """Last piece first, since a weight gradient is one chain over steps from last to first."""
    cuts = [slice(0, 4), slice(4, 5), slice(5, 11)]
    for structure in ({"num_layers": 2}, {"taps": (2,)}, {"residual": True}):
        problem = make_problem(cell, structure, np.float64, 19, 19, [11] * 5, 11)
        layer = problem.layer
        with use(isa=isa, engine="native"):
            expected = outcome(problem)
            layer.grads[:] = 0
            states = [whole(problem.state)]
            for cut in cuts[:-1]:
                states.append(layer.infer(problem.x[cut], states[-1])[1])
            late, dx = whole(problem.dstate), np.full_like(problem.x, np.nan)
            for cut, state in zip(cuts[::-1], states[::-1], strict=True):
                layer.forward(problem.x[cut], state)
                dx[cut], late = layer.backward(problem.dy[cut], late)
        same_bits(dx, expected["dx"], "dx")
        same_bits(layer.grads, expected["grads"], "grads")
        for i, part in enumerate(parts(late)):
            same_bits(part, expected[f"dstate {i}"], "dstate")


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "identity"])
@every_isa
def test_rows_of_a_linear_layer(activation, isa):
    layer = rc.Linear(7, 19, activation=activation, seed=0)
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((3, 5, n)).astype(np.float32) for n in (7, 19))
    with use(isa=isa, engine="native"):
        y, _ = layer.forward(x)
        same_bits(layer.infer(x)[0], y)
        dx, _ = layer.backward(dy)
        for row in np.ndindex(3, 5):
            same_bits(layer.forward(x[row])[0], y[row])
            same_bits(layer.backward(dy[row])[0], dx[row])


@every_dtype
def test_norms_and_scales_agree(dtype):
    rng = np.random.default_rng(0)
    for size in (0, 1, 15, 16, 17, 100, 4099):
        for magnitude in (1, 1e-30, 1e37):
            x = (rng.standard_normal(size) * magnitude).astype(dtype)
            results = []
            for isa in available_isas():  # all of them: nothing is fused here
                scaled = x.copy()
                with use(isa=isa):
                    scale(scaled, 0.3)
                    results.append((np.array(global_norm(x)), scaled))
            for norm, scaled in results[1:]:
                same_bits(norm, results[0][0], "norm")
                same_bits(scaled, results[0][1], "scale")


@every_isa
def test_the_environment_forces_an_instruction_set(isa):
    program = "import rnncore as rc; print(rc.current_isa(), rc.LSTM(3, 5)._packed().isa)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env=os.environ | {"RNNCORE_ISA": isa}, check=True)
    assert done.stdout.split() == [isa, isa]
