"""Data for training and evaluation, checked once and cut into batches.

Inside, sequences are time-major: x (T, B, I) or, for an Embedding, (T, B); a single sequence
has no B axis. Data come as arrays (x, y) with the sequences side by side, as a list of
sequences (x_i, y_i) of any lengths, or as an iterable of batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from rnncore.parameters import Array

if TYPE_CHECKING:
    from rnncore.model import Model


class Batch(NamedTuple):
    """Checked, time-major sequences and their targets.

    `target` and `mask` go by steps, (T, B, ...), or by sequences, (B, ...). `columns` are the
    sequences of the arrays that belong to the batch, None for all; only `cut` looks them up,
    so that arrays longer than memory are read piece by piece.
    """

    x: Array
    target: Array
    lengths: Array | None = None
    mask: Array | None = None
    per_step: bool = True
    columns: Array | None = None

    def cut(self, start: int, stop: int) -> Batch:
        """The steps from `start` to `stop` of the batch's sequences."""
        columns = slice(None) if self.columns is None else self.columns
        steps = slice(start, stop)

        def pick(array: Array) -> Array:
            return array[steps] if self.columns is None else array[steps, columns]

        lengths, mask = self.lengths, self.mask
        if lengths is not None:
            lengths = np.clip(lengths[columns] - start, 0, stop - start)
        if self.per_step:
            mask = None if mask is None else pick(mask)
            return Batch(pick(self.x), pick(self.target), lengths, mask)
        mask = None if mask is None else mask[columns]
        target = self.target if self.columns is None else self.target[columns]
        return Batch(pick(self.x), target, lengths, mask, per_step=False)

    def pieces(self, steps: int | None) -> Iterator[Batch]:
        """The batch whole, or in pieces of `steps` steps."""
        total = len(self.x)
        steps = max(total, 1) if steps is None else steps
        for start in range(0, max(total, 1), steps):
            yield self.cut(start, min(start + steps, total))

    def valid(self) -> Array | None:
        """Where a target counts: by steps (T, B) or by sequences (B,); None for everywhere."""
        if not self.per_step or self.lengths is None:
            return self.mask
        live: Array = np.arange(len(self.x))[:, None] < self.lengths
        return live if self.mask is None else live & self.mask


def swapped(array: Array, swap: bool) -> Array:
    """Exchange the first two axes, or not: a view."""
    return array.swapaxes(0, 1) if swap else array


def check_input(model: Model, x: Any, lengths: Any = None) -> tuple[Array, Array | None, bool]:
    """Check input and lengths; return them, x as it came, and whether x has a batch axis."""
    x = np.asarray(x)
    features = 0 if model.takes_symbols else 1
    if model.takes_symbols and x.dtype.kind not in "iu":
        raise TypeError(f"x has dtype {x.dtype}, expected integers for an Embedding")
    if not model.takes_symbols and x.dtype != model.dtype:
        raise TypeError(f"x has dtype {x.dtype}, expected {model.dtype}: cast it with "
                        f"x.astype(np.{model.dtype})")
    wide = not features or x.shape[-1:] == (model.input_size,)
    if x.ndim not in (1 + features, 2 + features) or not wide:
        axes = "batch, time" if model.batch_first else "time, batch"
        width = f", {model.input_size}" if features else ""
        raise ValueError(f"x has shape {x.shape}, expected ({axes}{width})")
    if model.takes_symbols and x.size and not 0 <= x.min() <= x.max() < model.input_size:
        bad = x[(x < 0) | (x >= model.input_size)][0]
        raise ValueError(f"x holds {bad}, expected indices from 0 to {model.input_size - 1}")
    batched = x.ndim == 2 + features
    if lengths is None:
        return x, None, batched
    if not batched:
        raise ValueError(f"lengths came with one sequence of shape {x.shape}, expected None")
    steps, rows = (x.shape[1], x.shape[0]) if model.batch_first else x.shape[:2]
    return x, _check_lengths(np.asarray(lengths), rows, steps), batched


def _check_lengths(lengths: Array, rows: int, steps: int) -> Array:
    if lengths.dtype.kind not in "iu" and lengths.size:
        raise TypeError(f"lengths has dtype {lengths.dtype}, expected integers")
    if lengths.shape != (rows,):
        raise ValueError(f"lengths has shape {lengths.shape}, expected ({rows},)")
    bad = np.flatnonzero((lengths < 0) | (lengths > steps))
    if len(bad):
        raise ValueError(f"lengths[{bad[0]}] is {lengths[bad[0]]}, expected 0 to {steps}")
    return lengths.astype(np.int64)


def make_batch(model: Model, x: Any, target: Any, lengths: Any = None,
               mask: Any = None) -> Batch:
    """Check everything the model is given and turn it time-major.

    Raises
    ------
    TypeError, ValueError
        As `Model.loss_and_grad` says.
    """
    x, lengths, batched = check_input(model, x, lengths)
    target = np.asarray(target)
    swap = batched and model.batch_first
    steps = x.shape[: 2 if batched else 1]
    if not model.per_step:
        steps = steps[:1] if swap else steps[1:]
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != np.bool_:
            raise TypeError(f"mask has dtype {mask.dtype}, expected bool")
        if mask.shape != steps:
            raise ValueError(f"mask has shape {mask.shape}, expected {steps}")
    major = swap and model.per_step
    batch = Batch(swapped(x, swap), swapped(target, major and target.ndim > 1), lengths,
                  None if mask is None else swapped(mask, major), model.per_step)
    valid = batch.valid()
    model.loss.check((*steps, model.output_size), model.dtype, target,
                     None if valid is None else swapped(valid, major))
    return batch


