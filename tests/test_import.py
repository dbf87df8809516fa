"""What `import rnncore` brings along, and what it does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import rnncore as rc


def output_of(code, **environment):
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                         env={**os.environ, **environment})
    assert run.returncode == 0, run.stderr
    return run.stdout


def modules_of(code):
    """The top-level modules after some code in a fresh process, but those Cython makes up."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    return {name for name in output_of(code).split() if "cython" not in name}


def test_numpy_alone_is_loaded():
    """Of what is not Python's own; the rest comes where it is first used."""
    ours = modules_of("import rnncore") - modules_of("import numpy")
    assert ours - sys.stdlib_module_names == {"rnncore"}


def test_blas_is_loaded_where_it_is_asked_for():
    code = "import rnncore.engine.spec as s, rnncore as rc, numpy as np\n"
    code += "with s.use(engine='blas'): rc.RNN(1, 1).infer(np.ones((1, 1), np.float32))"
    assert "scipy" in modules_of(code)


@pytest.mark.parametrize("variable", ["RNNCORE_ISA", "RNNCORE_GEMM"])
def test_a_wrong_environment_is_named(variable):
    code = "import rnncore as rc; rc.RNN(1, 1).infer(rc.RNN(1, 1).parameters['weight_ih_l0'])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                         env={**os.environ, variable: "nonsense"})
    assert run.returncode == 1
    assert "'nonsense'" in run.stderr
    assert "expected one of" in run.stderr


def test_the_configuration_is_what_the_environment_asks_for():
    code = "import rnncore; print(*map(rnncore.show_config().get, ('isa', 'engine')))"
    isa = rc.show_config()["supported"][-1]
    assert output_of(code, RNNCORE_ISA=isa, RNNCORE_GEMM="blas").split() == [isa, "blas"]
