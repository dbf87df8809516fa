"""Recurrent weights held in place while they are trained, gate block by gate block.

    OrthogonalPenalty   C += lam |W'W - I|_F^2,  dC/dW += 4 lam W (W'W - I)
                                                                    (Vorontsov et al. 2017)
    Orthogonal          W <- U V' of W = U S V', the nearest orthogonal matrix; close to it by
                        W <- W (3I - W'W) / 2, Newton-Schulz    (Bjorck & Bowie 1971)
    SpectralRadius      W <- W min(1, limit / rho(W)), rho the largest absolute eigenvalue, or
                        the largest singular value in its place (Pascanu et al. 2013)
    IndRNNBound         u <- min(max(u, -b), b),  b = gamma^(1/T)   (Li et al. 2018)

A penalty is added to the gradients after the backward pass and before their norm is taken,
`add_gradient(model)`; a constraint is applied after each step of the optimizer,
`project(model)`. Both pass over frozen parameters. Products are those of NumPy's BLAS.
"""

from __future__ import annotations

import math

import numpy as np

from rnncore.blocks import RECURRENT, indrnn_vectors, stacks
from rnncore.interrupts import uninterrupted
from rnncore.layers.checks import finite, not_negative, one_of, positive
from rnncore.network import Network
from rnncore.parameters import Array

# Newton-Schulz takes an eigenvalue e of W'W - I to -3/4 e^2 + 1/4 e^3, at most e^2 where |e| is
# at most 1; so, of all of them together, their Frobenius norm. From here five iterations are
# enough in float32, six in float64.
_NEAR = 0.5

# The Frobenius norm of W'W - I, in sqrt(H) epsilons, that is rounding: iterated to the end it
# was 0.6 to 2.3 for H of 16 to 512 in both precisions, and QR in float64 gives up to 5.6.
_ROUNDING = 4.0


class _Blocks:
    """What acts on the square blocks of the parameters whose names match."""

    def __init__(self, parameters: str) -> None:
        self.parameters = parameters

    def _stacks(self, model: Network, flat: Array) -> dict[str, Array]:
        """Views (gates, H, H) into a flat array of the model; refuse what is not square."""
        shapes = stacks(model, (self.parameters,), square=True)
        return {name: flat[model.tensors.slice(name)].reshape(shape)
                for name, shape in shapes.items() if name not in model.frozen}


class OrthogonalPenalty(_Blocks):
    """The soft constraint ``weight |W'W - I|_F^2``, summed over blocks (Vorontsov et al. 2017).

    Parameters
    ----------
    weight : float
        Its factor, at least 0.
    parameters : str, default="*weight_hh*"
        A pattern of names, as for `Model.freeze`.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.RNN(3, 2)])
    >>> rc.init.identity(model, scale=2.0)
    >>> OrthogonalPenalty(0.5).add_gradient(model)  # 0.5 (3^2 + 3^2)
    9.0
    >>> model.grad_dict()["0.weight_hh_l0"]  # 4 * 0.5 * 2 * 3 on the diagonal
    array([[12.,  0.],
           [ 0., 12.]], dtype=float32)
    """

    def __init__(self, weight: float, parameters: str = RECURRENT) -> None:
        super().__init__(parameters)
        self.weight = not_negative("weight", weight)

    def __repr__(self) -> str:
        return f"OrthogonalPenalty({self.weight}, {self.parameters!r})"

    def add_gradient(self, model: Network) -> float:
        """Add the penalty's gradient to `model.grads`; return the penalty.

        Raises
        ------
        ValueError
            If no name matches, or a matching parameter has no square blocks.
        """
        total, grads = 0.0, self._stacks(model, model.grads)
        with np.errstate(all="ignore"):  # what overflows is for the caller to see: clip_norm
            for name, stack in self._stacks(model, model.parameters).items():
                for w, grad in zip(stack, grads[name], strict=True):
                    excess = _excess(w, np.empty_like(w))
                    total += float(np.vdot(excess, excess))
                    excess *= 4 * self.weight
                    grad += w @ excess
        return self.weight * total


class _Constraint(_Blocks):
    """What replaces blocks after each step of an optimizer."""

    def project(self, model: Network) -> None:
        """Bring the parameters back, in place.

        Raises
        ------
        FloatingPointError
            If a parameter is not finite; nothing is changed then.
        ValueError
            If no name matches, or a matching parameter has no square blocks.
        """
        for name, stack in self._stacks(model, model.parameters).items():
            if not np.isfinite(stack).all():
                raise FloatingPointError(f"{name} is not finite")
        with uninterrupted(), model.writable() as flat:
            for stack in self._stacks(model, flat).values():
                for w in stack:
                    self._project(w)

    def _project(self, w: Array) -> None:
        """Bring one block (H, H) back, in place."""
        raise NotImplementedError


