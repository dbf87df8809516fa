"""Pictures of the gradient on its way back: over steps and layers, over lags, over depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnncore.analysis.conditions import Condition
from rnncore.analysis.contributions import Contributions
from rnncore.analysis.factors import LayerFactors
from rnncore.analysis.flow import GradientFlow, Lagged, over_batch
from rnncore.analysis.plots.style import (
    BLACK,
    COLORS,
    GREY,
    SEQUENTIAL,
    axes,
    band,
    colorbar,
    legend,
)
from rnncore.parameters import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NONE = "0.85"  # the grey of where there is no gradient


def plot_gradient_flow(flow: GradientFlow, ax: Axes | None = None) -> Axes:
    """log10 |dE/dh_t| of the whole batch as colours, layer x time; grey where it is 0.

    Parameters
    ----------
    flow : GradientFlow
    ax : Axes, optional
        Axes to be drawn on; of a new figure if None.

    Examples
    --------
    >>> import rnncore as rc
    >>> from rnncore.analysis import gradient_flow
    >>> model = rc.Model([rc.RNN(3, 8, num_layers=2)], seed=0)
    >>> x = np.ones((20, 4, 3), np.float32)
    >>> flow = gradient_flow(model, x, np.ones((20, 4, 8), np.float32))
    >>> plot_gradient_flow(flow).get_xlabel()
    'step t'
    """
    ax = axes(ax, title="Gradient of the loss by the states", xlabel="step t",
              ylabel="layer and direction")
    with np.errstate(divide="ignore"):
        values = np.log10(np.stack([over_batch(layer.dh) for layer in flow.layers]))
    _heat_map(ax, values, "log$_{10}$ |dE/dh$_t$|")
    ax.set_yticks(range(len(flow.layers)), [layer.name for layer in flow.layers])
    return ax


def _heat_map(ax: Axes, values: Array, label: str) -> None:
    """Colours of an array (rows, T), the first row lowest; grey where it is not finite."""
    from matplotlib import colormaps

    ax.grid(False)
    ax.set_facecolor(_NONE)
    shown = np.ma.masked_invalid(values)
    image = ax.imshow(shown, colormaps[SEQUENTIAL], origin="lower", aspect="auto",
                      interpolation="nearest")
    colorbar(ax, image, label)


def plot_depth_flow(outputs: Mapping[str, Array], ax: Axes | None = None) -> Axes:
    """|dE/dy| of every layer's output on a log axis, from the input on.

    Parameters
    ----------
    outputs : dict of str to array
        From `depth_flow`, or of `GradientFlow.outputs`.
    ax : Axes, optional

    Examples
    --------
    >>> plot_depth_flow({"0": np.full((3, 2), 1e-3), "1": np.ones((3, 2))}).get_yscale()
    'log'
    """
    ax = axes(ax, title="Gradient of the loss along depth", xlabel="layer, from the input on",
              ylabel="|dE/dy| of its output, whole batch")
    sizes = [float(np.linalg.norm(norms)) for norms in outputs.values()]
    ax.semilogy(range(len(sizes)), sizes, "o-")
    ax.set_xticks(range(len(sizes)), list(outputs))
    return ax


def plot_lagged(found: Lagged, bounds: Sequence[Condition] = (),
                ax: Axes | None = None) -> Axes:
    """log10 |dE_t/dh_{t-k}| over the lag k: the mean of rows, and the range of rows.

    Parameters
    ----------
    found : Lagged
    bounds : sequence of Condition
        From `conditions(model)`: the most that the weights allow, a dashed line of the last
        layer, if there is a theorem of it. Those below get gradients at all steps from above.
    ax : Axes, optional

    Examples
    --------
    >>> import rnncore as rc
    >>> from rnncore.analysis import conditions, lagged
    >>> model = rc.Model([rc.RNN(3, 8, activation="sigmoid")], seed=0)
    >>> x = np.ones((20, 4, 3), np.float32)
    >>> found = lagged(model, x, np.ones((20, 4, 8), np.float32))
    >>> len(plot_lagged(found, conditions(model)).get_lines())
    2
    """
    ax = axes(ax, title="Gradient of the error of one step", xlabel="lag k (steps)",
              ylabel="log$_{10}$ |dE$_t$/dh$_{t-k}$|")
    by_name = {bound.name.replace("weight_hh_", ""): bound for bound in bounds
               if bound.factors is not None}
    for number, (name, rows) in enumerate(zip(found.names, found.dh, strict=True)):
        color = COLORS[number % len(COLORS)]
        band(ax, found.lags, rows, name, color)
        if name in by_name and name == found.names[-1] and 0 in found.lags[:1]:
            bound = by_name[name].log10_bound(len(found.lags) - 1)
            start = _finite(rows[:1]).max(initial=-np.inf)
            ax.plot(found.lags, start + bound, "--", color=color, linewidth=1.2,
                    label=f"{name}, at most")
    legend(ax)
    return ax


def _finite(values: Array) -> Array:
    return values[np.isfinite(values)]


def plot_contributions(terms: Contributions, name: str, ax: Axes | None = None) -> Axes:
    """log10 |term(t, k)| of one parameter as colours; grey where nothing flows.

    Parameters
    ----------
    terms : Contributions
    name : str
        Of the parameter, "0.weight_hh_l0".
    ax : Axes, optional

    Raises
    ------
    ValueError
        If there is no such parameter.

    Examples
    --------
    >>> terms = Contributions(np.arange(3), {"0.weight_hh_l0": np.tri(3)}, {})
    >>> plot_contributions(terms, "0.weight_hh_l0").get_xlabel()
    'step k, where the parameter is used'
    """
    if name not in terms.norms:
        raise ValueError(f"name is {name!r}, expected one of {', '.join(terms.norms)}")
    ax = axes(ax, title=f"What each step contributes to dE/d[{name}]",
              xlabel="step k, where the parameter is used", ylabel="step t of the error")
    with np.errstate(divide="ignore"):
        _heat_map(ax, np.log10(terms.norms[name]), "log$_{10}$ |term|")
    shown = np.unique(np.linspace(0, len(terms.steps) - 1, 6).astype(int))
    ax.set_yticks(shown, [str(terms.steps[i]) for i in shown])
    return ax


def plot_lag_shares(terms: Contributions, names: Sequence[str] = (),
                    ax: Axes | None = None) -> Axes:
    """The share of each lag in the gradient of parameters, on a log axis.

    Parameters
    ----------
    terms : Contributions
    names : sequence of str
        The parameters; the recurrent weights if there are none.
    ax : Axes, optional

    Examples
    --------
    >>> terms = Contributions(np.arange(3), {"0.weight_hh_l0": np.tri(3)}, {})
    >>> plot_lag_shares(terms).get_lines()[0].get_ydata().round(3).tolist()
    [0.5, 0.333, 0.167]
    """
    ax = axes(ax, title="Share of each lag in the gradient", xlabel="lag t - k (steps)",
              ylabel="share of the norms of all terms")
    chosen = list(names) or [name for name in terms.norms if "weight_hh" in name]
    for name in chosen:
        share = terms.share(name)
        ax.plot(np.where(share > 0, share, np.nan), label=name)
    ax.set_yscale("log")
    legend(ax)
    return ax


def plot_jacobian_norms(found: Sequence[LayerFactors], ax: Axes | None = None) -> Axes:
    """The largest singular value of each factor over time: the mean of rows, and their range.

    Parameters
    ----------
    found : sequence of LayerFactors
    ax : Axes, optional

    Examples
    --------
    >>> import rnncore as rc
    >>> from rnncore.analysis import jacobian_norms
    >>> found = jacobian_norms(rc.Model([rc.GRU(3, 8)]), np.ones((20, 4, 3), np.float32))
    >>> plot_jacobian_norms(found).get_ylabel()
    'largest singular value of J$_t$'
    """
    ax = axes(ax, title="Factors of the gradient, J$_t$ = ds$_t$ / ds$_{t-1}$", xlabel="step t",
              ylabel="largest singular value of J$_t$")
    for number, layer in enumerate(found):
        band(ax, np.arange(len(layer.norms)), layer.norms, layer.name,
             COLORS[number % len(COLORS)])
    ax.axhline(1.0, color=GREY, linestyle=":", label="neither longer nor shorter")
    legend(ax)
    return ax


def plot_products(found: Sequence[LayerFactors], ax: Axes | None = None) -> Axes:
    """log10 of the largest singular value of ds_t/ds_{t-k} over the lag k, with the slope of
    the largest Lyapunov exponent.

    Parameters
    ----------
    found : sequence of LayerFactors
    ax : Axes, optional

    Examples
    --------
    >>> import rnncore as rc
    >>> from rnncore.analysis import jacobian_norms
    >>> found = jacobian_norms(rc.Model([rc.GRU(3, 8)]), np.ones((20, 4, 3), np.float32))
    >>> len(plot_products(found).get_lines())
    3
    """
    ax = axes(ax, title="Products of the factors of the gradient", xlabel="lag k (steps)",
              ylabel="log$_{10}$ of the largest singular value")
    for number, layer in enumerate(found):
        color = COLORS[number % len(COLORS)]
        band(ax, layer.lags, layer.products, layer.name, color)
        exponents = _finite(layer.lyapunov[0])
        if exponents.size:
            ax.plot(layer.lags, layer.lags * exponents.mean() / np.log(10), "--", color=color,
                    linewidth=1.2, label=f"{layer.name}, exponent {exponents.mean():.3g} per "
                    "step")
    ax.axhline(0.0, color=GREY, linestyle=":")
    legend(ax)
    return ax


def plot_directions(layer: LayerFactors, ax: Axes | None = None) -> Axes:
    """The shares of the gradient's energy that expand, keep their length and shrink, over time.

    Parameters
    ----------
    layer : LayerFactors
        Of a `jacobian_norms` with a target, and of no more than `dense` state variables.
    ax : Axes, optional

    Raises
    ------
    ValueError
        If there are no shares in it.

    Examples
    --------
    >>> import rnncore as rc
    >>> from rnncore.analysis import jacobian_norms
    >>> x = np.ones((20, 4, 3), np.float32)
    >>> found, = jacobian_norms(rc.Model([rc.RNN(3, 3)]), x, x)
    >>> plot_directions(found).get_ylabel()
    'share of |dE/ds$_t$|$^2$'
    """
    if layer.expanding is None or layer.shrinking is None:
        raise ValueError(f"{layer.name} has no shares of energy, expected those that "
                         "jacobian_norms finds with a target, up to `dense` state variables")
    ax = axes(ax, title=f"Where the gradient of {layer.name} points", xlabel="step t",
              ylabel="share of |dE/ds$_t$|$^2$")
    there = np.isfinite(layer.expanding)
    count = np.where(there.any(axis=1), there.sum(axis=1), np.nan)
    up, down = (np.where(there, part, 0.0).sum(axis=1) / count
                for part in (layer.expanding, layer.shrinking))
    ax.stackplot(np.arange(len(up)), up, 1 - up - down, down,
                 colors=(COLORS[1], _NONE, COLORS[0]),
                 labels=("made longer by J$_t$", "length kept", "made shorter"))
    ax.plot(up, color=BLACK, linewidth=0.8)
    ax.set_ylim(0, 1)
    ax.margins(x=0)
    legend(ax, loc="lower left")
    return ax
