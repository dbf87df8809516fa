"""Clipping of gradients, in place: by their global norm, or element by element."""

from __future__ import annotations

import math

import numpy as np

from rnncore.engine.flat import clamp, global_norm, largest, scale
from rnncore.parameters import Array, Parameters

_CLIP_EPSILON = 1e-6  # as torch.nn.utils.clip_grad_norm_, so that trainings agree


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
    flat = _flat(grads)
    norm = global_norm(flat)
    if not math.isfinite(norm):
        if on_nonfinite == "skip":
            return norm
        bad = ~np.isfinite(flat)
        if on_nonfinite == "raise":
            raise FloatingPointError(_describe(bad, "not finite", tensors)
                                     or "norm of the gradient is above the range of float64")
        flat[bad] = 0
        norm = global_norm(flat)
    factor = max_norm / (norm + _CLIP_EPSILON)
    if factor < 1:
        scale(flat, factor)
    return norm


def clip_value(grads: Array, limit: float, on_nonfinite: str = "raise",
               tensors: Parameters | None = None) -> float:
    """Bring each element of the gradients into [-limit, limit], in place (Mikolov 2012).

    Unlike `clip_norm`, it changes the direction of the gradient. An infinite element has a
    sign and is clipped as any other; NaN is not a number to clip, and follows `on_nonfinite`.

    Parameters
    ----------
    grads : array, C-contiguous
        Gradients of any shape, such as `model.grads`.
    limit : float
        The largest magnitude that stays, above 0; inf to measure and clip nothing.
    on_nonfinite : "raise", "skip" or "zero"
        What to do about NaN: raise; leave all as it is, for the caller to see NaN returned and
        to skip the update; or set such elements to 0.
    tensors : Parameters, optional
        The parameters whose gradients these are, to name the one that has NaN.

    Returns
    -------
    float
        The largest magnitude before clipping, inf where there was one; with "zero" that of
        the numbers.

    Raises
    ------
    FloatingPointError
        If an element is NaN and `on_nonfinite` is "raise".
    TypeError, ValueError
        If an argument is none of these.

    Examples
    --------
    >>> grads = np.array([0.5, -4.0])
    >>> clip_value(grads, 1.0)
    4.0
    >>> grads
    array([ 0.5, -1. ])
    """
    check_clipping(limit, on_nonfinite, "limit")
    flat = _flat(grads)
    most = largest(flat)
    if math.isnan(most):
        if on_nonfinite == "skip":
            return most
        bad = np.isnan(flat)
        if on_nonfinite == "raise":
            raise FloatingPointError(_describe(bad, "NaN", tensors))
        flat[bad] = 0
        most = largest(flat)
    if most > limit:
        clamp(flat, limit)
    return most


def check_clipping(threshold: float, on_nonfinite: str, name: str = "max_norm") -> None:
    """Refuse a threshold, called `name`, or a policy that is none."""
    if not threshold > 0:
        raise ValueError(f"{name} is {threshold}, expected a number above 0")
    if on_nonfinite not in ("raise", "skip", "zero"):
        raise ValueError(f"on_nonfinite is {on_nonfinite!r}, expected raise, skip or zero")


def _flat(grads: Array) -> Array:
    """A flat view of gradients that can be changed in place."""
    if grads.dtype not in (np.float32, np.float64):
        raise TypeError(f"grads has dtype {grads.dtype}, expected float32 or float64")
    if not grads.flags.carray:
        raise ValueError("grads is not a writable C-contiguous array")
    return grads.reshape(-1)


def _describe(bad: Array, what: str, tensors: Parameters | None) -> str:
    """Name the first parameter with bad elements, or give ""."""
    names = {"grads": slice(0, bad.size)} if tensors is None else dict(tensors.slices())
    for name, part in names.items():
        if count := int(np.count_nonzero(bad[part])):
            return f"gradient of {name} is {what} in {count} of {bad[part].size} elements"
    return ""
