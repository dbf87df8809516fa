"""Streams: a model that is called step by step and keeps the state itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rnncore.batch import swapped
from rnncore.engine.program import Program
from rnncore.engine.stream import Stepper
from rnncore.layers import Embedding
from rnncore.layers.checks import output, positive
from rnncore.layers.recurrent import Recurrent
from rnncore.parameters import Array

if TYPE_CHECKING:
    from rnncore.model import Model
    from rnncore.network import State


class Stream(Stepper):
    """A model run step by step, whose state is kept from call to call.

    `model.stream(batch)` makes one. It gives what `model.infer` of the whole sequence would,
    bit for bit on the native engine: y of step t is its y[t]. With `Last` a step gives what
    `infer` of the sequence so far would. Dropout does not apply.

    A stream keeps the weights that the model had when it was made, until `refresh`. All streams
    of a model share them packed; besides, each has its states and the scratch memory of a
    step. A stream may be used by one thread at a time, different streams by different threads
    at once; a step runs on the thread that calls it.

    Parameters
    ----------
    model : Model
    batch : int, default=1
        The number B of rows, sequences that go on side by side.

    Raises
    ------
    TypeError, ValueError
        If `batch` is not an integer of at least 1, or a layer is bidirectional.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.LSTM(3, 8), rc.Linear(8, 2)], seed=0)
    >>> stream, y = model.stream(), np.empty(2, np.float32)
    >>> x = np.ones((100, 3), np.float32)
    >>> for x_t in x:
    ...     _ = stream.step(x_t, out=y)  # nothing is allocated
    >>> bool((y == model.infer(x)[0][-1]).all())
    True
    """

    def __init__(self, model: Model, batch: int = 1) -> None:
        self._model = model
        self._begin(Program(*_parts(model), positive("batch", batch)))

    def _begin(self, program: Program) -> None:
        self._program = program
        super().__init__(program)

    @property
    def batch(self) -> int:
        """The number of rows."""
        return self._program.size

    def run(self, x: npt.ArrayLike, out: Array | None = None) -> Array:
        """Advance all rows by the steps of a block.

        Parameters
        ----------
        x : array (T, B, I), or integers (T, B) of an Embedding
            (B, T, ...) of a model with batch_first. A stream of one row also takes (T, I) or
            integers (T,).
        out : array (T, B, K), optional
            Where to write y; it may not share memory with x.

        Returns
        -------
        y : array (T, B, K), like x
            The outputs after every step.

        Raises
        ------
        TypeError, ValueError
            If an array is not of the dtype, shape or range described; no state changes then,
            nor if the call is interrupted.
        """
        x = np.asarray(x)
        if not self._model.batch_first or x.ndim != 3 - self._model.takes_symbols:
            return super().run(x, out)
        if out is not None:
            output(out, (*x.shape[:2], self._model.output_size), self._model.dtype, x)
        y = swapped(super().run(swapped(x, True)), True)
        if out is None:
            return y
        out[...] = y
        return out

    @property
    def state(self) -> State:
        """The state after the last step, as `model.infer` takes and returns it: copies.

        It can be set to such a list, or to None for zeros. A stream of one row also takes the
        state of one sequence without an axis for rows.
        """
        return [None if states is None else layer._boundary.public_state(states, False)
                for layer, states in self._by_layer(self._program.get())]

    @state.setter
    def state(self, state: State | None) -> None:
        given = self._model.states(state)
        checked = []
        for i, layer in enumerate(self._model.layers):
            if isinstance(layer, Recurrent):
                checked.append(self._checked(f"state[{i}]", layer, given[i]))
        self._program.put(checked)

    def _checked(self, name: str, layer: Recurrent, state: Any) -> tuple[Array, ...] | None:
        part = state[0] if isinstance(state, (tuple, list)) and len(state) else state
        single = self.batch == 1 and np.ndim(part) == (3 if layer._boundary.past > 1 else 2)
        return layer._boundary.states(name, state, self.batch, single)

    def _by_layer(self, states: list[tuple[Array, ...]]) -> list[tuple[Any, Any]]:
        """Every layer with its states, or with None if it has none."""
        left = iter(states)
        return [(layer, (next(left) if isinstance(layer, Recurrent) else None) or None)
                for layer in self._model.layers]

    def reset(self, rows: int | Sequence[int] | Array | None = None) -> None:
        """Set the state of some rows to zero, given by numbers or as booleans (B,); of all if
        None.

        Raises
        ------
        TypeError, IndexError
            If `rows` is not of integers or booleans, or a row is not there.
        """
        if rows is None:
            self._program.put([None] * len(self._program.plans))
            return
        chosen = np.asarray(rows)
        if chosen.dtype.kind not in "iub" and chosen.size:
            raise TypeError(f"rows has dtype {chosen.dtype}, expected integers or booleans")
        if chosen.dtype.kind == "b" and chosen.shape != (self.batch,):
            raise IndexError(f"rows has shape {chosen.shape}, expected ({self.batch},)")
        if chosen.dtype.kind != "b" and chosen.size and not \
                -self.batch <= chosen.min() <= chosen.max() < self.batch:
            raise IndexError(f"rows lie in [{chosen.min()}, {chosen.max()}], expected in "
                             f"[{-self.batch}, {self.batch - 1}]")
        for row in np.arange(self.batch)[chosen if chosen.size else []].reshape(-1):
            self._program.clear(int(row))

    def clone(self) -> Stream:
        """A stream of its own with the same weights and the same state."""
        old = self._program
        copied = type(self).__new__(type(self))
        copied._model = self._model
        copied._begin(Program(old.plans, old.table, old.size))
        copied._program.put(list(old.get()))
        return copied

    def __copy__(self) -> Stream:
        return self.clone()

    def __deepcopy__(self, memo: dict[int, Any]) -> Stream:
        return self.clone()

    def refresh(self) -> None:
        """Take over the model's present weights; the state stays."""
        program = Program(*_parts(self._model), self.batch)
        program.put(list(self._program.get()))
        self._begin(program)

    def __repr__(self) -> str:
        return f"Stream({self._model!r}, batch={self.batch})"


def _parts(model: Model) -> tuple[list[Any], Array | None]:
    """The plans of a model's layers, and the table of its Embedding if it has one."""
    plans, table = [], None
    for i, layer in enumerate(model.layers):
        if layer.config().get("bidirectional"):
            raise ValueError(f"layer {i}, {layer!r}, is bidirectional, expected one way: "
                             "the other begins where a sequence ends, which a stream does not")
        if isinstance(layer, Embedding):
            table = layer._packed()
        elif isinstance(layer, Recurrent):
            plans.append(layer._packed())
    return plans, table
