"""Recurrent layers: everything that does not depend on the cell.

A subclass names a cell of the kernels' table and its own settings; shapes, names, checks,
states and the way into the engine are here.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from rnncore.engine import plan as engine
from rnncore.engine import sequence
from rnncore.engine.memory import Workspaces
from rnncore.engine.spec import Choice, Remedies, Spec, choice
from rnncore.engine.threads import get_num_threads
from rnncore.layers.base import Array, Layer, State
from rnncore.layers.boundary import Boundary
from rnncore.layers.checks import (
    flag,
    float_type,
    increasing_taps,
    lengths_of,
    positive,
    seeded,
    share,
)
from rnncore.layers.options import Cell

Key = tuple[int, Array, Choice]


class Recurrent(Layer):
    """Layers of one recurrent cell over time-major sequences; subclasses choose the cell."""

    settings: ClassVar[tuple[str, ...]] = (
        "input_size", "hidden_size", "num_layers", "bidirectional", "residual", "taps",
        "dropout", "bias", "batch_first", "dtype")

    input_size: int
    output_size: int

    def __init__(self, cell: Cell, input_size: int, hidden_size: int, num_layers: int = 1,
                 bidirectional: bool = False, residual: bool = False,
                 taps: tuple[int, ...] = (1,), dropout: float = 0.0, bias: bool = True,
                 batch_first: bool = False, dtype: npt.DTypeLike = np.float32,
                 seed: int | None = None) -> None:
        inputs = positive("input_size", input_size)
        hidden = positive("hidden_size", hidden_size)
        self.hidden_size, self.num_layers = hidden, positive("num_layers", num_layers)
        self.bidirectional = flag("bidirectional", bidirectional)
        self.residual, self.bias = flag("residual", residual), flag("bias", bias)
        self.batch_first = flag("batch_first", batch_first)
        self.taps, self.dropout = increasing_taps(taps), share("dropout", dropout)
        self._cell, rng = cell, seeded(seed)
        if len(self.taps) > 1 and not cell.h_rows:
            raise ValueError(f"taps is {self.taps}, expected one: {type(self).__name__} has no "
                             "recurrent product")
        lag = 0 if not cell.states else self.taps[0] if cell.lag is None else cell.lag
        past = max(*self.taps, lag) if cell.states else 0
        self._spec = Spec(cell.name, cell.x_rows, cell.h_rows, inputs, hidden, self.num_layers,
                          1 + self.bidirectional, self.residual, self.taps, lag, past,
                          cell.scale, float_type(dtype).itemsize)
        super().__init__(self._shapes(), dtype)
        self.input_size, self.output_size = inputs, hidden * self._spec.directions
        self._boundary = Boundary(self.parameters.dtype, self.batch_first, cell.states,
                                  self.num_layers * self._spec.directions, past, hidden)
        self.blocks, self._workspaces = self._spec.blocks, Workspaces()
        self._plan: engine.Plan | None = None
        self._key: Key | None = None
        self._run: tuple[sequence.Run, tuple[bool, tuple[int, ...]]] | None = None
        self.reset_parameters(rng)
        self.reseed(rng)

    def __getstate__(self) -> dict[str, Any]:
        """What a deep copy takes along: not the packed weights, nor a forward pass."""
        return {**vars(self), "_plan": None, "_key": None, "_run": None}

    # Parameters.

    def _suffixes(self) -> list[str]:
        turns = ["", "_reverse"][:self._spec.directions]
        return [f"_l{layer}{turn}" for layer in range(self.num_layers) for turn in turns]

    def _names(self, suffix: str) -> tuple[str | None, list[str], str | None, str | None,
                                           str | None]:
        """The names of (weight_ih, weight_hh by tap, bias_ih, bias_hh, units)."""
        cell = self._cell
        hh = [f"weight_hh{suffix}"] if cell.h_rows else []
        hh += [f"weight_hh{suffix}_tap{tap}" for tap in self.taps[1:]]
        return (f"weight_ih{suffix}", hh, f"bias_ih{suffix}" if self.bias else None,
                f"bias_hh{suffix}" if self.bias and cell.two_biases else None,
                f"{cell.units}{suffix}" if cell.units else None)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        hidden, cell = self.hidden_size, self._cell
        for index, suffix in enumerate(self._suffixes()):
            ih, hh, bias_ih, bias_hh, unit = self._names(suffix)
            width = self._spec.width(index // self._spec.directions)
            shapes[str(ih)] = (len(cell.x_rows) * hidden, width)
            shapes.update({name: (len(cell.h_rows) * hidden, hidden) for name in hh})
            if unit:
                shapes[unit] = (cell.unit_rows * hidden,)
            if bias_ih:
                shapes[bias_ih] = (len(cell.x_rows) * hidden,)
            if bias_hh:
                shapes[bias_hh] = (len(cell.h_rows) * hidden,)
        return shapes

    def reset_parameters(self, rng: np.random.Generator) -> None:
        """Draw all parameters from U(-1/sqrt(H), 1/sqrt(H)), in float64 and then cast; the
        biases of gates that keep the state begin at `forget_bias`.
        """
        bound = 1 / np.sqrt(self.hidden_size)
        with self.parameters.writable() as flat:
            flat[:] = rng.uniform(-bound, bound, flat.size)
            for of_x, of_h in self.keep_biases():
                flat[of_x], flat[of_h] = self._cell.forget_bias, 0

    def keep_biases(self) -> list[tuple[slice, slice]]:
        """Where the biases of the gates that keep the state lie in the flat array, in pairs
        whose sum is what matters: that beside x, and that beside h (empty if there is none).
        """
        cell, found = self._cell, []
        for suffix in self._suffixes() if self.bias else ():
            for gate in cell.keep:
                of_x = self._block(f"bias_ih{suffix}", cell.x_rows, gate)
                found.append((of_x, self._block(f"bias_hh{suffix}", cell.h_rows, gate)
                              if cell.two_biases else slice(0)))
        return found

    def _block(self, name: str, rows: str, gate: str) -> slice:
        """Where the bias of one gate lies in the flat array."""
        start = self.parameters.slice(name).start + rows.index(gate) * self.hidden_size
        return slice(start, start + self.hidden_size)

    def reseed(self, rng: np.random.Generator) -> None:
        """Begin another sequence of dropout masks."""
        self._rng = np.random.default_rng(rng.integers(2**63))

    def _arrays(self, view: Any) -> list[tuple[Any, ...]]:
        """The parameters of each layer and direction as the engine takes them."""
        def find(name: str | None) -> Any:
            return None if name is None else view(name)

        return [(find(ih), tuple(view(name) for name in hh), find(b_ih), find(b_hh), find(unit))
                for ih, hh, b_ih, b_hh, unit in map(self._names, self._suffixes())]

    def _packed(self) -> engine.Plan:
        """The plan of the present weights."""
        key = (self.parameters.version, self.parameters.values, choice())
        old = self._key
        if self._plan is None or old is None or old[0] != key[0] or old[1] is not key[1] \
                or old[2] != key[2]:
            plan = engine.Plan(self._spec, self._arrays(self.parameters.__getitem__))
            self._plan, self._key = plan, key
            return plan
        return self._plan

    # Running.

    def forward(self, x: Array, state: State = None, lengths: npt.ArrayLike | None = None,
                return_cell_states: bool = False) -> Any:
        """Run over sequences and keep what `backward` needs.

        Parameters
        ----------
        x : array, (T, B, input_size), or (T, input_size) for one sequence; (B, T, input_size)
            with batch_first
            Of the layer's dtype, with any strides.
        state : array or pair of arrays, optional
            The initial state, (layers * directions, B, hidden_size) each; with D > 1 past
            steps (layers * directions, D, B, hidden_size), newest first. Zeros if None.
        lengths : integers (B,), optional
            How many steps each row has, in any order; 0 is allowed.
        return_cell_states : bool, default=False
            Also return c of every step, (layers * directions, T, B, hidden_size).

        Returns
        -------
        y : array, like x with hidden_size * directions features
            0 past the end of a row.
        state : like `state`
            The state at the end of each row.

        Raises
        ------
        TypeError
            If an array has another dtype than the layer.
        ValueError
            If a shape or a length is wrong.

        Notes
        -----
        With N valid steps in all rows together, N I numbers are kept until `backward`, and
        N (G + S) H of every layer and direction: G blocks of activations and S states (LSTM 4
        and 2, GRU 4 and 1, RNN 1 and 1). `backward` takes N (H + W) more with W the greater of
        I and the width of the output, and another N W with several layers. Widths are rounded
        up to whole vectors. With a reverse direction inputs and outputs are kept once more.
        """
        x, single = self._boundary.batch("x", x, self.input_size)
        lengths = lengths_of(lengths, x.shape[0], x.shape[1])
        if return_cell_states and "c" not in self._cell.states:
            raise ValueError(f"return_cell_states is True, but {type(self).__name__} has no "
                             "cell state")
        states = self._boundary.states("state", state, x.shape[1], single)
        if (last := self._run) is not None:  # its memory serves this pass
            last[0].discard(self._workspaces)
            self._run = None
        y, final, cells, run = sequence.forward(self._packed(), x, states, lengths,
                                                self._masks(x.shape[0], x.shape[1]),
                                                self._workspaces, get_num_threads(),
                                                return_cell_states)
        self._run = run, (single, x.shape[:2])
        result = self._boundary.unbatch(y, single), self._boundary.public_state(final, single)
        if return_cell_states:
            return (*result, cells[:, :, 0] if single else cells)
        return result

    def backward(self, dy: Array, dstate: State = None, input_grad: bool = True,
                 remedies: Remedies | None = None) -> tuple[Array | None, State]:
        """Add the gradients of the last `forward` to `grads`.

        Parameters
        ----------
        dy : array, like y
            The gradient of the loss with respect to y. Past the end of a row it is not read.
        dstate : like the state, optional
            The gradient with respect to the final state.
        input_grad : bool, default=True
            Whether the gradient of x is wanted.
        remedies : optional
            What `rnncore.remedies.remedies` makes of Omega and per-step clipping; `omega` and
            `records` then have what was found.

        Returns
        -------
        dx : array like x, or None without `input_grad`
        dstate : like the state
            The gradient with respect to the initial state.

        Raises
        ------
        RuntimeError
            If there was no forward pass since the last backward pass.
        TypeError, ValueError
            If an array has a wrong dtype or shape.
        """
        if self._run is None:
            raise RuntimeError("backward without a forward pass before it: each forward pass "
                               "serves one backward pass")
        run, (single, shape) = self._run
        dy = self._boundary.gradient(dy, (*shape, self.output_size), single)
        states = self._boundary.states("dstate", dstate, shape[1], single)
        self._run = None
        dx, initial, self.omega, self.records = sequence.backward(
            run, dy, states, self._arrays(self.parameters.grad), input_grad, self._workspaces,
            remedies)
        return (self._boundary.unbatch(dx, single) if input_grad else None,
                self._boundary.public_state(initial, single))

    def activations(self) -> list[Array]:
        """The activations (T, B, G, H) of each layer and direction in the last `forward`, laid
        out as in `rnncore.engine.spec.Record`; `blocks` has the letters of the G gate blocks.
        """
        if self._run is None:
            raise RuntimeError("activations without a forward pass before them")
        return sequence.activations(self._run[0])

    def infer(self, x: Array, state: State = None, lengths: npt.ArrayLike | None = None,
              out: Array | None = None) -> tuple[Array, State]:
        """Run over sequences keeping nothing; the same bits as `forward` without dropout.

        Safe from several threads at once. `out`, if given, receives y and must have its shape;
        Ctrl-C leaves it with the first steps alone. Beyond x and y, the memory that is needed
        does not grow with the number of steps, unless the layer is bidirectional.
        See `forward` for the other arguments and for what is raised.
        """
        x, single = self._boundary.batch("x", x, self.input_size)
        lengths = lengths_of(lengths, x.shape[0], x.shape[1])
        states = self._boundary.states("state", state, x.shape[1], single)
        target = None if out is None else self._boundary.target(
            out, x, self.output_size, single)
        y, final = sequence.infer(self._packed(), x, states, lengths, self._workspaces,
                                  get_num_threads(), target)
        return (self._boundary.unbatch(y, single) if out is None else out,
                self._boundary.public_state(final, single))

    def _masks(self, steps: int, size: int) -> tuple[Array, ...]:
        """Dropout masks of the outputs of all layers but the last."""
        if not self.training or self.dropout == 0.0:
            return ()
        keep, shape = 1 - self.dropout, (steps, size, self.output_size)
        return tuple(((self._rng.random(shape) < keep) / keep).astype(self.parameters.dtype)
                     for _ in range(self.num_layers - 1))
