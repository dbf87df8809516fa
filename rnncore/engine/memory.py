"""Memory for passes, kept from one to the next.

What is given back to the system comes again page by page, each cleared by the kernel: a small
network spends more time on that than on its arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[Any]

_KEPT = 2  # the arrays of a forward pass and of its backward pass


class Workspaces:
    """Byte arrays that are lent and given back, by any number of threads.

    Examples
    --------
    >>> pool = Workspaces()
    >>> first = pool.take(100)
    >>> pool.give(first)
    >>> pool.take(90) is first
    True
    """

    def __init__(self) -> None:
        self._free: list[Bytes] = []  # its methods are atomic

    def take(self, size: int) -> Bytes:
        """An array of at least `size` bytes, of any content. If none is there that is large
        enough, those that are not are let go.
        """
        seen: list[Bytes] = []
        try:
            while True:
                seen.append(self._free.pop())
                if len(seen[-1]) >= size:
                    memory = seen.pop()
                    self._free += seen
                    return memory
        except IndexError:  # there is none, or another thread was faster
            seen.clear()  # before there is another
        return np.empty(size, np.uint8)

    def give(self, *memory: Bytes) -> None:
        """Take back arrays that nobody uses any more; the largest are kept."""
        self._free.extend(memory)
        if len(self._free) > _KEPT:
            self._free.sort(key=len)
            del self._free[:-_KEPT]

    def __deepcopy__(self, memo: dict[int, Any]) -> Workspaces:
        """Nothing is copied but the intention."""
        return Workspaces()
