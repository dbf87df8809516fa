"""A cell in a case with random numbers: what the oracle says of it, and what a layer does.

All numbers are representable in float32, so that one run of the oracle, in float64, is right
for both element types. Where no layer may look, past the ends of rows, it is given NaN.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
from cases import CASES, CELLS, Case, Cell
from reference import cells as oracle_cells
from reference import complex_step, parts, random_params, random_state, run

import rnncore as rc

Array = np.ndarray[Any, np.dtype[Any]]
MARGIN = 1e-5  # no relu is nearer to its kink: some twenty times the error of float32
DIRECTIONS = 2


@dataclass(frozen=True, eq=False)
class Problem:
    """A cell in a case, with float64 numbers.

    `arrays` are the parameters by name, "x", and "state 0", "state 1" as far as given;
    `into` the gradients that come in: of y, then of the last states.
    """

    kind: str
    sizes: tuple[int, int]
    options: dict[str, Any]
    case: Case
    arrays: dict[str, Array]
    into: tuple[Array, ...]

    @property
    def parameters(self) -> list[str]:
        return [name for name in self.arrays if name != "x" and "state" not in name]

    def oracle(self, **changed: Any) -> tuple[Array, ...]:
        """(y, last states...), with some arrays, or options of `run`, replaced."""
        arrays = {name: changed.pop(name, value) for name, value in self.arrays.items()}
        state = as_state(value for name, value in arrays.items() if "state" in name)
        params = {name: arrays[name] for name in self.parameters}
        options = {"lengths": self.case.lengths, **self.options, **changed}
        y, last = run(self.kind, params, arrays["x"], state, **options)
        return y, *parts(last)

    def loss(self, **changed: Any) -> Any:
        outputs = self.oracle(**changed)
        return sum((w * out).sum() for w, out in zip(self.into, outputs, strict=True))

    def layer(self, dtype: str) -> rc.layers.Layer:
        layer = getattr(rc, self.kind)(*self.sizes, dtype=dtype, **self.options)
        layer.load_state_dict({name: self.arrays[name] for name in self.parameters})
        return layer

    def given(self, dtype: str) -> tuple[Array, Any, tuple[int, ...] | None]:
        """x, state, lengths for a layer; NaN stands where no layer may look."""
        state = as_state(v.astype(dtype) for n, v in self.arrays.items() if "state" in n)
        return self.padded(self.arrays["x"]).astype(dtype), state, self.case.lengths

    def coming(self, dtype: str) -> tuple[Array, Any]:
        """dy and dstate for a layer."""
        dy, *dlast = (array.astype(dtype) for array in self.into)
        return self.padded(dy), as_state(dlast)

    def padded(self, array: Array) -> Array:
        array = array.copy()
        for b, length in enumerate(self.case.lengths or ()):
            array[length:, b] = np.nan
        return array


def as_state(arrays: Any) -> Any:
    """None, an array, or the pair of an LSTM."""
    arrays = tuple(arrays)
    return arrays if len(arrays) > 1 else arrays[0] if arrays else None


def exact(values: Array) -> Array:
    """The nearest values that float32 has too."""
    return values.astype(np.float32).astype(np.float64)


def draw(cell: Cell, case: Case, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    options = {**cell.options, **dict(case.options)}
    H, I = case.H, case.H if cell.kind == "IntersectionRNN" else case.I  # noqa: E741
    batch = () if case.B is None else (case.B,)
    params = random_params(rng, cell.kind, I, H, **options)
    arrays = {name: case.gain * value for name, value in params.items()}
    arrays["x"] = rng.standard_normal((case.T, *batch, I))
    if case.with_state and cell.kind != "Linear":
        start = random_state(rng, cell.kind, H, *batch, **options)
        arrays |= {f"state {i}": part for i, part in enumerate(parts(start))}
    arrays = {name: exact(value) for name, value in arrays.items()}
    problem = Problem(cell.kind, (I, H), options, case, arrays, ())
    into = tuple(exact(rng.standard_normal(out.shape)) for out in problem.oracle())
    return Problem(cell.kind, (I, H), options, case, arrays, into)


def nearest_kink(problem: Problem) -> float:
    """The smallest |a| that any relu of the oracle was given; the zeros of a zero state, which
    nothing moves, apart."""
    smallest = np.inf

    def relu(a: Array) -> Array:
        nonlocal smallest
        smallest = min(smallest, abs(a.real[a.real != 0]).min(initial=np.inf))
        return oracle_relu(a)

    oracle_relu = oracle_cells.relu
    with (
        mock.patch.dict(oracle_cells.ACTIVATIONS, relu=relu),
        mock.patch.object(oracle_cells, "relu", relu),
    ):
        problem.oracle()
    return smallest


@functools.cache
def problem(cell: str, case: str) -> Problem:
    """The first draw that has every relu away from its kink."""
    first = CASES[case].seed
    draws = (draw(CELLS[cell], CASES[case], seed) for seed in range(first, first + 20))
    return next(drawn for drawn in draws if nearest_kink(drawn) > MARGIN)


def largest(array: Array) -> float:
    return float(abs(array).max(initial=0.0))


Way = dict[str, Array]  # by name, where to move some of a problem's arrays


def ways(p: Problem) -> Iterator[Way]:
    """For each array every unit vector, or a few random directions; or one for all together."""
    rng = np.random.default_rng(0)
    if p.case.joint:
        yield {name: rng.standard_normal(value.shape) for name, value in p.arrays.items()}
        return
    for name, value in p.arrays.items():
        if p.case.basis:
            along = np.eye(value.size).reshape(-1, *value.shape)
        else:
            along = rng.standard_normal((DIRECTIONS, *value.shape))
        yield from ({name: way} for way in along)


def derivatives(p: Problem, **options: Any) -> list[tuple[Way, float]]:
    """Directions, and the loss's derivatives along them."""

    def slope(way: Way) -> float:
        def loss(h: Any) -> Any:
            moved = {name: p.arrays[name] + h * along for name, along in way.items()}
            return p.loss(**moved, **options)

        return float(complex_step(loss, np.zeros(()), np.ones(())))

    return [(way, slope(way)) for way in ways(p)]


