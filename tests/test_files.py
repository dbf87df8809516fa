"""Model files: whole or refused, and never in the way of the last good one."""

from __future__ import annotations

import json
import os
import stat

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import rnncore as rc
from rnncore import files


@pytest.fixture
def model():
    return rc.Model([rc.LSTM(3, 5), rc.Linear(5, 2)], "cross_entropy", reduction="sum",
                    batch_first=True, seed=0)


@pytest.fixture
def path(model, tmp_path):
    model.save(tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def rewritten(path, tensors=None, **architecture):
    """The file with other tensors, or other entries of its architecture."""
    with safe_open(path, "np") as file:
        entry = json.loads(file.metadata()["rnncore"])
    entry.update(architecture)
    tensors = load_file(path) if tensors is None else tensors
    save_file(tensors, path, {"rnncore": json.dumps(entry)})
    return path


def test_a_model_comes_back_in_the_same_bits(model, path):
    loaded = rc.load(path)
    assert loaded.parameters.tobytes() == model.parameters.tobytes()
    assert str(loaded) == str(model) and loaded.loss.name == "cross_entropy"
    assert loaded.batch_first and loaded.reduction == "sum"
    x = np.random.default_rng(0).standard_normal((4, 7, 3)).astype(np.float32)
    assert loaded.infer(x)[0].tobytes() == model.infer(x)[0].tobytes()
    assert rc.load(str(path), loss="kl").loss.name == "kl"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_kind_of_layer(dtype, tmp_path):
    model = rc.Model([rc.Embedding(7, 3, dtype=dtype),
                      rc.GRU(3, 5, num_layers=2, bidirectional=True, dropout=0.5, dtype=dtype),
                      rc.Last(), rc.Linear(10, 2, activation="tanh", dtype=dtype)], seed=0)
    model.save(tmp_path / "m")
    loaded = rc.load(tmp_path / "m")
    assert repr(loaded) == repr(model) and loaded.dtype == dtype
    x = np.arange(7)[:, None]
    assert loaded.infer(x)[0].tobytes() == model.infer(x)[0].tobytes()


def test_others_can_read_the_tensors(model, path):
    tensors = load_file(path)
    assert tensors.keys() == model.named_parameters().keys()
    assert all((tensors[name] == p).all() for name, p in model.named_parameters().items())
    layer = rc.LSTM(3, 5)
    layer.load_state_dict({n[2:]: a for n, a in tensors.items() if n.startswith("0.")})


def test_metadata_of_ones_own(model, tmp_path):
    model.save(tmp_path / "m", metadata={"vocabulary": "äöü"})
    assert files.read_metadata(tmp_path / "m") == {"vocabulary": "äöü"}
    rc.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("metadata", "error", "message"),
    [
        ({"a": 1}, TypeError, r"metadata\['a'\] is 1, expected a str under a str"),
        ({1: "a"}, TypeError, r"metadata\[1\] is 'a'"),
        ({"rnncore": ""}, ValueError, "metadata has the name 'rnncore', which the model"),
    ],
)
def test_metadata_that_cannot_be_written(model, path, metadata, error, message):
    before = path.read_bytes()
    with pytest.raises(error, match=message):
        model.save(path, metadata)
    assert path.read_bytes() == before


def test_a_loss_of_ones_own_must_be_given_again(tmp_path):
    def loss(output, target, weights):
        return 0.0, np.zeros_like(output)

    rc.Model([rc.RNN(1, 1)], loss).save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"its loss is a callable, expected it as load\(path"):
        rc.load(tmp_path / "m")
    assert rc.load(tmp_path / "m", loss=loss).loss.function is loss


def test_a_file_cut_short_anywhere_is_refused(path):
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for size in [*range(0, header + 40, 7), len(whole) - 1]:
        path.write_bytes(whole[:size])
        expected = "is not a safetensors file" if size < 9 else "is truncated: .* bytes, exp"
        with pytest.raises(ValueError, match=expected):
            rc.load(path)
        with pytest.raises(ValueError, match=expected):
            files.read_metadata(path)


