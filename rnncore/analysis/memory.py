"""What a network still knows of its past: things are forgotten on the way forward, too.

Two instruments, for every recurrent layer and direction by itself:

    perturbation   two runs that differ by a small vector in the state before a step; how far
                   they are apart k steps later. After each step the difference is scaled back
                   to its first size and the factor is noted (Benettin et al. 1980), so that a
                   decay of 1e-60 is a number, and the slope is the largest Lyapunov exponent.
    recall         how well a linear map of h_t gives the input of k steps ago, R^2 on sequences
                   that were held out; summed over k this is the memory capacity (Jaeger 2001).

Everything runs in float64, on a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore.analysis.problem import live_steps, prepared_input, step_of
from rnncore.analysis.unrolled import Single, Unrolled, parts, whole
from rnncore.layers.checks import check_count, not_negative, seeded
from rnncore.parameters import Array

# The size of the difference, as a share of the largest unit where that is above 1. Its square
# is what the two runs miss of a derivative, float64 rounding over it what they add: 1e-10.
_SMALL = 1e-6


@dataclass(frozen=True)
class Memory:
    """What one recurrent layer and direction remembers.

    Attributes
    ----------
    name : str
        As in the names of parameters: "0.l1_reverse". Time runs as the direction sees it.
    log10_perturbation : array (K + 1, B)
        log10 of the difference k steps after it came in, as a share of what it was; -inf where
        it is exactly 0, NaN past the end of a row.
    recall : array (K + 1,)
        R^2 of the layer's input of k steps ago from h_t, over sequences held out; below 0
        where the mean were a better guess, NaN where there are too few steps or the state
        overflows.
    """

    name: str
    log10_perturbation: Array
    recall: Array

    @property
    def mean_log10(self) -> Array:
        """The perturbation as a mean of logarithms over the rows that live, (K + 1,)."""
        live = ~np.isnan(self.log10_perturbation)
        total = np.where(live, self.log10_perturbation, 0.0).sum(1)
        return np.where(live.any(1), total / np.maximum(live.sum(1), 1), np.nan)

    @property
    def rate(self) -> float:
        """By what a step multiplies the difference, from the second half of the steps; NaN
        where it is 0 or there are fewer than 4.
        """
        logs = self.mean_log10[np.isfinite(self.mean_log10)]
        half = len(logs) // 2
        return float(10 ** ((logs[-1] - logs[half]) / (len(logs) - 1 - half))) \
            if len(logs) >= 4 else float("nan")

    @property
    def capacity(self) -> float:
        """The sum of recall over lags, none below 0: at most H / I of I white inputs."""
        return float(np.maximum(np.nan_to_num(self.recall), 0.0).sum())


def forward_memory(model: Any, x: Any, state: Any = None, lengths: Any = None, *,
                   lags: int = 50, at: int = 0, ridge: float = 1e-8,
                   seed: int | None = 0) -> list[Memory]:
    """How long a perturbation of the state lives, and which past inputs the state still has.

    Parameters
    ----------
    model : Model
        It is left as it is: a copy runs, without dropout.
    x, state, lengths
        As in `Model.forward`. For recall, as many steps in all rows as there are units, and
        better ten times as many.
    lags : int, default=50
        K; at most the number of steps is looked at.
    at : int, default=0
        The step before which the state is perturbed, counted from 0.
    ridge : float, default=1e-8
        The penalty of the linear map, as a share of the mean variance of the units.
    seed : int, optional
        Of the perturbation, a random direction of the whole carried state (h, and c of an
        LSTM) for each row.

    Returns
    -------
    list of Memory
        An entry for each recurrent layer and direction.

    Raises
    ------
    TypeError, ValueError
        If the model has no recurrent layer, something is not of its shape or not finite, there
        is no step, or `at` is beyond the last.

    Notes
    -----
    Half of the rows fit the linear map and the others test it; of a single row, the first half
    of its steps and the second.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.RNN(1, 20, bias=False), rc.Linear(20, 1)], seed=0)
    >>> rc.init.identity(model, "0.weight_hh*", scale=0.5)
    >>> x = 1e-3 * np.random.default_rng(0).standard_normal((200, 4, 1), np.float32)
    >>> memory = forward_memory(model, x)[0]  # about linear: all that counts is W = 0.5 I
    >>> round(memory.rate, 3), memory.recall[0].round(2).item(), memory.recall[9].item() < 0.05
    (0.5, 0.75, True)
    """
    check_count("lags", lags, 1)
    ridge, rng = not_negative("ridge", ridge), seeded(seed)
    network, x, checked, starts = prepared_input(model, x, state, lengths)
    if not len(x):
        raise ValueError("x has no steps, expected at least one")
    at = step_of("at", at, len(x))
    found = []
    for single in Unrolled(network, x, starts, checked).singles:
        logs = _perturbation(single, at, min(lags, len(x) - at), rng)
        found.append(Memory(single.name, logs, _recall(single, min(lags, len(x) - 1), ridge)))
    return found


def _perturbation(single: Single, at: int, lags: int, rng: np.random.Generator) -> Array:
    """log10 of the difference after 0, ..., lags steps, (lags + 1, B)."""
    ways = [rng.standard_normal(s.shape) for s in parts(single.states[at])]
    live = live_steps(single.inputs.shape[:2], single.lengths)
    logs = np.full((lags + 1, live.shape[1]), np.nan)
    norm = _norm(ways)
    ways = [_by_row(1 / norm, way) * way for way in ways]
    logs[0] = np.where(live[at], 0.0, np.nan)
    for k in range(1, lags + 1):
        step = at + k - 1
        ways = _moved(single, step, ways)
        norm = _norm(ways)
        with np.errstate(divide="ignore"):
            logs[k] = np.where(live[step], logs[k - 1] + np.log10(norm), np.nan)
        ways = [_by_row(1 / np.where(norm > 0, norm, 1.0), way) * way for way in ways]
    return logs


def _moved(single: Single, step: int, ways: list[Array]) -> list[Array]:
    """Where one step takes unit vectors, by a central difference."""
    here, states = slice(step, step + 1), parts(single.states[step])
    small, ends = _SMALL * np.maximum(np.max([_largest(s) for s in states], axis=0), 1.0), []
    for size in (small, -small):
        begin = [s + _by_row(size, way) * way for s, way in zip(states, ways, strict=True)]
        ends.append(parts(single.layer.infer(single.inputs[here], whole(begin),
                                             single.live(step))[1]))
    with np.errstate(invalid="ignore"):  # of a state that overflowed
        return [(up - down) / _by_row(2 * small, up) for up, down in zip(*ends, strict=True)]


def _largest(array: Array) -> Array:
    """The largest magnitude of each row, (B,), of (..., B, H)."""
    return np.asarray(np.abs(array).max(axis=_but_rows(array)))


def _norm(arrays: list[Array]) -> Array:
    """The norm of each row, (B,), over all arrays (..., B, H)."""
    return np.asarray(np.sqrt(np.sum([(a**2).sum(axis=_but_rows(a)) for a in arrays], axis=0)))


def _but_rows(array: Array) -> tuple[int, ...]:
    """The axes of (..., B, H) but that of the rows."""
    return (*range(array.ndim - 2), array.ndim - 1)


def _by_row(values: Array, like: Array) -> Array:
    return np.broadcast_to(values[:, None], like.shape)


def _recall(single: Single, lags: int, ridge: float) -> Array:
    """R^2 of the inputs of 0, ..., lags steps ago, (lags + 1,)."""
    states = np.stack([_hidden(single, state) for state in single.states[1:]])
    live = live_steps(single.inputs.shape[:2], single.lengths)
    size = states.shape[1]
    found = np.full(lags + 1, np.nan)
    fits = np.zeros(live.shape, bool)
    if size > 1:
        fits[:, : size // 2] = True
    else:
        fits[: len(live) // 2] = True
    for k in range(lags + 1):
        h, x, used = states[k:], single.inputs[:len(live) - k], live[k:]
        train, test = used & fits[k:], used & ~fits[k:]
        if train.sum() >= 2 and test.sum() >= 2:
            found[k] = _r_squared(h[train], x[train], h[test], x[test], ridge)
    return found


def _hidden(single: Single, state: Any) -> Array:
    """h (B, H) of a state, the newest of several past ones."""
    h = parts(state)[0][0]
    return np.asarray(h if h.ndim == 2 else h[0])


def _r_squared(h: Array, x: Array, h_test: Array, x_test: Array, ridge: float) -> float:
    """1 - what a linear map of h misses of x, as a share of what the mean misses."""
    with np.errstate(over="ignore", invalid="ignore"):  # of a state that overflowed
        mean_h, mean_x = h.mean(0), x.mean(0)
        h, x = h - mean_h, x - mean_x
        product = h.T @ h
    if not np.isfinite(product).all():
        return float("nan")
    product.flat[:: len(product) + 1] += ridge * np.trace(product) / len(product) + 1e-300
    weights = np.linalg.lstsq(product, h.T @ x)[0]
    missed = x_test - mean_x - (h_test - mean_h) @ weights
    total = float(((x_test - mean_x) ** 2).sum())
    return 1 - float((missed**2).sum()) / total if total > 0 else float("nan")
