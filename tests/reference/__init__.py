"""The test oracle: every cell in plain NumPy, straight from the papers.

It shares nothing with the library: one row of the batch at a time, one step at a time, the past
states in plain lists. All of it is complex-analytic (no abs, no conj, no maximum; relu decides
by the real part), so that `complex_step` differentiates it to the last digits.

    y, state = run("LSTM", params, x, state, lengths, num_layers=2, bidirectional=True)
    gradient = complex_step(lambda w: loss(run("RNN", {**params, name: w}, x)), params[name])

Letters: T time, B batch, K input width of a layer, H hidden_size, D = max(taps, skip) past
states kept, S = layers * directions.
"""

from __future__ import annotations

from .cells import CELLS
from .derivatives import complex_step
from .layers import parts, run
from .parameters import param_shapes, random_params, random_state, state_shape

__all__ = [
    "CELLS",
    "complex_step",
    "param_shapes",
    "parts",
    "random_params",
    "random_state",
    "run",
    "state_shape",
]
