"""The next character of a text, in bits, as in table 1 of Pascanu et al. (2013).

The text is the file that RNNCORE_TEXT names, or the tinyshakespeare of RNNCORE_DATA, or the
documentation inside CPython. Its last tenth is held out, the last tenth of the rest is for
validation. It is read in a few streams, with an update every so many steps (the length) and the
state carried on; held-out characters are one stream. Symbols are one-hot. An arm is a method:

    SGD, SGD+C, SGD+CR  RNN of 500 sigmoid units without biases, no momentum; the rate is halved
                        after each epoch that is worse; C clips the norm of the mean gradient;
                        R is Omega with a constant alpha
    LSTM                of 250 units (as many weights), Adam, clipping

Each has three settings to choose from, by the validation loss after an epoch. A clipped mean
gradient and its rate are the authors' sums by the length: 45 is 0.225, 0.01 is 2.
"""

from __future__ import annotations

import functools
import math
import os
import time
from typing import Any, NamedTuple

import numpy as np
from readers import data_folder

import rnncore as rc
from paper.medians import Medians, best, hardware
from paper.runs import Run
from rnncore.text.character import bits_per_character
from rnncore.text.corpus import Corpus, Symbols, read_corpus, split, streams

STREAMS = 8


class Setting(NamedTuple):
    """What is chosen on the validation set."""

    rate: float
    clip: float = math.inf
    alpha: float = 0.0


_CLIPPED = (Setting(4.0, 0.225), Setting(4.0, 1.0), Setting(8.0, 1.0))
SETTINGS = {
    "SGD": (Setting(1.0), Setting(2.0), Setting(4.0)),
    "SGD+C": _CLIPPED,
    "SGD+CR": tuple(setting._replace(alpha=0.1) for setting in _CLIPPED),
    "LSTM": (Setting(0.002, 1.0), Setting(0.004, 1.0), Setting(0.008, 1.0)),
}


class Text(NamedTuple):
    """Symbols to train on, to choose by and to measure on, and how many there are."""

    train: Symbols
    valid: Symbols
    test: Symbols
    symbols: int


def corpus() -> Corpus:
    """The text of the environment, or one that is there."""
    file = data_folder() / "tinyshakespeare" / "input.txt"
    return read_corpus(os.environ.get("RNNCORE_TEXT") or (str(file) if file.exists() else None))


@functools.cache
def text(characters: int | None) -> Text:
    """So many characters of the text, or all."""
    parts = split(corpus().text[:characters])
    cut = len(parts.training) - len(parts.training) // 10
    return Text(parts.training[:cut], parts.training[cut:], parts.held_out,
                len(parts.vocabulary))


def network(method: str, symbols: int, units: int, seed: int) -> rc.Model:
    """The model of a method, its embedding fixed to one-hot vectors."""
    recurrent = (rc.LSTM(symbols, units // 2) if method == "LSTM" else
                 rc.RNN(symbols, units, activation="sigmoid", bias=False))
    layers = [rc.Embedding(symbols, symbols), recurrent,
              rc.Linear(recurrent.output_size, symbols, bias=method == "LSTM")]
    model = rc.Model(layers, "cross_entropy", seed=seed)
    model.set_parameter("0.weight", np.eye(symbols, dtype=np.float32))
    model.freeze("0.*")
    return model


def train(parts: Text, method: str, setting: Setting, seed: int, units: int, length: int,
          epochs: int) -> tuple[rc.Model, rc.History | None]:
    """The model of the best validation epoch; without a history if it diverged."""
    model = network(method, parts.symbols, units, seed)
    adaptive = method == "LSTM"
    schedule = rc.HalveOnWorse(than="best" if adaptive else "previous")
    optimizer = rc.Adam(setting.rate) if adaptive else rc.SGD(setting.rate)
    omega = rc.Omega(setting.alpha, form="squared") if setting.alpha else None
    try:
        return model, model.fit(streams(parts.train, STREAMS), optimizer=optimizer,
                                valid=streams(parts.valid, STREAMS), epochs=epochs,
                                tbptt=length, schedule=schedule, clip_norm=setting.clip,
                                omega=omega, early_stopping=5)
    except FloatingPointError:
        return model, None


@functools.cache
def chosen(characters: int | None, method: str, units: int, length: int
           ) -> tuple[Setting, list[float]]:
    """The setting for a method, and the validation losses of all that were tried, in nats."""
    def loss(setting: Setting) -> float:
        history = train(text(characters), method, setting, 0, units, length, epochs=1)[1]
        return math.inf if history is None else min(history.valid_loss)

    return best(SETTINGS[method], loss)


class Characters(Medians):
    """Bits per character of held-out text, by method."""

    title = "Next character: held-out bits per character, medians; settings chosen from three"
    source = ("published, of other text: Penn Treebank, Pascanu et al. (2013), table 1; LSTM: "
              "Bai et al. (2018)")
    columns = {"test": ".3f", "valid": ".3f", "epochs": ".0f", "epoch_seconds": ".1f"}
    arms = tuple(SETTINGS)
    lengths, quick_lengths = (200,), (50,)
    seeds, quick_seeds = range(3), range(1)
    published = {("SGD", 200): "1.50", ("SGD+C", 200): "1.42", ("SGD+CR", 200): "1.41",
                 ("LSTM", 200): "1.36"}

    def run(self, run: Run, quick: bool) -> dict[str, Any]:
        characters, units, epochs = (200_000, 200, 5) if quick else (None, 500, 40)
        parts = text(characters)
        setting, tried = chosen(characters, run.arm, units, run.length)
        start = time.perf_counter()
        model, history = train(parts, run.arm, setting, run.seed, units, run.length, epochs)
        seconds, valid = time.perf_counter() - start, history.valid_loss if history else []
        return {"test": bits_per_character(model, parts.test),
                "valid": min(valid, default=math.inf) / math.log(2),
                "epochs": len(valid), "epoch_seconds": seconds / max(len(valid), 1),
                "setting": setting._asdict(), "tried": tried, "hardware": hardware(),
                "text": corpus().sha256, "characters": len(parts.train)}
