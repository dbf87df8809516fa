"""The synthetic tasks: their definitions, told once more in slow loops from the text."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from task_cases import CHEAP, Guess, again

import rnncore as rc
from rnncore import tasks
from rnncore.tasks.base import one_hot


def sequences(task, count=400):
    """Single sequences of many batches: their steps, inputs and targets."""
    task = again(task)
    for _ in range(count // 10):
        x, y = task.sample(10)
        for b in range(10):
            yield len(x), x[:, b], y[b] if task.last else y[:, b]


def symbols(x):
    """The symbols of one-hot steps (T, I), which must be one-hot."""
    assert ((x == 0) | (x == 1)).all()
    assert (x.sum(axis=1) == 1).all()
    return [int(row.argmax()) for row in x]


# ---- Definitions ----


@pytest.mark.parametrize(("kind", "combine"), [(tasks.Addition, lambda a, b: (a + b) / 2),
                                               (tasks.Multiplication, lambda a, b: a * b)])
def test_marked_values_are_those_of_pascanu(kind, combine):
    steps, places = set(), {0: set(), 1: set()}
    for length, x, y in sequences(kind(50, seed=1), 2000):
        marked = [t for t in range(length) if x[t, 0] == 1]
        assert len(marked) == 2 and sum(x[:, 0]) == 2
        assert ((x[:, 1] >= 0) & (x[:, 1] < 1)).all()
        assert y == pytest.approx([combine(*(float(x[t, 1]) for t in marked))], rel=1e-6)
        steps.add(length)
        for which, t in enumerate(marked):
            places[which].add(t)
    assert steps == set(range(50, 55))  # T + randint(0.1 T)
    # For 50 to 54 steps a tenth is 5 and four tenths are 20 or 21.
    assert places == {0: set(range(5)), 1: set(range(5, 26))}


@pytest.mark.parametrize("length", [20, 21])
def test_marked_values_of_the_adding_problem(length):
    places = {0: set(), 1: set()}
    for steps, x, y in sequences(tasks.AddingProblem(length, seed=1), 2000):
        marked = [t for t in range(steps) if x[t, 0] == 1]
        assert steps == length and len(marked) == 2
        assert y == pytest.approx([float(x[marked[0], 1]) + float(x[marked[1], 1])], rel=1e-6)
        for which, t in enumerate(marked):
            places[which].add(t)
    assert places == {0: set(range(10)), 1: set(range(10, length))}


@pytest.mark.parametrize(("count", "tenths"), [(2, (10, 50)), (3, (10, 30, 60))])
def test_temporal_order(count, tenths):
    places, classes, others = [set() for _ in tenths], set(), set()
    for steps, x, y in sequences(tasks.TemporalOrder(100, symbols=count, seed=1), 2000):
        word = symbols(x)
        relevant = [t for t, symbol in enumerate(word) if symbol < 2]
        assert steps == 100 and len(relevant) == count
        others |= {word[t] for t in range(100) if t not in relevant}
        assert y == sum(word[t] * 2**i for i, t in enumerate(relevant))
        classes.add(int(y))
        for seen, t in zip(places, relevant, strict=True):
            seen.add(t)
    assert places == [set(range(first, first + 10)) for first in tenths]
    assert classes == set(range(2**count)) and others == {2, 3, 4, 5}


@pytest.mark.parametrize("every_step", [False, True])
def test_random_permutation(every_step):
    seen, ends = set(), set()
    task = tasks.RandomPermutation(30, every_step=every_step, seed=1)
    for _, x, y in sequences(task):
        word = symbols(x)
        last = y[-1] if every_step else y
        assert last == word[0] and word[0] in (0, 1)
        assert not every_step or list(y[:-1]) == word[1:]
        seen |= set(word[1:])
        ends.add(int(last))
    assert seen == set(range(2, 100)) and ends == {0, 1}


@pytest.mark.parametrize(("task", "n", "trigger"), [
    (tasks.Memorization(7, seed=1), 5, 12),
    (tasks.Memorization(7, values=5, symbols=10, seed=1), 10, 17),
    (tasks.CopyMemory(7, seed=1), 10, 16)])  # 10 symbols, 7 - 1 blanks
def test_recall(task, n, trigger):
    blank, seen = task.values, set()
    for steps, x, y in sequences(task):
        word = symbols(x)
        assert steps == 7 + 2 * n
        assert [t for t, symbol in enumerate(word) if symbol == blank + 1] == [trigger]
        assert {word[t] for t in range(n, steps) if t != trigger} == {blank}
        assert list(y) == [blank] * (n + 7) + word[:n]
        seen.add(tuple(word[:n]))
    assert set().union(*seen) == set(range(blank))
    assert len(seen) == (32 if n == 5 else 400)  # all of 2^5; hardly two alike of 5^10, 8^10


def parse(word, nouns=4, fillers=4):
    """The subject's number and the attractors', of a sentence as the text has it."""
    verb, determiner, preposition = 0, 1, 2
    singular = range(3, 3 + nouns)
    plural = range(3 + nouns, 3 + 2 * nouns)
    others = range(3 + 2 * nouns, 3 + 2 * nouns + fillers)
    assert word[0] == determiner and word[-1] == verb
    assert word.count(determiner) == word.count(verb) == 1
    subject, attractors, open_phrase = None, [], "subject"
    for symbol in word[1:-1]:
        if symbol == preposition:
            assert open_phrase is None  # the phrase before has its noun
            open_phrase = "modifier"
        elif symbol in singular or symbol in plural:
            number = int(symbol in plural)
            if open_phrase == "subject":
                subject = number
            else:
                assert open_phrase == "modifier"
                attractors.append(number)
            open_phrase = None
        else:
            assert symbol in others
    return subject, attractors


@pytest.mark.parametrize("opposite", [0.0, 0.5, 1.0])
def test_agreement_is_with_the_subject(opposite):
    task = tasks.Agreement((9, 40), attractors=3, opposite=opposite, seed=1)
    differ, answers, vocabulary = [], [], set()
    for _, x, y in sequences(task, 2000):
        subject, attractors = parse(symbols(x))
        vocabulary |= set(symbols(x))
        assert y == subject and len(attractors) == 3
        assert task.recent_number(x[:, None]) == attractors[-1]
        differ.append([number != subject for number in attractors])
        answers.append(int(y))
    assert np.mean(differ, axis=0) == pytest.approx([opposite] * 3, abs=0.03)
    assert np.mean(answers) == pytest.approx(0.5, abs=0.03)
    assert vocabulary == set(range(task.input_size))


def test_agreement_shows_its_nouns_at_every_place_of_a_phrase():
    subjects, attractors = set(), set()
    for _, x, _ in sequences(tasks.Agreement(13, seed=1)):  # two phrases of six words
        places = [t for t, symbol in enumerate(symbols(x)) if 3 <= symbol < 11]
        subjects.add(places[0])
        attractors.add(places[1])
    assert subjects == set(range(1, 6)) and attractors == set(range(7, 12))


@pytest.mark.parametrize("opposite", [0.0, 0.5, 1.0])
def test_agreement_tells_syntax_from_recency(opposite):
    """Whatever the training stream: recency is never right, the subject always."""
    task = tasks.Agreement(21, attractors=2, opposite=opposite, seed=1)

    def subject(x):
        first = ((x.argmax(-1) >= 3) & (x.argmax(-1) < 11)).argmax(axis=0)
        return (x.argmax(-1)[first, np.arange(x.shape[1])] - 3) // 4

    assert task.error_rate(Guess(task, task.recent_number), 1000) == 1
    assert task.error_rate(Guess(task, subject), 1000) == 0
    always = task.error_rate(Guess(task, lambda x: np.zeros(x.shape[1], int)), 1000)
    assert always == pytest.approx(0.5, abs=0.05)


# ---- Criteria and baselines ----


@pytest.mark.parametrize(("kind", "tolerance"), [
    (tasks.Addition, 0.2), (tasks.Multiplication, 0.2), (tasks.AddingProblem, 0.04)])
def test_values_are_wrong_beyond_the_tolerance(kind, tolerance):
    off = np.array([0, 0.99, -0.99, 1.01, -1.01, np.nan, np.inf, -np.inf]) * tolerance
    y = np.full((8, 1), 0.5, np.float32)
    found = kind(50, seed=0).wrong(y, y + off[:, None].astype(np.float32))
    assert found.tolist() == [False] * 3 + [True] * 5


def test_the_largest_output_of_the_last_step_decides():
    task = tasks.TemporalOrder(50, seed=0)
    output = np.array([[0, 1, 0, 0], [0, 1, 2, 0], [0, np.nan, 0, 0]], np.float32)
    assert task.wrong(np.array([1, 1, 1]), output).tolist() == [False, True, True]


@pytest.mark.parametrize("kind", [tasks.Memorization, tasks.CopyMemory])
def test_one_wrong_step_makes_a_recall_wrong(kind):
    task = kind(5, seed=0)
    _, y = task.sample(len(task.sample(1)[1]) + 1)
    output = one_hot(y, task.output_size)
    for t in range(len(y)):  # one step wrong in each sequence but the last
        output[t, t] = np.roll(output[t, t], 1)
    assert task.wrong(y, output).tolist() == [True] * len(y) + [False]


def test_a_permutation_is_right_if_its_last_symbol_is():
    task = tasks.RandomPermutation(5, every_step=True, seed=0)
    _, y = task.sample(3)
    output = one_hot((y + 1) % 100, 100)
    output[-1, 1] = one_hot(y[-1, 1], 100)
    assert task.wrong(y, output).tolist() == [True, False, True]


def test_shapes_of_the_criterion_are_checked():
    task = tasks.TemporalOrder(50, seed=0)
    with pytest.raises(ValueError, match=r"output has shape \(3, 5\), expected \(batch, 4\)"):
        task.wrong(np.zeros(3, int), np.zeros((3, 5)))
    with pytest.raises(ValueError, match=r"y has shape \(3, 1\), expected \(3,\)"):
        task.wrong(np.zeros((3, 1), int), np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"expected \(time, batch, 3\)"):
        tasks.Memorization(5, seed=0).wrong(np.zeros(3, int), np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"y has shape \(3,\), expected \(3, 1\)"):
        tasks.Addition(50, seed=0).wrong(np.zeros(3), np.zeros((3, 1)))


@pytest.mark.parametrize(("task", "constant", "loss", "error"), [
    (tasks.Addition(50, seed=0), 0.5, 0.0417, 0.36),
    (tasks.Multiplication(50, seed=0), 0.25, 0.0486, 0.390),
    (tasks.AddingProblem(50, seed=0), 1.0, 0.1667, 0.9216)])
def test_the_baseline_of_values_is_a_constant(task, constant, loss, error):
    _, y = task.sample(40_000)
    output = np.full_like(y, constant)
    assert task.baseline == pytest.approx((loss, error), abs=5e-4)
    assert np.mean((y - output) ** 2) == pytest.approx(loss, rel=0.02)
    assert task.wrong(y, output).mean() == pytest.approx(error, abs=0.01)


@pytest.mark.parametrize(("task", "loss", "error"), [
    (tasks.TemporalOrder((50, 70), seed=0), 1.386, 0.75),
    (tasks.TemporalOrder(50, symbols=3, seed=0), 2.079, 0.875),
    (tasks.RandomPermutation(50, seed=0), math.log(2), 0.5),
    (tasks.RandomPermutation(3, every_step=True, seed=0),
     (2 * math.log(98) + math.log(2)) / 3, 0.5),
    (tasks.Memorization(90, seed=0), 5 * math.log(2) / 100, 31 / 32),
    (tasks.CopyMemory(1000, seed=0), 0.0204, 1 - 8.0**-10),
    (tasks.CopyMemory((980, 1021), seed=0), 0.0204, 1 - 8.0**-10),  # 1000 in the mean
    (tasks.Agreement(20, seed=0), math.log(2), 0.5)])
def test_baselines_are_those_of_the_literature(task, loss, error):
    assert task.baseline == pytest.approx((loss, error), rel=2e-3)


@pytest.mark.parametrize("task", [CHEAP[6], CHEAP[7], CHEAP[9]], ids=repr)
def test_the_baseline_of_steps_is_the_entropy_of_what_is_unknown(task):
    """In numbers: probabilities that know all but the pattern, scored by the library."""
    stream = again(task).batches(5)
    loss = count = 0
    for x, y in itertools.islice(stream, 400):
        logits = np.full((*y.shape, task.output_size), -1e9)
        if isinstance(task, tasks.RandomPermutation):
            logits[:-1, :, 2:] = logits[-1, :, :2] = 0
        else:
            recall = len(x) - task.symbols
            logits[:recall, :, -1] = logits[recall:, :, :-1] = 0
        loss += rc.losses.get_loss("cross_entropy").value(logits, y, np.ones(y.shape))
        count += y.size
    assert loss / count == pytest.approx(task.baseline.loss, rel=0.01)
