"""The style of all pictures: what is drawn where, and nothing that threads share."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from rnncore.analysis.plots import style


def test_a_figure_is_made_where_none_came():
    ax = style.axes(title="t", xlabel="x", ylabel="y")
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("t", "x", "y")
    ax.figure.canvas.draw()
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


def test_colours_stay_apart_in_grey():
    """Luminances of neighbours in the cycle differ: lines can be told apart in print."""
    rgb = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in style.COLORS])
    luminance = rgb @ [0.2126, 0.7152, 0.0722]
    assert np.abs(np.diff(luminance)).min() > 8


def test_a_legend_is_of_what_has_a_label():
    ax = style.axes()
    ax.plot([0, 1])
    style.legend(ax)
    assert ax.get_legend() is None
    ax.plot([1, 0], label="b")
    style.legend(ax, loc="upper left")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["b"]


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
            "style.axes().figure.canvas.draw()\n"
            "assert 'matplotlib.pyplot' not in sys.modules")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
