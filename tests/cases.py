"""Every cell, in every situation it has to bear: test_cells and test_gradients run through all.

A cell is a row of the kernels' table, by way of the layer that uses it. A case is a set of
sizes and options. A runner is an instruction set with a matrix engine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rnncore.engine.plan import available_isas
from rnncore.engine.spec import ENGINES

RUNNERS = list(itertools.product(available_isas(), ENGINES))


@dataclass(frozen=True)
class Cell:
    """A row of the kernels' table: the layer and the options that lead to it."""

    name: str
    kind: str
    options: dict[str, Any]

    @property
    def has_product(self) -> bool:
        """Whether a matrix multiplies the state, as often as there are taps."""
        return self.kind not in ("Linear", "IndRNN", "IdentityRNN", "MinGRU")


def _cells() -> Iterator[Cell]:
    for f in ("tanh", "relu", "sigmoid", "identity"):
        own = {"activation": f}
        yield Cell(f"linear_{f}", "Linear", own)
        yield Cell(f"rnn_{f}", "RNN", own)
        yield Cell(f"rnn_pascanu_{f}", "RNN", own | {"form": "pascanu"})
        yield Cell(f"rnn_skip_{f}", "RNN", own | {"skip": 2, "skip_scale": 0.5})
        yield Cell(f"identity_{f}", "IdentityRNN", own)
        yield Cell(f"indrnn_{f}", "IndRNN", own)
    for f in ("identity", "tanh"):
        yield Cell(f"mingru_{f}", "MinGRU", {"candidate": f})
    for f in ("tanh", "relu"):
        yield Cell(f"ugrnn_{f}", "UGRNN", {"activation": f})
    for reset in ("after", "before"):
        yield Cell(f"gru_{reset}", "GRU", {"reset": reset})
    for forget, gate in (("gate", ""), ("none", "_none"), ("coupled", "_coupled")):
        for peephole, hole in ((None, ""), ("diagonal", "_diagonal"), ("cell", "_cell")):
            yield Cell(f"lstm{gate}{hole}", "LSTM", {"forget": forget, "peephole": peephole})
    yield Cell("plusrnn", "IntersectionRNN", {})


CELLS = {cell.name: cell for cell in _cells()}


@dataclass(frozen=True)
class Case:
    """Sizes and options of a layer, and how it is called.

    `B` None is one sequence without a batch axis; `gain` scales the parameters, so that a long
    sequence does not amplify rounding errors; `seed` is the first to be tried; `basis` asks for
    derivatives along every unit vector instead of a few random directions, `joint` along one
    for all arrays together.
    """

    T: int = 5
    B: int | None = 3
    I: int = 2  # noqa: E741
    H: int = 5
    lengths: tuple[int, ...] | None = None
    options: tuple[tuple[str, Any], ...] = ()
    with_state: bool = True
    gain: float = 1.0
    seed: int = 0
    basis: bool = False
    joint: bool = False

    def suits(self, cell: Cell) -> bool:
        """Whether the cell's layer takes the options."""
        names = {name for name, _ in self.options}
        if cell.kind == "Linear":
            return self.lengths is None and names <= {"residual", "bias"} and self.with_state
        if "skip" in names and "skip" not in cell.options:
            return False
        if cell.kind == "IntersectionRNN" and {"bidirectional", "num_layers"} <= names:
            return False
        several = len(dict(self.options).get("taps", ())) > 1
        return not several or (cell.has_product and cell.options.get("reset") != "before")


def _case(*args: Any, **options: Any) -> Case:
    own = {name: options.pop(name) for name in list(options) if name in Case.__annotations__}
    return Case(*args, **own, options=tuple(options.items()))


STACK: dict[str, Any] = {"num_layers": 2, "bidirectional": True}
CASES = {
    "plain": _case(T=4, H=3, basis=True),
    "one unit": _case(I=1, H=1, seed=200),  # no gradient of one entry cancels
    "three units": _case(I=4, H=3),
    "three panels": _case(T=3, I=19, H=37),
    "no steps": _case(T=0),
    "one step": _case(T=1),
    "no rows": _case(B=0),
    "one row": _case(B=1),
    "one wide row": _case(T=3, B=1, I=19, H=70),
    "many rows": _case(T=3, B=64, lengths=tuple(3 if b % 6 else b // 6 % 4 for b in range(64))),
    "one sequence": _case(B=None),
    "zero state": _case(with_state=False),
    "no bias": _case(bias=False),
    "residual": _case(I=5, residual=True),
    "two layers": _case(num_layers=2),
    "two layers, residual": _case(num_layers=2, residual=True),
    "both directions": _case(bidirectional=True),
    "both directions, two layers": _case(**STACK, H=3, T=3),
    "both directions, residual": _case(**STACK, H=3, I=6, T=3, residual=True),
    "lengths": _case(B=4, H=3, lengths=(3, 0, 5, 1)),
    "lengths, both directions": _case(B=4, lengths=(1, 0, 5, 3), bidirectional=True),
    "lengths, two layers": _case(B=4, H=3, lengths=(3, 0, 5, 2), **STACK, residual=True),
    "lengths, residual": _case(B=4, I=3, lengths=(3, 0, 5, 2), num_layers=2, residual=True),
    "lengths below T": _case(B=4, lengths=(2, 3, 0, 1), num_layers=2),
    "lengths all 0": _case(lengths=(0, 0, 0)),
    "taps (2,)": _case(taps=(2,), H=3, basis=True),
    "taps (2,), lengths": _case(taps=(2,), B=4, lengths=(3, 0, 5, 1), bidirectional=True),
    "taps (1, 3)": _case(taps=(1, 3), H=3),
    "taps (1, 3), three panels": _case(taps=(1, 3), I=19, H=37),
    "taps (1, 3), lengths": _case(taps=(1, 3), T=6, B=5, lengths=(2, 4, 0, 6, 1), num_layers=2),
    "taps (2, 3), both directions": _case(taps=(2, 3), B=4, lengths=(3, 1, 5, 4), **STACK, H=3),
    "taps beyond T": _case(taps=(4,), T=2),
    "skip 1": _case(skip=1, H=3),
    "skip 3, taps (1, 2)": _case(skip=3, taps=(1, 2), B=4, lengths=(3, 0, 5, 1)),
    "skip 1, taps (2, 3)": _case(skip=1, taps=(2, 3), B=4, lengths=(3, 0, 5, 1)),
    "over 256 rows": _case(T=70, B=5, H=9, lengths=(70, 69, 30, 66, 68), gain=0.5),
    "chunks": _case(T=120, B=5, H=133, lengths=(99, 120, 0, 120, 120), gain=0.5, joint=True),
}
PAIRS = [(cell, case) for cell in CELLS for case in CASES if CASES[case].suits(CELLS[cell])]
