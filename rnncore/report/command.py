"""The command `rnncore report`."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from rnncore.files import write_atomically
from rnncore.jobs import InputError
from rnncore.jobs.output import check_output
from rnncore.jobs.record import load_record, path_of


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser of the command."""
    parser.description = ("Write one HTML file, pictures inside, with all there is to see of a"
                          " training: its curves, the flow of its gradient, the spectra of its"
                          " weights, and what follows from them.")
    parser.add_argument("model", metavar="RUN", help="the model that rnncore train wrote")
    parser.add_argument("--out", metavar="PAGE", help="the file to write (default: RUN.html)")
    parser.set_defaults(run=_run)


def page_of(model: str) -> str:
    """Where the report of a model is written."""
    return f"{model}.html"


def check_extras() -> None:
    """Refuse to go on without what a report is made with.

    Raises
    ------
    InputError
        If it is not installed.
    """
    missing = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if missing:
        raise InputError(f"a report needs {' and '.join(missing)}:"
                         " pip install 'rnncore[report]'")


def write_page(model: str, page: str) -> None:
    """Write the report of a training and say so.

    Raises
    ------
    InputError
        If the training's files are missing, damaged or no such files, or the page would take
        the place of one of them or cannot be written.
    """
    from rnncore.report.page import render

    record = load_record(model)
    check_output(page, dict.fromkeys((model, path_of(model)), "the training to report on"))
    text = render(record, model)
    try:
        write_atomically(page, text.encode())
    except OSError as error:
        raise InputError(f"cannot write {page}: {error.strerror or error}") from None
    print(f"report: {page}", flush=True)


def _run(options: argparse.Namespace) -> int:
    check_extras()
    write_page(options.model, options.out or page_of(options.model))
    return 0
