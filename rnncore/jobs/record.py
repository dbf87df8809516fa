"""The record of a training of the command line: what `rnncore report` reads.

It lies beside the best model, in PATH.history, and is written when training ends: done, stopped
or diverged. The tensors are "first" (the parameters before the first update), "history.*",
"observations.*" (of the monitor) and "probe.*" (the sequences that were looked at); the rest is
JSON in the metadata entry "rnncore.history", with the SHA-256 of the model's file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rnncore.analysis.alarms import Alarm
from rnncore.analysis.monitor import Observations
from rnncore.files import read_metadata, write_atomically
from rnncore.jobs import InputError
from rnncore.parameters import Array
from rnncore.training import History

Path = str | os.PathLike[str]

FORMAT = 1
_LOOKED_AT = 16  # sequences: a look costs no more than one or two updates
_KEY = "rnncore.history"


class Score(NamedTuple):
    """A held-out score: after how many updates and seconds of training, less is better."""

    updates: int
    seconds: float
    score: float


@dataclass(frozen=True)
class Record:
    """All that a report says about a training, but for the best model itself.

    Attributes
    ----------
    about : mapping of str to str
        What was trained on what, for people: names and values.
    call : mapping
        The options by name, as JSON has them.
    unit, loss, scale
        As in `Job`: the unit that is counted, the name of the loss, and its factor.
    outcome : str
        Why training ended.
    seen : int
        How many units had been trained on.
    scores : list of Score
    first : array (n,)
        The parameters before the first update.
    history : History
    observations : Observations
    alarms : list of Alarm
    probe : dict of arrays
        "x", "target" and, where they differ, "lengths" of the sequences looked at.
    """

    about: Mapping[str, str]
    call: Mapping[str, Any]
    unit: str
    loss: str
    scale: float
    outcome: str
    seen: int
    scores: list[Score]
    first: Array
    history: History
    observations: Observations
    alarms: list[Alarm]
    probe: dict[str, Array]


def path_of(model: Path) -> str:
    """Where the record of a model is."""
    return f"{os.fspath(model)}.history"


def save_record(record: Record, model: Path) -> None:
    """Write the record beside the file of the best model, which must be there.

    Raises
    ------
    OSError
        If a file cannot be read or written; an older record stays as it was then.
    """
    import json

    from safetensors.numpy import save as to_bytes

    seen = record.observations._asdict()
    entries = {"format": FORMAT, "model": _sha256(model), "about": dict(record.about),
               "call": dict(record.call), "unit": record.unit, "loss": record.loss,
               "scale": record.scale, "outcome": record.outcome, "seen": record.seen,
               "scores": record.scores, "alarms": record.alarms,
               "parts": seen.pop("parts"), "layers": seen.pop("layers")}
    tensors = {"first": record.first, **_named("history", record.history.arrays()),
               **_named("observations", seen), **_named("probe", record.probe)}
    tensors = {name: np.ascontiguousarray(array).reshape(np.shape(array))
               for name, array in tensors.items()}
    write_atomically(path_of(model), to_bytes(tensors, {_KEY: json.dumps(entries)}))


def load_record(model: Path) -> Record:
    """Read the record of the training that wrote the file of a model.

    Raises
    ------
    InputError
        If there is none, it is damaged, or belongs to another model.
    """
    path = path_of(model)
    try:
        metadata, sha256 = read_metadata(path), _sha256(model)
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError as error:
        raise InputError(f"{error.filename} is missing: RUN is the model that rnncore train "
                         "wrote, its history lies beside it once training has ended") from None
    except OSError as error:
        raise InputError(f"cannot read {error.filename or path}: "
                         f"{error.strerror or error}") from None
    except ValueError as error:  # its message names the file
        raise InputError(str(error)) from None
    if _KEY not in metadata:
        raise InputError(f"{path} holds no history of a training")
    try:
        entries, tensors = _parsed(metadata[_KEY], data)
        if entries["format"] != FORMAT:
            raise InputError(f"{path} has format {entries['format']}, expected {FORMAT}")
        if entries["model"] != sha256:
            raise InputError(f"{path} belongs to another model than {os.fspath(model)}: a "
                             "later training has not ended yet, or was killed")
        return _record(entries, tensors)
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path} is damaged: {error!r}") from None


def _parsed(text: str, data: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """JSON and tensors."""
    import json

    from safetensors import SafetensorError
    from safetensors.numpy import load as of_bytes

    try:
        return json.loads(text), of_bytes(data)
    except (SafetensorError, ValueError) as error:
        raise TypeError(str(error)) from None


def _record(entries: dict[str, Any], tensors: dict[str, Array]) -> Record:
    history = History()
    history.load(_group("history", tensors))
    observations = Observations(parts=tuple(entries["parts"]), layers=tuple(entries["layers"]),
                                **_group("observations", tensors))
    names = ("about", "call", "unit", "loss", "scale", "outcome", "seen")
    return Record(**{name: entries[name] for name in names},
                  scores=[Score(*score) for score in entries["scores"]],
                  first=tensors["first"], history=history, observations=observations,
                  alarms=[Alarm(*alarm) for alarm in entries["alarms"]],
                  probe=_group("probe", tensors))


def looked_at(probe: Mapping[str, Array], per_step: bool) -> dict[str, Any]:
    """As many of the probe's sequences as a monitor looks at; their targets may go by steps."""
    some = slice(_LOOKED_AT)
    return {"x": probe["x"][:, some],
            "target": probe["target"][:, some] if per_step else probe["target"][some],
            "lengths": probe["lengths"][some] if "lengths" in probe else None}


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _named(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {f"{prefix}.{name}": np.asarray(array) for name, array in arrays.items()}


def _group(prefix: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    start = f"{prefix}."
    return {name[len(start):]: array for name, array in tensors.items()
            if name.startswith(start)}
