"""The constant error carousel: an LSTM beside GRU, UGRNN and a plain network.

    python examples/constant_error_carousel.py [PICTURE] [--quick]

The cell of the LSTM of 1997 adds to what it has, c_t = c_{t-1} + i g: its error goes back
unchanged, and what goes other ways comes on top. Gates multiply it: those of an LSTM that
begins with a forget bias of 1 and of a UGRNN by 0.73 at first, those of a GRU by one half. That
is enough for training to find the first symbol, after which the gradient of all four arrives.
That of the plain network, which has no such path, never does, and it learns nothing.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from page import lag_curve, main, network, page, plot_errors, plot_lags, train

import rnncore as rc

CELLS = {"LSTM of 1997": (rc.LSTM, {"forget": "none"}), "LSTM": (rc.LSTM, {}),
         "GRU": (rc.GRU, {}), "UGRNN": (rc.UGRNN, {}), "RNN": (rc.RNN, {})}


def story(quick: bool) -> Figure:
    """Lag curves before and after training, and error rates between them."""
    length, updates = (10, 5) if quick else (50, 2500)
    before, runs, after = {}, {}, {}
    for name, (kind, options) in CELLS.items():
        task = rc.tasks.TemporalOrder(length, seed=1)
        model = network(task, kind(task.input_size, 32, **options))
        before[name] = lag_curve(model, task)
        runs[name], _ = train(name, model, task, updates, rc.Adam(3e-3), clip_norm=1.0)
        after[name] = lag_curve(model, task)
        (found,) = rc.analysis.gates(model, task.sample(50)[0])
        if found.half_life is not None:
            print(f"    the gate {found.keep} alone keeps the state of a unit for "
                  f"{np.median(found.half_life):.3g} steps")
    figure, (top, middle, bottom) = page(3)
    plot_lags(before, top, "The gradient of the carried state before training", state="c")
    plot_errors(runs, task, middle)
    plot_lags(after, bottom, "The gradient of the carried state after training", state="c")
    return figure


if __name__ == "__main__":
    main(story, __file__, __doc__)
