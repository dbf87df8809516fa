"""A network: layers in a row whose parameters live in one flat array."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from rnncore.engine.spec import Remedies
from rnncore.layers import Embedding, Last, Layer, Linear
from rnncore.layers.checks import matching
from rnncore.layers.recurrent import Recurrent
from rnncore.parameters import Array, Parameters
from rnncore.remedies import OmegaValue, total

State = list[Any]  # one entry per layer, None for layers that have no state


class Network:
    """Layers in a row, without a loss: what `Model` is built on.

    Input and output are time-major here, and nothing is checked but the layers themselves.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)
        _check_layers(self.layers)
        dtypes = [layer.dtype for layer in self.layers if layer.dtype is not None]
        self.dtype = dtypes[0]
        self.input_size = next(n.input_size for n in self.layers if n.input_size is not None)
        self.output_size = next(n.output_size for n in self.layers[::-1]
                                if n.output_size is not None)
        self.takes_symbols = isinstance(self.layers[0], Embedding)
        self.per_step = not any(isinstance(layer, Last) for layer in self.layers)
        self.frozen: frozenset[str] = frozenset()
        self.tensors = self._joined()

    def _joined(self) -> Parameters:
        return Parameters.joined({str(i): n.parameters for i, n in enumerate(self.layers)})

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        """Layers with parameters and gradients of their own, of the same bits."""
        copied = object.__new__(type(self))
        memo[id(self)] = copied
        for name, value in vars(self).items():
            if name != "tensors":
                setattr(copied, name, copy.deepcopy(value, memo))
        copied.tensors = copied._joined()
        return copied

    @property
    def carries(self) -> bool:
        """Whether a sequence can be run in pieces that hand on the state."""
        return self.per_step and not any(n.config().get("bidirectional") for n in self.layers)

    @property
    def drops_out(self) -> bool:
        """Whether a forward pass draws dropout masks."""
        return any(n.training and getattr(n, "dropout", 0) > 0 for n in self.layers)

    def generator_states(self) -> list[Any]:
        """The states of the generators of the layers' dropout masks."""
        return [generator.bit_generator.state for generator in self.generators()]

    def restore_generators(self, states: list[Any]) -> None:
        """Go back to what `generator_states` gave, or leave all as it is for an empty list."""
        for generator, state in zip(self.generators(), states, strict=bool(states)):
            generator.bit_generator.state = state

    def generators(self) -> list[np.random.Generator]:
        """What the layers draw their dropout masks from."""
        return [layer._rng for layer in self.layers if isinstance(layer, Recurrent)]

    def output_shape(self, x: Array) -> tuple[int, ...]:
        """The shape (T, B, K) of the outputs for input x, (B, K) with `Last`."""
        return *self.steps(x)[0 if self.per_step else 1:], self.output_size

    def steps(self, x: Array) -> tuple[int, ...]:
        """The shape (T, B) or (T,) of the steps of time-major input."""
        return x.shape if self.takes_symbols else x.shape[:-1]

    @property
    def parameters(self) -> Array:
        """All parameters (n,), read-only."""
        return self.tensors.values

    @property
    def grads(self) -> Array:
        """The gradients of all parameters (n,), writable."""
        return self.tensors.grads

    def named_parameters(self) -> dict[str, Array]:
        """Read-only views of the parameters by name."""
        return dict(self.tensors.items())

    def grad_dict(self) -> dict[str, Array]:
        """Writable views of the gradients by name."""
        return self.tensors.grad_dict()

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters by name."""
        return self.tensors.state_dict()

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Take over arrays or PyTorch tensors: see `Parameters.load_state_dict`."""
        self.tensors.load_state_dict(state, strict)

    def set_parameter(self, name: str, array: npt.ArrayLike) -> None:
        """Copy an array into one parameter: see `Parameters.set`."""
        self.tensors.set(name, array)

    def writable(self) -> AbstractContextManager[Array]:
        """The flat parameters, writable within `with model.writable() as flat:`."""
        return self.tensors.writable()

    def freeze(self, *patterns: str) -> None:
        """Train the parameters no more whose names match, as in `model.freeze("0.*")`.

        Their gradients are 0 from then on, so that norms do not see them, and optimizers pass
        over them.

        Raises
        ------
        ValueError
            If a pattern matches no name, or there is none.
        """
        if not patterns:
            raise ValueError("no pattern came, expected names such as '0.*'")
        self.frozen |= set(matching(self.tensors, patterns))
        self._clear_frozen()

    def unfreeze(self, *patterns: str) -> None:
        """Train the matching parameters again; without patterns, all."""
        self.frozen -= set(matching(self.tensors, patterns or ("*",)))

    def _clear_frozen(self) -> None:
        for name in self.frozen:
            self.tensors.grad(name).fill(0)

    def train(self, mode: bool = True) -> Self:
        """Let `forward` and `loss_and_grad` apply dropout, or not; return the model."""
        for layer in self.layers:
            layer.training = mode
        return self

    def eval(self) -> Self:
        """Let dropout be: `train(False)`."""
        return self.train(False)

    def run(self, x: Array, state: State, lengths: Array | None,
            infer: bool = False) -> tuple[Array, State]:
        """Run all layers, keeping what `run_back` needs unless told to `infer`."""
        ends: State = []
        y, live = x, lengths
        if live is not None and isinstance(self.layers[0], Linear):
            # It maps what lies past the end of a row, and NaN times a gradient of 0 is NaN.
            y = np.where((np.arange(len(x))[:, None] < live)[..., None], x, x.dtype.type(0))
        for layer, start in zip(self.layers, state, strict=True):
            y, end = (layer.infer if infer else layer.forward)(y, start, live)
            ends.append(end)
            live = None if isinstance(layer, Last) else live
        if live is not None:  # where a Linear gives its bias
            y[np.arange(len(y))[:, None] >= live] = 0
        return y, ends

    def run_back(self, dy: Array, dstate: State,
                 input_grad: bool = False,
                 remedies: Remedies | None = None) -> tuple[Array | None, State]:
        """Add to the gradients; go back no further than there is something to train."""
        dx: Array | None = None
        starts: State = [None] * len(self.layers)
        lowest = 0 if input_grad else self._lowest_trained()
        for i in reversed(range(lowest, len(self.layers))):
            dx, starts[i] = self.layers[i].backward(dy, dstate[i], input_grad or i > lowest,
                                                   remedies)
            dy = dy if dx is None else dx
        self._clear_frozen()
        return dx if input_grad else None, starts

    @property
    def omega(self) -> OmegaValue:
        """What the last backward pass found of Omega, in all layers together."""
        return total([part for layer in self.layers for part in layer.omega])

    def _lowest_trained(self) -> int:
        trained = (int(n.split(".")[0]) for n in self.tensors if n not in self.frozen)
        return next(trained, len(self.layers))

    def table(self) -> str:
        """Layers, shapes and numbers of parameters, a line for each."""
        rows = [("layer", "shape", "parameters", "")]
        for i, layer in enumerate(self.layers):
            rows.append((f"{i}  {layer!r}", "", f"{layer.parameters.size:,}", ""))
            for name, values in layer.parameters.items():
                mark = "frozen" if f"{i}.{name}" in self.frozen else ""
                rows.append((f"   .{name}", str(values.shape), f"{values.size:,}", mark))
        rows.append((f"total, {self.dtype}", "", f"{self.tensors.size:,}", ""))
        wide, shape, count = (max(len(row[column]) for row in rows) for column in range(3))
        return "\n".join(f"{a:<{wide}}  {b:<{shape}}  {c:>{count}}  {d}".rstrip()
                         for a, b, c, d in rows)


