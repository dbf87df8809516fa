"""Whether the gradient vanishes, the task is hard, or the data have no long dependences.

Two things are looked at, over a lag of k steps. In the model: how much the factors of its
gradient leave in the direction that they favour most, and how much of the error's own gradient
arrives. In the data: what inputs older than k are worth to a gated reference network (see
dependence.py).

    vanishing   the factors leave less than 1 % in every direction
    unused      they leave more, but of the error less than 1 % arrives
    exploding   more than a hundred times the gradient arrives, or what is not finite
    healthy     none of these
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncore.analysis.dependence import (
    Dependence,
    ends_of,
    measured,
    trained_reference,
)
from rnncore.analysis.factors import products_over
from rnncore.analysis.flow import Lagged, lagged
from rnncore.analysis.problem import check_model
from rnncore.batch import Batch, make_batch
from rnncore.layers.checks import check_count
from rnncore.model import Model
from rnncore.parameters import Array

VANISHING, UNUSED, EXPLODING, HEALTHY = "vanishing", "unused", "exploding", "healthy"
_SMALL, _LARGE = -2.0, 2.0  # log10 of what is left of a gradient: 1 %, and a hundred times
_LOOKED_AT = 8  # rows

_REMEDIES = {
    VANISHING: "Give the state a way that keeps gradients: a gated cell (LSTM, GRU), "
               "init.orthogonal or init.identity, or train with Omega.",
    UNUSED: "The way is there, the error does not use it: train longer or with a higher rate, "
            "begin with shorter sequences, or train with Omega.",
    EXPLODING: "Clip the norm of the gradient (clip_norm, see suggest_threshold) or what is "
               "carried (ClipStep), or bound the recurrent weights (SpectralRadius, "
               "Orthogonal).",
}


@dataclass(frozen=True)
class LayerVerdict:
    """One recurrent layer and direction; both numbers are medians over rows.

    Attributes
    ----------
    name : str
        "0.l1_reverse": see `LayerFlow`.
    verdict : "vanishing", "unused", "exploding" or "healthy"
    kept : float
        log10 of the largest singular value of ds_t/ds_{t-k}.
    arrives : float
        log10 of |dE_t/ds_{t-k}| / |dE_t/ds_t|, over h and c; NaN where there is no error.
    """

    name: str
    verdict: str
    kept: float
    arrives: float


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` returns; `str` of it is the text.

    Attributes
    ----------
    verdict : "vanishing", "unused", "exploding" or "healthy"
        Of the model's gradient: exploding if a layer's does, else that of its best layer.
    lag : int
        The k steps that are meant.
    layers : tuple of LayerVerdict
    dependence : Dependence
        What the data say; `dependence.long` is whether they depend on what is older than k.
    text : str
        All of it in a paragraph, with remedies where there is something to mend.
    """

    verdict: str
    lag: int
    layers: tuple[LayerVerdict, ...]
    dependence: Dependence
    text: str

    @property
    def problem(self) -> bool:
        """Whether there is something to mend: a gradient that explodes, or one that does not
        arrive although the data have a long dependence.
        """
        return self.verdict == EXPLODING or (self.verdict != HEALTHY and self.dependence.long)

    def __str__(self) -> str:
        return self.text


