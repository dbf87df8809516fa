"""Optimizers and clipping, on a model's flat arrays.

An update goes over the flat arrays once, in the kernels: each byte of weights, gradients and
moments is moved once, without temporaries. It is never left half done: Ctrl-C and SIGTERM wait
for its end.
"""

from rnncore.optim.clipping import check_clipping, clip_norm, clip_value
from rnncore.optim.optimizer import Optimizer
from rnncore.optim.rules import SGD, Adam, AdamW, RMSprop

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "check_clipping", "clip_norm",
           "clip_value"]
