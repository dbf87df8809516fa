"""Initializers: how parameters begin, by name and in place.

    identity    W = scale I                                     (Le, Jaitly & Hinton 2015)
    orthogonal  W = gain Q, A = QR with A ~ N(0, 1) and R_ii > 0: the signs make Q uniform over
                all orthogonal matrices (Saxe et al. 2014; Mezzadri 2007)
    glorot      variance 2 gain^2 / (rows + columns)            (Glorot & Bengio 2010)
    sparse      a few normal numbers per row, W *= radius / rho(W)
                                                (Martens 2010; Pascanu, Mikolov & Bengio 2013)

A weight with several gates is a stack of matrices, and each is drawn by itself. Numbers are
drawn in float64 and then cast. All functions take a model or a layer, then patterns of names as
`model.freeze` does, and without a pattern initialize the recurrent weights, "*weight_hh*".
Nothing is written if anything is wrong: TypeError or ValueError say what. Frozen parameters
are initialized too: who calls names them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnncore.blocks import indrnn_vectors, layers_of, names_of, stacks, tensors_of
from rnncore.interrupts import uninterrupted
from rnncore.layers import RNN, Layer, Linear, Recurrent
from rnncore.layers.checks import finite, flag, not_negative, positive
from rnncore.network import Network
from rnncore.parameters import Array

Target = Network | Layer
if TYPE_CHECKING:  # numpy.random is loaded where something is drawn
    Seed = int | np.random.Generator | None


def identity(model: Target, *patterns: str, scale: float = 1.0) -> None:
    """Set each gate block to `scale` times the identity (Le, Jaitly & Hinton 2015).

    Examples
    --------
    >>> import rnncore as rc
    >>> layer = rc.RNN(3, 2)
    >>> rc.init.identity(layer, scale=0.5)
    >>> layer.parameters["weight_hh_l0"]
    array([[0.5, 0. ],
           [0. , 0.5]], dtype=float32)
    """
    scale = finite("scale", scale)
    _write(model, _blocks(model, patterns, lambda rows, cols: scale * np.eye(rows, cols)))


def orthogonal(model: Target, *patterns: str, gain: float = 1.0, seed: Seed = None) -> None:
    """Draw each gate block from the orthogonal matrices, uniformly (Saxe et al. 2014).

    Blocks that are not square get orthonormal rows or columns, whichever are fewer.

    Parameters
    ----------
    model : Model or layer
    *patterns : str, default="*weight_hh*"
        The names of the weights, which have to be matrices.
    gain : float, default=1.0
        All singular values.
    seed : int, Generator or None

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.LSTM(3, 8), rc.Linear(8, 2)])
    >>> rc.init.orthogonal(model, "0.weight_hh*", seed=0)
    >>> candidate = model.named_parameters()["0.weight_hh_l0"][16:24]
    >>> bool(np.allclose(candidate.T @ candidate, np.eye(8), atol=1e-6))
    True
    """
    gain, rng = finite("gain", gain), np.random.default_rng(seed)
    _write(model, _blocks(model, patterns, lambda *shape: gain * _orthogonal(rng, *shape)))


def uniform(model: Target, *patterns: str, low: float, high: float, seed: Seed = None) -> None:
    """Draw all elements, of vectors too, from U(low, high)."""
    if finite("low", low) > finite("high", high):
        raise ValueError(f"low is {low}, expected at most high = {high}")
    rng = np.random.default_rng(seed)
    _write(model, _elements(model, patterns, lambda shape: rng.uniform(low, high, shape)))


def normal(model: Target, *patterns: str, std: float, mean: float = 0.0,
           seed: Seed = None) -> None:
    """Draw all elements, of vectors too, from a normal distribution."""
    mean, std, rng = finite("mean", mean), not_negative("std", std), np.random.default_rng(seed)
    _write(model, _elements(model, patterns, lambda shape: rng.normal(mean, std, shape)))


def glorot_uniform(model: Target, *patterns: str, gain: float = 1.0, seed: Seed = None) -> None:
    """Draw each gate block from U(-a, a), a = gain sqrt(6 / (rows + columns)) (Glorot & Bengio
    2010). The rows are those of one gate: frameworks that count all gates draw smaller ones.
    """
    gain, rng = not_negative("gain", gain), np.random.default_rng(seed)

    def draw(rows: int, columns: int) -> Array:
        bound = gain * math.sqrt(6 / (rows + columns))
        return rng.uniform(-bound, bound, (rows, columns))

    _write(model, _blocks(model, patterns, draw))


def glorot_normal(model: Target, *patterns: str, gain: float = 1.0, seed: Seed = None) -> None:
    """Draw each gate block from N(0, 2 gain^2 / (rows + columns)) (Glorot & Bengio 2010); see
    `glorot_uniform`.
    """
    gain, rng = not_negative("gain", gain), np.random.default_rng(seed)
    _write(model, _blocks(model, patterns, lambda rows, columns: rng.normal(
        0, gain * math.sqrt(2 / (rows + columns)), (rows, columns))))


def sparse(model: Target, *patterns: str, kept: int = 15, radius: float = 0.95,
           incoming: bool = True, seed: Seed = None) -> None:
    """Draw sparse gate blocks of a given spectral radius (Martens 2010; Pascanu et al. 2013).

    Parameters
    ----------
    model : Model or layer
    *patterns : str, default="*weight_hh*"
        The names of the weights, whose blocks have to be square.
    kept : int, default=15
        How many normal numbers each row has, at random places; the others are 0.
    radius : float, default=0.95
        The spectral radius of each block, the largest absolute value of its eigenvalues.
    incoming : bool, default=True
        Whether a row is what comes into a unit, as the papers say, or, transposed, what goes
        out of it, as the code of Pascanu et al. has it.
    seed : int, Generator or None
    """
    draw = _sparse(kept, radius, incoming, np.random.default_rng(seed))
    _write(model, _blocks(model, patterns, draw, square=True))


def irnn(model: Target, *, scale: float = 1.0, std: float = 0.001, seed: Seed = None) -> None:
    """Begin as an IRNN: ReLU units, W_hh = scale I, biases 0, and input weights from N(0,
    std^2), std = 0.001 (Le, Jaitly & Hinton 2015).

    All recurrent layers have to be an `RNN` with activation="relu"; other layers are left
    alone. Recurrent weights of further taps begin as the input weights do.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.RNN(2, 100, activation="relu"), rc.Linear(100, 1)])
    >>> rc.init.irnn(model, seed=0)
    >>> rc.init.normal(model, "1.weight", std=0.001, seed=1)  # as the paper has it
    """
    scale, std = finite("scale", scale), not_negative("std", std)
    names, rng = _vanilla(model, "relu"), np.random.default_rng(seed)
    taps = [n for n in names if "_tap" in n]
    firsts = [n for n in names if "weight_hh" in n and n not in taps]
    others = [n for n in names if "weight_ih" in n] + taps
    _write(model, {
        **_blocks(model, firsts, lambda *shape: scale * np.eye(*shape)),
        **_elements(model, others, lambda shape: rng.normal(0, std, shape)),
        **_zeros(model, [n for n in names if "bias" in n])})


def smart_tanh(model: Target, *, kept: int = 15, radius: float = 0.95, std: float = 0.01,
               seed: Seed = None) -> None:
    """Begin as the "smart tanh" of Pascanu, Mikolov & Bengio (2013): tanh units, each of them
    feeding `kept` others, with spectral radius 0.95; input weights from N(0, std^2), biases 0.

    All recurrent layers have to be an `RNN` with activation="tanh"; other layers are left
    alone. Their number of units has to be at least `kept`.
    """
    std, rng = not_negative("std", std), np.random.default_rng(seed)
    names, draw = _vanilla(model, "tanh"), _sparse(kept, radius, False, rng)
    _write(model, {
        **_blocks(model, [n for n in names if "weight_hh" in n], draw, square=True),
        **_elements(model, [n for n in names if "weight_ih" in n],
                    lambda shape: rng.normal(0, std, shape)),
        **_zeros(model, [n for n in names if "bias" in n])})


def indrnn(model: Target, *patterns: str, steps: int, gamma: float = 2.0,
           long_memory: bool = False, seed: Seed = None) -> None:
    """Draw the vectors u of IndRNN layers from U(0, gamma^(1/steps)) (Li et al. 2018).

    Parameters
    ----------
    model : Model or layer
    *patterns : str, default="*weight_hh*"
        The names of the vectors u.
    steps : int
        The length of the sequences, T.
    gamma : float, default=2.0
        How often larger a gradient may be after T steps, at least 1.
    long_memory : bool, default=False
        Draw from U(gamma^(-1/T), gamma^(1/T)): the last layer where the output is at the end.
    seed : int, Generator or None
    """
    steps, gamma = positive("steps", steps), finite("gamma", gamma)
    if gamma < 1:
        raise ValueError(f"gamma is {gamma}, expected at least 1")
    high, rng = gamma ** (1 / steps), np.random.default_rng(seed)
    low = 1 / high if flag("long_memory", long_memory) else 0.0
    names = indrnn_vectors(model, patterns)
    _write(model, _elements(model, names, lambda shape: rng.uniform(low, high, shape)))


def forget_bias(model: Target, value: float = 1.0) -> None:
    """Set the biases of the gates that keep the state: the forget gate of an LSTM, g of UGRNN,
    g_h and g_y of +RNN (Jozefowicz, Zaremba & Sutskever 2015).

    Where there is a second bias, beside h, it becomes 0: their sum is what matters.

    Examples
    --------
    >>> import rnncore as rc
    >>> layer = rc.LSTM(3, 2)
    >>> rc.init.forget_bias(layer, 1.5)
    >>> layer.parameters["bias_ih_l0"][2:4]
    array([1.5, 1.5], dtype=float32)
    """
    value = finite("value", value)
    pairs = [(layer, layer.keep_biases()) for layer in layers_of(model).values()
             if isinstance(layer, Recurrent)]
    if not any(biases for _, biases in pairs):
        raise ValueError(f"{model!r} has no bias of a gate that keeps the state")
    for layer, biases in pairs:
        with layer.parameters.writable() as flat:
            for of_x, of_h in biases:
                flat[of_x], flat[of_h] = value, 0


def _write(model: Target, arrays: dict[str, Array]) -> None:
    """Write what has been drawn, all of it or nothing."""
    tensors = tensors_of(model)
    with uninterrupted(), tensors.writable() as flat:
        for name, array in arrays.items():
            flat[tensors.slice(name)] = array.reshape(-1)


def _elements(model: Target, patterns: Sequence[str],
              draw: Callable[[tuple[int, ...]], Array]) -> dict[str, Array]:
    """Whole parameters drawn by their shapes, in float64."""
    tensors = tensors_of(model)
    return {name: draw(tensors.shapes[name]) for name in names_of(model, patterns)}


def _blocks(model: Target, patterns: Sequence[str], draw: Callable[[int, int], Array],
            square: bool = False) -> dict[str, Array]:
    """Matrices drawn gate block after gate block, in float64."""
    return {name: np.concatenate([draw(rows, columns) for _ in range(gates)])
            for name, (gates, rows, columns) in stacks(model, patterns, square).items()}


def _zeros(model: Target, names: list[str]) -> dict[str, Array]:
    """Zeros for the named parameters, of which there may be none."""
    return {name: np.zeros(tensors_of(model).shapes[name]) for name in names}


def _vanilla(model: Target, activation: str) -> list[str]:
    """The names of the parameters of all recurrent layers, which have to be such RNN layers."""
    names: list[str] = []
    for prefix, layer in layers_of(model).items():
        if isinstance(layer, Recurrent) and not isinstance(layer, Linear):
            if not isinstance(layer, RNN) or layer.activation != activation:
                raise ValueError(f"{layer!r} is no RNN with activation={activation!r}, as this "
                                 "initialization is for")
            names += [prefix + name for name in layer.parameters]
    if not names:
        raise ValueError(f"{model!r} has no recurrent layer")
    return names


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """A matrix uniform among those with orthonormal columns, or rows if they are fewer."""
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return q if rows >= columns else q.T


def _sparse(kept: int, radius: float, incoming: bool,
            rng: np.random.Generator) -> Callable[[int, int], Array]:
    """How `sparse` draws a block; with one number in each row there is always a cycle of
    units, and with it an eigenvalue that is not 0.
    """
    kept, radius = positive("kept", kept), not_negative("radius", radius)

    def draw(rows: int, columns: int) -> Array:
        if kept > columns:
            raise ValueError(f"kept is {kept}, expected at most {columns}, the width of a row")
        places = rng.permuted(np.tile(np.arange(columns), (rows, 1)), axis=1)
        w = np.where(places < kept, rng.standard_normal((rows, columns)), 0.0)
        w *= radius / np.abs(np.linalg.eigvals(w)).max()
        return w if incoming else w.T

    flag("incoming", incoming)
    return draw
