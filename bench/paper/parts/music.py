"""Polyphonic music: the next frame of a piano-roll, as table 1 of Pascanu et al. (2013).

The loss is the negative log-likelihood of independent notes, natural logarithm, summed over the
88 notes; reported is its total over all test pieces by their frames 2 to T. Pieces are trained
on in parts of so many steps (the length), and are whole for validation and test. The biases of
the output start at the log-odds of the notes. An arm is a method:

    SGD, SGD+C, SGD+CR  RNN of 300 units, no momentum, four parts of 200 steps to an update; the
                        rate is halved after each epoch that is worse; C clips the norm of the
                        mean gradient; R is Omega, with alpha / epoch
    RNN, GRU, LSTM      Adam, clipping at 8, parts of 100 steps, four or (LSTM) eight to an
                        update; the rate is halved after each third epoch without a new best.
                        RNN: orthogonal at first, Omega, a share of the input dropped (Vincent
                        et al. 2008); GRU, LSTM: two layers with dropout of 0.5 between them
                        (Zaremba, Sutskever & Vinyals 2014) and decoupled decay of 0.01
                        (Loshchilov & Hutter 2019)

Each has six settings to choose from, by the validation loss: activation, rate, clipping and
alpha of SGD, rate and share of the RNN, rate of the others. The best validation epoch is the
one tested. CR and C
are compared piece by piece: the interval of their difference is that of the percentile
bootstrap (Efron & Tibshirani 1993) over test pieces, of means over seeds.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from readers import MUSIC, NOTES, Music, Roll, data_folder, music_file, next_frames, read_music

import rnncore as rc
from paper.medians import Medians, best, hardware
from paper.runs import Results, Run

UNITS = {"RNN": 300, "GRU": 200, "LSTM": 200}
STEPS = {"SGD": 200, "SGD+C": 200, "SGD+CR": 200, "RNN": 100, "GRU": 100, "LSTM": 100}
FRAMES = {"RNN": 400, "GRU": 400}  # to an update; 800 of others
DECAY = {"GRU": 0.01, "LSTM": 0.01}


class Setting(NamedTuple):
    """What is chosen on the validation set."""

    rate: float
    activation: str = "tanh"
    clip: float = 8.0
    alpha: float = 0.0
    dropout: float = 0.0  # between the layers
    dropped: float = 0.0  # share of the input


PUBLISHED = Setting(1.0, "sigmoid", 8.0, 0.5)
WITH_SGD = (PUBLISHED, Setting(2.0, "sigmoid", 2.0, 0.5), Setting(0.05, "tanh", 8.0, 0.5),
            Setting(0.1, "tanh", 8.0, 0.5), Setting(0.2, "tanh", 2.0, 0.1),
            Setting(0.3, "tanh", 1.0, 0.5))
WITH_ADAM = {
    "RNN": [Setting(rate, alpha=0.5, dropped=dropped) for dropped in (0.2, 0.15, 0.1)
            for rate in (1e-3, 2e-3)],
    "GRU": [Setting(rate, dropout=0.5) for rate in (1e-3, 2e-3, 3e-3, 4e-3, 6e-3, 8e-3)],
}


def settings(method: str) -> list[Setting]:
    """What a method may choose from; without C or R it has the same without these."""
    if not method.startswith("SGD"):
        return WITH_ADAM["RNN" if method == "RNN" else "GRU"]
    added = method.partition("+")[2]
    return [setting._replace(clip=setting.clip if "C" in added else math.inf,
                             alpha=setting.alpha if "R" in added else 0.0)
            for setting in WITH_SGD]


class Dropped:
    """Batches of sequences whose input loses a share of its elements, anew in each epoch."""

    def __init__(self, sequences: Sequence[tuple[Roll, Roll]], batch: int, share: float,
                 seed: int) -> None:
        self.sequences, self.batch, self.share = list(sequences), batch, share
        self.rng = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[tuple[Roll, Roll, NDArray[np.int64]]]:
        order = self.rng.permutation(len(self.sequences))
        order = order[np.argsort([len(self.sequences[i][0]) for i in order], kind="stable")]
        batches = [order[i : i + self.batch] for i in range(0, len(order), self.batch)]
        for place in self.rng.permutation(len(batches)):
            rows = [self.sequences[i] for i in batches[place]]
            lengths = np.array([len(x) for x, _ in rows])
            x = np.zeros((lengths.max(), len(rows), NOTES), np.float32)
            y = np.zeros_like(x)
            for column, (part, target) in enumerate(rows):
                x[: len(part), column], y[: len(part), column] = part, target
            x *= self.rng.random(x.shape, np.float32) >= self.share
            yield x, y, lengths


def network(method: str, setting: Setting, pieces: Sequence[Roll], seed: int) -> rc.Model:
    """The model of a method for pieces like these."""
    kind = method if method in UNITS else "RNN"
    options: dict[str, Any] = {"num_layers": 2, "dropout": setting.dropout}
    if kind == "RNN":
        options = {"activation": setting.activation}
    units = UNITS[kind]
    model = rc.Model([getattr(rc, kind)(NOTES, units, **options), rc.Linear(units, NOTES)],
                     "bernoulli", seed=seed)
    share = np.concatenate(pieces).mean(axis=0).clip(0.001, 0.999)
    model.set_parameter("1.bias", np.log(share / (1 - share)))
    if method == "RNN":
        rc.init.orthogonal(model, "*weight_hh*", seed=seed)
    return model


def train(music: Music, method: str, setting: Setting, seed: int, epochs: int
          ) -> tuple[rc.Model, rc.History | None]:
    """The model of the best validation epoch; without a history if it diverged."""
    model, sgd = network(method, setting, music.train, seed), method.startswith("SGD")
    batch = FRAMES.get(method, 800) // STEPS[method]
    parts = next_frames(music.train, STEPS[method])
    data = Dropped(parts, batch, setting.dropped, seed) if setting.dropped else parts
    schedule = rc.HalveOnWorse() if sgd else rc.HalveOnWorse(patience=2, than="best")
    omega = rc.Omega(setting.alpha, form="squared", schedule="1/t") if setting.alpha else None
    optimizer = rc.SGD(setting.rate) if sgd else \
        rc.AdamW(setting.rate, weight_decay=DECAY.get(method, 0.0))
    try:
        return model, model.fit(data, valid=next_frames(music.valid), epochs=epochs,
                                batch_size=batch, optimizer=optimizer,
                                schedule=schedule, clip_norm=setting.clip, omega=omega,
                                early_stopping=10)
    except FloatingPointError:
        return model, None


@functools.cache
def music(name: str) -> Music:
    """A data set, read once."""
    return read_music(music_file(name))


@functools.cache
def chosen(name: str, method: str, epochs: int, number: int) -> tuple[Setting, list[float]]:
    """The setting for a method, and the validation losses of all that were tried."""
    def loss(setting: Setting) -> float:
        history = train(music(name), method, setting, 0, epochs)[1]
        return math.inf if history is None else min(history.valid_loss)

    return best(settings(method)[:number], loss)


def per_piece(model: rc.Model, pieces: Sequence[Roll]) -> list[float]:
    """The negative log-likelihood of each piece, over all frames but the first."""
    found = [model.evaluate(next_frames([piece])) for piece in pieces]
    return [measured.loss * measured.counted for measured in found]


def interval(first: NDArray[Any], second: NDArray[Any], frames: NDArray[Any],
             draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """95 % of the difference per frame, first minus second, from totals (seeds, pieces)."""
    difference = first.mean(axis=0) - second.mean(axis=0)
    rows = np.random.default_rng(seed).integers(len(frames), size=(draws, len(frames)))
    low, high = np.quantile(difference[rows].sum(axis=1) / frames[rows].sum(axis=1),
                            (0.025, 0.975))
    return float(low), float(high)


class PolyphonicMusic(Medians):
    """The negative log-likelihood per frame of each data set that is there, by method."""

    title = ("Next frame of a piano-roll: nats per frame, medians\n"
             "settings chosen from six on the validation set; RNN, GRU, LSTM: by Adam")
    source = "published: test, SGD: Pascanu et al. (2013), table 1; others: Bai et al. (2018)"
    columns = {"test": ".3f", "valid": ".3f", "train": ".3f", "epochs": ".0f",
               "epoch_seconds": ".2f"}
    arms = tuple(f"{name}, {method}" for name in MUSIC for method in STEPS)
    lengths = quick_lengths = (200, 100)
    seeds, quick_seeds = range(3), range(1)
    published = {(f"{name}, {method}", STEPS[method]): number for name, numbers in {
        "Piano": {"SGD": "7.56", "SGD+C": "7.53", "SGD+CR": "7.46"},
        "Nottingham": {"SGD": "3.80", "SGD+C": "3.48", "SGD+CR": "3.36", "RNN": "4.05",
                       "GRU": "3.46", "LSTM": "3.29"},
        "MuseData": {"SGD": "7.11", "SGD+C": "7.00", "SGD+CR": "6.97"},
        "JSB": {"RNN": "8.91", "GRU": "8.43", "LSTM": "8.45"},
    }.items() for method, number in numbers.items()}

    def runs(self, quick: bool) -> list[Run]:
        """Those whose data are there; with --quick the first data set alone."""
        there = [name for name in MUSIC if music_file(name).exists()][: 1 if quick else None]
        if not there:
            raise SystemExit(f"no music in {data_folder()}: RNNCORE_DATA names the folder that "
                             f"has {music_file('JSB').parent.name}/{MUSIC['JSB']} or others")
        wanted = {(f"{name}, {method}", steps) for name in there
                  for method, steps in STEPS.items()}
        return [run for run in super().runs(quick) if (run.arm, run.length) in wanted]

    def run(self, run: Run, quick: bool) -> dict[str, Any]:
        name, _, method = run.arm.partition(", ")
        setting, tried = chosen(name, method, *((2, 2) if quick else (10, 6)))
        start = time.perf_counter()
        model, history = train(music(name), method, setting, run.seed, 10 if quick else 200)
        seconds, valid = time.perf_counter() - start, history.valid_loss if history else []
        test = music(name).test
        nats, frames = per_piece(model, test), [len(piece) - 1 for piece in test]
        return {"test": sum(nats) / sum(frames), "valid": min(valid, default=math.inf),
                "train": model.evaluate(next_frames(music(name).train)).loss,
                "epochs": len(valid), "epoch_seconds": seconds / max(len(valid), 1),
                "setting": setting._asdict(), "tried": tried, "hardware": hardware(),
                "nats": nats, "frames": frames}

    def table(self, results: Results) -> str:
        """The same, and what Omega adds to clipping."""
        lines = []
        for name in MUSIC:
            clipped, both = (results.of(f"{name}, SGD+{added}", 200) for added in ("C", "CR"))
            if clipped and both:
                low, high = interval(*(np.array([entry["nats"] for entry in entries])
                                       for entries in (both, clipped)),
                                     np.array(both[0]["frames"]))
                lines.append(f"{name}, SGD+CR minus SGD+C: 95 % from {low:+.3f} to {high:+.3f}")
        return "\n".join([super().table(results), "", *lines])
