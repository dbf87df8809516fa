"""Gradients in segments: checkpointed activations, resets of rows, weights of steps."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from cases import CELLS
from problems import RECURRENT, same_bits
from small import F64, C, K, make, numeric_gradient

import rnncore as rc
from rnncore.batch import make_batch
from rnncore.engine.spec import use
from rnncore.segments import add_gradient

T, B, H = 11, 5, 6
# Where a chunk ends, skips round the gradient of a state otherwise than inside it.
ROUNDED = [cell for cell in RECURRENT if "skip" in cell.name]
CUT = [cell for cell in RECURRENT if cell not in ROUNDED]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def native():
    """Bits are promised by this engine alone."""
    with use(engine="native"):
        yield


def arrays(rng, dtype=F64):
    return rng.standard_normal((T, B, K)).astype(dtype), rng.integers(0, C, (T, B))


def stack(cell, dtype, **options):
    own = getattr(rc, cell.kind)(H, H, dtype=dtype, **cell.options, **options)
    return rc.Model([rc.Embedding(7, H, dtype=dtype), rc.Linear(H, H, dtype=dtype), own,
                     rc.Linear(H, C, dtype=dtype)], "cross_entropy", seed=0)


def outcome(model, batch, state, every):
    """Everything that a pass gives, by name."""
    model.grads.fill(0)
    found = add_gradient(model, batch, model.states(state), every)
    states = {"state": found.state[2], "dstate": found.dstate[2]}
    return {"loss": np.float64(found.loss), "weight": np.float64(found.weight),
            "grads": model.grads.copy()} | {
        f"{name} {i}": part for name, entry in states.items()
        for i, part in enumerate(entry if isinstance(entry, tuple) else (entry,))}


@pytest.mark.parametrize("cell", CUT, ids=lambda cell: cell.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_segments_change_no_bit(cell, dtype, rng, native):
    model = stack(cell, dtype)
    x, y = rng.integers(0, 7, (T, B)), rng.integers(0, C, (T, B))
    _, state = model.infer(x)
    for extra in ({}, {"lengths": [11, 0, 4, 9, 2], "mask": rng.random((T, B))}):
        batch = make_batch(model, x, y, **extra)
        expected = outcome(model, batch, state, None)
        for every in (1, 4, 10, 11, 100):
            got = outcome(model, batch, state, every)
            for name in expected:
                same_bits(np.asarray(got[name]), np.asarray(expected[name]), name)


@pytest.mark.parametrize("cell", ROUNDED, ids=lambda cell: cell.name)
def test_segments_of_cells_with_skips_agree(cell, rng):
    model = stack(cell, F64)
    batch = make_batch(model, rng.integers(0, 7, (T, B)), rng.integers(0, C, (T, B)))
    expected, got = (outcome(model, batch, None, every) for every in (None, 4))
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("options", [{"num_layers": 2, "residual": True}, {"taps": (3,)},
                                     {"taps": (1, 4)}])
def test_segments_of_stacks_and_taps(options, rng, native):
    model = stack(CELLS["lstm"], F64, **options)
    batch = make_batch(model, rng.integers(0, 7, (T, B)), rng.integers(0, C, (T, B)),
                       [11, 0, 4, 9, 2])
    expected, got = (outcome(model, batch, None, every) for every in (None, 4))
    for name in expected:
        if len(options.get("taps", ())) > 1:
            np.testing.assert_allclose(got[name], expected[name], rtol=1e-11, atol=1e-14)
        else:
            same_bits(np.asarray(got[name]), np.asarray(expected[name]), name)


@pytest.mark.parametrize("loss", ["mse", "bernoulli", "kl"])
def test_segments_change_no_bit_of_any_loss(loss, rng, native):
    model = make(loss)
    x, y = arrays(rng)[0], rng.dirichlet(np.ones(C), (T, B))
    for reduction in ("mean", "sum"):
        model.reduction = reduction
        expected = model.loss_and_grad(x, y)[0], model.grads.tobytes()
        for every in (1, 3, 8):
            assert (model.loss_and_grad(x, y, checkpoint_every=every)[0],
                    model.grads.tobytes()) == expected


def test_segments_of_one_sequence_and_of_none(rng, native):
    x, y = arrays(rng)
    for data in ((x[:, 0], y[:, 0]), (x[:0], y[:0]), (x[:, :0], y[:, :0])):
        model = make()
        loss, _ = model.loss_and_grad(*data)
        expected = model.grads.tobytes()
        assert model.loss_and_grad(*data, checkpoint_every=3)[0] == loss
        assert model.grads.tobytes() == expected


def test_recomputation_draws_the_same_masks(rng, native):
    def model():
        return rc.Model([rc.GRU(K, H, num_layers=2, dropout=0.5, dtype=F64),
                         rc.Linear(H, C, dtype=F64)], "cross_entropy", seed=0)

    data, whole, cut = arrays(rng), model(), model()
    for _ in range(3):
        assert cut.loss_and_grad(*data, checkpoint_every=4)[0] == whole.loss_and_grad(*data)[0]
        assert cut.grads.tobytes() == whole.grads.tobytes()
        assert cut.generator_states() == whole.generator_states()
    deep = rc.Model([rc.GRU(K, H, num_layers=4, dropout=0.5, dtype=F64),
                     rc.Linear(H, C, dtype=F64)], "cross_entropy", seed=0)
    before = deep.generator_states()

    def drawn_again(*args, **options):
        deep.restore_generators(before)
        return deep.loss_and_grad(*args, **options)

    drawn_again(*data, checkpoint_every=4)
    exact = deep.grads.copy()
    np.testing.assert_allclose(exact, numeric(deep, drawn_again, data), atol=1e-8)


def numeric(model, function, data):
    """Central differences by the last parameters, which all layers above feed."""
    gradient, start = model.grads.copy(), model.parameters.copy()
    for i in range(0, start.size, 17):
        ends = []
        for sign in (1, -1):
            with model.writable() as flat:
                flat[:] = start
                flat[i] += sign * 1e-5
            ends.append(function(*data, checkpoint_every=4)[0])
        gradient[i] = (ends[0] - ends[1]) / 2e-5
    return gradient


def peak(steps, every, passes=1, width=64, rows=8):
    model = rc.Model([rc.LSTM(16, width), rc.Linear(width, 4)], "mse", seed=0)
    x, y = (np.zeros((steps, rows, n), np.float32) for n in (16, 4))
    model.loss_and_grad(x[:2], y[:2])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(passes):  # the memory of one is kept for the next
            model.loss_and_grad(x, y, checkpoint_every=every)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("steps", "every"), [(1024, 32), (4096, 64), (4096, 128)])
def test_memory_is_that_of_one_segment_and_of_the_states_between(steps, every):
    """Plain passes of S steps; h and c at T / S cuts; a weight and the losses of each step."""
    width, rows = 64, 8
    states = steps // every * 2 * width * rows * 4
    expected = peak(every, None, passes=2) + states + steps * (rows + 2) * 8
    assert peak(steps, every) == pytest.approx(expected, rel=0.1)
    assert peak(steps, None) > 4 * expected


def documents(rng):
    """Rows of a stream whose documents end at different steps, and where they begin."""
    resets = np.zeros((T, B), bool)
    for step, row in [(0, 0), (3, 1), (4, 1), (4, 2), (10, 3)]:
        resets[step, row] = True
    return *arrays(rng), resets


def test_a_reset_begins_a_document_anew(rng):
    x, y, resets = documents(rng)
    model, other = make(reduction="sum"), make(reduction="sum")
    start = [(rng.standard_normal((1, B, 4)),) * 2, None]
    loss, _ = model.loss_and_grad(x, y, start, resets=resets)
    total, other_grads = 0.0, 0
    for row in range(B):
        cuts = [*np.flatnonzero(resets[:, row])]
        for first, last in zip([0, *cuts], [*cuts, T], strict=True):
            state = [tuple(part[:, row] for part in start[0]), None]
            state = None if resets[first, row] else state
            total += other.loss_and_grad(x[first:last, row], y[first:last, row], state)[0]
            other_grads = other_grads + other.grads
    assert loss == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(model.grads, other_grads, atol=1e-12)


@pytest.mark.parametrize("every", [None, 2])
def test_the_gradient_with_resets_and_weights_is_that_of_the_loss(rng, every):
    x, y, resets = documents(rng)
    model = make(cell=rc.GRU)
    weights = rng.exponential(size=(T, B)) * (rng.random((T, B)) < 0.7)
    data = {"lengths": [11, 2, 11, 7, 0], "mask": weights, "resets": resets,
            "checkpoint_every": every}
    model.loss_and_grad(x, y, **data)
    exact = model.grads.copy()
    np.testing.assert_allclose(exact, numeric_gradient(model, x, y, **data), atol=1e-8)


def test_omega_as_a_sum_is_that_of_all_segments(rng):
    (x, y), omega = arrays(rng), rc.Omega(0.5, reduction="sum")
    model = make(cell=rc.RNN)
    model.loss_and_grad(x, y, omega=omega, clip_step=0.1)
    grads, found = model.grads.copy(), model.omega
    model.loss_and_grad(x, y, omega=omega, clip_step=0.1, checkpoint_every=4)
    assert model.omega.value == pytest.approx(found.value, rel=1e-12) and found.value > 0
    assert model.omega[1:] == found[1:]
    np.testing.assert_allclose(model.grads, grads, rtol=1e-9, atol=1e-14)
    model.grads[:] = 7
    for extra in ({"checkpoint_every": 4}, {"resets": np.ones((T, B), bool)}):
        with pytest.raises(ValueError, match="omega has reduction 'mean', expected 'sum' with"):
            model.loss_and_grad(x, y, omega=rc.Omega(0.5), **extra)
    assert (model.grads == 7).all()


def test_no_gradient_crosses_a_reset(rng):
    x, y, resets = documents(rng)
    model = make()
    found = add_gradient(model, make_batch(model, x, y, resets=resets), model.states(None))
    for part in found.dstate[0]:
        assert not part[0, 0].any() and part[0, 1:].any(axis=1).all()


def test_resets_reach_fit_and_evaluate(rng):
    x, y, resets = documents(rng)
    whole, pieces = make(), make()
    loss, _ = whole.loss_and_grad(x, y, resets=resets)
    history = pieces.fit((x, y, None, None, resets), tbptt=3, optimizer=rc.SGD(0.0))
    assert history.loss[0] == pytest.approx(loss, rel=1e-12)
    assert whole.evaluate((x, y, None, None, resets)).loss == pytest.approx(loss, rel=1e-12)
    assert whole.evaluate((x, y)).loss != pytest.approx(loss, rel=1e-6)
    first = make(batch_first=True)
    swapped = x.swapaxes(0, 1), y.T, None, None, resets.T
    assert first.evaluate(swapped).loss == pytest.approx(loss, rel=1e-12)
    shuffled = make().fit((x, y, None, None, resets), batch_size=2, optimizer=rc.SGD(0.0))
    assert shuffled.loss[0] == pytest.approx(loss, rel=1e-12)


def test_weights_make_a_weighted_mean(rng):
    x, y = arrays(rng)
    weights = rng.integers(0, 3, (T, B)).astype(np.float32)
    model = make()
    single = np.array([[model.loss_and_grad(x[: t + 1, b], y[: t + 1, b], mask=only(t))[0]
                        for b in range(B)] for t in range(T)])
    expected = (weights * single).sum() / weights.sum()
    data = x, y, None, weights
    assert model.loss_and_grad(*data[:2], mask=weights)[0] == pytest.approx(expected)
    assert model.loss_and_grad(x, y, mask=weights * 1e-3)[0] == pytest.approx(expected)
    result = model.evaluate(data)
    assert result.loss == pytest.approx(expected)
    assert result.counted == np.count_nonzero(weights)
    right = (model.infer(x)[0].argmax(axis=2) == y)[weights > 0]
    assert result.accuracy == right.mean()
    history = make().fit(data, tbptt=4, batch_size=2, optimizer=rc.SGD(0.0))
    assert history.loss[0] == pytest.approx(expected)
    total = make(reduction="sum")
    assert total.loss_and_grad(x, y, mask=weights)[0] == pytest.approx(expected * weights.sum())


def only(step):
    mask = np.zeros(step + 1, bool)
    mask[step] = True
    return mask


def test_weights_of_whole_sequences(rng):
    model, x, y = make(last=True), *arrays(rng)
    weights = np.array([2.0, 0, 1, 0, 0])
    model.loss_and_grad(x[:, [0, 0, 2]], y[0, [0, 0, 2]])
    expected = model.grads.copy()
    model.loss_and_grad(x, y[0], mask=weights)
    np.testing.assert_allclose(model.grads, expected, atol=1e-13)


@pytest.mark.parametrize("argument", [{"checkpoint_every": 2},
                                      {"resets": np.ones((T, B), bool)}])
def test_pieces_need_a_model_that_carries_its_state(rng, argument):
    x, y = arrays(rng)
    with pytest.raises(ValueError, match=f"{next(iter(argument))} .*expected None"):
        make(last=True).loss_and_grad(x, y[0], **argument)
