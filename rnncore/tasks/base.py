"""What the tasks share: an endless, seeded stream of batches, and the authors' measure.

A task draws its sequences from one generator, so that a seed gives the same batches on every
machine, and the state of the generator is the task's position. The sequences that measure a
model come from generators of their own: measuring moves nothing, and two measurements with one
seed see the same sequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnncore.layers.checks import check_count
from rnncore.parameters import Array

if TYPE_CHECKING:
    from rnncore.model import Model

# Sequences of one length when a model is measured: enough for the kernels to be efficient,
# few enough that many lengths are met.
_TOGETHER = 100

# Elements of one layer's outputs that are kept at a time: 16 MB in float32.
_KEPT = 2**22


class Baseline(NamedTuple):
    """What a guess without memory gets.

    Attributes
    ----------
    loss : float
        The loss, with the reduction "mean".
    error : float
        The share of wrong sequences.
    """

    loss: float
    error: float


class Batches(Iterator[tuple[Array, Array]]):
    """The endless batches of a task; `Task.batches` makes them.

    Parameters
    ----------
    task : Task
        Where the batches come from; its position is that of the batches.
    size : int
        The number of sequences in a batch.
    """

    def __init__(self, task: Task, size: int) -> None:
        check_count("size", size)
        self.task = task
        self.size = size

    def __next__(self) -> tuple[Array, Array]:
        return self.task.sample(self.size)

    def state_dict(self) -> dict[str, Any]:
        """As `Task.state_dict`."""
        return self.task.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As `Task.load_state_dict`."""
        self.task.load_state_dict(state)


