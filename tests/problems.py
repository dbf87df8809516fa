"""Random problems for every recurrent cell, compared in bits.

Shared by the tests of the bitwise contract and of memory safety.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from cases import CELLS
from hypothesis import settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import rnncore as rc
from rnncore.engine.plan import available_isas

RECURRENT = [cell for cell in CELLS.values() if cell.kind != "Linear"]
FUSED = tuple(isa for isa in available_isas() if isa in ("avx512", "avx2", "neon"))

every_cell = pytest.mark.parametrize("cell", RECURRENT, ids=lambda cell: cell.name)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
every_isa = pytest.mark.parametrize("isa", available_isas())


def takes_many_taps(cell):
    return cell.has_product and cell.options.get("reset") != "before"


def examples(count):
    return settings(max_examples=count, derandomize=True, deadline=None, database=None)


def same_bits(got, expected, what=""):
    assert got.shape == expected.shape, what
    assert got.dtype == expected.dtype, what
    unsigned = f"u{got.itemsize}"
    assert_array_equal(np.ascontiguousarray(got).view(unsigned),
                       np.ascontiguousarray(expected).view(unsigned), err_msg=what)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def whole(states):
    """A state as the layers take it, from a tuple of its parts."""
    return states if len(states) > 1 else states[0]


@dataclass
class Problem:
    """A layer and all that goes into it; states are tuples of arrays. NaN past the ends."""

    layer: Any
    x: np.ndarray
    state: tuple[np.ndarray, ...]
    lengths: np.ndarray | None
    dy: np.ndarray
    dstate: tuple[np.ndarray, ...]

    def rows(self, index, steps):
        """Some rows, in a batch of so many steps."""
        def padded(array):
            result = np.full((steps, len(index), array.shape[2]), np.nan, array.dtype)
            for place, row in enumerate(index):
                length = self.lengths[row]
                result[:length, place] = array[:length, row]
            return result

        def chosen(states):
            return tuple(s[..., index, :] for s in states)

        return Problem(self.layer, padded(self.x), chosen(self.state), self.lengths[index],
                       padded(self.dy), chosen(self.dstate))


def make_problem(cell, options, dtype, hidden, inputs, lengths, steps, seed=0):
    rng, size, options = np.random.default_rng(seed), len(lengths), {**cell.options, **options}
    inputs = hidden if cell.kind == "IntersectionRNN" else inputs
    layer = getattr(rc, cell.kind)(inputs, hidden, dtype=dtype, seed=seed, **options)
    past = max(*layer.taps, options.get("skip") or 1)
    shape = (layer.num_layers * (1 + layer.bidirectional), *([past] if past > 1 else []), size,
             hidden)

    def draw(*shape):
        return rng.standard_normal(shape).astype(dtype)

    def states():
        return tuple(draw(*shape) for _ in range(2 if cell.kind == "LSTM" else 1))

    problem = Problem(layer, draw(steps, size, inputs), states(), np.array(lengths, int),
                      draw(steps, size, layer.output_size), states())
    return problem.rows(list(range(size)), steps)


@st.composite
def problems(draw, cell, one_way=False, **options):
    """Any shape and every structural option that the cell allows."""
    own = {**options, "num_layers": draw(st.integers(1, 2))}
    stackable = cell.kind != "IntersectionRNN" or own["num_layers"] == 1
    own["bidirectional"] = not one_way and stackable and draw(st.booleans())
    own["residual"], own["bias"] = draw(st.booleans()), draw(st.booleans())
    taps = [(1,), (2,), (1, 3), (2, 3)] if takes_many_taps(cell) else [(1,), (2,)]
    own["taps"] = draw(st.sampled_from(taps))
    steps = draw(st.integers(0, 9))
    lengths = draw(st.lists(st.integers(0, steps), min_size=1, max_size=14))
    hidden = draw(st.one_of(st.integers(1, 36), st.sampled_from([49, 64, 67, 80])))
    return make_problem(cell, own, draw(st.sampled_from([np.float32, np.float64])), hidden,
                        draw(st.integers(1, 36)), lengths, steps, draw(st.integers(0, 99)))


def outcome(problem):
    """By name: y, dx, final states, gradients of initial states and of the weights."""
    layer = problem.layer
    layer.grads[:] = 0
    y, last = layer.forward(problem.x, whole(problem.state), problem.lengths)
    dx, first = layer.backward(problem.dy, whole(problem.dstate))
    return {"y": y, "dx": dx} | {f"state {i}": s for i, s in enumerate(parts(last))} \
        | {f"dstate {i}": s for i, s in enumerate(parts(first))} \
        | {"grads": layer.grads.copy()}
