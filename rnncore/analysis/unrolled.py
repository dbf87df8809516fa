"""A network taken apart into single layers and directions, and gone back step by step.

The engine's own passes run over one step at a time, each from the state that the step before
it left; what is carried from one to the next is rescaled on its way (see scaled.py). That is
exact, for a backward pass is linear in what comes in, and holds for every cell, for taps,
stacks, directions and lengths. It costs a forward and a backward pass of the layer per step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np

from rnncore.analysis.scaled import NOTHING, Scaled, added, scaled, times
from rnncore.engine.spec import Record, Remedies
from rnncore.layers import (
    Embedding,
    IntersectionRNN,
    Last,
    Layer,
    Linear,
    Recurrent,
    build,
)
from rnncore.network import Network
from rnncore.parameters import Array

RECORD = Remedies(record=True)

# Called after each step back with who took it, the step in the order of the layer (of a reverse
# direction the last comes first), and the exponent of all its gradients (B,).
Visitor = Callable[["Single | Stateless", int, Array], None]


def turned(array: Array, lengths: Array | None) -> Array:
    """An array (T, B, ...) with time reversed inside each row's length."""
    if lengths is None:
        return array[::-1]
    steps = np.arange(len(array))[:, None]
    index = np.where(steps < lengths, lengths - 1 - steps, steps)
    return np.asarray(array[index, np.arange(array.shape[1])])


def is_recurrent(layer: Layer) -> TypeGuard[Recurrent]:
    """Whether a layer carries a state."""
    return isinstance(layer, Recurrent) and not isinstance(layer, Linear)


def single(layer: Recurrent, suffix: str) -> Recurrent:
    """One layer and direction of a stack as a layer by itself, with copies of its weights."""
    width = layer.parameters.shapes[f"weight_ih{suffix}"][1]
    alone = build({**layer.config(), "input_size": width, "num_layers": 1,
                   "bidirectional": False, "residual": False, "dropout": 0.0,
                   "batch_first": False})
    alone.load_state_dict({name: layer.parameters[name.replace("_l0", suffix)]
                           for name in alone.parameters})
    assert isinstance(alone, Recurrent)
    return alone


def parts(state: Any) -> tuple[Array, ...]:
    """The arrays of a layer's state."""
    return state if isinstance(state, tuple) else (state,)


def whole(arrays: list[Array]) -> Any:
    """A state, of its arrays."""
    return tuple(arrays) if len(arrays) > 1 else arrays[0]


@dataclass
class Single:
    """One layer in one direction, its time running as it sees it.

    `inputs` (T, B, I); `states` are those before each step, as the layer takes them, and that
    after the last. `record` is of the step that was last gone back, `entering` all of the
    gradient of the state after it, laid out as the states are.
    """

    prefix: str
    suffix: str
    layer: Recurrent
    reverse: bool
    lengths: Array | None
    inputs: Array
    states: list[Any]
    record: Record | None = None
    entering: list[Array] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As in the names of parameters: "0.l1_reverse"."""
        return self.prefix + self.suffix[1:]

    def parameter(self, name: str) -> str:
        """The name in the model of a parameter of this layer."""
        return self.prefix + name.replace("_l0", self.suffix)

    def in_time(self, array: Array) -> Array:
        """An array (T, B, ...) of the user's time in that of the layer, or back."""
        return turned(array, self.lengths) if self.reverse else array

    def live(self, step: int) -> Array | None:
        """Which rows take part in a step, as lengths of a sequence of one."""
        return None if self.lengths is None else (self.lengths > step).astype(np.intp)

    def run(self) -> Array:
        """Run from the first state; return the outputs (T, B, H) in the user's time."""
        if self.states[0] is None:
            self.states = [self.layer.infer(self.inputs[:0])[1]]
        outputs = np.empty((*self.inputs.shape[:2], self.layer.output_size),
                           self.inputs.dtype)
        for step in range(len(self.inputs)):
            outputs[step : step + 1], state = self.layer.infer(
                self.inputs[step : step + 1], self.states[step], self.live(step))
            self.states.append(state)
        return self.in_time(outputs)

    def back(self, dy: Scaled, common: bool, visit: Visitor) -> Scaled:
        """Go back from gradients dy of the outputs; return that of the inputs, both in the
        user's time. With `common` all rows of a step share an exponent.
        """
        rows, exponents = self.in_time(dy.rows), self.in_time(dy.exponent)
        carried = [np.zeros_like(s) for s in parts(self.states[0])]
        exponent = np.full(rows.shape[1], NOTHING)
        dx = Scaled(np.zeros_like(self.inputs), np.full(rows.shape[:2], NOTHING))
        for step in reversed(range(len(rows))):
            top = np.maximum(exponent, exponents[step])
            top = np.full_like(top, top.max(initial=NOTHING)) if common else top
            if (top == NOTHING).all():
                continue
            below, left = self._back_step(step, Scaled(rows[step], exponents[step]).at(top),
                                          [times(c, exponent - top) for c in carried])
            dx.rows[step], dx.exponent[step] = scaled(below, top)
            visit(self, step, top)
            carried, exponent = _normalized(left, top)
        return Scaled(self.in_time(dx.rows), self.in_time(dx.exponent))

    def _back_step(self, step: int, dy: Array,
                   carried: list[Array]) -> tuple[Array, tuple[Array, ...]]:
        """The gradients of the input and of the state before a step."""
        self.layer.grads[:] = 0
        here = slice(step, step + 1)
        if not isinstance(self.layer, IntersectionRNN):  # whose output is not its state
            newest = carried[0][0, 0] if self.layer._spec.past > 1 else carried[0][0]
            newest += dy
            dy = np.zeros_like(dy)
        self.entering = carried
        self.layer.forward(self.inputs[here], self.states[step], self.live(step))
        found, left = self.layer.backward(dy[None], whole(carried), remedies=RECORD)
        assert found is not None
        (self.record,) = self.layer.records
        return found[0], parts(left)


