"""Whole layers of the oracle: steps, directions, stacked layers, rows of the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .cells import ACTIVATIONS, CELLS, Array, Weights
from .parameters import depth, hidden_size_of, state_shape, suffixes

State = Array | tuple[Array, ...] | None


def parts(state: Any) -> tuple[Any, ...]:
    """The arrays of a state: none, one, or the two of an LSTM."""
    return () if state is None else state if isinstance(state, tuple) else (state,)


def scan(
    kind: str, w: Weights, x: Array, start: Array, options: dict[str, Any]
) -> tuple[Array, Array]:
    """One layer and direction: x (L, K), start (parts, D, H) -> y (L, H), the last D states."""
    past, y = [list(part) for part in start], []
    for x_t in x:
        y_t, *new = CELLS[kind](w, x_t, *past, **options)
        y.append(y_t)
        past = [[state, *old[:-1]] for state, old in zip(new, past, strict=True)]
    return np.reshape(y, (len(x), start.shape[-1])), np.array(past)


def row(
    kind: str,
    params: Mapping[str, Array],
    x: Array,
    start: Array,
    masks: Sequence[Array],
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
    residual: bool = False,
    taps: Sequence[int] = (1,),
    **options: Any,
) -> tuple[Array, Array]:
    """One row, all layers: x (L, K), start (parts, S, D, H) -> y (L, width), last states."""
    last: list[Array] = []
    for layer, endings in enumerate(suffixes(num_layers, bidirectional)):
        outputs = []
        for suffix in endings:
            way = slice(None, None, -1 if suffix.endswith("_reverse") else 1)
            w = Weights(params, suffix, taps)
            y, states = scan(kind, w, x[way], start[:, len(last)], options)
            outputs.append(y[way])
            last.append(states)
        y = np.concatenate(outputs, axis=-1)
        if residual and y.shape == x.shape:
            y = y + x
        x = y * masks[layer] if masks and layer < num_layers - 1 else y
    return x, np.stack(last, axis=1)


def linear(
    params: Mapping[str, Array],
    x: Array,
    lengths: Sequence[int] | Array | None,
    activation: str = "identity",
    residual: bool = False,
) -> Array:
    """f(W x + b), plus x where the widths match; 0 past the end of a row."""
    y = ACTIVATIONS[activation](x @ params["weight"].T + params.get("bias", 0.0))
    if residual and y.shape == x.shape:
        y = y + x
    for b, length in enumerate(() if lengths is None else lengths):
        y[length:, b] = 0.0
    return y


def run(
    kind: str,
    params: Mapping[str, Array],
    x: Array,
    state: State = None,
    lengths: Sequence[int] | Array | None = None,
    *,
    masks: Sequence[Array] = (),
    **options: Any,
) -> tuple[Array, State]:
    """What a layer's `forward` returns; the options are its constructor's (time-major only).

    x is (T, B, K), or (T, K) with states and masks without B. `masks` are the scaled dropout
    masks, one (T, B, width) for each layer but the last. `bias` is deduced from the parameters.
    Everything is computed in float64, or in complex128 where an argument is complex.
    """
    H = hidden_size_of(kind, params, x.shape[-1], **options)
    options.pop("bias", None)
    dtype = np.result_type(np.float64, x, *params.values(), *parts(state))
    params = {name: np.asarray(value, dtype) for name, value in params.items()}
    x = np.asarray(x, dtype)
    if kind == "Linear":
        return linear(params, x, lengths, **options), None

    T, batch, K = len(x), x.shape[1:-1], x.shape[-1]  # batch is (B,) or ()
    n, B = 2 if kind == "LSTM" else 1, batch[0] if batch else 1
    shape = (n, *state_shape(H, *batch, **options))
    last = np.zeros(shape, dtype) if state is None else np.array(parts(state), dtype)
    if last.shape != shape:
        raise ValueError(f"state has shape {last.shape}, expected {shape} (states first)")

    rows, last = x.reshape(T, B, K), last.reshape(n, shape[1], depth(**options), B, H)
    y = np.zeros((T, B, 2 * H if options.get("bidirectional") else H), dtype)
    for b, length in enumerate([T] * B if lengths is None else lengths):
        drops = [mask.reshape(T, B, mask.shape[-1])[:length, b] for mask in masks]
        y[:length, b], last[..., b, :] = row(
            kind, params, rows[:length, b], last[..., b, :], drops, **options
        )
    y, last = y.reshape(T, *batch, y.shape[-1]), last.reshape(shape)
    return y, (last[0], last[1]) if n == 2 else last[0]
