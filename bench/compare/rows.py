"""The rows of the table: a cell and a shape, how much work that is, and the arrays it needs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
MODES = ("forward", "training")
PASSES = {"forward": 1, "training": 3}  # products with each matrix: of x and h; of dZ, twice
READS = {"forward": 1, "training": 2}  # how often a step needs all of weight_hh
SHAPES = [(1, 100, 64), (1, 100, 256), (1, 100, 512), (16, 100, 128), (32, 100, 256),
          (64, 100, 512), (128, 50, 128), (20, 50, 50)]  # B, T, H


class Row(NamedTuple):
    """One layer without extras: as many inputs as hidden units, float32, no lengths."""

    cell: str
    batch: int
    steps: int
    hidden: int

    def __str__(self) -> str:
        return f"{self.cell} B{self.batch} T{self.steps} H{self.hidden}"

    @classmethod
    def parse(cls, text: str) -> Row:
        """The row of a text as "LSTM B1 T100 H64".

        Raises
        ------
        ValueError
            If it is none.
        """
        found = re.fullmatch(r"(\w+) B([1-9]\d*) T([1-9]\d*) H([1-9]\d*)", text)
        if found is None or found[1] not in GATES:
            raise ValueError(f"row {text!r}, expected one such as 'LSTM B1 T100 H64', of "
                             f"{', '.join(GATES)}")
        return cls(found[1], *map(int, found.groups()[1:]))

    def operations(self, mode: str) -> int:
        """Two for each element of a matrix and each row it is multiplied by; gates are free."""
        matrices = 2 * self.hidden * GATES[self.cell] * self.hidden
        return 2 * self.steps * self.batch * matrices * PASSES[mode]

    def weight_bytes(self) -> int:
        """The size of weight_hh."""
        return 4 * GATES[self.cell] * self.hidden**2

    def bytes_read(self, mode: str) -> int:
        """What the recurrent weights of all steps come to. Those of x serve many steps at
        once and count as nothing.
        """
        return self.steps * self.weight_bytes() * READS[mode]


ROWS = [Row(cell, *shape) for cell in GATES for shape in SHAPES]


def chosen(only: Iterable[str]) -> list[Row]:
    """The rows of the table that have all the words of one of the texts, and whole rows that
    are not in the table; without any text, the table.

    Raises
    ------
    ValueError
        If a text is no row, and none has its words.
    """
    found: list[Row] = []
    for text in only:
        words = set(text.split())
        matching = [row for row in ROWS if words <= set(str(row).split())]
        found += matching or [Row.parse(text)]
    return list(dict.fromkeys(found)) or ROWS


class Problem:
    """The arrays of a row: weights under PyTorch's names, U(-1/sqrt(H), 1/sqrt(H)) as there,
    input x and the loss's gradient dy, both (T, B, H) and N(0, 1). The same in every process.
    """

    def __init__(self, row: Row) -> None:
        rng, hidden = np.random.default_rng(0), row.hidden
        rows, bound = GATES[row.cell] * hidden, hidden**-0.5
        shapes = {"weight_ih_l0": (rows, hidden), "weight_hh_l0": (rows, hidden),
                  "bias_ih_l0": (rows,), "bias_hh_l0": (rows,)}
        self.row = row
        self.weights: dict[str, Array] = {
            name: rng.uniform(-bound, bound, shape).astype(np.float32)
            for name, shape in shapes.items()}
        self.x: Array
        self.dy: Array
        self.x, self.dy = rng.standard_normal((2, row.steps, row.batch, hidden), np.float32)
