"""One step of a layer as a function of the state before it, and its derivative.

A state is here a flat vector: h, then c, each with its D past steps, newest first.
"""

from __future__ import annotations

import numpy as np

from rnncore.analysis.problem import live_steps
from rnncore.analysis.unrolled import Single, parts, whole
from rnncore.parameters import Array

_ROWS = 1 << 13  # of a batch of steps, so that their arrays take some MB
_STEP = 1e-5  # of central differences: the cube root of float64's rounding, and a little


class OneStep:
    """The steps of a layer in float64, each from the state that it had.

    `inputs` (T, B, I) and `states` (T, B, S) are those before each step; what lies past the end
    of a row is 0. Batches of N places are given by their inputs (N, I) and states (N, S).
    """

    def __init__(self, one: Single) -> None:
        self.layer = one.layer
        live = live_steps(one.inputs.shape[:2], one.lengths)[..., None]
        letters, past = len(parts(one.states[0])), self.layer._spec.past
        self.shape = letters, past, self.layer.hidden_size
        self.size = int(np.prod(self.shape))
        self.inputs = np.where(live, one.inputs, 0.0)
        self.states = np.zeros((*one.inputs.shape[:2], self.size))
        for step, state in enumerate(one.states[:-1]):
            self.states[step] = self.flat(parts(state))

    def flat(self, state: tuple[Array, ...]) -> Array:
        """The arrays of a state, (1, N, H) or (1, D, N, H) each, as (N, S)."""
        letters, past, hidden = self.shape
        joined = np.stack([part.reshape(past, -1, hidden) for part in state])
        return np.ascontiguousarray(np.moveaxis(joined, 2, 0)).reshape(-1, self.size)

    def _state(self, flat: Array) -> object:
        """States (N, S) as the layer takes them."""
        arrays = np.moveaxis(flat.reshape(-1, *self.shape), 0, 2)
        return whole([np.ascontiguousarray(a if len(a) > 1 else a[0])[None] for a in arrays])

    def of_row(self, step: int, row: int, times: int) -> tuple[Array, Array]:
        """The place of one row at a step, so many times."""
        return (np.repeat(self.inputs[step, row][None], times, axis=0),
                np.repeat(self.states[step, row][None], times, axis=0))

    def back(self, inputs: Array, states: Array, v: Array) -> Array:
        """J^T v, with v (N, S); the product of K factors if inputs are (K, N, I)."""
        y, _ = self.layer.forward(inputs.reshape(-1, *inputs.shape[-2:]), self._state(states))
        _, left = self.layer.backward(np.zeros_like(y), self._state(v), input_grad=False)
        return self.flat(parts(left))

    def forth(self, inputs: Array, states: Array, v: Array) -> Array:
        """J v by central differences, with v (N, S) of any size."""
        size = np.linalg.norm(v, axis=1, keepdims=True)
        if not size.any():
            return np.zeros_like(v)
        way = _STEP * v / np.where(size > 0, size, 1.0) * np.maximum(
            1.0, np.abs(states).max(axis=1, keepdims=True))
        ahead, behind = (self.flat(parts(self.layer.infer(inputs[None], self._state(s))[1]))
                         for s in (states + way, states - way))
        moved = np.linalg.norm(way, axis=1, keepdims=True)
        return np.asarray((ahead - behind) / 2 * (size / np.where(moved > 0, moved, 1.0)))

    def formed(self, inputs: Array, states: Array) -> Array:
        """J of every place, (N, S, S), some places at a time."""
        n, eye = len(states), np.eye(self.size)
        found, most = np.empty((n, self.size, self.size)), max(_ROWS // self.size, 1)
        for first in range(0, n, most):
            here = slice(first, min(first + most, n))
            x, s = (np.repeat(a[here], self.size, axis=0) for a in (inputs, states))
            unit = np.tile(eye, (here.stop - first, 1))
            found[here] = self.back(x, s, unit).reshape(-1, self.size, self.size)
        return found
