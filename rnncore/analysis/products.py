"""Products of the factors of a gradient: singular values, exponents, directions.

All walk back from the last step of each row. What is carried is rescaled at every step, so
that products of any length have logarithms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnncore.analysis.scaled import Scaled, scaled
from rnncore.analysis.steps import OneStep
from rnncore.parameters import Array

_EVEN = 1e-9  # how far from 1 a singular value has to be to expand or to shrink
_ACCURACY = 1e-7  # of a vector u that is searched for; its square is that of |J^T u|
_BLOCK = 8  # steps without rescaling: a gain of 1e-38 at each still fits float64
_SETTLED, _SEARCH = 1e-4, 64  # the last gain, relative, and the most vectors, of a search


class Products(NamedTuple):
    """In the time of the layer; see `LayerFactors`. `shares` (T, B, 2)."""

    norms: Array
    lags: Array
    products: Array
    singular: Array
    exponents: Array
    shares: Array | None


def formed_products(steps: OneStep, ends: Array, entering: Array | None, m: int) -> Products:
    """By forming the factors of one step at a time."""
    total, rows, size = steps.states.shape
    m, eye = min(m, size), np.eye(size)
    norms, by_lag = np.full((total, rows), np.nan), np.full((total + 1, rows), np.nan)
    by_lag[0] = 0.0
    shares = None if entering is None else np.full((total, rows, 2), np.nan)
    product = scaled(np.tile(eye.reshape(1, -1), (rows, 1)))
    basis, growth = np.broadcast_to(eye[:, :m], (rows, size, m)), np.zeros((rows, m))
    for step in reversed(range(total)):
        live = step < ends
        factors = steps.formed(steps.inputs[step], steps.states[step])
        if shares is None or entering is None:
            sigma = np.linalg.svd(factors, compute_uv=False)
        else:
            left, sigma, _ = np.linalg.svd(factors)
            shares[step, live] = _energy(left, sigma, entering[step])[live]
        norms[step, live] = sigma[live, 0]
        turned = np.where(live[:, None, None], factors, eye).swapaxes(1, 2)
        moved = turned @ product.rows.reshape(rows, size, size)
        product = scaled(moved.reshape(rows, size * size), product.exponent)
        by_lag[ends - step, np.arange(rows)] = np.where(
            live, _log_singular(product)[:, 0], by_lag[ends - step, np.arange(rows)])
        basis, stretched = _orthogonal(turned @ basis)
        growth += np.where(live[:, None], stretched, 0.0)
    singular = _log_singular(product)
    known = singular > singular[:, :1] + np.log10(size * np.finfo(float).eps)
    return Products(norms, np.arange(total + 1), by_lag,
                    np.where(known, singular, np.nan)[:, :m].T, _exponents(growth, ends),
                    shares)


def _log_singular(product: Scaled) -> Array:
    """log10 of the singular values (B, S) of scaled matrices, flat (B, S * S)."""
    size = round(product.rows.shape[1] ** 0.5)
    sigma = np.linalg.svd(product.rows.reshape(-1, size, size), compute_uv=False)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log10(sigma) + product.exponent[:, None] * np.log10(2))


def _energy(left: Array, sigma: Array, d: Array) -> Array:
    """The shares (B, 2) of |d|^2 in directions that are made longer, and shorter."""
    parts = (left.swapaxes(1, 2) @ d[..., None])[..., 0] ** 2
    total = parts.sum(axis=1)
    total = np.where(total > 0, total, np.nan)
    return np.stack([(parts * (sigma > 1 + _EVEN)).sum(axis=1) / total,
                     (parts * (sigma < 1 - _EVEN)).sum(axis=1) / total], axis=1)


def _orthogonal(vectors: Array) -> tuple[Array, Array]:
    """Orthonormal columns that span the same, and the logarithms of their growth."""
    q, r = np.linalg.qr(vectors)
    with np.errstate(divide="ignore"):
        return q, np.log(np.abs(np.diagonal(r, axis1=1, axis2=2)))


def _exponents(growth: Array, ends: Array) -> Array:
    """Growth (B, m) per step, the largest first; NaN of a row without steps."""
    per_step = growth / np.where(ends > 0, ends, np.nan)[:, None]
    return -np.sort(-per_step, axis=1).T


def lag_norms(steps: OneStep, ends: Array, lag: int, seed: int) -> Array:
    """log10 of the largest singular value (B,) of the last `lag` factors' product alone.

    A Krylov search with all rows at once, fully orthogonalized: of the space that the vectors u
    span, the largest |J^T u| is a bound from below, which grows with every vector.
    """
    rows = np.arange(len(ends))
    at = ends - lag + np.arange(lag)[:, None]
    inputs, states = steps.inputs[at, rows], steps.states[at, rows]
    u = np.random.default_rng(seed).standard_normal((len(ends), steps.size))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    basis, images = u[:, None], np.empty((len(ends), 0, steps.size))
    unit, sigma = np.empty(0), np.zeros(len(ends))
    for number in range(min(_SEARCH, steps.size)):
        image = _back(steps, inputs, states, u)
        unit = unit if number else image.exponent
        images = np.concatenate([images, image.at(unit)[:, None]], axis=1)
        before, sigma = sigma, np.linalg.norm(images, 2, axis=(1, 2))
        if (sigma - before <= _SETTLED * sigma).all():
            break
        u = _forth(steps, inputs, states, image.rows)
        for _ in range(2):  # the second time for what rounding left
            u = u - ((basis @ u[..., None]).swapaxes(1, 2) @ basis)[:, 0]
            u /= np.maximum(np.linalg.norm(u, axis=1, keepdims=True), np.finfo(float).tiny)
        basis = np.concatenate([basis, u[:, None]], axis=1)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log10(sigma) + unit * np.log10(2))


def _back(steps: OneStep, inputs: Array, states: Array, v: Array) -> Scaled:
    """The transposed product of all steps of inputs (K, B, I) with v (B, S)."""
    found = scaled(v)
    for first in reversed(range(0, len(inputs), _BLOCK)):
        moved = steps.back(inputs[first : first + _BLOCK], states[first], found.rows)
        found = scaled(moved, found.exponent)
    return found


def _forth(steps: OneStep, inputs: Array, states: Array, v: Array) -> Array:
    """A multiple of their product with v (B, S)."""
    for here, before in zip(inputs, states, strict=True):
        v = scaled(steps.forth(here, before, v)).rows
    return v


def searched_products(steps: OneStep, ends: Array, m: int, seed: int) -> Products:
    """By products with vectors alone."""
    total, rows, size = steps.states.shape
    rng = np.random.default_rng(seed)
    lags = np.unique([0, *(2 ** np.arange(total.bit_length())), total])
    lags = lags[lags <= total]
    norms, by_lag = np.full((total, rows), np.nan), np.full((len(lags), rows), np.nan)
    singular, exponents = np.zeros((m, rows)), np.full((m, rows), np.nan)
    by_lag[0] = 0.0
    for row in range(rows):
        end = int(ends[row])
        growth, scales = _iterate(steps, row, end, m, rng)
        exponents[:, row] = _exponents(growth[None], ends[row : row + 1])[:, 0]
        for step in range(end):
            one = _Chain(steps, row, [step], scales[step : step + 1])
            norms[step, row] = 10 ** one.leading(1, rng)[0]
        for number, lag in enumerate(lags):
            if 0 < lag <= end:
                chain = _Chain(steps, row, list(range(end - lag, end)), scales[end - lag : end])
                by_lag[number, row] = chain.leading(1, rng)[0]
        if end:
            chain = _Chain(steps, row, list(range(end)), scales[:end])
            singular[:, row] = chain.leading(m, rng)
    return Products(norms, lags, by_lag, singular, exponents, None)


def _iterate(steps: OneStep, row: int, end: int, m: int,
             rng: np.random.Generator) -> tuple[Array, Array]:
    """The QR iteration of one row: the logarithms (m,) of the growth of all steps together,
    and by step what the first vector was multiplied by.
    """
    basis = np.linalg.qr(rng.standard_normal((steps.size, m)))[0]
    growth, scales = np.zeros(m), np.ones(end)
    for step in reversed(range(end)):
        moved = steps.back(*steps.of_row(step, row, m), np.ascontiguousarray(basis.T)).T
        (basis,), (stretched,) = _orthogonal(moved[None])
        growth += stretched
        scales[step] = np.exp(stretched[0]) or 1.0
    return growth, scales


class _Chain:
    """The product of the factors of some steps of a row, each divided by a scale."""

    def __init__(self, steps: OneStep, row: int, order: list[int], scales: Array) -> None:
        self.steps, self.row, self.order, self.scales = steps, row, order, scales

    def forth(self, v: Array) -> Array:
        """The product with a vector (S,)."""
        v = v.reshape(1, -1)
        for step, scale in zip(self.order, self.scales, strict=True):
            v = self.steps.forth(*self.steps.of_row(step, self.row, 1), v) / scale
        return np.asarray(v[0])

    def back(self, v: Array) -> Array:
        """The transposed product with a vector (S,)."""
        v = v.reshape(1, -1)
        for step, scale in zip(self.order[::-1], self.scales[::-1], strict=True):
            v = self.steps.back(*self.steps.of_row(step, self.row, 1), v) / scale
        return np.asarray(v[0])

    def leading(self, m: int, rng: np.random.Generator) -> Array:
        """log10 of the m leading singular values."""
        from scipy.sparse.linalg import LinearOperator, svds

        size = self.steps.size
        start = rng.standard_normal(size)
        if not self.forth(start).any():  # nor is anything else left of any vector
            return np.full(m, -np.inf)
        operator = LinearOperator((size, size), self.forth, self.back, dtype=np.float64)
        u, _, _ = svds(operator, m, v0=start, tol=_ACCURACY, return_singular_vectors="u")
        values = np.linalg.svd(np.stack([self.back(column) for column in u.T]),
                               compute_uv=False)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log10(values) + np.log10(self.scales).sum())
