"""A walk through the data, window by window, that can be written down and taken up again.

Truncated back-propagation through time (k1, k2) makes an update every k1 steps from a window
of the last k2 (Williams & Peng 1990; Sutskever 2013). In a batch of T steps, with e steps done,

    the window is  [max(0, e + k1 - k2), min(e + k1, T)),  and what counts is its end from e on

so that each loss counts once and sees at least k2 - k1 steps back. A window starts from the
state stored there: with k1 = k2 the end of the one before it, else the stored state moved on by
`infer` under the weights of that moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rnncore.batch import Batch
from rnncore.data import Data
from rnncore.segments import outputs

if TYPE_CHECKING:
    from rnncore.model import Model
    from rnncore.network import State


class Walk:
    """The place in the data: which batch, how much of it is done, the state it goes on from."""

    def __init__(self, model: Model, data: Data, batch_size: int,
                 rng: np.random.Generator | None, steps: tuple[int, int] | None) -> None:
        self.model, self.data, self.batch_size = model, data, batch_size
        self.rng, self.steps = rng, steps
        self._batches: Iterator[Batch] | None = None
        self._batch: Batch | None = None
        self._number = 0  # batches taken in this pass through the data
        self._begin: Any = None  # the generator's state before the pass ...
        self._before: Any = None  # ... and the data's position before the present batch
        self._done = self._at = 0  # steps of the batch that have counted; where `state` is
        self.state: State = model.states(None)

    def window(self) -> Batch | None:
        """The steps of the next update, None at the end of the data; again until `advance`."""
        if self._batch is None and not self._next_batch():
            return None
        assert self._batch is not None
        total = len(self._batch.x)
        k1, k2 = self.steps or (max(total, 1),) * 2
        start = max(self._at, self._done + k1 - k2)
        if start > self._at:
            passed = self._batch.cut(self._at, start)
            for _, _, state in outputs(self.model, passed, self.state):
                self.state = state
            self._at = start
        window = self._batch.cut(start, min(self._done + k1, total))
        return window.counting_from(self._done - start, self.model.steps(window.x))

    def advance(self, end: State | None) -> None:
        """Go on behind the window, whose end state this is; from zeros if it is None."""
        assert self._batch is not None
        total = len(self._batch.x)
        k1, k2 = self.steps or (max(total, 1),) * 2
        self._done = min(self._done + k1, total)
        if end is None or k1 == k2:
            self.state, self._at = self.model.states(end), self._done
        if self._done == total:
            self._batch, self._done, self._at = None, 0, 0
            self.state = self.model.states(None)

    def _next_batch(self) -> bool:
        """Take the next batch, or note the end of a pass."""
        if self._batches is None:
            self._begin = _state(self.rng)
            self._batches = self.data.batches(self.batch_size, self.rng)
        self._before = self.data.position()
        self._batch = next(self._batches, None)
        if self._batch is None:
            self._batches, self._number = None, 0
            return False
        self._number += 1
        return True

    def position(self) -> dict[str, Any]:
        """The place as JSON, beside the state."""
        inside = self._batch is not None
        return {"number": self._number, "inside": inside, "done": self._done, "at": self._at,
                "begin": self._begin, "now": _state(self.rng),
                "data": self._before if inside else self.data.position()}

    def move_to(self, position: dict[str, Any], state: State) -> None:
        """Go to a place by drawing its batches anew."""
        draws = position["number"]
        if position["data"] is not None:
            self.data.move_to(position["data"])
            draws = int(position["inside"])
        if draws:
            _restore(self.rng, position["begin"])
        for _ in range(draws):
            if not self._next_batch():
                raise ValueError(f"data end before batch {position['number']}, at which the "
                                 "checkpoint was written: expected the same data")
        self._number = position["number"]
        if not position["inside"]:
            self._batch = None
        self._done, self._at, self.state = position["done"], position["at"], state
        _restore(self.rng, position["now"])
        if draws:
            self._begin = position["begin"]


def _state(rng: np.random.Generator | None) -> Any:
    return None if rng is None else rng.bit_generator.state


def _restore(rng: np.random.Generator | None, state: Any) -> None:
    if rng is not None:
        rng.bit_generator.state = state
