"""PyTorch."""

from __future__ import annotations

from typing import Any

from ..rows import Problem
from .base import Peer, Work


class Torch(Peer):
    """PyTorch, eager, as `torch.nn` has it."""

    modules = ("torch",)
    trains = True

    def __init__(self, threads: int) -> None:
        import torch

        super().__init__(threads)
        self.torch = torch
        torch.set_num_threads(threads)

    def describe(self) -> str:
        engine = "oneDNN" if self.torch.backends.mkldnn.is_available() else "no oneDNN"
        capability = self.torch.backends.cpu.get_cpu_capability()
        return f"{self.torch.__version__}, {capability}, {engine}"

    def _layer(self, problem: Problem) -> Any:
        hidden = problem.row.hidden
        layer = getattr(self.torch.nn, problem.row.cell)(hidden, hidden)
        layer.load_state_dict({name: self.torch.from_numpy(weight)
                               for name, weight in problem.weights.items()})
        return layer

    def forward(self, problem: Problem) -> Work:
        layer, x = self._layer(problem).eval(), self.torch.from_numpy(problem.x)

        def call() -> Any:
            with self.torch.inference_mode():
                return layer(x)

        return call, lambda result: {"y": result[0].numpy()}

    def training(self, problem: Problem) -> Work:
        layer, dy = self._layer(problem), self.torch.from_numpy(problem.dy)
        x = self.torch.from_numpy(problem.x).requires_grad_()

        def call() -> Any:
            x.grad = None
            layer.zero_grad()
            y, _ = layer(x)
            y.backward(dy)
            return y

        return call, lambda y: {"y": y.detach().numpy(), "dx": x.grad.numpy(), **{
            name: weight.grad.numpy() for name, weight in layer.named_parameters()}}
