"""Omega: a regularizer that asks the gradient to keep its norm on its way back.

    python examples/omega.py [PICTURE] [--quick]

The setting of Pascanu, Mikolov & Bengio (2013, section 4.1.1): 50 tanh units, weights from
N(0, 0.1^2), SGD at 0.01, clipped at 1, with and without Omega of weight 4. At first the
gradient vanishes in both. Omega pushes the recurrent weights until it does not, and the network
learns; clipping alone makes steps shorter, and leaves their direction to the last symbols.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from page import lag_curve, main, network, page, plot_errors, plot_lags, train

import rnncore as rc


def begun(task: rc.tasks.TemporalOrder) -> rc.Model:
    """The "basic tanh" initialization of the paper."""
    model, rng = network(task, rc.RNN(task.input_size, 50)), np.random.default_rng(0)
    rc.init.normal(model, "*weight*", std=0.1, seed=rng)
    rc.init.uniform(model, "*bias*", low=0.0, high=0.0)
    return model


def story(quick: bool) -> Figure:
    """Lag curves before and after training, and error rates while training."""
    length, updates = (10, 5) if quick else (30, 8000)
    curves, runs = {}, {}
    for name, omega in (("clipping", None), ("clipping and Omega",
                                             rc.Omega(4.0, form="squared"))):
        task = rc.tasks.TemporalOrder(length, seed=1)
        model = begun(task)
        before = lag_curve(model, task)
        runs[name], _ = train(name, model, task, updates, rc.SGD(0.01), clip_norm=1.0,
                              omega=omega)
        curves[f"after, {name}"] = lag_curve(model, task)
        radius = rc.analysis.spectrum(model)[0].radius
        print(f"{name}: the spectral radius is {radius:.2f}")
    curves["before training"] = before  # last, so that runs have one colour in both panels
    figure, (above, below) = page(2)
    plot_lags(curves, above, "The gradient before and after training")
    plot_errors(runs, task, below)
    return figure


if __name__ == "__main__":
    main(story, __file__, __doc__)
