"""Where to begin: recurrent weights that are small, the identity, or orthogonal.

    python examples/identity_and_orthogonal.py [PICTURE] [--quick]

Two networks, of tanh and of relu, over sixty steps. With small random weights the gradient is
gone long before the first symbol; with W = I (relu: Le, Jaitly & Hinton 2015) and with an
orthogonal W (tanh: Saxe, McClelland & Ganguli 2014) all eigenvalues begin on the unit circle
and it arrives. Nothing else differs.
"""

from __future__ import annotations

from dataclasses import replace

from matplotlib.figure import Figure
from page import lag_curve, main, network, page, plot_errors, plot_lags, train

import rnncore as rc
from rnncore.analysis.plots import plot_spectrum, style


def begun(task: rc.tasks.TemporalOrder, activation: str, begin: str) -> rc.Model:
    """A model at the beginning that is named."""
    model = network(task, rc.RNN(task.input_size, 64, activation=activation))
    if begin == "identity":
        rc.init.irnn(model, std=0.1, seed=0)
    elif begin == "orthogonal":
        rc.init.orthogonal(model, "0.weight_hh*", seed=0)
    return model


def story(quick: bool) -> Figure:
    """Spectra, lag curves before training, and error rates while training."""
    length, updates = (10, 5) if quick else (60, 3000)
    curves, runs, spectra = {}, {}, {}
    for activation, begin in (("relu", "small"), ("tanh", "small"), ("tanh", "orthogonal"),
                              ("relu", "identity")):
        name, task = f"{activation}, {begin}", rc.tasks.TemporalOrder(length, seed=1)
        model = begun(task, activation, begin)
        spectra[begin] = rc.analysis.spectrum(model)[0]
        curves[name] = lag_curve(model, task)
        runs[name], _ = train(name, model, task, updates, rc.Adam(1e-3), clip_norm=1.0)
    figure, (top, middle, bottom) = page(3)
    plot_spectrum([replace(found, name=begin) for begin, found in spectra.items()], top)
    style.legend(top, loc="upper right")
    plot_lags(curves, middle, "The gradient before training")
    plot_errors(runs, task, bottom)
    return figure


if __name__ == "__main__":
    main(story, __file__, __doc__)
