"""JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..rows import Problem
from .base import Arrays, Peer, Work


class Jax(Peer):
    """JAX: the input's product for all steps at once, then `lax.scan`, compiled."""

    modules = ("jax",)
    environment: ClassVar[Mapping[str, str]] = {"JAX_PLATFORMS": "cpu"}
    trains = True

    def __init__(self, threads: int) -> None:
        import jax

        super().__init__(threads)  # XLA takes as many threads as it may use CPUs
        self.jax = jax

    def describe(self) -> str:
        return f"{self.jax.__version__}, XLA for the CPU, as many threads as CPUs"

    def forward(self, problem: Problem) -> Work:
        weights, x = self._on_device(problem.weights), self.jax.numpy.asarray(problem.x)
        run = self.jax.jit(self._sequence(problem.row.cell))
        return (lambda: run(weights, x).block_until_ready(),
                lambda y: {"y": np.asarray(y)})

    def training(self, problem: Problem) -> Work:
        weights, x = self._on_device(problem.weights), self.jax.numpy.asarray(problem.x)
        dy, sequence = self.jax.numpy.asarray(problem.dy), self._sequence(problem.row.cell)

        @self.jax.jit
        def run(weights: Arrays, x: Any, dy: Any) -> Any:
            y, pull = self.jax.vjp(sequence, weights, x)
            return y, *pull(dy)

        return (lambda: self.jax.block_until_ready(run(weights, x, dy)),
                lambda result: {"y": np.asarray(result[0]), "dx": np.asarray(result[2]),
                                **{n: np.asarray(g).T for n, g in result[1].items()}})

    def _on_device(self, weights: Arrays) -> Arrays:
        """Matrices (inputs, outputs), as JAX's layers have them."""
        return {name: self.jax.numpy.asarray(weight.T) for name, weight in weights.items()}

    def _sequence(self, cell: str) -> Callable[[Arrays, Any], Any]:
        jax, step = self.jax, getattr(self, f"_{cell.lower()}")

        def sequence(weights: Arrays, x: Any) -> Any:
            def advance(state: Any, z: Any) -> Any:
                a = state[0] @ weights["weight_hh_l0"] + weights["bias_hh_l0"]
                state = step(z, a, state)
                return state, state[0]

            z = x @ weights["weight_ih_l0"] + weights["bias_ih_l0"]
            zeros = jax.numpy.zeros_like(x[0])
            return jax.lax.scan(advance, (zeros, zeros) if cell == "LSTM" else (zeros,), z)[1]

        return sequence

    def _rnn(self, z: Any, a: Any, state: Any) -> Any:
        return (self.jax.numpy.tanh(z + a),)

    def _gru(self, z: Any, a: Any, state: Any) -> Any:
        (zr, zz, zn), (ar, az, an) = (self.jax.numpy.split(v, 3, axis=-1) for v in (z, a))
        r, u = self.jax.nn.sigmoid(zr + ar), self.jax.nn.sigmoid(zz + az)
        return ((1 - u) * self.jax.numpy.tanh(zn + r * an) + u * state[0],)

    def _lstm(self, z: Any, a: Any, state: Any) -> Any:
        i, f, g, o = self.jax.numpy.split(z + a, 4, axis=-1)
        sigmoid, tanh = self.jax.nn.sigmoid, self.jax.numpy.tanh
        c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c
