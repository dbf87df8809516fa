"""The conditions of the theory on the recurrent weights that a network has.

A factor of the gradient is ``dh_t / dh_{t-1} = diag(f'(a_t)) W``, its norm at most
``eta = gamma sigma``, with gamma the largest slope of f and sigma the largest singular value of
W, and so ``|dE/dh_k| <= eta^(t-k) |dE/dh_t|``. Below 1/gamma the gradient has to vanish (a
sufficient condition); above it, it may explode (a necessary one); the spectral radius decides
alone where f is the identity (Pascanu, Mikolov & Bengio 2013, section 2.1).

What else is carried adds up. With taps d a gradient that reaches step k is at most the sum of
eta_d times those that reached the steps k + d; a skip is a further one with factor 1. If these
factors are below 1 in sum, it vanishes.

All of this is about what passes through a layer's own states; a layer above adds its own.

Of gated cells there is no such theorem: gates carry their state past the product, elementwise.
A condition is given for each gate's matrix, with its numbers, and is always "neither follows".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnncore.analysis.activations import activation_named
from rnncore.analysis.cells import activation_of, gated
from rnncore.analysis.spectra import Spectrum, directions, spectrum
from rnncore.layers import RNN, Layer, Recurrent
from rnncore.layers.checks import check_count
from rnncore.network import Network
from rnncore.parameters import Array

VANISHES, EXPLODES, NEITHER = "must vanish", "may explode", "neither follows"


@dataclass(frozen=True)
class Condition:
    """What the theory says of one layer and direction, or of one gate of it.

    Attributes
    ----------
    name, block : str
        As in `Spectrum`; the name of the first tap.
    activation : str
    gamma : float
        The largest slope of the activation.
    sigma : float
        The largest singular value; of several taps, their sum.
    radius : float
        The spectral radius of the first tap's matrix.
    verdict : "must vanish", "may explode" or "neither follows"
    text : str
        The same in a sentence with its numbers.
    factors : dict of int to float, or None
        By how many steps back: the most by which a gradient grows on that way. None where no
        theorem speaks, of gated cells.
    """

    name: str
    block: str
    activation: str
    gamma: float
    sigma: float
    radius: float
    verdict: str
    text: str
    factors: dict[int, float] | None

    @property
    def eta(self) -> float:
        """gamma sigma, the bound of one factor."""
        return self.gamma * self.sigma

    def log10_bound(self, lags: int) -> Array:
        """log10 of the most that |dE/dh_{t-k}| / |dE/dh_t| can be, of k = 0, ..., lags.

        eta^k, in the plain case; -inf where nothing arrives.

        Raises
        ------
        ValueError
            If there is no bound, of a gated cell, or lags is negative.
        """
        if self.factors is None:
            raise ValueError(f"{self.name} is of a gated cell, for which there is no bound")
        check_count("lags", lags, 0)
        logs = np.full(lags + 1, -np.inf)
        logs[0] = 0.0
        with np.errstate(divide="ignore"):
            steps = {lag: np.log(factor) for lag, factor in self.factors.items()}
        for k in range(1, lags + 1):
            for lag, factor in steps.items():
                if lag <= k:
                    logs[k] = np.logaddexp(logs[k], logs[k - lag] + factor)
        return np.asarray(logs / np.log(10))

    def __str__(self) -> str:
        return self.text


def conditions(model: Network | Layer | npt.ArrayLike,
               activation: str = "tanh") -> list[Condition]:
    """What the theory says of the gradient through these recurrent weights.

    Parameters
    ----------
    model : Model, recurrent layer, or array (H, H)
        Of layers one entry for each layer and direction, of gated ones for each gate.
    activation : str, default="tanh"
        Of an array; layers have their own.

    Raises
    ------
    TypeError, ValueError
        As `spectrum`, or if the activation is unknown.

    Notes
    -----
    Pascanu, Mikolov & Bengio (2013), section 2.1, with the largest singular value, for which
    both conditions hold.

    Examples
    --------
    >>> import rnncore as rc
    >>> layer = rc.RNN(3, 8)
    >>> rc.init.orthogonal(layer, seed=0)
    >>> conditions(layer)[0].verdict
    'neither follows'
    >>> rc.init.identity(layer, scale=0.9)
    >>> print(conditions(layer)[0])
    weight_hh_l0: the gradient must vanish: sigma = 0.9 is below 1/gamma = 1 of tanh, so that \
