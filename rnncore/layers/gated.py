"""Gated recurrent layers: MinGRU, UGRNN, GRU, LSTM and its relatives, +RNN."""

from __future__ import annotations

from typing import Unpack

from rnncore.layers.checks import finite, increasing_taps, one_of
from rnncore.layers.options import Cell, Options
from rnncore.layers.recurrent import Recurrent


class MinGRU(Recurrent):
    """The minimal GRU: gates from x alone, ``h_t = (1 - z_t) h_{t-1} + z_t k_t`` with
    ``z_t = sigmoid(W_z x_t + b_z)``, ``k_t = f(W_k x_t + b_k)`` (Feng et al., 2024).

    Parameters
    ----------
    input_size, hidden_size, num_layers, bidirectional, residual, taps, dropout, bias,
    batch_first, dtype, seed
        As in `RNN`; one tap only. Rows of the weights: z, k.
    candidate : {"identity", "tanh"}, default="identity"
        The function f.

    Examples
    --------
    >>> import numpy as np
    >>> MinGRU(3, 5, seed=0).forward(np.ones((7, 2, 3), np.float32))[0].shape
    (7, 2, 5)
    """

    settings = (*Recurrent.settings, "candidate")

    def __init__(self, input_size: int, hidden_size: int, *, candidate: str = "identity",
                 **options: Unpack[Options]) -> None:
        self.candidate = one_of("candidate", candidate, ("identity", "tanh"))
        super().__init__(Cell(f"mingru_{candidate}", "zk"), input_size, hidden_size, **options)


class UGRNN(Recurrent):
    """The update gate RNN (Collins, Sohl-Dickstein & Sussillo, 2017).

    ``c = f(W_c x_t + U_c h_{t-1} + b_c)``, ``g = sigmoid(W_g x_t + U_g h_{t-1} + b_g)``,
    ``h_t = g h_{t-1} + (1 - g) c``.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bidirectional, residual, taps, dropout, bias,
    batch_first, dtype, seed
        As in `RNN`. Rows of the weights: c, g.
    activation : {"tanh", "relu"}, default="tanh"
    forget_bias : float, default=1.0
        Where b_g begins.

    Examples
    --------
    >>> import numpy as np
    >>> UGRNN(3, 5, seed=0).forward(np.ones((7, 2, 3), np.float32))[0].shape
    (7, 2, 5)
    """

    settings = (*Recurrent.settings, "activation", "forget_bias")

    def __init__(self, input_size: int, hidden_size: int, *, activation: str = "tanh",
                 forget_bias: float = 1.0, **options: Unpack[Options]) -> None:
        self.activation = one_of("activation", activation, ("tanh", "relu"))
        self.forget_bias = finite("forget_bias", forget_bias)
        super().__init__(Cell(f"ugrnn_{activation}", "kg", "kg", keep="g",
                              forget_bias=self.forget_bias), input_size, hidden_size, **options)


