from rnncore.engine.memory import Workspaces

class Run:
    """A forward pass and what its backward pass needs; used up by it."""

    def discard(self, workspaces: Workspaces) -> None: ...