class Task:
    """A synthetic task: sequences (x, y) without end, and a measure of a model.

    Parameters
    ----------
    length : int or (int, int)
        The length of the sequences as the task defines it, or the bounds of `range(low, high)`,
        from which each batch draws one length.
    seed : int or None
        Of everything random; drawn by the operating system if None.
    shortest : int
        The smallest length that the task is defined for.
    **settings
        What else distinguishes the task, for its name.

    Attributes
    ----------
    input_size, output_size : int
        The features of x, and the outputs that a model needs.
    loss : "cross_entropy" or "mse"
        The loss that a model needs.
    last : bool
        Whether the last step alone counts, so that a model needs `Last`.
    """

    input_size: int
    output_size: int
    loss = "cross_entropy"
    last = True

    def __init__(self, length: int | tuple[int, int], seed: int | None, shortest: int,
                 **settings: Any) -> None:
        self.lengths = _lengths(length, shortest)
        self.seed = np.random.SeedSequence(seed).entropy
        self._settings = {"length": length, **settings, "seed": self.seed}
        self._rng = self._generator(0)

    def sample(self, size: int) -> tuple[Array, Array]:
        """The next `size` sequences of the stream, all of one length.

        Returns
        -------
        x : float32 (T, size, input_size)
            The sequences.
        y : array
            int64 classes (size,), or (T, size) where each step counts; float32 (size, 1) for
            the squared error.

        Raises
        ------
        TypeError, ValueError
            If `size` is not a positive integer.
        """
        check_count("size", size)
        return self._draw(self._rng, self._length(self._rng), size)

    def batches(self, size: int) -> Batches:
        """An endless iterator of `sample(size)`, which goes on where the task stands."""
        return Batches(self, size)

    def wrong(self, y: Array, output: Array) -> Array:
        """Which sequences are wrong by the authors' criterion.

        Parameters
        ----------
        y : array
            As `sample` gives it.
        output : float array (B, output_size), or (T, B, output_size) where each step counts
            The raw outputs of a model. A sequence with one that is not finite is wrong.

        Returns
        -------
        bool (B,)
            Where each step counts, a sequence with one wrong step is wrong.

        Raises
        ------
        ValueError
            If the shapes do not belong together.
        """
        y, output = np.asarray(y), np.asarray(output)
        steps = output.shape[:-1]
        expected = steps if self.loss == "cross_entropy" else (*steps, self.output_size)
        if output.shape[-1:] != (self.output_size,) or len(steps) != (1 if self.last else 2):
            axes = "batch" if self.last else "time, batch"
            raise ValueError(f"output has shape {output.shape}, expected ({axes}, "
                             f"{self.output_size})")
        if y.shape != expected:
            raise ValueError(f"y has shape {y.shape}, expected {expected}")
        right = self._right(y, output) & np.isfinite(output).all(axis=-1)
        wrong: Array = np.logical_not(np.atleast_2d(right).all(axis=0))
        return wrong

    def error_rate(self, model: Model, sequences: int = 10_000, seed: int = 0) -> float:
        """The share of sequences that a model gets wrong, by the authors' criterion.

        Parameters
        ----------
        model : Model
            It takes x as `sample` gives it.
        sequences : int, default=10_000
            How many to draw; each hundred has a length of its own if the task has several.
        seed : int, default=0
            Which sequences: the same ones for the same seed and task, and never those of the
            stream.

        Returns
        -------
        float
            Between 0 and 1.

        Raises
        ------
        TypeError, ValueError
            If the model does not fit the task, or `sequences` is not a positive integer.
        """
        check_count("sequences", sequences)
        check_count("seed", seed, at_least=0)
        self._check(model)
        rng, count = self._generator(1, seed), 0
        widest = max(layer.output_size or 0 for layer in model.layers)
        for start in range(0, sequences, _TOGETHER):
            size = min(_TOGETHER, sequences - start)
            x, y = self._draw_test(rng, self._length(rng), size)
            rows = max(1, _KEPT // (len(x) * widest))
            for first in range(0, size, rows):
                part = slice(first, first + rows)
                output, _ = model.infer(x[:, part])
                target = y[part] if self.last else y[:, part]
                count += int(np.count_nonzero(self.wrong(target, output)))
        return count / sequences

    @property
    def baseline(self) -> Baseline:
        """What a guess without memory gets; over all steps, where lengths matter."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """The position in the stream: a dict that JSON can hold."""
        return {"task": repr(self), "generator": self._rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a position: the batches that follow have the same bits.

        Raises
        ------
        ValueError
            If it is a position of another task, or none. The task is unchanged then.
        """
        if set(state) != {"task", "generator"}:
            raise ValueError(f"state has keys {sorted(state)}, expected ['generator', 'task']")
        if state["task"] != repr(self):
            raise ValueError(f"state is of {state['task']}, expected {self!r}")
        bits = np.random.PCG64(0)
        try:
            bits.state = state["generator"]
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"state['generator'] is {state['generator']!r}, expected the "
                             f"state of a PCG64 ({error})") from None
        self._rng = np.random.Generator(bits)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self._settings.items())
        return f"{type(self).__name__}({settings})"

    def _draw(self, rng: np.random.Generator, length: int, size: int) -> tuple[Array, Array]:
        """Sequences of one length."""
        raise NotImplementedError

    def _draw_test(self, rng: np.random.Generator, length: int,
                   size: int) -> tuple[Array, Array]:
        """Sequences to measure a model with, where they differ from those to train it."""
        return self._draw(rng, length, size)

    def _right(self, y: Array, output: Array) -> Array:
        """Which predictions (B,) or (T, B) are right."""
        right: Array = output.argmax(axis=-1) == y
        return right

    def _length(self, rng: np.random.Generator) -> int:
        return int(rng.integers(self.lengths.start, self.lengths.stop))

    @property
    def _mean_length(self) -> float:
        return (self.lengths.start + self.lengths.stop - 1) / 2

    def _generator(self, *key: int) -> np.random.Generator:
        """A generator that is independent of those of other keys."""
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(
            self.seed, spawn_key=key)))

    def _check(self, model: Model) -> None:
        for name, came, expected in (
                ("takes_symbols", model.takes_symbols, False),
                ("batch_first", model.batch_first, False),
                ("per_step", model.per_step, not self.last),
                ("input_size", model.input_size, self.input_size),
                ("output_size", model.output_size, self.output_size)):
            if came != expected:
                raise ValueError(f"model has {name} {came}, expected {expected} for {self!r}")


def one_hot(symbols: Array, size: int) -> Array:
    """Symbols (...) below `size` as float32 (..., size)."""
    vectors: Array = np.eye(size, dtype=np.float32)[symbols]
    return vectors


def _lengths(length: int | tuple[int, int], shortest: int) -> range:
    """The lengths to draw from, checked."""
    if not isinstance(length, (tuple, list)):
        check_count("length", length, shortest)
        return range(length, length + 1)
    if len(length) != 2:
        raise ValueError(f"length is {length!r}, expected an integer or (low, high)")
    check_count("length[0]", length[0], shortest)
    check_count("length[1]", length[1], length[0] + 1)
    return range(*length)
