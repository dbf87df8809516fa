"""A table: sequences of numbers, and what is to be predicted from each or from each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rnncore.jobs import InputError

Numbers = npt.NDArray[np.float64]

MIN_SEQUENCES = 10  # fewer leave nothing to hold out by a tenth


@dataclass(frozen=True)
class Table:
    """Sequences of features and their targets.

    Attributes
    ----------
    x : list of arrays (T_i, F)
        The sequences, finite.
    y : array (N,) of class numbers, array (N, K), or list of arrays (T_i, K)
        The classes, or the targets of each sequence, or of each step.
    classes : list or None
        The labels of the classes, strings, integers or booleans; None for regression.
    sha256 : str
        Of the bytes of the file.

    Examples
    --------
    >>> x = [np.zeros((5, 2)) for _ in range(10)]
    >>> table = Table(x, np.arange(10) % 2, ["off", "on"])
    >>> len(table), table.features, table.outputs, table.per_step
    (10, 2, 2, False)
    """

    x: list[Numbers]
    y: Any
    classes: list[Any] | None = None
    sha256: str = ""

    def check(self) -> None:
        """Refuse what no model can be trained on.

        Raises
        ------
        InputError
            If there are fewer than 10 sequences, a sequence has no step, a number is not
            finite, or there is nothing to tell apart: one class, one of less than 2
            sequences, or a target that is the same everywhere.
        """
        if len(self) < MIN_SEQUENCES:
            raise InputError(f"{len(self)} sequences, expected at least {MIN_SEQUENCES}")
        if self.features == 0:
            raise InputError("x has no features, expected at least one")
        for index, sequence in enumerate(self.x):
            if len(sequence) == 0:
                raise InputError(f"sequence {index} has no steps, expected at least one")
            _check_finite("x", index, sequence)
        if self.classes is None:
            for index, target in enumerate(self.y):
                _check_finite("y", index, target)
            if np.ptp(self.targets, axis=0).min() == 0:
                raise InputError("a target is the same everywhere, expected something to "
                                 "predict")
            return
        if len(self.classes) < 2:
            raise InputError(f"all are of the class {self.classes[0]!r}, expected at least 2 "
                             "classes")
        for label, count in zip(self.classes, np.bincount(self.y), strict=True):
            if count < 2:
                raise InputError(f"one sequence alone is of the class {label!r}, expected at "
                                 "least 2: one to train on, one to hold out")

    def __len__(self) -> int:
        return len(self.x)

    def __str__(self) -> str:
        steps = " to ".join(map(str, sorted({min(self.steps), max(self.steps)})))
        targets = "targets" if self.classes is None else "classes"
        place = "of each step" if self.per_step else "of each sequence"
        return (f"{len(self):,} sequences, steps: {steps}, features: {self.features}, "
                f"{targets} {place}: {self.outputs}")

    def part(self, rows: npt.NDArray[np.intp]) -> Table:
        """Some of the sequences."""
        y = [self.y[i] for i in rows] if self.per_step else self.y[rows]
        return Table([self.x[i] for i in rows], y, self.classes, self.sha256)

    @property
    def targets(self) -> Numbers:
        """All targets of regression, (N, K) or (sum of T_i, K)."""
        values: Numbers = np.concatenate(self.y) if self.per_step else self.y
        return values

    @property
    def features(self) -> int:
        """The number of features, F."""
        return int(self.x[0].shape[1])

    @property
    def per_step(self) -> bool:
        """Whether each step has targets of its own."""
        return isinstance(self.y, list)

    @property
    def outputs(self) -> int:
        """The number of classes or of targets, K."""
        return int(self.y[0].shape[-1]) if self.classes is None else len(self.classes)

    @property
    def steps(self) -> list[int]:
        """The lengths of the sequences."""
        return [len(sequence) for sequence in self.x]


def _check_finite(name: str, index: int, values: Numbers) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        place = ", ".join(map(str, [index, *bad[0]]))
        raise InputError(f"{name}[{place}] is {values[tuple(bad[0])]}, expected finite numbers")
