"""Training a character model: truncated BPTT over contiguous streams, the best model kept.

The defaults were chosen for the held-out bits after equal work on CPython's documentation, and
give 1.68 there (6-gram 1.93) and 2.21 on tinyshakespeare (6-gram 2.45).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np

from rnncore.jobs.recipe import Recipe
from rnncore.jobs.run import Files, Job
from rnncore.jobs.run import train as run
from rnncore.jobs.stop import StopRequest
from rnncore.text.character import CharacterModel, bits_per_character, save_character_model
from rnncore.text.corpus import Split, Symbols, streams

BATCH = 16  # streams; twice as many cost 0.07 bits at equal work
STEPS = 32  # characters between updates; twice as many cost 0.03 bits at equal work
LOOK, WINDOWS = 64, 13  # what is kept to be looked at: characters, and how often per stream
TRAINING_CHARACTERS = 1_800_000  # what the default number of epochs comes nearest to
MAX_EPOCHS = 30  # of the default: short texts are learnt by heart before


@dataclass(frozen=True)
class Plan:
    """How to cut the training part into windows, and how often to go through it."""

    epochs: int
    batch: int

    @classmethod
    def of(cls, n_characters: int, epochs: int | None = None) -> Plan:
        """Plan for a training part of so many characters; `epochs` defaults by its length.

        Examples
        --------
        >>> Plan.of(418_544), Plan.of(1_003_855), Plan.of(10**8)
        (Plan(epochs=4, batch=16), Plan(epochs=2, batch=16), Plan(epochs=1, batch=16))
        >>> Plan.of(900)
        Plan(epochs=30, batch=16)
        """
        usual = min(max(round(TRAINING_CHARACTERS / n_characters), 1), MAX_EPOCHS)
        # A text too short for full streams gets fewer, not shorter ones.
        batch = min(max((n_characters - 1) // STEPS, 1), BATCH)
        return cls(usual if epochs is None else epochs, batch)


@dataclass(frozen=True)
class Outcome:
    """The held-out bits per character of the best model, and the characters it had read."""

    bits: float
    characters: int


def train(
    model: CharacterModel,
    parts: Split,
    plan: Plan,
    path: str | PathLike[str],
    *,
    stop: StopRequest,
    report: Callable[[float], None],
    recipe: Recipe | None = None,
    resume: bool = False,
    call: Mapping[str, Any] | None = None,
    about: Mapping[str, str] | None = None,
) -> Outcome:
    """Train a model in place and keep the best one, by held-out bits, in a file.

    Parameters
    ----------
    model : CharacterModel
        What to train; afterwards it is the present model, not the best one.
    parts : Split
        The text to train on and the text to judge by.
    plan : Plan
        The number of epochs and of streams.
    path : str or path-like
        Where the best model so far is written. A first one is there as soon as the first epoch
        is over or training is stopped, before it is evaluated. Until training is done the run
        itself is beside it, with ".run" behind the name, and then its history, ".history".
    stop : StopRequest
        Asked after each update. The model present when it says stop is kept if it is the best.
    report : callable
        Called with the held-out bits per character of the present model after each epoch.
    recipe : Recipe, optional
        How updates are made; windows are of 32 characters if it does not say otherwise.
    resume : bool, default=False
        Go on with the run beside `path`, if there is one, in the bits of one never stopped.
    call : mapping, optional
        What has to be the same for that, by name.
    about : mapping, optional
        What a report is to say of the data, by name.

    Raises
    ------
    InputError
        If the run cannot be gone on with, or the recipe does not go with the model.
    OSError
        If a file cannot be written.
    """
    recipe = recipe or Recipe()
    window, back = recipe.tbptt or (STEPS, STEPS)
    x, y = streams(parts.training, plan.batch)  # (N, batch) each
    job = Job(
        model=model.network,
        data=(x, y),
        batch_size=plan.batch,
        epochs=plan.epochs,
        size=x.size,
        updates=-(-len(x) // window),
        seen=lambda updates: min(updates * window, len(x)) * plan.batch,
        evaluate=lambda: bits_per_character(model.network, parts.held_out),
        save=lambda: save_character_model(model, path),
        report=report,
        unit="characters",
        loss="bits per character",
        probe=_windows(x, y),
        scale=1 / math.log(2),
    )
    files = Files(path, resume, call or {}, about or {})
    return Outcome(*run(job, replace(recipe, tbptt=(window, back)), files, stop))


def _windows(x: Symbols, y: Symbols) -> dict[str, Symbols]:
    """Short pieces of all streams (N, batch), side by side: (LOOK, WINDOWS * batch)."""
    starts = np.unique(np.linspace(0, max(len(x) - LOOK, 0), WINDOWS).astype(int))
    return {name: np.concatenate([stream[start : start + LOOK] for start in starts], axis=1)
            for name, stream in [("x", x), ("target", y)]}
