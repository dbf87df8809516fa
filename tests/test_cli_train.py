"""The command line: options of training, going on with a run, tables of sequences."""

from __future__ import annotations

import re

import numpy as np
import pytest
from test_cli import HELD_OUT, TEXT, interrupted, refused

import rnncore as rc
from rnncore.cli import main
from rnncore.tables import load_table_model

RUNS_ON = "--resume goes on with the training in "


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text").write_text(TEXT)
    return str(tmp_path / "text")


@pytest.fixture
def out(tmp_path):
    return str(tmp_path / "model.safetensors")


@pytest.fixture
def npz(tmp_path):
    """Sequences whose class is the sign of their mean."""
    x = np.random.default_rng(0).standard_normal((40, 5, 1))
    np.savez(tmp_path / "data.npz", x=x, y=np.where(x.mean(axis=(1, 2)) > 0, "up", "down"))
    return str(tmp_path / "data.npz")


def trained(data, out, *options):
    return main(["train", data, "--out", out, "--hidden", "8", "--epochs", "2", *options])


# ---- Options ----


@pytest.mark.parametrize("option", [
    "--optimizer sgd", "--optimizer rmsprop", "--optimizer adamw", "--lr 0.01", "--clip 0.1",
    "--clip-step 0.001", "--omega 0.5", "--tbptt 16", "--tbptt 32,64", "--orthogonal 0.1",
])
def test_each_option_changes_the_training(text, out, option):
    weights = []
    for given in ([], option.split(), option.split()):
        assert trained(text, out, *given) == 0
        weights.append(rc.load(out).parameters)
    assert not np.array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[1], weights[2])


