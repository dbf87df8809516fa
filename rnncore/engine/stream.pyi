from typing import Any

import numpy.typing as npt

from rnncore.engine.program import Program

_Array = npt.NDArray[Any]

class Stepper:
    """Checks what comes from Python and runs a program."""

    def __init__(self, program: Program) -> None: ...
    def step(self, x: npt.ArrayLike, out: _Array | None = None) -> _Array: ...
    def run(self, x: npt.ArrayLike, out: _Array | None = None) -> _Array: ...
