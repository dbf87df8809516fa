"""A model: layers in a row, a loss, and everything that trains and runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from rnncore import evaluation, files, training
from rnncore.batch import Batch, check_input, make_batch, swapped
from rnncore.engine.spec import Remedies
from rnncore.layers import Embedding, Last, Layer, Linear
from rnncore.losses import Loss, LossFunction, get_loss
from rnncore.network import Network, State
from rnncore.optim import clip_norm, clip_value
from rnncore.parameters import Array
from rnncore.remedies import ClipStep, Omega, remedies
from rnncore.segments import Pass, add_gradient, check_segments
from rnncore.stream import Stream


class Model(Network):
    """Layers in a row and a loss, trained by back-propagation through time.

    Parameters
    ----------
    layers : sequence of layers
        Recurrent layers, `Linear`, `Embedding` (first only) and `Last`, after which come
        `Linear` layers alone. They become part of the model: their parameters become views of
        the model's, and no layer can be in two models.
    loss : "mse", "cross_entropy", "kl", "bernoulli" or callable, default="mse"
        The loss of the raw outputs; see `rnncore.losses`.
    reduction : "mean" or "sum", default="mean"
        Whether the loss is a mean over valid steps (for "mse": over their elements), or a sum.
    batch_first : bool, default=False
        Whether input, output, targets and masks are (B, T, ...) in place of (T, B, ...).
    seed : int, Generator or None
        Unless None, all parameters are drawn anew from it, whatever they were before. It also
        seeds dropout and the shuffling of `fit`.

    Attributes
    ----------
    parameters, grads : arrays (n,)
        All parameters, read-only, and their gradients, writable.
    tensors : Parameters
        The same by name: "0.weight_ih_l0" is of the first layer.
    frozen : frozenset of str
        The names that are not trained.

    Raises
    ------
    TypeError
        If the layers differ in dtype.
    ValueError
        If the layers do not fit one another, or an option is unknown.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = Model([rc.LSTM(3, 8), rc.Linear(8, 2)], loss="cross_entropy", seed=0)
    >>> x = np.ones((7, 4, 3), np.float32)  # (time, batch, features)
    >>> loss, state = model.loss_and_grad(x, np.ones((7, 4), int))
    >>> model.infer(x)[0].shape, model.grads.shape
    ((7, 4, 2), (434,))
    """

    fit = training.fit
    evaluate = evaluation.evaluate
    save = files.save

    def __init__(self, layers: Sequence[Layer], loss: str | LossFunction | Loss = "mse", *,
                 reduction: str = "mean", batch_first: bool = False,
                 seed: int | np.random.Generator | None = None) -> None:
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction is {reduction!r}, expected 'mean' or 'sum'")
        self.loss = get_loss(loss)
        self.reduction = reduction
        self.batch_first = batch_first
        self.rng = np.random.default_rng(seed)
        super().__init__(layers)
        if seed is not None:
            for layer in self.layers:
                layer.reset_parameters(self.rng)
                layer.reseed(self.rng)

    def forward(self, x: Any, state: State | None = None,
                lengths: Any = None) -> tuple[Array, State]:
        """Run x from `state`, keep what `backward` needs; dropout applies in training mode.

        Parameters
        ----------
        x : array (T, B, I), (T, I), or integers (T, B), (T,) for an Embedding
            The sequences, in the dtype of the model; (B, T, ...) with `batch_first`.
        state : list, optional
            The initial states as a run returned them, one entry per layer; zeros if None.
        lengths : integers (B,), optional
            How many steps of each sequence are real, in any order, 0 included.

        Returns
        -------
        y : array (T, B, K), or (B, K) of a model with `Last`
            The raw outputs, 0 past the end of a sequence.
        state : list
            The state at the end of each sequence, one entry per layer, None where it has none.

        Raises
        ------
        TypeError, ValueError
            If something is not of the dtype, shape or range described; nothing was run then.
        """
        return self._run(x, state, lengths, infer=False)

    def infer(self, x: Any, state: State | None = None,
              lengths: Any = None) -> tuple[Array, State]:
        """As `forward`, but keep nothing and never drop out; safe from several threads."""
        return self._run(x, state, lengths, infer=True)

    def _run(self, x: Any, state: State | None, lengths: Any,
             infer: bool) -> tuple[Array, State]:
        x, lengths, batched = check_input(self, x, lengths)
        swap = batched and self.batch_first
        y, ends = self.run(swapped(x, swap), self.states(state), lengths, infer)
        return swapped(y, swap and self.per_step), ends

    def predict(self, x: Any, state: State | None = None, lengths: Any = None) -> Array:
        """Probabilities by softmax or sigmoid, as the loss has it, or raw outputs.

        The arguments are those of `forward`. Past the end of a sequence predictions are 0.
        """
        y, _ = self.infer(x, state, lengths)
        y = self.loss.predict(y)
        if lengths is not None and self.per_step:
            major = swapped(y, self.batch_first)
            major[np.arange(len(major))[:, None] >= np.asarray(lengths)] = 0
        return y

    def stream(self, batch: int = 1) -> Stream:
        """Run `batch` sequences step by step from zero states: see `rnncore.stream.Stream`."""
        return Stream(self, batch)

    def backward(self, dy: Array, dstate: State | None = None,
                 input_grad: bool = True) -> tuple[Array | None, State]:
        """Add the gradients of the last `forward` to `grads`; `grads.fill(0)` clears them.

        Parameters
        ----------
        dy : array
            The gradient of the outputs, of their shape.
        dstate : list, optional
            The gradient of the final states, one entry per layer.
        input_grad : bool, default=True
            Whether the gradient of x is wanted. Without it, layers below the lowest one
            that is trained are left out, and their entries in the result are None.

        Returns
        -------
        dx : array, or None for integers or if it is not wanted
        dstate : list
            The gradient of the initial states.
        """
        dy = np.asarray(dy)
        swap = self.batch_first and dy.ndim == 3
        dx, starts = self.run_back(swapped(dy, swap), self.states(dstate), input_grad)
        batched = dy.ndim == (3 if self.per_step else 2)
        return None if dx is None else swapped(dx, self.batch_first and batched), starts

    def loss_and_grad(self, x: Any, target: Any, state: State | None = None,
                      lengths: Any = None, mask: Any = None, omega: Omega | None = None,
                      clip_step: ClipStep | float | None = None, accumulate: bool = False, *,
                      resets: Any = None,
                      checkpoint_every: int | None = None) -> tuple[float, State]:
        """Run forward and backward; fill `grads` with the gradient of the loss.

        Parameters
        ----------
        x, state, lengths
            As in `forward`.
        target : array
            Of the shape and dtype of the outputs; for "cross_entropy" also integer classes
            (T, B), for "bernoulli" also integers or booleans. A model with `Last` has one
            target per sequence, (B, K) or (B,).
        mask : booleans or floats (T, B), or (B,) with `Last`, optional
            Where the loss counts, or what it weighs: a mean is sum(w l) / sum(w). It counts
            neither past the end of a sequence.
        omega : Omega, optional
            Add the gradient of this regularizer; `model.omega` then has its value.
        clip_step : float or ClipStep, optional
            Clip what is carried from step to step; a number is the threshold of its norm.
        accumulate : bool, default=False
            Whether to add to `grads` in place of replacing them.
        resets : booleans (T, B), optional
            True where a row's state is set to zero before that step: the end of a document.
            No gradient crosses it.
        checkpoint_every : int, optional
            Keep the activations of so many steps at a time and compute all others anew from
            the states between: less memory, one more forward pass, and (but for a few cells,
            see `rnncore.segments`) the same bits.

        Returns
        -------
        loss : float
            With its reduction; 0 if nothing counts.
        state : list
            The final states, to be handed to the next call.

        Raises
        ------
        TypeError, ValueError
            If something is not of the dtype, shape or range described; nothing was run then.
        """
        evaluation.check_pieces(self, "checkpoint_every", checkpoint_every)
        batch = make_batch(self, x, target, lengths, mask, resets)
        return self.batch_gradient(batch, state, accumulate, checkpoint_every,
                                   remedies(omega, clip_step))[:2]

    def batch_gradient(self, batch: Batch, state: State | None = None,
                       accumulate: bool = False, checkpoint_every: int | None = None,
                       given: Remedies | None = None) -> Pass:
        """`loss_and_grad` of a checked batch; also return the weight of what counted."""
        start = self.states(state)
        check_segments(batch, checkpoint_every, given)
        if not accumulate:
            self.grads.fill(0)
        return add_gradient(self, batch, start, checkpoint_every, given)

    def clip_norm(self, max_norm: float, on_nonfinite: str = "raise") -> float:
        """Clip the gradients in place, return the norm before: see `rnncore.clip_norm`."""
        return clip_norm(self.grads, max_norm, on_nonfinite, self.tensors)

    def clip_value(self, limit: float, on_nonfinite: str = "raise") -> float:
        """Clip each element in place, return the largest before: see `rnncore.clip_value`."""
        return clip_value(self.grads, limit, on_nonfinite, self.tensors)

    def states(self, state: State | None) -> State:
        """One entry per layer; refuse a list that does not fit the layers."""
        if state is None:
            return [None] * len(self.layers)
        if not isinstance(state, (list, tuple)) or len(state) != len(self.layers):
            size = f" of length {len(state)}" if isinstance(state, (list, tuple)) else ""
            raise ValueError(f"state is a {type(state).__name__}{size}, expected a list of one "
                             f"entry for each of the {len(self.layers)} layers")
        for i, (layer, entry) in enumerate(zip(self.layers, state, strict=True)):
            if entry is not None and isinstance(layer, (Embedding, Last, Linear)):
                raise ValueError(f"state[{i}] is of a layer without state, {layer!r}, expected "
                                 "None")
        return list(state)

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return f"Model([{layers}], loss={self.loss.name!r})"

    def __str__(self) -> str:
        return f"Model with loss {self.loss.name!r}, {self.reduction}\n{self.table()}"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Model is copied by copy.deepcopy and stored by model.save")
