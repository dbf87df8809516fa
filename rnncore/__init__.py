"""rnncore: recurrent networks on CPUs, forwards and backwards through time.

Importing it loads NumPy and the compiled kernels; SciPy, safetensors and tqdm are loaded where
they are first used.
"""

from __future__ import annotations

from typing import Any

from rnncore.engine.plan import available_isas, compiled_isas, current_isa
from rnncore.engine.spec import choice
from rnncore.engine.threads import get_num_threads, num_threads, set_num_threads
from rnncore.files import load
from rnncore.layers import (
    GRU,
    LSTM,
    RNN,
    UGRNN,
    Embedding,
    IdentityRNN,
    IndRNN,
    IntersectionRNN,
    Last,
    Linear,
    MinGRU,
)
from rnncore.model import Model
from rnncore.optim import SGD, Adam, clip_norm
from rnncore.parameters import Parameters

__all__ = ["GRU", "LSTM", "RNN", "SGD", "UGRNN", "Adam", "Embedding", "IdentityRNN", "IndRNN",
           "IntersectionRNN", "Last", "Linear", "MinGRU", "Model", "Parameters", "clip_norm",
           "get_num_threads", "load", "num_threads", "set_num_threads", "show_config"]

__version__ = "0.1.0"


def show_config() -> dict[str, Any]:
    """What this build and this processor give: the version, the instruction sets, the matrix
    engine that new layers use, the number of threads.

    Examples
    --------
    >>> sorted(show_config())
    ['compiled', 'engine', 'isa', 'supported', 'threads', 'version']
    """
    return {"version": __version__, "isa": current_isa(), "engine": choice().engine,
            "compiled": compiled_isas(), "supported": available_isas(),
            "threads": get_num_threads()}
