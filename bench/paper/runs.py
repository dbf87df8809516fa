"""Runs, and the file that remembers those that are finished."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple


class Run(NamedTuple):
    """One training of a part."""

    arm: str
    length: int
    seed: int


class Results:
    """The finished runs of a part: a file of JSON lines, read once and added to.

    A line that a kill has left without its end is taken back when the next one is written. A
    measurement that is not finite is written as NaN or Infinity, as Python's json has it.

    Raises
    ------
    ValueError
        If a whole line is not a finished run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[Run, dict[str, Any]] = {}
        text = path.read_bytes() if path.exists() else b""
        self._size = text.rfind(b"\n") + 1  # bytes of whole lines
        for number, line in enumerate(text[: self._size].splitlines(), 1):
            try:
                entry = json.loads(line)
                run = Run(*(entry.pop(field) for field in Run._fields))
            except (AttributeError, KeyError, TypeError, ValueError):
                raise ValueError(f"{path}, line {number} is {line!r}, expected a finished "
                                 f"run with {', '.join(Run._fields)}") from None
            self.done[run] = entry

    def add(self, run: Run, measured: dict[str, Any]) -> None:
        """Write a finished run; it is on the disk when this returns."""
        line = json.dumps(dict(**run._asdict(), **measured)).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.truncate(self._size)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._size += len(line)
        self.done[run] = measured

    def of(self, arm: str, length: int) -> list[dict[str, Any]]:
        """What was measured with an arm at a length, one entry per seed."""
        return [measured for run, measured in self.done.items()
                if (run.arm, run.length) == (arm, length)]
