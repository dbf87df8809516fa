"""Why a training is to stop: Ctrl-C, SIGTERM, a deadline, or what it finds itself."""

from __future__ import annotations

import math
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any


class StopRequest:
    """Ctrl-C, SIGTERM and a deadline as a question that training asks between two updates.

    Within the context the first signal of a kind only makes `reason` say so; a second one acts
    as it would outside. Ignored signals stay ignored. `exit_code` is 0 for the deadline and
    128 + the signal's number otherwise.

    Examples
    --------
    >>> with StopRequest(max_seconds=3600) as stop:
    ...     stop.reason is None, stop.seconds_left > 3500
    (True, True)
    """

    def __init__(self, max_seconds: float = math.inf) -> None:
        self.max_seconds = max_seconds
        self.exit_code = 0
        self._asked: str | None = None
        self._deadline = math.inf
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        self._deadline = time.monotonic() + self.max_seconds
        if threading.current_thread() is threading.main_thread():  # others get no signals
            for number in (signal.SIGINT, signal.SIGTERM):
                # None: a handler that Python did not install and could not put back.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _note(self, number: int, frame: FrameType | None) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self.ask(f"stopped by {name}", 128 + number)
        if number in self._previous:  # not so where two signals meet a postponed call
            signal.signal(number, self._previous.pop(number))

    def ask(self, reason: str, exit_code: int) -> None:
        """Make training stop, for this reason."""
        self._asked, self.exit_code = reason, exit_code

    @property
    def seconds_left(self) -> float:
        """Seconds to the deadline, inf where there is none."""
        return self._deadline - time.monotonic()

    @property
    def reason(self) -> str | None:
        """Why training is to stop, None while it is not."""
        if self._asked is None and self.seconds_left <= 0:
            return f"stopped after {self.max_seconds:g} seconds"
        return self._asked
