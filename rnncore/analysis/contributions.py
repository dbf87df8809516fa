"""What every step contributes to the gradient of the loss of every later one.

    dE/dtheta = sum_t dE_t/dtheta
    dE_t/dtheta = sum_k (dE_t/dh_t) (dh_t/dh_k) (d+h_k/dtheta)

where d+ is the immediate derivative, h_{k-1} held constant (Pascanu, Mikolov & Bengio 2013,
eq. 3-5). A term says what the use of theta at step k has to do with the error at step t; those
with k far from t are the long-term contributions, which vanish first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore.analysis.flow import _only
from rnncore.analysis.problem import prepared
from rnncore.analysis.scaled import NOTHING, norms, scaled, times
from rnncore.analysis.unrolled import Single, Stateless, Unrolled
from rnncore.parameters import Array


@dataclass(frozen=True)
class Contributions:
    """What `temporal_contributions` returns.

    Attributes
    ----------
    steps : array (E,)
        The steps t whose errors were gone back from; of a model with `Last` its one.
    norms : dict of str to array (E, T)
        By parameter, |term(t, k)|, the whole batch's; 0 where nothing flows, as for k > t; inf
        past what a float64 can be.
    gradient : dict of str to array
        By parameter, the sum of all terms, in float64: with all steps the gradient of the loss.
    """

    steps: Array
    norms: dict[str, Array]
    gradient: dict[str, Array]

    def by_lag(self, name: str) -> Array:
        """The sums (T,) over t of the norms of the terms of lag t - k = 0, ..., T - 1.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        if name not in self.norms:
            raise ValueError(f"name is {name!r}, expected one of {', '.join(self.norms)}")
        terms, total = self.norms[name], np.zeros(self.norms[name].shape[1])
        for t, row in zip(self.steps, terms, strict=True):
            total[: t + 1] += row[t::-1]
        return total

    def share(self, name: str) -> Array:
        """The share (T,) that the terms of each lag have in the sum of the norms of all; 0
        where there is no gradient, NaN of terms that are inf.
        """
        lags = self.by_lag(name)
        with np.errstate(invalid="ignore"):
            return np.asarray(lags / (lags.sum() or 1.0))


def temporal_contributions(model: Any, x: Any, target: Any, steps: Any = None,
                           state: Any = None, lengths: Any = None,
                           mask: Any = None) -> Contributions:
    """The norm of every (t, k) term of the gradient, of every parameter, and their sum.

    Takes a forward and a backward pass of one step for every term: some seconds for 100 steps.

    Parameters
    ----------
    model, x, target, state, lengths, mask
        As in `gradient_flow`. No lengths with `Last`, whose rows would end at other steps.
    steps : sequence of int, optional
        The steps t to go back from; all if None.

    Raises
    ------
    TypeError, ValueError
        As `gradient_flow`; if a model with a reverse direction is given, whose terms have no
        order in time, or steps are not in x.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.RNN(3, 8), rc.Linear(8, 2)], seed=0)
    >>> x, y = np.ones((6, 4, 3), np.float32), np.ones((6, 4, 2), np.float32)
    >>> terms = temporal_contributions(model, x, y)
    >>> terms.norms["0.weight_hh_l0"].shape
    (6, 6)
    >>> loss, _ = model.loss_and_grad(x, y)
    >>> bool(np.allclose(terms.gradient["1.bias"], model.grad_dict()["1.bias"]))
    True
    """
    problem = prepared(model, x, target, state, lengths, mask)
    total, rows = problem.x.shape[:2]
    _check(problem.model, lengths)
    chosen = _chosen(steps, total) if problem.model.per_step else np.array([total - 1])
    net = Unrolled(problem.model, problem.x, problem.state, problem.lengths)
    shapes = {name: values.shape for name, values in problem.model.tensors.items()}
    found = {name: np.zeros((len(chosen), total)) for name in shapes}
    gradient = {name: np.zeros(shape) for name, shape in shapes.items()}
    for number, t in enumerate(chosen):
        def visit(one: Single | Stateless, step: int, exponent: Array,
                  number: int = number) -> None:
            top = exponent.max(initial=NOTHING)
            for name, grad in one.layer.grad_dict().items():
                with np.errstate(over="ignore", invalid="ignore"):
                    term = times(grad.astype(np.float64).ravel(), top)
                    found[one.parameter(name)][number, step] = norms(term)
                    gradient[one.parameter(name)] += term.reshape(grad.shape)

        at = np.full(rows, t)
        net.back(_only(scaled(problem.dy), at), visit, common=True)
    return Contributions(chosen, found, gradient)


def _check(model: Any, lengths: Any) -> None:
    for number, layer in enumerate(model.layers):
        if layer.config().get("bidirectional"):
            raise ValueError(f"layer {number}, {layer!r}, is bidirectional, expected forward "
                             "directions alone: its terms have no order in time")
    if not model.per_step and lengths is not None:
        raise ValueError("lengths came for a model with Last, expected None: its rows would "
                         "end at different steps")


def _chosen(steps: Any, total: int) -> Array:
    if steps is None:
        return np.arange(total)
    chosen = np.atleast_1d(np.asarray(steps))
    if chosen.dtype.kind not in "iu" or chosen.ndim != 1:
        raise TypeError(f"steps is {steps!r}, expected a sequence of integers")
    if chosen.size and (chosen.min() < 0 or chosen.max() >= total):
        raise ValueError(f"steps lie in [{chosen.min()}, {chosen.max()}], expected in "
                         f"[0, {total - 1}]")
    return chosen
