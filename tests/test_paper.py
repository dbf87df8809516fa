"""The frame of the study: what is finished stays, and is reported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from paper import command
from paper.part import Part, wilson
from paper.runs import Results, Run


class Made(Part):
    """Runs that take no time: those of length 10 succeed, as does seed 0."""

    title = "made up"
    arms, lengths, seeds = ("a", "b"), (10, 20), range(3)
    quick_lengths = (10,)
    published = {("a", 10): "5 of 5"}

    def __init__(self):
        self.seen = []

    def run(self, run, quick):
        self.seen.append(run)
        return {"solved": run.length == 10 or run.seed == 0}


@pytest.fixture
def made(monkeypatch):
    part = Made()
    monkeypatch.setattr(command, "PARTS", {"made": part})
    return part


def test_wilson_intervals():
    """Values of Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert wilson(5, 5)[1] == 1 and wilson(0, 0) == (0, 1)


def test_a_finished_run_is_not_run_again(made, tmp_path):
    assert command.main(["made", "--out", str(tmp_path)]) == 0
    assert len(made.seen) == len(set(made.seen)) == 12
    assert command.main(["made", "--out", str(tmp_path)]) == 0
    assert len(made.seen) == 12
    lines = (tmp_path / "made.jsonl").read_text().splitlines()
    assert {Run(*(json.loads(line)[field] for field in Run._fields))
            for line in lines} == set(made.runs(quick=False))


def test_a_stopped_study_reports_and_goes_on(made, tmp_path, monkeypatch, capsys):
    def stop(run, quick):
        if len(made.seen) == 5:
            raise KeyboardInterrupt
        return Made.run(made, run, quick)

    with monkeypatch.context() as patch:
        patch.setattr(made, "run", stop)
        assert command.main(["made", "--out", str(tmp_path)]) == 130
    assert "a    10      2 of 2" in capsys.readouterr().out
    assert command.main(["made", "--out", str(tmp_path)]) == 0
    assert made.seen == made.runs(quick=False)


def test_a_line_cut_short_is_done_again(made, tmp_path):
    command.main(["made", "--out", str(tmp_path)])
    path = tmp_path / "made.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert len(Results(path).done) == 11
    command.main(["made", "--out", str(tmp_path)])
    assert len(made.seen) == 13 and made.seen[-1] == made.seen[-2]
    assert len(Results(path).done) == 12
    assert path.read_bytes().splitlines()[:11] == whole.splitlines()[:11]


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"arm": "a", "length": 10}'])
def test_a_foreign_line_is_refused(tmp_path, line):
    (tmp_path / "made.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"made.jsonl, line 1 is .*, expected a finished run"):
        Results(tmp_path / "made.jsonl")


def test_the_table_stands_beside_the_published_numbers(made, tmp_path, capsys):
    command.main(["made", "--out", str(tmp_path)])
    expected = """made up

arm  length  solved  95 %       published
a    10      3 of 3  44 to 100  5 of 5
a    20      1 of 3  6 to 79
b    10      3 of 3  44 to 100
b    20      1 of 3  6 to 79
"""
    assert (tmp_path / "made.txt").read_text() == expected
    assert expected in capsys.readouterr().out


def test_the_figure_shows_every_arm(made, tmp_path):
    figures = pytest.importorskip("matplotlib.figure")
    command.main(["made", "--out", str(tmp_path)])
    assert (tmp_path / "made.png").read_bytes().startswith(b"\x89PNG")
    figure = figures.Figure()
    made.draw(Results(tmp_path / "made.jsonl"), figure)
    (axes,) = figure.axes
    assert [bars.get_label() for bars in axes.containers] == ["a", "b"]
    assert [list(bars.lines[0].get_ydata()) for bars in axes.containers] == [[1, 1 / 3]] * 2


def test_quick_results_are_kept_apart(made, tmp_path):
    command.main(["made", "--quick", "--out", str(tmp_path)])
    assert len(made.seen) == 4
    assert not (tmp_path / "made.jsonl").exists()
    command.main(["made", "--out", str(tmp_path)])
    assert len(made.seen) == 16


def test_the_program_runs():
    program = Path(command.__file__).parents[1] / "paper.py"
    run = subprocess.run([sys.executable, program, "--help"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "agreement" in run.stdout
