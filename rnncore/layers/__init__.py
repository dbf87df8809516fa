"""Layers: what a network is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnncore.layers.base import Layer
from rnncore.layers.gated import GRU, LSTM, UGRNN, IntersectionRNN, MinGRU
from rnncore.layers.recurrent import Recurrent
from rnncore.layers.stateless import Embedding, Last, Linear
from rnncore.layers.vanilla import RNN, IdentityRNN, IndRNN

__all__ = ["GRU", "LAYERS", "LSTM", "RNN", "UGRNN", "Embedding", "IdentityRNN", "IndRNN",
           "IntersectionRNN", "Last", "Layer", "Linear", "MinGRU", "Recurrent", "build"]

LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (RNN, LSTM, GRU, IndRNN, IdentityRNN, MinGRU, UGRNN, IntersectionRNN, Linear,
                 Embedding, Last)
}


def build(config: Mapping[str, Any]) -> Layer:
    """A layer from what its `config()` gave.

    Raises
    ------
    ValueError
        If there is no such layer, or it has no such settings.

    Examples
    --------
    >>> build(LSTM(3, 5).config())
    LSTM(3, 5)
    """
    arguments = dict(config)
    kind = arguments.pop("layer", None)
    if kind not in LAYERS:
        raise ValueError(f"layer is {kind!r}, expected one of {', '.join(LAYERS)}")
    unknown = [name for name in arguments if name not in LAYERS[kind].settings]
    if unknown:
        raise ValueError(f"{kind} has no settings {unknown}, expected some of "
                         f"{', '.join(LAYERS[kind].settings)}")
    return LAYERS[kind](**arguments)
