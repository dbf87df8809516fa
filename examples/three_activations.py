"""Sigmoid, tanh, relu: which of them lets a gradient through.

    python examples/three_activations.py [PICTURE] [--quick]

Three networks of 64 units that differ in their activation alone. A sigmoid passes at most a
quarter of a gradient at each step, so the first symbol never reaches the error, whatever is
learned; the others are told what matters, the tanh sooner than the relu, whose units are off
half the time. Dashed: the bound (gamma sigma)^k, which the weights alone give.
"""

from __future__ import annotations

from matplotlib.figure import Figure
from page import lag_curve, main, network, page, plot_errors, plot_lags, train

import rnncore as rc


def story(quick: bool) -> Figure:
    """Lag curves before training with their bounds, and error rates while training."""
    length, updates = (10, 5) if quick else (20, 3000)
    curves, bounds, runs = {}, {}, {}
    for activation in ("sigmoid", "tanh", "relu"):
        task = rc.tasks.TemporalOrder(length, seed=1)
        model = network(task, rc.RNN(task.input_size, 64, activation=activation))
        (condition,) = rc.analysis.conditions(model)
        print(f"{activation}: {condition}")
        bounds[activation] = condition.log10_bound(length - 1)
        curves[activation] = lag_curve(model, task)
        runs[activation], _ = train(activation, model, task, updates, rc.Adam(1e-3),
                                    clip_norm=1.0)
    figure, (above, below) = page(2)
    plot_lags(curves, above, "The gradient before training (dashed: its bound)")
    for line, bound in zip(above.get_lines(), bounds.values(), strict=False):
        above.plot(bound, color=line.get_color(), linestyle="--", linewidth=1)
    plot_errors(runs, task, below)
    return figure


if __name__ == "__main__":
    main(story, __file__, __doc__)
