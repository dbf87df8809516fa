from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.floating[Any]]

def sgd(w: _Array, g: _Array, moments: Sequence[_Array], lr: float, momentum: float = 0.0,
        nesterov: bool = False, decay: float = 0.0) -> None: ...
def rmsprop(w: _Array, g: _Array, moments: Sequence[_Array], lr: float, alpha: float,
            eps: float, momentum: float = 0.0, decay: float = 0.0) -> None: ...
def adam(w: _Array, g: _Array, moments: Sequence[_Array], lr: float, beta1: float,
         beta2: float, eps: float, count: int, decay: float = 0.0) -> None: ...