def _check_layers(layers: tuple[Layer, ...]) -> None:
    """Refuse layers that do not fit one another, naming the two that do not."""
    def name(i: int) -> str:
        return f"layer {i}, {layers[i]!r},"

    dtypes = [layer.dtype for layer in layers if layer.dtype is not None]
    if not dtypes:
        raise ValueError("layers holds no layer with parameters, expected at least one")
    wide, after_last = -1, False  # the layer that gives the width of the next one's input
    for i, layer in enumerate(layers):
        if isinstance(layer, Embedding) and i:
            raise ValueError(f"{name(i)} takes symbols, expected an Embedding as layer 0 alone")
        if after_last and not isinstance(layer, Linear):
            raise ValueError(f"{name(i)} comes after Last, expected Linear layers alone")
        if layer.config().get("batch_first"):
            raise ValueError(f"{name(i)} has batch_first=True, expected it of the Model alone")
        if layer.dtype is not None and layer.dtype != dtypes[0]:
            raise TypeError(f"{name(i)} has dtype {layer.dtype}, expected {dtypes[0]} as the "
                            "others")
        width = layers[wide].output_size if wide >= 0 else None
        if width is not None and layer.input_size not in (None, width):
            raise ValueError(f"{name(i)} takes width {layer.input_size}, expected {width}, "
                             f"which {name(wide).rstrip(',')} gives")
        wide = i if layer.output_size is not None else wide
        after_last = after_last or isinstance(layer, Last)
