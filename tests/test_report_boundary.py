"""What a report refuses, and what is then left alone."""

from __future__ import annotations

import json
import shutil

import pytest
from test_cli import refused
from test_report import sequences

import rnncore as rc
from rnncore.cli import main
from rnncore.report import command


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training on a text."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "text").write_text("the cat sat on the mat; " * 64)
    out = str(folder / "model")
    assert main(["train", str(folder / "text"), "--out", out, "--hidden", "8",
                 "--epochs", "2"]) == 0
    return out


@pytest.fixture
def mine(run, tmp_path):
    """A copy of it to spoil."""
    for suffix in ("", ".history"):
        shutil.copy(run + suffix, tmp_path / f"model{suffix}")
    return str(tmp_path / "model")


def spoiled_missing(run):
    return str(run) + ".none"


def spoiled_history(run):
    with open(f"{run}.history", "rb+") as file:
        file.truncate(1000)
    return run


def spoiled_tensors(run):
    with open(f"{run}.history", "rb+") as file:
        file.truncate(file.seek(0, 2) - 10)
    return run


def spoiled_model(run):
    with open(run, "r+b") as file:
        file.truncate(100)
    return run


def spoiled_pair(run):
    model = rc.load(run)
    with model.writable() as flat:
        flat += 1
    model.save(run)
    return run


def spoiled_other(run):
    shutil.copy(run, f"{run}.history")
    return run


def spoiled_text(run):
    with open(f"{run}.history", "w") as file:
        file.write("no safetensors")
    return run


def spoiled_entry(run):
    from safetensors.numpy import load_file, save_file

    from rnncore.files import read_metadata

    entries = json.loads(read_metadata(f"{run}.history")["rnncore.history"])
    del entries["scores"]
    save_file(load_file(f"{run}.history"), f"{run}.history",
              {"rnncore.history": json.dumps(entries)})
    return run


def spoiled_format(run):
    from safetensors.numpy import load_file, save_file

    save_file(load_file(f"{run}.history"), f"{run}.history",
              {"rnncore.history": json.dumps({"format": 99})})
    return run


def spoiled_folder(run):
    return str(run).rpartition("/")[0]


@pytest.mark.parametrize(("spoil", "message"), [
    (spoiled_missing, ".none.history is missing: RUN is the model that rnncore train wrote"),
    (spoiled_history, "model.history is truncated: 1000 bytes, expected"),
    (spoiled_tensors, "model.history is truncated: "),
    (spoiled_model, "model.history belongs to another model than "),
    (spoiled_pair, "a later training has not ended yet, or was killed"),
    (spoiled_other, "model.history holds no history of a training"),
    (spoiled_text, "model.history is not a safetensors file"),
    (spoiled_entry, "model.history is damaged: KeyError('scores')"),
    (spoiled_format, "model.history has format 99, expected 1"),
    (spoiled_folder, ".history is missing"),
])
def test_what_is_no_run_is_refused(mine, tmp_path, capsys, spoil, message):
    (tmp_path / "page").write_text("precious")
    given = spoil(mine)
    assert message in refused(["report", given, "--out", str(tmp_path / "page")], capsys)
    assert (tmp_path / "page").read_text() == "precious"


@pytest.mark.parametrize("name", ["model", "model.history"])
def test_the_run_itself_is_not_written_over(mine, tmp_path, capsys, name):
    before = (tmp_path / name).read_bytes()
    message = refused(["report", mine, "--out", str(tmp_path / name)], capsys)
    assert message.endswith("it is the training to report on")
    assert (tmp_path / name).read_bytes() == before


def test_a_page_that_cannot_be_written_is_named(mine, tmp_path, capsys, monkeypatch):
    """And before anything is drawn, which takes long."""
    monkeypatch.setattr("rnncore.report.page.render", lambda *_: pytest.fail("drawn"))
    message = refused(["report", mine, "--out", str(tmp_path / "no" / "page")], capsys)
    assert f"cannot write {tmp_path / 'no' / 'page'}: No such file" in message


@pytest.mark.parametrize("arguments", [["report", "model"], ["train", "--report"]])
def test_without_the_extra_nothing_begins(arguments, capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "jinja2" else name)
    assert "a report needs jinja2: pip install 'rnncore[report]'" in refused(arguments, capsys)


def test_a_page_that_could_not_be_written_stops_a_training_before_it_begins(tmp_path, capsys):
    data, out = sequences(tmp_path / "data.npz"), str(tmp_path / "model")
    (tmp_path / "model.html").mkdir()
    message = refused(["train", data, "--out", out, "--report"], capsys)
    assert f"cannot write {out}.html: it is not a file" in message
    assert not (tmp_path / "model").exists()


def test_a_page_that_is_not_written_after_training_is_one_line(tmp_path, capsys, monkeypatch):
    def fail(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rnncore.report.page.render", lambda *_: "a page")
    monkeypatch.setattr(command, "write_atomically", fail)
    data, out = sequences(tmp_path / "data.npz"), str(tmp_path / "model")
    assert main(["train", data, "--out", out, "--epochs", "1", "--report"]) == 1
    captured = capsys.readouterr()
    assert captured.err.endswith(f"cannot write {out}.html: No space left on device\n")
    assert f"done; best model, after 36 sequences: {out}" in captured.out
