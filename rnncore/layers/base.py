"""What every layer is: parameters, a mode, and a name for each setting.

A layer maps an array to an array: `forward` keeps what `backward` needs, `infer` keeps nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from rnncore.engine.spec import Record, Remedies
from rnncore.parameters import Parameters

Array = npt.NDArray[Any]
State = Any  # None, an array, or a tuple of arrays


class Layer:
    """The common part of all layers.

    Attributes
    ----------
    parameters : Parameters
        The layer's parameters and gradients, flat and by name.
    training : bool
        Whether `forward` drops out.
    input_size, output_size : int or None
        The widths of what comes in and goes out; None where any will do.
    omega : list of (float, int, int)
        Omega's value, live terms and terms in the last backward pass, an entry for each layer
        and direction.
    records : list of Record
        What a recorded backward pass saw, an entry for each layer and direction.
    """

    settings: ClassVar[tuple[str, ...]] = ()  # constructor arguments, in order

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: npt.DTypeLike) -> None:
        self.parameters = Parameters(shapes, dtype)
        self.training = True
        self.input_size: int | None = None
        self.output_size: int | None = None
        self.omega: list[tuple[float, int, int]] = []
        self.records: list[Record] = []

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """float32 or float64; None where a layer takes what comes."""
        return self.parameters.dtype

    @property
    def grads(self) -> Array:
        """All gradients as one flat array, into which `backward` adds."""
        return self.parameters.grads

    def forward(self, x: Array, state: State = None,
                lengths: npt.ArrayLike | None = None) -> tuple[Array, State]:
        """Map x to y and keep what `backward` needs; return y and the final state."""
        raise NotImplementedError

    def backward(self, dy: Array, dstate: State = None, input_grad: bool = True,
                 remedies: Remedies | None = None) -> tuple[Array | None, State]:
        """Add to `grads`; return the gradients of x and of the initial state."""
        raise NotImplementedError

    def infer(self, x: Array, state: State = None, lengths: npt.ArrayLike | None = None,
              out: Array | None = None) -> tuple[Array, State]:
        """Map x to y keeping nothing and dropping nothing out."""
        raise NotImplementedError

    def reset_parameters(self, rng: np.random.Generator) -> None:
        """Draw all parameters anew."""

    def reseed(self, rng: np.random.Generator) -> None:
        """Begin another sequence of dropout masks."""

    def train(self, mode: bool = True) -> None:
        """Switch dropout on or off."""
        self.training = mode

    def eval(self) -> None:
        """Switch dropout off."""
        self.train(False)

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters by name."""
        return self.parameters.state_dict()

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays or PyTorch tensors into the parameters; all of them or none."""
        self.parameters.load_state_dict(state, strict)

    def grad_dict(self) -> dict[str, Array]:
        """The gradients by name, as writable views."""
        return self.parameters.grad_dict()

    def set_parameter(self, name: str, array: npt.ArrayLike) -> None:
        """Copy an array of the layer's dtype into one parameter."""
        self.parameters.set(name, array)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, ready for JSON; `rnncore.layers.build` reads it."""
        values = {name: getattr(self, name) for name in self.settings}
        values = {k: v.name if isinstance(v, np.dtype) else v for k, v in values.items()}
        return {"layer": type(self).__name__, **values}

    def __repr__(self) -> str:
        known = _constructor_arguments(type(self))
        parts = []
        for name, value in self.config().items():
            if name == "layer" or value == known[name].default or value == "float32":
                continue
            required = known[name].default is inspect.Parameter.empty
            parts.append(repr(value) if required else f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


def _constructor_arguments(kind: type) -> dict[str, inspect.Parameter]:
    """The arguments of a class's constructor and of those it hands options on to."""
    found: dict[str, inspect.Parameter] = {}
    for base in reversed(kind.__mro__):
        found.update(inspect.signature(base.__init__).parameters)  # type: ignore[misc]
    return found
