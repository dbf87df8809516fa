"""The command line: `rnncore train`, `rnncore sample`, `rnncore info`.

Exit codes: 0 done, also when --max-seconds ended the training; 1 training failed on the way;
2 wrong input, found before any training starts; 130 stopped by Ctrl-C; 143 by SIGTERM. Whatever
ends a training that has begun, the best model so far stays in its file.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import rnncore
from rnncore.text.corpus import Corpus, InputError, Split, read_corpus, split

if TYPE_CHECKING:
    from rnncore.text.character import CharacterModel
    from rnncore.text.training import Plan

NGRAM_ORDER = 6


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; `argv` defaults to the process's own.

    Examples
    --------
    >>> main(["sample", "model.safetensors", "--length", "-1"])  # its message is on stderr
    2
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a character of a sample shows its number.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = _parser().parse_args(argv)
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except InputError as error:
        _complain(str(error))
        return 2
    except KeyboardInterrupt:
        _complain("stopped by Ctrl-C")
        return 130
    except BrokenPipeError:
        # The reader has gone; Python must not fail once more when it flushes on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _say(line: str) -> None:
    """Print a line at once: standard output may be a file that somebody follows."""
    print(line, flush=True)


def _complain(line: str) -> None:
    print(f"rnncore: {line}", file=sys.stderr)


# ---- Arguments ----


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument as any other wrong input: in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("rnncore", description="Recurrent networks for CPUs.")
    parser.add_argument("--version", action="version", version=f"rnncore {rnncore.__version__}")
    commands = parser.add_subparsers(required=True, metavar="{train,sample,info}")
    _add_train(commands.add_parser("train", help="train a character model on a text"))
    _add_sample(commands.add_parser("sample", help="print text made up by a trained model"))
    info = commands.add_parser("info", help="print the version and what this machine offers")
    info.set_defaults(run=_info)
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    from rnncore.text.character import CELLS
    from rnncore.text.training import TRAINING_CHARACTERS

    parser.description = (
        "Train a character model by truncated back-propagation through time. The last tenth of"
        " the text is held out; the model that predicts it best is kept."
    )
    add = parser.add_argument
    text = "UTF-8 text file, or - for standard input (default: documentation inside CPython)"
    add("text", nargs="?", metavar="TEXT", help=text)
    add("--cell", choices=list(CELLS), default="lstm", help="recurrent cell (default: lstm)")
    add("--layers", type=_integer(1), default=2, help="recurrent layers (default: 2)")
    add("--hidden", type=_integer(1), default=256, help="units per layer (default: 256)")
    dropout = "fraction of units dropped between layers (default: 0)"
    add("--dropout", type=_number(0, below=1), default=0.0, help=dropout)
    epochs = f"times through the text (default: about {TRAINING_CHARACTERS:,} characters)"
    add("--epochs", type=_integer(1), help=epochs)
    seconds = "stop training after so many seconds, keep the best model so far (default: never)"
    add("--max-seconds", type=_number(above=0), default=math.inf, help=seconds)
    add("--seed", type=_integer(0), default=0, help="of weights and dropout (default: 0)")
    add("--threads", type=_integer(1), help="number of threads (default: as the library's)")
    out = "file for the best model (default: model.safetensors)"
    add("--out", default="model.safetensors", help=out)
    parser.set_defaults(run=_train)


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print a text and how a trained character model continues it."
    add = parser.add_argument
    add("model", metavar="MODEL", help="file written by rnncore train")
    add("--prime", default="", help="the text to continue (default: none, a new line)")
    add("--length", type=_integer(0), default=500, help="characters to add (default: 500)")
    temperature = "0 takes the likeliest character, more is less cautious (default: 0.7)"
    add("--temperature", type=_number(0), default=0.7, help=temperature)
    add("--seed", type=_integer(0), default=0, help="of the draws (default: 0)")
    parser.set_defaults(run=_sample)


def _integer(least: int) -> Callable[[str], int]:
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


def _number(
    least: float = -math.inf, *, above: float = -math.inf, below: float = math.inf
) -> Callable[[str], float]:
    """Return a converter for finite numbers in a range; `above` and `below` are not in it."""
    bounds = [(">=", least), (">", above), ("<", below)]
    wanted = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if math.isfinite(bound))

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (value >= least and above < value < below):
            raise argparse.ArgumentTypeError(f"{text!r}, expected a number {wanted}")
        return value

    return convert


# ---- Commands ----


def _train(options: argparse.Namespace) -> int:
    from rnncore.text.ngram import witten_bell_bits
    from rnncore.text.training import Plan, StopRequest, train

    corpus = read_corpus(options.text)
    _check_output(options.out, options.text)
    parts = split(corpus.text)
    model = _build(options, parts)
    plan = Plan.of(len(parts.training), options.epochs)
    _describe(corpus, parts, model, plan)
    symbols = len(parts.vocabulary)
    baseline = witten_bell_bits(parts.training, parts.held_out, symbols, NGRAM_ORDER)

    def report(bits: float) -> None:
        _say(f"held-out {bits:.2f} bits per character ({NGRAM_ORDER}-gram {baseline:.2f})")

    with StopRequest(options.max_seconds) as stop:
        try:
            best = train(model, parts, plan, options.out, stop=stop, report=report)
        except OSError as error:
            _complain(f"cannot write {options.out}: {error.strerror or error}")
            return 1
    report(best.bits)
    _say(
        f"{stop.reason or 'done'}; best model, after {best.characters:,} characters:"
        f" {options.out}"
    )
    return stop.exit_code


def _check_output(path: str, text: str | None) -> None:
    """Refuse a path that no model can be written to, without touching what is there."""
    target = Path(os.path.realpath(path))
    try:
        if target.exists():
            if not target.is_file():
                raise InputError(f"cannot write {path}: it is not a file")
            if not os.access(target, os.W_OK):
                raise InputError(f"cannot write {path}: it is write-protected")
            if text not in (None, "-") and target.samefile(str(text)):
                raise InputError(f"cannot write {path}: it is the text to train on")
        # Models are written beside their final name, under one about as long as this.
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, suffix=".tmp"):
            pass
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None


def _build(options: argparse.Namespace, parts: Split) -> CharacterModel:
    from rnncore.text.character import build_model

    if options.dropout and options.layers == 1:
        raise InputError("--dropout acts between layers, expected --layers 2 or more")
    if options.threads is not None:
        rnncore.set_num_threads(options.threads)
    try:
        return build_model(
            parts.vocabulary,
            cell=options.cell,
            layers=options.layers,
            hidden=options.hidden,
            dropout=options.dropout,
            seed=options.seed,
        )
    except (MemoryError, OverflowError, ValueError) as error:
        size = f"--layers {options.layers} --hidden {options.hidden}"
        reason = str(error) or "not enough memory"
        raise InputError(f"cannot build a model of {size}: {reason}") from None


def _describe(corpus: Corpus, parts: Split, model: CharacterModel, plan: Plan) -> None:
    characters = len(parts.training) + len(parts.held_out)
    _say(f"text: {corpus.origin}, {characters:,} characters, SHA-256 {corpus.sha256}")
    _say(
        f"training: {len(parts.training):,} characters, epochs: {plan.epochs};"
        f" held out: {len(parts.held_out):,}, of them not in the training part: {parts.unknown}"
    )
    _say(str(model.network))


def _sample(options: argparse.Namespace) -> int:
    from rnncore.text.character import load_character_model, sample

    model = load_character_model(options.model)
    drawn = sample(model, options.prime, options.length, options.temperature, options.seed)
    sys.stdout.write(options.prime)
    for character in drawn:
        sys.stdout.write(character)
    sys.stdout.write("\n")
    return 0


def _info(options: argparse.Namespace) -> int:
    for name, value in rnncore.show_config().items():
        _say(f"{name}: {', '.join(value) if isinstance(value, (list, tuple)) else value}")
    return 0
