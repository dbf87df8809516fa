"""The optimizers' updates; g is the gradient, with decay also of w: see each class.

    SGD      v <- momentum v + g,  w <- w - lr v      (Polyak 1964; Nesterov 1983 in the form of
             Sutskever et al. 2013: w <- w - lr (g + momentum v))
    RMSprop  v <- alpha v + (1 - alpha) g^2,  b <- momentum b + g / (sqrt(v) + eps),
             w <- w - lr b                                        (Tieleman & Hinton 2012)
    Adam     m <- m + (1 - b1)(g - m),  v <- b2 v + (1 - b2) g^2,
             w <- w - lr / (1 - b1^t)  m / (sqrt(v / (1 - b2^t)) + eps)   (Kingma & Ba 2015)
    AdamW    w <- (1 - lr decay) w, then as Adam                (Loshchilov & Hutter 2019)

All as torch.optim has them, but for what decays: here only matrices do.
"""

from __future__ import annotations

from rnncore.engine import update
from rnncore.optim.optimizer import Optimizer, Options, Step, number
from rnncore.parameters import Array


class SGD(Optimizer):
    """Gradient descent with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013).

    Parameters
    ----------
    lr : float
        The learning rate, at least 0.
    momentum : float, default=0.0
        The share of the last update that is kept, in [0, 1).
    nesterov : bool, default=False
        Whether to look ahead by the momentum; it needs one above 0.
    weight_decay : float, default=0.0
        Times a matrix, added to its gradient; vectors do not decay: see `Optimizer`.
    options : mapping of str to mapping, optional
        "lr" and "weight_decay" of some parameters, by patterns of names: see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these.

    Examples
    --------
    >>> import numpy as np, rnncore as rc
    >>> model = rc.Model([rc.Linear(1, 1, bias=False)], loss="mse")
    >>> model.set_parameter("0.weight", np.array([[1]], np.float32))
    >>> x = np.ones((1, 1), np.float32)
    >>> loss, state = model.loss_and_grad(x, 0 * x)
    >>> SGD(lr=0.25).step(model)
    >>> loss, model.parameters
    (1.0, array([0.5], dtype=float32))
    """

    _settings = ("lr", "momentum", "nesterov", "weight_decay")

    def __init__(self, lr: float, momentum: float = 0.0, nesterov: bool = False,
                 weight_decay: float = 0.0, options: Options | None = None) -> None:
        super().__init__(lr, weight_decay, options)
        self.momentum = number("momentum", momentum, 0, 1)
        if nesterov not in (False, True):
            raise ValueError(f"nesterov is {nesterov!r}, expected True or False")
        if nesterov and not momentum:
            raise ValueError("nesterov is True and momentum 0, expected a momentum above 0")
        self.nesterov = bool(nesterov)
        self._moments = ("momentum",) if momentum else ()

    def _update(self, w: Array, g: Array, moments: list[Array], step: Step) -> None:
        update.sgd(w, g, moments, step.lr, self.momentum, self.nesterov, step.weight_decay)


