"""What a recurrent layer is told: the options all of them take, and the cell it runs."""

from __future__ import annotations

from typing import NamedTuple, TypedDict

import numpy.typing as npt


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


class Cell(NamedTuple):
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
    keep, forget_bias : str, float
        The gates that keep the state, and where their biases begin.
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
    forget_bias: float = 0.0
    lag: int | None = None
    scale: float = 1.0
