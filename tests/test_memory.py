"""Memory: nothing is read or written outside of what the user gave, nothing unset is used,
nothing of the user's changes, nothing leaks.
"""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from cases import CELLS
from fences import can_fence, fence_parameters, fenced, poisoned
from problems import (
    every_cell,
    every_dtype,
    every_isa,
    make_problem,
    outcome,
    parts,
    same_bits,
    takes_many_taps,
    whole,
)

import rnncore as rc
from rnncore.engine.spec import use

needs_fences = pytest.mark.skipif(not can_fence(), reason="no mprotect here")
ODD = range(1, 37, 2)
STRUCTURES = [
    {}, {"num_layers": 2, "dropout": 0.3}, {"bidirectional": True}, {"taps": (1, 3)},
    {"residual": True}, {"taps": (2,), "num_layers": 2}, {"bias": False},
]


def odd_problems(cell, dtype):
    """Every odd H, with the structures that the cell can have in turn."""
    structures = [s for s in STRUCTURES if len(s.get("taps", ())) < 2 or takes_many_taps(cell)]
    for i, hidden in enumerate(ODD):
        inputs = hidden if i % 3 == 0 else (1, 5, 17, 33)[i % 4]
        yield make_problem(cell, structures[i % len(structures)], dtype, hidden, inputs,
                           [3, 0, 5, 1][:1 + i % 4], 5 - i % 3 if i % 4 == 0 else 5, seed=i)


def everything(problem):
    """What `outcome` gives, by way of the named gradients, and what `infer` gives."""
    layer = problem.layer
    layer.reseed(np.random.default_rng(0))
    result = outcome(problem)
    del result["grads"]
    result |= {name: grad.copy() for name, grad in layer.grad_dict().items()}
    out = np.full_like(problem.dy, np.nan)
    out = fenced(out) if can_fence() else out
    state, lengths = whole(problem.state), problem.lengths
    result["infer"], last = layer.infer(problem.x, state, lengths, out=out)
    return result | {f"infer state {i}": part for i, part in enumerate(parts(last))}


def fence(problem, behind):
    """The same problem with every array of the user's between inaccessible pages."""
    layer, draw = problem.layer, problem.layer._masks
    fence_parameters(layer, behind)
    layer._masks = lambda *shape: tuple(fenced(mask, behind) for mask in draw(*shape))
    problem.x, problem.dy = fenced(problem.x, behind), fenced(problem.dy, behind)
    problem.lengths = fenced(problem.lengths, behind)
    problem.state = tuple(fenced(part, behind) for part in problem.state)
    problem.dstate = tuple(fenced(part, behind) for part in problem.dstate)
    return problem


def agree(got, expected, engine):
    for name, array in got.items():
        if engine == "native":
            same_bits(array, expected[name], name)
        else:  # where an operand lies may change the order of a sum
            close = np.finfo(array.dtype).eps * 2000
            np.testing.assert_allclose(array, expected[name], close, close, err_msg=name)


@needs_fences
@pytest.mark.parametrize("engine", ["native", "blas"])
@every_dtype
@every_isa
@every_cell
def test_fences_and_poison(cell, isa, dtype, engine):
    """Inaccessible pages around every array, first behind it, then before it; NaN in all that
    the engine allocates without asking for zeros."""
    plain, inside = odd_problems(cell, dtype), odd_problems(cell, dtype)
    with use(isa=isa, engine=engine):
        for i, problem in enumerate(plain):
            expected, behind = everything(problem), i % 4 > 0
            with poisoned(behind):
                agree(everything(fence(next(inside), behind)), expected, engine)


@needs_fences
@pytest.mark.parametrize("engine", ["native", "blas"])
@every_dtype
@every_isa
@pytest.mark.parametrize("cell", [c for c in CELLS.values() if c.kind == "Linear"],
                         ids=lambda cell: cell.name)
def test_fences_and_poison_of_linear(cell, isa, dtype, engine):
    for outputs in ODD:
        sizes, options = (37 - outputs, outputs), {"dtype": dtype, "seed": 0, **cell.options}
        plain, inside = (rc.Linear(*sizes, **options) for _ in range(2))
        x, dy = (np.linspace(-1, 1, 3 * n).reshape(3, n).astype(dtype) for n in sizes)
        behind = outputs % 4 == 1
        fence_parameters(inside, behind)
        with use(isa=isa, engine=engine):
            expected = {"y": plain.forward(x)[0], "dx": plain.backward(dy)[0]}
            with poisoned(behind):
                got = {"y": inside.forward(fenced(x, behind))[0],
                       "dx": inside.backward(fenced(dy, behind))[0]}
                out = fenced(np.full_like(dy, np.nan), behind)
                inside.infer(fenced(x, behind), out=out)
        agree(got | inside.grad_dict(), expected | plain.grad_dict(), engine)
        agree({"y": out}, expected, engine)


