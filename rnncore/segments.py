"""Back-propagation through time in segments.

A batch is cut every so many steps, and wherever a row's state is reset. Going forwards only
the states at the cuts are kept; going backwards, each segment is run once more from its state
(the last one only now), and the gradient of its initial state goes on to the segment before it
(Chen et al. 2016; Gruslys et al. 2016). With cuts every S steps the memory is that of S steps
and of T / S states. A single segment is run once: plain back-propagation through time.

At a reset the state of a row becomes zero, and so does the gradient that would cross it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnncore.batch import Batch
from rnncore.engine.spec import Remedies
from rnncore.parameters import Array
from rnncore.sums import exact_sum

if TYPE_CHECKING:
    from rnncore.model import Model
    from rnncore.network import State


class Pass(NamedTuple):
    """What a pass forwards and backwards found, beside the gradients of the parameters.

    `weight` is the sum of the weights of all that counted, `dstate` the gradient of the
    initial state.
    """

    loss: float
    state: State
    weight: float
    dstate: State


def add_gradient(model: Model, batch: Batch, state: State, every: int | None = None,
                 given: Remedies | None = None) -> Pass:
    """Add the gradients of a batch to `model.grads`, in segments of at most `every` steps.

    On the native engine loss and gradients have the same bits for every cut, but for cells with
    `skip` or several taps, which round otherwise at a cut, and for a loss of the user's own.
    With dropout that holds where one layer drops out; several draw their
    masks in an order that depends on the cuts.
    """
    order, own = _order(model, batch), batch.weights()
    if order is None:
        return _add_gradient(model, batch, own, state, every, given)
    found = _add_gradient(model, batch._replace(columns=order),
                          None if own is None else own[:, order], _rows(state, order), every,
                          given)
    back = np.argsort(order)
    return found._replace(state=_rows(found.state, back), dstate=_rows(found.dstate, back))


def _add_gradient(model: Model, batch: Batch, own: Array | None, state: State,
                  every: int | None, given: Remedies | None) -> Pass:
    """The same of rows in the order that they are summed in; `own` are their weights."""
    spans = list(segments(batch, every))
    starts = _states_at(model, batch, spans, state)
    weights = model.loss.weights(model.output_shape(batch.x), own, model.reduction)
    terms: list[Array] = []
    omegas: list[list[Any]] = []
    dstate: State = [None] * len(model.layers)
    for (start, stop), (state, drawn) in zip(spans[::-1], starts[::-1], strict=True):
        piece = batch.cut(start, stop)
        model.restore_generators(drawn)
        y, state = model.run(piece.x, state, piece.lengths)
        if not terms:
            end, after = state, _drawn(model)
        part, dy = model.loss.terms(y, piece.target,
                                    weights[start:stop] if model.per_step else weights)
        terms.append(part)
        del y  # not to be held while the next segment runs
        dstate = reset(model.run_back(dy, dstate, remedies=given)[1], piece)
        omegas.append([layer.omega for layer in model.layers])
        del dy
    model.restore_generators(after)
    for layer, parts in zip(model.layers, zip(*omegas, strict=True), strict=True):
        layer.omega = [_sum(of_one) for of_one in zip(*parts, strict=True)]
    weight = float(weights.size if own is None else own.sum(dtype=np.float64))
    return Pass(exact_sum(np.concatenate(terms)), end, weight, dstate)


def _sum(omegas: tuple[tuple[float, int, int], ...]) -> tuple[float, int, int]:
    """Omega, its live terms and all its terms, of all segments."""
    values, live, terms = zip(*omegas, strict=True)
    return sum(values), sum(live), sum(terms)


def check_segments(batch: Batch, every: int | None, given: Remedies | None) -> None:
    """Refuse an Omega that no segment can know."""
    wants_mean = given is not None and given.omega and given.mean
    if wants_mean and len(list(segments(batch, every))) > 1:
        raise ValueError("omega has reduction 'mean', expected 'sum' with checkpoint_every or "
                         "resets: a segment does not know over how many steps the mean is")


def _order(model: Model, batch: Batch) -> Array | None:
    """The rows, longest first, in which the engine sums them; None if they are so already.

    Cut at the end of a segment, lengths may tell less than they did, but rows that are sorted
    stay so: each sum over rows has the same order in every cut.
    """
    if batch.lengths is None or not model.carries or (np.diff(batch.lengths) <= 0).all():
        return None
    return np.argsort(-batch.lengths, kind="stable")


def _rows(state: State, order: Array) -> State:
    return _each(state, lambda array: array[..., order, :])


def _each(state: State, change: Callable[[Array], Array]) -> State:
    """A change of every array of a state."""
    return [None if entry is None else tuple(map(change, entry)) if isinstance(entry, tuple)
            else change(entry) for entry in state]


def _states_at(model: Model, batch: Batch, spans: list[tuple[int, int]],
               state: State) -> list[tuple[State, list[Any]]]:
    """The states that the segments start from, and the generators' before their masks."""
    found = []
    for number, (start, stop) in enumerate(spans):
        piece = batch.cut(start, stop)
        state = reset(state, piece)
        found.append((state, _drawn(model)))
        if number < len(spans) - 1:  # a forward pass draws the masks that infer leaves out
            _, state = model.run(piece.x, state, piece.lengths, infer=not model.drops_out)
    return found


def _drawn(model: Model) -> list[Any]:
    """The states of the dropout's generators; an empty list where nothing is dropped out."""
    return model.generator_states() if model.drops_out else []


def segments(batch: Batch, every: int | None = None) -> Iterator[tuple[int, int]]:
    """The first step of each segment and the one behind its last; one segment of no steps."""
    total = len(batch.x)
    cuts = set(range(0, total, every or max(total, 1))) or {0}
    if batch.resets is not None and total:
        cuts |= set(np.flatnonzero(batch.resets.reshape(total, -1).any(axis=1)).tolist())
    first = sorted(cuts)
    yield from zip(first, [*first[1:], total], strict=True)


def reset(state: State, piece: Batch) -> State:
    """States (or their gradients) with zeros in the rows that are reset before `piece`."""
    if piece.resets is None or not piece.resets[:1].any():
        return state
    rows = piece.resets[0][..., None]  # (B, 1), or (1,) for one sequence
    return _each(state, lambda array: np.where(rows, array.dtype.type(0), array))


def outputs(model: Model, batch: Batch, state: State,
            every: int | None = None) -> Iterator[tuple[Batch, Array, State]]:
    """Run a batch without dropout; give each segment, its outputs and its end state."""
    for start, stop in segments(batch, every):
        piece = batch.cut(start, stop)
        y, state = model.run(piece.x, reset(state, piece), piece.lengths, infer=True)
        yield piece, y, state
