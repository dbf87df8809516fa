"""What the gate blocks of each cell are called where people read them, and their activations.

The letters are those of the kernels' table, in which the blocks of a gated cell follow one
pattern; papers have their own.
"""

from __future__ import annotations

from rnncore.layers import (
    GRU,
    LSTM,
    UGRNN,
    IdentityRNN,
    IndRNN,
    IntersectionRNN,
    MinGRU,
    Recurrent,
)
from rnncore.layers.vanilla import RNN

# The names that differ. m and q are the two parts of a GRU's candidate n.
_NAMES: dict[type, dict[str, str]] = {
    GRU: {"m": "n", "q": "n"},
    UGRNN: {"k": "c"},
    IntersectionRNN: {"v": "y", "k": "h", "d": "g_y", "g": "g_h"},
}


def public_name(layer: Recurrent, letter: str) -> str:
    """The name of a block, that of the rows of the layer's weights."""
    return _NAMES.get(type(layer), {}).get(letter, letter)


def activation_of(layer: Recurrent, letter: str) -> str:
    """The name of a block's activation."""
    candidates: dict[str, str] = {"n": "tanh", "m": "tanh", "q": "tanh"}  # of a GRU
    if isinstance(layer, (RNN, IndRNN, IdentityRNN)):
        candidates = {"a": layer.activation}
    elif isinstance(layer, UGRNN):
        candidates = {"k": layer.activation}
    elif isinstance(layer, MinGRU):
        candidates = {"k": layer.candidate}
    elif isinstance(layer, IntersectionRNN):
        candidates = {"v": "relu", "k": "tanh"}
    elif isinstance(layer, LSTM):
        candidates = {"g": "tanh"}
    return candidates.get(letter, "sigmoid")


def gated(layer: Recurrent) -> bool:
    """Whether gates carry the state, so that no theorem on W alone speaks of the cell."""
    return not isinstance(layer, (RNN, IndRNN, IdentityRNN))
