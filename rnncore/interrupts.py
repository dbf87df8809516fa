"""Signals that wait for the end of a write, so that it is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the end of a `with` block, so that a write is whole."""
    import signal

    with _deferred(signal.SIGINT), _deferred(signal.SIGTERM):
        yield


class _Postponed:
    """A signal handler that keeps what came for the end of a block."""

    def __init__(self) -> None:
        self.frames: list[FrameType | None] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.frames.append(frame)


@contextlib.contextmanager
def _deferred(number: int) -> Iterator[None]:
    """Call the Python handler of a signal at the end of the block, if the signal came."""
    import signal
    import threading

    handler, postponed = signal.getsignal(number), _Postponed()
    outside = threading.current_thread() is not threading.main_thread()
    if outside or not callable(handler) or isinstance(handler, _Postponed):
        yield  # signals reach the main thread alone; what Python does not handle is final; a
        return  # block around this one waits already
    signal.signal(number, postponed)
    try:
        yield
    finally:
        signal.signal(number, handler)
        if postponed.frames:
            handler(number, postponed.frames[-1])
