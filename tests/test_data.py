"""Every form of data that fit and evaluate take."""

from __future__ import annotations

import numpy as np
import pytest
from small import F64, C, K, make, same, train

import rnncore as rc
from rnncore import evaluation
from rnncore.data import arrange

T, B = 6, 5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def arrays(rng):
    return rng.standard_normal((T, B, K)), rng.integers(0, C, (T, B))


def test_every_sequence_comes_once_an_epoch(rng):
    model, x = make(), np.arange(B, dtype=F64) * np.ones((T, 1))
    data = arrange(model, (np.stack([x, x], axis=2), np.zeros((T, B), int)))
    generator = np.random.default_rng(0)
    orders = []
    for _ in range(5):
        batches = data.batches(2, generator)
        orders.append([int(v) for batch in batches for v in batch.cut(0, T).x[0, :, 0]])
    assert all(sorted(order) == list(range(B)) for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def sequences(rng, lengths=(3, 6, 1, 4, 6)):
    return [(rng.standard_normal((n, K)), rng.integers(0, C, n)) for n in lengths]


def test_sequences_of_any_length(rng):
    model, other = make(), make()
    data = sequences(rng)
    model.fit(data, shuffle=False, batch_size=2, optimizer=rc.Adam())
    optimizer = rc.Adam()
    for part in (data[:2], data[2:4], data[4:]):
        lengths = np.array([len(x) for x, _ in part])
        x, y = np.zeros((max(lengths), len(part), K)), np.zeros((max(lengths), len(part)), int)
        for b, (xb, yb) in enumerate(part):
            x[: len(xb), b], y[: len(yb), b] = xb, yb
        train(other, [(x, y, lengths)], optimizer)
    assert same(model, other)


def test_shuffled_sequences_are_batched_by_length(rng):
    data = arrange(make(), sequences(rng, lengths=range(1, 10)))
    generator = np.random.default_rng(0)
    epochs = [[batch.lengths.tolist() for batch in data.batches(3, generator)]
              for _ in range(5)]
    for batches in epochs:
        assert sorted(map(sorted, batches)) == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert len({str(batches) for batches in epochs}) > 1


def test_sequences_with_one_target_each(rng):
    model = make(last=True)
    data = [(rng.standard_normal((n, K)), int(rng.integers(0, C))) for n in (3, 6, 0, 4)]
    history = model.fit(data, batch_size=3, epochs=2)
    assert len(history.update_loss) == 4
    expected = [model.loss_and_grad(x, y)[0] for x, y in data]
    result = model.evaluate(data, batch_size=3)
    assert result.loss == pytest.approx(np.mean(expected)) and result.counted == 4


def test_symbols(rng):
    model = rc.Model([rc.Embedding(7, K, dtype=F64), rc.RNN(K, C, dtype=F64)], "cross_entropy")
    ragged = [(rng.integers(0, 7, n), rng.integers(0, C, n)) for n in (3, 5)]
    assert len(model.fit(ragged, batch_size=1).update_loss) == 2
    whole = rng.integers(0, 7, (T, B)), rng.integers(0, C, (T, B))
    assert len(model.fit(whole).update_loss) == 1
    assert model.evaluate(whole).counted == T * B


class Stream:
    """Batches that can be gone through again and again."""

    def __init__(self, *batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def test_an_iterable_of_batches_comes_in_order(rng):
    model, other = make(), make()
    (x, y), (x2, y2) = arrays(rng), arrays(rng)
    lengths = np.array([6, 0, 3, 6, 1])
    batches = [(x, y), (x2[:4], y2[:4]), (x, y, lengths)]
    for data in (Stream(*batches), list(batches)):
        assert len(model.fit(data, epochs=2, optimizer=rc.SGD(0.1)).update_loss) == 6
    assert len(model.fit(iter(batches), optimizer=rc.SGD(0.1)).update_loss) == 3
    for _ in range(5):
        for batch in batches:
            train(other, [batch], rc.SGD(0.1))
    assert same(model, other)


def test_one_sequence_alone(rng):
    model, other = make(), make()
    x, y = rng.standard_normal((T, K)), rng.integers(0, C, T)
    model.fit((x, y), optimizer=rc.SGD(0.1))
    train(other, [(x, y)], rc.SGD(0.1))
    assert same(model, other) and model.evaluate((x, y)).counted == T


def test_batch_first(rng):
    model, other = make(), make(batch_first=True)
    x, y = arrays(rng)
    lengths, mask = np.array([6, 0, 3, 6, 1]), rng.random((T, B)) < 0.7
    options = {"batch_size": 2, "tbptt": 4, "seed": 1}
    model.fit((x, y, lengths, mask), valid=(x, y), **options)
    swapped = x.swapaxes(0, 1), y.T
    other.fit((*swapped, lengths, mask.T), valid=swapped, **options)
    assert same(model, other)
    assert model.evaluate((x, y)) == other.evaluate(swapped)
    ragged = sequences(rng)
    assert model.evaluate(ragged) == other.evaluate(ragged)


def test_arrays_on_disk_are_read_where_they_lie(rng, tmp_path):
    x, y = arrays(rng)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    model, other = make(), make()
    model.fit((mapped, y), tbptt=2)
    other.fit((x, y), tbptt=2)
    assert same(model, other)


def test_evaluation_in_pieces_is_the_same(rng, monkeypatch):
    model, data = make(), (*arrays(rng), np.array([6, 0, 3, 5, 4]))
    whole = model.evaluate(data)
    monkeypatch.setattr(evaluation, "_KEPT", 2 * C * 32)
    assert model.evaluate(data).loss == pytest.approx(whole.loss, rel=1e-15)
    assert model.evaluate(data).accuracy == whole.accuracy


def test_evaluation_train(rng):
    x, y = arrays(rng)
    model = make()
    right = model.infer(x)[0].argmax(axis=-1) == y
    result = model.evaluate((x, y))
    assert result.accuracy == right.mean()
    assert repr(result) == (f"Evaluation(loss={result.loss:.6g}, "
                            f"accuracy={result.accuracy:.4g}, counted=30)")
    soft = rng.dirichlet(np.ones(C), (T, B))
    assert model.evaluate((x, soft)).accuracy is None
    mse = make("mse")
    target = rng.standard_normal((T, B, C))
    result = mse.evaluate((x, target))
    assert result.loss == pytest.approx(((mse.infer(x)[0] - target) ** 2).mean())
    assert result.accuracy is None and "accuracy" not in repr(result)
    binary = make("bernoulli")
    target = rng.random((T, B, C)) < 0.5
    right = (binary.infer(x)[0] > 0) == target
    assert binary.evaluate((x, target)).accuracy == pytest.approx(right.mean())
    nothing = model.evaluate((x, y, np.zeros(B, int)))
    assert (nothing.loss, nothing.accuracy, nothing.counted) == (0, None, 0)


def test_validation_after_each_epoch(rng):
    model = make()
    data, valid = arrays(rng), arrays(rng)
    history = model.fit(data, valid=valid, epochs=2)
    result = model.evaluate(valid)
    assert history.valid_loss[-1] == result.loss and len(history.valid_loss) == 2
    assert history.valid_accuracy[-1] == result.accuracy
    assert f"valid_loss={result.loss:.4g}" in repr(history)