class Data(Protocol):
    """What can be gone through in batches, again and again."""

    def batches(self, size: int, rng: np.random.Generator | None) -> Iterator[Batch]:
        """Batches of at most `size` sequences, shuffled if there is a generator."""

    def updates(self, size: int, steps: int | None) -> int | None:
        """How many pieces of `steps` steps all batches have, None if that is not known."""


class ArrayData:
    """Sequences of equal length, or padded to it, side by side in arrays."""

    def __init__(self, batch: Batch, batched: bool) -> None:
        self.batch = batch
        self.rows = batch.x.shape[1] if batched else 1

    def batches(self, size: int, rng: np.random.Generator | None) -> Iterator[Batch]:
        if self.rows <= size:
            yield self.batch  # not shuffled: the order inside a batch has no meaning
            return
        order = np.arange(self.rows) if rng is None else rng.permutation(self.rows)
        for start in range(0, self.rows, size):
            yield self.batch._replace(columns=order[start : start + size])

    def updates(self, size: int, steps: int | None) -> int | None:
        pieces = 1 if steps is None else max(1, -(-len(self.batch.x) // steps))
        return max(1, -(-self.rows // size)) * pieces


class SequenceData:
    """A list of sequences of any lengths, padded batch by batch."""

    def __init__(self, sequences: list[Batch]) -> None:
        self.sequences = sequences

    def batches(self, size: int, rng: np.random.Generator | None) -> Iterator[Batch]:
        """Batches of similar length in random order, or of neighbours in the order given."""
        order = np.arange(len(self.sequences))
        if rng is not None:
            rng.shuffle(order)
            lengths = np.array([len(self.sequences[i].x) for i in order])
            order = order[np.argsort(lengths, kind="stable")]
        starts = np.arange(0, len(order), size)
        if rng is not None:
            rng.shuffle(starts)
        for start in starts:
            yield _padded([self.sequences[i] for i in order[start : start + size]])

    def updates(self, size: int, steps: int | None) -> int | None:
        return -(-len(self.sequences) // size) if steps is None else None


def _padded(sequences: list[Batch]) -> Batch:
    """Sequences side by side, with zeros behind the end of the shorter ones."""
    lengths = np.array([len(s.x) for s in sequences])
    per_step = sequences[0].per_step
    if per_step:
        target = _side_by_side([s.target for s in sequences])
    else:
        target = np.stack([s.target for s in sequences])
    return Batch(_side_by_side([s.x for s in sequences]), target, lengths, None, per_step)


def _side_by_side(arrays: list[Array]) -> Array:
    """Arrays (T_i, ...) as one of (max T_i, len(arrays), ...)."""
    steps = max(len(array) for array in arrays)
    result = np.zeros((steps, len(arrays), *arrays[0].shape[1:]), arrays[0].dtype)
    for column, array in enumerate(arrays):
        result[: len(array), column] = array
    return result


class StreamData:
    """An iterable of batches (x, y), (x, y, lengths) or (x, y, lengths, mask)."""

    def __init__(self, model: Model, batches: Iterable[Any]) -> None:
        self.model = model
        self.iterable = batches

    def batches(self, size: int, rng: np.random.Generator | None) -> Iterator[Batch]:
        """The batches as they come; each is checked before it is used."""
        for number, batch in enumerate(self.iterable):
            yield _entry(self.model, f"batch {number}", batch)

    def updates(self, size: int, steps: int | None) -> int | None:
        return None


def _entry(model: Model, name: str, entry: Any) -> Batch:
    """A checked batch; messages start with `name`."""
    if not isinstance(entry, (tuple, list)) or not 2 <= len(entry) <= 4:
        raise ValueError(f"{name} is of type {type(entry).__name__}, expected a tuple (x, y), "
                         "(x, y, lengths) or (x, y, lengths, mask)")
    try:
        return make_batch(model, *entry)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None


def arrange(model: Model, data: Any, name: str = "data", epochs: int = 1) -> Data:
    """Tell apart what `fit` and `evaluate` take, and check all that can be seen of it.

    Raises
    ------
    TypeError, ValueError
        If it is none of the three, or something in it does not fit the model.
    """
    single = 1 if model.takes_symbols else 2  # axes of x without a batch axis
    if isinstance(data, tuple) and data and not isinstance(data[0], tuple):
        batch = _entry(model, name, data)
        return ArrayData(batch, batch.x.ndim > single)
    if isinstance(data, (list, tuple)):
        if not data:
            raise ValueError(f"{name} is empty, expected at least one sequence or batch")
        entries = [_entry(model, f"{name}[{i}]", entry) for i, entry in enumerate(data)]
        if all(entry.x.ndim == single for entry in entries):
            if any(entry.mask is not None for entry in entries):
                raise ValueError(f"{name} has a mask, expected sequences (x_i, y_i)")
            return SequenceData(entries)
        return StreamData(model, data)
    if not isinstance(data, Iterable) or isinstance(data, (np.ndarray, str, dict)):
        raise TypeError(f"{name} is of type {type(data).__name__}, expected arrays (x, y), a "
                        "list of sequences (x_i, y_i) or an iterable of batches")
    if epochs > 1 and isinstance(data, Iterator):
        raise ValueError(f"{name} is an iterator, used up by the first of {epochs} epochs, "
                         "expected an object whose __iter__ starts anew")
    return StreamData(model, data)
