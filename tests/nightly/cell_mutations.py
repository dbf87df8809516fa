"""One-term mutations of the backward formulas in the kernels, found by reading the C.

Of every backward function of a cell, and of the slopes of the activations:

    sign        a + b, a - b, a += b, FMA(a, b, c), PEEP(a, w, c) with the other sign
    drop        a factor of a product, an addend of a sum or FMA, a complement (ONE - a becomes
                a), an assignment
    operand     another array (h for h_prev, dy for dh), gate block, gate variable or weight
    slope       of another activation
    condition   turned around; a constant 1 becomes 0

and the table's entries that say what the gradient of a per-unit weight is a product of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOKEN = re.compile(r"\w+|[+\-=]=|->|[^\s\w]")
FUNCTION = re.compile(
    r"FN\((\w*backward\w*?)_?\)\(const rnn_panel \*s[^{;]*\)\n\{\n(.*?)\n\}\n", re.S
)
FETCH = re.compile(r"FETCH\([^)]*\);")  # a hint: nothing that it says can change a result
SLOPE = re.compile(r"^ALWAYS_INLINE vec FN\((\w+_slope)\)\(vec y\) \{(.*)\}$", re.M)
BOUND = re.compile(r"FN\(([\w#]+_backward)_\)\(s, FN\((f##_slope)\)\)")  # inside of macros
UNIT = re.compile(r"\{(0|FN\(\w\)), '([hc])', ([01])\}")

ARRAYS = {
    "h_prev": "h",
    "h": "h_prev",
    "c_prev": "c",
    "c": "c_prev",
    "dh": "dy",
    "dy": "dh",
    "dc": "dh",
    "drh": "dh",
}
SLOPES = {"identity": "tanh", "relu": "identity", "sigmoid": "tanh", "tanh": "sigmoid"}
BLOCKS = {"I": "G", "G": "I", "O": "I", "F": "I"}  # of lstm.h, by name
CELLS = {"rnn": "[rnn_", "linear": "[linear_", "cell##": "ugrnn or mingru"}  # by function


@dataclass(frozen=True)
class Mutant:
    """A span of a file with another text; `tests` selects, as pytest's -k, the tests that have
    to see it."""

    path: str
    start: int
    end: int
    text: str
    what: str
    tests: str


@dataclass(frozen=True)
class Token:
    text: str
    start: int
    end: int


class Body:
    """The tokens of a piece of C, and mutations of them as (start, end, text, what)."""

    def __init__(self, source: str, start: int, end: int) -> None:
        self.source = source
        plain = FETCH.sub(lambda found: " " * len(found.group()), source)
        self.tokens = [
            Token(found.group(), found.start(), found.end())
            for found in TOKEN.finditer(plain, start, end)
        ]

    def text(self, first: int, last: int) -> str:
        return self.source[self.tokens[first].start : self.tokens[last].end]

    def closing(self, index: int) -> int:
        """Where the parenthesis at `index` closes."""
        depth = 0
        for i in range(index, len(self.tokens)):
            depth += {"(": 1, ")": -1}.get(self.tokens[i].text, 0)
            if depth == 0:
                return i
        raise ValueError("a parenthesis does not close")

    def opening(self, index: int) -> int:
        depth = 0
        for i in range(index, -1, -1):
            depth += {")": 1, "(": -1}.get(self.tokens[i].text, 0)
            if depth == 0:
                return i
        raise ValueError("a parenthesis does not open")

    def is_name(self, index: int) -> bool:
        return 0 <= index < len(self.tokens) and self.tokens[index].text[0].isalnum()

    def operand_after(self, index: int) -> int:
        """The last token of the operand that begins behind `index`."""
        i = index + 1
        if not self.is_name(i):
            i = self.closing(i)
            return self.operand_after(i) if self.is_name(i + 1) else i  # behind a cast
        while self.tokens[i + 1].text in ("(", "->"):
            i = self.closing(i + 1) if self.tokens[i + 1].text == "(" else i + 2
        return i

    def operand_before(self, index: int) -> int:
        """The first token of the operand that ends before `index`."""
        i = index - 1
        while True:
            i = self.opening(i) if self.tokens[i].text == ")" else i
            before = self.tokens[i - 1].text
            if before == "->":
                i -= 2
            elif before == ")" or (self.tokens[i].text == "(" and self.is_name(i - 1)):
                i -= 1
            else:
                return i

    def arguments(self, index: int) -> list[tuple[int, int]]:
        """The tokens (first, last) of each argument of the call whose name is at `index`."""
        result, first, i, end = [], index + 2, index + 2, self.closing(index + 1)
        while i <= end:
            if self.tokens[i].text in ",)":
                result.append((first, i - 1))
                first = i + 1
            i = self.closing(i) + 1 if self.tokens[i].text == "(" else i + 1
        return result

    def swap(self, first: int, last: int, text: str, what: str) -> tuple[int, int, str, str]:
        return self.tokens[first].start, self.tokens[last].end, text, what

    def mutations(self) -> Iterator[tuple[int, int, str, str]]:
        for index, token in enumerate(self.tokens):
            yield from self.operators(index, token.text)
            yield from self.calls(index, token.text)
            yield from self.names(index, token.text)

    def operators(self, i: int, text: str) -> Iterator[tuple[int, int, str, str]]:
        binary = i > 0 and (self.is_name(i - 1) or self.tokens[i - 1].text == ")")
        if text in "+-" and binary:
            yield self.swap(i, i, {"+": "-", "-": "+"}[text], "sign")
            last = self.operand_after(i)
            if self.text(i - 1, i) == "ONE -":
                yield self.swap(i - 1, last, self.text(i + 1, last), "drop the complement")
        elif text == "-":
            yield self.swap(i, i, "", "sign")
        elif text == "+=":
            yield self.swap(i, i, "-=", "sign")
            yield self.swap(i, i, "=", "drop an addend")
        elif text == "*" and binary:
            first, last = self.operand_before(i), self.operand_after(i)
            yield self.swap(i, last, "", "drop a factor")
            if first == 0 or self.tokens[first - 1].text != "*":
                yield self.swap(first, i, "", "drop a factor")
        elif text in ("==", ">"):
            yield self.swap(i, i, {"==": "!=", ">": "<"}[text], "condition")

    def calls(self, i: int, text: str) -> Iterator[tuple[int, int, str, str]]:
        if text not in ("FMA", "PEEP", "fill"):
            return
        if text == "fill":
            if self.text(i, i + 4) == "fill)(1)":
                yield self.swap(i + 3, i + 3, "0", "constant")
            return
        (a0, a1), (b0, b1), (c0, c1) = self.arguments(i)
        end = self.closing(i + 1)
        a, b, c = self.text(a0, a1), self.text(b0, b1), self.text(c0, c1)
        yield self.swap(c0, c1, f"-({c})", "sign")
        if text == "FMA":
            yield self.swap(i, end, f"(({a}) * ({b}))", "drop an addend")
            yield self.swap(i, end, f"(({a}) + ({c}))", "drop a factor")
            yield self.swap(i, end, f"(({b}) + ({c}))", "drop a factor")
            yield self.swap(i, end, f"({c})", "drop an addend")
        else:
            yield self.swap(i, end, f"({a})", "drop an addend")
            yield self.swap(b0, b1, "1" if b == "0" else "0", "weight")

    def names(self, i: int, text: str) -> Iterator[tuple[int, int, str, str]]:
        before = self.text(i - 4, i - 2) if i > 3 else ""
        if before == "UNITS(s":
            yield self.swap(i, i, ARRAYS[text], "array")
        if before == "BLOCK(s":
            yield from self.block(i, text)
        for name, other in SLOPES.items():
            if text == f"{name}_slope" and self.tokens[i - 1].text == "(":
                yield self.swap(i, i, f"{other}_slope", "slope")
        if text == "slope" and self.tokens[i + 1].text == "(":
            yield self.swap(i, i, "FN(identity_slope)", "slope")
            yield self.swap(i, i, "FN(tanh_slope)", "slope")
        inside = before in ("UNITS(s", "BLOCK(s", "INPUTS(s")
        if not inside and text in self.locals_before(i) and not self.declares(i):
            yield from self.variable(i, text)
        if text in ("BLOCK", "UNITS", "INPUTS") and self.tokens[i - 1].text in ";{})":
            end = next(k for k in range(i, len(self.tokens)) if self.tokens[k].text == ";")
            if self.tokens[self.closing(i + 1) + 1].text in ("=", "+="):
                yield self.swap(i, end, ";", "drop an assignment")

    def block(self, i: int, text: str) -> Iterator[tuple[int, int, str, str]]:
        if text.isdigit():
            found = re.findall(r"BLOCK\(s, (\d)\)", self.text(0, len(self.tokens) - 1))
            count = max(map(int, found)) + 1
            if count > 1:
                yield self.swap(i, i, str((int(text) + 1) % count), "block")
        else:
            name = self.tokens[i + 2].text if text == "FN" else text
            last = i + 3 if text == "FN" else i
            yield self.swap(i, last, BLOCKS[name], "block")

    def declares(self, i: int) -> bool:
        """Whether a variable is declared at `i`, behind its type or a comma."""
        if self.tokens[i + 1].text != "=":
            return False
        return self.tokens[i - 1].text in ("vec", ",")

    def locals_before(self, i: int) -> list[str]:
        """The variables declared in the statements before the one of token `i`."""
        start = max((k for k in range(i) if self.tokens[k].text in ";{}"), default=0)
        return [self.tokens[k].text for k in range(1, start) if self.declares(k)]

    def variable(self, i: int, text: str) -> Iterator[tuple[int, int, str, str]]:
        others = [name for name in self.locals_before(i) if name != text]
        if others and self.tokens[i + 1].text != "=":
            place = self.locals_before(i).index(text)
            yield self.swap(i, i, others[place % len(others)], "variable")


def _formulas(source: str) -> Iterator[tuple[int, int, str, str, str]]:
    """Mutations of every backward function and slope, with the tests that see them."""
    for pattern in (FUNCTION, SLOPE):
        for found in pattern.finditer(source):
            cell = found.group(1).split("_backward")[0]
            tests = CELLS.get("linear" if pattern is SLOPE else cell, cell)
            for mutation in Body(source, *found.span(2)).mutations():
                yield *mutation, tests
    for found in BOUND.finditer(source):
        cell = found.group(1).split("_backward")[0]
        for slope in ("identity_slope", "tanh_slope"):
            yield *found.span(2), slope, "slope", CELLS.get(cell, cell)


def _units(source: str) -> Iterator[tuple[int, int, str, str, str]]:
    """Mutations of the table's entries {block, 'state', previous} of per-unit weights."""
    for found in UNIT.finditer(source):
        block, state, previous = found.groups()
        changes = [
            (block, "h" if state == "c" else "c", previous),
            (block, state, "0" if previous == "1" else "1"),
        ]
        if state == "c":  # an LSTM, of several blocks
            changes.append(("1" if block == "0" else "0", state, previous))
        for b, s, p in changes:
            tests = "diagonal" if state == "c" else "indrnn"
            yield *found.span(), f"{{{b}, '{s}', {p}}}", "unit", tests


def cell_mutants(root: Path) -> Iterator[Mutant]:
    """All of them, in the order of the files."""
    kernels = root / "rnncore/kernels"
    for file in [*sorted((kernels / "cells").glob("*.h")), kernels / "activations.h"]:
        source, path = file.read_text(encoding="utf-8"), str(file.relative_to(root))
        for mutation in sorted({*_formulas(source), *_units(source)}):
            yield Mutant(path, *mutation)