@pytest.mark.parametrize("value", [["hard"], []])
def test_hard_orthogonality_holds_in_the_file(text, out, value):
    assert trained(text, out, "--cell", "rnn", "--layers", "1", "--orthogonal", *value) == 0
    w = rc.load(out).named_parameters()["1.weight_hh_l0"]
    np.testing.assert_allclose(w.T @ w, np.eye(8), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--omega", "-1"], "argument --omega: '-1', expected a number >= 0"),
        (["--clip", "0"], "argument --clip: '0', expected a number > 0"),
        (["--clip-step", "nan"], "argument --clip-step: 'nan', expected a number > 0"),
        (["--lr", "0"], "argument --lr: '0', expected a number > 0"),
        (["--tbptt", "0"], "argument --tbptt: '0', expected steps K, or K,K2 with K2 >= K"),
        (["--tbptt", "8,4"], "argument --tbptt: '8,4', expected steps K, or K,K2"),
        (["--tbptt", "1,2,3"], "argument --tbptt: '1,2,3', expected steps K, or K,K2"),
        (["--orthogonal", "soft"], "argument --orthogonal: 'soft', expected a weight >= 0 or"),
        (["--orthogonal", "hard", "--cell", "mingru"], "--orthogonal does not go with th"),
        (["--orthogonal", "1", "--cell", "indrnn"], "--orthogonal does not go with th"),
        (["--optimizer", "newton"], "argument --optimizer: invalid choice: 'newton'"),
        (["--valid-share", "0.2"], "--valid-share is for tables: of a text the last tenth is"),
        (["--valid-share", "0.6"], "argument --valid-share: '0.6', expected a number > 0 an"),
    ],
)
def test_wrong_options(text, out, capsys, tmp_path, options, message):
    assert message in refused(["train", text, "--out", out, *options], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


# ---- Going on ----


def stopping_after(monkeypatch, updates):
    """Make each training stop, as by a deadline, after so many updates."""
    from rnncore.jobs.run import Keeper

    show = Keeper._show

    def shown(self, *values):
        show(self, *values)
        if self._shown == updates:
            self.stop.ask("stopped for the test", 0)

    monkeypatch.setattr(Keeper, "_show", shown)


@pytest.mark.parametrize("updates", [1, 3, 4])
def test_a_stopped_training_goes_on_with_its_bits(text, out, tmp_path, capsys, monkeypatch,
                                                  updates):
    options = ["--dropout", "0.3", "--tbptt", "32,64"]
    assert trained(text, out, *options) == 0
    whole, lines = rc.load(out).parameters, capsys.readouterr().out
    other = str(tmp_path / "other")
    with monkeypatch.context() as patch:
        stopping_after(patch, updates)
        assert trained(text, other, *options) == 0
    printed = capsys.readouterr().out
    assert f"{RUNS_ON}{other}.run\n" in printed
    assert "stopped for the test; best model, after" in printed
    assert trained(text, other, *options, "--resume", "--threads", "1") == 0
    np.testing.assert_array_equal(rc.load(other).parameters, whole)
    resumed = capsys.readouterr().out
    assert resumed.splitlines()[-2:] == [line.replace(out, other)
                                         for line in lines.splitlines()[-2:]]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.safetensors", "model.safetensors.history", "other", "other.history", "text"]


def test_a_signal_leaves_a_run_that_goes_on(text, out, capsys):
    code, printed = interrupted(text, out, 15, after=b"held-out")
    assert code == 143
    assert f"{RUNS_ON}{out}.run" in printed
    best = min(bits for bits, _ in HELD_OUT.findall(printed))
    assert main(["train", text, "--out", out, "--hidden", "16", "--epochs", "100000000",
                 "--resume", "--max-seconds", "0.2"]) == 0
    last = HELD_OUT.findall(capsys.readouterr().out)[-1][0]
    assert float(last) <= float(best)


def test_without_a_run_a_training_starts_anew(text, out, capsys):
    assert trained(text, out, "--resume") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"done; best model, after 2,560 characters: {out}"


def test_another_call_does_not_go_on(text, out, capsys, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping_after(patch, 2)
        trained(text, out)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "longer").write_text(TEXT + "!")
    for data, options, message in [
        (text, ["--tbptt", "32,33"], "its tbptt[1] is 32, expected 33 as in this call"),
        (text, ["--lr", "0.1"], "its --lr is None, expected 0.1 as in this call"),
        (text, ["--tbptt", "8"], "its tbptt[0] is 32, expected 8 as in this call"),
        (text, ["--epochs", "3"], "its --epochs is 2, expected 3 as in this call"),
        (text, ["--hidden", "9"], "its architecture, layers[0], embedding_dim is 8, exp"),
        (str(tmp_path / "longer"), [], "its SHA-256 of the data is '"),
    ]:
        capsys.readouterr()
        assert trained(data, out, "--resume", *options) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    assert {path: path.read_bytes() for path in before} == before


def test_a_file_that_is_no_run_is_left_alone(text, out, capsys, tmp_path):
    run = tmp_path / "model.safetensors.run"
    run.write_text("precious")
    assert trained(text, out, "--resume") == 2
    assert f"rnncore: {run} is not a safetensors file" in capsys.readouterr().err
    assert run.read_text() == "precious" and not (tmp_path / "model.safetensors").exists()
    run.unlink()
    run.mkdir()
    complaint = refused(["train", text, "--out", out], capsys)
    assert complaint == f"cannot write {run}: it is not a file"


# ---- Tables ----


def test_a_classifier_of_arrays(npz, out, capsys):
    assert trained(npz, out, "--epochs", "40", "--valid-share", "0.25") == 0
    printed = capsys.readouterr().out
    assert "sequences, steps: 5, features: 1, classes of each sequence: 2, SHA-256 " in printed
    assert "training: 30 sequences, epochs: 40; held out: 10\n" in printed
    pattern = (r"held-out accuracy ([01]\.\d{3}) \(most frequent class 0\.\d{3}\), "
               r"cross-entropy (\d\.\d{3})")
    found = re.findall(pattern, printed)
    assert found[-1] == found[-2] and float(found[-1][0]) >= 0.9
    assert [loss for _, loss in found] == sorted((loss for _, loss in found), reverse=True)
    assert re.search(rf"done; best model, after [\d,]+ sequences: {out}\n$", printed)
    x = np.full((2, 5, 1), [[[1.0]], [[-1.0]]])
    assert load_table_model(out).predict(x).tolist() == ["up", "down"]


def test_a_regression_of_rows(tmp_path, out, capsys):
    rng = np.random.default_rng(0)
    rows = ["sequence,target,level"]
    for i in range(20):
        level = rng.standard_normal(3 + i % 3)
        rows += [f"{i},{total:.6f},{value:.6f}"
                 for total, value in zip(np.cumsum(level), level, strict=True)]
    (tmp_path / "data.CSV").write_text("\n".join(rows))
    options = ["--epochs", "100", "--tbptt", "2,3", "--cell", "gru", "--seed", "1"]
    assert trained(str(tmp_path / "data.CSV"), out, *options) == 0
    printed = capsys.readouterr().out
    assert "20 sequences, steps: 3 to 5, features: 1, targets of each step: 1, SHA" in printed
    pattern = r"held-out R2 (\S+), MSE (\S+) \(predicting the mean (\S+)\)"
    r2, error, base = map(float, re.findall(pattern, printed)[-1])
    assert r2 > 0.5
    assert r2 == pytest.approx(1 - error / base, abs=2e-3)


def test_a_table_is_resumed(npz, out, tmp_path, capsys, monkeypatch):
    trained(npz, out)
    whole = rc.load(out).parameters
    other = str(tmp_path / "other")
    with monkeypatch.context() as patch:
        stopping_after(patch, 4)
        trained(npz, other)
    assert (tmp_path / "other.run").exists()
    assert trained(npz, other, "--resume") == 0
    np.testing.assert_array_equal(rc.load(other).parameters, whole)


def test_wrong_tables_change_nothing(npz, out, tmp_path, capsys):
    (tmp_path / "model.safetensors").write_text("precious")
    with np.load(npz) as archive:
        x, y = archive["x"], archive["y"]
    for name, arrays, message in [
        ("objects.npz", {"x": x, "y": y.astype(object)}, "its array 'y' is damaged or holds"),
        ("one.npz", {"x": x, "y": np.zeros(40, int)}, "all are of the class 0, expected at"),
        ("few.npz", {"x": x[:5], "y": y[:5]}, "5 sequences, expected at least 10"),
    ]:
        np.savez(tmp_path / name, **arrays)
        complaint = refused(["train", str(tmp_path / name), "--out", out], capsys)
        assert complaint.startswith(f"{tmp_path / name}: {message}")
    (tmp_path / "ragged.csv").write_text("sequence,target,a\n1,2.0,3\n1,2.0\n")
    assert refused(["train", str(tmp_path / "ragged.csv"), "--out", out], capsys) \
        == f"{tmp_path / 'ragged.csv'}: line 3 has 2 fields, expected 3 as in the header"
    assert (tmp_path / "model.safetensors").read_text() == "precious"
    for options, message in [
        (["--out", npz], f"cannot write {npz}: it is the data to train on"),
        (["--out", out, "--tbptt", "2"], "--tbptt came with one target for each sequence, exp"),
        (["--out", out, "--dropout", "0.1"], "--dropout acts between layers, expected"),
    ]:
        assert refused(["train", npz, *options], capsys).startswith(message)
    assert (tmp_path / "model.safetensors").read_text() == "precious"


def test_the_model_of_a_table_makes_up_no_text(npz, out, capsys):
    trained(npz, out)
    capsys.readouterr()
    assert "holds no vocabulary, expected a character" in refused(["sample", out], capsys)
