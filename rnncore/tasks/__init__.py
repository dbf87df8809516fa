"""The synthetic tasks of the literature on long-range dependencies.

A task is an endless, seeded stream of batches that `Model.fit` and `Model.evaluate` take as
they are, and the measure by which its authors tell success:

    task = rc.tasks.TemporalOrder(length=(50, 200), seed=0)
    x, y = task.sample(20)              the next batch of the stream
    task.batches(20)                    all that follow, as an iterator
    task.error_rate(model)              the share of wrong sequences, on sequences of its own
    task.baseline                       what a guess without memory gets
    task.state_dict()                   where the stream stands

Sequences are time-major, x float32 (T, B, input_size). All sequences of a batch have one
length, as in the authors' generators, so that none is padded.
"""

from rnncore.tasks.agreement import Agreement
from rnncore.tasks.base import Baseline, Batches, Task
from rnncore.tasks.recall import CopyMemory, Memorization
from rnncore.tasks.symbols import RandomPermutation, TemporalOrder
from rnncore.tasks.values import AddingProblem, Addition, Multiplication

__all__ = ["AddingProblem", "Addition", "Agreement", "Baseline", "Batches", "CopyMemory",
           "Memorization", "Multiplication", "RandomPermutation", "Task", "TemporalOrder"]
