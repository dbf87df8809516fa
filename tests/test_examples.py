"""Every example that is shown runs: those of the docstrings, the README's, and the scripts."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import runpy
import sys
from pathlib import Path

import pytest

import rnncore

README = Path(__file__).parents[1] / "README.md"
STORIES = sorted(path for path in (README.parent / "examples").glob("*.py")
                 if path.stem != "page")
MODULES = ["rnncore"] + [
    module.name
    for module in pkgutil.walk_packages(rnncore.__path__, "rnncore.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_readme(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = README.read_text("utf-8").split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line]) <= 15
    exec(compile(code, str(README), "exec"), {})
    loss, accuracy = re.findall(r"\d\.\d+", capsys.readouterr().out)
    assert float(loss) < 0.2
    assert float(accuracy) > 0.9


def width(picture):
    """In pixels, as a PNG says it."""
    header = picture.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    return int.from_bytes(header[16:20], "big")


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_stories(path, tmp_path, monkeypatch):
    """The scripts of examples/, at a reduced size."""
    assert len(STORIES) == 5
    picture = tmp_path / "picture.png"
    monkeypatch.setattr(sys, "argv", [str(path), str(picture), "--quick",
                                      *(["--panel", "2"] if "omega" in path.stem else [])])
    monkeypatch.syspath_prepend(path.parent)
    before = rnncore.get_num_threads()
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:
        rnncore.set_num_threads(before)
        sys.modules.pop("page", None)
    assert width(picture) == 800


def test_the_pictures_of_the_readme_are_there_and_small():
    shown = re.findall(r"!\[.+\]\((\S+)\)", README.read_text("utf-8"))
    assert len(shown) == 3
    for name in shown:
        picture = README.parent / name
        assert width(picture) == 800
        assert picture.stat().st_size < 60_000
        assert picture.stem in [story.stem for story in STORIES]
