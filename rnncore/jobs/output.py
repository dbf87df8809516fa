"""Whether a file can be written: found out before the work that it is to hold."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rnncore.jobs import InputError


def check_output(path: str, inputs: Mapping[str, str]) -> None:
    """Refuse a path that no file can be written to, without touching it.

    Parameters
    ----------
    path : str
    inputs : mapping of str to str
        Files that must not be written over, and what they are: "the data to train on".

    Raises
    ------
    InputError
        If it is an input, no regular file or write-protected, or its folder takes no files.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.exists():
            if not target.is_file():
                raise InputError(f"cannot write {path}: it is not a file")
            if not os.access(target, os.W_OK):
                raise InputError(f"cannot write {path}: it is write-protected")
            for given, what in inputs.items():
                if target.samefile(given):
                    raise InputError(f"cannot write {path}: it is {what}")
        # Files are written beside their final name, under one about as long as this.
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, suffix=".tmp"):
            pass
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
