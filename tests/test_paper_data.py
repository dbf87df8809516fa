"""The parts of the study that read data: each runs on data made up, and reports."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
from paper import command, medians
from paper.parts import characters, music
from scipy.io import savemat


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder for RNNCORE_DATA; nothing of it is remembered afterwards."""
    monkeypatch.setenv("RNNCORE_DATA", str(tmp_path))
    monkeypatch.delenv("RNNCORE_TEXT", raising=False)
    remembered = music.music, music.chosen, characters.text, characters.chosen
    for function in remembered:
        function.cache_clear()
    yield tmp_path
    for function in remembered:
        function.cache_clear()


@pytest.fixture
def rolls(data):
    """Pieces in which each of three notes follows another, as a file of JSB."""
    parts = {}
    for part, lengths in {"train": (30, 250, 40), "valid": (25, 35), "test": (20, 45)}.items():
        parts[f"{part}data"] = row = np.empty((1, len(lengths)), object)
        for i, length in enumerate(lengths):
            row[0, i] = np.zeros((length, 88), np.uint8)
            row[0, i][np.arange(length), 40 + np.arange(length) % 3] = 1
    (data / "music").mkdir()
    savemat(data / "music" / "JSB_Chorales.mat", parts)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(music, "UNITS", {"RNN": 6, "GRU": 5, "LSTM": 4})


def test_the_music_part_compares_methods_on_the_data_that_are_there(rolls, small, tmp_path):
    assert command.main(["music", "--quick", "--out", str(tmp_path)]) == 0
    lines = (tmp_path / "music-quick.txt").read_text().splitlines()
    for method in music.STEPS:
        (row,) = [line for line in lines[6:12] if line.startswith(f"JSB, {method} ")]
        assert 0 < float(row.split()[4]) < 70  # 88 ln 2 = 61 nats know nothing
    assert lines[-1].startswith("JSB, SGD+CR minus SGD+C: 95 % from ")
    assert not [line for line in lines if "Nottingham" in line]


def test_the_music_part_says_where_it_looked(data):
    with pytest.raises(SystemExit, match="no music in .*RNNCORE_DATA names the folder"):
        command.main(["music", "--out", str(data)])


def test_the_nats_of_pieces_are_those_of_all_frames(rolls, small):
    pieces = music.music("JSB")
    model, history = music.train(pieces, "GRU", music.settings("GRU")[0], seed=0, epochs=2)
    total = sum(music.per_piece(model, pieces.valid))
    assert total / (24 + 34) == pytest.approx(min(history.valid_loss), rel=1e-6)


def test_every_method_has_as_many_settings(rolls):
    assert {len(set(music.settings(method))) for method in music.STEPS} == {6}
    assert {len(set(choice)) for choice in characters.SETTINGS.values()} == {3}
    assert {s.clip for s in music.settings("SGD")} == {math.inf}
    assert {s.alpha for s in music.settings("SGD+C")} == {0.0}
    for clipped, both in [(characters.SETTINGS["SGD+C"], characters.SETTINGS["SGD+CR"]),
                          (music.settings("SGD+C"), music.settings("SGD+CR"))]:
        assert [setting._replace(alpha=0.0) for setting in both] == list(clipped)


def test_dropping_inputs_keeps_targets_and_lengths():
    rng = np.random.default_rng(0)
    rolls = [np.ones((n, 88), np.float32) for n in (7, 3, 5, 4)]
    sequences = [(roll, roll * rng.random(len(roll), np.float32)[:, None]) for roll in rolls]
    batches, other = itertools.tee(music.Dropped(sequences, 2, 0.25, seed=0))
    kept = [x[:n, i].mean() for x, _, lengths in batches for i, n in enumerate(lengths)]
    assert min(kept) > 0.6 and max(kept) < 0.9
    targets = {n: y[:n, i] for _, y, lengths in other for i, n in enumerate(lengths.tolist())}
    assert sorted(targets) == [3, 4, 5, 7]
    assert all((targets[len(y)] == y).all() for _, y in sequences)


def test_the_interval_of_a_paired_difference():
    """Of equal pieces it is that of a mean; a difference that all share has no width."""
    rng, frames = np.random.default_rng(0), np.full(400, 10.0)
    first, noise = rng.normal(30, 5, (3, 400)), rng.normal(0, 1, 400)
    assert music.interval(first - frames, first, frames) == pytest.approx((-1, -1))
    low, high = music.interval(first + noise, first, frames)
    half = 1.96 * noise.std() / math.sqrt(400) / 10
    assert (low + high) / 2 == pytest.approx(noise.mean() / 10, abs=0.1 * half)
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)


def test_a_setting_that_diverges_is_not_chosen():
    losses = {"a": math.nan, "b": 2.0, "c": math.inf, "d": 3.0}
    assert medians.best(losses, losses.__getitem__) == ("b", [math.inf, 2.0, math.inf, 3.0])


def test_the_characters_part_measures_bits(data, monkeypatch, tmp_path):
    (data / "text").write_text("the cat sat on the mat. " * 80)
    monkeypatch.setenv("RNNCORE_TEXT", str(data / "text"))
    monkeypatch.setattr(characters.Characters, "quick_lengths", (10,))
    assert command.main(["characters", "--quick", "--out", str(tmp_path)]) == 0
    lines = (tmp_path / "characters-quick.txt").read_text().splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[-4:]}
    assert set(rows) == set(characters.SETTINGS)
    assert statistics.fmean(float(row[2]) for row in rows.values()) < math.log2(12)
