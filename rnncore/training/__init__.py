"""Training: `fit` and what it is made of."""

from rnncore.training.fitting import fit
from rnncore.training.history import History
from rnncore.training.thresholds import suggest_threshold, sweep_threshold

__all__ = ["History", "fit", "suggest_threshold", "sweep_threshold"]
