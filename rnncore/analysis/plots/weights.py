"""Pictures of recurrent weights: eigenvalues, singular values, and the bound they give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rnncore.analysis.conditions import Condition
from rnncore.analysis.plots import style
from rnncore.analysis.spectra import Spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = "osD^vPX*<>"  # ten, beside seven colours: 70 entries are told apart


def plot_spectrum(spectra: Sequence[Spectrum], ax: Axes | None = None) -> Axes:
    """Eigenvalues of recurrent matrices in the complex plane, with the unit circle.

    Parameters
    ----------
    spectra : sequence of Spectrum
        As `spectrum` gives them.
    ax : Axes, optional

    Examples
    --------
    >>> from rnncore.analysis.spectra import spectrum
    >>> plot_spectrum(spectrum(np.eye(3))).get_xlabel()
    'real part'
    """
    ax = style.axes(ax, title="Eigenvalues of recurrent weights", xlabel="real part",
                    ylabel="imaginary part", size=(8.0, 6.0))
    turn = np.linspace(0, 2 * np.pi, 361)
    ax.plot(np.cos(turn), np.sin(turn), color=style.GREY, linewidth=1.2, label="unit circle")
    for index, entry in enumerate(spectra):
        ax.plot(entry.eigenvalues.real, entry.eigenvalues.imag, _MARKS[index % len(_MARKS)],
                color=style.COLORS[index % len(style.COLORS)], markersize=5, alpha=0.8,
                label=f"{entry.label}: radius {entry.radius:.3g}")
    ax.set_aspect("equal", adjustable="datalim")
    style.legend(ax, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return ax


def plot_singular_values(spectra: Sequence[Spectrum], gamma: float | None = None,
                         ax: Axes | None = None) -> Axes:
    """Singular values from the largest on, with the line of 1/gamma.

    Below the line, the product and the activation shrink whatever passes them.

    Parameters
    ----------
    spectra : sequence of Spectrum
    gamma : float, optional
        The largest slope of the activation: `Condition.gamma`. No line if None.
    ax : Axes, optional

    Raises
    ------
    ValueError
        If gamma is not above 0.

    Examples
    --------
    >>> from rnncore.analysis.spectra import spectrum
    >>> plot_singular_values(spectrum(np.eye(3)), gamma=0.25).get_xlabel()
    'rank'
    """
    if gamma is not None and not 0 < gamma < np.inf:
        raise ValueError(f"gamma is {gamma}, expected a number above 0")
    ax = style.axes(ax, title="Singular values of recurrent weights", xlabel="rank",
                    ylabel="singular value")
    for index, entry in enumerate(spectra):
        ax.plot(np.arange(1, len(entry.singular_values) + 1), entry.singular_values,
                _MARKS[index % len(_MARKS)] + "-", markersize=4,
                label=f"{entry.label}: largest {entry.sigma:.3g}")
    if gamma is not None:
        ax.axhline(1 / gamma, color=style.BLACK, linestyle="--",
                   label=f"1/gamma = {1 / gamma:g}")
    ax.set_ylim(bottom=0)
    style.legend(ax)
    return ax


def plot_bound(condition: Condition, measured: npt.ArrayLike, ax: Axes | None = None) -> Axes:
    """A measured lag curve under the most that the weights allow, eta^k.

    Parameters
    ----------
    condition : Condition
        Of an ungated layer.
    measured : array (K + 1,)
        log10 of |dE/dh_{t-k}| for k = 0, ..., K; what counts is its fall from k = 0.
    ax : Axes, optional

    Raises
    ------
    ValueError
        If the condition is of a gated cell, or measured is not of one axis.

    Examples
    --------
    >>> from rnncore.analysis.conditions import conditions
    >>> plot_bound(conditions(0.5 * np.eye(3))[0], [0.0, -0.4, -0.8]).get_title()
    'W: must vanish'
    """
    logs = np.asarray(measured, np.float64)
    if logs.ndim != 1 or not logs.size:
        raise ValueError(f"measured has shape {logs.shape}, expected (lags + 1,)")
    ax = style.axes(ax, title=f"{condition.name}: {condition.verdict}", xlabel="lag k (steps)",
                    ylabel="log$_{10}$ |dE/dh$_{t-k}$| / |dE/dh$_t$|")
    ax.plot(condition.log10_bound(len(logs) - 1), color=style.BLACK, linestyle="--",
            label=f"bound, eta = {condition.eta:.3g}")
    ax.plot(logs - logs[0], linewidth=2, label="measured")
    style.legend(ax)
    return ax
