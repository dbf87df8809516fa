"""What the optimizers share: whose model they are, what each parameter's step goes by, and
what they keep.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from numbers import Real
from typing import NamedTuple, Protocol

import numpy as np

from rnncore.interrupts import uninterrupted
from rnncore.parameters import Array, Parameters

Options = Mapping[str, Mapping[str, float]]


class Trainable(Protocol):
    """What an optimizer needs of a model: its parameters, and the names it must not touch."""

    tensors: Parameters
    frozen: frozenset[str]


class Step(NamedTuple):
    """What an update of neighbouring parameters goes by."""

    span: slice  # where they lie in the flat arrays
    lr: float
    weight_decay: float
    number: int  # of this step, from 1


class Optimizer:
    """What the optimizers share: they belong to the model of their first `step`, and pass over
    frozen parameters, whose moments and counts of steps stay as they are.

    Parameters
    ----------
    lr : float
        The learning rate, at least 0; it may be set anew between steps.
    weight_decay : float, default=0.0
        How fast weights shrink, at least 0; what it means is the subclass's to say. It goes
        for matrices alone: vectors (biases, peepholes, IndRNN's recurrent weights) do not
        decay unless `options` says so, unlike in PyTorch.
    options : mapping of str to mapping, optional
        Other settings for some parameters: patterns of names, as in `Model.freeze`, to their
        own "lr" and "weight_decay". Later patterns win over earlier ones.

    Raises
    ------
    TypeError
        If a setting is not a number, or `options` is not a mapping of mappings.
    ValueError
        If a number is out of range, or `options` names another setting.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.RNN(2, 3), rc.Linear(3, 1)], loss="mse")
    >>> slow = {"0.weight_hh*": {"lr": 1e-4}, "*bias*": {"weight_decay": 0.1}}
    >>> rc.SGD(0.1, weight_decay=1e-3, options=slow).step(model)
    """

    # Names of the moments and of the settings, in order; settings that options may change.
    _moments: tuple[str, ...] = ()
    _settings: tuple[str, ...] = ("lr",)
    _optional: tuple[str, ...] = ("lr", "weight_decay")

    def __init__(self, lr: float, weight_decay: float = 0.0,
                 options: Options | None = None) -> None:
        self.lr = number("lr", lr)
        self.weight_decay = number("weight_decay", weight_decay)
        self._options = _checked({} if options is None else options, self._optional)
        self._steps = np.zeros(0, np.int64)  # per parameter, in order
        self._state: dict[str, Array] = {}  # flat moments, as long as the parameters
        # The names that options were matched with, and what they say about each.
        self._matched: tuple[tuple[str, ...], list[dict[str, float]]] = ((), [])

    def __repr__(self) -> str:
        settings = [f"{name}={getattr(self, name)}" for name in self._settings]
        settings += [f"options={self._options}"] if self._options else []
        return f"{type(self).__name__}({', '.join(settings)})"

    def step(self, model: Trainable, lr_factor: float = 1.0) -> None:
        """Update the parameters of `model` from its gradients, in place.

        Parameters
        ----------
        model : Model
            The model, with gradients.
        lr_factor : float, default=1.0
            What all learning rates are multiplied by in this step, at least 0.

        Raises
        ------
        ValueError
            If the optimizer belongs to a model of another size or type, a pattern of the
            options matches none of its parameters, or `lr_factor` is out of range.
        """
        tensors, lr = model.tensors, number("lr", self.lr)
        factor = number("lr_factor", lr_factor)
        self.attach(tensors)
        numbers = self._steps + [name not in model.frozen for name in tensors]
        plan = self._plan(model, lr, factor, numbers.tolist())
        with uninterrupted(), tensors.writable() as values:
            for step in plan:
                moments = [state[step.span] for state in self._state.values()]
                self._update(values[step.span], tensors.grads[step.span], moments, step)
            self._steps = numbers

    def attach(self, tensors: Parameters) -> None:
        """Make the moments for these parameters, or refuse those of another model.

        Raises
        ------
        ValueError
            If there are moments of another size or type, or a pattern of the options matches
            none of the parameters.
        """
        sizes = {(state.size, state.dtype) for state in self._state.values()}
        if len(self._steps) and (len(self._steps) != len(tensors)
                                 or sizes - {(tensors.size, tensors.dtype)}):
            raise ValueError(f"the optimizer belongs to another model than this one of "
                             f"{tensors.size} {tensors.dtype} elements: make one for each")
        if self._matched[0] != (names := tuple(tensors)):
            self._matched = names, self._match(names)
        if not len(self._steps):
            self._steps = np.zeros(len(tensors), np.int64)
            self._state = {n: np.zeros(tensors.size, tensors.dtype) for n in self._moments}

    def _match(self, names: Sequence[str]) -> list[dict[str, float]]:
        """What the options say about each parameter."""
        own: list[dict[str, float]] = [{} for _ in names]
        for pattern, settings in self._options.items():
            matching = [i for i, name in enumerate(names) if fnmatchcase(name, pattern)]
            if not matching:
                raise ValueError(f"pattern {pattern!r} of options matches no parameter, "
                                 f"expected to match some of {', '.join(names)}")
            for i in matching:
                own[i].update(settings)
        return own

    def _plan(self, model: Trainable, lr: float, factor: float,
              numbers: Sequence[int]) -> list[Step]:
        """The steps of all unfrozen parameters, neighbours of the same settings together."""
        tensors, steps = model.tensors, list[Step]()
        for (name, span), own, count in zip(tensors.slices(), self._matched[1], numbers,
                                            strict=True):
            if name in model.frozen:
                continue
            decay = self.weight_decay if len(tensors.shapes[name]) > 1 else 0.0
            step = Step(span, own.get("lr", lr) * factor, own.get("weight_decay", decay), count)
            if steps and steps[-1].span.stop == span.start and steps[-1][1:] == step[1:]:
                step = step._replace(span=slice(steps.pop().span.start, span.stop))
            steps.append(step)
        return steps

    def _update(self, w: Array, g: Array, moments: list[Array], step: Step) -> None:
        """Update weights (n,) by their gradients (n,), and the moments, each (n,)."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Array]:
        """Copies of the moments, each flat (n,), and of the steps (parameters,)."""
        return {"steps": self._steps.copy(), **{n: s.copy() for n, s in self._state.items()}}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what `state_dict` gave: all of it, or none if anything is wrong.

        Raises
        ------
        ValueError
            If names, shapes or types are not those of such a state.
        """
        arrays = {name: np.array(value) for name, value in state.items()}
        steps = arrays.pop("steps", np.zeros(0))
        if steps.ndim != 1 or steps.dtype != np.int64 or (steps < 0).any():
            raise ValueError("steps of the state is not a row of int64 counts")
        moments = self._moments if len(steps) else ()  # none before the first step
        if arrays.keys() != set(moments):
            raise ValueError(f"state has moments {sorted(arrays)}, expected {sorted(moments)}")
        for name, array in arrays.items():
            if array.ndim != 1 or array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(f"{name} of the state is not a row of finite numbers")
        if len({(array.size, array.dtype) for array in arrays.values()}) > 1:
            raise ValueError("moments of the state differ in size or dtype")
        self._steps, self._state = steps, {name: arrays[name] for name in moments}


def number(name: str, value: float, low: float = 0.0, high: float = math.inf) -> float:
    """Refuse what is not a number in [low, high)."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}, expected a number")
    if not low <= value < high:
        raise ValueError(f"{name} is {value}, expected a number in [{low:g}, {high:g})")
    return float(value)


def _checked(options: Options, known: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """A copy of options that are well formed."""
    if not isinstance(options, Mapping):
        raise TypeError(f"options is of type {type(options).__name__}, expected a mapping of "
                        "patterns to settings")
    copied = {}
    for pattern, own in options.items():
        if not isinstance(own, Mapping):
            raise TypeError(f"options[{pattern!r}] is of type {type(own).__name__}, expected a "
                            "mapping of settings to numbers")
        if unknown := [name for name in own if name not in known]:
            raise ValueError(f"options[{pattern!r}] has {unknown[0]!r}, expected some of "
                             f"{', '.join(known)}")
        copied[pattern] = {name: number(f"{name} of options[{pattern!r}]", value)
                           for name, value in own.items()}
    return copied
