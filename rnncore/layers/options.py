"""What a recurrent layer is told: the options all of them take, and the cell it runs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypedDict

import numpy.typing as npt

from rnncore.engine.plan import LIMIT_TAPS
from rnncore.layers.base import positive


class Options(TypedDict, total=False):
    """The arguments that all recurrent layers take, beside the two widths."""

    num_layers: int
    bidirectional: bool
    residual: bool
    taps: tuple[int, ...]
    dropout: float
    bias: bool
    batch_first: bool
    dtype: npt.DTypeLike
    seed: int | None


@dataclass(frozen=True)
class Cell:
    """A cell as a layer names it, and how its weights are stacked.

    Blocks are named by the letters of the cell's row in the kernels' table.

    Attributes
    ----------
    name : str
        Of the row.
    x_rows, h_rows : str
        The gate blocks of `weight_ih` and `weight_hh`, in their public order.
    states : str
        The letters of the states, as the user sees them.
    two_biases : bool
        Whether there is a `bias_hh` beside `bias_ih`, as PyTorch has it.
    units, unit_rows : str, int
        The name and the number of per-unit weights.
    keep : str
        The gates that keep the state, whose biases begin at `forget_bias`.
    lag, scale
        How far back a skip through time reaches (None: to the first tap), and its scale.
    """

    name: str
    x_rows: str = "a"
    h_rows: str = ""
    states: str = "h"
    two_biases: bool = False
    units: str = ""
    unit_rows: int = 0
    keep: str = ""
    lag: int | None = None
    scale: float = 1.0


def check_taps(given: Any) -> tuple[int, ...]:
    """Checked taps."""
    taps = tuple(positive("taps", tap) for tap in given)
    if not taps or any(b <= a for a, b in pairwise(taps)):
        raise ValueError(f"taps is {taps}, expected steps in increasing order")
    if len(taps) > LIMIT_TAPS:
        raise ValueError(f"taps has {len(taps)} entries, expected at most {LIMIT_TAPS}")
    return taps


def check_dropout(dropout: float) -> float:
    """A checked share."""
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is {dropout}, expected at least 0 and less than 1")
    return float(dropout)