def gradients(p: Problem, layer: rc.layers.Layer, dtype: str) -> dict[str, Array]:
    """By name: the gradients of one forward and backward pass."""
    layer.grads[:] = 0
    layer.forward(*p.given(dtype))
    dx, dstate = layer.backward(*p.coming(dtype))
    starts = parts(dstate) if p.case.with_state else ()
    grads = {name: grad.copy() for name, grad in layer.grad_dict().items()}
    return grads | {"x": dx} | {f"state {i}": part for i, part in enumerate(starts)}


class Findings:
    """Comparisons of one test, so that all that fail are told at once."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def close(
        self,
        title: str,
        got: Any,
        wanted: Array,
        tolerance: float,
        size: float | None = None,
    ) -> None:
        """The largest difference is at most `tolerance` times `size`, by default the largest
        wanted value."""
        if got.shape != wanted.shape:
            self.failures.append(f"{title}: shape {got.shape}, expected {wanted.shape}")
            return
        off, size = largest(got - wanted), largest(wanted) if size is None else size
        if not off <= tolerance * size:
            self.failures.append(f"{title}: off by {off:.2g} of {size:.2g}, at {tolerance:.2g}")

    def agree(
        self, title: str, grads: dict[str, Array], exact: list[tuple[Way, float]]
    ) -> None:
        """Gradients have these derivatives, to 1e-10 of their largest entry."""
        for way, slope in exact:
            along = sum((way[name] * grads[name]).sum() for name in way)
            size = min(largest(grads[name]) for name in way)
            self.close(f"{', '.join(way)}, {title}", along, np.array(slope), 1e-10, size)

    def same_bits(self, title: str, got: Array, wanted: Array) -> None:
        if (got.dtype, got.shape) != (wanted.dtype, wanted.shape) or (
            got.tobytes() != wanted.tobytes()
        ):
            self.failures.append(f"{title}: not the same bits")

    def report(self) -> None:
        assert not self.failures, "\n".join(self.failures)
