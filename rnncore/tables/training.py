"""Training the model of a table, the best one kept by its loss on the part held out.

    R2 = 1 - MSE of the model / MSE of predicting the mean,   the mean over targets

with the mean of the training part. The defaults were chosen on GunPoint and Japanese Vowels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnncore.jobs.recipe import Recipe
from rnncore.jobs.run import Files, Job
from rnncore.jobs.run import train as run
from rnncore.jobs.stop import StopRequest
from rnncore.tables.model import TableModel, save_table_model
from rnncore.tables.table import Table

BATCH = 16  # sequences
TRAINING_UPDATES = 2000  # what the default number of epochs comes nearest to
VALID_SHARE = 0.1
PROBE = 12_800  # steps of sequences that are kept to be looked at: 200 of 64


class Parts(NamedTuple):
    """A table to train on, and one held out."""

    training: Table
    held_out: Table


def split(table: Table, share: float = VALID_SHARE, seed: int = 0) -> Parts:
    """Hold out a share of the sequences, at least one, at random, class by class.

    The sequences of each class are put in random order, at the places (i + 1/2) / n of a line
    from 0 to 1; those with the lowest places are held out. So classes keep their shares, and
    with `share` at most 1/2 each stays in the training part.

    Parameters
    ----------
    table : Table
        What to split.
    share : float
        Above 0, at most 1/2.
    seed : int
        What is drawn from.

    Examples
    --------
    >>> table = Table([np.zeros((3, 1))] * 40, np.arange(40) % 4 // 3, ["many", "few"])
    >>> parts = split(table, 0.2)
    >>> np.bincount(parts.training.y), np.bincount(parts.held_out.y)
    (array([24,  8]), array([6, 2]))
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(table))
    groups = np.zeros(len(table), int) if table.classes is None else table.y
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        place[rng.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    order = np.argsort(place, kind="stable")
    count = max(int(share * len(table)), 1)
    return Parts(table.part(np.sort(order[count:])), table.part(np.sort(order[:count])))


@dataclass(frozen=True)
class Plan:
    """How often to go through the training part, and in batches of how many sequences."""

    epochs: int
    batch: int

    @classmethod
    def of(cls, sequences: int, epochs: int | None = None) -> Plan:
        """Plan for so many sequences; `epochs` defaults by their number.

        Examples
        --------
        >>> Plan.of(45), Plan.of(1600), Plan.of(10**6)
        (Plan(epochs=667, batch=16), Plan(epochs=20, batch=16), Plan(epochs=1, batch=16))
        """
        usual = max(round(TRAINING_UPDATES / -(-sequences // BATCH)), 1)
        return cls(usual if epochs is None else epochs, BATCH)


class Score(NamedTuple):
    """How good a model is on a table, beside one that has not seen the sequences.

    Attributes
    ----------
    loss : float
        The cross-entropy, or the MSE of standardized targets.
    value, baseline : float
        The accuracy and that of the most frequent class of the training part, or the MSE and
        that of predicting its mean.
    r2 : float or None
        None for classes; NaN if predicting the mean makes no error.
    """

    loss: float
    value: float
    baseline: float
    r2: float | None

    def __str__(self) -> str:
        if self.r2 is None:
            return (f"accuracy {self.value:.3f} (most frequent class {self.baseline:.3f}),"
                    f" cross-entropy {self.loss:.3f}")
        return (f"R2 {self.r2:.3f}, MSE {self.value:.4g}"
                f" (predicting the mean {self.baseline:.4g})")


def judge(model: TableModel, parts: Parts) -> Score:
    """The score of a model on the part held out."""
    table = parts.held_out
    if model.targets is None:
        result = model.network.evaluate(_sequences(model, table))
        usual = np.bincount(parts.training.y).argmax()
        assert result.accuracy is not None
        return Score(result.loss, result.accuracy, float(np.mean(table.y == usual)), None)
    lengths = table.steps
    x = np.zeros((len(table), max(lengths), table.features))
    for row, sequence in zip(x, table.x, strict=True):
        row[: len(sequence)] = sequence
    predicted = model.predict(x, lengths)
    if table.per_step:
        rows = zip(predicted, lengths, strict=True)
        predicted = np.concatenate([row[:length] for row, length in rows])
    deviation = np.array(model.targets.deviation)
    error = np.mean((predicted - table.targets) ** 2, axis=0)  # (K,)
    base = np.mean((model.targets.mean - table.targets) ** 2, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(base > 0, 1 - error / base, np.nan).mean()
    return Score(float(np.mean(error / deviation**2)), float(error.mean()), float(base.mean()),
                 float(r2))


def train(
    model: TableModel,
    parts: Parts,
    plan: Plan,
    path: str | PathLike[str],
    *,
    stop: StopRequest,
    report: Callable[[Score], None],
    recipe: Recipe | None = None,
    resume: bool = False,
    call: Mapping[str, Any] | None = None,
    about: Mapping[str, str] | None = None,
) -> int:
    """Train a model in place and keep the best one, by its loss on what is held out, in a file.

    Parameters
    ----------
    model : TableModel
        What to train; afterwards it is the present model, not the best one.
    parts : Parts
        The sequences to train on and those to judge by.
    plan : Plan
        The number of epochs and the size of batches.
    path, stop, report, recipe, resume, call, about
        As in `rnncore.text.training.train`, but `report` is called with the `Score` of each
        model that is the best so far, and without a `tbptt` sequences are run as a whole.

    Returns
    -------
    int
        How many sequences the best model had been trained on.

    Raises
    ------
    InputError
        If the run cannot be gone on with, or the recipe does not go with the model.
    OSError
        If a file cannot be written.
    """
    recipe, table = recipe or Recipe(), parts.training
    sequences, longest = _sequences(model, table), max(table.steps)
    windows = -(-longest // (recipe.tbptt or (longest,))[0])  # of a batch, at most
    score = Score(math.inf, 0, 0, None)

    def evaluate() -> float:
        nonlocal score
        score = judge(model, parts)
        return score.loss

    job = Job(
        model=model.network,
        data=sequences,
        batch_size=plan.batch,
        epochs=plan.epochs,
        size=len(table),
        updates=-(-len(table) // plan.batch) * windows,
        seen=lambda updates: min(updates * plan.batch // windows, len(table)),
        evaluate=evaluate,
        save=lambda: save_table_model(model, path),
        report=lambda loss: report(score),
        only_best=True,  # there may be hundreds of epochs
        unit="sequences",
        probe=_side_by_side(sequences[:max(PROBE // longest, BATCH)]),
        loss="cross-entropy" if model.targets is None else "MSE of standardized targets",
    )
    return run(job, recipe, Files(path, resume, call or {}, about or {}), stop).seen


def _sequences(model: TableModel, table: Table) -> list[tuple[npt.NDArray[Any], Any]]:
    """What `fit` and `evaluate` take."""
    y: Any = table.y
    if model.targets is not None:
        y = [model.targets.apply(target) for target in table.y]
    return [(model.features.apply(x), target) for x, target in zip(table.x, y, strict=True)]


def _side_by_side(sequences: list[tuple[npt.NDArray[Any], Any]]) -> dict[str, npt.NDArray[Any]]:
    """The same as arrays, padded by 0: x (T, B, F), target (B,), (B, K) or (T, B, K)."""
    x, y = zip(*sequences, strict=True)
    lengths = np.array([len(one) for one in x])
    per_step = y[0].ndim == 2

    def padded(rows: tuple[npt.NDArray[Any], ...]) -> npt.NDArray[Any]:
        result = np.zeros((lengths.max(), len(rows), rows[0].shape[1]), rows[0].dtype)
        for place, row in enumerate(rows):
            result[: len(row), place] = row
        return result

    return {"x": padded(x), "target": padded(y) if per_step else np.stack(y),
            "lengths": lengths}
