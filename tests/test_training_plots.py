"""Pictures of a training: what is drawn, not how it looks."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from rnncore import History
from rnncore.analysis.monitor import Observations
from rnncore.analysis.plots import style
from rnncore.analysis.plots.training import (
    plot_gradient_heat_map,
    plot_gradient_norms,
    plot_learning_curves,
)


@pytest.fixture
def history():
    made = History()
    made.update_loss = [4.0, 3.0, np.nan, 2.0, 1.0, 1.0]
    made.loss, made.valid_loss = [3.0, 1.0], [2.5, 1.5]
    made.grad_norm = [0.1, 1.0, np.inf, 10.0, 0.0, 1.0]
    return made


def observed(flow, updates):
    flow = np.asarray(flow, np.float64)
    n, layers = flow.shape[:2]
    empty = np.zeros((n, layers))
    return Observations(np.array(updates), ("0.l0", "1"), ("0.l0", "0.l1")[:layers],
                        empty, empty, empty, empty, empty, empty, flow)


def test_learning_curves_go_by_epochs(history):
    ax = plot_learning_curves(history, scale=2.0, unit="bits")
    each, epochs, valid = ax.lines
    np.testing.assert_allclose(each.get_xdata(), np.arange(1, 7) / 3)
    np.testing.assert_array_equal(each.get_ydata(), [8, 6, np.nan, 4, 2, 2])
    np.testing.assert_array_equal(epochs.get_xydata(), [[1, 6], [2, 2]])
    np.testing.assert_array_equal(valid.get_xydata(), [[1, 5], [2, 3]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss (bits)")
    assert len({line.get_color() for line in ax.lines}) == 3


def test_before_the_first_epoch_ends_curves_go_by_updates(history):
    history.loss, history.valid_loss = [], []
    ax = plot_learning_curves(history)
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    assert ax.get_xlabel() == "update"


def test_the_histogram_counts_every_finite_norm_once(history):
    ax = plot_gradient_norms(history, clip_norm=5.0)
    assert sum(bar.get_height() for bar in ax.patches) == 4
    median, threshold = ax.lines[:2]
    assert median.get_xdata()[0] == 1.0
    assert threshold.get_xdata()[0] == 5.0
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["median 1", "threshold 5: 33 % above it", "1 are 0", "1 not finite"]
    assert ax.get_xscale() == "log"


@pytest.mark.parametrize("norms", [[], [0.0, 0.0], [np.nan], [2.0]])
def test_a_histogram_of_nothing_is_drawn(norms):
    history = History()
    history.grad_norm = norms
    plot_gradient_norms(history, 1.0).figure.draw_without_rendering()


def test_the_heat_map_has_a_cell_for_each_layer_lag_and_record():
    flow = 10.0 ** -np.arange(2 * 2 * 3).reshape(2, 2, 3)
    ax = plot_gradient_heat_map(observed(flow, [1, 10]))
    below, above = ax.collections
    np.testing.assert_allclose(below.get_array(), np.log10(flow[:, 0].T))
    np.testing.assert_allclose(above.get_array(), np.log10(flow[:, 1].T))
    assert below.get_clim() == above.get_clim()
    corners = below.get_coordinates()
    assert corners[0, :, 0].tolist() == [-3.5, 5.5, 14.5]  # updates
    assert ax.get_xlim() == (0, 14.5)  # there is no update before the first
    assert corners[:, 0, 1].tolist() == [-0.5, 0.5, 1.5, 2.5]  # steps back
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == ["0.l0   0", "2", "0.l1   0", "2"]


def test_what_is_0_or_not_finite_has_no_colour():
    ax = plot_gradient_heat_map(observed([[[1.0, 0.0, np.nan, 1e-30]]], [1]))
    cells = np.ma.masked_invalid(ax.collections[0].get_array())
    assert cells.mask.ravel().tolist() == [False, True, True, False]
    assert ax.collections[0].get_clim() == (pytest.approx(-12), 0.0)


@pytest.mark.parametrize("flow", [np.zeros((2, 1, 3)), np.full((2, 1, 3), np.inf),
                                  np.ones((2, 1, 1))])
def test_odd_flows_are_drawn(flow):
    plot_gradient_heat_map(observed(flow, [1, 5])).figure.draw_without_rendering()


def test_a_heat_map_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"flows of shape \(0, 1, 3\), expected"):
        plot_gradient_heat_map(observed(np.zeros((0, 1, 3)), []))


@pytest.mark.parametrize("draw", [
    lambda history, ax: plot_learning_curves(history, ax),
    lambda history, ax: plot_gradient_norms(history, 1.0, ax),
    lambda history, ax: plot_gradient_heat_map(observed(np.ones((2, 1, 3)), [1, 5]), ax),
])
def test_axes_that_are_given_are_drawn_on(draw, history):
    ax = Figure().add_subplot()
    assert draw(history, ax) is ax
    assert ax.has_data()


def test_nothing_is_clipped_at_800_pixels(history):
    flow = 10.0 ** -np.arange(2 * 2 * 30).reshape(2, 2, 30)
    for ax in (plot_learning_curves(history), plot_gradient_norms(history, 1.0),
               plot_gradient_heat_map(observed(flow, [1, 10]))):
        figure = ax.figure
        figure.draw_without_rendering()
        assert figure.bbox.width == 800
        for axes in figure.axes:
            box = axes.get_tightbbox()
            assert box.x0 >= 0 and box.y0 >= 0
            assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
            texts = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.get_yticklabels()]
            assert min(text.get_fontsize() for text in texts) >= style.SMALL
