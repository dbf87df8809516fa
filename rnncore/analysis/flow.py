"""Where the gradient flows: its norm at every step of every layer, and over every lag.

With E the loss, h_t the state of a recurrent layer after step t, a_t its pre-activations
(of which dZ_t = dE/da_t), and E_t what step t adds to the loss,

    gradient_flow   |dE/dh_t|, |dE/dc_t|, |dE/dx_t|, |dZ_t|     one backward pass
    depth_flow      |dE/dy| of every layer's output             along depth, of any network
    lagged          |dE_t/dh_{t-k}| for every k                 rescaled at every step

dE/dh_t is the total derivative: through y_t and through all later steps. So is dE/dc_t of an
LSTM, with the way through h_t = o tanh(c_t); that of +RNN's h is without y, which is not h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore.analysis.problem import Problem, prepared, step_of
from rnncore.analysis.scaled import NOTHING, Scaled, norms, scaled
from rnncore.analysis.unrolled import RECORD, Single, Stateless, Unrolled, is_recurrent
from rnncore.engine.spec import Record
from rnncore.layers import Recurrent
from rnncore.parameters import Array

BOUND = 1e-20  # Omega's bound on |d|^2, below which its authors' code leaves a step out


@dataclass(frozen=True)
class LayerFlow:
    """The gradient in one recurrent layer and direction; norms of a row, 0 past its end.

    Attributes
    ----------
    name : str
        As in the names of parameters: "0.l1_reverse" is the second layer of the model's layer
        0, going backwards.
    dh : array (T, B)
        |dE/dh_t|; of ``RNN(form="pascanu")`` |dE/dx_t| of its state.
    dc : array (T, B) or None
        |dE/dc_t|, where there is a cell state.
    dx : array (T, B) or None
        |dE/dx_t| of the layer's input, of both directions together; None below an Embedding.
    dz : array (T, B, G)
        |dZ_t| of each gate block.
    blocks : str
        The letters of the G blocks: see `rnncore.engine.spec.Record`.
    live : float
        The share of steps at which |d_t|^2, over h and c, is at least 1e-20: Omega's bound.
    """

    name: str
    dh: Array
    dc: Array | None
    dx: Array | None
    dz: Array
    blocks: str
    live: float


@dataclass(frozen=True)
class GradientFlow:
    """What `gradient_flow` returns.

    Attributes
    ----------
    loss : float
    layers : tuple of LayerFlow
        From the input on.
    outputs : dict of str to array (T, B)
        |dE/dy| of the output of each of the model's layers, (B,) behind `Last`: see
        `depth_flow`.
    """

    loss: float
    layers: tuple[LayerFlow, ...]
    outputs: dict[str, Array]


def over_batch(norms_of_rows: Array) -> Array:
    """The norms (T, ...) of whole batches, from those of their rows (T, B, ...).

    Examples
    --------
    >>> over_batch(np.array([[3.0, 4.0]]))
    array([5.])
    """
    return norms(np.moveaxis(norms_of_rows, 1, -1))


def gradient_flow(model: Any, x: Any, target: Any, state: Any = None, lengths: Any = None,
                  mask: Any = None) -> GradientFlow:
    """The norms of the gradient at every step of every recurrent layer, in one backward pass.

    Parameters
    ----------
    model : Model
        With a recurrent layer. It is not touched; dropout does not apply.
    x, target, state, lengths, mask
        As in `Model.loss_and_grad`.

    Raises
    ------
    TypeError, ValueError
        As `Model.loss_and_grad`; if there is no recurrent layer, or the loss is not finite.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.RNN(3, 8, activation="sigmoid"), rc.Linear(8, 2), rc.Last()],
    ...                  seed=0)
    >>> x = np.ones((20, 4, 3), np.float32)  # (time, batch, features)
    >>> flow = gradient_flow(model, x, np.ones((4, 2), np.float32)).layers[0]
    >>> flow.dh.shape, bool(flow.dh[0].max() < 1e-6 * flow.dh[-1].min())
    ((20, 4), True)
    """
    problem = prepared(model, x, target, state, lengths, mask)
    outputs = _back(problem)
    layers = []
    for number, layer in enumerate(problem.model.layers):
        if is_recurrent(layer):
            layers += [_layer_flow(f"{number}.{suffix[1:]}", layer, suffix, record,
                                   problem.live) for suffix, record
                       in zip(layer._suffixes(), layer.records, strict=True)]
    return GradientFlow(problem.loss, tuple(layers), outputs)


def depth_flow(model: Any, x: Any, target: Any, state: Any = None, lengths: Any = None,
               mask: Any = None) -> dict[str, Array]:
    """The norms of dE/dy of every layer's output y, of any model, a deep feed-forward one too.

    Returns
    -------
    dict of str to array (T, B), (B,) behind `Last`
        By the layers' numbers, "0" being next to the input. The layers of a stack come first,
        "0.l0", if there are several.

    Examples
    --------
    >>> import rnncore as rc
    >>> layers = [rc.Linear(4, 4, activation="sigmoid") for _ in range(10)]
    >>> x = np.ones((1, 8, 4), np.float32)
    >>> norms = depth_flow(rc.Model(layers, seed=0), x, x)
    >>> bool(norms["0"].max() < 1e-6 * norms["9"].min())
    True
    """
    return _back(prepared(model, x, target, state, lengths, mask, recurrent=False))


def _back(problem: Problem) -> dict[str, Array]:
    """Go back, recording; the norms of the gradients of all outputs."""
    dy, found = problem.dy, {}
    for number in reversed(range(len(problem.model.layers))):
        layer = problem.model.layers[number]
        found[str(number)] = norms(dy)
        dx, _ = layer.backward(dy, None, True, RECORD)
        stacked = getattr(layer, "num_layers", 1)
        for index in reversed(range(1, stacked)):
            ways = len(layer.records) // stacked
            found[f"{number}.l{index - 1}"] = norms(layer.records[index * ways].dx)
        if dx is None:
            break
        dy = dx
    return dict(reversed(found.items()))


def _layer_flow(name: str, layer: Recurrent, suffix: str, record: Record,
                live: Array) -> LayerFlow:
    dh = norms(record.dstates[0])
    carried = norms(np.concatenate(record.dstates, axis=-1))
    share = float((carried[live] ** 2 >= BOUND).mean()) if live.any() else 0.0
    return LayerFlow(name, dh, _cell_norms(layer, suffix, record),
                     None if record.dx is None else norms(record.dx), norms(record.dz),
                     record.blocks, share)


def _cell_norms(layer: Recurrent, suffix: str, record: Record) -> Array | None:
    """|dE/dc_t| (T, B), with the way through h_t, which the engine goes inside the step."""
    if len(record.states) < 2:
        return None
    o = record.blocks.index("o")
    dh, dc = (d.astype(np.float64) for d in record.dstates)
    slope = 1 - np.tanh(record.states[1].astype(np.float64)) ** 2
    total = dc + dh * record.activations[:, :, o] * slope
    if f"weight_ph{suffix}" in layer.parameters:  # the output gate sees c_t
        total += record.dz[:, :, o] * layer.parameters[f"weight_ph{suffix}"][-dh.shape[-1]:]
    return norms(total)


@dataclass(frozen=True)
class Lagged:
    """What `lagged` returns; all logarithms are to the base 10, -inf of a norm of 0.

    Attributes
    ----------
    names : tuple of str
        Of the L recurrent layers and directions, from the input on.
    lags : array (K,)
        k = 0, ..., t; with a reverse direction, for which later inputs come first, from
        -(T - 1 - t) on.
    dh : array (L, K, B)
        log10 |dE_t/dh_{t-k}| of each row; NaN where a row has no such step.
    dc : array (L, K, B) or None
        The same of cell states, NaN of layers that have none; None if no layer has one.
    """

    names: tuple[str, ...]
    lags: Array
    dh: Array
    dc: Array | None


def lagged(model: Any, x: Any, target: Any, t: int | None = None, state: Any = None,
           lengths: Any = None, mask: Any = None) -> Lagged:
    """The norm of dE_t/dh_{t-k} for every lag k, E_t being what step t adds to the loss.

    What is carried is rescaled at every step, so that no lag is too long: 0.25^100 = 6e-61 is
    reported as -60.2, whatever the dtype.

    Parameters
    ----------
    model, x, target, state, lengths, mask
        As in `gradient_flow`. A mean over steps divides E_t, too.
    t : int, optional
        The step of the loss, from 0; the last of each row if None. With `Last` it is that.

    Raises
    ------
    TypeError, ValueError
        As `gradient_flow`; if t is no step of x, or another than the last with `Last`.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.RNN(1, 1, activation="sigmoid", bias=False)])
    >>> with model.writable() as weights:
    ...     weights[:] = -1.0, 1.0  # of the input, and of h: h = 1/2 stays where it is
    >>> x, start = np.full((101, 1, 1), 0.5, np.float32), [np.full((1, 1, 1), 0.5, np.float32)]
    >>> found = lagged(model, x, 0 * x, state=start)
    >>> round(float(found.dh[0, 100, 0] - found.dh[0, 0, 0]), 1)  # 0.25^100
    -60.2
    """
    problem = prepared(model, x, target, state, lengths, mask)
    steps, rows = problem.x.shape[:2]
    ends = np.full(rows, steps) if problem.lengths is None else problem.lengths
    if t is not None:
        step_of("t", t, steps)
    if not problem.model.per_step and t not in (None, steps - 1):
        raise ValueError(f"t is {t}, expected None: a model with Last has a loss at the last "
                         "step alone")
    of_last = t is None or not problem.model.per_step
    at = ends - 1 if t is None or of_last else np.where(ends > t, t, -1)
    net = Unrolled(problem.model, problem.x, problem.state, problem.lengths)
    found = {one.name: np.full((2, steps, rows), -np.inf) for one in net.singles}

    def visit(one: Single | Stateless, step: int, exponent: Array) -> None:
        if isinstance(one, Single):
            assert one.record is not None
            found[one.name][0, step] = Scaled(one.record.dstates[0][0], exponent).log10
            cells = _cell_norms(one.layer, "_l0", one.record)
            if cells is not None:
                found[one.name][1, step] = Scaled(cells[0][:, None], exponent).log10

    net.back(_only(scaled(problem.dy), at), visit)
    curves = [np.stack([one.in_time(a) for a in found[one.name]]) for one in net.singles]
    last = int(at.max(initial=-1))
    first = 0 if problem.model.carries or of_last else -(steps - 1 - last)
    lags = np.arange(first, last + 1)
    by_lag = np.stack([_by_lag(curve, at, ends, lags) for curve in curves])
    has_cell = [len(one.layer._cell.states) > 1 for one in net.singles]
    by_lag[~np.array(has_cell), 1] = np.nan
    return Lagged(tuple(one.name for one in net.singles), lags, by_lag[:, 0],
                  by_lag[:, 1] if any(has_cell) else None)


def _only(dy: Scaled, at: Array) -> Scaled:
    """The gradient of the outputs at one step of each row alone; none where it is -1."""
    if dy.rows.ndim == 2:
        return Scaled(dy.rows, np.where(at >= 0, dy.exponent, NOTHING))
    here = np.arange(len(dy.rows))[:, None] == at
    return Scaled(np.where(here[..., None], dy.rows, dy.rows.dtype.type(0)),
                  np.where(here, dy.exponent, NOTHING))


def _by_lag(curve: Array, at: Array, ends: Array, lags: Array) -> Array:
    """The values (2, T, B) of steps as those (2, K, B) of lags behind `at`."""
    steps = at - lags[:, None]
    there = (steps >= 0) & (steps < ends) & (at >= 0)
    values = curve[:, np.clip(steps, 0, curve.shape[1] - 1), np.arange(len(at))]
    return np.where(there, values, np.nan)
