"""rnncore, on its two engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..rows import Problem
from .base import Peer, Work


class Rnncore(Peer):
    """This library."""

    modules = ("rnncore",)
    trains = True

    def __init__(self, threads: int) -> None:
        import rnncore

        super().__init__(threads)
        self.rnncore = rnncore
        rnncore.set_num_threads(threads)

    def describe(self) -> str:
        config = self.rnncore.show_config()
        return "{version}, {isa}, {engine}".format(**config)

    def _layer(self, problem: Problem) -> Any:
        hidden = problem.row.hidden
        layer = getattr(self.rnncore, problem.row.cell)(hidden, hidden)
        layer.load_state_dict(problem.weights)
        return layer

    def forward(self, problem: Problem) -> Work:
        layer, x = self._layer(problem), problem.x
        return lambda: layer.infer(x), lambda result: {"y": result[0]}

    def training(self, problem: Problem) -> Work:
        layer, x, dy = self._layer(problem), problem.x, problem.dy

        def call() -> Any:
            layer.grads.fill(0)
            y, _ = layer.forward(x)
            return y, layer.backward(dy)[0]

        return call, lambda result: {"y": result[0], "dx": result[1], **layer.grad_dict()}

    def step(self, problem: Problem) -> Work:
        model, x = self.rnncore.Model([self._layer(problem)]), problem.x[0]
        if not hasattr(model, "stream"):  # a build from before there were streams
            return self.forward(problem)
        stream, out = model.stream(1), np.empty_like(x)
        return lambda: stream.step(x, out=out), lambda _: {"y": out[None]}


class RnncoreBlas(Rnncore):
    """This library with its products by SciPy's BLAS."""

    environment: ClassVar[Mapping[str, str]] = {"RNNCORE_GEMM": "blas"}
