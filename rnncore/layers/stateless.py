"""Layers without a state: Linear, Embedding, Last."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rnncore.engine.spec import Remedies
from rnncore.layers.base import Array, Layer, State
from rnncore.layers.checks import (
    float_type,
    lengths_of,
    no_state,
    of_dtype,
    one_of,
    output,
    positive,
    seeded,
)
from rnncore.layers.options import Cell
from rnncore.layers.recurrent import Recurrent
from rnncore.layers.vanilla import ACTIVATIONS


class Linear(Recurrent):
    """A dense layer, ``y = f(W x + b)``, on the last axis of an array of any shape.

    To the engine it is a recurrent layer of one step without a state. Stacked, with
    ``residual=True``, it makes the deep feed-forward net that recurrent nets are compared with.

    Parameters
    ----------
    input_size, output_size : int
    activation : {"identity", "tanh", "relu", "sigmoid"}, default="identity"
    residual : bool, default=False
        Add x to y; needs equal widths.
    bias : bool, default=True
    dtype : float32 or float64, default=float32
    seed : int, optional

    Examples
    --------
    >>> import numpy as np
    >>> layer = Linear(3, 2, seed=0)
    >>> y, _ = layer.forward(np.ones((7, 4, 3), np.float32))
    >>> y.shape
    (7, 4, 2)
    """

    settings = ("input_size", "output_size", "activation", "residual", "bias", "dtype")

    def __init__(self, input_size: int, output_size: int, *, activation: str = "identity",
                 residual: bool = False, bias: bool = True, dtype: npt.DTypeLike = np.float32,
                 seed: int | None = None) -> None:
        self.activation = one_of("activation", activation, ACTIVATIONS)
        positive("output_size", output_size)
        if residual and input_size != output_size:
            raise ValueError(f"residual is True, expected input_size = output_size, got "
                             f"{input_size} and {output_size}")
        super().__init__(Cell(f"linear_{activation}", states=""), input_size, output_size,
                         residual=residual, bias=bias, dtype=dtype, seed=seed)
        self._shape: tuple[int, ...] = ()

    def _names(self, suffix: str) -> Any:
        return "weight", [], "bias" if self.bias else None, None, None

    def reset_parameters(self, rng: np.random.Generator) -> None:
        """Draw all parameters from U(-1/sqrt(I), 1/sqrt(I)), in float64 and then cast."""
        bound = 1 / np.sqrt(self._spec.inputs)
        with self.parameters.writable() as flat:
            flat[:] = rng.uniform(-bound, bound, flat.size)

    def forward(self, x: Array, state: State = None, lengths: npt.ArrayLike | None = None,
                return_cell_states: bool = False) -> Any:
        """Map x (..., input_size) to y (..., output_size); `lengths` does not matter."""
        no_state(self, state)
        rows, shape = self._rows("x", x, self.input_size)
        y, _ = super().forward(rows, return_cell_states=return_cell_states)
        self._shape = shape
        return y.reshape(*shape, self.output_size), None

    def backward(self, dy: Array, dstate: State = None, input_grad: bool = True,
                 remedies: Remedies | None = None) -> tuple[Array | None, State]:
        """Add to `grads`; return the gradient of x."""
        no_state(self, dstate, "dstate")
        rows, shape = self._rows("dy", dy, self.output_size)
        if self._run is not None and shape != self._shape:
            raise ValueError(f"dy has shape {(*shape, self.output_size)}, expected "
                             f"{(*self._shape, self.output_size)}")
        dx, _ = super().backward(rows, None, input_grad)
        return (dx.reshape(*shape, self.input_size) if dx is not None else None), None

    def infer(self, x: Array, state: State = None, lengths: npt.ArrayLike | None = None,
              out: Array | None = None) -> tuple[Array, State]:
        """Map x to y keeping nothing."""
        no_state(self, state)
        rows, shape = self._rows("x", x, self.input_size)
        flat = None if out is None else \
            output(out, (*shape, self.output_size), self.parameters.dtype, rows).reshape(
                1, rows.shape[1], self.output_size)
        y, _ = super().infer(rows, out=flat)
        return (y.reshape(*shape, self.output_size) if out is None else out), None

    def _rows(self, name: str, x: Any, features: int) -> tuple[Array, tuple[int, ...]]:
        """x as one step of many rows, and its leading shape."""
        x = np.asarray(x)
        if x.ndim == 0 or x.shape[-1] != features:
            raise ValueError(f"{name} has shape {x.shape}, expected (..., {features})")
        return x.reshape(1, -1, features) if x.size else x.reshape(1, 0, features), x.shape[:-1]


class Embedding(Layer):
    """A vector for each of a number of symbols: y = weight[x], for integers x of any shape.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        The number of symbols and the width of their vectors, drawn from N(0, 1).
    dtype : float32 or float64, default=float32
    seed : int, optional

    Examples
    --------
    >>> import numpy as np
    >>> layer = Embedding(10, 3, seed=0)
    >>> y, _ = layer.forward(np.array([[1, 2], [3, 9]]))
    >>> y.shape
    (2, 2, 3)
    """

    settings = ("num_embeddings", "embedding_dim", "dtype")

    def __init__(self, num_embeddings: int, embedding_dim: int, *,
                 dtype: npt.DTypeLike = np.float32, seed: int | None = None) -> None:
        self.num_embeddings = positive("num_embeddings", num_embeddings)
        self.embedding_dim = positive("embedding_dim", embedding_dim)
        super().__init__({"weight": (self.num_embeddings, self.embedding_dim)},
                         float_type(dtype))
        self.input_size, self.output_size = self.num_embeddings, self.embedding_dim
        self._x: Array | None = None
        self._table: tuple[int, Array, Array] | None = None
        self.reset_parameters(seeded(seed))

    def __getstate__(self) -> dict[str, Any]:
        """What a deep copy takes along: not the copied vectors."""
        return {**vars(self), "_table": None}

    def reset_parameters(self, rng: np.random.Generator) -> None:
        """Draw all vectors from N(0, 1), as PyTorch does."""
        with self.parameters.writable() as flat:
            flat[:] = rng.standard_normal(flat.size)

    def _packed(self) -> Array:
        """A copy of the present vectors, the same one until they change."""
        version, values = self.parameters.version, self.parameters.values
        table = self._table
        if table is None or table[0] != version or table[1] is not values:
            table = self._table = version, values, self.parameters["weight"].copy()
        return table[2]

    def forward(self, x: Array, state: State = None,
                lengths: npt.ArrayLike | None = None) -> tuple[Array, State]:
        """Look up x (...) in [0, num_embeddings); rows past `lengths` (B,) give 0."""
        y, _ = self.infer(x, state, lengths)
        self._x = np.array(x)  # a copy: the user may write into x before `backward`
        self._past = _past_end(lengths, self._x)
        return y, None

    def backward(self, dy: Array, dstate: State = None, input_grad: bool = True,
                 remedies: Remedies | None = None) -> tuple[Array | None, State]:
        """Add to `grads`; integers have no gradient."""
        if self._x is None:
            raise RuntimeError("backward without a forward pass before it: each forward pass "
                               "serves one backward pass")
        no_state(self, dstate, "dstate")
        dy = of_dtype("dy", dy, self.parameters.dtype)
        if dy.shape != (*self._x.shape, self.embedding_dim):
            raise ValueError(f"dy has shape {dy.shape}, expected "
                             f"{(*self._x.shape, self.embedding_dim)}")
        if self._past is not None:
            dy = np.where(self._past[..., None], dy.dtype.type(0), dy)
        # The last step first, as all weight gradients: chunks do not change the bits.
        np.add.at(self.parameters.grad("weight"), self._x.reshape(-1)[::-1],
                  dy.reshape(-1, self.embedding_dim)[::-1])
        self._x = None
        return None, None

    def infer(self, x: Array, state: State = None, lengths: npt.ArrayLike | None = None,
              out: Array | None = None) -> tuple[Array, State]:
        """Look up x keeping nothing."""
        no_state(self, state)
        x = np.asarray(x)
        if x.dtype.kind not in "iu":
            raise TypeError(f"x has dtype {x.dtype}, expected integers")
        if x.size and (x.min() < 0 or x.max() >= self.num_embeddings):
            raise ValueError(f"x lies in [{x.min()}, {x.max()}], expected in "
                             f"[0, {self.num_embeddings - 1}]")
        past = _past_end(lengths, x)
        if out is not None:
            output(out, (*x.shape, self.embedding_dim), self.parameters.dtype, x)
        y = np.take(self.parameters["weight"], x, axis=0, out=out)
        if past is not None:
            y[past] = 0
        return y, None


def _past_end(lengths: npt.ArrayLike | None, x: Array) -> Array | None:
    """Where x (T, B) lies past the end of its row; None if nowhere."""
    if lengths is None:
        return None
    if x.ndim != 2:
        raise ValueError(f"x has shape {x.shape}, expected (time, batch) beside lengths")
    ends: Array | None = lengths_of(lengths, x.shape[0], x.shape[1])
    return None if ends is None else np.arange(x.shape[0])[:, None] >= ends


class Last(Layer):
    """The last valid step of each row: (T, B, F) to (B, F), 0 where a row has none.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(6.0).reshape(3, 2, 1)
    >>> Last().forward(x, lengths=[3, 1])[0]
    array([[4.],
           [1.]])
    """

    def __init__(self) -> None:
        super().__init__({}, np.float32)
        self._kept: tuple[tuple[int, ...], np.dtype[Any], Array] | None = None

    @property
    def dtype(self) -> None:
        """Any dtype will do."""

    def forward(self, x: Array, state: State = None,
                lengths: npt.ArrayLike | None = None) -> tuple[Array, State]:
        """Take the last valid step of x (T, B, F), or of one sequence (T, F)."""
        y, _ = self.infer(x, state, lengths)
        x = np.asarray(x)
        self._kept = x.shape, x.dtype, self._ends(x, lengths)
        return y, None

    def backward(self, dy: Array, dstate: State = None, input_grad: bool = True,
                 remedies: Remedies | None = None) -> tuple[Array | None, State]:
        """The gradient of x: dy at the last valid steps, 0 elsewhere."""
        if self._kept is None:
            raise RuntimeError("backward without a forward pass before it: each forward pass "
                               "serves one backward pass")
        no_state(self, dstate, "dstate")
        shape, dtype, ends = self._kept
        dy = of_dtype("dy", dy, dtype)
        if dy.shape != shape[1:]:
            raise ValueError(f"dy has shape {dy.shape}, expected {shape[1:]}")
        self._kept = None
        dx = np.zeros(shape, dy.dtype)
        rows = np.flatnonzero(ends)
        batch = dx[:, None] if len(shape) == 2 else dx
        batch[ends[rows] - 1, rows] = (dy[None] if len(shape) == 2 else dy)[rows]
        return dx, None

    def infer(self, x: Array, state: State = None, lengths: npt.ArrayLike | None = None,
              out: Array | None = None) -> tuple[Array, State]:
        """Take the last valid step keeping nothing."""
        no_state(self, state)
        x = np.asarray(x)
        if x.ndim not in (2, 3):
            raise ValueError(f"x has shape {x.shape}, expected (time, batch, features) or "
                             "(time, features)")
        ends = self._ends(x, lengths)
        batch = x[:, None] if x.ndim == 2 else x
        y = np.zeros(batch.shape[1:], x.dtype)
        rows = np.flatnonzero(ends)
        y[rows] = batch[ends[rows] - 1, rows]
        y = y[0] if x.ndim == 2 else y
        if out is not None:
            output(out, y.shape, y.dtype, x)[...] = y
        return (y if out is None else out), None

    def _ends(self, x: Array, lengths: npt.ArrayLike | None) -> Array:
        size = 1 if x.ndim == 2 else x.shape[1]
        checked = lengths_of(lengths, x.shape[0], size)
        return np.full(size, x.shape[0], np.intp) if checked is None else checked
