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
    assert [path.name for path in PROJECTS] == ["embed_c", "embed_cython", "embed_search"]


@needs_wheel
@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_a_project_is_built_and_runs(project, python, tmp_path):
    source = tmp_path / project.name
    shutil.copytree(project, source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    own["PIP_FIND_LINKS"] = str(WHEEL.resolve().parent)  # for the build's own environment
    run(python, "-m", "pip", "install", "-q", source, env=own)
    assert "the same bits" in (output := run(python, source / "demo.py", cwd=tmp_path,
                                             env=own)) or "likeliest" in output


@needs_wheel
def test_the_wheel_has_what_compilers_need(python, tmp_path):
    printed = run(python, "-m", "rnncore", "info", "--pkgconfigdir", cwd=tmp_path)
    folder = Path(printed.strip())
    assert sorted(path.name for path in folder.iterdir()) == ["rnncore.h", "rnncore.pc"]
    assert (folder.parent / "__init__.pxd").exists()
