"""What stands in the file of a checkpoint after a write that failed or a run that diverged."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from runs import fitted
from small import C, K, make, same

from rnncore import files

T, B = 6, 5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def arrays(rng):
    return rng.standard_normal((T, B, K)), rng.integers(0, C, (T, B))


def fail(code):
    def failing(*args):
        raise OSError(code, os.strerror(code))
    return failing


class ShortFile:
    """A file that takes half of what it is given."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, data):
        return self.file.write(data[: len(data) // 2])

    def __getattr__(self, name):
        return getattr(self.file, name)


class FullFile(ShortFile):
    """A file on a disk that is full."""

    write = staticmethod(fail(errno.ENOSPC))


@pytest.mark.parametrize("call", ["write", "short write", "fsync", "replace", "folder fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failing_write_leaves_the_last_checkpoint(tmp_path, monkeypatch, call, code):
    path, data = tmp_path / "run", arrays(np.random.default_rng(0))
    make().fit(data, epochs=2, batch_size=2, checkpoint=path)
    with monkeypatch.context() as patch:
        if call in ("fsync", "replace"):
            patch.setattr(os, call, fail(code))
        elif call == "folder fsync":
            patch.setattr(files, "_sync_folder", fail(code))
        else:
            kind = FullFile if call == "write" else ShortFile
            patch.setattr(files, "open", lambda *a, o=open: kind(o(*a)), raising=False)
        with pytest.raises(OSError):
            make().fit(data, epochs=4, batch_size=2, checkpoint=path)
    assert os.listdir(tmp_path) == ["run"]
    model, whole = make(), make()
    model.fit(data, epochs=4, batch_size=2, checkpoint=path, resume=True)
    whole.fit(data, epochs=4, batch_size=2)
    assert same(model, whole)


def test_a_diverging_run_leaves_its_last_good_state(tmp_path):
    whole, history = fitted("dropout")
    for bad in (3, 7):
        path = tmp_path / f"{bad}"
        message = rf"update {bad}: the gradient of 0.\w+ is not finite in 1 .*; a lower lear"
        with pytest.raises(FloatingPointError, match=message):
            fitted("dropout", checkpoint=path, regularizers=[Poison(bad)])
        resumed, again = fitted("dropout", checkpoint=path, resume=True)
        assert same(whole, resumed) and again.loss == history.loss


class Poison:
    """Makes one gradient infinite at one call."""

    def __init__(self, call):
        self.call = call

    def add_gradient(self, model):
        self.call -= 1
        if self.call == 0:
            model.grads[3] = np.inf
        return 0.0


def test_parameters_that_are_not_finite_are_never_written(rng, tmp_path):
    path, data = tmp_path / "run", arrays(rng)
    make().fit(data, checkpoint=path)
    before, model = path.read_bytes(), make()

    class Bad:
        def project(self, model):
            with model.writable() as flat:
                flat[0] = np.nan

    with pytest.raises(FloatingPointError, match="update 2: the loss is nan"):
        model.fit(data, epochs=2, checkpoint=path, constraints=[Bad()])
    assert path.read_bytes() == before
