"""Optimizers and clipping, on a model's flat arrays.

    SGD    v <- momentum v + g,  w <- w - lr v      (Polyak 1964, as torch.optim.SGD)
    Adam   m <- m + (1 - b1)(g - m),  v <- b2 v + (1 - b2) g^2,
           w <- w - lr / (1 - b1^t)  m / (sqrt(v / (1 - b2^t)) + eps)
                                          (Kingma & Ba 2015, as torch.optim.Adam)

An update runs over the flat arrays in blocks that stay in cache: each byte of weights,
gradients and moments is moved once, and the only scratch is one block. It is never left half
done: Ctrl-C and SIGTERM wait for its end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from rnncore.engine.gradient import global_norm, scale
from rnncore.parameters import Array, Parameters, uninterrupted

# Elements updated at a time: with Adam's four arrays and scratch 320 KB in float32, less
# than a second-level cache; large enough to hide the cost of the calls.
_BLOCK = 16384

_CLIP_EPSILON = 1e-6  # as torch.nn.utils.clip_grad_norm_, so that trainings agree


class Trainable(Protocol):
    """What an optimizer needs of a model: its parameters, and the names it must not touch."""

    tensors: Parameters
    frozen: frozenset[str]


class Optimizer:
    """What the optimizers share: they belong to the model of their first `step`, and pass over
    frozen parameters, whose moments and counts of steps stay as they are.

    Parameters
    ----------
    lr : float
        The learning rate; it may be set anew between steps.
    """

    _moments: tuple[str, ...] = ()

    def __init__(self, lr: float) -> None:
        self.lr = _number("lr", lr, 0, math.inf)
        self._steps = np.zeros(0, np.int64)  # per parameter, in order
        self._state: dict[str, Array] = {}  # flat moments, as long as the parameters

    def step(self, model: Trainable) -> None:
        """Update the parameters of `model` from its gradients, in place.

        Raises
        ------
        ValueError
            If the optimizer belongs to a model of another size or type.
        """
        tensors = model.tensors
        self.attach(tensors)
        scratch = np.empty(min(_BLOCK, tensors.size), tensors.dtype)
        # Gradients that overflow here are for the caller to see: clip_norm looks at them.
        with uninterrupted(), tensors.writable() as values, np.errstate(all="ignore"):
            self._steps += [name not in model.frozen for name in tensors]
            for span, count in self._spans(model):
                for start in range(span.start, span.stop, _BLOCK):
                    block = slice(start, min(start + _BLOCK, span.stop))
                    moments = [state[block] for state in self._state.values()]
                    self._update(values[block], tensors.grads[block], moments,
                                 scratch[: block.stop - start], count)

    def attach(self, tensors: Parameters) -> None:
        """Make the moments for these parameters, or refuse those of another model."""
        if not len(self._steps):
            self._steps = np.zeros(len(tensors), np.int64)
            self._state = {n: np.zeros(tensors.size, tensors.dtype) for n in self._moments}
        sizes = {(state.size, state.dtype) for state in self._state.values()}
        if len(self._steps) != len(tensors) or sizes - {(tensors.size, tensors.dtype)}:
            raise ValueError(f"the optimizer belongs to another model than this one of "
                             f"{tensors.size} {tensors.dtype} elements: make one for each")

    def _spans(self, model: Trainable) -> list[tuple[slice, int]]:
        """Spans of unfrozen parameters with one count of steps, as long as they can be."""
        spans: list[tuple[slice, int]] = []
        for (name, part), count in zip(model.tensors.slices(), self._steps, strict=True):
            if name in model.frozen:
                continue
            if spans and spans[-1][0].stop == part.start and spans[-1][1] == count:
                part = slice(spans.pop()[0].start, part.stop)
            spans.append((part, int(count)))
        return spans

    def _update(self, w: Array, g: Array, moments: list[Array], s: Array, count: int) -> None:
        """Update a block of weights by its gradients, at step number `count`; s is scratch."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Array]:
        """Copies of the moments, each flat (n,), and of the steps (parameters,)."""
        return {"steps": self._steps.copy(), **{n: s.copy() for n, s in self._state.items()}}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what `state_dict` gave: all of it, or none if anything is wrong.

        Raises
        ------
        ValueError
            If names, shapes or types are not those of such a state.
        """
        arrays = {name: np.array(value) for name, value in state.items()}
        steps = arrays.pop("steps", np.zeros(0))
        if steps.ndim != 1 or steps.dtype != np.int64 or (steps < 0).any():
            raise ValueError("steps of the state is not a row of int64 counts")
        moments = self._moments if len(steps) else ()  # none before the first step
        if arrays.keys() != set(moments):
            raise ValueError(f"state has moments {sorted(arrays)}, expected {sorted(moments)}")
        for name, array in arrays.items():
            if array.ndim != 1 or array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(f"{name} of the state is not a row of finite numbers")
        if len({(array.size, array.dtype) for array in arrays.values()}) > 1:
            raise ValueError("moments of the state differ in size or dtype")
        self._steps, self._state = steps, {name: arrays[name] for name in moments}


class SGD(Optimizer):
    """Gradient descent with momentum.

    Parameters
    ----------
    lr : float
        The learning rate.
    momentum : float, default=0.0
        The share of the last update that is kept, in [0, 1).

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.Linear(1, 1, bias=False)], loss="mse")
    >>> model.set_parameter("0.weight", np.array([[1]], np.float32))
    >>> x = np.ones((1, 1), np.float32)
    >>> loss, state = model.loss_and_grad(x, 0 * x)
    >>> SGD(lr=0.25).step(model)
    >>> loss, model.parameters
    (1.0, array([0.5], dtype=float32))
    """

    def __init__(self, lr: float, momentum: float = 0.0) -> None:
        super().__init__(lr)
        self.momentum = _number("momentum", momentum, 0, 1)
        self._moments = ("momentum",) if momentum else ()

    def __repr__(self) -> str:
        return f"SGD(lr={self.lr}, momentum={self.momentum})"

    def _update(self, w: Array, g: Array, moments: list[Array], s: Array, count: int) -> None:
        for v in moments:
            v *= self.momentum
            v += g
            g = v
        np.multiply(g, self.lr, out=s)
        w -= s


class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2015).

    Parameters
    ----------
    lr : float, default=1e-3
        The learning rate.
    betas : pair of float, default=(0.9, 0.999)
        The decays of the two moments, in [0, 1).
    eps : float, default=1e-8
        What is added to the root of the second moment.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.Linear(1, 1, bias=False)], loss="mse")
    >>> model.set_parameter("0.weight", np.array([[1]], np.float32))
    >>> x = np.ones((1, 1), np.float32)
    >>> loss, state = model.loss_and_grad(x, 0 * x)
    >>> Adam(lr=0.25).step(model)  # a first step goes by lr, whatever the gradient
    >>> loss, model.parameters
    (1.0, array([0.75], dtype=float32))
    """

    _moments = ("m", "v")

    def __init__(self, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8) -> None:
        super().__init__(lr)
        b1, b2 = betas
        self.betas = _number("betas[0]", b1, 0, 1), _number("betas[1]", b2, 0, 1)
        self.eps = _number("eps", eps, 0, math.inf)

    def __repr__(self) -> str:
        return f"Adam(lr={self.lr}, betas={self.betas}, eps={self.eps})"

    def _update(self, w: Array, g: Array, moments: list[Array], s: Array, count: int) -> None:
        (m, v), (b1, b2) = moments, self.betas
        np.subtract(g, m, out=s)
        s *= 1 - b1
        m += s
        np.multiply(g, g, out=s)
        s *= 1 - b2
        v *= b2
        v += s
        np.sqrt(v, out=s)
        s /= math.sqrt(1 - b2**count)
        s += self.eps
        np.divide(m, s, out=s)
        s *= self.lr / (1 - b1**count)
        w -= s


