"""Does a network learn the subject or the noun that came last? After Linzen et al. (2016).

Each arm is a layer, trained on sentences whose attractors have a random number, or (named
"tempted") the number of the subject in nine of ten cases, so that recency is nearly always
right. A run is solved when less than 1 % of the verbs are wrong where the last noun misleads.
"""

from __future__ import annotations

import itertools
from typing import Any

import rnncore as rc
from paper.part import Part
from paper.runs import Run

_LAYERS = {"RNN": rc.RNN, "LSTM": rc.LSTM, "GRU": rc.GRU}
_UNITS, _BATCH, _BETWEEN = 50, 20, 250  # hidden units, sentences, updates between measurements


class SubjectOrRecency(Part):
    """The verb's number with three attractors, by length of the sentence."""

    title = "Agreement: the subject against the last of three attractors, 50 units, Adam 0.002"
    arms = ("RNN", "LSTM", "GRU", "RNN tempted", "LSTM tempted", "GRU tempted")
    lengths = (20, 50, 100, 200)
    quick_lengths = (12,)

    def run(self, run: Run, quick: bool) -> dict[str, Any]:
        kind, _, tempted = run.arm.partition(" ")
        task = rc.tasks.Agreement(run.length, attractors=3, opposite=0.1 if tempted else 0.5,
                                  seed=run.seed)
        model = rc.Model([_LAYERS[kind](task.input_size, _UNITS), rc.Last(),
                          rc.Linear(_UNITS, task.output_size)], task.loss, seed=run.seed)
        sequences, most = (500, 500) if quick else (10_000, 20_000)
        optimizer, stream = rc.Adam(lr=0.002), task.batches(_BATCH)
        updates, error = 0, 1.0
        while updates < most and error >= 0.01:
            model.fit(itertools.islice(stream, _BETWEEN), optimizer=optimizer, clip_norm=1.0)
            updates += _BETWEEN
            error = task.error_rate(model, sequences)
        return {"solved": error < 0.01, "error": error, "updates": updates}
