"""Weights by name, and as the stacks of gate blocks that they are.

`weight_hh_l0` of an LSTM, (4 H, H), is four matrices (H, H), one for each gate: what is said
of a recurrent matrix (that it is orthogonal, or its spectral radius) is said of each of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from rnncore.layers import IndRNN, Layer, Recurrent
from rnncore.layers.checks import matching
from rnncore.network import Network
from rnncore.parameters import Parameters

RECURRENT = "*weight_hh*"  # of all layers, directions and taps


def layers_of(model: Network | Layer) -> dict[str, Layer]:
    """The layers by what the names of their parameters begin with: "0.", "1.", ...; a layer by
    itself has plain names.
    """
    if isinstance(model, Network):
        return {f"{i}.": layer for i, layer in enumerate(model.layers)}
    if isinstance(model, Layer):
        return {"": model}
    raise TypeError(f"model is a {type(model).__name__}, expected a Model or a layer")


def tensors_of(model: Network | Layer) -> Parameters:
    """The parameters of a model, or of a layer by itself."""
    layers = layers_of(model)
    return model.tensors if isinstance(model, Network) else layers[""].parameters


def names_of(model: Network | Layer, patterns: Sequence[str]) -> list[str]:
    """The names that match; without patterns, those of the recurrent weights."""
    return matching(tensors_of(model), patterns or (RECURRENT,))


def stacks(model: Network | Layer, patterns: Sequence[str],
           square: bool = False) -> dict[str, tuple[int, int, int]]:
    """The matching matrices and their (gates, rows, columns); refuse what is no matrix, or has
    blocks that are not `square`.
    """
    tensors, layers, found = tensors_of(model), layers_of(model), {}
    for name in names_of(model, patterns):
        shape, layer = tensors.shapes[name], layers[_prefix(model, name)]
        if len(shape) != 2:
            raise ValueError(f"{name} has shape {shape}, expected a matrix")
        rows = layer.hidden_size if isinstance(layer, Recurrent) else shape[0]
        if square and rows != shape[1]:
            raise ValueError(f"{name} has blocks of shape {(rows, shape[1])}, expected square "
                             "ones")
        found[name] = shape[0] // rows, rows, shape[1]
    return found


def indrnn_vectors(model: Network | Layer, patterns: Sequence[str]) -> list[str]:
    """The matching names; refuse what is not the recurrent vector of an IndRNN."""
    tensors, layers = tensors_of(model), layers_of(model)
    names = names_of(model, patterns)
    for name in names:
        layer = layers[_prefix(model, name)]
        if not isinstance(layer, IndRNN) or "weight_hh" not in name:
            raise ValueError(f"{name} has shape {tensors.shapes[name]} and is of {layer!r}, "
                             "expected weight_hh of an IndRNN")
    return names


def _prefix(model: Network | Layer, name: str) -> str:
    return name.partition(".")[0] + "." if isinstance(model, Network) else ""
