"""Fitting and evaluating: every form of data, truncated BPTT, policies, refusals."""

from __future__ import annotations

import copy
import math
import signal

import numpy as np
import pytest

import rnncore as rc
from rnncore import evaluation
from rnncore.data import arrange

F64 = np.float64
T, B, K, H, C = 6, 5, 2, 4, 3


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make(loss="cross_entropy", last=False, **options):
    layers = [rc.GRU(K, H, dtype=F64), rc.Linear(H, C, dtype=F64)]
    if last:
        layers.insert(1, rc.Last())
    return rc.Model(layers, loss, **{"seed": 0, **options})


def arrays(rng):
    return rng.standard_normal((T, B, K)), rng.integers(0, C, (T, B))


def by_hand(model, pieces, optimizer):
    """Updates from tuples of arguments of loss_and_grad, with the state carried on."""
    losses, state = [], None
    for args in pieces:
        loss, state = model.loss_and_grad(*args[:2], state, *args[2:])
        optimizer.step(model)
        losses.append(loss)
    return losses


def same(model, other):
    return model.parameters.tobytes() == other.parameters.tobytes()


def test_one_batch_is_one_update(rng):
    model, other = make(), make()
    x, y = arrays(rng)
    history = model.fit((x, y), epochs=3, optimizer=rc.SGD(0.1, 0.9))
    optimizer = rc.SGD(0.1, 0.9)
    losses = [by_hand(other, [(x, y)], optimizer)[0] for _ in range(3)]
    assert same(model, other) and history.loss == history.update_loss == losses
    assert len(history.grad_norm) == 3 and history.skipped == 0 and history.valid_loss == []
    assert repr(history) == f"History(epochs=3, updates=3, loss={losses[-1]:.4g}, skipped=0)"


def test_batches_of_columns_in_order(rng):
    model, other = make(), make()
    x, y = arrays(rng)
    lengths, mask = np.array([6, 0, 3, 6, 1]), rng.random((T, B)) < 0.7
    history = model.fit((x, y, lengths, mask), batch_size=2, shuffle=False, optimizer=rc.Adam())
    optimizer = rc.Adam()
    for start in (0, 2, 4):
        part = slice(start, start + 2)
        by_hand(other, [(x[:, part], y[:, part], lengths[part], mask[:, part])], optimizer)
    assert same(model, other) and len(history.update_loss) == 3


def test_the_epochs_loss_is_over_steps_not_over_batches(rng):
    """With a learning rate of 0, it is what evaluate gives."""
    x, y = arrays(rng)
    lengths = np.array([6, 0, 3, 6, 1])
    for reduction in ("mean", "sum"):
        for loss, target in [("cross_entropy", y), ("mse", rng.standard_normal((T, B, C)))]:
            model = make(loss, reduction=reduction)
            history = model.fit((x, target, lengths), batch_size=2, optimizer=rc.SGD(0.0))
            whole, _ = model.loss_and_grad(x, target, lengths=lengths)
            assert history.loss[0] == pytest.approx(whole, rel=1e-12)
            for size in (1, 2, 100):
                result = model.evaluate((x, target, lengths), batch_size=size)
                assert result.loss == pytest.approx(whole, rel=1e-12)
                assert result.count == 16


def test_shuffling_is_seeded(rng):
    data = arrays(rng)

    def fitted(seed, model_seed=0):
        model = make(seed=model_seed)
        model.load_state_dict(make().state_dict())
        model.fit(data, epochs=3, batch_size=2, seed=seed, optimizer=rc.SGD(0.5))
        return model

    assert same(fitted(1), fitted(1)) and not same(fitted(1), fitted(2))
    assert same(fitted(None, 1), fitted(None, 1)) and not same(fitted(None, 1), fitted(None, 2))


def test_every_sequence_comes_once_an_epoch(rng):
    model, x = make(), np.arange(B, dtype=F64) * np.ones((T, 1))
    data = arrange(model, (np.stack([x, x], axis=2), np.zeros((T, B), int)))
    generator = np.random.default_rng(0)
    orders = [[int(v) for batch in data.batches(2, generator) for v in batch.cut(0, T).x[0, :, 0]]
              for _ in range(5)]
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
        by_hand(other, [(x, y, lengths)], optimizer)
    assert same(model, other)


def test_shuffled_sequences_are_batched_by_length(rng):
    data = arrange(make(), sequences(rng, lengths=range(1, 10)))
    generator = np.random.default_rng(0)
    epochs = [[batch.lengths.tolist() for batch in data.batches(3, generator)] for _ in range(5)]
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
    assert result.loss == pytest.approx(np.mean(expected)) and result.count == 4


