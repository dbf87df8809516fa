"""Thresholds for clipping the norm of the gradient.

A good threshold is a multiple of the norm that is usual: "a rule of thumb is to look at the
average norm of the gradient over a sufficiently large number of updates"; half to ten times
that average still converges (Pascanu, Mikolov & Bengio 2013, section 3.2). Norms, and so
thresholds, go with the reduction of the loss: a sum has other norms than a mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnncore.layers.checks import check_count
from rnncore.training.history import History

if TYPE_CHECKING:
    from rnncore.model import Model

Make = Callable[[int], tuple["Model", Any, Mapping[str, Any]]]

_EDGE = 10  # the first and the last tenth of a run's updates are compared


def suggest_threshold(history: History, factor: float = 1.0) -> float:
    """A threshold for `clip_norm` from the norms of a run: factor times their running mean.

    Parameters
    ----------
    history : History
        Of a `fit` of some hundred updates or more; norms that are not finite are left out.
    factor : float, default=1.0
        Half to ten are known to converge; smaller ones act as a smaller learning rate.

    Returns
    -------
    float
        The running mean after the last update is the plain mean of all norms so far.

    Raises
    ------
    ValueError
        If no norm is finite and above 0, or the factor is not above 0.

    Examples
    --------
    >>> history = History()
    >>> history.grad_norm = [1.0, 2.0, 9.0]
    >>> suggest_threshold(history, factor=0.5)
    2.0
    """
    if not 0 < factor < math.inf:
        raise ValueError(f"factor is {factor}, expected a finite number above 0")
    mean, count = 0.0, 0
    for norm in history.grad_norm:
        if math.isfinite(norm):
            count += 1
            mean += (norm - mean) / count  # never above the largest norm
    if mean == 0:
        raise ValueError(f"history has {len(history.grad_norm)} norms, expected some that are "
                         "finite and above 0")
    return factor * mean


def sweep_threshold(make: Make, thresholds: Sequence[float], *, runs: int = 3,
                    updates: int = 100) -> float | None:
    """The highest threshold that stays stable in all of some short runs.

    A run is stable if every loss, norm and parameter is finite, and the mean loss of the last
    tenth of its updates is not above that of the first tenth.

    Parameters
    ----------
    make : callable
        `make(seed) -> (model, data, options)`: a fresh model, what to fit it to, and further
        arguments of `fit` such as a fresh optimizer. Seeds are 0, 1, ...
    thresholds : sequence of float
        Values of `clip_norm`, in any order; inf for no clipping.
    runs, updates : int
        How many runs each threshold has to stand, and how long they are.

    Returns
    -------
    float or None
        None if no threshold is stable. Thresholds are tried from the highest down, so that
        those below the answer are not tried at all.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, or `fit` refuses what `make` gave.

    Examples
    --------
    >>> import rnncore as rc
    >>> def make(seed):
    ...     model = rc.Model([rc.Linear(1, 1)], "mse", seed=seed)
    ...     data = np.ones((9, 4, 1), np.float32), np.ones((9, 4, 1), np.float32)
    ...     return model, data, {"optimizer": rc.SGD(10.0)}
    >>> sweep_threshold(make, [0.001, 1000.0], runs=2, updates=20)
    0.001
    """
    check_count("runs", runs)
    check_count("updates", updates, at_least=2)
    for threshold in thresholds:
        if not threshold > 0:
            raise ValueError(f"thresholds hold {threshold}, expected numbers above 0")
    for threshold in sorted(set(thresholds), reverse=True):
        if all(_is_stable(*make(seed), threshold, updates) for seed in range(runs)):
            return threshold
    return None


def _is_stable(model: Model, data: Any, options: Mapping[str, Any], threshold: float,
               updates: int) -> bool:
    """Whether a run goes well to its end."""
    own = {"clip_norm": threshold, "updates_per_epoch": updates, "on_nonfinite": "raise"}
    try:
        history = model.fit(data, **{**options, **own})
    except FloatingPointError:
        return False
    edge = max(1, updates // _EDGE)
    first, last = np.mean(history.update_loss[:edge]), np.mean(history.update_loss[-edge:])
    return bool(last <= first and np.isfinite(model.parameters).all())
