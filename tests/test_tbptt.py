"""Truncated back-propagation through time: what is run, what counts, what gradients reach."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from small import C, K, make, same

import rnncore as rc
from rnncore.batch import make_batch
from rnncore.data import ArrayData
from rnncore.training.walk import Walk

T, B = 12, 5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def arrays(rng):
    return rng.standard_normal((T, B, K)), rng.integers(0, C, (T, B))


class Spy(rc.SGD):
    """Keeps the gradient of every update, and steps by its learning rate."""

    def __init__(self, lr=0.0):
        super().__init__(lr)
        self.seen = []

    def step(self, model, lr_factor=1.0):
        self.seen.append(model.grads.copy())
        super().step(model, lr_factor)


@pytest.mark.parametrize("lengths", [None, [12, 0, 7, 3, 12]])
def test_windows_of_the_whole_batch_are_plain_bptt(lengths, rng):
    data, plain = (*arrays(rng), lengths), make()
    plain.fit(data, epochs=3, batch_size=2, optimizer=rc.SGD(0.5))
    for steps in (T, (T, T), (T, 2 * T), T + 5):
        model = make()
        model.fit(data, epochs=3, batch_size=2, optimizer=rc.SGD(0.5), tbptt=steps)
        assert same(model, plain)


def test_a_pair_of_the_same_number_is_that_number(rng):
    data, model, other = arrays(rng), make(), make()
    model.fit(data, tbptt=(5, 5), optimizer=rc.SGD(0.5))
    other.fit(data, tbptt=5, optimizer=rc.SGD(0.5))
    assert same(model, other)


@pytest.mark.parametrize("steps", [1, 5, (1, 1), (2, 3), (3, 7), (5, 12), (1, 4)])
def test_each_loss_counts_once_and_the_state_is_that_of_one_long_run(steps, rng):
    """With a learning rate of 0 the losses of the windows are those of the whole run."""
    x, y = arrays(rng)
    lengths = np.array([12, 0, 7, 3, 12])
    model = make(reduction="sum")
    whole, _ = model.loss_and_grad(x, y, lengths=lengths)
    history = model.fit((x, y, lengths), tbptt=steps, optimizer=rc.SGD(0.0))
    assert sum(history.update_loss) == pytest.approx(whole, rel=1e-12)
    k1 = steps if isinstance(steps, int) else steps[0]
    assert len(history.update_loss) == -(-T // k1)


def test_a_window_is_run_under_the_present_weights(rng):
    """(k1, k2) by hand, the stored state moved on by infer, each time k1 steps."""
    x, y = arrays(rng)
    model, other, k1, k2 = make(), make(), 2, 5
    history = model.fit((x, y), tbptt=(k1, k2), optimizer=rc.SGD(0.5))
    optimizer, state, at, losses = rc.SGD(0.5), None, 0, []
    for done in range(0, T, k1):
        start = max(0, done + k1 - k2)
        if start > at:
            _, state = other.infer(x[at:start], state)
        at, stop = start, done + k1
        mask = np.zeros((stop - start, B), bool)
        mask[done - start:] = True
        losses.append(other.loss_and_grad(x[start:stop], y[start:stop], state, mask=mask)[0])
        optimizer.step(other)
    assert same(model, other) and history.update_loss == losses


@pytest.mark.parametrize(("steps", "reach"), [(4, 3), ((2, 5), 4), ((3, 9), 8), ((1, 1), 0)])
def test_no_gradient_reaches_further_back_than_the_window(steps, reach, rng):
    """Only the last step counts, and only one step's input is not 0: what does its weight get?
    The forward pass is that of the whole run all the same.
    """
    mask = np.zeros((T, B), bool)
    mask[-1] = True
    y = rng.standard_normal((T, B, C))
    for lag in range(T):
        x = np.zeros((T, B, K))
        x[T - 1 - lag] = rng.standard_normal((B, K))
        model, spy = make("mse", cell=rc.RNN), Spy()
        history = model.fit((x, y, None, mask), tbptt=steps, optimizer=spy)
        whole, _ = model.loss_and_grad(x, y, mask=mask)
        assert history.update_loss == [pytest.approx(whole, rel=1e-13)] and len(spy.seen) == 1
        part = spy.seen[0][model.tensors.slice("0.weight_ih_l0")]
        assert part.any() == (lag <= reach)
        if lag <= reach:
            exact = model.grad_dict()["0.weight_ih_l0"].ravel()
            np.testing.assert_allclose(part, exact, rtol=1e-10)


def test_what_lies_further_back_than_the_window_is_not_learnt(rng):
    """A sign is to be told three steps later: learnt in windows of four steps, not of three."""
    steps = 160
    sign = rng.choice([-1.0, 1.0], (steps, 4, 1)).astype(np.float32)
    target = np.roll(sign, 3, axis=0) > 0
    mask = np.zeros((steps, 4), bool)
    mask[3::4] = True
    sign[np.arange(steps) % 4 != 0] = 0

    def learnt(tbptt):
        model = rc.Model([rc.LSTM(1, 8), rc.Linear(8, 1)], "bernoulli", seed=0)
        model.fit((sign, target, None, mask), tbptt=tbptt, optimizer=rc.Adam(0.05), epochs=8)
        return model.evaluate((sign, target, None, mask)).accuracy

    # An update at the end of each group of four steps, whose first lies within 4 but not 3.
    assert learnt(4) == 1
    assert learnt((2, 4)) == 1
    assert learnt((2, 3)) < 0.7


def test_resets_are_kept_while_the_state_is_moved_on(rng):
    x, y = arrays(rng)
    resets = rng.random((T, B)) < 0.2
    model = make(reduction="sum")
    whole, _ = model.loss_and_grad(x, y, resets=resets)
    for steps in (1, 4, (2, 5)):
        history = model.fit((x, y, None, None, resets), tbptt=steps, optimizer=rc.SGD(0.0))
        assert sum(history.update_loss) == pytest.approx(whole, rel=1e-12)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_after_a_loss_that_is_not_finite_windows_start_from_zero(rng):
    x, y = arrays(rng)
    x[3, 0] = np.inf
    model, other = make("mse"), make("mse")
    target = rng.standard_normal((T, B, C))
    history = model.fit((x, target), tbptt=(2, 4), on_nonfinite="skip", optimizer=rc.SGD(0.0))
    assert history.skipped == 1 and np.isfinite(history.update_loss[2:]).all()
    loss, _ = other.loss_and_grad(x[4:6], target[4:6])
    assert history.update_loss[2] == loss


@pytest.mark.parametrize(
    ("tbptt", "error", "message"),
    [
        ((3, 2), ValueError, r"tbptt is \(3, 2\), expected k1 <= k2"),
        ((0, 2), ValueError, r"tbptt\[0\] is 0, expected at least 1"),
        ((1, 2, 3), ValueError, r"tbptt is \(1, 2, 3\), expected a number k or a pair"),
        ((1, 2.5), TypeError, r"tbptt\[1\] is 2.5, expected an integer"),
        ("5", TypeError, "tbptt is '5', expected an integer"),
    ],
)
def test_wrong_windows_are_refused(rng, tbptt, error, message):
    model, other = make(), make()
    with pytest.raises(error, match=message):
        model.fit(arrays(rng), tbptt=tbptt)
    assert same(model, other)


@pytest.mark.parametrize("batch_size", [2, 8])
@pytest.mark.parametrize("tbptt", [250, (100, 250)])
def test_arrays_longer_than_memory_are_read_piece_by_piece(tmp_path, batch_size, tbptt):
    steps, rows, width = 20_000, 8, 16
    size = steps * rows * width * 4  # bytes of x, and of y
    shape = (steps, rows, width)
    x, y = (np.lib.format.open_memmap(tmp_path / f"{name}.npy", "w+", np.float32, shape)
            for name in "xy")
    model = rc.Model([rc.RNN(width, width)], "mse", seed=0)
    tracemalloc.start()
    try:
        model.fit((x, y), tbptt=tbptt, batch_size=batch_size)
        assert tracemalloc.get_traced_memory()[1] < size / 4
    finally:
        tracemalloc.stop()


def test_a_window_can_be_asked_for_again(rng):
    """A run that is written down between two updates looks at its window twice."""
    model = make()
    data = ArrayData(make_batch(model, *arrays(rng)), True)
    walk = Walk(model, data, 8, None, (2, 5))
    seen = 0
    while (window := walk.window()) is not None:
        again = walk.window()
        assert again.x.tobytes() == window.x.tobytes()
        seen += len(window.x)
        walk.advance(model.states(None))
    assert seen == 2 + 4 + 5 * 4 and walk.state == [None, None]
