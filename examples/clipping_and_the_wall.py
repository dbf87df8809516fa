"""The wall in the error surface, and what clipping does about it.

    python examples/clipping_and_the_wall.py [PICTURE] [--quick]

Above, the error of one sigmoid unit after fifty steps (Pascanu, Mikolov & Bengio 2013, figure
6). Both paths run along the valley below the wall; where the plain one touches it, a single
step throws it out. Below, the same in a network of 50 tanh units: plain SGD is thrown about by
gradients that are rare and large, and learns nothing, while SGD that clips at 0.3 learns.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from page import main, network, page, plot_errors, train

import rnncore as rc
from rnncore.analysis.plots import style
from rnncore.analysis.plots.theory import plot_error_surface

CLIP = 0.3


def story(quick: bool) -> Figure:
    """The surface with two paths; gradient norms and error rates of two trainings."""
    surface = rc.analysis.error_surface()
    paths = {"plain": surface.descend((4.8, -2.4), lr=0.05, updates=80),
             f"clipped at {CLIP}": surface.descend((4.8, -2.4), 0.05, 80, CLIP)}
    wall = surface.wall(w=4.8)
    print(f"on the wall at w = 4.8: {wall.growth.constant:.2g} x {wall.growth.rate:.3f}^t, "
          f"curvature {wall.curvature_growth.rate:.3f}^t")
    length, updates = (10, 5) if quick else (30, 3000)
    runs, norms = {}, {}
    for name, clip in (("plain", None), (f"clipped at {CLIP}", CLIP)):
        task = rc.tasks.TemporalOrder(length, seed=1)
        model = network(task, rc.RNN(task.input_size, 50))
        rc.init.orthogonal(model, "0.weight_hh*", seed=0)
        runs[name], history = train(name, model, task, updates, rc.SGD(0.05), clip_norm=clip)
        norms[name] = np.array(history.grad_norm)
    figure, (top, middle, bottom) = page(3)
    plot_error_surface(surface, paths, top)
    style.axes(middle, title="Norms of the gradient before clipping", xlabel="updates",
               ylabel="norm of the gradient")
    for name, values in norms.items():
        middle.semilogy(np.maximum(values, 1e-4), ".", markersize=3, label=name)
    middle.axhline(CLIP, color=style.BLACK, linestyle="--", label=f"threshold {CLIP}")
    style.legend(middle, markerscale=3)
    plot_errors(runs, task, bottom)
    return figure


if __name__ == "__main__":
    main(story, __file__, __doc__)