def _normalized(state: tuple[Array, ...], exponent: Array) -> tuple[list[Array], Array]:
    """A state of which each row, in all arrays together, has a norm from 1/2 to 1."""
    size = exponent.size
    joined = np.concatenate([np.moveaxis(s, -2, 0).reshape(size, -1) for s in state], axis=1)
    shift = scaled(joined).exponent
    moved = np.where(shift == NOTHING, 0, -shift)
    return ([times(s, moved) for s in state],
            np.where(shift == NOTHING, NOTHING, exponent + shift))


@dataclass
class Stateless:
    """A Linear, an Embedding or a Last: what it does at one step is its affair alone."""

    prefix: str
    layer: Layer
    lengths: Array | None
    inputs: Array

    def parameter(self, name: str) -> str:
        """The name in the model of a parameter of this layer."""
        return self.prefix + name

    def run(self) -> Array:
        """The outputs (T, B, F), or (B, F)."""
        return self.layer.infer(self.inputs, None, self.lengths)[0]

    def back(self, dy: Scaled, common: bool, visit: Visitor) -> Scaled | None:
        """As `Single.back`; None below an Embedding."""
        if isinstance(self.layer, Last):
            self.layer.forward(self.inputs, None, self.lengths)
            rows, _ = self.layer.backward(dy.rows)
            assert rows is not None
            live = rows.any(axis=-1)
            return Scaled(rows, np.where(live, dy.exponent, NOTHING))
        if dy.rows.ndim == 2:  # behind Last there is one step
            return self._back(self.inputs, dy, common, visit, -1)
        dx = Scaled(np.zeros_like(self.inputs), np.full(dy.exponent.shape, NOTHING))
        for step, x in enumerate(self.inputs):
            below = self._back(x, Scaled(dy.rows[step], dy.exponent[step]), common, visit, step)
            if below is not None:
                dx.rows[step], dx.exponent[step] = below
        return None if isinstance(self.layer, Embedding) else dx

    def _back(self, x: Array, dy: Scaled, common: bool, visit: Visitor,
              step: int) -> Scaled | None:
        """The gradient of the inputs of one step (B, I)."""
        top = np.full_like(dy.exponent, dy.exponent.max(initial=NOTHING)) if common \
            else dy.exponent
        if (top == NOTHING).all():
            return Scaled(np.zeros_like(x), top)
        self.layer.grads[:] = 0
        self.layer.forward(x)
        dx, _ = self.layer.backward(dy.at(top))
        visit(self, step, top)
        return None if dx is None else scaled(dx, top)


@dataclass
class Level:
    """The directions of one layer of a stack, side by side."""

    singles: list[Single]
    adds_input: bool

    def run(self) -> Array:
        """The outputs (T, B, H * directions)."""
        y = np.concatenate([s.run() for s in self.singles], axis=-1)
        return y + self.singles[0].in_time(self.singles[0].inputs) if self.adds_input else y

    def back(self, dy: Scaled, common: bool, visit: Visitor) -> Scaled:
        """As `Single.back`."""
        wide = self.singles[0].layer.output_size or 0
        found = dy if self.adds_input else None
        for number, one in enumerate(self.singles):
            own = scaled(np.ascontiguousarray(dy.rows[..., number * wide :][..., :wide]),
                         dy.exponent)
            dx = one.back(own, common, visit)
            found = dx if found is None else added(found, dx)
        assert found is not None
        return found


class Unrolled:
    """A network whose layers have run over x (T, B, I) one step at a time."""

    def __init__(self, network: Network, x: Array, state: list[Any],
                 lengths: Array | None) -> None:
        self.levels: list[Level | Stateless] = []
        if lengths is not None and isinstance(network.layers[0], Linear):
            x = np.where((np.arange(len(x))[:, None] < lengths)[..., None], x, x.dtype.type(0))
        for number, (layer, start) in enumerate(zip(network.layers, state, strict=True)):
            if not is_recurrent(layer):
                ends = None if isinstance(layer, Linear) else lengths
                self.levels.append(Stateless(f"{number}.", layer, ends, x))
                x = self.levels[-1].run()
                continue
            for level in _levels(f"{number}.", layer, start, lengths):
                for one in level.singles:
                    one.inputs = one.in_time(x)
                x = level.run()
                self.levels.append(level)

    @property
    def singles(self) -> list[Single]:
        """All recurrent layers and directions, from the input on."""
        return [one for level in self.levels if isinstance(level, Level)
                for one in level.singles]

    def back(self, dy: Scaled, visit: Visitor, common: bool = False) -> None:
        """Go back from gradients of the outputs."""
        below: Scaled | None = dy
        for level in reversed(self.levels):
            assert below is not None
            below = level.back(below, common, visit)


def _levels(prefix: str, layer: Recurrent, start: Any,
            lengths: Array | None) -> list[Level]:
    """The layers of a stack, not yet run."""
    suffixes, levels = layer._suffixes(), []
    ways = len(suffixes) // layer.num_layers
    for index in range(layer.num_layers):
        singles = []
        for way in range(ways):
            place = index * ways + way
            own = None if start is None else whole([s[place : place + 1]
                                                    for s in parts(start)])
            singles.append(Single(prefix, suffixes[place], single(layer, suffixes[place]),
                                  way == 1, lengths, np.empty(0), [own]))
        width = layer.parameters.shapes[f"weight_ih{suffixes[index * ways]}"][1]
        levels.append(Level(singles, layer.residual and width == layer.output_size))
    return levels
