"""What is analysed: a copy of a model, and a batch that was checked.

Instruments never touch the model they are given: neither its parameters nor its gradients, the
generators of its dropout or a forward pass that waits for its backward pass.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np

from rnncore.analysis.unrolled import is_recurrent, parts, whole
from rnncore.batch import check_input, make_batch, swapped
from rnncore.layers import build
from rnncore.layers.checks import check_count
from rnncore.model import Model
from rnncore.network import Network
from rnncore.parameters import Array


class Problem(NamedTuple):
    """A copy of a model without dropout, and time-major sequences with a batch axis.

    x (T, B, ...), lengths (B,) or None, one state per layer; the value of the loss, its
    gradient by the outputs (T, B, K), or (B, K), and where a step counts (T, B).
    """

    model: Model
    x: Array
    lengths: Array | None
    state: list[Any]
    loss: float
    dy: Array

    @property
    def live(self) -> Array:
        """Which steps (T, B) are not past the end of their row."""
        return live_steps(self.x.shape[:2], self.lengths)


def live_steps(shape: tuple[int, ...], lengths: Array | None) -> Array:
    """Which steps of so many (T, B) are not past the end of their row."""
    steps = np.arange(shape[0])[:, None]
    return np.broadcast_to(steps < (shape[0] if lengths is None else lengths), shape)


def check_model(model: Any, recurrent: bool = True) -> None:
    """Refuse what is no Model, or has no recurrent layer."""
    if not isinstance(model, Model):
        raise TypeError(f"model is a {type(model).__name__}, expected a Model")
    if recurrent and not any(map(is_recurrent, model.layers)):
        kinds = ", ".join(type(layer).__name__ for layer in model.layers)
        raise ValueError(f"model has the layers {kinds}, expected a recurrent one")


def prepared(model: Any, x: Any, target: Any, state: Any = None, lengths: Any = None,
             mask: Any = None, recurrent: bool = True) -> Problem:
    """Check everything, and run forwards.

    Raises
    ------
    TypeError, ValueError
        As `Model.loss_and_grad` says; if `model` is no Model, has no recurrent layer, or its
        loss is not finite.
    """
    check_model(model, recurrent)
    batch = make_batch(model, x, target, lengths, mask)
    starts = model.states(state)
    own = copy.deepcopy(model).eval()
    single = batch.x.ndim == (1 if own.takes_symbols else 2)
    if single:  # weights and outputs of one sequence get the axis of the batch, too
        starts = [None if s is None else whole([np.expand_dims(p, -2) for p in parts(s)])
                  for s in starts]
        axis = 1 if own.per_step else 0
        batch = batch._replace(
            x=batch.x[:, None], target=np.expand_dims(batch.target, axis),
            mask=None if batch.mask is None else np.expand_dims(batch.mask, axis))
    y, _ = own.run(batch.x, starts, batch.lengths)
    weights = own.loss.weights(own.output_shape(batch.x), batch.weights(), own.reduction)
    loss, dy = own.loss(y, batch.target, weights)
    if not np.isfinite(loss):
        raise ValueError(f"loss is {loss}, expected a finite number: see what x, target and "
                         "the parameters hold")
    return Problem(own, batch.x, batch.lengths, starts, float(loss), dy)


def prepared_input(model: Any, x: Any, state: Any = None,
                   lengths: Any = None) -> tuple[Network, Array, Array | None, list[Any]]:
    """The same without a loss, in float64: the network, x (T, B, ...), lengths and states."""
    check_model(model)
    x, lengths, batched = check_input(model, x, lengths)
    x = swapped(x, model.batch_first) if batched else x[:, None]
    starts = [s if s is None or batched else whole([np.expand_dims(p, -2) for p in parts(s)])
              for s in model.states(state)]
    if not np.isfinite(x[live_steps(x.shape[:2], lengths)]).all():
        raise ValueError("x is not finite, expected finite numbers")
    for name, values in model.tensors.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name} is not finite, expected finite numbers")
    return widened(model), wide(x), lengths, wide_states(starts)


def wide_states(starts: list[Any]) -> list[Any]:
    """States in float64."""
    return [None if s is None else whole([wide(p) for p in parts(s)]) for s in starts]


def wide(array: Array) -> Array:
    """Numbers in float64, symbols as they are."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def widened(model: Network) -> Network:
    """A copy of a network in float64, without dropout."""
    layers = [build({**layer.config(), **({"dtype": np.float64} if layer.dtype else {})})
              for layer in model.layers]
    for to, layer in zip(layers, model.layers, strict=True):
        to.load_state_dict({name: wide(value) for name, value in layer.parameters.items()})
    return Network(layers).eval()


def step_of(name: str, t: Any, steps: int) -> int:
    """A checked step, counted from 0."""
    check_count(name, t, 0)
    if t >= steps:
        raise ValueError(f"{name} is {t}, expected a step from 0 to {steps - 1}")
    return int(t)
