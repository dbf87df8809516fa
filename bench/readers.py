"""Real data for the studies: polyphonic music as piano-rolls.

The files are those of Boulanger-Lewandowski, Bengio & Vincent (2012) in the form in which Bai,
Kolter & Koltun (2018) pass them on: a MATLAB file holds `traindata`, `validdata` and
`testdata`, each a row of matrices (T_i, 88) of zeros and ones, column j the MIDI note 21 + j.

They are not part of the project. `RNNCORE_DATA` names the folder that has them; without it they
are looked for in ../shared/data beside the project.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Roll = NDArray[np.float32]  # (T, 88)

NOTES = 88
MUSIC = {"JSB": "JSB_Chorales.mat", "Nottingham": "Nottingham.mat", "MuseData": "MuseData.mat",
         "Piano": "Piano_midi.mat"}


class Music(NamedTuple):
    """The pieces of a data set, float32 (T_i, 88) each, in the split of the files."""

    train: list[Roll]
    valid: list[Roll]
    test: list[Roll]


def data_folder() -> Path:
    """Where real data lie; it need not exist."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("RNNCORE_DATA", beside))


def music_file(name: str) -> Path:
    """Where the data set "JSB", "Nottingham", "MuseData" or "Piano" lies; it need not exist."""
    return data_folder() / "music" / MUSIC[name]


def read_music(path: str | Path) -> Music:
    """Read one of the files, whole.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If something in it is not as the layout above says.
    """
    from scipy.io import loadmat

    path = Path(path)
    content = loadmat(path)
    return Music(*(_pieces(content, f"{part}data", path.name) for part in Music._fields))


def _pieces(content: dict[str, Any], key: str, name: str) -> list[Roll]:
    if key not in content:
        found = sorted(entry for entry in content if not entry.startswith("__"))
        raise ValueError(f"{name} has {found}, expected {key!r}")
    cells = content[key]
    if cells.dtype != object:
        raise ValueError(f"{key} of {name} has dtype {cells.dtype}, expected a cell array")
    pieces = []
    for number, roll in enumerate(cells.ravel()):
        if roll.ndim != 2 or roll.shape[1] != NOTES or not len(roll):
            raise ValueError(f"{key}[{number}] of {name} has shape {roll.shape}, expected "
                             f"(time, {NOTES})")
        if not ((roll == 0) | (roll == 1)).all():
            bad = roll[(roll != 0) & (roll != 1)][0]
            raise ValueError(f"{key}[{number}] of {name} holds {bad}, expected 0 and 1")
        pieces.append(roll.astype(np.float32))
    return pieces


def next_frames(pieces: list[Roll], steps: int | None = None) -> list[tuple[Roll, Roll]]:
    """Sequences (x, y) for `Model.fit` in which each frame has the one that follows as target.

    The first frame of a piece is no target. With `steps` a piece becomes sequences of at most
    so many steps, which lie side by side and lose no target; each starts without a past.
    """
    sequences = []
    for roll in pieces:
        x, y = roll[:-1], roll[1:]
        width = steps or max(len(x), 1)
        sequences += [(x[t : t + width], y[t : t + width]) for t in range(0, len(x), width)]
    return sequences
