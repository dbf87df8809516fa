"""The line between the user's arrays and the engine's: checks on the way in, shapes both ways.

Everything is checked here, before the GIL is released; below nothing can fail.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnncore.layers.base import Array, State
from rnncore.layers.checks import of_dtype, output


class Boundary(NamedTuple):
    """What the arrays of one stack of recurrent layers look like from outside.

    `letters` name the states; `rows` is layers * directions, `past` the steps a state holds.
    """

    dtype: np.dtype[Any]
    batch_first: bool
    letters: str
    rows: int
    past: int
    hidden: int

    def batch(self, name: str, x: Any, features: int) -> tuple[Array, bool]:
        """x as (T, B, features) with contiguous features, and whether it was one sequence."""
        x = of_dtype(name, x, self.dtype)
        order = "batch, time" if self.batch_first else "time, batch"
        if x.ndim not in (2, 3) or x.shape[-1] != features:
            raise ValueError(f"{name} has shape {x.shape}, expected ({order}, {features}) or "
                             f"(time, {features})")
        single = x.ndim == 2
        x = x[:, None] if single else x.swapaxes(0, 1) if self.batch_first else x
        # The engine takes steps and rows at any distance, but whole elements apart.
        steps, rows, element = x.strides
        if element != x.itemsize or steps % element or rows % element or not x.flags.aligned:
            x = np.ascontiguousarray(x)
        return x, single

    def unbatch(self, y: Array, single: bool) -> Array:
        """y (T, B, features) as the user laid out x."""
        if single:
            return y[:, 0]
        return y.swapaxes(0, 1) if self.batch_first else y

    def _public_shape(self, shape: tuple[int, ...], single: bool) -> tuple[int, ...]:
        """What `unbatch` makes of an array of this shape."""
        steps, size, features = shape
        return ((steps, features) if single else
                (size, steps, features) if self.batch_first else shape)

    def gradient(self, dy: Any, shape: tuple[int, ...], single: bool) -> Array:
        """dy as (T, B, features), of the shape that y had."""
        dy, expected = of_dtype("dy", dy, self.dtype), self._public_shape(shape, single)
        if dy.shape != expected:
            raise ValueError(f"dy has shape {dy.shape}, expected {expected}")
        return self.batch("dy", dy, shape[2])[0]

    def target(self, out: Any, x: Array, features: int, single: bool) -> Array:
        """A checked `out` as (T, B, features)."""
        shape = self._public_shape((*x.shape[:2], features), single)
        y = output(out, shape, self.dtype, x)
        return y[:, None] if single else y.swapaxes(0, 1) if self.batch_first else y

    def states(self, name: str, state: State, size: int,
               single: bool) -> tuple[Array, ...] | None:
        """The given states as contiguous (layers * directions, D, B, H), or None."""
        if state is None:
            return None
        parts = state if len(self.letters) > 1 else (state,)
        if not isinstance(parts, (tuple, list)):
            raise TypeError(f"{name} is {type(state).__name__}, expected a tuple "
                            f"({', '.join(self.letters)})")
        if len(parts) != len(self.letters):
            raise ValueError(f"{name} has {len(parts)} parts, expected {len(self.letters)}: "
                             f"({', '.join(self.letters)})")
        past, batch = [self.past] if self.past > 1 else [], [] if single else [size]
        shape = (self.rows, *past, *batch, self.hidden)
        result = []
        for letter, part in zip(self.letters, parts, strict=True):
            label = f"{name}[{letter}]" if len(parts) > 1 else name
            part = of_dtype(label, part, self.dtype)
            if part.shape != shape:
                raise ValueError(f"{label} has shape {part.shape}, expected {shape}")
            part = np.require(part, requirements=["C", "A"])
            result.append(part.reshape(self.rows, self.past, size, self.hidden))
        return tuple(result)

    def public_state(self, states: tuple[Array, ...], single: bool) -> State:
        """The engine's states as the user knows them; None where there are none."""
        if single:
            states = tuple(array[..., 0, :] for array in states)
        return states if len(states) > 1 else states[0] if states else None
