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
from rnncore.engine.spec import Choice, Spec, choice
from rnncore.layers.base import Array, Layer, State, check_lengths, positive, require_dtype

Key = tuple[int, Array, Choice]


class Recurrent(Layer):
    """Layers of one recurrent cell over time-major sequences.

    Subclasses set the class attributes below and pass their cell's name.

    Attributes
    ----------
    x_rows, h_rows : str
        The gate blocks of `weight_ih` and `weight_hh` in their public order, by the letters
        of the cell's table row.
    units : str or None
        The name of the per-unit weights, if the cell has any.
    two_biases : bool
        Whether there is a `bias_hh` beside `bias_ih`, as PyTorch has it.
    """

    x_rows: ClassVar[str] = "a"
    h_rows: ClassVar[str] = ""
    units: ClassVar[str | None] = None
    two_biases: ClassVar[bool] = False
    state_names: ClassVar[tuple[str, ...]] = ("h",)
    settings = ("input_size", "hidden_size", "num_layers", "bidirectional", "residual", "taps",
                "dropout", "bias", "batch_first", "dtype")

    input_size: int
    output_size: int

    def __init__(self, cell: str, input_size: int, hidden_size: int, num_layers: int = 1,
                 bidirectional: bool = False, residual: bool = False,
                 taps: tuple[int, ...] = (1,), dropout: float = 0.0, bias: bool = True,
                 batch_first: bool = False, dtype: npt.DTypeLike = np.float32,
                 seed: int | None = None, lag: int | None = None, scale: float = 1.0,
                 past: int | None = None, unit_rows: int = 0) -> None:
        inputs, hidden = positive("input_size", input_size), positive("hidden_size", hidden_size)
        self.hidden_size, self.num_layers = hidden, positive("num_layers", num_layers)
        self.bidirectional, self.residual = bool(bidirectional), bool(residual)
        self.bias, self.batch_first = bool(bias), bool(batch_first)
        self.taps, self.dropout = _check_taps(taps), _check_dropout(dropout)
        if len(self.taps) > 1 and not self.h_rows:
            raise ValueError(f"taps is {self.taps}, expected one: {type(self).__name__} has no "
                             "recurrent product")
        lag = self.taps[0] if lag is None else lag
        past = max(*self.taps, lag) if past is None else past
        self._spec = Spec(cell, self.x_rows, self.h_rows, inputs, hidden, self.num_layers,
                          1 + self.bidirectional, self.residual, self.taps, min(lag, past), past,
                          scale, np.dtype(dtype).itemsize)
        self._unit_rows = unit_rows
        super().__init__(self._shapes(), dtype)
        self.input_size, self.output_size = inputs, hidden * self._spec.directions
        self._plan: engine.Plan | None = None
        self._key: Key | None = None
        self._run: tuple[sequence.Run, tuple[bool, tuple[int, ...]]] | None = None
        self.reset_parameters(np.random.default_rng(seed))
        self.reseed(np.random.default_rng(seed))

    # Parameters.

    def _suffixes(self) -> list[str]:
        turns = ["", "_reverse"][:self._spec.directions]
        return [f"_l{layer}{turn}" for layer in range(self.num_layers) for turn in turns]

    def _names(self, suffix: str) -> tuple[str | None, list[str], str | None, str | None,
                                           str | None]:
        """The names of (weight_ih, weight_hh by tap, bias_ih, bias_hh, units)."""
        hh = [f"weight_hh{suffix}"] if self.h_rows else []
        hh += [f"weight_hh{suffix}_tap{tap}" for tap in self.taps[1:]]
        return (f"weight_ih{suffix}", hh, f"bias_ih{suffix}" if self.bias else None,
                f"bias_hh{suffix}" if self.bias and self.two_biases else None,
                f"{self.units}{suffix}" if self.units else None)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        hidden = self.hidden_size
        for index, suffix in enumerate(self._suffixes()):
            ih, hh, bias_ih, bias_hh, unit = self._names(suffix)
            width = self._spec.width(index // self._spec.directions)
            shapes[str(ih)] = (len(self.x_rows) * hidden, width)
            shapes.update({name: (len(self.h_rows) * hidden, hidden) for name in hh})
            if unit:
                shapes[unit] = (self._unit_rows * hidden,)
            if bias_ih:
                shapes[bias_ih] = (len(self.x_rows) * hidden,)
            if bias_hh:
                shapes[bias_hh] = (len(self.h_rows) * hidden,)
        return shapes

    def reset_parameters(self, rng: np.random.Generator) -> None:
        """Draw all parameters from U(-1/sqrt(H), 1/sqrt(H)), in float64 and then cast; the
        biases of gates that keep the state begin at `forget_bias`.
        """
        bound = 1 / np.sqrt(self.hidden_size)
        with self.parameters.writable() as flat:
            flat[:] = rng.uniform(-bound, bound, flat.size)
            for name, rows, value in self._initial_biases():
                span = self.parameters.slice(name)
                start = span.start + rows * self.hidden_size
                flat[start:start + self.hidden_size] = value

    def _initial_biases(self) -> list[tuple[str, int, float]]:
        """(name, block, value) of biases that begin at a value of their own."""
        return []

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
        """
        x, single = self._batch("x", x, self.input_size)
        lengths = check_lengths(lengths, x.shape[0], x.shape[1])
        if return_cell_states and "c" not in self.state_names:
            raise ValueError(f"return_cell_states is True, but {type(self).__name__} has no "
                             "cell state")
        states = self._states("state", state, x.shape[1], single)
        y, final, cells, run = sequence.forward(self._packed(), x, states, lengths,
                                                self._masks(x.shape[0], x.shape[1]),
                                                return_cell_states)
        self._run = run, (single, x.shape[:2])
        result = self._unbatch(y, single), self._public_state(final, single)
        if return_cell_states:
            return (*result, cells[:, :, 0] if single else cells)
        return result

    def backward(self, dy: Array, dstate: State = None,
                 input_grad: bool = True) -> tuple[Array | None, State]:
        """Add the gradients of the last `forward` to `grads`.

        Parameters
        ----------
        dy : array, like y
            The gradient of the loss with respect to y. Past the end of a row it is not read.
        dstate : like the state, optional
            The gradient with respect to the final state.
        input_grad : bool, default=True
            Whether the gradient of x is wanted.

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
        dy, alone = self._batch("dy", dy, self.output_size)
        if dy.shape[:2] != shape or alone != single:
            raise ValueError(f"dy has {dy.shape[0]} steps of {dy.shape[1]} rows, expected "
                             f"{shape[0]} of {shape[1]} as in the forward pass")
        states = self._states("dstate", dstate, shape[1], single)
        self._run = None
        dx, initial = sequence.backward(run, dy, states, self._arrays(self.parameters.grad),
                                        input_grad)
        return (self._unbatch(dx, single) if input_grad else None,
                self._public_state(initial, single))

    def infer(self, x: Array, state: State = None, lengths: npt.ArrayLike | None = None,
              out: Array | None = None) -> tuple[Array, State]:
        """Run over sequences keeping nothing; the same bits as `forward` without dropout.

        Safe from several threads at once. `out`, if given, receives y and must have its shape.
        See `forward` for the other arguments and for what is raised.
        """
        x, single = self._batch("x", x, self.input_size)
        lengths = check_lengths(lengths, x.shape[0], x.shape[1])
        states = self._states("state", state, x.shape[1], single)
        target = None if out is None else self._target(out, x, single)
        y, final = sequence.infer(self._packed(), x, states, lengths, target)
        return (self._unbatch(y, single) if out is None else out,
                self._public_state(final, single))

    # The boundary.

    def _batch(self, name: str, x: Any, features: int) -> tuple[Array, bool]:
        """x as (T, B, features) with contiguous features, and whether it was one sequence."""
        x = require_dtype(name, x, self.parameters.dtype)
        order = "batch, time" if self.batch_first else "time, batch"
        if x.ndim not in (2, 3) or x.shape[-1] != features:
            raise ValueError(f"{name} has shape {x.shape}, expected ({order}, {features}) or "
                             f"(time, {features})")
        single = x.ndim == 2
        x = x[:, None] if single else x.swapaxes(0, 1) if self.batch_first else x
        if x.strides[2] != x.itemsize or any(s % x.itemsize or s < 0 for s in x.strides):
            x = np.ascontiguousarray(x)
        return x, single

    def _unbatch(self, y: Array, single: bool) -> Array:
        if single:
            return y[:, 0]
        return y.swapaxes(0, 1) if self.batch_first else y

    def _target(self, out: Any, x: Array, single: bool) -> Array:
        """A writable view of `out` as the engine fills it."""
        shape: tuple[int, ...] = (*x.shape[:2], self.output_size)
        public = self._unbatch(np.broadcast_to(out.dtype.type(0), shape), single).shape \
            if isinstance(out, np.ndarray) else None
        if not isinstance(out, np.ndarray) or out.dtype != x.dtype or out.shape != public:
            raise ValueError(f"out is {getattr(out, 'dtype', type(out).__name__)} of shape "
                             f"{getattr(out, 'shape', None)}, expected {x.dtype} of shape {public}")
        if not out.flags.c_contiguous or not out.flags.writeable or np.shares_memory(out, x):
            raise ValueError("out is not a contiguous writable array apart from x")
        return out[:, None] if single else out.swapaxes(0, 1) if self.batch_first else out

    def _states(self, name: str, state: State, size: int,
                single: bool) -> tuple[Array, ...] | None:
        """The given states as (layers * directions, D, B, H), or None."""
        if state is None:
            return None
        parts = state if len(self.state_names) > 1 else (state,)
        if not isinstance(parts, (tuple, list)) or len(parts) != len(self.state_names):
            raise TypeError(f"{name} is {type(state).__name__}, expected a tuple "
                            f"({', '.join(self.state_names)})")
        rows, past = self.num_layers * self._spec.directions, self._spec.past
        shape = (rows, *([past] if past > 1 else []), *([] if single else [size]),
                 self.hidden_size)
        full = rows, past, size, self.hidden_size
        result = []
        for letter, part in zip(self.state_names, parts, strict=True):
            label = f"{name}[{letter}]" if len(parts) > 1 else name
            part = require_dtype(label, part, self.parameters.dtype)
            if part.shape != shape:
                raise ValueError(f"{label} has shape {part.shape}, expected {shape}")
            result.append(np.ascontiguousarray(part).reshape(full))
        return tuple(result)

    def _public_state(self, states: tuple[Array, ...], single: bool) -> State:
        def shaped(array: Array) -> Array:
            array = array if self._spec.past > 1 else array[:, 0]
            return array[..., 0, :] if single else array

        parts = tuple(map(shaped, states))
        return parts if len(parts) > 1 else parts[0] if parts else None

    def _masks(self, steps: int, size: int) -> tuple[Array, ...]:
        """Dropout masks of the outputs of all layers but the last."""
        if not self.training or self.dropout == 0.0:
            return ()
        keep, dtype = 1 - self.dropout, self.parameters.dtype.type
        shape = steps, size, self.output_size
        return tuple((self._rng.random(shape) < keep) * dtype(1 / keep)
                     for _ in range(self.num_layers - 1))


def _check_taps(taps: Any) -> tuple[int, ...]:
    taps = tuple(positive("taps", tap) for tap in taps)
    if not taps or any(b <= a for a, b in zip(taps, taps[1:], strict=False)):
        raise ValueError(f"taps is {taps}, expected steps in increasing order")
    if len(taps) > engine.LIMIT_TAPS:
        raise ValueError(f"taps has {len(taps)} entries, expected at most {engine.LIMIT_TAPS}")
    return taps


def _check_dropout(dropout: float) -> float:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is {dropout}, expected at least 0 and less than 1")
    return float(dropout)
