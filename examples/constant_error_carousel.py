"""The constant error carousel: an LSTM beside GRU, UGRNN and a plain network.

    python examples/constant_error_carousel.py [PICTURE] [--quick]

The cell of the LSTM of 1997 adds to what it has, c_t = c_{t-1} + i g: its error goes back
unchanged. Gates multiply it, those of an LSTM that begins with a forget bias of 1 and of a
UGRNN by 0.73 at first, those of a GRU by one half, and training opens them where it pays: see
the half-lives of the units. The plain network has no such path, and learns nothing.
"""

from __future__ import annotations

from matplotlib.figure import Figure
from page import lag_curve, main, network, page, plot_errors, plot_lags, train

import rnncore as rc
from rnncore.analysis.plots.states import plot_half_lives

CELLS = {"LSTM of 1997": (rc.LSTM, {"forget": "none"}), "LSTM": (rc.LSTM, {}),
         "GRU": (rc.GRU, {}), "UGRNN": (rc.UGRNN, {}), "RNN": (rc.RNN, {})}


def story(quick: bool) -> Figure:
    """Lag curves before training, error rates while training, half-lives of units after it."""
    length, updates = (10, 5) if quick else (50, 2500)
    curves, runs, gates = {}, {}, {}
    for name, (kind, options) in CELLS.items():
        task = rc.tasks.TemporalOrder(length, seed=1)
        model = network(task, kind(task.input_size, 32, **options))
        curves[name] = lag_curve(model, task)
        runs[name], _ = train(name, model, task, updates, rc.Adam(3e-3), clip_norm=1.0)
        gates[name] = rc.analysis.gates(model, task.sample(50)[0])[0]
    figure, (top, middle, bottom) = page(3)
    plot_lags(curves, top, "The gradient of the carried state before training", state="c")
    plot_errors(runs, task, middle)
    kept = {name: found for name, found in gates.items() if found.half_life is not None}
    plot_half_lives(list(kept.values()), bottom)
    for text, (name, found) in zip(bottom.get_legend().get_texts(), kept.items(), strict=True):
        ever = ": for ever" if found.keep == "1" else f", gate {found.keep}"
        text.set_text(name + ever)
    return figure


if __name__ == "__main__":
    main(story, __file__, __doc__)
