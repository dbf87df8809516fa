"""JAX."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..rows import GATES, Problem
from .base import Arrays, Peer, Work


class Jax(Peer):
    """JAX: the input's product for all steps at once, then `lax.scan`, compiled.

    The recurrent product can be that of all gates at once, or each gate's by itself. Which is
    faster depends on cell and shape, by up to 2, so each row tries both and takes the better.
    """

    modules = ("jax",)
    environment: ClassVar[Mapping[str, str]] = {"JAX_PLATFORMS": "cpu"}
    trains = True

    def __init__(self, threads: int) -> None:
        import jax

        super().__init__(threads)  # XLA takes as many threads as it may use CPUs
        self.jax, self.jnp = jax, jax.numpy

    def describe(self) -> str:
        return f"{self.jax.__version__}, XLA for the CPU, as many threads as CPUs"

    def forward(self, problem: Problem) -> Work:
        weights = {name: self.jnp.asarray(w) for name, w in problem.weights.items()}
        x, start = self.jnp.asarray(problem.x), self._start(problem)

        def call(apart: bool) -> Callable[[], Any]:
            sequence = self._sequence(problem.row.cell, apart)
            # Weights are constants. The state is not, or its first product would be one too.
            run = self.jax.jit(lambda x, start: sequence(weights, x, start))
            return lambda: run(x, start).block_until_ready()

        return fastest(map(call, (False, True))), lambda y: {"y": np.asarray(y)}

    def training(self, problem: Problem) -> Work:
        weights = {name: self.jnp.asarray(w) for name, w in problem.weights.items()}
        x, dy = self.jnp.asarray(problem.x), self.jnp.asarray(problem.dy)
        start = self._start(problem)

        def call(apart: bool) -> Callable[[], Any]:
            sequence = self._sequence(problem.row.cell, apart)

            @self.jax.jit
            def run(weights: Arrays, x: Any, start: Any, dy: Any) -> Any:
                y, pull = self.jax.vjp(lambda w, x: sequence(w, x, start), weights, x)
                return y, *pull(dy)

            return lambda: self.jax.block_until_ready(run(weights, x, start, dy))

        return fastest(map(call, (False, True))), lambda result: {
            "y": np.asarray(result[0]), "dx": np.asarray(result[2]),
            **{name: np.asarray(gradient) for name, gradient in result[1].items()}}

    def _start(self, problem: Problem) -> tuple[Any, ...]:
        return (self.jnp.zeros(problem.x.shape[1:]),) * (2 if problem.row.cell == "LSTM" else 1)

    def _sequence(self, cell: str, apart: bool) -> Callable[[Arrays, Any, Any], Any]:
        """The outputs of a layer; what does not depend on the state is done before the loop."""
        jnp, gates, step = self.jnp, GATES[cell], getattr(self, f"_{cell.lower()}")

        def sequence(weights: Arrays, x: Any, start: Any) -> Any:
            bias, inner = weights["bias_hh_l0"], None
            if cell == "GRU":  # r is multiplied by this part of it
                bias, inner = bias.at[-x.shape[-1]:].set(0), bias[-x.shape[-1]:]
            matrices = jnp.split(weights["weight_hh_l0"], gates if apart else 1)
            z = x @ weights["weight_ih_l0"].T + (weights["bias_ih_l0"] + bias)

            def advance(state: Any, z: Any) -> Any:
                a = [state[0] @ matrix.T for matrix in matrices]
                if not apart:
                    z, a = (jnp.split(whole, gates, axis=-1) for (whole,) in (z, a))
                state = step(z, a, state, inner)
                return state, state[0]

            z = jnp.split(z, gates if apart else 1, axis=-1)
            return self.jax.lax.scan(advance, start, z)[1]

        return sequence

    def _rnn(self, z: Any, a: Any, state: Any, _: None) -> Any:
        return (self.jnp.tanh(z[0] + a[0]),)

    def _gru(self, z: Any, a: Any, state: Any, inner: Any) -> Any:
        r, u = (self.jax.nn.sigmoid(z[gate] + a[gate]) for gate in (0, 1))
        n = self.jnp.tanh(z[2] + r * (a[2] + inner))
        return ((1 - u) * n + u * state[0],)

    def _lstm(self, z: Any, a: Any, state: Any, _: None) -> Any:
        i, f, o = (self.jax.nn.sigmoid(z[gate] + a[gate]) for gate in (0, 1, 3))
        c = f * state[1] + i * self.jnp.tanh(z[2] + a[2])
        return o * self.jnp.tanh(c), c


def fastest(calls: Iterable[Callable[[], Any]]) -> Callable[[], Any]:
    """The call that takes least, at its best of three; the first is not counted."""
    def seconds(call: Callable[[], Any]) -> float:
        call()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return min(times)

    return min(calls, key=seconds)
