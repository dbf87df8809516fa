"""The report of a training: one page, sound whatever the run holds, or a clear error."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from test_cli_train import stopping_after

import rnncore as rc
from rnncore.cli import main
from rnncore.jobs.record import load_record

HOSTILE = "<script>alert('&amp;')</script> \"quoted\" <img src=x onerror=alert(1)> "
TEXT = (HOSTILE + "the cat sat on the mat; ") * 16


class Page(HTMLParser):
    """All tags with their attributes, and the text; refuses tags that are not closed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self._open = [], "", []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open:
            self.text += data

    @property
    def pictures(self):
        return [attributes for tag, attributes in self.tags if tag == "img"]


def page(path):
    with open(path, encoding="utf-8") as file:
        return Page(file.read())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training on a hostile text, under a hostile name, with its report."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "<b>text&amp;").write_text(TEXT)
    out = str(folder / "<i>model")
    assert main(["train", str(folder / "<b>text&amp;"), "--out", out, "--hidden", "8",
                 "--epochs", "2", "--report"]) == 0
    return out


def sequences(path, **arrays):
    x = np.random.default_rng(0).standard_normal((40, 7, 2))
    np.savez(path, x=x, **{"y": np.where(x.mean(axis=(1, 2)) > 0, "<up>", "down"), **arrays})
    return str(path)


# ---- The page ----


def test_the_page_is_self_contained(run):
    with open(f"{run}.html", encoding="utf-8") as file:
        text = file.read()
    assert "http://" not in text
    assert "https://" not in text
    found = Page(text)
    assert {tag for tag, _ in found.tags} <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "thead",
        "tr", "th", "td", "figure", "img", "figcaption", "pre"}
    assert "url(" not in text
    assert "@import" not in text
    for _, attributes in found.tags:
        assert not {"href", "onerror", "onload", "srcset", "style"} & set(attributes)
    assert len(found.pictures) == 7
    for picture in found.pictures:
        assert picture["src"].startswith("data:image/png;base64,")
        assert picture["alt"]


def test_the_pictures_are_whole(run):
    image = pytest.importorskip("PIL.Image")
    for picture in page(f"{run}.html").pictures:
        data = base64.b64decode(picture["src"].partition(",")[2], validate=True)
        drawn = image.open(io.BytesIO(data))
        drawn.load()
        assert drawn.width == 1.5 * int(picture["width"])
        assert drawn.height == 1.5 * int(picture["height"])


def test_what_the_run_holds_is_text(run):
    found = page(f"{run}.html")
    assert "Training of <i>model" in found.text
    assert "<b>text&amp;" in found.text


def test_every_section_is_there(run, capsys):
    text = page(f"{run}.html").text
    for word in ("Verdict", "The data show no dependence on inputs older than 32 steps",
                 "Alarms", "Curves", "Flow of the gradient", "Layers", "Spectra", "Conditions",
                 "Sample", "Configuration", "Model", "Timings", "bits per character",
                 "--hidden", "LSTM(8, 8, num_layers=2)", "held-out score", "per second",
                 "neither follows", "Layer 1.l1: of the last step's error, over 64 steps"):
        assert word in text


def test_the_report_is_that_of_the_command(run, tmp_path, capsys):
    other = str(tmp_path / "page")
    assert main(["report", run, "--out", other]) == 0
    assert capsys.readouterr().out == f"report: {other}\n"
    with open(other, "rb") as one, open(f"{run}.html", "rb") as two:
        assert one.read() == two.read()


def test_the_record_holds_the_training(run):
    record = load_record(run)
    assert len(record.history.update_loss) == 2 * record.scores[0].updates
    assert [score.updates for score in record.scores] == [record.scores[0].updates * k
                                                          for k in (1, 2)]
    assert record.outcome == "done"
    assert record.observations.updates[0] == 1
    assert 0 < record.scores[0].seconds < record.scores[1].seconds
    assert not np.array_equal(record.first, rc.load(run).parameters)
    assert record.call["--hidden"] == 8


@pytest.mark.parametrize("cell", ["rnn", "mingru", "indrnn"])
def test_tables_and_every_kind_of_cell_have_a_report(tmp_path, cell):
    out = str(tmp_path / "model")
    data = sequences(tmp_path / "data.npz", lengths=np.arange(40) % 7 + 1)
    assert main(["train", data, "--out", out, "--hidden", "6", "--epochs", "2", "--cell", cell,
                 "--report"]) == 0
    text = page(f"{out}.html").text
    assert "cross-entropy" in text
    assert "The data " in text  # the verdict
    assert "Sample" not in text
    assert ("Spectra" in text) == (cell != "mingru")


def test_regression_of_each_step_has_a_report(tmp_path):
    out = str(tmp_path / "model")
    data = sequences(tmp_path / "data.npz", y=np.random.default_rng(1).random((40, 7, 1)))
    assert main(["train", data, "--out", out, "--epochs", "1", "--report"]) == 0
    assert "MSE of standardized targets" in page(f"{out}.html").text


def test_a_training_that_diverged_has_a_report(tmp_path):
    out = str(tmp_path / "model")
    code = main(["train", sequences(tmp_path / "data.npz"), "--out", out, "--hidden", "6",
                 "--cell", "rnn", "--optimizer", "sgd", "--lr", "1e38", "--clip", "1e30",
                 "--epochs", "9", "--report"])
    assert code == 1
    text = page(f"{out}.html").text
    assert "training diverged: " in text
    assert "explosion: " in text


def test_a_best_model_whose_gradient_overflows_is_said_to(tmp_path):
    x = np.random.default_rng(0).standard_normal((40, 7, 2))
    data, out = sequences(tmp_path / "data.npz", y=x.cumsum(axis=1)), str(tmp_path / "model")
    assert main(["train", data, "--out", out, "--epochs", "3", "--optimizer", "sgd", "--lr",
                 "1e20", "--report"]) == 1
    (words,) = (line for line in page(f"{out}.html").text.splitlines() if "Layer 0.l0" in line)
    assert "over 7 steps" in words
    assert "nan times in the best model: it overflows." in words


def test_a_resumed_training_has_the_record_of_one_never_stopped(tmp_path, monkeypatch):
    (tmp_path / "text").write_text(TEXT)
    command = ["train", str(tmp_path / "text"), "--hidden", "8", "--epochs", "3"]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    with monkeypatch.context() as patch:
        stopping_after(patch, 4)
        main([*command, "--out", str(tmp_path / "part")])
    assert load_record(str(tmp_path / "part")).outcome == "stopped for the test"
    assert main([*command, "--out", str(tmp_path / "part"), "--resume"]) == 0
    whole, part = load_record(str(tmp_path / "whole")), load_record(str(tmp_path / "part"))
    np.testing.assert_array_equal(whole.first, part.first)
    assert whole.history.update_loss == part.history.update_loss
    for one, other in zip(whole.observations, part.observations, strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.scores[-1].score == part.scores[-1].score
    assert part.outcome == "done"