def layouts(array, tmp_path):
    """The same numbers in other places."""
    yield "Fortran order", np.asfortranarray(array)
    wide = np.full([2 * n for n in array.shape], np.nan, array.dtype)
    wide[tuple(slice(1, None, 2) for _ in array.shape)] = array
    yield "every second", wide[tuple(slice(1, None, 2) for _ in array.shape)]
    back = (slice(None, None, -1),) * array.ndim
    yield "backwards", array[back].copy()[back]
    frozen = array.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    array.tofile(tmp_path / "array")
    yield "memory-mapped", np.memmap(tmp_path / "array", array.dtype, "r", shape=array.shape)
    memory = np.zeros(array.nbytes + 1, np.uint8)
    odd = memory[1:].view(array.dtype).reshape(array.shape)
    odd[...] = array
    yield "unaligned", odd
    gaps = np.zeros(array.shape, [("flag", np.uint8), ("value", array.dtype)])
    gaps["value"] = array
    yield "a field of records", gaps["value"]


LAYOUT_CELLS = ["lstm", "gru_before", "rnn_pascanu_tanh", "plusrnn", "indrnn_relu"]


@every_dtype
@pytest.mark.parametrize("name", LAYOUT_CELLS)
def test_layouts_do_not_matter(name, dtype, tmp_path):
    problem = make_problem(CELLS[name], {}, dtype, 5, 5, [4, 2, 0], 4)
    expected = everything(problem)
    plain = dict(vars(problem))
    for field in ("x", "dy", "state", "dstate"):
        given = plain[field][0] if "state" in field else plain[field]
        for title, array in layouts(given, tmp_path):
            before = array.tobytes()
            value = (array, *plain[field][1:]) if "state" in field else array
            setattr(problem, field, value)
            for what, got in everything(problem).items():
                same_bits(got, expected[what], f"{what} with {field} {title}")
            assert array.tobytes() == before, f"{field} was written to"
        setattr(problem, field, plain[field])


@every_cell
def test_batch_first_is_only_a_layout(cell):
    problem = make_problem(cell, {}, np.float32, 5, 3, [4, 2, 0], 4)
    expected = everything(problem)
    turned = make_problem(cell, {"batch_first": True}, np.float32, 5, 3, [4, 2, 0], 4)
    turned.x, turned.dy = (a.swapaxes(0, 1).copy() for a in (problem.x, problem.dy))
    for name, array in everything(turned).items():
        array = array.swapaxes(0, 1) if name in ("y", "dx", "infer") else array
        same_bits(array, expected[name], name)


@every_cell
def test_results_are_fresh_and_nothing_given_is_kept(cell):
    """After `forward` the user may do anything with x, the state, y and the weights."""
    problem = make_problem(cell, {"num_layers": 2}, np.float32, 16, 16, [4, 3, 4], 4)
    expected, layer = outcome(problem), problem.layer
    layer.grads[:] = 0
    x, state = problem.x.copy(), tuple(part.copy() for part in problem.state)
    inferred, _ = layer.infer(x, whole(state), problem.lengths)
    y, last = layer.forward(x, whole(state), problem.lengths)
    same_bits(y, expected["y"], "y")
    for array in (x, y, *state, *parts(last)):
        array[...] = np.nan
    dy, dstate = problem.dy.copy(), tuple(part.copy() for part in problem.dstate)
    saved = layer.state_dict()
    layer.load_state_dict({name: np.zeros_like(value) for name, value in saved.items()})
    dx, first = layer.backward(dy, whole(dstate))
    layer.load_state_dict(saved)
    for array in (dy, *dstate):
        array[...] = np.nan
    outcome(problem)
    same_bits(dx, expected["dx"], "dx")
    same_bits(inferred, expected["y"], "y of infer")
    for i, part in enumerate(parts(first)):
        same_bits(part, expected[f"dstate {i}"], "dstate")
    results = [y, inferred, dx, *parts(last), *parts(first)]
    for i, array in enumerate(results):
        assert array.flags.writeable
        others = results[:i] + [layer.grads, layer.parameters.values, x, dy, *state, *dstate]
        assert not any(np.may_share_memory(array, other) for other in others)


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
@pytest.mark.parametrize("name", ["lstm_diagonal", "gru_before", "linear_tanh"])
def test_nothing_leaks(name):
    """Every turn packs new weights; wrong calls are among them."""
    cell = CELLS[name]
    layer = getattr(rc, cell.kind)(40, 50, **cell.options)
    x, dy = np.ones((30, 4, 40), np.float32), np.ones((30, 4, 50), np.float32)

    def turns(count):
        for _ in range(count):
            with layer.parameters.writable():
                pass
            layer.infer(x)
            layer.forward(x)
            layer.backward(dy)
            for wrong in (lambda: layer.backward(dy), lambda: layer.infer(x[:, :, 1:])):
                with pytest.raises((RuntimeError, ValueError)):
                    wrong()
        gc.collect()

    tracemalloc.start()
    turns(20)
    before, pages = tracemalloc.get_traced_memory()[0], resident()
    turns(100)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 30_000
    assert resident() - pages < 10_000_000
