"""Two marked values among many: their mean, product or sum.

x (T, B, 2) holds marks, 1 at two steps p_0 < p_1 of each sequence and 0 elsewhere, and values
that are uniform in [0, 1). At the end the model has to have combined v_0 and v_1:

    Addition           (v_0 + v_1) / 2    p_0 in the first tenth, p_1 in the next four
    Multiplication     v_0 v_1            the same
    AddingProblem      v_0 + v_1          p_0 in the first half, p_1 in the second

The first two are the tasks of Pascanu, Mikolov & Bengio (2013), as their published code has
them: a batch of length T has l steps, l uniform from T to 1.1 T - 1, and a sequence is wrong if
(t - y)^2 > 0.04, so by 0.2. The third is the adding problem of Arjovsky, Shah & Bengio (2016)
and Li et al. (2018), where a mean squared error far below that of the guess 1 counts; the
tolerance 0.04 is that of Martens & Sutskever (2011). All go back to Hochreiter & Schmidhuber
(1997). Numbers of one generator do not compare with those of another.
"""

from __future__ import annotations

import numpy as np

from rnncore.parameters import Array
from rnncore.tasks.base import Baseline, Task


class _MarkedValues(Task):
    """What the three share."""

    input_size, output_size, loss = 2, 1, "mse"
    tolerance: float  # a sequence is wrong if |t - y| is larger

    def _right(self, y: Array, output: Array) -> Array:
        difference = output.astype(np.float64) - y
        right: Array = np.abs(difference[..., 0]) <= self.tolerance
        return right

    def _draw(self, rng: np.random.Generator, length: int, size: int) -> tuple[Array, Array]:
        length = self._steps(rng, length)
        x = np.zeros((length, size, 2), np.float32)
        x[:, :, 1] = rng.random((length, size), np.float32)
        columns = np.arange(size)
        places = [rng.integers(*span, size) for span in self._spans(length)]
        for place in places:
            x[place, columns, 0] = 1
        v0, v1 = (x[place, columns, 1] for place in places)
        return x, self._target(v0, v1)[:, None]

    def _steps(self, rng: np.random.Generator, length: int) -> int:
        return length + int(rng.integers(int(0.1 * length)))

    def _spans(self, steps: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """From where to where, exclusively, the two marks may stand."""
        tenth = int(0.1 * steps)
        return (0, tenth), (tenth, tenth + int(0.4 * steps))

    def _target(self, v0: Array, v1: Array) -> Array:
        raise NotImplementedError


class Addition(_MarkedValues):
    """The mean of two marked values: the addition task of Pascanu et al. (2013).

    x (T, B, 2) holds marks and values, the first mark in the first tenth of the steps, the
    second in the next four tenths; y (B, 1) is (v_0 + v_1) / 2. A sequence is wrong if its
    output is off by more than 0.2.

    Parameters
    ----------
    length : int or (int, int)
        At least 10; a pair is `range(low, high)`, from which each batch draws. The sequences
        of a batch are up to a tenth longer, as the authors have it.
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
    >>> task = Addition(length=50, seed=0)
    >>> x, y = task.sample(20)
    >>> marked = (x[..., 0] * x[..., 1]).sum(axis=0)
    >>> x.shape[1:], y.shape, bool(np.allclose(marked / 2, y[:, 0]))
    ((20, 2), (20, 1), True)
    """

    tolerance = 0.2

    def __init__(self, length: int | tuple[int, int], *, seed: int | None = None) -> None:
        super().__init__(length, seed, shortest=10)

    @property
    def baseline(self) -> Baseline:
        """The guess 1/2: the variance 1/24, and P(|v_0 + v_1 - 1| > 0.4) = 0.6^2."""
        return Baseline(1 / 24, 0.36)

    def _target(self, v0: Array, v1: Array) -> Array:
        return (v0 + v1) / 2


class Multiplication(_MarkedValues):
    """The product of two marked values: the multiplication task of Pascanu et al. (2013).

    As `Addition`, but y (B, 1) is v_0 v_1.

    Parameters
    ----------
    length : int or (int, int)
        As in `Addition`.
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
    >>> x, y = Multiplication(length=(50, 200), seed=0).sample(20)
    >>> 50 <= len(x) < 220, bool(np.allclose(y[:, 0], x[..., 1].prod(0, where=x[..., 0] > 0)))
    (True, True)
    """

    tolerance = 0.2

    def __init__(self, length: int | tuple[int, int], *, seed: int | None = None) -> None:
        super().__init__(length, seed, shortest=10)

    @property
    def baseline(self) -> Baseline:
        """The guess 1/4: the variance 1/9 - 1/16; P(v_0 v_1 < z) is z (1 - ln z)."""
        below, above = (z * (1 - float(np.log(z))) for z in (0.05, 0.45))
        return Baseline(7 / 144, below + 1 - above)

    def _target(self, v0: Array, v1: Array) -> Array:
        return v0 * v1


class AddingProblem(_MarkedValues):
    """The sum of two marked values: the adding problem of Arjovsky et al. (2016).

    x (T, B, 2) holds marks and values, one mark in each half of the T steps; y (B, 1) is
    v_0 + v_1. A sequence is wrong if its output is off by more than 0.04.

    Parameters
    ----------
    length : int or (int, int)
        The steps T, at least 2; a pair is `range(low, high)`, from which each batch draws.
    seed : int or None
        Of everything random.

    Raises
    ------
    TypeError, ValueError
        If a length is too short or no integer.

    Notes
    -----
    Arjovsky, Shah & Bengio (2016), Li et al. (2018); the tolerance is that of Martens &
    Sutskever (2011), for the papers above give the mean squared error alone.

    Examples
    --------
    >>> task = AddingProblem(length=100, seed=0)
    >>> x, y = task.sample(20)
    >>> x.shape, bool((x[:50, :, 0].sum(axis=0) == 1).all()), round(task.baseline.loss, 4)
    ((100, 20, 2), True, 0.1667)
    """

    tolerance = 0.04

    def __init__(self, length: int | tuple[int, int], *, seed: int | None = None) -> None:
        super().__init__(length, seed, shortest=2)

    @property
    def baseline(self) -> Baseline:
        """The guess 1: the variance 1/6, and P(|v_0 + v_1 - 1| > 0.04) = 0.96^2."""
        return Baseline(1 / 6, 0.96**2)

    def _steps(self, rng: np.random.Generator, length: int) -> int:
        return length

    def _spans(self, steps: int) -> tuple[tuple[int, int], tuple[int, int]]:
        return (0, steps // 2), (steps // 2, steps)

    def _target(self, v0: Array, v1: Array) -> Array:
        return v0 + v1
