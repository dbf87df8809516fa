class Run:
    """A forward pass and what its backward pass needs; used up by it."""
