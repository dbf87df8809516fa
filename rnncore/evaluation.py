"""Measuring a model on data: loss and accuracy, whatever the batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnncore.data import Data, arrange
from rnncore.layers.checks import check_count
from rnncore.segments import outputs

if TYPE_CHECKING:
    from rnncore.model import Model

# Elements of outputs that are kept at a time: 16 MB in float32.
_KEPT = 2**22


class Evaluation(NamedTuple):
    """The loss of a model on data, and its accuracy where the loss has one.

    Attributes
    ----------
    loss : float
        With the model's reduction, over all that counts; 0 if nothing does.
    accuracy : float or None
        The share of steps (or sequences) whose integer class has the largest output; for
        "bernoulli" the share of elements on their side of 1/2; None for other targets.
    counted : int
        How many steps (or sequences) counted: those whose weight is above 0.
    """

    loss: float
    accuracy: float | None
    counted: int

    def __repr__(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy={self.accuracy:.4g}"
        return f"Evaluation(loss={self.loss:.6g}{accuracy}, counted={self.counted})"


def evaluate(model: Model, data: Any, *, batch_size: int = 32) -> Evaluation:
    """Measure loss and accuracy on data, without dropout.

    Parameters
    ----------
    data
        As in `fit`.
    batch_size : int, default=32
        The number of sequences run at a time; the result does not depend on it but by rounding.

    Returns
    -------
    Evaluation
        The mean is over all that counts in all the data, not a mean of the batches' means.

    Raises
    ------
    TypeError, ValueError
        If something in the data does not fit the model.

    Examples
    --------
    >>> import numpy as np, rnncore as rc
    >>> model = rc.Model([rc.GRU(3, 8), rc.Last(), rc.Linear(8, 2)], "cross_entropy", seed=0)
    >>> x, y = np.zeros((5, 4, 3), np.float32), np.zeros(4, int)
    >>> model.evaluate((x, y)).counted
    4
    """
    check_count("batch_size", batch_size)
    return evaluate_arranged(model, arrange(model, data), batch_size)


def evaluate_arranged(model: Model, data: Data, batch_size: int) -> Evaluation:
    """`evaluate` of data that have been checked."""
    loss, total, count, correct, has_accuracy = 0.0, 0.0, 0, 0.0, True
    for batch in data.batches(batch_size, None):
        steps = _steps_at_a_time(model, batch_size)
        for piece, y, _ in outputs(model, batch, model.states(None), steps):
            valid = piece.weights()
            weights = model.loss.weights(y.shape, valid, "sum")
            loss += model.loss.value(y, piece.target, weights)
            total += float(weights.sum())
            count += int(np.count_nonzero(weights))
            right = model.loss.correct(y, piece.target, valid)
            has_accuracy = has_accuracy and right is not None
            correct += right or 0.0
    if model.reduction == "mean" and total > 0:
        loss /= total * (model.output_size if model.loss.per_element else 1)
    return Evaluation(loss, correct / count if has_accuracy and count else None, count)


def _steps_at_a_time(model: Model, batch_size: int) -> int | None:
    """Few enough steps to keep memory small; all where the state cannot be carried on."""
    return max(1, _KEPT // (model.output_size * batch_size)) if model.carries else None


def check_pieces(model: Model, name: str, steps: int | None) -> None:
    """Refuse a number of steps to a piece that is none, or of a model that has no pieces."""
    if steps is None:
        return
    check_count(name, steps)
    if not model.carries:
        raise ValueError(f"{name} is {steps}, expected None for a model with Last or a "
                         "bidirectional layer: its steps cannot be run in pieces")
