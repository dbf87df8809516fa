"""The pictures of the gradient: what is on their axes, not their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from gradient_problems import batch

import rnncore as rc
from rnncore import analysis

pytest.importorskip("matplotlib", reason="matplotlib, of the extra [plot], is not installed")
from matplotlib.figure import Figure  # noqa: E402

from rnncore.analysis.plots import flow as plots  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return rc.Model([rc.RNN(3, 5, num_layers=2), rc.LSTM(5, 4), rc.Linear(4, 2)], seed=0)


@pytest.fixture(scope="module")
def data(model):
    return batch(model, 12, 4)


def drawn(ax):
    """A picture is complete: it can be drawn, and says what is on its axes."""
    ax.figure.draw_without_rendering()
    assert ax.get_title()
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    return ax


def test_flow_is_a_row_of_colours_for_each_layer(model, data):
    flow = analysis.gradient_flow(model, *data)
    ax = drawn(plots.plot_gradient_flow(flow))
    shown = ax.images[0].get_array()
    for row, layer in zip(shown, flow.layers, strict=True):
        np.testing.assert_allclose(row, np.log10(np.linalg.norm(layer.dh, axis=1)))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0.l0", "0.l1", "1.l0"]
    silent = analysis.gradient_flow(model, *data, mask=np.zeros((12, 4)))
    assert plots.plot_gradient_flow(silent).images[0].get_array().mask.all()


def test_depth_is_a_line_over_layers(model, data):
    found = analysis.depth_flow(model, *data)
    (line,) = drawn(plots.plot_depth_flow(found)).get_lines()
    np.testing.assert_allclose(line.get_ydata(), [np.linalg.norm(v) for v in found.values()])


def test_lags_are_lines_with_the_range_of_rows(model, data):
    found = analysis.lagged(model, *data)
    ax = drawn(plots.plot_lagged(found, analysis.conditions(model)))
    assert [line.get_label() for line in ax.get_lines()] == ["0.l0", "0.l1", "1.l0"]
    for line, rows in zip(ax.get_lines(), found.dh, strict=True):
        np.testing.assert_allclose(line.get_ydata(), rows.mean(axis=1))
    assert len(ax.collections) == 3
    assert ax.get_legend() is not None


def test_the_bound_lies_above_the_lags():
    model = rc.Model([rc.RNN(3, 5, activation="sigmoid")], seed=0)
    found = analysis.lagged(model, *batch(model, 12, 4))
    measured, bound = drawn(plots.plot_lagged(found, analysis.conditions(model))).get_lines()
    assert (bound.get_ydata() >= measured.get_ydata()).all()
    eta = analysis.conditions(model)[0].eta
    np.testing.assert_allclose(np.diff(bound.get_ydata()), np.log10(eta))


@pytest.mark.parametrize(("steps", "rows"), [(0, 2), (5, 0)])
def test_nothing_has_no_lags(steps, rows):
    model = rc.Model([rc.RNN(3, 5)], seed=0)
    found = analysis.lagged(model, *batch(model, steps, rows))
    (line,) = drawn(plots.plot_lagged(found, analysis.conditions(model))).get_lines()
    assert not len(line.get_xdata())


def test_contributions_are_colours_of_t_and_k(model, data):
    terms = analysis.temporal_contributions(model, *data, steps=[3, 11])
    ax = drawn(plots.plot_contributions(terms, "1.weight_ih_l0"))
    shown = ax.images[0].get_array()
    np.testing.assert_allclose(shown[1], np.log10(terms.norms["1.weight_ih_l0"][1]))
    assert shown.mask[0, 4:].all()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["3", "11"]
    with pytest.raises(ValueError, match="name is 'w', expected one of 0.weight_ih_l0"):
        plots.plot_contributions(terms, "w")
    with pytest.raises(ValueError, match="name is 'w', expected one of 0.weight_ih_l0"):
        plots.plot_lag_shares(terms, ["w"])
    lines = drawn(plots.plot_lag_shares(terms)).get_lines()
    assert [line.get_label() for line in lines] == ["0.weight_hh_l0", "0.weight_hh_l1",
                                                    "1.weight_hh_l0"]
    assert np.nansum(lines[0].get_ydata()) == pytest.approx(1.0)


def test_factors_are_lines_over_time_and_over_lags(model, data):
    found = analysis.jacobian_norms(model, *data, lengths=[12, 12, 5, 0])
    norms, one = drawn(plots.plot_jacobian_norms(found)).get_lines()[2:]
    np.testing.assert_allclose(norms.get_ydata(), np.nanmean(found[2].norms, axis=1))
    assert list(one.get_ydata()) == [1.0, 1.0]
    lines = drawn(plots.plot_products(found)).get_lines()
    np.testing.assert_allclose(lines[4].get_ydata()[1:],
                               np.nanmean(found[2].products, axis=1)[1:])
    slope = np.nanmean(found[2].lyapunov[0]) / np.log(10)
    np.testing.assert_allclose(np.diff(lines[5].get_ydata()), slope)
    up, _, down = drawn(plots.plot_directions(found[0])).collections
    np.testing.assert_allclose(up.get_paths()[0].vertices[:, 1].max(),
                               np.nanmean(found[0].expanding, axis=1).max())
    with pytest.raises(ValueError, match="0.l0 has no shares of energy"):
        plots.plot_directions(analysis.jacobian_norms(model, data[0])[0])


def test_a_caller_s_axes_are_drawn_on(model, data):
    ax = Figure().add_subplot()
    assert plots.plot_lagged(analysis.lagged(model, *data), ax=ax) is ax