def test_symbols(rng):
    model = rc.Model([rc.Embedding(7, K, dtype=F64), rc.RNN(K, C, dtype=F64)], "cross_entropy")
    ragged = [(rng.integers(0, 7, n), rng.integers(0, C, n)) for n in (3, 5)]
    assert len(model.fit(ragged, batch_size=1).update_loss) == 2
    whole = rng.integers(0, 7, (T, B)), rng.integers(0, C, (T, B))
    assert len(model.fit(whole).update_loss) == 1
    assert model.evaluate(whole).count == T * B


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
            by_hand(other, [batch], rc.SGD(0.1))
    assert same(model, other)


def test_one_sequence_alone(rng):
    model, other = make(), make()
    x, y = rng.standard_normal((T, K)), rng.integers(0, C, T)
    model.fit((x, y), optimizer=rc.SGD(0.1))
    by_hand(other, [(x, y)], rc.SGD(0.1))
    assert same(model, other) and model.evaluate((x, y)).count == T


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


def test_truncated_bptt_carries_the_state(rng):
    model, other = make(), make()
    x, y = arrays(rng)
    lengths = np.array([6, 0, 3, 5, 4])
    history = model.fit((x, y, lengths), tbptt=4, optimizer=rc.SGD(0.5))
    pieces = [(x[:4], y[:4], [4, 0, 3, 4, 4]), (x[4:], y[4:], [2, 0, 0, 1, 0])]
    losses = by_hand(other, pieces, rc.SGD(0.5))
    assert same(model, other) and history.update_loss == losses
    assert history.loss[0] == pytest.approx((15 * losses[0] + 3 * losses[1]) / 18)
    whole = make()
    whole.fit((x, y, lengths), tbptt=T, optimizer=rc.SGD(0.5))
    once = make()
    once.fit((x, y, lengths), optimizer=rc.SGD(0.5))
    assert same(whole, once)


def test_truncated_bptt_of_part_of_the_columns(rng):
    model, other = make(), make()
    x, y = arrays(rng)
    optimizer = rc.Adam()
    model.fit((x, y), tbptt=3, batch_size=3, shuffle=False)
    for part in (slice(0, 3), slice(3, 5)):
        by_hand(other, [(x[:3, part], y[:3, part]), (x[3:, part], y[3:, part])], optimizer)
    assert same(model, other)


def test_pieces_in_which_nothing_counts_are_no_updates(rng):
    model, other = make(), make()
    x, y = arrays(rng)
    mask = np.zeros((T, B), bool)
    mask[4:] = True
    history = model.fit((x, y, None, mask), tbptt=2, optimizer=rc.SGD(0.5, 0.9))
    _, state = other.infer(x[:4])
    other.loss_and_grad(x[4:], y[4:], state)
    rc.SGD(0.5, 0.9).step(other)
    assert len(history.update_loss) == 1 and same(model, other)


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


def test_evaluation_by_hand(rng):
    x, y = arrays(rng)
    model = make()
    right = model.infer(x)[0].argmax(axis=-1) == y
    result = model.evaluate((x, y))
    assert result.accuracy == right.mean()
    assert repr(result) == (f"Evaluation(loss={result.loss:.6g}, accuracy={result.accuracy:.4g}, "
                            "count=30)")
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
    assert (nothing.loss, nothing.accuracy, nothing.count) == (0, None, 0)


def test_validation_after_each_epoch(rng):
    model = make()
    data, valid = arrays(rng), arrays(rng)
    history = model.fit(data, valid=valid, epochs=2)
    result = model.evaluate(valid)
    assert history.valid_loss[-1] == result.loss and len(history.valid_loss) == 2
    assert history.valid_accuracy[-1] == result.accuracy
    assert f"valid_loss={result.loss:.4g}" in repr(history)


def test_clipping_bounds_the_update(rng):
    model = make()
    before = model.parameters.copy()
    history = model.fit(arrays(rng), clip_norm=1e-3, optimizer=rc.SGD(1.0))
    assert history.grad_norm[0] > 1e-3
    assert np.linalg.norm(model.parameters - before) == pytest.approx(1e-3, rel=0.01)


def test_dropout_acts_in_fit_and_not_in_evaluate(rng):
    model = rc.Model([rc.GRU(K, H, num_layers=2, dropout=0.5, dtype=F64),
                      rc.Linear(H, C, dtype=F64)], "cross_entropy", seed=0)
    model.layers[1].training = False
    data = arrays(rng)
    assert model.evaluate(data) == model.evaluate(data)
    history = model.fit(data, epochs=2, optimizer=rc.SGD(0.0))
    assert history.loss[0] != history.loss[1]
    assert [layer.training for layer in model.layers] == [True, False]


