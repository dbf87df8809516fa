"""Text as symbols: reading it, its vocabulary, the split, and the streams that training reads.

The vocabulary is the characters of the training part alone. Whatever else occurs in the
held-out part becomes the one symbol UNKNOWN, for the network and for the n-gram model alike:
both predict it, both are charged for it, and neither has seen it before.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rnncore.jobs import InputError

Symbols = npt.NDArray[np.int64]

UNKNOWN = 0  # the symbol of every character outside the vocabulary

# Shorter texts leave fewer than 100 characters to hold out, too few to compare two models by.
MIN_CHARACTERS = 1000


@dataclass(frozen=True)
class Corpus:
    """A text, where it came from, and the SHA-256 of its UTF-8 bytes."""

    origin: str
    text: str
    sha256: str


def read_corpus(source: str | None = None) -> Corpus:
    """Read a UTF-8 text file, standard input, or the documentation inside CPython.

    Parameters
    ----------
    source : str, optional
        A path, or "-" for standard input. None is the text of `pydoc_data.topics`: all topics
        in the order of their names, joined by newlines; it depends on the Python version.

    Raises
    ------
    InputError
        If the text cannot be read, is not UTF-8 or has fewer than 1000 characters.

    Examples
    --------
    >>> corpus = read_corpus()
    >>> corpus.origin.startswith("documentation inside CPython"), len(corpus.text) > 400_000
    (True, True)
    """
    if source is None:
        origin, data = _documentation()
    elif source == "-":
        origin, data = "standard input", sys.stdin.buffer.read()
    else:
        origin, data = source, _read_file(source)
    try:
        text = data.decode("utf-8-sig")  # a byte-order mark is no character of the text
    except UnicodeDecodeError as error:
        raise InputError(
            f"{origin} is not UTF-8 text:"
            f" byte 0x{data[error.start]:02x} at offset {error.start} ({error.reason})"
        ) from None
    if len(text) < MIN_CHARACTERS:
        found = f"has {len(text)} characters" if text else "is empty"
        raise InputError(f"{origin} {found}, expected at least {MIN_CHARACTERS} characters")
    return Corpus(origin, text, hashlib.sha256(data).hexdigest())


def _documentation() -> tuple[str, bytes]:
    """Return the name and the bytes of the documentation text inside this Python."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise InputError("this Python has no pydoc_data.topics, expected a text file") from None
    text = "\n".join(topics[name] for name in sorted(topics))
    version = platform.python_version()
    return f"documentation inside CPython {version} (pydoc_data.topics)", text.encode()


def _read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read {path}: {reason}") from None


class Vocabulary:
    """A numbering of characters: UNKNOWN is 0, the characters follow in the given order.

    Parameters
    ----------
    characters : str
        Every character once.

    Examples
    --------
    >>> vocabulary = Vocabulary.of("banana")
    >>> vocabulary.characters, len(vocabulary)
    ('abn', 4)
    >>> vocabulary.encode("nab?")
    array([3, 1, 2, 0])
    >>> vocabulary.decode([3, 1, 2])
    'nab'
    """

    def __init__(self, characters: str) -> None:
        codes = _code_points(characters)
        order = np.argsort(codes, kind="stable")
        self.characters = characters
        self._sorted_codes, self._symbols = codes[order], order + 1
        if np.any(self._sorted_codes[1:] == self._sorted_codes[:-1]):
            raise ValueError("characters repeats a character, expected every one once")

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        """Return the vocabulary of a text: its characters in the order of their code points."""
        return cls("".join(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.characters) + 1

    def encode(self, text: str) -> Symbols:
        """Return the symbols (len(text),) of a text, UNKNOWN where it leaves the vocabulary."""
        codes = _code_points(text)
        if not self.characters:
            return np.full(len(codes), UNKNOWN, np.int64)
        place = np.searchsorted(self._sorted_codes, codes)
        place = np.minimum(place, len(self.characters) - 1)
        known = self._sorted_codes[place] == codes
        return np.where(known, self._symbols[place], UNKNOWN).astype(np.int64)

    def decode(self, symbols: npt.ArrayLike) -> str:
        """Return the text of symbols; UNKNOWN becomes U+FFFD, the replacement character."""
        table = "\N{REPLACEMENT CHARACTER}" + self.characters
        return "".join(table[symbol] for symbol in np.asarray(symbols).ravel().tolist())

    def unknown_characters(self, text: str) -> list[str]:
        """Return the characters of a text outside the vocabulary, each once, sorted."""
        return sorted(set(text) - set(self.characters))


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    # Lone surrogates come from undecodable command-line arguments; they are merely unknown.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@dataclass(frozen=True)
class Split:
    """A text as symbols: all but the last tenth to train on, the last tenth held out."""

    vocabulary: Vocabulary
    training: Symbols
    held_out: Symbols

    @property
    def unknown(self) -> int:
        """The number of held-out characters that do not occur in the training part."""
        return int(np.count_nonzero(self.held_out == UNKNOWN))


def split(text: str) -> Split:
    """Hold out the last tenth of a text, rounded down, and number the characters of the rest.

    Examples
    --------
    >>> parts = split("abcd" * 24 + "abxy")
    >>> len(parts.training), parts.held_out, parts.unknown
    (90, array([3, 4, 1, 2, 3, 4, 1, 2, 0, 0]), 2)
    """
    cut = len(text) - len(text) // 10
    vocabulary = Vocabulary.of(text[:cut])
    return Split(vocabulary, vocabulary.encode(text[:cut]), vocabulary.encode(text[cut:]))


def streams(symbols: Symbols, batch: int) -> tuple[Symbols, Symbols]:
    """Cut symbols (N,) into `batch` contiguous streams; return inputs and targets (T, batch).

    Column b continues through all rows, so a state carried from one window of rows to the next
    always meets the character that follows. T is (N - 1) // batch; fewer than `batch`
    characters at the end stay unused. A text too short for so many streams is refused.

    Examples
    --------
    >>> x, y = streams(np.arange(8), 2)
    >>> x.T
    array([[0, 1, 2],
           [3, 4, 5]])
    >>> y.T
    array([[1, 2, 3],
           [4, 5, 6]])
    """
    length = (len(symbols) - 1) // batch
    if length < 1:
        raise ValueError(f"symbols has {len(symbols)} entries, expected more than {batch}")
    inputs = symbols[: length * batch].reshape(batch, length)
    targets = symbols[1 : length * batch + 1].reshape(batch, length)
    return np.ascontiguousarray(inputs.T), np.ascontiguousarray(targets.T)
