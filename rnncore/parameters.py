"""Named parameters and gradients that live in two flat arrays.

One flat array of values and one of gradients make the global norm, the clip, an
optimizer's step, an all-reduce and a checkpoint one operation each (after llm.c,
Karpathy 2024). Every parameter is a view of its shape into them. The views of the
values are read-only: whoever writes says so, and every write raises `version`, the key
of the packed copies of the weights that the engine keeps.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rnncore.interrupts import uninterrupted

Array = npt.NDArray[Any]


# How many parameters may be made: what a file claims is not to fill the memory.
_most: contextvars.ContextVar[float] = contextvars.ContextVar(
    "rnncore_most_parameters", default=math.inf)


@contextlib.contextmanager
def at_most(size: int) -> Iterator[None]:
    """Refuse to make more than `size` parameters at once, within a `with` block.

    Examples
    --------
    >>> with at_most(5):
    ...     Parameters({"weight": (2, 3)}, np.float32)
    Traceback (most recent call last):
    ValueError: 6 parameters are wanted, expected at most 5
    """
    token = _most.set(size)
    try:
        yield
    finally:
        _most.reset(token)


class _Storage:
    """The two flat arrays and the number of writes, shared by an owner and its parts."""

    __slots__ = ("grads", "values", "version")

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        self.values = np.zeros(size, dtype)
        self.grads = np.zeros(size, dtype)
        self.version = 0


class Parameters:
    """Named arrays that are views of one flat array, with their gradients in another.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The name and shape of each parameter, in their order in the flat arrays.
    dtype : float32 or float64
        The type of values and gradients. Both start as zeros.

    Raises
    ------
    TypeError
        If `dtype` is neither float32 nor float64.

    Examples
    --------
    >>> p = Parameters({"weight": (2, 3), "bias": (2,)}, np.float32)
    >>> p.set("bias", np.array([1, 2], np.float32))
    >>> p.values
    array([0., 0., 0., 0., 0., 0., 1., 2.], dtype=float32)
    >>> p["bias"].flags.writeable, p.version
    (False, 1)
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype is {self.dtype}, expected float32 or float64")
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self._slices: dict[str, slice] = {}
        size = 0
        for name, shape in self.shapes.items():
            self._slices[name] = slice(size, size + math.prod(shape))
            size += math.prod(shape)
        if size > _most.get():
            raise ValueError(f"{size} parameters are wanted, expected at most {_most.get()}")
        self.size = size
        self._joined = False
        self._attach(_Storage(size, self.dtype), 0)

    def _attach(self, storage: _Storage, offset: int) -> None:
        """Look at `storage` from `offset` on: the flat views and one view per name."""
        self._storage = storage
        self._span = slice(offset, offset + self.size)
        self.values = storage.values[self._span]
        self.values.flags.writeable = False
        self.grads = storage.grads[self._span]
        self._values = {n: self.values[s].reshape(self.shapes[n]) for n, s in self.slices()}
        self._grads = {n: self.grads[s].reshape(self.shapes[n]) for n, s in self.slices()}

    @classmethod
    def joined(cls, parts: Mapping[str, Parameters]) -> Parameters:
        """Join `parts` into one; they become views of it under names like "0.weight".

        Values and gradients are copied into new flat arrays that the parts share from
        then on: what is written through one is seen through the other.

        Raises
        ------
        TypeError
            If the parts differ in dtype.
        ValueError
            If a part comes twice or has been joined before.

        Examples
        --------
        >>> part = Parameters({"bias": (2,)}, np.float64)
        >>> whole = Parameters.joined({"0": part})
        >>> whole.set("0.bias", np.array([1.0, 2.0]))
        >>> part["bias"]
        array([1., 2.])
        """
        dtypes = {part.dtype for part in parts.values() if part.size}
        if len(dtypes) > 1:
            raise TypeError(f"parts have dtypes {sorted(map(str, dtypes))}, expected one")
        for key, part in parts.items():
            twice = any(part is other for k, other in parts.items() if k != key)
            if part._joined or twice:
                raise ValueError(f"part {key} is in a model already: use a deep copy of it")
        shapes = {f"{k}.{n}": part.shapes[n] for k, part in parts.items() for n in part}
        whole = cls(shapes, dtypes.pop() if dtypes else np.float32)
        # Above every version a part has shown: none may come twice for different values.
        whole._storage.version = 1 + max((p.version for p in parts.values()), default=0)
        offset = 0
        for part in parts.values():
            span = slice(offset, offset + part.size)
            whole._storage.values[span] = part.values
            whole._storage.grads[span] = part.grads
            part._attach(whole._storage, offset)
            part._joined = True
            offset += part.size
        return whole

    @property
    def version(self) -> int:
        """How often the values were written; parts report their owner's number."""
        return self._storage.version

    def __getitem__(self, name: str) -> Array:
        return self._values[self._known(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __contains__(self, name: object) -> bool:
        return name in self.shapes

    def __repr__(self) -> str:
        return f"Parameters({self.shapes}, {self.dtype})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameters:
        """An independent copy with flat arrays of its own, also of a joined part."""
        copied = Parameters(self.shapes, self.dtype)
        copied._storage.values[:] = self.values
        copied._storage.grads[:] = self.grads
        copied._storage.version = self.version
        memo[id(self)] = copied
        return copied

    def _known(self, name: str) -> str:
        if name not in self.shapes:
            raise KeyError(f"no parameter {name!r}, expected one of {', '.join(self.shapes)}")
        return name

    def items(self) -> Iterator[tuple[str, Array]]:
        """Pairs of name and read-only view, in order."""
        return iter(self._values.items())

    def slices(self) -> Iterator[tuple[str, slice]]:
        """Pairs of name and slice in the flat arrays, in order."""
        return iter(self._slices.items())

    def slice(self, name: str) -> slice:
        """Where `name` lies in the flat arrays."""
        return self._slices[self._known(name)]

    def grad(self, name: str) -> Array:
        """The gradient of `name`: a writable view of its shape."""
        return self._grads[self._known(name)]

    def grad_dict(self) -> dict[str, Array]:
        """The gradients by name: writable views, not copies."""
        return dict(self._grads)

    def set(self, name: str, array: npt.ArrayLike) -> None:
        """Copy `array` into the parameter `name`.

        Raises
        ------
        KeyError
            If there is no such parameter.
        TypeError
            If the dtype differs: nothing is cast.
        ValueError
            If the shape differs.
        """
        shape, array = self.shapes[self._known(name)], np.asarray(array)
        if array.dtype != self.dtype:
            raise TypeError(f"{name} has dtype {array.dtype}, expected {self.dtype}: "
                            f"cast it with .astype(np.{self.dtype})")
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
        with self.writable() as flat:
            flat[self._slices[name]] = array.reshape(-1)

    @contextlib.contextmanager
    def writable(self) -> Iterator[Array]:
        """A writable view of the flat values for a `with` block; read-only after it.

        The version goes up at the end of the block, also when it raises.

        Examples
        --------
        >>> p = Parameters({"bias": (2,)}, np.float32)
        >>> with p.writable() as flat:
        ...     flat += 1
        >>> p["bias"]
        array([1., 1.], dtype=float32)
        """
        flat = self._storage.values[self._span]
        try:
            yield flat
        finally:
            flat.flags.writeable = False
            self._storage.version += 1

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters by name."""
        return {name: view.copy() for name, view in self.items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy `state` into the parameters: all of it, or none if anything is wrong.

        Parameters
        ----------
        state : mapping of str to array-like
            Arrays or PyTorch tensors by name, of any float type: they are cast to
            the dtype of the parameters. Nothing of `state` is kept or changed.
        strict : bool, default=True
            Whether names that are missing or unknown are refused.

        Raises
        ------
        TypeError
            If an entry is not of a float type.
        ValueError
            If names are missing or unexpected, or an entry has the wrong shape or is
            not finite (in the dtype of the parameters).
        """
        missing = [name for name in self if name not in state]
        unexpected = [name for name in state if name not in self]
        if strict and (missing or unexpected):
            raise ValueError(f"state has missing names {missing} and unexpected names "
                             f"{unexpected}")
        arrays = {name: self._cast(name, state[name]) for name in self if name in state}
        with uninterrupted(), self.writable() as flat:
            for name, array in arrays.items():
                flat[self._slices[name]] = array.reshape(-1)

    def _cast(self, name: str, value: Any) -> Array:
        """A checked copy of `value`; a copy, for it may be a view of these parameters."""
        given = np.asarray(value)
        if given.dtype.kind != "f":
            raise TypeError(f"{name} has dtype {given.dtype}, expected a float type")
        if given.shape != self.shapes[name]:
            raise ValueError(f"{name} has shape {given.shape}, expected {self.shapes[name]}")
        with np.errstate(over="ignore"):  # a float64 too large for float32 is named below
            array = given.astype(self.dtype)
        bad = array.size - int(np.count_nonzero(np.isfinite(array)))
        if bad:
            raise ValueError(f"{name} has {bad} of {array.size} values that are not finite "
                             f"in {self.dtype}")
        return array