at most a share of 0.9 passes a step, 2.7e-05 a hundred.
    """
    if not isinstance(model, (Network, Layer)):
        return [_ungated(spectrum(model), activation, None)]
    found = []
    for layer, spectra in directions(model):
        if gated(layer):
            letters = layer._cell.h_rows * len(layer.taps)
            found += [_gated(entry, activation_of(layer, letter))
                      for letter, entry in zip(letters, spectra, strict=True)]
        else:
            found.append(_ungated(spectra, activation_of(layer, "a"), layer))
    return found


def _gated(entry: Spectrum, activation: str) -> Condition:
    gamma = activation_named("activation", activation).gamma
    text = (f"{entry.label}: neither follows for a gated cell, whose gates carry the state "
            f"past the product; this block has sigma = {entry.sigma:.4g}, a spectral radius of "
            f"{entry.radius:.4g} and 1/gamma = {1 / gamma:g} of {activation}.")
    return Condition(entry.name, entry.block, activation, gamma, entry.sigma, entry.radius,
                     NEITHER, text, None)


def _ungated(spectra: list[Spectrum], activation: str, layer: Recurrent | None) -> Condition:
    """The condition of one layer and direction, of as many spectra as there are taps."""
    gamma = activation_named("activation", activation).gamma
    skip = layer.skip if isinstance(layer, RNN) else None
    scale = abs(layer.skip_scale) if isinstance(layer, RNN) else 1.0
    factors = {entry.tap: scale * gamma * entry.sigma for entry in spectra}
    if skip is not None:
        factors[skip] = factors.get(skip, 0.0) + 1.0
    first, sigma = spectra[0], sum(entry.sigma for entry in spectra)
    plain = list(factors) == [1] and skip is None
    total, rounding = sum(factors.values()), 10 * len(first.eigenvalues) ** 0.5 * first.epsilon
    verdict = NEITHER if abs(total - 1) <= rounding else VANISHES if total < 1 else EXPLODES
    if plain and activation == "identity" and total > 1 - rounding:
        verdict = NEITHER if abs(first.radius - 1) <= rounding else \
            VANISHES if first.radius < 1 else EXPLODES
        text = _linear_words(first, verdict)
    elif plain:
        text = _words(sigma, gamma, activation, verdict)
    else:
        text = _sum_words(factors, total, verdict)
    return Condition(first.name, "", activation, gamma, sigma, first.radius, verdict,
                     f"{first.name}: {text}", factors)


def _words(sigma: float, gamma: float, activation: str, verdict: str) -> str:
    side = {VANISHES: "below", EXPLODES: "above", NEITHER: "equal to"}[verdict]
    known = f"sigma = {sigma:.4g} is {side} 1/gamma = {1 / gamma:g} of {activation}"
    eta = gamma * sigma
    if verdict == VANISHES:
        return (f"the gradient must vanish: {known}, so that at most a share of {eta:.3g} "
                f"passes a step, {eta ** 100:.2g} a hundred.")
    if verdict == EXPLODES:
        return (f"the gradient may explode: {known}, so that it can grow by at most "
                f"{eta:.4g} per step; whether it does depends on the states.")
    return (f"neither follows: {known}; the gradient cannot explode, and need not vanish "
            "where the slopes are largest.")


def _linear_words(entry: Spectrum, verdict: str) -> str:
    side = {VANISHES: "below", EXPLODES: "above", NEITHER: "equal to"}[verdict]
    end = {VANISHES: "the gradient must vanish in the long run",
           EXPLODES: "the gradient may explode, and does along the first eigenvector",
           NEITHER: "neither follows"}[verdict]
    return (f"{end}: the units are linear, and their spectral radius {entry.radius:.4g} is "
            f"{side} 1 (sigma = {entry.sigma:.4g}, which bounds the growth of a step).")


def _sum_words(factors: dict[int, float], total: float, verdict: str) -> str:
    side = {VANISHES: "below", EXPLODES: "above", NEITHER: "equal to"}[verdict]
    ways = " + ".join(f"{factor:.3g} ({lag} back)" for lag, factor in factors.items())
    end = {VANISHES: "the gradient must vanish", EXPLODES: "the gradient may explode",
           NEITHER: "neither follows"}[verdict]
    return f"{end}: its ways back pass at most {ways} = {total:.4g}, {side} 1."
