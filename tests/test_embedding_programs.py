"""The example projects of examples/: each is built as a user would build it, and its demo run.

RNNCORE_WHEEL is the path of the wheel that they are built against, in an environment that has
nothing else; .ci/run sets it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

PROJECTS = sorted(path.parent for path in
                  (Path(__file__).parents[1] / "examples").glob("*/pyproject.toml"))
# Of what a demo prints: its own check, and words of the library about what is wrong.
SAYS = {
    "embed_c": ("the same bits as Python's", "refused: the input is not a WAV file"),
    "embed_cython": ("the same bits as Python's", "refused: model is int, expected"),
    "embed_search": ("with the scores of Python", "refused: x holds a symbol that"),
}
WHEEL = Path(os.environ.get("RNNCORE_WHEEL", ""))
needs_wheel = pytest.mark.skipif(not WHEEL.is_file(), reason="RNNCORE_WHEEL names no wheel")


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    run(folder / "bin" / "pip", "install", "-q", WHEEL.resolve())
    return folder / "bin" / "python"


def test_there_are_three_projects():
    assert [path.name for path in PROJECTS] == list(SAYS)


@needs_wheel
@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_a_project_is_built_and_runs(project, python, tmp_path):
    source = tmp_path / project.name
    shutil.copytree(project, source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    own["PIP_FIND_LINKS"] = str(WHEEL.resolve().parent)  # for the build's own environment
    run(python, "-m", "pip", "install", "-q", source, env=own)
    output = run(python, source / "demo.py", cwd=tmp_path, env=own)
    assert all(words in output for words in SAYS[project.name]), output


@needs_wheel
def test_the_wheel_has_what_compilers_need(python, tmp_path):
    printed = run(python, "-m", "rnncore", "info", "--pkgconfigdir", cwd=tmp_path)
    folder = Path(printed.strip())
    assert sorted(path.name for path in folder.iterdir()) == ["rnncore.h", "rnncore.pc"]
    assert (folder.parent / "__init__.pxd").exists()
