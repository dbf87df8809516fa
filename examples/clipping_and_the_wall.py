"""The wall in the error surface, and what clipping does about it.

    python examples/clipping_and_the_wall.py [PICTURE] [--quick]

Above, the error of one sigmoid unit after fifty steps (Pascanu, Mikolov & Bengio 2013, figure
6). Both paths run along the valley below the wall; where the plain one touches it, a single
step throws it out. In the middle and below, networks of 50 tanh units that learn temporal order
by SGD. At small rates all of them learn. At larger ones a plain step across a wall loses what
was learned, and the network stays lost; with a step of bounded length it goes on learning.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from page import main, network, page, train

import rnncore as rc
from rnncore.analysis.plots import plot_error_surface, style

CLIP, SHOWN = 0.3, 0.05  # the threshold, and the rate whose norms are drawn
RATES = (0.005, 0.01, 0.02, SHOWN, 0.1, 0.2, 0.5)


def trained(length: int, updates: int, rate: float,
            clip: float | None) -> tuple[float, np.ndarray]:
    """The error rate at the end, a mean of five, and the norms of the gradient."""
    task = rc.tasks.TemporalOrder(length, seed=1)
    model = network(task, rc.RNN(task.input_size, 50))
    rc.init.orthogonal(model, "0.weight_hh*", seed=0)
    (_, errors), history = train(f"rate {rate}, clip {clip}", model, task, updates,
                                 rc.SGD(rate), clip_norm=clip)
    return float(np.mean(errors[-5:])), np.array(history.grad_norm)


def story(quick: bool) -> Figure:
    """The surface with two paths; gradient norms, and error rates by rate, of trainings."""
    surface = rc.analysis.error_surface()
    paths = {"plain": surface.descend((4.8, -2.4), lr=0.05, updates=80),
             f"clipped at {CLIP}": surface.descend((4.8, -2.4), 0.05, 80, CLIP)}
    wall = surface.wall(w=4.8)
    print(f"on the wall at w = 4.8: {wall.growth.constant:.2g} x {wall.growth.rate:.3f}^t, "
          f"curvature {wall.curvature_growth.rate:.3f}^t")
    length, updates, rates = (10, 5, (SHOWN,)) if quick else (30, 2000, RATES)
    found = {name: [trained(length, updates, rate, clip) for rate in rates]
             for name, clip in (("plain", None), (f"clipped at {CLIP}", CLIP))}
    figure, (top, middle, bottom) = page(3)
    plot_error_surface(surface, paths, top)
    style.axes(middle, title=f"Norms of the gradient before clipping, at a rate of {SHOWN}",
               xlabel="updates", ylabel="norm of the gradient")
    style.axes(bottom, title=f"Temporal order over {length} steps, after {updates} updates",
               xlabel="learning rate", ylabel="wrong sequences (%)")
    for name, runs in found.items():
        norms = runs[rates.index(SHOWN)][1]
        middle.semilogy(np.maximum(norms, 1e-4), ".", markersize=3, label=name)
        bottom.semilogx(rates, [100 * error for error, _ in runs], marker="o", label=name)
    middle.axhline(CLIP, color=style.BLACK, linestyle="--", label=f"threshold {CLIP}")
    bottom.axhline(75, color=style.GREY, linestyle=":", label="a guess")
    bottom.set_ylim(-3, 100)
    style.legend(middle, markerscale=3)
    style.legend(bottom)
    return figure


if __name__ == "__main__":
    main(story, __file__, __doc__)