def explode(model):
    """Weights whose output is inf."""
    with model.writable() as flat:
        flat[:] = 1e308


def loss_with_bad_gradients(bad_calls):
    """Mean squares whose gradient is inf in one element at the given calls."""
    calls = []

    def loss(output, target, weights):
        calls.append(1)
        difference, w = output - target, weights[..., None]
        gradient = 2 * w * difference
        if len(calls) in bad_calls:
            gradient[0, 0, 0] = np.inf
        return float((w * difference**2).sum()), gradient

    return loss


def regression(rng):
    return rng.standard_normal((T, B, K)), rng.standard_normal((T, B, C))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_not_finite(rng):
    model = make("mse")
    explode(model)
    before = model.parameters.copy()
    with pytest.raises(FloatingPointError, match="loss of update 1 is (inf|nan), expected a fin"):
        model.fit(regression(rng))
    history = model.fit(regression(rng), on_nonfinite="skip", epochs=2)
    assert history.skipped == 2 and (model.parameters == before).all()
    assert len(history.update_loss) == 2 and not math.isfinite(history.update_loss[0])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_gradient_that_is_not_finite(rng):
    data = regression(rng)

    def model(*bad_calls):
        return make(loss_with_bad_gradients(bad_calls))

    once = model()
    once.fit(data, optimizer=rc.SGD(0.1))
    raising = model(2)
    with pytest.raises(FloatingPointError, match=r"update 2: gradient of 0.weight_ih_l0 is not f"):
        raising.fit(data, epochs=3, optimizer=rc.SGD(0.1))
    assert same(raising, once)
    skipping = model(2)
    history = skipping.fit(data, epochs=2, optimizer=rc.SGD(0.1), on_nonfinite="skip")
    assert history.skipped == 1 and same(skipping, once)
    assert math.isfinite(history.update_loss[1]) and not math.isfinite(history.grad_norm[1])
    zeroing = model(2)
    history = zeroing.fit(data, epochs=2, optimizer=rc.SGD(0.1), on_nonfinite="zero")
    assert history.skipped == 0 and np.isfinite(zeroing.parameters).all()
    assert math.isfinite(history.grad_norm[1])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_after_a_loss_that_is_not_finite_the_state_starts_anew(rng):
    model, other = make("mse"), make("mse")
    x, y = regression(rng)
    y[2] = np.inf
    history = model.fit((x, y), tbptt=2, on_nonfinite="skip", optimizer=rc.SGD(0.1))
    by_hand(other, [(x[:2], y[:2])], rc.SGD(0.1))
    by_hand(other, [(x[4:], y[4:])], rc.SGD(0.1))
    assert history.skipped == 1 and same(model, other)
    assert history.loss[0] == pytest.approx(np.mean([history.update_loss[i] for i in (0, 2)]))


def test_an_interrupt_comes_between_two_updates(rng):
    """Sent in the middle of the third update, Ctrl-C leaves three whole ones."""
    model, other = make(), make()
    data, optimizer = arrays(rng), rc.SGD(0.1, 0.9)
    update, calls = optimizer._update, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        update(*args)

    optimizer._update = interrupted
    with pytest.raises(KeyboardInterrupt):
        model.fit(data, epochs=9, optimizer=optimizer)
    other.fit(data, epochs=3, optimizer=rc.SGD(0.1, 0.9))
    assert same(model, other)


def test_a_progress_bar(rng, capsys):
    make().fit(arrays(rng), epochs=2, batch_size=2, tbptt=4, progress=True)
    err = capsys.readouterr().err
    assert "12/12" in err and "loss" in err and "norm" in err


def test_no_epochs_change_nothing(rng):
    model, other = make(), make()
    assert model.fit(arrays(rng), epochs=0).loss == [] and same(model, other)


def test_the_memory_task_is_learnt(rng):
    """A class shown at the first step is told at the last one."""
    target = rng.integers(0, C, 64)
    x = np.zeros((8, 64, C), np.float32)
    x[0, np.arange(64), target] = 1
    model = rc.Model([rc.LSTM(C, 16), rc.Last(), rc.Linear(16, C)], "cross_entropy", seed=0)
    model.fit((x, target), epochs=100, batch_size=64, optimizer=rc.Adam(0.02), clip_norm=1.0)
    assert model.evaluate((x, target)).accuracy == 1


