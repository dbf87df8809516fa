"""The factors that a gradient is multiplied by on its way back through time.

    dE/ds_k = dE/ds_t  J_t J_{t-1} ... J_{k+1}        J_t = ds_t / ds_{t-1}

where s is all that a layer carries from step to step: h, of an LSTM (h, c); with several past
steps (taps, skip) all of them, newest first, so that J is in companion form. The factors come
from the engine's backward pass, exactly: one step from each recorded state, with the unit
vectors as gradients. Everything is done in float64, whatever the model's dtype.

Up to `dense` state variables the factors are formed. Of larger ones nothing of that size is:
J^T v is the backward pass of a step; J v, two forward passes, whose rounding (1e-9) only steers
the search for singular vectors u, and goes with its square into their values |J^T u|.

Lyapunov exponents: the QR iteration of Benettin et al. (1980), on the transposed product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore.analysis.problem import (
    live_steps,
    prepared,
    prepared_input,
    wide,
    wide_states,
    widened,
)
from rnncore.analysis.products import formed_products, lag_norms, searched_products
from rnncore.analysis.scaled import scaled
from rnncore.analysis.steps import OneStep
from rnncore.analysis.unrolled import Single, Stateless, Unrolled
from rnncore.layers.checks import check_count
from rnncore.parameters import Array


@dataclass(frozen=True)
class LayerFactors:
    """The factors of one recurrent layer and direction, S state variables.

    Arrays by step are in the order of time; those by lag begin at the end of each row, or of
    the reverse direction at its beginning, where that direction ends. NaN where a row has no
    such step.

    Attributes
    ----------
    name : str
        "0.l1_reverse": see `LayerFlow`.
    norms : array (T, B)
        The largest singular value of every factor J_t.
    lags : array (K,)
        0, 1, ..., T; beyond `dense` state variables powers of two, and T.
    products : array (K, B)
        log10 of the largest singular value of ds_t/ds_{t-k}, t being the last step.
    singular : array (m, B)
        log10 of the m leading singular values of the product of all factors; NaN where one is
        too small beside the largest to be known.
    lyapunov : array (m, B)
        The m leading Lyapunov exponents, natural logarithms per step: ln 0.5 where everything
        halves in every step.
    expanding, shrinking : array (T, B) or None
        With a target: the share of the energy |d_t|^2 of the gradient that lies in directions
        that J_t^T makes longer, and shorter; what remains keeps its length. NaN where d_t is
        0. None beyond `dense` state variables.
    """

    name: str
    norms: Array
    lags: Array
    products: Array
    singular: Array
    lyapunov: Array
    expanding: Array | None
    shrinking: Array | None


def jacobians(model: Any, x: Any, state: Any = None, lengths: Any = None) -> dict[str, Array]:
    """The factors J_t = ds_t / ds_{t-1} of every recurrent layer and direction.

    Parameters
    ----------
    model, x, state, lengths
        As in `Model.forward`; the model is not touched.

    Returns
    -------
    dict of str to array (T, B, S, S)
        In float64: J[..., i, j] = ds_t[i] / ds_{t-1}[j]. S counts h, then c, each with its D
        past steps, newest first. 0 past the end of a row. Of a reverse direction step t - 1
        is the one that it comes from, later in time.

    Raises
    ------
    TypeError, ValueError
        As `Model.forward`; if there is no recurrent layer, or x or a parameter is not finite.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.IdentityRNN(3, 2)], seed=0)
    >>> jacobians(model, np.ones((5, 1, 3), np.float32))["0.l0"][4, 0]
    array([[1., 0.],
           [0., 1.]])
    """
    network, x, lengths, starts = prepared_input(model, x, state, lengths)
    net, found = Unrolled(network, x, starts, lengths), {}
    for one in net.singles:
        live = live_steps(one.inputs.shape[:2], one.lengths)[..., None, None]
        steps = OneStep(one)
        inputs, states = (a.reshape(-1, a.shape[2]) for a in (steps.inputs, steps.states))
        formed = steps.formed(inputs, states).reshape(*steps.states.shape, steps.size)
        found[one.name] = one.in_time(np.where(live, formed, 0.0))
    return found


def jacobian_norms(model: Any, x: Any, target: Any = None, state: Any = None,
                   lengths: Any = None, mask: Any = None, m: int = 8, dense: int = 128,
                   seed: int = 0) -> tuple[LayerFactors, ...]:
    """Norms of the factors, of their products, and the directions that they stretch.

    Parameters
    ----------
    model, x, state, lengths
        As in `Model.forward`; the model is not touched.
    target, mask : optional
        As in `Model.loss_and_grad`: the gradient whose energy is looked at.
    m : int, default=8
        How many singular values and exponents, at most S.
    dense : int, default=128
        Up to how many state variables the factors are formed.
    seed : int, default=0
        Of the vectors that the iterations begin with.

    Returns
    -------
    tuple of LayerFactors
        One for each recurrent layer and direction, from the input on.

    Raises
    ------
    TypeError, ValueError
        As `jacobians`, and with a target as `gradient_flow`.

    Examples
    --------
    >>> import rnncore as rc
    >>> layer = rc.RNN(3, 8, activation="identity")
    >>> rc.init.orthogonal(layer, gain=0.5, seed=0)
    >>> found, = jacobian_norms(rc.Model([layer]), np.ones((20, 1, 3), np.float32))
    >>> found.norms[0].round(6), found.lyapunov[:2, 0].round(4)  # ln 0.5
    (array([0.5]), array([-0.6931, -0.6931]))
    """
    check_count("m", m)
    check_count("dense", dense, 0)
    entering: dict[str, Array] = {}
    if target is None:
        network, x, lengths, starts = prepared_input(model, x, state, lengths)
        net = Unrolled(network, x, starts, lengths)
    else:
        given = prepared(model, x, target, state, lengths, mask)
        net = Unrolled(widened(given.model), wide(given.x), wide_states(given.state),
                       given.lengths)
        entering = _entering(net, wide(given.dy))
    return tuple(_layer_factors(one, entering.get(one.name), m, dense, seed)
                 for one in net.singles)


def products_over(model: Any, x: Any, lag: int, lengths: Array,
                  seed: int = 0) -> dict[str, Array]:
    """log10 of the largest singular value (B,) of ds_t/ds_{t-lag}, t being the last step.

    What `jacobian_norms` says of one lag, without the others: much faster where layers are
    large. Rows are longer than the lag; the accuracy is some 1e-4, from below.
    """
    network, x, ends, starts = prepared_input(model, x, None, lengths)
    net = Unrolled(network, x, starts, ends)
    return {one.name: lag_norms(OneStep(one), lengths, lag, seed) for one in net.singles}


def _entering(net: Unrolled, dy: Array) -> dict[str, Array]:
    """The directions (T, B, S) of the gradients of the states, in the time of each layer."""
    steps = {one.name: OneStep(one) for one in net.singles}
    found = {name: np.zeros_like(of_one.states) for name, of_one in steps.items()}

    def visit(one: Single | Stateless, step: int, exponent: Array) -> None:
        if isinstance(one, Single):
            found[one.name][step] = steps[one.name].flat(tuple(one.entering))

    net.back(scaled(dy), visit)
    return found


def _layer_factors(one: Single, entering: Array | None, m: int, dense: int,
                   seed: int) -> LayerFactors:
    steps = OneStep(one)
    ends = np.full(one.inputs.shape[1], len(one.inputs)) if one.lengths is None else one.lengths
    if steps.size <= max(dense, m + 1):
        found = formed_products(steps, ends, entering, m)
    else:
        found = searched_products(steps, ends, m, seed)
    norms, lags, products, singular, exponents, shares = found
    there = None if shares is None else one.in_time(shares)
    return LayerFactors(one.name, one.in_time(norms), lags, products, singular, exponents,
                        None if there is None else there[..., 0],
                        None if there is None else there[..., 1])
