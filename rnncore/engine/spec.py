"""What a plan is made from: the shape of a stack of layers, and which kernels run it."""

from __future__ import annotations

import contextlib
import contextvars
import math
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

ENGINES = ("native", "blas")


class Spec(NamedTuple):
    """The shape of a stack of recurrent layers.

    `x_order` and `h_order` name, in the order the user stacks them, the gate blocks of the
    input weights and of the recurrent weights, by the letters of the cell's table row.
    `lag` is how many steps back the elementwise state is read, `scale` that of a skip.
    """

    cell: str
    x_order: str
    h_order: str
    inputs: int
    hidden: int
    layers: int = 1
    directions: int = 1
    residual: bool = False
    taps: tuple[int, ...] = (1,)
    lag: int = 1
    past: int = 1
    scale: float = 1.0
    itemsize: int = 4

    @property
    def blocks(self) -> str:
        """The letters of all gate blocks, those that x feeds first."""
        return self.x_order + "".join(b for b in self.h_order if b not in self.x_order)

    def width(self, layer: int) -> int:
        """The width of the input of a layer."""
        return self.inputs if layer == 0 else self.hidden * self.directions


class Remedies(NamedTuple):
    """What a backward pass does about the gradient between two steps: see flow.pyx.

    `threshold` and `ratio` are those of per-step clipping; `omega` is whether Omega is wanted,
    with its weight `alpha`, the smallest squared norm `bound` of a live term, its form and
    its reduction. `record` asks for a `Record` of the pass, which changes no bit of it.
    """

    threshold: float = math.inf
    ratio: bool = False
    omega: bool = False
    alpha: float = 0.0
    bound: float = 0.0
    squared: bool = False
    mean: bool = True
    record: bool = False


class Record(NamedTuple):
    """What one layer and direction shows of a backward pass, 0 past the end of a row.

    Attributes
    ----------
    blocks : str
        The letters of the G gate blocks, in the order of `activations` and `dz`: as the rows of
        the weights are stacked; with ``GRU(reset="after")`` "rzmq", m being the candidate and q
        what the state's product contributes to it.
    activations : array (T, B, G, H)
        Of the gates; q is not an activation but U_n h_{t-1} + b_hn itself.
    states : tuple of arrays (T, B, H)
        The carried states after each step: h, or h and c; with ``form="pascanu"`` x.
    dstates : tuple of arrays (T, B, H)
        d_t: all of the gradient of each carried state that enters step t on its way back, dy
        included, the other state held fixed.
    dz : array (T, B, G, H)
        The gradient of the pre-activations.
    dx : array (T, B, I) or None
        The gradient of the layer's input, of both directions together; None where it was not
        wanted.
    """

    blocks: str
    activations: Any
    states: tuple[Any, ...]
    dstates: tuple[Any, ...]
    dz: Any
    dx: Any


class Choice(NamedTuple):
    """Which instruction set (None: the best there is) and which matrix engine new plans use."""

    isa: str | None
    engine: str


def _from_environment() -> Choice:
    engine = os.environ.get("RNNCORE_GEMM") or "native"
    if engine not in ENGINES:
        raise ImportError(f"RNNCORE_GEMM is {engine!r}, expected one of {', '.join(ENGINES)}")
    return Choice(os.environ.get("RNNCORE_ISA") or None, engine)


# A context variable, so that what one thread asks for is not seen by another.
_choice: contextvars.ContextVar[Choice] = contextvars.ContextVar(
    "rnncore_choice", default=_from_environment())


def choice() -> Choice:
    """What new plans use now."""
    return _choice.get()


@contextlib.contextmanager
def use(isa: str | None = None, engine: str | None = None) -> Iterator[None]:
    """Make new plans on another instruction set or engine, for tests and benchmarks.

    Examples
    --------
    >>> with use(engine="blas"):
    ...     choice().engine
    'blas'
    """
    if engine is not None and engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}, expected one of {', '.join(ENGINES)}")
    now = choice()
    token = _choice.set(Choice(isa or now.isa, engine or now.engine))
    try:
        yield
    finally:
        _choice.reset(token)
