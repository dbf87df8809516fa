from collections.abc import Callable

from rnncore.engine.program import Program
from rnncore.engine.snapshot import Snapshot

def capsule(version: str, snapshot: Callable[[object], Snapshot],
            load: Callable[[bytes], Snapshot],
            program: Callable[[object], Program]) -> object: ...
