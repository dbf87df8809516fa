"""Pictures of a training: learning curves, norms of the gradient, its flow over the updates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rnncore.analysis.plots import style
from rnncore.parameters import Array
from rnncore.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnncore.analysis.monitor import Observations

_BINS = 60
_DECADES = 12.0  # the heat map's colours span at most so many; what is smaller is the darkest


def plot_learning_curves(history: History, ax: Axes | None = None, *, scale: float = 1.0,
                         unit: str = "as the model has it") -> Axes:
    """Losses over the epochs: of each update, of each epoch, of the validation data.

    Parameters
    ----------
    history : History
        Of a `fit`.
    ax : Axes, optional
        Where to draw; a new figure if None.
    scale : float, default=1.0
        What multiplies the losses: 1 / log(2) turns nats to bits.
    unit : str
        Of the scaled loss.

    Returns
    -------
    Axes

    Examples
    --------
    >>> history = History()
    >>> history.update_loss, history.loss = [3.0, 2.0, 1.5, 1.2], [2.5, 1.35]
    >>> ax = plot_learning_curves(history, unit="nats")
    >>> ax.lines[0].get_xdata().tolist(), ax.get_ylabel()
    ([0.5, 1.0, 1.5, 2.0], 'loss (nats)')
    """
    epochs, updates = len(history.loss), len(history.update_loss)
    ax = style.axes(ax, title="Learning curves", xlabel="epoch" if epochs else "update",
                    ylabel=f"loss ({unit})")
    # Epochs have as many updates each, but for the last if training was stopped inside it.
    each = updates / epochs if epochs else 1.0
    series = [(history.update_loss, np.arange(1, updates + 1) / each, "each update",
               {"color": style.SKY, "linewidth": 0.8}),
              (history.loss, np.arange(1, epochs + 1), "training, mean of an epoch",
               {"color": style.BLUE, "marker": "o", "markersize": 4}),
              (history.valid_loss, np.arange(1, len(history.valid_loss) + 1), "validation",
               {"color": style.ORANGE, "marker": "s", "markersize": 4})]
    for losses, x, label, look in series:
        if losses:
            y = scale * np.array(losses, np.float64)
            ax.plot(x, np.where(np.isfinite(y), y, np.nan), label=label, **look)
    style.legend(ax, loc="upper right")
    return ax


def plot_gradient_norms(history: History, clip_norm: float | None = None,
                        ax: Axes | None = None) -> Axes:
    """A histogram of the gradient's norm before clipping, on a log axis, with the threshold.

    Parameters
    ----------
    history : History
        Of a `fit`.
    clip_norm : float, optional
        The threshold that was used, or that is thought of.
    ax : Axes, optional
        Where to draw; a new figure if None.

    Returns
    -------
    Axes
        Norms of 0 and those that are not finite are counted in the legend alone.

    Examples
    --------
    >>> history = History()
    >>> history.grad_norm = [0.5, 1.0, 2.0, float("inf")]
    >>> ax = plot_gradient_norms(history, clip_norm=1.0)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['median 1', 'threshold 1: 50 % above it', '1 not finite']
    """
    norms = np.array(history.grad_norm, np.float64)
    ax = style.axes(ax, title="Norm of the gradient before clipping", xlabel="norm",
                    ylabel="updates")
    usual = norms[np.isfinite(norms) & (norms > 0)]
    if usual.size:
        low, high = np.log10(usual.min()) - 0.02, np.log10(usual.max()) + 0.02
        ax.hist(usual, np.logspace(low, high, _BINS + 1), color=style.SKY)
        ax.axvline(np.median(usual), color=style.BLUE, label=f"median {np.median(usual):.3g}")
    style.log_axis(ax, "x")
    if clip_norm is not None:
        share = np.mean(~(norms <= clip_norm)) if norms.size else 0.0
        ax.axvline(clip_norm, color=style.ORANGE, linestyle="--",
                   label=f"threshold {clip_norm:.3g}: {100 * share:.2g} % above it")
    for count, what in [(np.count_nonzero(norms == 0), "are 0"),
                        (np.count_nonzero(~np.isfinite(norms)), "not finite")]:
        if count:
            ax.plot([], [], " ", label=f"{count} {what}")
    style.legend(ax)
    return ax


def plot_gradient_heat_map(observations: Observations, ax: Axes | None = None) -> Axes:
    """Norms of the gradient of the last step's error: layer x time x training step.

    Parameters
    ----------
    observations : Observations
        Of a `Monitor` with sequences to look at.
    ax : Axes, optional
        Where to draw; a new figure if None.

    Returns
    -------
    Axes
        Updates go to the right, steps back from the error upwards, layer above layer. Colours
        are log10 |dE/dh|, over twelve decades at most; a norm of exactly 0 is left white.

    Raises
    ------
    ValueError
        If nothing was observed.

    Examples
    --------
    >>> import rnncore as rc
    >>> task = rc.tasks.TemporalOrder(10, seed=0)
    >>> model = rc.Model([rc.RNN(6, 4), rc.Last(), rc.Linear(4, 4)], task.loss, seed=0)
    >>> monitor = rc.analysis.Monitor(model, *task.sample(8), every=5)
    >>> _ = model.fit(task.batches(8), epochs=1, updates_per_epoch=10, callbacks=[monitor])
    >>> plot_gradient_heat_map(monitor.observations).get_xlabel()
    'update'
    """
    flow, n = observations.flow, len(observations.updates)  # (n, layers, lags)
    if not flow.size:
        raise ValueError(f"observations have flows of shape {flow.shape}, expected (records, "
                         "layers, steps), each of at least 1: a Monitor wants x and target")
    lags, layers = flow.shape[2], observations.layers
    if ax is None:
        ax = style.axes(size=(8.0, min(3.0 + 1.2 * len(layers), 9.0)))
    ax = style.axes(ax, title="Gradient of the last step's error by the states",
                    xlabel="update", ylabel="layer, and steps back from the error")
    ax.grid(False)
    levels = _logarithms(flow)
    top = np.nanmax(levels, initial=-np.inf)
    top = top if np.isfinite(top) else 0.0
    edges = _edges(observations.updates)
    gap = max(1, lags // 20)
    ticks: list[tuple[float, str]] = []
    for index, name in enumerate(layers):
        base = index * (lags + gap)
        rows = np.arange(lags + 1) + base - 0.5
        mesh = ax.pcolormesh(edges, rows, levels[:, index].T, cmap=style.SEQUENTIAL,
                             vmin=max(np.nanmin(levels, initial=top), top - _DECADES) - 1e-9,
                             vmax=top)
        ticks += [(base, f"{name}   0"), (base + lags - 1, str(lags - 1))][: 1 + (lags > 1)]
    ax.set_yticks([at for at, _ in ticks], [text for _, text in ticks])
    ax.set_xlim(max(edges[0], 0.0), edges[n])
    style.colorbar(ax, mesh, "log10 of |dE/dh|")
    return ax


def _logarithms(norms: Array) -> Array:
    """log10, NaN where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        levels: Any = np.log10(np.asarray(norms, np.float64))
    return np.where(np.isfinite(levels), levels, np.nan)


def _edges(centres: Array) -> Array:
    """Borders (n + 1,) of cells around increasing centres (n,)."""
    middles = (centres[1:] + centres[:-1]) / 2
    first = centres[0] - (middles[0] - centres[0] if middles.size else 0.5)
    last = centres[-1] + (centres[-1] - middles[-1] if middles.size else 0.5)
    return np.concatenate([[first], middles, [last]])
