"""Checkpoints: a training run in a safetensors file, from which it goes on with the same bits.

The tensors are "model.*" (parameters), "optimizer.*", "history.*", "state.layer.part" (what
truncated BPTT carries) and "best" (the weights that early stopping would bring back). The rest
is JSON in the metadata entry "rnncore.checkpoint": the architecture and the settings that the
place in the data depends on, both compared on the way back; that place; the generators of
shuffling and dropout; the schedule; the callbacks that have a state; the sums of the present
epoch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rnncore.files import Path, architecture, read_metadata, write_atomically
from rnncore.parameters import Array

if TYPE_CHECKING:
    from rnncore.network import State
    from rnncore.training.trainer import Trainer

FORMAT = 1
_KEY = "rnncore.checkpoint"
_NUMBERS = ("total", "weight", "updates", "barren")  # of the trainer


class Checkpoint:
    """A file that a trainer is written to and read from."""

    def __init__(self, path: Path) -> None:
        self.path = os.fspath(path)
        folder = os.path.dirname(os.path.realpath(self.path))
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"checkpoint is {self.path}, expected a file in a folder "
                                    "that exists")

    @classmethod
    def attach(cls, trainer: Trainer, path: Path | None, updates: int | None,
               resume: bool) -> None:
        """Let a trainer save itself to `path`, and go on from there if that is wanted."""
        if path is None:
            for name, given in [("checkpoint_updates", updates), ("resume", resume or None)]:
                if given is not None:
                    raise ValueError(f"{name} is {given}, but checkpoint is None: expected a "
                                     "file")
            return
        checkpoint = cls(path)
        if resume and os.path.exists(checkpoint.path):
            checkpoint.load(trainer)
        trainer.save, trainer.save_every = checkpoint.save, updates

    def save(self, trainer: Trainer) -> None:
        """Write the run; leave the file alone if a parameter is not finite."""
        import json

        from safetensors.numpy import save as to_bytes

        model = trainer.model
        if not np.isfinite(model.parameters).all():
            return
        schedule = trainer.rules.schedule
        record = {
            "format": FORMAT, **_identity(trainer), "position": trainer.walk.position(),
            "generator": model.rng.bit_generator.state, "dropout": model.generator_states(),
            "schedule": None if schedule is None else schedule.state_dict(),
            "callbacks": [callback.state_dict() for callback in _stateful(trainer)],
            "numbers": {name: getattr(trainer, name) for name in _NUMBERS},
        }
        tensors = {
            **_named("model", model.state_dict()),
            **_named("optimizer", trainer.rules.optimizer.state_dict()),
            **_named("history", trainer.history.arrays()),
            **_named("state", _flat(trainer.walk.state)),
            **({} if trainer.best is None else {"best": trainer.best}),
        }
        text = json.dumps(record, default=_plain)
        write_atomically(self.path, to_bytes(tensors, {_KEY: text}))

    def load(self, trainer: Trainer) -> None:
        """Bring a new trainer, its model and its optimizer to where the run was.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is damaged, or of another architecture, optimizer or way through the data.
        """
        record, tensors = self._read()
        try:
            for name, value in _identity(trainer).items():
                _compare(name, record[name], value)
            before = trainer.rules.optimizer.state_dict()
            try:
                _apply(trainer, record, tensors)
            except BaseException:
                trainer.rules.optimizer.load_state_dict(before)
                raise
        except (KeyError, TypeError, ValueError) as error:
            message = error.args[0] if error.args else error
            raise ValueError(f"{self.path} is not a checkpoint that this run can go on from: "
                             f"{message}") from None

    def _read(self) -> tuple[dict[str, Any], dict[str, Array]]:
        import json

        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        metadata = read_metadata(self.path)
        if _KEY not in metadata:
            raise ValueError(f"{self.path} holds no training run, expected metadata under "
                             f"{_KEY!r}")
        try:
            record = json.loads(metadata[_KEY])
            if record["format"] > FORMAT:
                raise ValueError(f"format is {record['format']}, expected {FORMAT} or lower")
            return record, load_file(self.path)
        except (KeyError, SafetensorError, TypeError, ValueError) as error:
            raise ValueError(f"{self.path} is not a valid checkpoint: {error}") from None


def _identity(trainer: Trainer) -> dict[str, Any]:
    """What must be the same for a run to go on, as it comes back from JSON."""
    windows, walk = trainer.rules.windows, trainer.walk
    return {"architecture": _listed(architecture(trainer.model)),
            "optimizer": type(trainer.rules.optimizer).__name__,
            "schedule_class": None if trainer.rules.schedule is None
            else type(trainer.rules.schedule).__name__,
            "batch_size": walk.batch_size, "tbptt": None if windows is None else list(windows),
            "shuffle": walk.rng is not None, "updates_per_epoch": trainer.updates_per_epoch}


def _compare(name: str, saved: Any, mine: Any) -> None:
    """Refuse what differs, down to the entry that does."""
    if isinstance(saved, dict) and isinstance(mine, dict) and saved.keys() == mine.keys():
        for key in mine:
            _compare(f"{name}, {key}", saved[key], mine[key])
    elif isinstance(saved, list) and isinstance(mine, list) and len(saved) == len(mine):
        for index, pair in enumerate(zip(saved, mine, strict=True)):
            _compare(f"{name}[{index}]", *pair)
    elif saved != mine:
        raise ValueError(f"its {name} is {saved!r}, expected {mine!r} as in this call")


def _apply(trainer: Trainer, record: dict[str, Any], tensors: Mapping[str, Array]) -> None:
    """Take all over, the model last: until then an error leaves it as it is."""
    model, rules, walk = trainer.model, trainer.rules, trainer.walk
    parameters = _group("model", tensors)
    type(model.tensors)(model.tensors.shapes, model.dtype).load_state_dict(parameters)
    rules.optimizer.load_state_dict(_group("optimizer", tensors))
    rules.optimizer.attach(model.tensors)
    trainer.history.load(_group("history", tensors))
    for name in _NUMBERS:
        setattr(trainer, name, record["numbers"][name])
    if trainer.patience is not None and "best" in tensors:
        trainer.best = tensors["best"].reshape(model.parameters.shape)
    position = record["position"]
    for name in ("begin", "now"):
        position[name] = _generator_state(walk.rng, position[name])
    generator = _generator_state(model.rng, record["generator"])
    dropout = [_generator_state(other, state) for other, state
               in zip(model.generators(), record["dropout"], strict=True)]
    if rules.schedule is not None:
        rules.schedule.load_state_dict(record["schedule"])
    callbacks, states = _stateful(trainer), record["callbacks"]
    _compare("number of callbacks with a state", len(states), len(callbacks))
    for callback, state in zip(callbacks, states, strict=True):
        callback.load_state_dict(state)
    walk.move_to(position, _nested(_group("state", tensors), len(model.layers)))
    model.rng.bit_generator.state = generator
    model.restore_generators(dropout)
    model.load_state_dict(parameters)


def _stateful(trainer: Trainer) -> list[Any]:
    """The callbacks that the checkpoint has something of."""
    return [callback for callback in trainer.callbacks if hasattr(callback, "state_dict")]


def _generator_state(rng: np.random.Generator | None, saved: Any) -> Any:
    """A saved state with arrays where the generator has them."""
    if rng is None or saved is None:
        return saved
    mine = rng.bit_generator.state
    _compare("generator", saved["bit_generator"], mine["bit_generator"])
    return _as(mine, saved)


def _as(example: Any, value: Any) -> Any:
    if isinstance(example, dict):
        return {name: _as(entry, value[name]) for name, entry in example.items()}
    return np.array(value, example.dtype) if isinstance(example, np.ndarray) else value


def _named(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {f"{prefix}.{name}": np.require(array, requirements="C")
            for name, array in arrays.items()}


def _group(prefix: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    start = f"{prefix}."
    return {name[len(start):]: array for name, array in tensors.items()
            if name.startswith(start)}


def _flat(state: State) -> dict[str, Array]:
    """States by "layer.part"; a layer's only array has no part."""
    result: dict[str, Array] = {}
    for index, entry in enumerate(state):
        if isinstance(entry, tuple):
            result.update({f"{index}.{part}": array for part, array in enumerate(entry)})
        elif entry is not None:
            result[str(index)] = entry
    return result


def _nested(arrays: Mapping[str, Array], count: int) -> State:
    """What `_flat` was made of."""
    def entry(index: int) -> Any:
        parts = [array for name, array in sorted(arrays.items())
                 if name.startswith(f"{index}.")]
        return tuple(parts) or arrays.get(str(index))

    return [entry(index) for index in range(count)]


def _listed(value: Any) -> Any:
    """JSON has lists for tuples."""
    if isinstance(value, dict):
        return {name: _listed(entry) for name, entry in value.items()}
    return [_listed(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> Any:
    """Arrays and NumPy's numbers for JSON."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"a state to be saved holds {value!r}, expected numbers, strings and lists")
