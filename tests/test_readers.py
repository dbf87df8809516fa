"""The readers of real data: made-up files always, the real ones where they are."""

from __future__ import annotations

import numpy as np
import pytest
from readers import music_file, next_frames, read_music
from scipy.io import savemat

import rnncore as rc

# Pieces and frames of train, valid and test, and the log-likelihoods of two models without a
# network: (independent notes, each note given itself one frame before), test, frames 2 to T.
COUNTS = {
    "Nottingham": ((694, 173, 170), (176561, 45513, 44463), (10.26, 5.15)),
    "JSB": ((229, 76, 77), (13807, 4602, 4725), (11.09, 10.49)),
    "MuseData": ((524, 135, 124), (245202, 82755, 64339), (11.52, 8.56)),
    "Piano": ((87, 12, 25), (75911, 8540, 19036), (11.05, 8.27)),
}


@pytest.fixture(scope="module", params=COUNTS)
def name(request):
    if not music_file(request.param).exists():
        pytest.skip(f"no {music_file(request.param)}")
    return request.param


def cells(*rolls):
    row = np.empty((1, len(rolls)), object)
    for i, roll in enumerate(rolls):
        row[0, i] = roll
    return row


def write(path, **changes):
    """Three parts of one, two and one made-up pieces; return them."""
    rng = np.random.default_rng(0)
    rolls = [rng.integers(0, 2, (n, 88)).astype(np.uint8) for n in (5, 3, 4, 6)]
    parts = {"traindata": cells(rolls[0]), "validdata": cells(*rolls[1:3]),
             "testdata": cells(rolls[3])}
    parts.update(changes)
    savemat(path, {key: part for key, part in parts.items() if part is not None})
    return rolls


def test_pieces_come_as_they_were_written(tmp_path):
    rolls = write(tmp_path / "music.mat")
    music = read_music(tmp_path / "music.mat")
    assert [len(part) for part in music] == [1, 2, 1]
    for read, written in zip(sum(music, []), rolls, strict=True):
        assert read.dtype == np.float32 and (read == written).all()


@pytest.mark.parametrize(("changes", "message"), [
    ({"testdata": None}, r"has \['traindata', 'validdata'\], expected 'testdata'"),
    ({"traindata": np.zeros((3, 88))}, "traindata .* has dtype float64, expected a cell"),
    ({"validdata": cells(np.zeros((3, 87)))}, r"validdata\[0\] .* has shape \(3, 87\), exp"),
    ({"testdata": cells(np.ones((2, 88)), np.full((3, 88), 2))}, r"testdata\[1\] .* holds 2")])
def test_files_of_another_layout_are_refused(tmp_path, changes, message):
    write(tmp_path / "music.mat", **changes)
    with pytest.raises(ValueError, match=message):
        read_music(tmp_path / "music.mat")


@pytest.mark.parametrize("steps", [None, 1, 3, 4, 100])
def test_each_frame_but_the_first_is_a_target_once(steps):
    rolls = [np.full((n, 88), n, np.float32) + np.arange(n)[:, None] * 100 for n in (9, 1, 5)]
    sequences = next_frames(rolls, steps)
    targets = np.concatenate([y for _, y in sequences])
    assert (targets == np.concatenate([roll[1:] for roll in rolls])).all()
    assert all((y - x == 100).all() and 0 < len(x) <= (steps or 8) for x, y in sequences)


def test_fit_takes_the_sequences(tmp_path):
    write(tmp_path / "music.mat")
    music = read_music(tmp_path / "music.mat")
    model = rc.Model([rc.RNN(88, 4), rc.Linear(4, 88)], "bernoulli", seed=0)
    model.fit(next_frames(music.train), valid=next_frames(music.valid))
    assert model.evaluate(next_frames(music.test)).counted == 5


def test_the_real_files_have_the_published_sizes(name):
    music = read_music(music_file(name))
    pieces, frames, _ = COUNTS[name]
    assert tuple(len(part) for part in music) == pieces
    assert tuple(sum(map(len, part)) for part in music) == frames


def test_models_without_a_network_find_the_known_likelihoods(name):
    """So the notes are in their columns, the frames in their order, the split is the same."""
    music = read_music(music_file(name))

    def both(pieces):
        pairs = next_frames(pieces)
        return tuple(np.concatenate(side) for side in zip(*pairs, strict=True))

    (x, y), (x_test, y_test) = both(music.train), both(music.test)

    def cost(p):
        """Negative log-likelihood: the sum over notes, the mean over frames."""
        return float(-np.log(np.where(y_test > 0, p, 1 - p)).sum(axis=1).mean())

    alone = (y.sum(axis=0) + 0.5) / (len(y) + 1)
    after = [(((x == was) * y).sum(axis=0) + 0.5) / ((x == was).sum(axis=0) + 1)
             for was in (0, 1)]
    lag = np.where(x_test > 0, after[1], after[0])
    assert (cost(alone), cost(lag)) == pytest.approx(COUNTS[name][2], abs=0.03)