class GRU(Recurrent):
    """The gated recurrent unit (Cho et al., 2014).

    ``r, z = sigmoid(W x_t + b_ih + U h_{t-1} + b_hh)``, ``h_t = (1 - z) n + z h_{t-1}`` with
    ``n = tanh(W_n x_t + b_in + r (U_n h_{t-1} + b_hn))`` as in PyTorch (``reset="after"``), or
    ``n = tanh(W_n x_t + b_in + U_n (r h_{t-1}) + b_hn)`` (``reset="before"``, one tap only).

    Parameters
    ----------
    input_size, hidden_size, num_layers, bidirectional, residual, taps, dropout, bias,
    batch_first, dtype, seed
        As in `RNN`. Rows of the weights: r, z, n.
    reset : {"after", "before"}, default="after"

    Examples
    --------
    >>> import numpy as np
    >>> GRU(3, 5, seed=0).forward(np.ones((7, 2, 3), np.float32))[0].shape
    (7, 2, 5)
    """

    settings = (*Recurrent.settings, "reset")

    def __init__(self, input_size: int, hidden_size: int, *, reset: str = "after",
                 **options: Unpack[Options]) -> None:
        self.reset = one_of("reset", reset, ("after", "before"))
        if reset == "before" and len(increasing_taps(options.get("taps", (1,)))) > 1:
            raise ValueError(f"taps is {options['taps']}, expected one with reset='before'")
        # The candidate has one block for both products, or one for each: m from x, q from h.
        x_rows, h_rows = ("rzm", "rzq") if reset == "after" else ("rzn", "rzn")
        super().__init__(Cell(f"gru_{reset}", x_rows, h_rows, two_biases=True), input_size,
                         hidden_size, **options)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997).

    ``i, f, o = sigmoid(W x_t + b_ih + U h_{t-1} + b_hh)``, ``g = tanh(...)``,
    ``c_t = f c_{t-1} + i g``, ``h_t = o tanh(c_t)``; the state is the pair (h, c).

    Parameters
    ----------
    input_size, hidden_size, num_layers, bidirectional, residual, taps, dropout, bias,
    batch_first, dtype, seed
        As in `RNN`. Rows of the weights: i, f, g, o (without forget gate i, g, o).
    forget : {"gate", "none", "coupled"}, default="gate"
        A forget gate (Gers, Schmidhuber & Cummins, 2000), none (f = 1, the network of 1997),
        or one coupled to the input gate (f = 1 - i; Greff et al., 2015).
    peephole : {None, "diagonal", "cell"}, default=None
        "diagonal": i and f also see p c_{t-1} and o sees p c_t (Gers & Schmidhuber, 2000);
        `weight_ph_l0` has rows i, f, o. "cell": i, f and o see c_{t-1} instead of h_{t-1},
        through the full matrix `weight_hh_l0` with rows i, f, o, and g sees x alone.
    forget_bias : float, default=1.0
        Where the forget gate's bias begins (Jozefowicz, Zaremba & Sutskever, 2015).

    Examples
    --------
    >>> import numpy as np
    >>> layer = LSTM(3, 5, num_layers=2, seed=0)
    >>> y, (h, c) = layer.forward(np.ones((7, 2, 3), np.float32))
    >>> y.shape, h.shape, c.shape
    ((7, 2, 5), (2, 2, 5), (2, 2, 5))
    """

    settings = (*Recurrent.settings, "forget", "peephole", "forget_bias")

    def __init__(self, input_size: int, hidden_size: int, *, forget: str = "gate",
                 peephole: str | None = None, forget_bias: float = 1.0,
                 **options: Unpack[Options]) -> None:
        self.forget = one_of("forget", forget, ("gate", "none", "coupled"))
        self.peephole = one_of("peephole", peephole, (None, "diagonal", "cell"))
        self.forget_bias = finite("forget_bias", forget_bias)
        name = "_".join(["lstm", *([forget] if forget != "gate" else []),
                         *([peephole] if peephole else [])])
        gates = "ifgo" if forget == "gate" else "igo"
        super().__init__(
            Cell(name, gates, gates.replace("g", "") if peephole == "cell" else gates, "hc",
                 two_biases=True, units="weight_ph" if peephole == "diagonal" else "",
                 unit_rows=len(gates) - 1, keep="f" if forget == "gate" else "",
                 forget_bias=self.forget_bias),
            input_size, hidden_size, **options)


class IntersectionRNN(Recurrent):
    """+RNN, the intersection RNN (Collins, Sohl-Dickstein & Sussillo, 2017).

    Gated through time and through depth: ``h_t = g_h h_{t-1} + (1 - g_h) tanh(h_in)`` is
    carried on, ``y_t = g_y x_t + (1 - g_y) relu(y_in)`` goes up.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bidirectional, residual, taps, dropout, bias,
    batch_first, dtype, seed
        As in `RNN`; input_size and hidden_size must be equal, and so both directions cannot
        be stacked. Rows of the weights: y_in, h_in, g_y, g_h.
    forget_bias : float, default=1.0
        Where the biases of g_y and g_h begin.

    Examples
    --------
    >>> import numpy as np
    >>> IntersectionRNN(5, 5, seed=0).forward(np.ones((7, 2, 5), np.float32))[0].shape
    (7, 2, 5)
    """

    settings = (*Recurrent.settings, "forget_bias")

    def __init__(self, input_size: int, hidden_size: int, *, forget_bias: float = 1.0,
                 **options: Unpack[Options]) -> None:
        if input_size != hidden_size:
            raise ValueError(f"input_size is {input_size}, expected hidden_size = "
                             f"{hidden_size}: x reaches the output directly (put a Linear "
                             "before)")
        if options.get("bidirectional") and options.get("num_layers", 1) > 1:
            raise ValueError("bidirectional is True, expected False with num_layers > 1: a "
                             "second layer's input would be twice as wide as its state")
        self.forget_bias = finite("forget_bias", forget_bias)
        super().__init__(Cell("plusrnn", "vkdg", "vkdg", keep="dg",
                              forget_bias=self.forget_bias), input_size, hidden_size, **options)
