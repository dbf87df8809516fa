"""A batch of sequences, checked once; whatever cuts it does not copy what it leaves out.

Inside, sequences are time-major: x (T, B, I) or, for an Embedding, (T, B); a single sequence
has no B axis. The weight of a step is the one that is given, and 0 past the end of its row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnncore.parameters import Array

if TYPE_CHECKING:
    from rnncore.model import Model


class Batch(NamedTuple):
    """Checked, time-major sequences and their targets.

    `target` and `mask`, booleans or weights, go by steps, (T, B, ...), or by sequences,
    (B, ...). `resets` (T, B) says before which steps a row's state is set to zero. `columns`
    are the sequences of the arrays that belong to the batch, None for all; only `cut` looks
    them up, so that arrays longer than memory are read piece by piece.
    """

    x: Array
    target: Array
    lengths: Array | None = None
    mask: Array | None = None
    per_step: bool = True
    columns: Array | None = None
    resets: Array | None = None

    def cut(self, start: int, stop: int) -> Batch:
        """The steps from `start` to `stop` of the batch's sequences."""
        columns = slice(None) if self.columns is None else self.columns
        steps = slice(start, stop)

        def pick(array: Array | None) -> Any:
            if array is None or self.columns is None:
                return None if array is None else array[steps]
            return array[steps, columns]

        lengths, mask, target = self.lengths, self.mask, self.target
        if lengths is not None:
            lengths = np.clip(lengths[columns] - start, 0, stop - start)
        if self.per_step:
            target, mask = pick(target), pick(mask)
        elif self.columns is not None:
            target, mask = target[columns], None if mask is None else mask[columns]
        return Batch(pick(self.x), target, lengths, mask, self.per_step,
                     resets=pick(self.resets))

    def counting_from(self, step: int, shape: tuple[int, ...]) -> Batch:
        """The same, with steps of `shape` (T, B), but those before `step` count for nothing."""
        if step == 0:
            return self
        mask = np.ones(shape, bool) if self.mask is None else self.mask.copy()
        mask[:step] = 0
        return self._replace(mask=mask)

    def weights(self) -> Array | None:
        """What a target weighs: by steps (T, B) or by sequences (B,); None for 1 everywhere."""
        if not self.per_step or self.lengths is None:
            return self.mask
        live: Array = np.arange(len(self.x))[:, None] < self.lengths
        if self.mask is None:
            return live
        weights: Array = np.where(live, self.mask, self.mask.dtype.type(0))
        return weights


def swapped(array: Array, swap: bool) -> Array:
    """Exchange the first two axes, or not: a view."""
    return array.swapaxes(0, 1) if swap else array


def check_input(model: Model, x: Any, lengths: Any = None) -> tuple[Array, Array | None, bool]:
    """Check input and lengths; return them, x as it came, and whether x has a batch axis."""
    x = np.asarray(x)
    features = 0 if model.takes_symbols else 1
    if model.takes_symbols and x.dtype.kind not in "iu":
        raise TypeError(f"x has dtype {x.dtype}, expected integers for an Embedding")
    if not model.takes_symbols and x.dtype != model.dtype:
        raise TypeError(f"x has dtype {x.dtype}, expected {model.dtype}: cast it with "
                        f"x.astype(np.{model.dtype})")
    wide = not features or x.shape[-1:] == (model.input_size,)
    if x.ndim not in (1 + features, 2 + features) or not wide:
        axes = "batch, time" if model.batch_first else "time, batch"
        width = f", {model.input_size}" if features else ""
        raise ValueError(f"x has shape {x.shape}, expected ({axes}{width})")
    if model.takes_symbols and x.size and not 0 <= x.min() <= x.max() < model.input_size:
        bad = x[(x < 0) | (x >= model.input_size)][0]
        raise ValueError(f"x holds {bad}, expected indices from 0 to {model.input_size - 1}")
    batched = x.ndim == 2 + features
    if lengths is None:
        return x, None, batched
    if not batched:
        raise ValueError(f"lengths came with one sequence of shape {x.shape}, expected None")
    steps, rows = (x.shape[1], x.shape[0]) if model.batch_first else x.shape[:2]
    return x, _check_lengths(np.asarray(lengths), rows, steps), batched


def _check_lengths(lengths: Array, rows: int, steps: int) -> Array:
    if lengths.dtype.kind not in "iu" and lengths.size:
        raise TypeError(f"lengths has dtype {lengths.dtype}, expected integers")
    if lengths.shape != (rows,):
        raise ValueError(f"lengths has shape {lengths.shape}, expected ({rows},)")
    bad = np.flatnonzero((lengths < 0) | (lengths > steps))
    if len(bad):
        raise ValueError(f"lengths[{bad[0]}] is {lengths[bad[0]]}, expected 0 to {steps}")
    return lengths.astype(np.int64)


def make_batch(model: Model, x: Any, target: Any, lengths: Any = None, mask: Any = None,
               resets: Any = None) -> Batch:
    """Check everything the model is given and turn it time-major.

    Raises
    ------
    TypeError, ValueError
        As `Model.loss_and_grad` says.
    """
    x, lengths, batched = check_input(model, x, lengths)
    target = np.asarray(target)
    swap = batched and model.batch_first
    steps = x.shape[: 2 if batched else 1]
    resets = _check_resets(model, resets, steps)
    if not model.per_step:
        steps = steps[:1] if swap else steps[1:]
    mask = _check_mask(mask, steps)
    major = swap and model.per_step
    batch = Batch(swapped(x, swap), swapped(target, major and target.ndim > 1), lengths,
                  None if mask is None else swapped(mask, major), model.per_step,
                  resets=None if resets is None else swapped(resets, swap))
    weights = batch.weights()
    model.loss.check((*steps, model.output_size), model.dtype, target,
                     None if weights is None else swapped(weights > 0, major))
    return batch


def _check_mask(given: Any, steps: tuple[int, ...]) -> Array | None:
    """Booleans, or finite weights of at least 0."""
    if given is None:
        return None
    mask: Array = np.asarray(given)
    if mask.dtype != np.bool_ and mask.dtype.kind != "f":
        raise TypeError(f"mask has dtype {mask.dtype}, expected bool, or a float type for "
                        "weights")
    if mask.shape != steps:
        raise ValueError(f"mask has shape {mask.shape}, expected {steps}")
    if mask.dtype != np.bool_ and mask.size and not (mask.min() >= 0 and mask.max() < np.inf):
        bad = mask[~((mask >= 0) & (mask < np.inf))][0]
        raise ValueError(f"mask holds {bad}, expected finite weights of at least 0")
    return mask


def _check_resets(model: Model, given: Any, steps: tuple[int, ...]) -> Array | None:
    if given is None:
        return None
    resets: Array = np.asarray(given)
    if resets.dtype != np.bool_:
        raise TypeError(f"resets has dtype {resets.dtype}, expected bool")
    if resets.shape != steps:
        raise ValueError(f"resets has shape {resets.shape}, expected {steps}")
    if not model.carries:
        raise ValueError("resets came for a model with Last or a bidirectional layer, expected "
                         "None: its steps cannot be run in pieces")
    return resets
