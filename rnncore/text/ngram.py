"""The baseline of the character model: an n-gram model with Witten-Bell interpolation.

After a context h of k characters, seen n(h) times and followed by t(h) kinds of characters,

    P_k(c | h) = (n(h c) + t(h) P_{k-1}(c | h')) / (n(h) + t(h)),    P_0 = 1 / symbols,

where h' is h without its oldest character; an unseen context passes P_{k-1} on (Witten and
Bell, 1991, method C; interpolated as in Chen and Goodman, 1998).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rnncore.text.corpus import Symbols


def witten_bell_probabilities(
    training: Symbols, held_out: Symbols, n_symbols: int, order: int = 6
) -> npt.NDArray[np.float64]:
    """Fit an n-gram model to one text and return its probability of every symbol of another.

    Parameters
    ----------
    training, held_out : (N,) and (M,) arrays of int64
        Symbols in [0, n_symbols).
    n_symbols : int
        The number of symbols, seen or not.
    order : int, default=6
        The longest n-gram: `order - 1` symbols of context.

    Returns
    -------
    (M,) array of float64
        P(held_out[i] | up to order - 1 symbols before it); the context starts with held_out,
        so the first symbols have a shorter one, the first none.

    Examples
    --------
    >>> witten_bell_probabilities(np.array([0, 1, 0, 1]), np.array([0, 1]), 2, 2).round(3)
    array([0.5  , 0.833])
    """
    both = np.concatenate([training, held_out])
    n, probability = len(training), np.full(len(held_out), 1.0 / n_symbols)
    gram = np.zeros(len(both), np.int64)  # the number of the k-gram that ends at a position
    for k in range(1, order + 1):
        # The context of a k-gram is the (k-1)-gram before its last symbol.
        context = np.concatenate([[0], gram[:-1]])
        # Positions, not symbols, are what is numbered: numbers stay below N + M, so no order
        # and no vocabulary overflows the key.
        kinds, gram = np.unique(context * n_symbols + both, return_inverse=True)
        n_contexts = int(context.max(initial=0)) + 1
        count = np.bincount(gram[k - 1 : n], minlength=len(kinds))
        seen = np.bincount(context[k - 1 : n], minlength=n_contexts)
        followers = np.bincount((kinds // n_symbols)[count > 0], minlength=n_contexts)
        # Both slices start where a whole k-gram fits: none spans the two texts.
        g, h = gram[n + k - 1 :], context[n + k - 1 :]
        tail = probability[k - 1 :]
        mixed = (count[g] + followers[h] * tail) / np.maximum(seen[h] + followers[h], 1)
        probability[k - 1 :] = np.where(seen[h] > 0, mixed, tail)
    return probability


def witten_bell_bits(
    training: Symbols, held_out: Symbols, n_symbols: int, order: int = 6
) -> float:
    """Return the mean bits that the n-gram model of `training` needs per symbol of `held_out`.

    The first held-out symbol is context only, as it is for a network. Parameters are those of
    `witten_bell_probabilities`.

    Examples
    --------
    >>> round(witten_bell_bits(np.arange(50) % 4, np.arange(20) % 4, 4), 3)
    0.005
    """
    probability = witten_bell_probabilities(training, held_out, n_symbols, order)
    return -float(np.mean(np.log2(probability[1:])))
