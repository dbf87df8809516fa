"""Whether data depend on what is long ago: what old inputs are worth to a gated network.

The inputs that are older than k steps are exchanged between sequences, so that each of them
stays as likely as it was and says nothing about this sequence any more. If a network that can
remember then predicts worse, the data have a dependence longer than k. If it does not, they
have none, or none that this network has learnt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnncore.batch import Batch
from rnncore.layers import GRU, Embedding, Last, Layer, Linear
from rnncore.losses import CustomLoss
from rnncore.model import Model
from rnncore.optim import Adam
from rnncore.parameters import Array

_HIDDEN, _ROWS, _LR, _CLIP = 32, 32, 1e-2, 1.0  # of the reference and its training
_PATIENCE = 25  # updates between two looks at the rows held out
_LEARNT = 0.02  # the share of its first loss at which a reference has learnt enough
_SHARE = 0.02  # the least rise that counts, of the loss with exchanged inputs


@dataclass(frozen=True)
class Dependence:
    """What old inputs are worth.

    Attributes
    ----------
    lag : int
        Inputs older than this many steps were exchanged between sequences.
    loss, exchanged : float
        The reference's mean loss at the last step that counts, before and after.
    error : float
        The standard error of the difference.
    """

    lag: int
    loss: float
    exchanged: float
    error: float

    @property
    def rise(self) -> float:
        """What the loss rises by."""
        return self.exchanged - self.loss

    @property
    def long(self) -> bool:
        """Whether it rises by more than three standard errors and 2 % of what it comes to."""
        return self.rise > max(3 * self.error, _SHARE * abs(self.exchanged))


def ends_of(batch: Batch) -> Array:
    """The last step (B,) of each row at which the loss counts; -1 where it never does."""
    steps, rows = batch.x.shape[:2]
    if not batch.per_step or (weights := batch.weights()) is None:
        return np.full(rows, steps) - 1 if batch.lengths is None else batch.lengths - 1
    counts = weights > 0
    return np.where(counts.any(axis=0), steps - 1 - np.argmax(counts[::-1], axis=0), -1)


def measured(reference: Model, batch: Batch, lag: int, rng: np.random.Generator) -> Dependence:
    """What inputs older than `lag` steps are worth to a trained reference."""
    ends = ends_of(batch)
    order = rng.permutation(len(ends))
    order = order[np.argsort(-ends[order], kind="stable")]
    donor = np.empty_like(order)
    donor[order] = np.roll(order, 1)  # who is no shorter, but for the longest
    step = np.arange(len(batch.x))[:, None]
    old = (step < ends - lag) & (step <= ends[donor])
    old = old.reshape(*old.shape, *[1] * (batch.x.ndim - 2))
    changed = batch._replace(x=np.where(old, batch.x[:, donor], batch.x))
    loss, exchanged = (row_losses(reference, b, ends) for b in (batch, changed))
    rise = (exchanged - loss)[ends > lag]
    if rise.size < 2:
        raise ValueError(f"{rise.size} rows are longer than lag = {lag}, expected some")
    return Dependence(lag, float(loss[ends > lag].mean()), float(exchanged[ends > lag].mean()),
                      float(rise.std(ddof=1) / rise.size**0.5))


def row_losses(model: Model, batch: Batch, ends: Array) -> Array:
    """The loss (B,) of each row at its last step."""
    y, _ = model.run(batch.x, [None] * len(model.layers), batch.lengths, infer=True)
    target = batch.target
    if model.per_step:
        y, target = (a[ends, np.arange(len(ends))] for a in (y, target))
    y, weights = np.ascontiguousarray(y), np.ones(len(ends))
    if isinstance(model.loss, CustomLoss):  # which knows no more than the sum over rows
        one_by_one = [slice(row, row + 1) for row in range(len(ends))]
        return np.array([model.loss.value(y[s], target[s], weights[s]) for s in one_by_one])
    return model.loss.terms(y, target, weights)[0]


def trained_reference(model: Model, batch: Batch, seed: int,
                      updates: int) -> tuple[Model, Batch]:
    """A GRU that was trained on half of the rows for the task of a model, and the other half.

    Its update gates begin with the time constants 1 to T (Tallec & Ollivier, 2018).
    """
    rng, rows = np.random.default_rng(seed), batch.x.shape[1]
    if rows < 8:
        raise ValueError(f"x has {rows} rows, expected at least 8, half of them to train a "
                         "reference; or give one, reference=")
    reference = _built(model, len(batch.x), seed)
    order, optimizer = rng.permutation(rows), Adam(lr=_LR)
    train = order[: rows // 2]
    held = _rows(batch, order[rows // 2 :])
    ends = ends_of(held)
    best, first = reference.state_dict(), row_losses(reference, held, ends).mean()
    lowest = first
    for update in range(1, updates + 1):
        chosen = rng.choice(train, min(_ROWS, len(train)), replace=False)
        reference.batch_gradient(_rows(batch, chosen))
        reference.clip_norm(_CLIP)
        optimizer.step(reference)
        if update % _PATIENCE == 0 or update == updates:
            now = row_losses(reference, held, ends).mean()
            if now < lowest:
                best, lowest = reference.state_dict(), now
            if lowest < _LEARNT * first:
                break
    reference.load_state_dict(best)
    return reference, held


def _rows(batch: Batch, rows: Array) -> Batch:
    return batch._replace(columns=rows).cut(0, len(batch.x))


def _built(model: Model, steps: int, seed: int) -> Model:
    first, layers = model.layers[0], list[Layer]()
    width = model.input_size
    if isinstance(first, Embedding):
        width = first.embedding_dim
        layers.append(Embedding(first.num_embeddings, width, dtype=model.dtype))
    cell = GRU(width, _HIDDEN, dtype=model.dtype)
    layers += [cell, *([] if model.per_step else [Last()]),
               Linear(_HIDDEN, model.output_size, dtype=model.dtype)]
    reference = Model(layers, model.loss, reduction=model.reduction, seed=seed)
    bias = cell.parameters["bias_ih_l0"].copy()  # rows r, z, n
    spread = np.random.default_rng(seed).uniform(1, max(steps, 2), _HIDDEN)
    bias[_HIDDEN : 2 * _HIDDEN] = np.log(spread)
    reference.set_parameter(f"{layers.index(cell)}.bias_ih_l0", bias)
    return reference
