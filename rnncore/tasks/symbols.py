"""A few symbols that matter among many that do not: temporal order, random permutation.

Both are tasks of Pascanu, Mikolov & Bengio (2013), as their published code has them, after
Hochreiter & Schmidhuber (1997) and Martens & Sutskever (2011). In the paper's first version
the second symbol of the temporal order stands a tenth of the sequence earlier than in the code.
"""

from __future__ import annotations

import math

import numpy as np

from rnncore.parameters import Array
from rnncore.tasks.base import Baseline, Task, one_hot

# Where the symbols of the temporal order may stand: in the tenth of the steps from here.
_TENTHS = {2: (0.1, 0.5), 3: (0.1, 0.3, 0.6)}


class TemporalOrder(Task):
    """In which order did two or three symbols come? The temporal order task.

    Each of the symbols v_0, v_1 (v_2) is 0 or 1, at a random step of the tenths of the sequence
    that begin at 0.1 and 0.5 of it (at 0.1, 0.3 and 0.6); all other steps are random symbols
    from 2 to 5. x (T, B, 6) is one-hot, y (B,) the class v_0 + 2 v_1 (+ 4 v_2).

    Parameters
    ----------
    length : int or (int, int)
        The steps T, at least 10; a pair is `range(low, high)`, from which each batch draws, as
        the authors' code does.
    symbols : 2 or 3, default=2
        How many symbols matter: 4 or 8 classes.
    seed : int or None
        Of everything random.

    Raises
    ------
    TypeError, ValueError
        If a length is too short or no integer, or `symbols` neither 2 nor 3.

    Notes
    -----
    Pascanu, Mikolov & Bengio (2013), from the code that they published. They count a run as
    a success with less than 1 % of 10,000 sequences wrong.

    Examples
    --------
    >>> import rnncore as rc
    >>> task = TemporalOrder(length=(10, 20), seed=0)
    >>> model = rc.Model([rc.RNN(task.input_size, 20), rc.Last(),
    ...                   rc.Linear(20, task.output_size)], task.loss, seed=0)
    >>> history = model.fit(task.sample(1000), epochs=2, batch_size=20)
    >>> 0 <= task.error_rate(model, sequences=1000) <= 1
    True
    """

    input_size = 6

    def __init__(self, length: int | tuple[int, int], *, symbols: int = 2,
                 seed: int | None = None) -> None:
        if symbols not in _TENTHS:
            raise ValueError(f"symbols is {symbols!r}, expected 2 or 3")
        super().__init__(length, seed, shortest=10, symbols=symbols)
        self.symbols = symbols
        self.output_size = 2**symbols

    @property
    def baseline(self) -> Baseline:
        """The guess that all classes are equally likely."""
        return Baseline(math.log(self.output_size), 1 - 1 / self.output_size)

    def _draw(self, rng: np.random.Generator, length: int, size: int) -> tuple[Array, Array]:
        sequence = rng.integers(2, 6, (length, size))
        y, columns = np.zeros(size, np.int64), np.arange(size)
        for digit, tenth in enumerate(_TENTHS[self.symbols]):
            place = int(tenth * length) + rng.integers(int(0.1 * length), size=size)
            value = rng.integers(2, size=size)
            sequence[place, columns] = value
            y += value << digit
        return one_hot(sequence, self.input_size), y


class RandomPermutation(Task):
    """Remember the first symbol to the end: the random permutation task.

    The first symbol is 0 or 1 and comes again after the last step; those between are random
    from 2 to 99. x (T, B, 100) is one-hot, y (B,) the symbol after the last step.

    Parameters
    ----------
    length : int or (int, int)
        The steps T, at least 1; a pair is `range(low, high)`, from which each batch draws.
    every_step : bool, default=False
        Whether the model predicts the next symbol at each step, y (T, B), as the text of the
        paper has it, or once at the end, as the code does. The last symbol alone decides
        whether a sequence is wrong in both.
    seed : int or None
        Of everything random.

    Raises
    ------
    TypeError, ValueError
        If a length is too short or no integer.

    Notes
    -----
    Pascanu, Mikolov & Bengio (2013), from the code that they published.

    Examples
    --------
    >>> x, y = RandomPermutation(length=50, seed=0).sample(20)
    >>> x.shape, bool((x[0].argmax(axis=1) == y).all())
    ((50, 20, 100), True)
    """

    input_size = output_size = 100

    def __init__(self, length: int | tuple[int, int], *, every_step: bool = False,
                 seed: int | None = None) -> None:
        super().__init__(length, seed, shortest=1, every_step=every_step)
        self.last = not every_step

    @property
    def baseline(self) -> Baseline:
        """The guess that knows which symbols can come, but not the first one."""
        steps = 1 if self.last else self._mean_length
        between = (steps - 1) * math.log(self.output_size - 2)
        return Baseline((between + math.log(2)) / steps, 0.5)

    def _draw(self, rng: np.random.Generator, length: int, size: int) -> tuple[Array, Array]:
        sequence = rng.integers(2, self.input_size, (length + 1, size))
        sequence[0] = sequence[-1] = rng.integers(2, size=size)
        y = sequence[-1] if self.last else sequence[1:]
        return one_hot(sequence[:-1], self.input_size), y

    def _right(self, y: Array, output: Array) -> Array:
        right = super()._right(y, output)
        return right if self.last else right[-1:]
