"""Recurrent layers without gates: RNN, IndRNN, the identity map."""

from __future__ import annotations

from typing import Unpack

from rnncore.layers.checks import finite, one_of, positive
from rnncore.layers.options import Cell, Options
from rnncore.layers.recurrent import Recurrent

ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")


class RNN(Recurrent):
    """The vanilla recurrent network.

    ``h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)`` (Elman, 1990), or with ``form="pascanu"``
    ``x_t = W_hh f(x_{t-1}) + W_ih u_t + b`` (Pascanu, Mikolov & Bengio, 2013, eq. 2), whose
    state and output are x. With ``skip=d``: ``h_t = h_{t-d} + skip_scale f(...)``, the residual
    connection through time.

    Parameters
    ----------
    input_size, hidden_size : int
        The widths of x and of the state.
    num_layers : int, default=1
    bidirectional : bool, default=False
        Outputs of both directions are concatenated, forward first.
    residual : bool, default=False
        Add a layer's input to its output wherever their widths match.
    taps : tuple of int, default=(1,)
        The past steps that the recurrent product sees, in increasing order; the state is read
        elementwise at the smallest. (s,) alone is a dilated layer (Chang et al., 2017).
    dropout : float, default=0.0
        The share of each layer's outputs, but the last's, that are dropped while training.
    bias : bool, default=True
    batch_first : bool, default=False
        Arrays are (B, T, features), as in PyTorch.
    dtype : float32 or float64, default=float32
    seed : int, optional
        Of the parameters and the dropout masks.
    activation : {"tanh", "relu", "sigmoid", "identity"}, default="tanh"
    form : {"elman", "pascanu"}, default="elman"
    skip : int, optional
    skip_scale : float, default=1.0

    Raises
    ------
    TypeError, ValueError
        If an argument, or a combination of them, is not possible.

    Examples
    --------
    >>> import numpy as np
    >>> layer = RNN(3, 5, seed=0)
    >>> y, state = layer.forward(np.ones((7, 2, 3), np.float32))
    >>> y.shape, state.shape
    ((7, 2, 5), (1, 2, 5))
    >>> dx, dstate = layer.backward(np.ones_like(y))
    >>> dx.shape
    (7, 2, 3)
    """

    settings = (*Recurrent.settings, "activation", "form", "skip", "skip_scale")

    def __init__(self, input_size: int, hidden_size: int, *, activation: str = "tanh",
                 form: str = "elman", skip: int | None = None, skip_scale: float = 1.0,
                 **options: Unpack[Options]) -> None:
        self.activation = one_of("activation", activation, ACTIVATIONS)
        self.form = one_of("form", form, ("elman", "pascanu"))
        self.skip, self.skip_scale = skip, finite("skip_scale", skip_scale)
        cell = {"elman": "rnn", "pascanu": "rnn_pascanu"}[form]
        if skip is not None:
            self.skip = positive("skip", skip)
            if form != "elman":
                raise ValueError(f"skip is {skip}, expected None with form={form!r}")
            cell = "rnn_skip"
        elif skip_scale != 1:
            raise ValueError(f"skip_scale is {skip_scale}, expected 1.0 without skip")
        super().__init__(
            Cell(f"{cell}_{activation}", h_rows="a", two_biases=True, lag=self.skip,
                 scale=self.skip_scale), input_size, hidden_size, **options)


class IndRNN(Recurrent):
    """Independently recurrent units: ``h_t = f(W x_t + u * h_{t-1} + b)`` (Li et al., 2018).

    Parameters
    ----------
    input_size, hidden_size, num_layers, bidirectional, residual, taps, dropout, bias,
    batch_first, dtype, seed
        As in `RNN`; one tap only. `weight_hh_l0` is the vector u, (hidden_size,).
    activation : {"tanh", "relu", "sigmoid", "identity"}, default="relu"

    Examples
    --------
    >>> import numpy as np
    >>> IndRNN(3, 5, seed=0).forward(np.ones((7, 2, 3), np.float32))[0].shape
    (7, 2, 5)
    """

    settings = (*Recurrent.settings, "activation")

    def __init__(self, input_size: int, hidden_size: int, *, activation: str = "relu",
                 **options: Unpack[Options]) -> None:
        self.activation = one_of("activation", activation, ACTIVATIONS)
        super().__init__(Cell(f"indrnn_{activation}", units="weight_hh", unit_rows=1),
                         input_size, hidden_size, **options)


class IdentityRNN(Recurrent):
    """The identity map: ``h_t = h_{t-1} + f(W x_t + b)``, whose Jacobian through time is I.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bidirectional, residual, taps, dropout, bias,
    batch_first, dtype, seed
        As in `RNN`; one tap only.
    activation : {"tanh", "relu", "sigmoid", "identity"}, default="tanh"

    Examples
    --------
    >>> import numpy as np
    >>> IdentityRNN(3, 5, seed=0).forward(np.ones((7, 2, 3), np.float32))[0].shape
    (7, 2, 5)
    """

    settings = (*Recurrent.settings, "activation")

    def __init__(self, input_size: int, hidden_size: int, *, activation: str = "tanh",
                 **options: Unpack[Options]) -> None:
        self.activation = one_of("activation", activation, ACTIVATIONS)
        super().__init__(Cell(f"identity_{activation}"), input_size, hidden_size, **options)
