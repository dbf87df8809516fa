"""What is asked of a library.

A peer is made once in its own process, with a number of threads. `forward` and `training` give
a call that does the work once, as the library's documentation shows it, and a function that
reads named arrays out of what the call returns: y, and in training dx and the gradients of the
weights under PyTorch's names. What a call needs is converted beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..rows import Problem

Arrays = dict[str, Any]
Work = tuple[Callable[[], Any], Callable[[Any], Arrays]]


class Peer:
    """A library that runs the rows.

    Attributes
    ----------
    modules : tuple of str
        What has to be importable.
    environment : mapping of str to str
        Variables that its process needs.
    exact : bool
        Whether it calculates in float32; only then it can be the best peer.
    trains : bool
        Whether it has gradients.
    """

    modules = ("",)
    environment: ClassVar[Mapping[str, str]] = {}
    exact = True
    trains = False

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def describe(self) -> str:
        """The version, and what it runs on."""
        raise NotImplementedError

    def forward(self, problem: Problem) -> Work:
        """The outputs alone, by what the library has for inference."""
        raise NotImplementedError

    def training(self, problem: Problem) -> Work:
        """Forwards and backwards with all gradients."""
        raise NotImplementedError

    def step(self, problem: Problem) -> Work:
        """One step of one row from Python; the state need not be handed on."""
        return self.forward(problem)
