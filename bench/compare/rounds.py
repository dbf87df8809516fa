"""What is measured: rows, round by round, by all processes in turn."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .lanes import Lane
from .peers import PEERS
from .rows import Row

# Relative to the largest element of an array. Sums of 1e4 float32 terms in another order differ
# by less; bfloat16 has 3 digits.
TOLERANCE = 1e-4
PAUSE = 0.01  # seconds in which the threads of the library that ran before stop spinning


@dataclass
class Measured:
    """A row in one mode, with one number of threads.

    Attributes
    ----------
    row, mode, threads
        What was run: the row as text, "forward", "training" or "step".
    seconds : dict of str to list of float
        For each library one entry per round: the median time of a call in its share.
    waits : dict of str to list of float
        The share of each turn in which the library's threads waited for a CPU: 0 on a quiet
        machine.
    probes : list of dict
        What the machine did in each round: see `Probe.run`. Empty without a compiler.
    deviations : dict of str to float
        The largest difference of each library's outputs from ours.
    failures : dict of str to str
        What libraries said that could not run this.
    """

    row: str
    mode: str
    threads: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    waits: dict[str, list[float]] = field(default_factory=dict)
    probes: list[dict[str, float]] = field(default_factory=list)
    deviations: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def measure(lanes: Sequence[Lane], row: Row, mode: str, rounds: int, seconds: float
            ) -> list[Measured]:
    """Measure a row on all processes; one result for each number of threads.

    Parameters
    ----------
    lanes : sequence of Lane
        The processes; of each number of threads the first is what the others are compared with.
    row : Row
    mode : str
        "forward", "training" or "step".
    rounds : int
        How often each has its turn.
    seconds : float
        About how long a turn takes.
    """
    found = {lane.threads: Measured(str(row), mode, lane.threads) for lane in lanes}
    libraries = [lane for lane in lanes if lane.name != "probe"]
    ready = [lane for lane in lanes if lane.name == "probe"]
    ready += prepared(libraries, row, mode, found)
    order = random.Random(0)
    for _ in range(rounds):
        for lane in order.sample(ready, len(ready)):
            time.sleep(PAUSE)
            result = found[lane.threads]
            if lane.name == "probe":
                result.probes.append(lane.ask("run", seconds))
            else:
                taken, waited = lane.ask("run", seconds)
                result.seconds.setdefault(lane.name, []).append(taken)
                result.waits.setdefault(lane.name, []).append(waited)
    return list(found.values())


def prepared(lanes: Iterable[Lane], row: Row, mode: str, found: dict[int, Measured]
             ) -> list[Lane]:
    """Let the libraries take up a row and compare their outputs; the ones that can run it."""
    ready = []
    expected: dict[int, dict[str, np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "outputs.npz")
        for lane in lanes:
            result = found[lane.threads]
            if mode == "training" and not PEERS[lane.library].trains:
                continue
            try:
                lane.ask("prepare", str(row), mode, str(path))
            except RuntimeError as error:
                result.failures[lane.name] = str(error)
                continue
            with np.load(path) as file:
                outputs = dict(file)
            first = expected.setdefault(lane.threads, outputs)
            result.deviations[lane.name] = deviation(outputs, first)
            ready.append(lane)
    return ready


def deviation(outputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """The largest difference of two sets of arrays, in units of the largest element of each;
    infinite if an array is missing or has another shape, or if anything is not finite.
    """
    worst = 0.0
    for name, wanted in expected.items():
        if name not in outputs or outputs[name].shape != wanted.shape:
            return float("inf")
        far = np.abs(outputs[name] - wanted).max(initial=0)
        worst = max(worst, float(far) / max(float(np.abs(wanted).max(initial=0)), 1e-30))
        if not np.isfinite(far):
            return float("inf")
    return worst
