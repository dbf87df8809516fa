"""Pictures of the theory, of weights and of states: the data on the axes, not the pixels."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal

import rnncore as rc
from rnncore.analysis import (
    activation_table,
    conditions,
    error_surface,
    forward_memory,
    gates,
    plots,
    scalar_map,
    spectrum,
)
from rnncore.analysis.plots import states, theory, weights


def line(ax, label):
    """The data of the line whose label begins so."""
    (found,) = [one for one in ax.get_lines() if one.get_label().startswith(label)]
    return found.get_xdata(), found.get_ydata()


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def model():
    return rc.Model([rc.LSTM(2, 5, num_layers=2)], seed=0)


X = np.random.default_rng(0).standard_normal((20, 4, 2)).astype(np.float32)

PLOTS = {
    "activations": lambda ax: theory.plot_activations(ax),
    "table": lambda ax: theory.plot_activation_table(ax=ax),
    "map": lambda ax: theory.plot_scalar_map(scalar_map("tanh", 1.5), ax),
    "gradients": lambda ax: theory.plot_scalar_gradients([scalar_map("tanh", 1.5)], ax),
    "surface": lambda ax: theory.plot_error_surface(error_surface(), ax=ax),
    "wall": lambda ax: theory.plot_wall(error_surface().wall(5.0), ax),
    "spectrum": lambda ax: weights.plot_spectrum(spectrum(model()), ax),
    "singular": lambda ax: weights.plot_singular_values(spectrum(model()), ax=ax),
    "bound": lambda ax: weights.plot_bound(conditions(np.eye(2))[0], np.zeros(9), ax),
    "perturbation": lambda ax: states.plot_perturbation(
        {"h": forward_memory(model(), X, lags=5)[0]}, ax),
    "recall": lambda ax: states.plot_recall({"h": forward_memory(model(), X, lags=5)[0]}, ax),
    "gates": lambda ax: states.plot_gates(gates(model(), X)[0], ax),
    "half-lives": lambda ax: states.plot_half_lives(gates(model(), X), ax),
}


@pytest.mark.parametrize("name", PLOTS)
def test_own_axes_are_drawn_on_labelled_and_returned(name):
    own = Figure().add_subplot()
    for given in (own, None):
        ax = PLOTS[name](given)
        assert given is None or ax is own
        assert ax.get_title()
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        ax.figure.draw_without_rendering()


def test_activations_are_drawn_as_they_are():
    ax = theory.plot_activations()
    a, f = line(ax, "sigmoid")
    assert_allclose(f, 1 / (1 + np.exp(-a)))
    assert labels(ax)[0] == "sigmoid, f' at most 0.25"
    assert_allclose(ax.get_lines()[1].get_ydata().max(), 0.25)
    n, power = line(theory.plot_activation_table(activation_table((2, 5))), "sigmoid")
    assert_array_equal(power, [0.0625, 0.25**5])
    assert_array_equal(n, [2, 5])


def test_a_cobweb_goes_to_the_map_and_across():
    unit = scalar_map("tanh", 1.5, h0=0.1)
    ax = theory.plot_scalar_map(unit)
    x, y = line(ax, "path from h(0) = 0.1")
    assert_allclose(y[1::2], np.tanh(1.5 * x[1::2]))
    assert_allclose(y[2::2], x[2::2])
    assert_allclose(x[:5], [0.1, 0.1, unit.h[1], unit.h[1], unit.h[2]])
    marks = [one for one in ax.get_lines() if one.get_marker() in ("o", "X")]
    assert [one.get_xdata()[0] for one in marks] == [p.h for p in unit.fixed_points]
    assert [one.get_marker() for one in marks] == ["o", "X", "o"]
    _, logs = line(theory.plot_scalar_gradients([unit]), "tanh, w = 1.5")
    assert_allclose(logs, unit.log10_gradient)


def test_a_surface_has_its_error_and_its_paths():
    surface = error_surface()
    path = surface.descend((4.8, -2.4), lr=0.05, updates=5)
    ax = theory.plot_error_surface(surface, {"plain": path})
    (mesh,) = ax.collections
    assert_allclose(mesh.get_array().reshape(201, 201), np.maximum(surface.error, 1e-6))
    assert mesh.norm.vmin < 1e-3 < mesh.norm.vmax  # a log scale
    assert_array_equal(np.transpose(line(ax, "plain")), path.points)
    wall = surface.wall(5.0)
    drawn = theory.plot_wall(wall)
    assert_allclose(line(drawn, "slope")[1], np.abs(wall.slopes))
    t, fit = line(drawn, f"{wall.growth.constant:.2g} x")
    assert_allclose(fit, wall.growth.constant * wall.growth.rate**t)
    with pytest.raises(ValueError, match="surface has no finite error"):
        theory.plot_error_surface(error_surface([4.0, 5.0], [1.0, 2.0], "identity", 2000))


def test_eigenvalues_stand_in_the_plane_with_the_unit_circle():
    found = spectrum(model())
    ax = weights.plot_spectrum(found)
    x, y = line(ax, "unit circle")
    assert_allclose(x**2 + y**2, 1)
    for entry in found:
        x, y = line(ax, f"{entry.label}:")
        assert_array_equal(x + 1j * y, entry.eigenvalues)
    assert len(labels(ax)) == 9
    ax = weights.plot_singular_values(found, gamma=0.25)
    assert_array_equal(line(ax, f"{found[0].label}:")[1],
                       found[0].singular_values)
    assert_array_equal(line(ax, "1/gamma = 4")[1], [4, 4])
    with pytest.raises(ValueError, match="gamma is 0, expected a number above 0"):
        weights.plot_singular_values(found, gamma=0)


def test_the_bound_lies_beside_what_was_measured():
    (condition,) = conditions(0.5 * np.eye(3))
    ax = weights.plot_bound(condition, [-3.0, -4.0, -6.0])
    assert_allclose(line(ax, "bound")[1], np.arange(3) * np.log10(0.5))
    assert_array_equal(line(ax, "measured")[1], [0, -1, -3])
    assert ax.get_title() == "W: must vanish"
    with pytest.raises(ValueError, match=r"measured has shape \(2, 2\), expected \(lags"):
        weights.plot_bound(condition, np.zeros((2, 2)))


def test_memory_and_gates_are_drawn_as_they_are():
    memory = forward_memory(model(), X, lengths=[20, 6, 20, 0], lags=10)[0]
    assert_allclose(line(states.plot_perturbation({"a": memory}), "a")[1], memory.mean_log10)
    assert_allclose(line(states.plot_recall({"a": memory}), "a")[1],
                    np.maximum(memory.recall, -0.2))
    nobody = forward_memory(model(), X[:, :0], lags=10)[0]
    assert np.isnan(line(states.plot_perturbation({"a": nobody}), "a")[1]).all()
    found = gates(model(), X)
    ax = states.plot_gates(found[0])
    assert_allclose(line(ax, "f open")[1], 100 * found[0].opened[1])
    assert_allclose(line(ax, "f closed")[1], 100 * found[0].closed[1])
    lives = line(states.plot_half_lives(found), "0.l1")[1]
    assert_allclose(lives, np.sort(found[1].half_life)[::-1])
    vanilla = gates(rc.Model([rc.RNN(2, 3)]), X)
    with pytest.raises(ValueError, match=r"0\.l0 has no gates, expected a gated layer"):
        states.plot_gates(vanilla[0])
    ever = states.plot_half_lives(gates(rc.Model([rc.IdentityRNN(2, 3)]), X))
    assert labels(ever) == ["0.l0, gate 1, 3 for ever"]


def test_every_plot_is_found_in_one_place():
    drawn = {name: value for module in vars(plots).values() if isinstance(module, ModuleType)
             for name, value in vars(module).items() if name.startswith("plot_")}
    assert sorted(drawn) == plots.__all__
    assert all(getattr(rc.analysis.plots, name) is value for name, value in drawn.items())


def test_many_spectra_are_told_apart():
    entries = [replace(spectrum(np.eye(2))[0], name=str(n)) for n in range(20)]
    lines = weights.plot_spectrum(entries).get_lines()
    assert len({(one.get_color(), one.get_marker()) for one in lines[1:]}) == 20
    lines = weights.plot_singular_values(entries).get_lines()
    assert len({(one.get_color(), one.get_marker()) for one in lines}) == 20