class RMSprop(Optimizer):
    """Gradients divided by the root of their mean square (Tieleman & Hinton 2012).

    Parameters
    ----------
    lr : float, default=0.01
        The learning rate, at least 0.
    alpha : float, default=0.99
        The decay of the mean of squares, in [0, 1).
    eps : float, default=1e-8
        What is added to its root, at least 0.
    momentum : float, default=0.0
        The share of the last update that is kept, in [0, 1).
    weight_decay : float, default=0.0
        Times a matrix, added to its gradient; vectors do not decay: see `Optimizer`.
    options : mapping of str to mapping, optional
        "lr" and "weight_decay" of some parameters, by patterns of names: see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these.

    Examples
    --------
    >>> import numpy as np, rnncore as rc
    >>> model = rc.Model([rc.Linear(1, 1, bias=False)], loss="mse")
    >>> model.set_parameter("0.weight", np.array([[1]], np.float32))
    >>> x = np.ones((1, 1), np.float32)
    >>> loss, state = model.loss_and_grad(x, 0 * x)
    >>> RMSprop(lr=0.25, alpha=0.75).step(model)  # v = g^2 / 4
    >>> loss, model.parameters
    (1.0, array([0.5], dtype=float32))
    """

    _settings = ("lr", "alpha", "eps", "momentum", "weight_decay")

    def __init__(self, lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-8,
                 momentum: float = 0.0, weight_decay: float = 0.0,
                 options: Options | None = None) -> None:
        super().__init__(lr, weight_decay, options)
        self.alpha, self.eps = number("alpha", alpha, 0, 1), number("eps", eps)
        self.momentum = number("momentum", momentum, 0, 1)
        self._moments = ("v", "momentum") if momentum else ("v",)

    def _update(self, w: Array, g: Array, moments: list[Array], step: Step) -> None:
        update.rmsprop(w, g, moments, step.lr, self.alpha, self.eps, self.momentum,
                       step.weight_decay)


class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2015), without weight decay: see `AdamW`.

    Parameters
    ----------
    lr : float, default=1e-3
        The learning rate, at least 0.
    betas : pair of float, default=(0.9, 0.999)
        The decays of the two moments, in [0, 1).
    eps : float, default=1e-8
        What is added to the root of the second moment, at least 0.
    options : mapping of str to mapping, optional
        "lr" of some parameters, by patterns of names: see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these.

    Examples
    --------
    >>> import numpy as np, rnncore as rc
    >>> model = rc.Model([rc.Linear(1, 1, bias=False)], loss="mse")
    >>> model.set_parameter("0.weight", np.array([[1]], np.float32))
    >>> x = np.ones((1, 1), np.float32)
    >>> loss, state = model.loss_and_grad(x, 0 * x)
    >>> Adam(lr=0.25).step(model)  # a first step goes by lr, whatever the gradient
    >>> loss, model.parameters
    (1.0, array([0.75], dtype=float32))
    """

    _moments = ("m", "v")
    _settings: tuple[str, ...] = ("lr", "betas", "eps")
    _optional: tuple[str, ...] = ("lr",)

    def __init__(self, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, options: Options | None = None) -> None:
        super().__init__(lr, options=options)
        b1, b2 = betas
        self.betas = number("betas[0]", b1, 0, 1), number("betas[1]", b2, 0, 1)
        self.eps = number("eps", eps)

    def _update(self, w: Array, g: Array, moments: list[Array], step: Step) -> None:
        update.adam(w, g, moments, step.lr, *self.betas, self.eps, step.number,
                    step.lr * step.weight_decay)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    Parameters
    ----------
    lr : float, default=1e-3
        The learning rate, at least 0.
    betas : pair of float, default=(0.9, 0.999)
        The decays of the two moments, in [0, 1).
    eps : float, default=1e-8
        What is added to the root of the second moment, at least 0.
    weight_decay : float, default=0.01
        Times the learning rate, the share of a matrix that each step takes off it; vectors do
        not decay: see `Optimizer`.
    options : mapping of str to mapping, optional
        "lr" and "weight_decay" of some parameters, by patterns of names: see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these.

    Examples
    --------
    >>> import numpy as np, rnncore as rc
    >>> model = rc.Model([rc.Linear(1, 1)], loss="mse")
    >>> model.set_parameter("0.weight", np.array([[1]], np.float32))
    >>> model.set_parameter("0.bias", np.array([1], np.float32))
    >>> AdamW(lr=0.5, weight_decay=0.5).step(model)  # without a gradient
    >>> model.parameters
    array([0.75, 1.  ], dtype=float32)
    """

    _settings = ("lr", "betas", "eps", "weight_decay")
    _optional = ("lr", "weight_decay")

    def __init__(self, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0.01,
                 options: Options | None = None) -> None:
        super().__init__(lr, betas, eps, options)
        self.weight_decay = number("weight_decay", weight_decay)
