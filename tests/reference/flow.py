"""The backward pass of one row, a step at a time: what enters a step, what leaves it, per-step
clipping, and Omega with everything but the recurrent weights held fixed.

Every step is differentiated by itself, by the complex step; nothing is taken from the library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .cells import ACTIVATIONS, CELLS, Array, Weights, sigmoid
from .derivatives import complex_step
from .parameters import depth, tap_names

SUFFIX = "_l0"


@dataclass
class Step:
    """One step: past states (parts, D, H), what enters (parts, H), what leaves to the past
    (parts, D, H), and the gradient of the pre-activations, in the rows of weight_hh."""

    t: int
    past: Array
    entering: Array
    leaving: Array
    dz: Array
    r: Array


@dataclass
class Row:
    """One row of a layer of one direction and depth: x (L, I), start (parts, D, H), and the
    gradients that come in, dy (L, H) and dlast (parts, D, H)."""

    kind: str
    params: Mapping[str, Array]
    options: dict[str, Any]
    x: Array
    start: Array
    dy: Array
    dlast: Array

    def __post_init__(self) -> None:
        self.own = {k: v for k, v in self.options.items() if k not in ("taps", "bias")}
        self.taps = self.options.get("taps", (1,))
        self.skip = self.options.get("skip")

    def step(self, params: Mapping[str, Array], x: Array, past: Array) -> Array:
        """(y, *new states), flat."""
        w = Weights(params, SUFFIX, self.taps)
        return np.concatenate(CELLS[self.kind](w, x, *map(list, past), **self.own))

    @property
    def has_weights(self) -> bool:
        """Whether there are recurrent weights."""
        return self.kind not in ("MinGRU", "IdentityRNN")

    @property
    def bias(self) -> str:
        """The bias in whose rows those of weight_hh are."""
        return ("bias_hh" if self.kind in ("RNN", "LSTM", "GRU") else "bias_ih") + SUFFIX

    def pasts(self) -> list[Array]:
        """The past states of every step, and in the end those of the step after the last."""
        pasts = [self.start]
        for x in self.x:
            new = self.step(self.params, x, pasts[-1]).reshape(-1, self.start.shape[2])[1:]
            pasts.append(np.concatenate([new[:, None], pasts[-1][:, :-1]], axis=1))
        return pasts

    def back(self, t: int, past: Array, cotangent: Array) -> Step:
        rows = len(self.params.get(f"weight_hh{SUFFIX}", np.zeros(self.start.shape[2])))
        zero = np.zeros(rows)

        def through(v: Array) -> Any:
            bias = self.params.get(self.bias, 0.0)
            if self.has_weights:
                bias = bias + v[past.size :]
            given = v[: past.size].reshape(past.shape)
            return cotangent @ self.step({**self.params, self.bias: bias}, self.x[t], given)

        gradient = complex_step(through, np.concatenate([past.ravel(), zero]))
        r = np.ones(0)
        if self.kind == "GRU":
            w = Weights(self.params, SUFFIX, self.taps)
            r = sigmoid((w.ih(self.x[t]) + w.hh(list(past[0])))[: past.shape[2]])
        return Step(t, past, np.zeros(0), gradient[: past.size].reshape(past.shape),
                    gradient[past.size :], r)

    def steps(self, clip: Callable[[Array, Array], Array] | None = None) -> list[Step]:
        """All steps, last first; `clip` maps (what arrives, what entered where it came from)
        to what goes on. The last entry holds what enters the initial states, t = -1, newest
        first, in `entering` (parts, D, H)."""
        length, (parts, D, H) = len(self.x), self.start.shape
        joins = np.zeros((length + D, parts, H))  # of step t at t + D
        arriving = np.zeros_like(joins)
        entered: dict[int, Array] = {}
        for k in range(D):
            joins[length - 1 - k + D] += self.dlast[:, k]
        if self.kind != "IntersectionRNN":
            joins[D:, 0] += self.dy
        near, found, pasts = min(*self.taps, self.skip or max(self.taps)), [], self.pasts()
        for t in range(length - 1, -D - 1, -1):
            if clip is not None and t + near < length and t + near >= 0:
                arriving[t + D] = clip(arriving[t + D], entered[t + near])
            entered[t] = arriving[t + D] + joins[t + D]
            if t < 0:
                continue
            y = self.dy[t] if self.kind == "IntersectionRNN" else np.zeros(H)
            step = self.back(t, pasts[t], np.concatenate([y, entered[t].ravel()]))
            step.entering = entered[t]
            for k in range(D):
                arriving[t - 1 - k + D] += step.leaving[:, k]
            found.append(step)
        start = np.stack([entered[-1 - k] for k in range(D)], axis=1)
        return [*found, Step(-1, self.start, start, self.start, np.zeros(0), np.zeros(0))]

    def gradients(self, steps: Sequence[Step]) -> dict[str, Array]:
        """By name the gradients of the parameters and of x, for what entered the steps."""
        found = {name: np.zeros(value.shape) for name, value in self.params.items()}
        found["x"] = np.zeros(self.x.shape)
        for step in steps[:-1]:
            y = self.dy[step.t] if self.kind == "IntersectionRNN" else 0 * self.dy[0]
            cotangent = np.concatenate([y, step.entering.ravel()])
            for name, value in self.params.items():
                found[name] += complex_step(
                    lambda v, n=name, s=step, c=cotangent:
                    c @ self.step({**self.params, n: v}, self.x[s.t], s.past), value)
            found["x"][step.t] = complex_step(
                lambda v, s=step, c=cotangent: c @ self.step(self.params, v, s.past),
                self.x[step.t])
        return found

    def leaves(self, step: Step, tap: int, moved: Mapping[str, Array]) -> Array:
        """z of one tap (parts, H), with the recurrent weights moved and all else fixed."""
        z = step.leaving[:, tap - 1].astype(complex)
        if not self.has_weights:
            return z
        weight = moved[tap_names(SUFFIX, self.taps)[tap]]
        if self.kind == "IndRNN":
            z[0] += weight * step.dz
            return z
        change = weight.T @ step.dz
        if self.options.get("reset") == "before":
            H = len(step.r)
            change = weight[: 2 * H].T @ step.dz[: 2 * H] + step.r * (
                weight[2 * H :].T @ step.dz[2 * H :])
        if self.options.get("form") == "pascanu":
            f = ACTIVATIONS[self.options.get("activation", "tanh")]
            change = change * np.array([complex_step(f, np.array(s))
                                        for s in step.past[0, tap - 1]])
        z[int(self.options.get("peephole") == "cell")] += change
        return z


def depth_of(options: Mapping[str, Any]) -> int:
    return depth(**{k: v for k, v in options.items() if k in ("taps", "skip")})


def omega(
    rows: Sequence[tuple[Row, Sequence[Step]]],
    moved: Mapping[str, Array],
    form: str,
    reduction: str,
    bound: float = 1e-20,
) -> tuple[Any, int, int]:
    """Omega of all rows, its live terms and its terms; `moved` is added to the weights."""
    total, live, terms = 0.0, 0, 0
    for row, steps in rows:
        for step in steps[:-1]:
            size = (step.entering**2).sum()
            for tap in row.taps:
                terms += 1
                if size < bound:
                    continue
                live += 1
                z = row.leaves(step, tap, moved)
                ratio = (z * z).sum() / size
                total = total + ((ratio if form == "squared" else np.sqrt(ratio)) - 1) ** 2
    return total / max(live if reduction == "mean" else len(rows), 1), live, terms