def damaged(header):
    raw = header.encode()
    return len(raw).to_bytes(8, "little") + raw


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a safetensors file"),
        (b"PK\x03\x04" + bytes(100), "is not a safetensors file"),
        (b"hello, world, this is a text", "is not a safetensors file"),
        (damaged("{not json}"), "is not a safetensors file: its header is damaged"),
        (damaged('{"a": 3}'), "is not a safetensors file: its header is damaged"),
        (damaged('{"a": {"data_offsets": [0, "x"]}}'), "header is damaged"),
        (damaged("{}"), "holds no rnncore model, expected metadata under 'rnncore'"),
    ],
)
def test_what_is_no_model_file(path, content, message):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        rc.load(path)


def test_bytes_after_the_end_are_refused(path):
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ValueError, match="is not a valid safetensors file"):
        rc.load(path)


def changed(path, name, array):
    tensors = load_file(path)
    if array is None:
        del tensors[name]
    else:
        tensors[name] = array
    return tensors


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("1.bias", None, r"missing names \['1.bias'\]"),
        ("2.bias", np.zeros(1, np.float32), r"unexpected names \['2.bias'\]"),
        ("1.bias", np.zeros(3, np.float32), r"1.bias has shape \(3,\), expected \(2,\)"),
        ("1.bias", np.zeros(2, np.int32), "1.bias has dtype int32, expected a float type"),
        ("1.bias", np.array([0, np.inf], np.float32), "1.bias has 1 of 2 values that are not"),
    ],
)
def test_tensors_that_are_not_those_of_the_layers(path, name, array, message):
    with pytest.raises(ValueError, match=f"is not a model that can be loaded: .*{message}"):
        rc.load(rewritten(path, changed(path, name, array)))


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"format": 2}, "has format 2, expected 1 or lower: it was written by a newer rnncore"),
        ({"format": "1"}, "has format 1, expected 1 or lower"),
        ({"layers": [{"layer": "NTM"}]}, "is not a model that can be loaded: .*NTM"),
        ({"layers": [{"layer": "RNN", "input_size": 2}]}, "is not a model that can be loaded"),
        ({"layers": [{}]}, "is not a model that can be loaded"),
        ({"layers": []}, "layers holds no layer with parameters"),
        ({"layers": None}, "is not a model that can be loaded"),
        ({"layers": ["RNN"]}, "loaded: a layer is 'RNN', expected its settings by name"),
        ({"loss": "l2"}, "is not a model that can be loaded: loss is 'l2'"),
        ({"reduction": "max"}, "is not a model that can be loaded: reduction is 'max'"),
    ],
)
def test_architectures_that_are_unknown(path, architecture, message):
    with pytest.raises(ValueError, match=message):
        rc.load(rewritten(path, **architecture))


@pytest.mark.parametrize("entry", ["", "[]", "{}", "3", '"format"'])
def test_metadata_that_are_damaged(path, entry):
    save_file(load_file(path), path, {"rnncore": entry})
    with pytest.raises(ValueError, match="has damaged metadata under 'rnncore'"):
        rc.load(path)


def test_no_file_at_all(tmp_path):
    with pytest.raises(FileNotFoundError):
        rc.load(tmp_path / "none")


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(model, path, monkeypatch, name):
    before = path.read_bytes()
    with model.writable() as flat:
        flat[:] = 0

    def fail(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(os, name, fail)
        model.save(path)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]
    model.save(path)
    assert not rc.load(path).parameters.any()


def test_where_nothing_can_be_written(model, tmp_path):
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "no folder" / "m")
    with pytest.raises(OSError, match="not a regular file"):
        model.save(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="devices and modes are POSIX")
def test_devices_are_not_replaced_and_modes_are_usual(model, path):
    with pytest.raises(OSError, match="not a regular file"):
        model.save("/dev/null")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_link_stays_a_link(model, path):
    link = path.with_name("link")
    link.symlink_to(path.name)
    with model.writable() as flat:
        flat[:] = 0
    model.save(link)
    assert link.is_symlink() and not rc.load(path).parameters.any()
