"""Every example that is shown runs: those of the docstrings, and the README's."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import rnncore

README = Path(__file__).parents[1] / "README.md"
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
