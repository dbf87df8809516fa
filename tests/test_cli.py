"""The command line, in this process and, for signals, in one of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

import rnncore as rc
from rnncore.cli import main
from rnncore.text.character import bits_per_character, load_character_model
from rnncore.text.corpus import split
from rnncore.text.training import StopRequest

TEXT = "the cat sat on the mat, the dog sat on the log; " * 30  # 1440 characters
HELD_OUT = re.compile(r"held-out (\d+\.\d\d) bits per character \(6-gram (\d+\.\d\d)\)")


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text").write_text(TEXT)
    return str(tmp_path / "text")


@pytest.fixture
def out(tmp_path):
    return str(tmp_path / "model.safetensors")


def trained(text, out, *options):
    return main(["train", text, "--out", out, "--hidden", "16", "--epochs", "2", *options])


# ---- The main job ----


def test_train_then_sample(text, out, capsys):
    assert trained(text, out) == 0
    lines, bar = capsys.readouterr()
    found = HELD_OUT.findall(lines)
    assert len(found) == 3  # two epochs and the end
    assert found[-1][0] == min(bits for bits, _ in found)
    assert "1,440 characters, SHA-256 " in lines
    assert lines.endswith(f"done; best model, after 2,560 characters: {out}\n")
    for word in ("bits per character", "gradient norm", "characters/s", "left"):
        assert word in bar

    assert main(["sample", out, "--prime", "the ", "--length", "20", "--seed", "1"]) == 0
    first = capsys.readouterr().out
    assert first.startswith("the ")
    assert len(first) == 4 + 20 + 1
    assert main(["sample", out, "--prime", "the ", "--length", "20", "--seed", "1"]) == 0
    assert capsys.readouterr().out == first


def test_train_reads_standard_input_and_takes_every_option(text, out):
    options = ["--cell", "gru", "--layers", "3", "--dropout", "0.2", "--max-seconds", "60"]
    command = [sys.executable, "-m", "rnncore", "train", "-", "--out", out, "--hidden", "8"]
    command += [*options, "--epochs", "1", "--seed", "3", "--threads", "1"]
    done = subprocess.run(command, input=TEXT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("text: standard input, 1,440 characters")
    assert load_character_model(out).network.infer


def test_held_out_line_is_that_of_the_file(text, out, capsys):
    trained(text, out)
    printed = HELD_OUT.findall(capsys.readouterr().out)[-1][0]
    model = load_character_model(out)
    held_out = model.vocabulary.encode(TEXT)[-len(split(TEXT).held_out) :]
    assert f"{bits_per_character(model.network, held_out):.2f}" == printed


def test_characters_unknown_to_training_are_counted(tmp_path, out, capsys):
    (tmp_path / "text").write_text("ab" * 450 + "a?" * 50)
    assert trained(str(tmp_path / "text"), out) == 0
    assert "of them not in the training part: 50" in capsys.readouterr().out


def test_info(capsys):
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert f"version: {rc.__version__}\n" in printed
    assert f"isa: {rc.show_config()['isa']}\n" in printed


# ---- Ends before the end ----


def interrupted(text, out, number, *, after):
    """Run a training that would take days; signal it once stderr or stdout shows `after`."""
    command = [sys.executable, "-m", "rnncore", "train", text, "--out", out]
    command += ["--epochs", "100000000", "--hidden", "16"]
    # A runner started in the background ignores Ctrl-C, and its children would inherit that.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    signal.signal(signal.SIGINT, previous)
    seen = b""
    try:
        while after not in seen:
            byte = process.stdout.read(1)
            assert byte, seen.decode()
            seen += byte
        process.send_signal(number)
        rest = process.communicate(timeout=60)[0]
    finally:
        process.kill()
    return process.returncode, (seen + rest).decode()


@pytest.mark.parametrize(
    ("number", "name", "code"),
    [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143)],
)
@pytest.mark.parametrize("after", [b"  0% |", b"held-out"], ids=["at once", "after an epoch"])
def test_signals_keep_the_best_model(text, out, capsys, number, name, code, after):
    returned, printed = interrupted(text, out, number, after=after)
    assert returned == code, printed
    last = printed.rstrip().splitlines()[-2:]
    assert HELD_OUT.fullmatch(last[0])
    assert re.fullmatch(rf"stopped by {name}; best model, after [\d,]+ characters: .*", last[1])
    assert last[1].endswith(out)
    assert main(["sample", out, "--length", "5"]) == 0
    assert len(capsys.readouterr().out) == 6


def test_max_seconds_keeps_the_best_model(text, out, capsys):
    assert trained(text, out, "--epochs", "100000000", "--max-seconds", "0.5") == 0
    assert "stopped after 0.5 seconds; best model" in capsys.readouterr().out
    assert main(["sample", out, "--length", "5", "--temperature", "0"]) == 0


def test_a_failing_write_in_training_is_one_line(text, out, capsys, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rnncore.text.training.save_character_model", fail)
    assert trained(text, out) == 1
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint == f"rnncore: cannot write {out}: No space left on device"


@pytest.mark.parametrize(
    ("number", "name", "code"),
    [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143)],
)
def test_a_signal_asks_once_and_then_acts(number, name, code):
    class OutsideError(Exception):
        pass

    def act(*_):
        raise OutsideError

    previous = signal.signal(number, act)
    try:
        with StopRequest() as stop:
            assert stop.reason is None
            os.kill(os.getpid(), number)
            assert (stop.reason, stop.exit_code) == (f"stopped by {name}", code)
            with pytest.raises(OutsideError):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) is act
    finally:
        signal.signal(number, previous)


def test_ignored_signals_stay_ignored():
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.reason is None
    finally:
        signal.signal(signal.SIGINT, previous)


# ---- Wrong input ----


def refused(argv, capsys):
    """Return the one line on stderr of a command that ends with 2 before it prints a thing."""
    assert main(argv) == 2
    printed, complaint = capsys.readouterr()
    assert printed == ""
    assert complaint.startswith("rnncore: ")
    assert complaint.count("\n") == 1
    return complaint.removeprefix("rnncore: ").rstrip("\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hidden", "0"], "argument --hidden: '0', expected an integer >= 1"),
        (["--layers", "two"], "argument --layers: 'two', expected an integer >= 1"),
        (["--epochs", "-1"], "argument --epochs: '-1', expected an integer >= 1"),
        (["--seed", "1.5"], "argument --seed: '1.5', expected an integer >= 0"),
        (["--threads", "0"], "argument --threads: '0', expected an integer >= 1"),
        (["--dropout", "1"], "argument --dropout: '1', expected a number >= 0 and < 1"),
        (["--dropout", "nan"], "argument --dropout: 'nan', expected a number >= 0 and < 1"),
        (["--max-seconds", "0"], "argument --max-seconds: '0', expected a number > 0"),
        (["--max-seconds", "inf"], "argument --max-seconds: 'inf', expected a number > 0"),
        (["--cell", "tanh"], "argument --cell: invalid choice: 'tanh'"),
        (["--dropout", "0.5", "--layers", "1"], "--dropout acts between layers, expected"),
        (["--tempo", "3"], "unrecognized arguments: --tempo"),
        (["--hidden", "1000000000000"], "cannot build a model of --layers 2 --hidden 10000"),
    ],
)
def test_wrong_options_of_train(text, out, capsys, options, message):
    assert message in refused(["train", text, "--out", out, *options], capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--length", "-1"], "argument --length: '-1', expected an integer >= 0"),
        (["--temperature", "-1"], "argument --temperature: '-1', expected a number >= 0"),
        (["--temperature", "warm"], "argument --temperature: 'warm', expected a number >= 0"),
        ([], "cannot read missing: No such file or directory"),
    ],
)
def test_wrong_options_of_sample(capsys, monkeypatch, tmp_path, options, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(["sample", "missing", *options], capsys)


def test_unknown_characters_of_the_prime(text, out, capsys):
    trained(text, out)
    capsys.readouterr()
    assert "'X' (U+0058)" in refused(["sample", out, "--prime", "Xen"], capsys)


def test_wrong_commands(capsys):
    assert "{train,sample,report,info}" in refused([], capsys)
    assert "invalid choice: 'fly'" in refused(["fly"], capsys)


@pytest.mark.parametrize("data", [b"", b"too short", b"\xe9" * 2000])
def test_wrong_texts(tmp_path, out, capsys, data):
    (tmp_path / "text").write_bytes(data)
    assert str(tmp_path / "text") in refused(["train", str(tmp_path / "text")], capsys)


def test_wrong_outputs(text, tmp_path, capsys):
    for path, reason in [
        (tmp_path / "missing" / "model", "No such file or directory"),
        (tmp_path, "it is not a file"),
        ("/dev/null", "it is not a file"),
        (tmp_path / "text" / "model", "Not a directory"),
        (tmp_path / ("m" * 250), "File name too long"),
        (text, "it is the text to train on"),
    ]:
        complaint = refused(["train", text, "--out", str(path)], capsys)
        assert complaint == f"cannot write {path}: {reason}"


def test_the_output_may_be_a_link(text, tmp_path, out):
    (tmp_path / "link").symlink_to(out)
    assert trained(text, str(tmp_path / "link")) == 0
    assert load_character_model(out)


def test_checking_the_output_leaves_it_alone(text, out, capsys, tmp_path):
    (tmp_path / "model.safetensors").write_text("precious")
    refused(["train", text, "--out", out, "--hidden", "1000000000000"], capsys)
    assert (tmp_path / "model.safetensors").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "text"]
