"""The command line: `rnncore train`, `rnncore sample`, `rnncore report`, `rnncore info`.

Exit codes: 0 done, also when --max-seconds ended the training; 1 training failed on the way;
2 wrong input, found before any training starts; 130 stopped by Ctrl-C; 143 by SIGTERM. Whatever
ends a training that has begun, the best model so far stays in its file, and whatever but a
failure ends it early leaves a file for --resume.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import rnncore
from rnncore.jobs import InputError
from rnncore.jobs.arguments import add_train, call, integer, number, recipe
from rnncore.jobs.output import check_output
from rnncore.jobs.record import path_of
from rnncore.jobs.stop import StopRequest
from rnncore.report.command import add_report, check_extras, page_of, write_page
from rnncore.text.corpus import Corpus, Split, read_corpus, split

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
    commands = parser.add_subparsers(required=True, metavar="{train,sample,report,info}")
    train = commands.add_parser("train", help="train a model on a text or a table")
    add_train(train)
    train.set_defaults(run=_train)
    _add_sample(commands.add_parser("sample", help="print text made up by a trained model"))
    add_report(commands.add_parser("report", help="write a page about a training"))
    _add_info(commands.add_parser("info", help="print what this machine offers"))
    return parser


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print what is used here, or where a C compiler finds rnncore.h."
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--cflags", action="store_true", help="the compiler's flags alone")
    only.add_argument("--pkgconfigdir", action="store_true", help="the folder of rnncore.pc")
    parser.set_defaults(run=_info)


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print a text and how a trained character model continues it."
    add = parser.add_argument
    add("model", metavar="MODEL", help="file written by rnncore train")
    add("--prime", default="", help="the text to continue (default: none, a new line)")
    add("--length", type=integer(0), default=500, help="characters to add (default: 500)")
    temperature = "0 takes the likeliest character, more is less cautious (default: 0.7)"
    add("--temperature", type=number(0), default=0.7, help=temperature)
    add("--seed", type=integer(0), default=0, help="of the draws (default: 0)")
    parser.set_defaults(run=_sample)


# ---- Commands ----


def _train(options: argparse.Namespace) -> int:
    from rnncore.tables.reading import SUFFIXES

    if options.threads is not None:
        rnncore.set_num_threads(options.threads)
    if options.report:
        check_extras()
    is_table = str(options.data).lower().endswith(SUFFIXES)
    return (_train_table if is_table else _train_text)(options)


def _train_text(options: argparse.Namespace) -> int:
    from rnncore.text.character import build_model
    from rnncore.text.ngram import witten_bell_bits
    from rnncore.text.training import Plan, train

    if options.valid_share is not None:
        raise InputError("--valid-share is for tables: of a text the last tenth is held out")
    corpus = read_corpus(options.data)
    _check_outputs(options, "text")
    parts = split(corpus.text)
    model = _build(options, build_model, parts.vocabulary, layers=2, hidden=256)
    plan = Plan.of(len(parts.training), options.epochs)
    _describe(corpus, parts, model, plan)
    symbols = len(parts.vocabulary)
    baseline = witten_bell_bits(parts.training, parts.held_out, symbols, NGRAM_ORDER)

    about = {"text": f"{corpus.origin}, {len(corpus.text):,} characters",
             "SHA-256": corpus.sha256,
             "training": f"{len(parts.training):,} characters, epochs: {plan.epochs}",
             "held out": f"{len(parts.held_out):,} characters; {NGRAM_ORDER}-gram model: "
                         f"{baseline:.2f} bits per character"}

    def report(bits: float) -> None:
        _say(f"held-out {bits:.2f} bits per character ({NGRAM_ORDER}-gram {baseline:.2f})")

    def run(stop: StopRequest) -> tuple[float, int]:
        best = train(model, parts, plan, options.out, stop=stop, report=report,
                     recipe=recipe(options), resume=options.resume,
                     call=call(options, corpus.sha256), about=about)
        return best.bits, best.characters

    return _run(options, run, report, "characters")


def _train_table(options: argparse.Namespace) -> int:
    from rnncore.tables.model import build_model, load_table_model
    from rnncore.tables.reading import read_table
    from rnncore.tables.training import VALID_SHARE, Plan, Score, judge, split, train

    table = read_table(options.data)
    _check_outputs(options, "data")
    parts = split(table, options.valid_share or VALID_SHARE, options.seed)
    model = _build(options, build_model, parts.training, layers=1, hidden=64)
    plan = Plan.of(len(parts.training), options.epochs)
    _say(f"data: {options.data}, {table}, SHA-256 {table.sha256}")
    _say(f"training: {len(parts.training):,} sequences, epochs: {plan.epochs};"
         f" held out: {len(parts.held_out):,}")
    _say(str(model.network))

    about = {"table": f"{options.data}, {table}", "SHA-256": table.sha256,
             "training": f"{len(parts.training):,} sequences, epochs: {plan.epochs}",
             "held out": f"{len(parts.held_out):,} sequences"}

    def report(score: Score) -> None:
        _say(f"held-out {score}")

    def run(stop: StopRequest) -> tuple[Score, int]:
        seen = train(model, parts, plan, options.out, stop=stop, report=report,
                     recipe=recipe(options), resume=options.resume,
                     call=call(options, table.sha256), about=about)
        return judge(load_table_model(options.out), parts), seen

    return _run(options, run, report, "sequences")


def _run(options: argparse.Namespace, run: Callable[[StopRequest], tuple[Any, int]],
         report: Callable[[Any], None], unit: str) -> int:
    """Train by `run(stop)`, which returns the best score and after how many units it was."""
    with StopRequest(options.max_seconds) as stop:
        try:
            score, seen = run(stop)
        except OSError as error:
            _complain(f"cannot write {options.out}: {error.strerror or error}")
            return 1
    if os.path.exists(f"{options.out}.run"):
        _say(f"--resume goes on with the training in {options.out}.run")
    report(score)
    code = stop.exit_code
    if options.report:
        try:
            write_page(options.out, page_of(options.out))
        except InputError as error:  # found too late to be wrong input
            _complain(str(error))
            code = 1
    _say(f"{stop.reason or 'done'}; best model, after {seen:,} {unit}: {options.out}")
    return code


def _check_outputs(options: argparse.Namespace, kind: str) -> None:
    """Refuse paths that no model and no run can be written to, without touching them."""
    inputs = {} if options.data in (None, "-") else {options.data: f"the {kind} to train on"}
    for path in (options.out, f"{options.out}.run", path_of(options.out),
                 *([page_of(options.out)] if options.report else [])):
        check_output(path, inputs)


def _build(options: argparse.Namespace, build: Callable[..., Any], data: Any, *, layers: int,
           hidden: int) -> Any:
    """Build a model for data, of the sizes given here unless the options have others."""
    layers = options.layers or layers
    hidden = options.hidden or hidden
    if options.dropout and layers == 1:
        raise InputError("--dropout acts between layers, expected --layers 2 or more")
    try:
        model = build(data, cell=options.cell, layers=layers, hidden=hidden,
                      dropout=options.dropout, seed=options.seed)
    except (MemoryError, OverflowError, ValueError) as error:
        reason = str(error) or "not enough memory"
        raise InputError(f"cannot build a model of --layers {layers} --hidden {hidden}:"
                         f" {reason}") from None
    recipe(options).options(model.network, updates=1)  # refuses what does not go together
    return model


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
    if options.cflags or options.pkgconfigdir:
        folder = rnncore.get_include()
        _say(f"-I{shlex.quote(folder)}" if options.cflags else folder)
        return 0
    for name, value in rnncore.show_config().items():
        _say(f"{name}: {', '.join(value) if isinstance(value, (list, tuple)) else value}")
    return 0
