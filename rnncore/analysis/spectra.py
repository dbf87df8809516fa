"""Eigenvalues and singular values of recurrent weights, gate block by gate block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnncore.analysis.cells import public_name
from rnncore.blocks import layers_of
from rnncore.layers import IndRNN, Layer, Recurrent
from rnncore.network import Network
from rnncore.parameters import Array


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues and singular values of one recurrent matrix (H, H).

    Attributes
    ----------
    name : str
        Of the parameter, "0.weight_hh_l0".
    block : str
        Of the gate, "f"; empty where the cell has one block.
    tap : int
        How many steps back the state is that the matrix multiplies.
    eigenvalues : array (H,), complex
    singular_values : array (H,)
        Both from the largest absolute value on.
    epsilon : float
        The rounding of the weights' dtype.
    """

    name: str
    block: str
    tap: int
    eigenvalues: Array
    singular_values: Array
    epsilon: float

    @property
    def radius(self) -> float:
        """The spectral radius, the largest absolute value of an eigenvalue."""
        return float(np.abs(self.eigenvalues[0]))

    @property
    def sigma(self) -> float:
        """The largest singular value."""
        return float(self.singular_values[0])

    @property
    def label(self) -> str:
        """The name, with the gate if there are several."""
        return f"{self.name} [{self.block}]" if self.block else self.name


def spectrum(model: Network | Layer | npt.ArrayLike) -> list[Spectrum]:
    """Eigenvalues and singular values of every recurrent matrix, in float64.

    Parameters
    ----------
    model : Model, recurrent layer, or array (H, H)
        Of layers one entry for each layer, direction, tap and gate, in the order of the
        parameters. The vector of an IndRNN is a diagonal matrix.

    Raises
    ------
    TypeError, ValueError
        If there is no recurrent matrix, or it is not square or not finite.

    Examples
    --------
    >>> import rnncore as rc
    >>> [entry.block for entry in spectrum(rc.LSTM(3, 4, seed=0))]
    ['i', 'f', 'g', 'o']
    >>> spectrum(np.array([[0.0, 2.0], [0.0, 0.0]]))[0].radius  # and yet its sigma is 2
    0.0
    """
    if isinstance(model, (Network, Layer)):
        return [entry for _, entries in directions(model) for entry in entries]
    return [_spectrum("W", "", 1, np.asarray(model))]


def directions(model: Network | Layer) -> Iterator[tuple[Recurrent, list[Spectrum]]]:
    """The spectra of each layer and direction that has recurrent weights."""
    found = False
    for prefix, layer in layers_of(model).items():
        if isinstance(layer, Recurrent) and (layer._cell.h_rows or isinstance(layer, IndRNN)):
            found = True
            for suffix in layer._suffixes():
                yield layer, _of_direction(prefix, layer, suffix)
    if not found:
        kinds = ", ".join(type(layer).__name__ for layer in layers_of(model).values())
        raise ValueError(f"model has the layers {kinds}, expected one with recurrent weights")


def _of_direction(prefix: str, layer: Recurrent, suffix: str) -> list[Spectrum]:
    rows, found = layer._cell.h_rows or "a", []
    for tap in layer.taps:
        name = f"weight_hh{suffix}" + (f"_tap{tap}" if tap != layer.taps[0] else "")
        w = layer.parameters[name]
        blocks = [np.diag(w)] if w.ndim == 1 else np.split(w, len(rows))
        found += [_spectrum(prefix + name, public_name(layer, letter) if len(rows) > 1 else "",
                            tap, block) for letter, block in zip(rows, blocks, strict=True)]
    return found


def _spectrum(name: str, block: str, tap: int, w: Array) -> Spectrum:
    if w.dtype.kind not in "iuf":
        raise TypeError(f"{name} has dtype {w.dtype}, expected real numbers")
    if w.ndim != 2 or w.shape[0] != w.shape[1] or not w.size:
        raise ValueError(f"{name} has shape {w.shape}, expected a square matrix")
    if not np.isfinite(w).all():
        raise ValueError(f"{name} is not finite, expected finite numbers")
    epsilon = float(np.finfo(w.dtype if w.dtype.kind == "f" else np.float64).eps)
    w = w.astype(np.float64)
    eigenvalues = np.linalg.eigvals(w).astype(np.complex128)
    order = np.argsort(-np.abs(eigenvalues), kind="stable")
    return Spectrum(name, block, tap, eigenvalues[order],
                    np.linalg.svd(w, compute_uv=False), epsilon)
