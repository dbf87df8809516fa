"""Whether a verb agrees with its subject, or with the noun that came last.

The question is that of Linzen, Dupoux & Goldberg (2016), in made-up sentences: in "the keys to
the old cabinet ..." the syntactic answer is the number of the subject, plural, and sequential
recency answers with the attractor, singular. Where the two differ, one of them is wrong.

A sentence of l words has k + 1 phrases of floor((l - 1) / (k + 1)) words, and the verb last:

    determiner  . . S . .    preposition  . N_1 . . .   ...   preposition  . . N_k .   ..  VERB

Each phrase begins with its function word and has one noun at a random place; the dots are
fillers. Subject and attractors are drawn from the same nouns, so that place and structure alone
tell them apart. The verb itself shows no number.

An attractor is of the other number than the subject with a probability p. With p = 1/2 the
numbers of the attractors say nothing about the answer. With p < 1/2 recency is right in 1 - p
of the sentences and tempting; with p = 1 the opposite of recency is always right, so that a
model trained on it can do without the subject. Measured are sentences whose last attractor
differs from the subject: recency gets all of them wrong, a coin half, syntax none.
"""

from __future__ import annotations

import math

import numpy as np

from rnncore.layers.checks import check_count
from rnncore.parameters import Array
from rnncore.tasks.base import Baseline, Task, one_hot

_VERB, _DETERMINER, _PREPOSITION, _NOUN = range(4)  # from _NOUN: singular, plural, fillers


class Agreement(Task):
    """The number of a verb: that of its subject, with other nouns between them.

    x (T, B, 3 + 2 nouns + fillers) is one-hot, a sentence with the verb as its last word: its
    symbols are the verb, a determiner, a preposition, the singular nouns, the plural nouns and
    the fillers, in this order. y (B,) is 0 for a singular subject and 1 for a plural one.
    `error_rate` measures sentences in which the last noun before the verb has the other number.

    Parameters
    ----------
    length : int or (int, int)
        The words of a sentence T, at least 3 + 2 attractors; a pair is `range(low, high)`,
        from which each batch draws.
    attractors : int, default=1
        How many nouns stand between subject and verb.
    opposite : float, default=0.5
        The probability that an attractor has not the number of the subject, in the stream to
        train on: 0.5 for random numbers, 1 for opposite ones.
    nouns : int, default=4
        How many nouns there are of each number.
    fillers : int, default=4
        How many words there are without number.
    seed : int or None
        Of everything random.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range or no integer.

    Notes
    -----
    After Linzen, Dupoux & Goldberg (2016).

    Examples
    --------
    >>> task = Agreement(length=30, attractors=2, seed=0)
    >>> x, y = task.sample(1000)
    >>> x.shape, bool(0.4 < (task.recent_number(x) == y).mean() < 0.6)
    ((30, 1000, 15), True)
    """

    output_size = 2

    def __init__(self, length: int | tuple[int, int], *, attractors: int = 1,
                 opposite: float = 0.5, nouns: int = 4, fillers: int = 4,
                 seed: int | None = None) -> None:
        check_count("attractors", attractors)
        check_count("nouns", nouns)
        check_count("fillers", fillers)
        if not 0 <= opposite <= 1:
            raise ValueError(f"opposite is {opposite}, expected a probability from 0 to 1")
        super().__init__(length, seed, shortest=3 + 2 * attractors, attractors=attractors,
                         opposite=opposite, nouns=nouns, fillers=fillers)
        self.attractors, self.opposite = attractors, opposite
        self.nouns, self.fillers = nouns, fillers
        self.input_size = _NOUN + 2 * nouns + fillers

    @property
    def baseline(self) -> Baseline:
        """A coin. Recency has the error 1 on what `error_rate` measures."""
        return Baseline(math.log(2), 0.5)

    def recent_number(self, x: Array) -> Array:
        """The answer of sequential recency: the number of the last noun before the verb.

        Parameters
        ----------
        x : array (T, B, input_size)
            Sentences as `sample` gives them.

        Returns
        -------
        int (B,)
            0 for singular, 1 for plural; the two conditions are where it equals y and where
            it does not.

        Raises
        ------
        ValueError
            If x is not of such a shape.
        """
        x = np.asarray(x)
        if x.ndim != 3 or x.shape[-1] != self.input_size:
            raise ValueError(f"x has shape {x.shape}, expected (time, batch, "
                             f"{self.input_size})")
        noun = x.argmax(axis=-1) - _NOUN
        is_noun = (noun >= 0) & (noun < 2 * self.nouns)
        last = len(x) - 1 - is_noun[::-1].argmax(axis=0)
        number: Array = noun[last, np.arange(x.shape[1])] // self.nouns
        return number

    def _draw(self, rng: np.random.Generator, length: int, size: int) -> tuple[Array, Array]:
        return self._sentences(rng, length, size, self.opposite)

    def _draw_test(self, rng: np.random.Generator, length: int,
                   size: int) -> tuple[Array, Array]:
        return self._sentences(rng, length, size, last=1.0)

    def _sentences(self, rng: np.random.Generator, length: int, size: int,
                   last: float) -> tuple[Array, Array]:
        """Sentences whose last attractor is of the other number with the probability `last`."""
        phrases = self.attractors + 1
        width = (length - 1) // phrases
        chances = np.full((phrases, 1), self.opposite)
        chances[0], chances[-1] = 0, last
        y = rng.integers(2, size=size)
        numbers = y ^ (rng.random((phrases, size)) < chances)  # (phrases, size)

        words = rng.integers(_NOUN + 2 * self.nouns, self.input_size, (length, size))
        starts = width * np.arange(phrases)
        words[starts] = _PREPOSITION
        words[0], words[-1] = _DETERMINER, _VERB
        places = starts[:, None] + rng.integers(1, width, (phrases, size))
        nouns = self.nouns * numbers + rng.integers(self.nouns, size=(phrases, size))
        words[places, np.arange(size)] = _NOUN + nouns
        return one_hot(words, self.input_size), y
