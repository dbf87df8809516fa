"""A layer of the library against a PyTorch function: outputs, last states, every gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.testing import assert_allclose

from .layers import parts
from .parameters import Array

Function = Callable[..., tuple[Any, Any]]
State = Array | tuple[Array, ...] | None


def leaf(array: Array) -> torch.Tensor:
    return torch.tensor(array, requires_grad=True)


def by_autograd(
    function: Function, params: dict[str, Array], x: Array, state: State
) -> tuple[list[torch.Tensor], list[Array]]:
    """[y, last states, gradients of x, of the states, of the parameters], and the random
    gradients that went into y and the last states."""
    leaves = {name: leaf(value) for name, value in params.items()}
    inputs = [leaf(x), *(leaf(part) for part in parts(state))]
    y, last = function(leaves, *inputs)
    outputs = [y, *parts(last)]
    rng = np.random.default_rng(0)
    into = [rng.standard_normal(out.shape) for out in outputs]
    loss = sum((out * torch.from_numpy(w)).sum() for out, w in zip(outputs, into, strict=True))
    grads = torch.autograd.grad(loss, [*inputs, *leaves.values()], materialize_grads=True)
    return [out.detach() for out in outputs] + list(grads), into


def assert_agrees(
    layer: Any,
    function: Function,
    x: Array,
    state: State = None,
    lengths: Sequence[int] | None = None,
) -> None:
    """Both ways to 1e-10, with random parameters and gradients into y and the last states.

    `function(leaves, x, *states) -> (y, last)` computes the same in PyTorch, from `leaves`, the
    parameters under the layer's names; it knows the lengths already.
    """
    rng = np.random.default_rng(7)
    params = {name: rng.normal(0.0, 0.6, v.shape) for name, v in layer.state_dict().items()}
    layer.load_state_dict(params)
    wanted, (dy, *d_last) = by_autograd(function, params, x, state)

    y, last = layer.forward(x, state, lengths)
    d_final = tuple(d_last) if len(d_last) == 2 else d_last[0] if d_last else None
    dx, d_state = layer.backward(dy, d_final)
    d_start = () if state is None else parts(d_state)
    grads = layer.grad_dict()
    got = [y, *parts(last), dx, *d_start, *(grads[name] for name in params)]

    ends = [f"last state {i}" for i in range(len(d_last))]
    starts = [f"gradient of initial state {i}" for i in range(len(d_start))]
    titles = ["y", *ends, "gradient of x", *starts, *params]
    for title, ours, theirs in zip(titles, got, wanted, strict=True):
        assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10, err_msg=title, strict=True)
