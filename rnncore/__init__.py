"""rnncore: recurrent networks on CPUs, forwards and backwards through time.

Importing it loads NumPy and the compiled kernels; SciPy, safetensors and tqdm are loaded where
they are first used.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnncore.constraints import IndRNNBound, Orthogonal, OrthogonalPenalty, SpectralRadius
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
from rnncore.optim import SGD, Adam, AdamW, RMSprop, clip_norm, clip_value
from rnncore.parameters import Parameters
from rnncore.remedies import ClipStep, Omega
from rnncore.schedules import Cosine, HalveOnWorse, Schedule, StepDecay, WarmUp
from rnncore.training import History, suggest_threshold, sweep_threshold

__all__ = ["GRU", "LSTM", "RNN", "SGD", "UGRNN", "Adam", "AdamW", "ClipStep", "Cosine",
           "Embedding", "HalveOnWorse", "History", "IdentityRNN", "IndRNN", "IndRNNBound",
           "IntersectionRNN", "Last", "Linear", "MinGRU", "Model", "Omega", "Orthogonal",
           "OrthogonalPenalty", "Parameters", "RMSprop", "Schedule", "SpectralRadius",
           "StepDecay", "WarmUp", "analysis", "clip_norm", "clip_value", "get_include",
           "get_num_threads", "init", "load", "num_threads", "set_num_threads", "show_config",
           "suggest_threshold", "sweep_threshold", "tasks"]

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rnncore import analysis, init, tasks


def __getattr__(name: str) -> Any:
    """Load the rooms that not every program enters when they are asked for."""
    if name in ("analysis", "init", "tasks"):
        return importlib.import_module(f"rnncore.{name}")
    raise AttributeError(f"module 'rnncore' has no attribute {name!r}")


def get_include() -> str:
    """The folder of rnncore.h, for compilers of programs that call rnncore from C or Cython.

    Examples
    --------
    >>> (Path(get_include()) / "rnncore.h").exists()
    True
    """
    return str(Path(__file__).parent / "include")


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