def diagnose(model: Any, x: Any, target: Any, lengths: Any = None, mask: Any = None, *,
             lag: int | None = None, reference: Model | None = None, seed: int = 0,
             updates: int = 1000) -> Diagnosis:
    """Say whether the gradient vanishes or explodes, and whether the data ask for more.

    Parameters
    ----------
    model : Model
        With a recurrent layer of forward directions alone; it is not touched.
    x, target, lengths, mask
        As in `Model.loss_and_grad`; some hundred sequences, for half of them train the
        reference.
    lag : int, optional
        The k steps that are meant; half of the sequences' steps if None.
    reference : Model, optional
        A trained model of the same task that can remember. If None a GRU of 32 units is
        trained with Adam, in a second or some more.
    seed : int, default=0
        Of the reference, and of who exchanges inputs with whom.
    updates : int, default=1000
        How many the training of a reference takes at most.

    Raises
    ------
    TypeError, ValueError
        As `gradient_flow`; if a layer is bidirectional, whose state at any step knows all of
        the inputs, if no row is longer than the lag, if there are too few rows, or if the
        reference is no Model whose loss is at the same steps.

    Notes
    -----
    The conditions are those of Pascanu, Mikolov & Bengio (2013), measured. A reference that
    fails to learn a dependence says that there is none: look at its loss.

    How often it is right, by bench/verdicts.py on 20 trained nets of each cell: temporal order
    of 24 steps (the dependence found, and "healthy" said of nets that have learnt the task
    alone) sigmoid RNN 20, tanh RNN 17, GRU 20, LSTM 20; a first-order Markov source (no
    dependence found, nothing to mend) 20 of each. In all 157 of 160.

    Examples
    --------
    >>> import rnncore as rc
    >>> task = rc.tasks.TemporalOrder(20, seed=0)
    >>> model = rc.Model([rc.RNN(6, 20, activation="sigmoid"), rc.Last(), rc.Linear(20, 4)],
    ...                  task.loss, seed=0)
    >>> found = diagnose(model, *task.sample(200), updates=10)
    >>> found.verdict, found.lag
    ('vanishing', 10)
    """
    check_model(model)
    for number, layer in enumerate(model.layers):
        if layer.config().get("bidirectional"):
            raise ValueError(f"layer {number}, {layer!r}, is bidirectional, expected forward "
                             "directions alone: it knows all inputs at every step")
    check_count("updates", updates, 0)
    batch = make_batch(model, x, target, lengths, mask)
    if batch.x.ndim == (1 if model.takes_symbols else 2):
        raise ValueError(f"x has shape {np.shape(x)}, expected a batch of sequences")
    steps = len(batch.x)
    lag = max(steps // 2, 1) if lag is None else lag
    check_count("lag", lag)
    if not (ends_of(batch) > lag).any():
        raise ValueError(f"lag is {lag}, expected less than the {steps} steps of x, of which "
                         "the loss has to count some")
    layers = _layer_verdicts(model, batch, lag)
    held = batch
    if reference is None:
        reference, held = trained_reference(model, batch, seed, updates)
    elif not isinstance(reference, Model):
        raise TypeError(f"reference is a {type(reference).__name__}, expected a Model")
    elif reference.per_step != model.per_step:
        raise ValueError(f"reference has the layers {reference.layers}, expected a loss at "
                         f"{'every step' if model.per_step else 'the last step alone'}")
    dependence = measured(reference, held, lag, np.random.default_rng(seed))
    verdict = _of_model([layer.verdict for layer in layers])
    return Diagnosis(verdict, lag, layers, dependence, _text(verdict, lag, layers, dependence))


def _layer_verdicts(model: Model, batch: Batch, lag: int) -> tuple[LayerVerdict, ...]:
    """By the factors and the gradient of some rows, cut behind their last step that counts."""
    ends = ends_of(batch)
    rows = np.flatnonzero(ends > lag)[:_LOOKED_AT]
    some = batch._replace(columns=rows).cut(0, len(batch.x))
    own = _time_major(model)
    lengths = ends[rows] + 1
    curves = lagged(own, some.x, some.target, lengths=lengths, mask=some.mask)
    products = products_over(own, some.x, lag, lengths)
    found = []
    for index, (name, logs) in enumerate(products.items()):
        kept = float(np.median(logs))
        arriving = _arriving(curves, index)[lag]
        arriving = arriving[~np.isnan(arriving)]  # those of rows with an error
        arrives = float(np.median(arriving)) if arriving.size else np.nan
        found.append(LayerVerdict(name, _of_layer(kept, arrives), kept, arrives))
    return tuple(found)


def _time_major(model: Model) -> Model:
    """The same model, its layers not copied, for arrays that are time-major."""
    own = object.__new__(Model)
    own.__dict__.update(vars(model), batch_first=False)
    return own


def _arriving(curves: Lagged, index: int) -> Array:
    """log10 |dE_t/ds_{t-k}| / |dE_t/ds_t| (K, B) over h and c; NaN where it is 0 / 0."""
    logs, scale = curves.dh[index], 2 * np.log(10)
    with np.errstate(invalid="ignore"):
        if curves.dc is not None and np.isfinite(curves.dc[index]).any():
            logs = np.logaddexp(scale * logs, scale * curves.dc[index]) / scale
        return np.asarray(logs - logs[0])


def _of_layer(kept: float, arrives: float) -> str:
    if arrives > _LARGE:  # not of NaN
        return EXPLODING
    return VANISHING if kept < _SMALL else UNUSED if arrives < _SMALL else HEALTHY


def _of_model(verdicts: list[str]) -> str:
    return next(v for v in (EXPLODING, HEALTHY, UNUSED, VANISHING) if v in verdicts)


def _text(verdict: str, lag: int, layers: tuple[LayerVerdict, ...],
          dependence: Dependence) -> str:
    said = "; ".join(_layer_words(layer) for layer in layers)
    worth = (f"the loss of the reference at the last step goes from {dependence.loss:.3g} to "
             f"{dependence.exchanged:.3g} (standard error {dependence.error:.2g}) when they "
             "are exchanged between sequences")
    data = (f"The data depend on inputs older than {lag} steps: {worth}." if dependence.long
            else f"The data show no dependence on inputs older than {lag} steps: {worth}.")
    if verdict == EXPLODING or (verdict != HEALTHY and dependence.long):
        end = _REMEDIES[verdict]
    elif verdict == HEALTHY and dependence.long:
        end = "If the model still errs, the gradient's way through time is not why."
    else:
        end = "A longer memory has nothing to gain here."
    return f"Over {lag} steps, {said}. {data} {end}"


def _layer_words(layer: LayerVerdict) -> str:
    arrives = "there is no error" if np.isnan(layer.arrives) else \
        f"{10 ** layer.arrives:.2g} of the error's gradient arrives"
    numbers = (f"its factors leave {10 ** layer.kept:.2g} in the direction that they favour "
               f"most, and {arrives}")
    return {VANISHING: f"the gradient of {layer.name} vanishes in all directions: {numbers}",
            UNUSED: f"{layer.name} could carry a gradient, but the error has hardly any there: "
                    f"{numbers}",
            EXPLODING: f"the gradient of {layer.name} explodes: {numbers}",
            HEALTHY: f"the gradient of {layer.name} arrives: {numbers}"}[layer.verdict]