def clip_norm(grads: Array, max_norm: float, on_nonfinite: str = "raise",
              tensors: Parameters | None = None) -> float:
    """Scale gradients in place so that their norm is at most `max_norm` (Pascanu et al. 2013).

    The norm is accumulated in float64: an exploding float32 gradient has its true norm. The
    factor is PyTorch's, max_norm / (norm + 1e-6).

    Parameters
    ----------
    grads : array, C-contiguous
        Gradients of any shape, such as `model.grads`.
    max_norm : float
        The threshold, above 0; inf to measure the norm and scale nothing.
    on_nonfinite : "raise", "skip" or "zero"
        What to do about inf and NaN: raise; leave all as it is, for the caller to see the norm
        and to skip the update; or set such elements to 0.
    tensors : Parameters, optional
        The parameters whose gradients these are, to name the one that is not finite.

    Returns
    -------
    float
        The norm before clipping; with "zero" that of the finite elements.

    Raises
    ------
    FloatingPointError
        If the norm is not finite and `on_nonfinite` is "raise".
    TypeError, ValueError
        If an argument is none of these.

    Examples
    --------
    >>> grads = np.array([3.0, 4.0])
    >>> clip_norm(grads, 1.0)
    5.0
    >>> grads.round(4)
    array([0.6, 0.8])
    """
    check_clipping(max_norm, on_nonfinite)
    if grads.dtype not in (np.float32, np.float64):
        raise TypeError(f"grads has dtype {grads.dtype}, expected float32 or float64")
    if not grads.flags.carray:
        raise ValueError("grads is not a writable C-contiguous array")
    flat = grads.reshape(-1)
    norm = global_norm(flat)
    if not math.isfinite(norm):
        if on_nonfinite == "skip":
            return norm
        if on_nonfinite == "raise":
            raise FloatingPointError(_describe_nonfinite(flat, tensors))
        flat[~np.isfinite(flat)] = 0
        norm = global_norm(flat)
    factor = max_norm / (norm + _CLIP_EPSILON)
    if factor < 1:
        scale(flat, factor)
    return norm


def check_clipping(max_norm: float, on_nonfinite: str) -> None:
    """Refuse a threshold or a policy that is none."""
    if not max_norm > 0:
        raise ValueError(f"max_norm is {max_norm}, expected a number above 0")
    if on_nonfinite not in ("raise", "skip", "zero"):
        raise ValueError(f"on_nonfinite is {on_nonfinite!r}, expected raise, skip or zero")


def _describe_nonfinite(flat: Array, tensors: Parameters | None) -> str:
    names = {"grads": slice(0, flat.size)} if tensors is None else dict(tensors.slices())
    for name, part in names.items():
        bad = int(np.count_nonzero(~np.isfinite(flat[part])))
        if bad:
            return f"gradient of {name} is not finite in {bad} of {flat[part].size} elements"
    return "norm of the gradient is above the range of float64"


def _number(name: str, value: float, low: float, high: float) -> float:
    """Refuse a number outside of [low, high)."""
    if not low <= value < high:
        raise ValueError(f"{name} is {value}, expected a number in [{low}, {high})")
    return value
