"""The model of a table: standardized features, recurrent layers, a linear layer.

    z = (x - mean) / deviation,  both of the training part, feature by feature; a feature that
    is constant there has a deviation of 1

Targets of regression are standardized alike. A file of it is a model file like any other, with
the means, the deviations and the labels in its metadata.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

import rnncore as rc
from rnncore.files import read_metadata
from rnncore.jobs import InputError
from rnncore.jobs.cells import input_width, recurrent
from rnncore.tables.table import Numbers, Table

METADATA_KEY = "rnncore.table"
SEQUENCES = 256  # predicted at a time; bounds the memory, results do not depend on it


@dataclass(frozen=True)
class Scale:
    """Means and deviations of columns, as lists.

    Examples
    --------
    >>> scale = Scale.of(np.array([[1.0, 7.0], [3.0, 7.0]]))
    >>> scale
    Scale(mean=[2.0, 7.0], deviation=[1.0, 1.0])
    >>> scale.apply(np.array([[4.0, 7.0]]))
    array([[2., 0.]], dtype=float32)
    """

    mean: list[float]
    deviation: list[float]

    @classmethod
    def of(cls, rows: Numbers) -> Scale:
        """The scale of the columns of rows (N, F)."""
        varies = np.ptp(rows, axis=0) > 0  # rounding gives a constant, too, some deviation
        return cls(rows.mean(axis=0).tolist(), np.where(varies, rows.std(axis=0), 1).tolist())

    def apply(self, values: Numbers) -> npt.NDArray[np.float32]:
        """Standardize values (..., F)."""
        return ((values - self.mean) / self.deviation).astype(np.float32)

    def undo(self, values: npt.NDArray[np.float32]) -> Numbers:
        """What `apply` was given, up to rounding."""
        return np.asarray(values, np.float64) * self.deviation + self.mean


@dataclass(frozen=True)
class TableModel:
    """A network, and what its inputs and outputs mean.

    Attributes
    ----------
    network : Model
        From standardized features to logits or standardized targets.
    features : Scale
        Of the features.
    targets : Scale or None
        Of the targets; None for classes.
    classes : list or None
        The labels; None for regression.
    """

    network: rc.Model
    features: Scale
    targets: Scale | None
    classes: list[Any] | None

    def predict(self, x: npt.ArrayLike,
                lengths: npt.ArrayLike | None = None) -> npt.NDArray[Any]:
        """Predict from features as they were measured.

        Parameters
        ----------
        x : array (N, T, F)
            The sequences.
        lengths : integers (N,), optional
            How many steps of each are real.

        Returns
        -------
        array
            The labels (N,), or the targets (N, K) or, one for each step, (N, T, K).

        Raises
        ------
        TypeError, ValueError
            If the shapes are not these.
        """
        x = np.asarray(x, np.float64)
        if x.ndim != 3 or x.shape[2] != len(self.features.mean):
            raise ValueError(f"x has shape {x.shape}, expected (samples, time, "
                             f"{len(self.features.mean)})")
        ends = np.full(len(x), x.shape[1]) if lengths is None else np.asarray(lengths)
        if ends.shape != (len(x),):
            raise ValueError(f"lengths has shape {ends.shape}, expected ({len(x)},)")
        y = np.concatenate([self._run(x[i : i + SEQUENCES], ends[i : i + SEQUENCES])
                            for i in range(0, max(len(x), 1), SEQUENCES)])
        if self.targets is None:
            labels: npt.NDArray[Any] = np.asarray(self.classes)[y.argmax(axis=-1)]
            return labels
        return self.targets.undo(y)

    def _run(self, x: Numbers, lengths: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        padding = np.arange(x.shape[1]) >= lengths[:, np.newaxis]
        z = self.features.apply(x)
        z[padding] = 0  # whatever was there
        y, _ = self.network.infer(np.ascontiguousarray(z.swapaxes(0, 1)), lengths=lengths)
        return y.swapaxes(0, 1) if self.network.per_step else y


def build_model(table: Table, *, cell: str = "lstm", layers: int = 1, hidden: int = 64,
                dropout: float = 0.0, seed: int = 0) -> TableModel:
    """Return an untrained float32 model for a table, scaled by it, weights drawn from `seed`.

    Parameters
    ----------
    table : Table
        The training part.
    cell : str
        A name in `rnncore.jobs.cells.CELLS`.
    layers, hidden : int
        The number of recurrent layers and their width.
    dropout : float
        The fraction of units dropped between recurrent layers.
    seed : int
        What the weights, dropout and shuffling are drawn from.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = Table([rng.random((5, 3)) for _ in range(10)], np.arange(10) % 2, ["no", "yes"])
    >>> model = build_model(table, cell="gru", hidden=8)
    >>> model.network
    Model([GRU(3, 8), Last(), Linear(8, 2)], loss='cross_entropy')
    >>> model.predict(np.zeros((4, 5, 3))).shape
    (4,)
    """
    width = input_width(cell, table.features, hidden)
    parts: list[Any] = [] if width == table.features else [rc.Linear(table.features, width)]
    parts += [recurrent(cell, width, hidden, layers, dropout)]
    parts += [] if table.per_step else [rc.Last()]
    parts += [rc.Linear(hidden, table.outputs)]
    regression = table.classes is None
    network = rc.Model(parts, "mse" if regression else "cross_entropy", seed=seed)
    targets = Scale.of(table.targets) if regression else None
    return TableModel(network, Scale.of(np.concatenate(table.x)), targets, table.classes)


def save_table_model(model: TableModel, path: str | PathLike[str]) -> None:
    """Write the network, and what its inputs and outputs mean, to a safetensors file."""
    import json

    meaning = {"features": asdict(model.features), "classes": model.classes,
               "targets": None if model.targets is None else asdict(model.targets)}
    model.network.save(path, metadata={METADATA_KEY: json.dumps(meaning)})


def load_table_model(path: str | PathLike[str]) -> TableModel:
    """Read what `save_table_model` wrote.

    Raises
    ------
    InputError
        If the file cannot be read or is not the model of a table.
    """
    import json

    try:
        meaning = read_metadata(path).get(METADATA_KEY)
        network = rc.load(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:  # its message names the file
        raise InputError(str(error)) from None
    if meaning is None:
        raise InputError(f"{path} holds no scales, expected the model of a table")
    try:
        saved = json.loads(meaning)
        features, classes = Scale(**saved["features"]), saved["classes"]
        targets = None if saved["targets"] is None else Scale(**saved["targets"])
        outputs = len(classes if targets is None else targets.mean)
        sizes = len(features.mean), outputs
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path} has damaged metadata under {METADATA_KEY!r}") from None
    if sizes != (network.input_size, network.output_size):
        raise InputError(f"{path} has scales and labels for {sizes}, expected "
                         f"{(network.input_size, network.output_size)} as its layers have")
    return TableModel(network, features, targets, classes)
