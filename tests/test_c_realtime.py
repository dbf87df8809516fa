"""What a program with deadlines counts on: no allocation, no system call, many threads."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import c_builds
import numpy as np
import pytest
from problems import same_bits
from stream_problems import draw

import rnncore as rc

PROBES = Path(__file__).parent / "probes"
SECONDS = float(os.environ.get("RNNCORE_CROWD_SECONDS", "0"))
MODELS = """
import sys, importlib.util, rnncore as rc
def load(path):
    spec = importlib.util.spec_from_file_location(path.rpartition("/")[2].split(".")[0], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
probe = load(sys.argv[1])
models = [rc.Model([rc.LSTM(2, 16), rc.Linear(16, 3)], seed=0),
          rc.Model([rc.GRU(3, 24, reset="before", taps=(2,)), rc.RNN(24, 5, form="pascanu")],
                   seed=0),
          rc.Model([rc.Embedding(4, 3), rc.LSTM(3, 8, num_layers=2, dtype="float32")], seed=0),
          rc.Model([rc.IntersectionRNN(4, 4, dtype="float64")], seed=0),
          rc.Model([rc.LSTM(2, 8, bidirectional=True), rc.Last(), rc.Linear(16, 2)], seed=0)]
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc",
                                reason="the probes are made for Linux and glibc")

unwatched = pytest.mark.skipif(
    bool(c_builds.SANITIZER) or rc.show_config()["engine"] == "blas",
    reason="a sanitizer allocates, and so may a BLAS")


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    return c_builds.shared(PROBES / "probe.c", tmp_path_factory.mktemp("probe"), "-Wall",
                           "-Wextra", "-Werror")


@pytest.fixture(scope="module")
def cyprobe(tmp_path_factory):
    return c_builds.translated(PROBES / "cyprobe.pyx", tmp_path_factory.mktemp("cyprobe"))


def output_of(code, *arguments, preload=None, before=()):
    own = {**os.environ} | ({"LD_PRELOAD": str(preload)} if preload else {})
    run = subprocess.run([*before, sys.executable, "-c", MODELS + code, *map(str, arguments)],
                         capture_output=True, text=True, env=own)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


@unwatched
def test_nothing_is_allocated(probe, cyprobe, tmp_path):
    """By a million steps from C and from Cython, and a thousand of training."""
    preload = c_builds.shared(PROBES / "allocations.c", tmp_path)
    code = """
import ctypes, numpy as np
assert ctypes.CDLL(None).allocations() > 0
for model in models[:4]:
    print(probe.steps(model, 1_000_000 if model is models[0] else 10_000))
for model in models:
    print(probe.learning(model, 200))
x, y = np.zeros((1_000_000, 2), np.float32), np.empty((1_000_000, 3), np.float32)
print(load(sys.argv[2]).run(models[0], x, y))
"""
    assert output_of(code, probe, cyprobe, preload=preload) == ["0"] * 10


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here")
@unwatched
def test_the_system_is_not_called(probe, tmp_path):
    """Between the two calls of getppid that stand around the loops."""
    trace, code = tmp_path / "trace", "for m in models[:4]: probe.steps(m, 2000)\n"
    code += "for m in models: probe.learning(m, 20)"
    attempt = subprocess.run(["strace", "-o", str(trace), "true"], capture_output=True)
    if attempt.returncode:
        pytest.skip("strace may not trace here")
    output_of(code, probe, before=("strace", "-o", str(trace)))
    calls = [line for line in trace.read_text().splitlines() if not line.startswith("---")]
    marks = [i for i, line in enumerate(calls) if line.startswith("getppid(")]
    assert len(marks) == 2 * (4 + 5)
    assert [calls[a + 1:b] for a, b in zip(marks[::2], marks[1::2], strict=True)] == [[]] * 9


def test_the_lock_of_python_is_not_taken(probe):
    """Another thread has it all the time."""
    for model in (rc.Model([rc.LSTM(2, 40), rc.Linear(40, 3)], seed=0),
                  rc.Model([rc.Embedding(3, 4), rc.RNN(4, 5, form="pascanu", taps=(1, 2))])):
        assert c_builds.load(probe).locked(model, 60)


def test_an_exception_on_its_way_is_left_alone(probe):
    model = rc.Model([rc.LSTM(2, 4)], seed=0)
    with pytest.raises(KeyError, match="on its way"):
        c_builds.load(probe).raising(model, model.stream())


@pytest.mark.parametrize("kind", [rc.LSTM, rc.GRU])
def test_cython_steps_have_the_bits_of_infer(cyprobe, kind):
    model, x = rc.Model([kind(2, 17), rc.Linear(17, 3)], seed=0), draw(100_000, 2)
    y = np.empty((100_000, 3), np.float32)
    assert c_builds.load(cyprobe).run(model, x, y) == 0
    same_bits(y, model.infer(x)[0])


@pytest.mark.parametrize("kind", [rc.LSTM, rc.GRU])
def test_ten_thousand_streams_in_eight_threads(kind, tmp_path):
    """Results are those of the same steps on one thread. RNNCORE_CROWD_SECONDS has them run for
    so long."""
    model = rc.Model([kind(1, 8), rc.Linear(8, 1)], seed=0)
    rounds = 10**9 if SECONDS else 30
    crowd = c_builds.load(c_builds.shared(PROBES / "crowd.c", tmp_path)).crowd
    wrong, steps = crowd(model, 10_000, 8, rounds, SECONDS or 3600.0)
    assert wrong == 0
    assert SECONDS or steps == 10_000 * rounds
