"""The n-gram baseline against its definition, written down slowly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from rnncore.text.ngram import witten_bell_bits, witten_bell_probabilities


def slow_probability(training, context, symbol, n_symbols, order):
    """P(symbol | context) by the recursion of Witten and Bell, straight from counts."""
    context = tuple(context)[-(order - 1) :] if order > 1 else ()
    probability = 1.0 / n_symbols
    for length in range(len(context) + 1):
        history = context[len(context) - length :]
        followers = Counter(
            training[i + length]
            for i in range(len(training) - length)
            if tuple(training[i : i + length]) == history
        )
        total, kinds = sum(followers.values()), len(followers)
        if total:
            probability = (followers[symbol] + kinds * probability) / (total + kinds)
    return probability


@pytest.mark.parametrize("order", [1, 2, 3, 6])
@pytest.mark.parametrize("length", [0, 1, 2, 5, 60])
def test_agrees_with_the_slow_recursion(rng, order, length):
    training, held_out = rng.integers(0, 4, 80).tolist(), rng.integers(0, 5, length).tolist()
    fast = witten_bell_probabilities(
        np.array(training, np.int64), np.array(held_out, np.int64), 5, order
    )
    slow = [
        slow_probability(training, held_out[:i], held_out[i], 5, order) for i in range(length)
    ]
    np.testing.assert_allclose(fast, slow, rtol=1e-13)


@pytest.mark.parametrize("context", [[], [0], [3, 1], [0, 1, 2, 3, 0], [9, 9, 9, 9, 9], [1, 9]])
def test_probabilities_sum_to_one(rng, context):
    training = np.concatenate([np.arange(40) % 4, rng.integers(0, 8, 500)])
    total = sum(
        witten_bell_probabilities(training, np.array([*context, symbol]), 10)[-1]
        for symbol in range(10)
    )
    assert total == pytest.approx(1, abs=1e-12)


def test_a_short_training_text_leaves_long_contexts_unseen():
    held_out = np.array([0, 1, 0])
    short = witten_bell_probabilities(np.array([0, 1]), held_out, 3, order=6)
    slow = [slow_probability([0, 1], [0, 1, 0][:i], [0, 1, 0][i], 3, 6) for i in range(3)]
    np.testing.assert_allclose(short, slow)
    empty = witten_bell_probabilities(np.array([], np.int64), held_out, 3)
    np.testing.assert_allclose(empty, 1 / 3)


def test_bits_leave_the_first_symbol_out(rng):
    training, held_out = rng.integers(0, 4, 300), rng.integers(0, 4, 50)
    probability = witten_bell_probabilities(training, held_out, 4)
    expected = -np.log2(probability[1:]).mean()
    assert witten_bell_bits(training, held_out, 4) == pytest.approx(expected, rel=1e-15)


def test_large_alphabets_do_not_overflow(rng):
    symbols = rng.integers(0, 1_114_112, 5000)
    bits = witten_bell_bits(symbols, symbols[::-1].copy(), 1_114_112)
    assert 0 < bits < 21


@pytest.fixture
def rng():
    return np.random.default_rng(0)
