"""Tasks to test, models for them, and made-up models whose answers are known."""

from __future__ import annotations

import pytest

import rnncore as rc
from rnncore import tasks
from rnncore.tasks.base import one_hot

CHEAP = [
    tasks.Addition((50, 70), seed=0),
    tasks.Multiplication((50, 70), seed=0),
    tasks.AddingProblem((50, 70), seed=0),
    tasks.TemporalOrder((50, 70), seed=0),
    tasks.TemporalOrder((50, 70), symbols=3, seed=0),
    tasks.RandomPermutation((20, 30), seed=0),
    tasks.RandomPermutation((20, 30), every_step=True, seed=0),
    tasks.Memorization((20, 30), seed=0),
    tasks.Memorization((20, 30), values=5, symbols=10, seed=0),
    tasks.CopyMemory((20, 30), seed=0),
    tasks.Agreement((20, 30), attractors=2, seed=0),
]
every_task = pytest.mark.parametrize("task", CHEAP, ids=repr)


def again(task, **other):
    """The same task from the beginning, with some settings exchanged."""
    settings = {**task._settings, **other}
    return type(task)(settings.pop("length"), **settings)


def model_for(task, width=8, seed=0):
    layers = [rc.RNN(task.input_size, width), rc.Last(), rc.Linear(width, task.output_size)]
    return rc.Model(layers if task.last else [layers[0], layers[2]], task.loss, seed=seed)


class Guess:
    """A made-up model: an answer computed from x (T, B, I)."""

    takes_symbols = batch_first = False

    def __init__(self, task, answer):
        self.input_size, self.output_size = task.input_size, task.output_size
        self.per_step, self.answer, self.layers = not task.last, answer, [self]

    def infer(self, x):
        output = self.answer(x)
        if output.dtype.kind == "i":
            output = one_hot(output, self.output_size)
        return output, None
