"""The cells of the command line by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rnncore as rc
from rnncore.layers import Layer

# The class and its options. IdentityRNN only ever adds to its state, so a carried one grows
# with the text: it is here to be compared, not to be used.
CELLS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "lstm": ("LSTM", {}),
    "peephole": ("LSTM", {"peephole": "diagonal"}),
    "gru": ("GRU", {}),
    "ugrnn": ("UGRNN", {}),
    "mingru": ("MinGRU", {}),
    "intersection": ("IntersectionRNN", {}),
    "rnn": ("RNN", {}),
    "pascanu": ("RNN", {"form": "pascanu"}),
    "indrnn": ("IndRNN", {}),
    "identity": ("IdentityRNN", {}),
}


def recurrent(cell: str, width: int, hidden: int, layers: int, dropout: float) -> Layer:
    """Recurrent layers of a cell in `CELLS`, for inputs of a width that `input_width` gave.

    Examples
    --------
    >>> recurrent("gru", 3, 8, layers=2, dropout=0.0)
    GRU(3, 8, num_layers=2)
    """
    name, options = CELLS[cell]
    kind: type[Layer] = getattr(rc, name)
    return kind(width, hidden, num_layers=layers, dropout=dropout, **options)  # type: ignore


def input_width(cell: str, wanted: int, hidden: int) -> int:
    """The width of the input: as wanted, unless the cell mixes its input into its output."""
    return hidden if CELLS[cell][0] == "IntersectionRNN" else wanted
