"""Tables from `.csv` files: a row for each time step.

The column `sequence` tells the sequences apart, `target` is what to predict, all others are
features. If all targets are numbers and one of them is written with a point or an exponent, it
is regression; otherwise each text is a class. Targets that are the same in all rows of each
sequence are one target per sequence; other numbers are one per step.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from rnncore.jobs import InputError
from rnncore.tables.table import Numbers


def read_rows(data: bytes) -> tuple[list[Numbers], Any, list[str] | None]:
    r"""Sequences, targets and classes of a CSV file, as `Table` has them.

    Examples
    --------
    >>> x, y, classes = read_rows(b"sequence,target,a\n1,up,0.5\n1,up,0.7\n2,down,0.4\n")
    >>> [len(sequence) for sequence in x], y, classes
    ([2, 1], array([1, 0]), ['down', 'up'])
    """
    rows = _rows(data)
    header = next(rows, (1, []))[1]
    for name in ("sequence", "target"):
        if header.count(name) != 1:
            raise InputError(f"its header has {header.count(name)} columns {name!r}, expected "
                             "one")
    key, goal = header.index("sequence"), header.index("target")
    features = [index for index in range(len(header)) if index not in (key, goal)]
    x: list[Numbers] = []
    targets: dict[str, list[str]] = {}
    for name, group in itertools.groupby(rows, lambda row: row[1][key]):
        lines = list(group)
        if name in targets:
            raise InputError(f"line {lines[0][0]} is of sequence {name!r}, whose rows ended "
                             "before, expected them one after the other")
        x.append(np.array([[_number(line, header[i], row[i]) for i in features]
                           for line, row in lines]).reshape(len(lines), len(features)))
        targets[name] = [_given(line, row[goal]) for line, row in lines]
    return x, *_targets(targets)


def _rows(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, with the number of the line that each ends in."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"it is not UTF-8 text: byte 0x{data[error.start]:02x} at offset "
                         f"{error.start} ({error.reason})") from None
    reader, width = csv.reader(io.StringIO(text, newline=""), strict=True), 0
    try:
        for row in reader:
            width = width or len(row)
            if row and len(row) != width:
                raise InputError(f"line {reader.line_num} has {len(row)} fields, expected "
                                 f"{width} as in the header")
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} is not CSV: {error}") from None


def _number(line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"line {line} has {text!r} in column {column!r}, expected a finite "
                         "number")
    return value


def _given(line: int, text: str) -> str:
    if not text.strip():
        raise InputError(f"line {line} has no target, expected one in every row")
    return text.strip()


def _targets(written: dict[str, list[str]]) -> tuple[Any, list[str] | None]:
    """The targets and classes of what was written in the rows of each sequence."""
    numbers = _regression(list(written.values()))
    if numbers is not None:
        if all(len(set(values)) == 1 for values in numbers):
            return np.array([values[:1] for values in numbers]), None
        return [np.array(values)[:, np.newaxis] for values in numbers], None
    for name, texts in written.items():
        if other := set(texts) - {texts[0]}:
            raise InputError(f"sequence {name!r} has the targets {texts[0]!r} and "
                             f"{min(other)!r}, expected one class, or numbers with a point")
    labels, classes = np.unique([texts[0] for texts in written.values()], return_inverse=True)
    return classes, labels.tolist()


def _regression(written: list[list[str]]) -> list[list[float]] | None:
    """The targets as numbers, None if one is no number or all are written as integers."""
    try:
        numbers = [[float(text) for text in texts] for texts in written]
    except ValueError:
        return None
    integers = all(re.fullmatch(r"[+-]?\d+", text) for texts in written for text in texts)
    return None if integers else numbers
