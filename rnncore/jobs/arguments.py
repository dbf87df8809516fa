"""The arguments of `rnncore train`, and how numbers are read from a command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

from rnncore.jobs.cells import CELLS
from rnncore.jobs.recipe import CLIP_NORM, MOMENTUM, RATES, Recipe

# What may be another than it was when a run goes on; all the rest decides its bits.
_FREE = ("data", "max_seconds", "out", "report", "resume", "run", "threads")

_DESCRIPTION = """\
Train a recurrent network: a character model on a text, or a classifier or regression on the
sequences of a table. A part is held out, and the model that predicts it best is kept.

A text is UTF-8; its last tenth is held out. A table is known by the end of its name:

  .npz  arrays x (samples, time, features) or (samples, time) of numbers; y (samples,) of
        integers or strings for classes, or floats (samples,), (samples, targets) or
        (samples, time, targets) for regression; if lengths differ, lengths (samples,).
  .csv  a header, and a row for each time step, those of a sequence one after the other.
        The column "sequence" tells the sequences apart, "target" is what to predict, all
        others are features. If all targets are numbers and one of them is written with a
        point or an exponent, it is regression, otherwise each text is a class. A target that
        is the same in all rows of each sequence is predicted from the whole sequence, others
        (of regression alone) row by row.
"""


def add_train(parser: argparse.ArgumentParser) -> None:
    """Add all of them to the parser of the command."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    data = "text, .npz or .csv file, or - for a text (default: documentation inside CPython)"
    add("data", nargs="?", metavar="DATA", help=data)
    add("--cell", choices=list(CELLS), default="lstm", help="recurrent cell (default: lstm)")
    layers = "recurrent layers (default: 2; 1 for tables)"
    add("--layers", type=integer(1), help=layers)
    hidden = "units per layer (default: 256; 64 for tables)"
    add("--hidden", type=integer(1), help=hidden)
    dropout = "fraction of units dropped between layers (default: 0)"
    add("--dropout", type=number(0, below=1), default=0.0, help=dropout)
    add("--epochs", type=integer(1), help="times through the data (default: by its size)")
    share = "part of a table that is held out (default: 0.1)"
    add("--valid-share", type=number(above=0, most=0.5), metavar="SHARE", help=share)
    add("--seed", type=integer(0), default=0, help="of all that is random (default: 0)")
    _add_recipe(parser)
    seconds = "stop training after so many seconds, keep the best model so far (default: never)"
    add("--max-seconds", type=number(above=0), default=math.inf, help=seconds)
    add("--threads", type=integer(1), help="number of threads (default: as the library's)")
    out = "file for the best model (default: model.safetensors)"
    add("--out", default="model.safetensors", help=out)
    resume = ("go on with the training that was stopped, from the file OUT.run beside the"
              " model; data and options as before; without that file, start anew")
    add("--resume", action="store_true", help=resume)
    report = "write what rnncore report writes when training ends, to OUT.html"
    add("--report", action="store_true", help=report)


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("updates").add_argument
    names = f"default: adam; sgd has a momentum of {MOMENTUM}"
    add("--optimizer", choices=list(RATES), default="adam", help=names)
    rates = ", ".join(f"{rate:g} for {name}" for name, rate in RATES.items())
    lr = f"learning rate at the start, from which it falls to 0 (default: {rates})"
    add("--lr", type=number(above=0), metavar="RATE", help=lr)
    clip = f"largest norm of the gradient (default: {CLIP_NORM:g})"
    add("--clip", type=number(above=0), default=CLIP_NORM, metavar="NORM", help=clip)
    step = "largest norm of the gradient carried from step to step (default: no limit)"
    add("--clip-step", type=number(above=0), metavar="LIMIT", help=step)
    omega = "weight of the regularizer against vanishing gradients (default: none)"
    add("--omega", type=number(0), metavar="ALPHA", help=omega)
    tbptt = ("update every K steps from the last K2 (default: 32 for texts, whole sequences"
             " for tables)")
    add("--tbptt", type=_windows, metavar="K[,K2]", help=tbptt)
    orthogonal = ("weight of a penalty on recurrent matrices that are not orthogonal, or"
                  " hard, also without a value, to keep them so (default: neither)")
    add("--orthogonal", type=_orthogonal, nargs="?", const="hard", metavar="WEIGHT|hard",
        help=orthogonal)


def recipe(options: argparse.Namespace) -> Recipe:
    """How the updates are made."""
    return Recipe(options.optimizer, options.lr, options.clip, options.clip_step, options.omega,
                  options.tbptt, options.orthogonal)


def call(options: argparse.Namespace, sha256: str) -> dict[str, Any]:
    """What has to be the same for a run to go on, by name, as it comes back from JSON."""
    named = {f"--{name.replace('_', '-')}": list(value) if isinstance(value, tuple) else value
             for name, value in vars(options).items() if name not in _FREE}
    return {"SHA-256 of the data": sha256, **named}


def integer(least: int) -> Callable[[str], int]:
    """Return a converter for integers from `least` on."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r}, expected an integer >= {least}")
        return value

    return convert


def number(least: float = -math.inf, *, above: float = -math.inf, below: float = math.inf,
           most: float = math.inf) -> Callable[[str], float]:
    """Return a converter for finite numbers in a range; `above` and `below` are not in it."""
    bounds = [(">=", least), (">", above), ("<", below), ("<=", most)]
    wanted = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if math.isfinite(bound))

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (least <= value <= most and above < value < below):
            raise argparse.ArgumentTypeError(f"{text!r}, expected a number {wanted}")
        return value

    return convert


def _windows(text: str) -> tuple[int, int]:
    """K, or K,K2 with K <= K2."""
    try:
        k, *rest = (int(part) for part in text.split(","))
        k2, = rest or [k]
    except ValueError:
        k, k2 = 0, 0
    if not 1 <= k <= k2:
        raise argparse.ArgumentTypeError(f"{text!r}, expected steps K, or K,K2 with K2 >= K")
    return k, k2


def _orthogonal(text: str) -> float | str:
    try:
        return text if text == "hard" else number(0)(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r}, expected a weight >= 0 or 'hard'") from None