class Orthogonal(_Constraint):
    """The hard constraint W'W = I: each block becomes the orthogonal matrix nearest to it.

    Of blocks whose W'W - I has a Frobenius norm below 0.5, as after a step of an optimizer, it
    is found by Newton-Schulz iterations, 4 H^3 to 5 H^3 operations each, which converge
    quadratically there (and wherever singular values are in (0, sqrt 3)); of others by their
    singular value decomposition. What is orthogonal up to rounding is left as it is. Memory:
    two matrices (H, H).

    Parameters
    ----------
    parameters : str, default="*weight_hh*"
        A pattern of names, as for `Model.freeze`.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.RNN(3, 2)])
    >>> rc.init.identity(model, scale=1.1)
    >>> Orthogonal().project(model)
    >>> model.named_parameters()["0.weight_hh_l0"].round(5)
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """

    def __init__(self, parameters: str = RECURRENT) -> None:
        super().__init__(parameters)

    def __repr__(self) -> str:
        return f"Orthogonal({self.parameters!r})"

    def _project(self, w: Array) -> None:
        excess, update = np.empty_like(w), np.empty_like(w)
        rounding = _ROUNDING * math.sqrt(len(w)) * float(np.finfo(w.dtype).eps)
        distance = math.inf
        while distance**2 > rounding:  # the next one, if it is near
            with np.errstate(over="ignore", invalid="ignore"):  # inf and NaN are not near
                distance = float(np.linalg.norm(_excess(w, excess)))
            if distance <= rounding:
                return
            if not distance <= _NEAR:
                u, _, vt = np.linalg.svd(w)
                w[:], distance = u @ vt, math.inf
                continue
            np.matmul(w, excess, out=update)
            update *= 0.5
            w -= update


class SpectralRadius(_Constraint):
    """An upper limit of each block's spectral radius: W is scaled where it is above.

    The radius, the largest absolute value of an eigenvalue, decides how a linear network's
    gradient grows in the long run. The sufficient condition of vanishing gradients speaks of
    the largest singular value, never smaller (Pascanu, Mikolov & Bengio 2013).

    Parameters
    ----------
    limit : float
        Above 0.
    norm : "radius" or "singular", default="radius"
        Which of the two is limited. Both cost far more than `Orthogonal` does.
    parameters : str, default="*weight_hh*"
        A pattern of names, as for `Model.freeze`.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.RNN(3, 2)])
    >>> rc.init.identity(model, scale=1.5)
    >>> SpectralRadius(0.75).project(model)
    >>> model.named_parameters()["0.weight_hh_l0"]
    array([[0.75, 0.  ],
           [0.  , 0.75]], dtype=float32)
    """

    def __init__(self, limit: float, norm: str = "radius", parameters: str = RECURRENT) -> None:
        super().__init__(parameters)
        if finite("limit", limit) <= 0:
            raise ValueError(f"limit is {limit}, expected a number above 0")
        self.limit = float(limit)
        self.norm = one_of("norm", norm, ("radius", "singular"))

    def __repr__(self) -> str:
        return f"SpectralRadius({self.limit}, {self.norm!r}, {self.parameters!r})"

    def _project(self, w: Array) -> None:
        wide = w.astype(np.float64)
        size = float(np.linalg.norm(wide, 2) if self.norm == "singular"
                     else np.abs(np.linalg.eigvals(wide)).max())
        if size > self.limit:
            w *= self.limit / size


class IndRNNBound:
    """The bound of the recurrent weights of IndRNN layers: |u| <= gamma^(1/T) (Li et al. 2018).

    After T steps of ReLU units a gradient is at most `gamma` times as large as before.

    Parameters
    ----------
    steps : int
        The length of the sequences, T.
    gamma : float, default=2.0
        Above 0.
    activation : "relu" or "tanh", default="relu"
        With "tanh" the bound is (gamma / 0.9^(T/10))^(1/T), that of the authors' program.
    parameters : str, default="*weight_hh*"
        A pattern of names, as for `Model.freeze`.

    Examples
    --------
    >>> import rnncore as rc
    >>> model = rc.Model([rc.IndRNN(3, 2)])
    >>> model.set_parameter("0.weight_hh_l0", np.array([-3, 0.5], np.float32))
    >>> IndRNNBound(steps=2, gamma=2.25).project(model)
    >>> model.named_parameters()["0.weight_hh_l0"]
    array([-1.5,  0.5], dtype=float32)
    """

    def __init__(self, steps: int, gamma: float = 2.0, activation: str = "relu",
                 parameters: str = RECURRENT) -> None:
        self.steps = positive("steps", steps)
        if finite("gamma", gamma) <= 0:
            raise ValueError(f"gamma is {gamma}, expected a number above 0")
        self.gamma = float(gamma)
        self.activation = one_of("activation", activation, ("relu", "tanh"))
        self.parameters = parameters

    def __repr__(self) -> str:
        return (f"IndRNNBound({self.steps}, {self.gamma}, {self.activation!r}, "
                f"{self.parameters!r})")

    @property
    def bound(self) -> float:
        """The largest absolute value that is left."""
        relu = float(self.gamma ** (1 / self.steps))
        return relu if self.activation == "relu" else relu / 0.9**0.1

    def project(self, model: Network) -> None:
        """Bring the vectors back, in place.

        Raises
        ------
        ValueError
            If no name matches, or a matching parameter is not the vector of an IndRNN.
        """
        names = indrnn_vectors(model, (self.parameters,))
        with uninterrupted(), model.writable() as flat:
            for name in names:
                if name not in model.frozen:
                    u = flat[model.tensors.slice(name)]
                    np.clip(u, -self.bound, self.bound, out=u)


def _excess(w: Array, out: Array) -> Array:
    """W'W - I, written to `out`."""
    np.matmul(w.T, w, out=out)
    out.reshape(-1)[:: len(w) + 1] -= 1
    return out
