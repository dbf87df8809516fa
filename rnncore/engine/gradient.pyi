from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.floating[Any]]

def global_norm(array: _Array) -> float: ...
def scale(array: _Array, factor: float) -> None: ...
