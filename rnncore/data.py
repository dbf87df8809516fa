"""Data for training and evaluation, told apart and handed out in batches.

Data come as arrays (x, y) with the sequences side by side, as a list of sequences (x_i, y_i)
of any lengths, or as an iterable of batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rnncore.batch import Batch, make_batch
from rnncore.parameters import Array

if TYPE_CHECKING:
    from rnncore.model import Model


class Data:
    """What can be gone through in batches, again and again."""

    def batches(self, size: int, rng: np.random.Generator | None) -> Iterator[Batch]:
        """Batches of at most `size` sequences, shuffled if there is a generator."""
        raise NotImplementedError

    def updates(self, size: int, steps: int | None) -> int | None:
        """How many pieces of `steps` steps all batches have, None if that is not known."""
        return None

    def position(self) -> Any:
        """Where data with a `state_dict` are; None where batches are found by their number."""
        return None

    def move_to(self, position: Any) -> None:
        """Make the next `batches` begin at a position."""
        raise ValueError("data have no load_state_dict, expected the iterable whose state_dict "
                         "is in the checkpoint")


class ArrayData(Data):
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


class SequenceData(Data):
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


class StreamData(Data):
    """An iterable of batches (x, y[, lengths[, mask[, resets]]])."""

    def __init__(self, model: Model, batches: Iterable[Any]) -> None:
        self.model = model
        self.iterable = batches

    def batches(self, size: int, rng: np.random.Generator | None) -> Iterator[Batch]:
        """The batches as they come; each is checked before it is used."""
        for number, batch in enumerate(self.iterable):
            yield _entry(self.model, f"batch {number}", batch)

    def position(self) -> Any:
        movable = hasattr(self.iterable, "load_state_dict")
        return self.iterable.state_dict() if movable else None  # type: ignore[attr-defined]

    def move_to(self, position: Any) -> None:
        if not hasattr(self.iterable, "load_state_dict"):
            super().move_to(position)
        else:
            self.iterable.load_state_dict(position)


def _entry(model: Model, name: str, entry: Any) -> Batch:
    """A checked batch; messages start with `name`."""
    if not isinstance(entry, (tuple, list)) or not 2 <= len(entry) <= 5:
        raise ValueError(f"{name} is of type {type(entry).__name__}, expected a tuple (x, y), "
                         "(x, y, lengths), (x, y, lengths, mask) or with resets behind it")
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
            if any(entry.mask is not None or entry.resets is not None for entry in entries):
                raise ValueError(f"{name} has a mask or resets, expected sequences (x_i, y_i)")
            return SequenceData(entries)
        return StreamData(model, data)
    if not isinstance(data, Iterable) or isinstance(data, (np.ndarray, str, dict)):
        raise TypeError(f"{name} is of type {type(data).__name__}, expected arrays (x, y), a "
                        "list of sequences (x_i, y_i) or an iterable of batches")
    if epochs > 1 and isinstance(data, Iterator):
        raise ValueError(f"{name} is an iterator, used up by the first of {epochs} epochs, "
                         "expected an object whose __iter__ starts anew")
    return StreamData(model, data)
