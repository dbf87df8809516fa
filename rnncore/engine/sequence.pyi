from typing import Any

import numpy as np
import numpy.typing as npt

from rnncore.engine.memory import Workspaces
from rnncore.engine.plan import Plan
from rnncore.engine.run import Run as Run
from rnncore.engine.spec import Record, Remedies

_Array = npt.NDArray[np.floating[Any]]
_Lengths = npt.NDArray[np.integer[Any]] | None
_States = tuple[_Array | None, ...]

def forward(
    plan: Plan,
    x: _Array,  # (T, B, I)
    state: _States | None,  # (layers * directions, D, B, H) each
    lengths: _Lengths,
    masks: tuple[_Array, ...],  # (T, B, H * directions) for all layers but the last, or ()
    workspaces: Workspaces,
    threads: int = 1,
    cells: bool = False,
) -> tuple[_Array, tuple[_Array, ...], Any, Run]: ...
def activations(run: Run) -> list[_Array]: ...
def backward(
    run: Run,
    dy: _Array,
    dstate: _States | None,
    grads: list[tuple[Any, ...]],  # arrays to add to, ordered as Plan takes the weights
    input_grad: bool,
    workspaces: Workspaces,
    remedies: Remedies | None = None,
) -> tuple[Any, tuple[_Array, ...], list[tuple[float, int, int]], list[Record]]: ...
def infer(
    plan: Plan,
    x: _Array,
    state: _States | None,
    lengths: _Lengths,
    workspaces: Workspaces,
    threads: int = 1,
    out: _Array | None = None,
) -> tuple[_Array, tuple[_Array, ...]]: ...
