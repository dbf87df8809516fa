"""Fitting: batches, truncated BPTT, clipping, policies, interrupts."""

from __future__ import annotations

import copy
import math
import signal

import numpy as np
import pytest
from small import F64, C, H, K, make, same, train

import rnncore as rc

T, B = 6, 5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def arrays(rng):
    return rng.standard_normal((T, B, K)), rng.integers(0, C, (T, B))


def test_one_batch_is_one_update(rng):
    model, other = make(), make()
    x, y = arrays(rng)
    history = model.fit((x, y), epochs=3, optimizer=rc.SGD(0.1, 0.9))
    optimizer = rc.SGD(0.1, 0.9)
    losses = [train(other, [(x, y)], optimizer)[0] for _ in range(3)]
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
        train(other, [(x[:, part], y[:, part], lengths[part], mask[:, part])], optimizer)
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
                assert result.counted == 16


def test_shuffling_is_seeded(rng):
    data = arrays(rng)

    def fitted(seed, model_seed=0):
        model = make(seed=model_seed)
        model.load_state_dict(make().state_dict())
        model.fit(data, epochs=3, batch_size=2, seed=seed, optimizer=rc.SGD(0.5))
        return model

    assert same(fitted(1), fitted(1)) and not same(fitted(1), fitted(2))
    assert same(fitted(None, 1), fitted(None, 1)) and not same(fitted(None, 1), fitted(None, 2))


def test_truncated_bptt_carries_the_state(rng):
    model, other = make(), make()
    x, y = arrays(rng)
    lengths = np.array([6, 0, 3, 5, 4])
    history = model.fit((x, y, lengths), tbptt=4, optimizer=rc.SGD(0.5))
    pieces = [(x[:4], y[:4], [4, 0, 3, 4, 4]), (x[4:], y[4:], [2, 0, 0, 1, 0])]
    losses = train(other, pieces, rc.SGD(0.5))
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
        train(other, [(x[:3, part], y[:3, part]), (x[3:, part], y[3:, part])], optimizer)
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
    with pytest.raises(FloatingPointError, match="update 1: the loss is (inf|nan), expected a"):
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
    with pytest.raises(FloatingPointError, match=r"update 2: the gradient of 0.weight_ih_l0"):
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
    train(other, [(x[:2], y[:2])], rc.SGD(0.1))
    train(other, [(x[4:], y[4:])], rc.SGD(0.1))
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


def test_a_fit_goes_on_from_a_copy(rng):
    model, data = make(), arrays(rng)
    model.fit(data, batch_size=2)
    other = copy.deepcopy(model)
    model.fit(data, batch_size=2, epochs=2)
    other.fit(data, batch_size=2, epochs=2)
    assert same(model, other)
