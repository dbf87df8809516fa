"""The character model: an embedding, stacked recurrent layers, a linear layer of logits.

A file of it is a model file like any other, with the vocabulary in its metadata.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike

import numpy as np
import numpy.typing as npt

import rnncore as rc
from rnncore.files import read_metadata
from rnncore.jobs import InputError
from rnncore.jobs.cells import input_width, recurrent
from rnncore.text.corpus import UNKNOWN, Symbols, Vocabulary

EMBEDDING = 64  # width of the embedding: characters need no more, and it costs next to nothing
METADATA_KEY = "rnncore.vocabulary"
INFER_STEPS = 1024  # bounds the memory of logits; results do not depend on it


@dataclass(frozen=True)
class CharacterModel:
    """A network over symbols and the vocabulary that says which character each one is."""

    network: rc.Model
    vocabulary: Vocabulary


def build_model(
    vocabulary: Vocabulary,
    *,
    cell: str = "lstm",
    layers: int = 2,
    hidden: int = 256,
    dropout: float = 0.0,
    seed: int = 0,
) -> CharacterModel:
    """Return an untrained float32 model, its weights drawn from `seed`.

    Parameters
    ----------
    vocabulary : Vocabulary
        The characters it reads and predicts, besides UNKNOWN.
    cell : str
        A name in `rnncore.jobs.cells.CELLS`.
    layers, hidden : int
        The number of recurrent layers and their width.
    dropout : float
        The fraction of units dropped between recurrent layers.
    seed : int
        What the weights and dropout are drawn from.

    Examples
    --------
    >>> model = build_model(Vocabulary("abc"), cell="gru", hidden=8)
    >>> logits, state = model.network.infer(np.zeros((5, 1), int))
    >>> logits.shape
    (5, 1, 4)
    """
    width, symbols = input_width(cell, min(EMBEDDING, hidden), hidden), len(vocabulary)
    parts = [rc.Embedding(symbols, width), recurrent(cell, width, hidden, layers, dropout),
             rc.Linear(hidden, symbols)]
    return CharacterModel(rc.Model(parts, loss="cross_entropy", seed=seed), vocabulary)


def bits_per_character(network: rc.Model, symbols: Symbols) -> float:
    """Return the mean bits the network needs per symbol, the first excepted.

    The symbols (N,) are one stream: the state starts at zero and is carried from the first to
    the last, every symbol but the first is predicted from all before it, and log-probabilities
    are taken and summed in float64.
    """
    state, nats = None, 0.0
    for start in range(0, len(symbols) - 1, INFER_STEPS):
        window = symbols[start : start + INFER_STEPS + 1]
        logits, state = network.infer(window[:-1, np.newaxis], state)  # (T, 1, symbols)
        scores = logits[:, 0].astype(np.float64)
        target = np.take_along_axis(scores, window[1:, np.newaxis], axis=1)
        nats += float(np.sum(_log_sum_exp(scores) - target))
    return nats / (len(symbols) - 1) / math.log(2)


def _log_sum_exp(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return log(sum(exp(scores))) over the last axis (kept); exact for scores of any size."""
    largest: npt.NDArray[np.float64] = scores.max(axis=-1, keepdims=True)
    total: npt.NDArray[np.float64] = np.exp(scores - largest).sum(axis=-1, keepdims=True)
    return largest + np.log(total)


def sample(
    model: CharacterModel, prime: str, length: int, temperature: float, seed: int = 0
) -> Iterator[str]:
    """Yield `length` characters, one by one, that continue `prime`.

    Parameters
    ----------
    model : CharacterModel
        What predicts each character from all before it.
    prime : str
        The text to continue; "" starts from a line break, or from the first character of a
        vocabulary that has none.
    length : int
        How many characters to draw.
    temperature : float
        Divides the logits; 0 always takes the most probable character. UNKNOWN is never drawn.
    seed : int
        What the draws depend on.

    Raises
    ------
    InputError
        If the prime has characters outside the vocabulary; the message names them.
    """
    missing = model.vocabulary.unknown_characters(prime)
    if missing:
        names = ", ".join(f"{character!r} (U+{ord(character):04X})" for character in missing)
        raise InputError(f"the prime has characters that the model does not know: {names}")
    start = "\n" if "\n" in model.vocabulary.characters else model.vocabulary.characters[0]
    return _continue(model, prime or start, length, temperature, np.random.default_rng(seed))


def _continue(
    model: CharacterModel, prime: str, length: int, temperature: float, rng: np.random.Generator
) -> Iterator[str]:
    symbols, state = model.vocabulary.encode(prime), None
    for _ in range(length):
        logits, state = model.network.infer(symbols[:, np.newaxis], state)
        drawn = _draw(logits[-1, 0].astype(np.float64), temperature, rng)
        yield model.vocabulary.characters[drawn - 1]
        symbols = np.array([drawn])


def _draw(scores: npt.NDArray[np.float64], temperature: float, rng: np.random.Generator) -> int:
    """Draw a known symbol from softmax(scores / temperature); greedily at temperature 0."""
    scores[UNKNOWN] = -np.inf
    if temperature == 0:
        return int(np.argmax(scores))
    with np.errstate(over="ignore"):  # a tiny temperature: -inf is the limit wanted
        weights = np.exp((scores - scores.max()) / temperature)
    cumulative = np.cumsum(weights)
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))


def save_character_model(model: CharacterModel, path: str | PathLike[str]) -> None:
    """Write the network, and the vocabulary as its metadata, to a safetensors file."""
    model.network.save(path, metadata={METADATA_KEY: model.vocabulary.characters})


def load_character_model(path: str | PathLike[str]) -> CharacterModel:
    """Read what `save_character_model` wrote.

    Raises
    ------
    InputError
        If the file cannot be read or is not a character model.
    """
    try:
        characters = read_metadata(path).get(METADATA_KEY)
        network = rc.load(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:  # its message names the file
        raise InputError(str(error)) from None
    if characters is None:
        raise InputError(f"{path} holds no vocabulary, expected a character model")
    expected = network.input_size - 1  # all symbols but UNKNOWN
    if not len(characters) == len(set(characters)) == expected:
        raise InputError(
            f"{path} has a vocabulary of {len(set(characters))} different characters out of"
            f" {len(characters)}, expected {expected} as in its embedding"
        )
    return CharacterModel(network, Vocabulary(characters))
