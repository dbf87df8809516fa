"""Names and shapes of what a layer learns and carries, and random values for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def suffixes(num_layers: int = 1, bidirectional: bool = False) -> list[list[str]]:
    """Per layer the endings of its parameter names, forward and reverse."""
    directions = ("", "_reverse") if bidirectional else ("",)
    return [[f"_l{layer}{way}" for way in directions] for layer in range(num_layers)]


def tap_names(suffix: str, taps: Sequence[int]) -> dict[int, str]:
    """The recurrent matrix of every tap; the smallest tap has the plain name."""
    name = f"weight_hh{suffix}"
    return {tap: name if tap == min(taps) else f"{name}_tap{tap}" for tap in taps}


def depth(*, taps: Sequence[int] = (1,), skip: int | None = None, **_: Any) -> int:
    """D, the number of past states that a step needs."""
    return max(*taps, skip or 1)


def gate_count(kind: str, forget: str = "gate", **_: Any) -> int:
    """How many blocks of H rows weight_ih has."""
    if kind == "LSTM":
        return 4 if forget == "gate" else 3
    return {"GRU": 3, "MinGRU": 2, "UGRNN": 2, "IntersectionRNN": 4}.get(kind, 1)


def param_shapes(
    kind: str,
    input_size: int,
    hidden_size: int,
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
    taps: Sequence[int] = (1,),
    bias: bool = True,
    **options: Any,
) -> dict[str, tuple[int, ...]]:
    """Every parameter of a layer by name; options that change no shape are ignored."""
    H, gates = hidden_size, gate_count(kind, **options)
    if kind == "Linear":
        return {"weight": (H, input_size)} | ({"bias": (H,)} if bias else {})
    peephole = options.get("peephole")
    fed = gates - 1 if peephole == "cell" else gates  # blocks that the state feeds
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, endings in enumerate(suffixes(num_layers, bidirectional)):
        for suffix in endings:
            K = len(endings) * H if layer else input_size
            shapes[f"weight_ih{suffix}"] = (gates * H, K)
            if kind == "IndRNN":
                shapes[f"weight_hh{suffix}"] = (H,)
            elif kind not in ("IdentityRNN", "MinGRU"):
                shapes |= dict.fromkeys(tap_names(suffix, taps).values(), (fed * H, H))
            if peephole == "diagonal":
                shapes[f"weight_ph{suffix}"] = ((gates - 1) * H,)
            if bias:
                shapes[f"bias_ih{suffix}"] = (gates * H,)
            if bias and kind in ("RNN", "LSTM", "GRU"):
                shapes[f"bias_hh{suffix}"] = (fed * H,)
    return shapes


def state_shape(
    hidden_size: int,
    *batch: int,
    num_layers: int = 1,
    bidirectional: bool = False,
    **options: Any,
) -> tuple[int, ...]:
    """(S, B, H), or (S, D, B, H) when D > 1; without B when no batch is given.

    An LSTM has two states of this shape.
    """
    S, D = num_layers * (2 if bidirectional else 1), depth(**options)
    return (S, *((D,) if D > 1 else ()), *batch, hidden_size)


def random_params(
    rng: np.random.Generator, kind: str, input_size: int, hidden_size: int, **options: Any
) -> dict[str, Array]:
    """Normal float64 values, biases too: matrices of gain 1, vectors of deviation 1/2."""
    shapes = param_shapes(kind, input_size, hidden_size, **options)
    scale = {name: shape[1] ** -0.5 if shape[1:] else 0.5 for name, shape in shapes.items()}
    return {name: scale[name] * rng.standard_normal(shape) for name, shape in shapes.items()}


def random_state(
    rng: np.random.Generator, kind: str, hidden_size: int, *batch: int, **options: Any
) -> Array | tuple[Array, Array]:
    """Normal float64 states; a pair for an LSTM."""
    shape = state_shape(hidden_size, *batch, **options)
    if kind == "LSTM":
        return rng.standard_normal(shape), rng.standard_normal(shape)
    return rng.standard_normal(shape)


def hidden_size_of(
    kind: str, params: Mapping[str, Array], input_size: int, **options: Any
) -> int:
    """H, after every name and shape was found right."""
    first = params["weight" if kind == "Linear" else "weight_ih_l0"]
    H = len(first) // gate_count(kind, **options)
    options.setdefault("bias", any("bias" in name for name in params))
    expected = param_shapes(kind, input_size, H, **options)
    if (found := {name: value.shape for name, value in params.items()}) != expected:
        raise ValueError(f"the parameters of {kind} are {found}, expected {expected}")
    return H
