"""The style of all pictures: what is drawn where, and nothing that threads share."""

from __future__ import annotations

import itertools
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from rnncore.analysis.plots import style


def test_a_figure_is_made_where_none_came():
    ax = style.axes(title="t", xlabel="x", ylabel="y")
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("t", "x", "y")
    ax.figure.draw_without_rendering()
    assert ax.figure.bbox.width == 800


def test_own_axes_are_drawn_on_and_returned():
    ax = Figure().add_subplot()
    ax.set_ylabel("mine")
    assert style.axes(ax, xlabel="x") is ax
    assert ax.get_ylabel() == "mine"
    assert len(ax.figure.axes) == 1


def test_lines_take_the_colours_in_order():
    ax = style.axes()
    lines = [ax.plot([0, 1])[0] for _ in style.COLORS]
    assert [line.get_color() for line in lines] == list(style.COLORS)


# What eyes without L or M cones see of linear RGB (Machado, Oliveira & Fernandes 2009).
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
              [-0.003882, -0.048116, 1.051998]]
DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                [-0.011820, 0.042940, 0.968881]]
XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def lab(linear):
    """CIE L*a*b* of linear sRGB (N, 3)."""
    f = np.cbrt(np.clip(linear, 0, 1) @ np.transpose(XYZ) / [0.9505, 1.0, 1.089])
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])],
                    axis=1)


@pytest.mark.parametrize("eye", [np.eye(3), PROTANOPIA, DEUTERANOPIA])
def test_every_eye_tells_the_colours_apart(eye):
    """By 10 units of L*a*b*, of which about 2.3 are just noticeable."""
    rgb = [[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in style.COLORS]
    seen = lab(np.where(np.array(rgb) > 0.04045, ((np.array(rgb) + 0.055) / 1.055) ** 2.4,
                        np.array(rgb) / 12.92) @ np.transpose(eye))
    distance = np.linalg.norm(seen[:, None] - seen, axis=-1)
    assert distance[np.triu_indices(len(seen), 1)].min() > 10


def test_a_legend_is_of_what_has_a_label():
    ax = style.axes()
    ax.plot([0, 1])
    style.legend(ax)
    assert ax.get_legend() is None
    ax.plot([1, 0], label="b")
    style.legend(ax, loc="upper left")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["b"]


def test_a_slow_machine_is_no_warning(monkeypatch):
    """That a place for a legend took long to find says nothing of the picture."""
    clock = SimpleNamespace(perf_counter=itertools.count(step=2).__next__)
    monkeypatch.setattr("matplotlib.legend.time", clock)
    ax = style.axes()
    ax.plot([0, 1], label="a")
    style.legend(ax)
    ax.figure.draw_without_rendering()


def test_a_colorbar_has_its_label():
    ax = style.axes()
    bar = style.colorbar(ax, ax.pcolormesh(np.eye(3), cmap=style.SEQUENTIAL), "norm")
    assert bar.ax.get_ylabel() == "norm"


def test_what_is_no_axes_is_refused():
    with pytest.raises(TypeError, match="ax is of type int, expected matplotlib Axes"):
        style.axes(3)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    with pytest.raises(ImportError, match=r"pip install 'rnncore\[plot\]'"):
        style.axes()


def test_drawing_imports_no_pyplot():
    code = ("import sys, rnncore.analysis.plots.style as style\n"
            "assert 'matplotlib' not in sys.modules\n"
            "style.axes().figure.draw_without_rendering()\n"
            "assert 'matplotlib.pyplot' not in sys.modules")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
