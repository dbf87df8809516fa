"""How often the alarms of `rnncore.analysis.Monitor` are right: hits and false alarms.

    python bench/alarms.py --runs 100 --seed 2000

Healthy runs are of cells, starts and settings that learn: gated cells, orthogonal RNNs and
IRNNs on the adding problem, temporal order, memorization and running means, with Adam and
clipping. Broken ones are what goes wrong in practice. They explode: recurrent matrices that
expand, learning rates far too high, both without clipping. Or they vanish: sigmoids, recurrent
matrices that shrink, forget gates that are shut, on tasks that need the first steps. Each run
draws its sizes, task and strength from its seed; 300 updates, a look every 25.

A hit is an alarm of the right kind, a false alarm one of any kind in a healthy run. Healthy is
what learns: a run counts if the loss of its last tenth is at most 0.8 of that of the first; the
others are drawn anew, and their alarms are told apart. Broken is what was broken, though a few
of these runs mend themselves.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read once, when NumPy loads its BLAS

import numpy as np

import rnncore as rc
from rnncore.analysis.monitor import Monitor

UPDATES, EVERY, BATCH = 300, 25, 16


class Case(NamedTuple):
    """A run before it starts: a model, its data, and what `fit` is told."""

    name: str
    model: rc.Model
    data: object
    options: dict[str, object]


def drawn_task(rng: np.random.Generator, low: int, high: int) -> rc.tasks.Task:
    """A task that needs its first steps."""
    steps, seed = int(rng.integers(low, high)), int(rng.integers(2**31))
    kinds = [lambda: rc.tasks.AddingProblem(steps, seed=seed),
             lambda: rc.tasks.Memorization(max(steps - 10, 5), seed=seed),
             lambda: rc.tasks.TemporalOrder(steps, seed=seed)]
    return kinds[int(rng.integers(len(kinds)))]()


def task_model(task: rc.tasks.Task, layers: list[object], width: int, seed: int) -> rc.Model:
    """Layers below what a task needs on top."""
    top = [rc.Last()] if task.last else []
    return rc.Model([*layers, *top, rc.Linear(width, task.output_size)], task.loss, seed=seed)


def healthy(seed: int) -> Case:
    """A run as it should be."""
    rng = np.random.default_rng([seed, 0])
    width, task = int(rng.integers(16, 49)), drawn_task(rng, 15, 60)
    kind = ["lstm", "gru", "ugrnn", "orthogonal", "irnn", "indrnn", "stacked"][seed % 7]
    inputs = task.input_size
    layers = {"lstm": lambda: rc.LSTM(inputs, width), "gru": lambda: rc.GRU(inputs, width),
              "ugrnn": lambda: rc.UGRNN(inputs, width),
              "orthogonal": lambda: rc.RNN(inputs, width),
              "irnn": lambda: rc.RNN(inputs, width, activation="relu"),
              "indrnn": lambda: rc.IndRNN(inputs, width),
              "stacked": lambda: rc.LSTM(inputs, width, num_layers=2)}[kind]()
    model = task_model(task, [layers], width, seed)
    if kind == "orthogonal":
        rc.init.orthogonal(model, "0.weight_hh_l0", seed=seed)
    elif kind == "irnn":
        rc.init.irnn(model, seed=seed)
    elif kind == "indrnn":
        rc.init.indrnn(model, steps=40, seed=seed)
    rate = float(np.exp(rng.uniform(np.log(3e-4), np.log(5e-3))))
    return Case(f"healthy: {kind}", model, task, {"optimizer": rc.Adam(rate), "clip_norm": 1.0})


def exploding(seed: int) -> Case:
    """A run whose gradient explodes."""
    rng = np.random.default_rng([seed, 1])
    width, task = int(rng.integers(16, 49)), drawn_task(rng, 30, 60)
    kind = ["expanding relu", "expanding linear", "rate", "expanding tanh"][seed % 4]
    activation = {"expanding relu": "relu", "expanding linear": "identity"}.get(kind, "tanh")
    layer = rc.LSTM(task.input_size, width) if kind == "rate" and seed % 8 < 4 else \
        rc.RNN(task.input_size, width, activation=activation)
    model = task_model(task, [layer], width, seed)
    if kind == "rate":
        optimizer = rc.SGD(float(np.exp(rng.uniform(np.log(3.0), np.log(100.0)))), momentum=0.9)
    else:
        gain = rng.uniform(2.5, 5.0) if kind == "expanding tanh" else rng.uniform(1.4, 2.0)
        rc.init.orthogonal(model, "0.weight_hh_l0", gain=float(gain), seed=seed)
        optimizer = rc.SGD(0.1)
    return Case(f"explosion: {kind}", model, task, {"optimizer": optimizer})


def vanishing(seed: int) -> Case:
    """A run whose gradient vanishes."""
    rng = np.random.default_rng([seed, 2])
    width, task = int(rng.integers(16, 49)), drawn_task(rng, 40, 100)
    kind = ["sigmoid", "shrinking tanh", "shut lstm", "shrinking relu"][seed % 4]
    layer = rc.LSTM(task.input_size, width) if kind == "shut lstm" else \
        rc.RNN(task.input_size, width, activation={"sigmoid": "sigmoid",
                                                   "shrinking relu": "relu"}.get(kind, "tanh"))
    model = task_model(task, [layer], width, seed)
    if kind == "shut lstm":
        rc.init.forget_bias(model, float(rng.uniform(-4, -1)))
    elif kind != "sigmoid":
        gain = float(rng.uniform(0.3, 0.6))
        rc.init.orthogonal(model, "0.weight_hh_l0", gain=gain, seed=seed)
    return Case(f"vanishing: {kind}", model, task,
                {"optimizer": rc.Adam(1e-3), "clip_norm": 1.0})


def watched(case: Case) -> tuple[Monitor, rc.History]:
    """The monitor of a run from beginning to end, and its history."""
    x, y = case.data.sample(8)
    monitor = Monitor(case.model, x, y, every=EVERY)
    history = case.model.fit(case.data.batches(BATCH), updates_per_epoch=UPDATES,
                             on_nonfinite="skip", callbacks=[monitor], **case.options)
    return monitor, history


def main() -> None:
    """Print a line for each kind of run, and the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="healthy ones, and broken ones")
    parser.add_argument("--seed", type=int, default=2000, help="of the first run")
    options = parser.parse_args()
    started = time.monotonic()
    seed = options.seed
    rates: dict[str, list[bool]] = {}
    while len(rates.get("healthy", [])) < options.runs:
        monitor, history = watched(healthy(seed))
        tenth = UPDATES // 10
        learned = np.mean(history.update_loss[-tenth:]) <= \
            0.8 * np.mean(history.update_loss[:tenth])
        rates.setdefault("healthy" if learned else "neither", []).append(bool(monitor.alarms))
        seed += 1
    for seed in range(options.seed, options.seed + options.runs // 2):
        for case in (exploding(seed), vanishing(seed)):
            kinds = {alarm.kind for alarm in watched(case)[0].alarms}
            rates.setdefault(case.name, []).append(case.name.partition(":")[0] in kinds)
    for name, values in sorted(rates.items()):
        print(f"{name:28} {sum(values):3} alarms in {len(values):3} runs")
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