GOOD = np.zeros((T, B, K)), np.zeros((T, B), int)
BAD = np.zeros((T, B, K)), np.full((T, B), C)


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (BAD, {}, ValueError, "data: target holds 3, expected values from 0 to 2"),
        (GOOD, {"valid": BAD}, ValueError, "valid: target holds 3"),
        ((GOOD[0][:, :, 0], GOOD[1]), {}, ValueError, r"data: x has shape \(6, 5\), expected \(t"),
        ((GOOD[0], GOOD[1], [7] * B), {}, ValueError, r"data: lengths\[0\] is 7, expected 0 to 6"),
        ((*GOOD, None, None, None), {}, ValueError, "data is of type tuple, expected a tuple"),
        ([], {}, ValueError, "data is empty, expected at least one sequence or batch"),
        ([(GOOD[0][:, 0], GOOD[1][:, 0]), (GOOD[0][:, 0], BAD[1][:, 0])], {}, ValueError,
         r"data\[1\]: target holds 3"),
        ([GOOD, BAD], {}, ValueError, r"data\[1\]: target holds 3"),
        ([3], {}, ValueError, r"data\[0\] is of type int, expected a tuple \(x, y\), \(x, y, len"),
        ([(GOOD[0][:, 0], GOOD[1][:, 0], None, np.ones(T, bool))], {}, ValueError,
         r"data has a mask, expected sequences \(x_i, y_i\)"),
        (GOOD[0], {}, TypeError, r"data is of type ndarray, expected arrays \(x, y\), a list of"),
        (7, {}, TypeError, "data is of type int"),
        (iter([GOOD]), {"epochs": 2}, ValueError, "data is an iterator, used up by the first of 2"),
        (GOOD, {"valid": iter([GOOD]), "epochs": 2}, ValueError, "valid is an iterator"),
        (GOOD, {"epochs": -1}, ValueError, "epochs is -1, expected at least 0"),
        (GOOD, {"epochs": 1.5}, TypeError, "epochs is 1.5, expected an integer"),
        (GOOD, {"batch_size": 0}, ValueError, "batch_size is 0, expected at least 1"),
        (GOOD, {"tbptt": 0}, ValueError, "tbptt is 0, expected at least 1"),
        (GOOD, {"clip_norm": 0.0}, ValueError, "max_norm is 0.0, expected a number above 0"),
        (GOOD, {"on_nonfinite": "stop"}, ValueError, "on_nonfinite is 'stop', expected raise"),
        (GOOD, {"optimizer": "adam"}, TypeError, "optimizer is of type str, expected an Optimi"),
    ],
)
def test_wrong_arguments_change_nothing(data, options, error, message):
    model, other = make(), make()
    with pytest.raises(error, match=message):
        model.fit(data, **options)
    assert same(model, other) and (model.grads == 0).all()


def test_an_optimizer_of_another_model_is_refused(rng):
    optimizer, data = rc.Adam(), arrays(rng)
    make().fit(data, optimizer=optimizer)
    other = rc.Model([rc.GRU(K, C, dtype=F64)], "cross_entropy")
    with pytest.raises(ValueError, match="the optimizer belongs to another model"):
        other.fit(data, optimizer=optimizer)


def test_truncation_needs_a_target_at_every_step_and_one_direction(rng):
    x, y = arrays(rng)
    with pytest.raises(ValueError, match="tbptt is 2, expected None for a model with Last or a"):
        make(last=True).fit((x, y[0]), tbptt=2)
    both = rc.Model([rc.RNN(K, C, bidirectional=True, dtype=F64)], "mse")
    with pytest.raises(ValueError, match="tbptt is 2, expected None"):
        both.fit((x, np.zeros((T, B, 2 * C))), tbptt=2)


def test_a_bad_batch_of_an_iterable_is_named_when_it_comes(rng):
    model, other = make(), make()
    x, y = arrays(rng)
    with pytest.raises(ValueError, match="batch 1: target holds 3"):
        model.fit(Stream((x, y), BAD), optimizer=rc.SGD(0.1))
    by_hand(other, [(x, y)], rc.SGD(0.1))
    assert same(model, other)


def test_evaluate_refuses_too(rng):
    with pytest.raises(ValueError, match="data: target holds 3"):
        make().evaluate(BAD)
    with pytest.raises(ValueError, match="batch_size is 0"):
        make().evaluate(GOOD, batch_size=0)


def test_a_fit_goes_on_from_a_copy(rng):
    model, data = make(), arrays(rng)
    model.fit(data, batch_size=2)
    other = copy.deepcopy(model)
    model.fit(data, batch_size=2, epochs=2)
    other.fit(data, batch_size=2, epochs=2)
    assert same(model, other)
