"""What an update goes by, and the update itself.

In this order: the gradient of the loss, with Omega and per-step clipping; the regularizers'
gradients; the norm, which is recorded, and clipping by it; clipping of values; the optimizer's
step; the constraints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnncore.evaluation import check_pieces
from rnncore.interrupts import uninterrupted
from rnncore.layers.checks import check_count
from rnncore.optim import Adam, Optimizer, check_clipping
from rnncore.remedies import ClipStep, Omega, remedies
from rnncore.schedules import Schedule
from rnncore.training.history import History

if TYPE_CHECKING:
    from rnncore.model import Model

_REMEDIES = ("a lower learning rate, clip_norm=, clip_step= or omega= keep it in bounds, and "
             "on_nonfinite='skip' leaves such updates out")


class DivergenceError(FloatingPointError):
    """An update was not made: its loss or gradient is not finite.

    Parameters
    ----------
    message : str
        All there is to say.
    finding : str
        What is not finite, by itself.

    Examples
    --------
    >>> _divergence(3, "loss is inf").finding
    'loss is inf'
    """

    def __init__(self, message: str, finding: str = "") -> None:
        super().__init__(message)
        self.finding = finding


class Rules(NamedTuple):
    """What an update goes by; `checked` makes them."""

    optimizer: Optimizer
    schedule: Schedule | None
    windows: tuple[int, int] | None
    checkpoint_every: int | None
    clip_norm: float
    clip_value: float | None
    regularizers: tuple[Any, ...]
    constraints: tuple[Any, ...]
    omega: Omega | None
    clip_step: ClipStep | float | None
    on_nonfinite: str


def checked(model: Model, optimizer: Optimizer | None, schedule: Schedule | None,
            tbptt: int | tuple[int, int] | None, checkpoint_every: int | None,
            clip_norm: float | None, clip_value: float | None, regularizers: Sequence[Any],
            constraints: Sequence[Any], omega: Omega | None, clip_step: ClipStep | float | None,
            on_nonfinite: str) -> Rules:
    """The rules, checked; the optimizer gets its moments, or refuses the model."""
    windows = _windows(model, tbptt)
    check_pieces(model, "checkpoint_every", checkpoint_every)
    threshold = math.inf if clip_norm is None else clip_norm
    check_clipping(threshold, on_nonfinite)
    if clip_value is not None:
        check_clipping(clip_value, on_nonfinite, "clip_value")
    if schedule is not None and not isinstance(schedule, Schedule):
        raise TypeError(f"schedule is of type {type(schedule).__name__}, expected a Schedule "
                        "such as StepDecay(10)")
    _check_method("regularizers", regularizers, "add_gradient")
    _check_method("constraints", constraints, "project")
    remedies(omega, clip_step)
    optimizer = Adam() if optimizer is None else optimizer
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is of type {type(optimizer).__name__}, expected an "
                        "Optimizer such as Adam()")
    optimizer.attach(model.tensors)
    return Rules(optimizer, schedule, windows, checkpoint_every, threshold, clip_value,
                 tuple(regularizers), tuple(constraints), omega, clip_step, on_nonfinite)


def _windows(model: Model, tbptt: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """(k1, k2) of `tbptt`, where a number k means (k, k)."""
    if tbptt is None:
        return None
    if not isinstance(tbptt, tuple):
        check_pieces(model, "tbptt", tbptt)
        return tbptt, tbptt
    if len(tbptt) != 2:
        raise ValueError(f"tbptt is {tbptt}, expected a number k or a pair (k1, k2)")
    for index, steps in enumerate(tbptt):
        check_pieces(model, f"tbptt[{index}]", steps)
    if tbptt[0] > tbptt[1]:
        raise ValueError(f"tbptt is {tbptt}, expected k1 <= k2: k1 steps between two updates, "
                         "k2 steps to run back")
    return tbptt


def _check_method(name: str, values: Any, method: str) -> None:
    if not isinstance(values, (tuple, list)):
        raise TypeError(f"{name} is of type {type(values).__name__}, expected a tuple or list")
    for value in values:
        if not callable(getattr(value, method, None)):
            raise TypeError(f"{name} holds {value!r}, expected objects with a method {method}")


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Refuse what cannot be called."""
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"callbacks holds {callback!r}, expected callables")


def check_patience(patience: int | None, has_valid: bool) -> None:
    """Refuse early stopping that has nothing to go by."""
    if patience is None:
        return
    check_count("early_stopping", patience)
    if not has_valid:
        raise ValueError(f"early_stopping is {patience}, but valid is None: expected valid= "
                         "to go by")


def update(model: Model, loss: float, rules: Rules, history: History) -> None:
    """Clip and step, unless something is not finite and the rules are against it."""
    number = len(history.update_loss)
    if not math.isfinite(loss) and rules.on_nonfinite == "raise":
        raise _divergence(number + 1, f"loss is {loss}, expected a finite number")
    penalties = [regularizer.add_gradient(model) for regularizer in rules.regularizers]
    zeroed = rules.on_nonfinite == "zero" and not np.isfinite(model.grads).all()
    try:
        norm = model.clip_norm(rules.clip_norm, rules.on_nonfinite)
    except FloatingPointError as error:
        raise _divergence(number + 1, str(error)) from None
    if rules.clip_value is not None:
        model.clip_value(rules.clip_value, rules.on_nonfinite)
    factor = 1.0
    if rules.schedule is not None:
        factor = float(rules.schedule.factor(number, len(history.loss)))
    skipped = rules.on_nonfinite == "skip" and not math.isfinite(loss + norm)
    with uninterrupted():  # Ctrl-C comes between two updates
        history.update_loss.append(loss)
        history.grad_norm.append(norm)
        history.lr_factor.append(factor)
        history.penalty += [float(sum(penalties))] if penalties else []
        if rules.omega is not None:
            history.omega.append(model.omega.value)
            history.omega_live.append(model.omega.share)
        history.skipped += skipped
        history.zeroed += zeroed
        if not skipped:
            rules.optimizer.step(model, factor)
            for constraint in rules.constraints:
                constraint.project(model)


def _divergence(update: int, finding: str) -> DivergenceError:
    return DivergenceError(f"update {update}: the {finding}; {_REMEDIES}", finding)
