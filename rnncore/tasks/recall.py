"""A pattern of symbols to be given back after a wait: memorization, copy memory.

With n symbols of v values and l steps of waiting, T = l + 2 n, and "blank" the class v:

    step        0 .. n-1     n .. l+n-1     l+n .. l+2n-1
    target      blank        blank          the pattern
    Memorization, input
                the pattern  blank          trigger, then blanks
    CopyMemory, input
                the pattern  blanks, and the trigger at l+n-1      blanks

So in the first the trigger comes with the first step of the recall, in the second one step
before it. Without memory the best is to be sure of the blanks and to guess the pattern:
n ln v / (l + 2 n) for each step.

Noiseless memorization is a task of Pascanu, Mikolov & Bengio (2013), as their published code
has it, after Martens & Sutskever (2011); copy memory is that of Arjovsky, Shah & Bengio (2016).
Bai, Kolter & Koltun (2018) repeat the trigger through the recall.
"""

from __future__ import annotations

import math

import numpy as np

from rnncore.layers.checks import check_count
from rnncore.parameters import Array
from rnncore.tasks.base import Baseline, Task, one_hot


class _Recall(Task):
    """What the two share."""

    last = False
    early: int  # how many steps before the recall the trigger comes

    def __init__(self, length: int | tuple[int, int], values: int, symbols: int,
                 seed: int | None) -> None:
        check_count("values", values, at_least=2)
        check_count("symbols", symbols)
        super().__init__(length, seed, shortest=1, values=values, symbols=symbols)
        self.values = values
        self.symbols = symbols
        self.input_size = values + 2
        self.output_size = values + 1

    @property
    def baseline(self) -> Baseline:
        """The guess that knows when, but not what: n ln v / (l + 2 n), 1 - v^-n."""
        steps = self._mean_length + 2 * self.symbols
        loss = self.symbols * math.log(self.values) / steps
        return Baseline(loss, 1 - float(self.values) ** -self.symbols)

    def _draw(self, rng: np.random.Generator, length: int, size: int) -> tuple[Array, Array]:
        pattern = rng.integers(self.values, size=(self.symbols, size))
        blank, trigger = self.values, self.values + 1
        recall = length + self.symbols
        sequence = np.full((recall + self.symbols, size), blank)
        y = sequence.copy()
        sequence[: self.symbols] = pattern
        sequence[recall - self.early] = trigger
        y[recall:] = pattern
        return one_hot(sequence, self.input_size), y


class Memorization(_Recall):
    """Give a pattern back when the trigger comes: noiseless memorization.

    x (length + 2 symbols, B, values + 2) is one-hot: the pattern, blanks, at step
    length + symbols the trigger, blanks. y of (length + 2 symbols, B) is blank, then in the
    last steps the pattern. A sequence is wrong if one of its steps is.

    Parameters
    ----------
    length : int or (int, int)
        The steps between pattern and trigger, at least 1; a pair is `range(low, high)`, from
        which each batch draws.
    values : int, default=2
        How many values a symbol of the pattern has.
    symbols : int, default=5
        The length of the pattern. The defaults are the paper's task of 5 bits; the task of
        "more than 20 bits" has values=5, symbols=10.
    seed : int or None
        Of everything random.

    Raises
    ------
    TypeError, ValueError
        If an argument is too small or no integer.

    Notes
    -----
    Pascanu, Mikolov & Bengio (2013), from the code that they published.

    Examples
    --------
    >>> x, y = Memorization(length=3, seed=0).sample(1)
    >>> x.argmax(axis=-1)[:, 0].tolist()
    [1, 1, 0, 0, 1, 2, 2, 2, 3, 2, 2, 2, 2]
    >>> y[:, 0].tolist()
    [2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 0, 0, 1]
    """

    early = 0

    def __init__(self, length: int | tuple[int, int], *, values: int = 2, symbols: int = 5,
                 seed: int | None = None) -> None:
        super().__init__(length, values, symbols, seed)


class CopyMemory(_Recall):
    """Give a pattern back after T blanks: the copy memory problem.

    x (T + 20, B, 10) is one-hot: 10 symbols of 8 values, T - 1 blanks, the delimiter, 10
    blanks. y (T + 20, B) is blank for T + 10 steps, then the symbols. A sequence is wrong if
    one of its steps is; the literature reports the mean cross-entropy.

    Parameters
    ----------
    length : int or (int, int)
        The number T of blanks, at least 1; a pair is `range(low, high)`, from which each
        batch draws.
    values : int, default=8
        How many values a symbol has.
    symbols : int, default=10
        The length of the pattern.
    seed : int or None
        Of everything random.

    Raises
    ------
    TypeError, ValueError
        If an argument is too small or no integer.

    Notes
    -----
    Arjovsky, Shah & Bengio (2016). The baseline at T = 1000 is 10 ln 8 / 1020 = 0.0204.

    Examples
    --------
    >>> x, y = CopyMemory(length=4, symbols=3, seed=0).sample(1)
    >>> x.argmax(axis=-1)[:, 0].tolist()
    [6, 7, 0, 8, 8, 8, 9, 8, 8, 8]
    >>> y[:, 0].tolist()
    [8, 8, 8, 8, 8, 8, 8, 6, 7, 0]
    """

    early = 1

    def __init__(self, length: int | tuple[int, int], *, values: int = 8, symbols: int = 10,
                 seed: int | None = None) -> None:
        super().__init__(length, values, symbols, seed)
