"""Streams: steps give the bits of the sequence run, and nothing but steps moves a state."""

from __future__ import annotations

import copy
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import CELLS
from fences import can_fence, fenced, poisoned
from problems import every_cell, every_dtype, every_isa, same_bits, takes_many_taps
from stream_problems import draw, network, same_states, structured
from test_memory import resident

import rnncore as rc
from rnncore.engine.plan import available_isas
from rnncore.engine.spec import use

STRUCTURES = [
    {}, {"num_layers": 2}, {"taps": (3,)}, {"taps": (1, 3), "num_layers": 2},
    {"residual": True, "num_layers": 2}, {"bias": False, "dropout": 0.5},
]
SHAPES = [(1, 5, 5), (3, 1, 16), (2, 19, 37), (50, 7, 7), (5, 40, 133)]  # B, I, H


def by_steps(stream, x):
    return np.stack([stream.step(x_t) for x_t in x])


@every_dtype
@every_isa
@every_cell
def test_steps_give_the_bits_of_the_sequence(cell, isa, dtype):
    """From zeros and from a state, whichever slot the rings begin at."""
    for model, x in structured(cell, STRUCTURES, SHAPES, dtype):
        with use(isa=isa, engine="native"):
            stream = model.stream(x.shape[1])
            y, state = model.infer(x)
            same_bits(by_steps(stream, x), y, "y")
            same_states(stream.state, state)
            y, after = model.infer(x[:5], state)
            stream.step(x[0])  # another slot
            stream.state = state
            same_bits(stream.run(x[:5]), y, "y from a state")
            same_states(stream.state, after)


@every_dtype
@every_cell
def test_steps_on_blas(cell, dtype):
    """Products of one step and of many are rounded otherwise."""
    for taps in ((1,), (1, 3)) if takes_many_taps(cell) else ((1,), (2,)):
        layer = getattr(rc, cell.kind)(19, 19, dtype=dtype, taps=taps, num_layers=2,
                                       residual=True, **cell.options)
        model = rc.Model([layer], seed=0)
        x = draw(9, 3, 19, dtype=dtype)
        close = 2000 * np.finfo(dtype).eps
        with use(engine="blas"):
            np.testing.assert_allclose(by_steps(model.stream(3), x), model.infer(x)[0], close,
                                       close)


@pytest.mark.parametrize("name", [n for n in CELLS if n.startswith("linear")])
@every_isa
def test_steps_of_linear_layers(name, isa):
    layers = [rc.Linear(19, 19, residual=True, **CELLS[name].options) for _ in range(3)]
    model, x = rc.Model(layers, seed=0), draw(4, 5, 19)
    with use(isa=isa, engine="native"):
        same_bits(by_steps(model.stream(5), x), model.infer(x)[0])


@pytest.mark.parametrize("size", [1, 2, 60])
@every_isa
def test_steps_of_whole_networks(isa, size):
    model, x = network(), np.random.default_rng(0).integers(0, 11, (30, size))
    with use(isa=isa, engine="native"):
        y, state = model.infer(x)
        stream = model.stream(size)
        same_bits(by_steps(stream, x.astype(np.uint8)), y)
        same_states(stream.state, state)
        stream.reset()
        same_bits(stream.run(x), y)
        same_states(stream.state, state)


def test_an_embedding_alone():
    model = rc.Model([rc.Embedding(5, 3)], seed=0)
    same_bits(model.stream().step(4), model.infer(np.array([4]))[0][0])


def test_last_gives_what_the_sequence_so_far_gives():
    model = rc.Model([rc.GRU(3, 4), rc.Last(), rc.Linear(4, 2)], seed=0)
    x, stream = draw(6, 2, 3), model.stream(2)
    for t in range(6):
        same_bits(stream.step(x[t]), model.infer(x[:t + 1])[0])


@pytest.mark.parametrize("kind", [rc.LSTM, rc.GRU])
def test_a_long_history(kind):
    model, x = rc.Model([kind(2, 9)], seed=0), draw(10_000, 1, 2)
    y, state = model.infer(x)
    stream, got, out = model.stream(), np.empty_like(y), np.empty((1, 9), np.float32)
    for t in range(len(x)):
        got[t] = stream.step(x[t], out)
    same_bits(got, y)
    same_states(stream.state, state)


def test_denormals_count_as_zero():
    """In the state that comes in and in what the steps compute, as in infer."""
    model = rc.Model([rc.RNN(1, 1, form="pascanu", activation="identity", bias=False)])
    model.load_state_dict({name: np.ones((1, 1)) for name in model.named_parameters()})
    x, state = np.zeros((2, 1, 1), np.float32), [np.full((1, 1, 1), 1e-40, np.float32)]
    stream = model.stream()
    stream.state = state
    same_bits(stream.run(x), model.infer(x, state)[0])


def test_one_row_without_an_axis_for_it():
    model, x = rc.Model([rc.LSTM(3, 4, taps=(1, 2)), rc.Linear(4, 2)], seed=0), draw(5, 3)
    y, state = model.infer(x)
    stream, out = model.stream(), np.empty(2, np.float32)
    same_bits(by_steps(stream, x), y)
    stream.state = state
    expected = model.infer(x, state)[0]
    assert stream.step(x[0], out=out) is out
    same_bits(out, expected[0])
    same_bits(stream.run(x[1:]), expected[1:])


@pytest.mark.parametrize("size", [1, 3])
def test_batch_first_is_only_a_layout(size):
    model, x = network(batch_first=True), np.random.default_rng(0).integers(0, 11, (size, 8))
    y, _ = model.infer(x)
    stream = model.stream(size)
    same_bits(stream.run(x[:, :5]), y[:, :5])
    out = np.empty(y[:, 5:].shape, np.float32)
    assert stream.run(x[:, 5:], out=out) is out
    same_bits(out, y[:, 5:])


def test_any_layout_of_the_input():
    model = rc.Model([rc.GRU(3, 3)], seed=0)
    x, expected = draw(2, 3), model.stream(2).step(draw(2, 3))
    wide, odd = np.zeros((4, 6), np.float32), np.zeros(25, np.uint8)[1:].view(np.float32)
    wide[::2, ::2], odd[:] = x, x.reshape(-1)
    frozen = x.copy()
    frozen.flags.writeable = False
    for layout in (np.asfortranarray(x), wide[::2, ::2], odd.reshape(2, 3), frozen, list(x)):
        same_bits(model.stream(2).step(layout), expected)


def test_the_output_may_lie_on_the_input():
    model, x = rc.Model([rc.GRU(3, 3)], seed=0), draw(2, 3)
    expected = model.stream(2).step(x)
    same_bits(model.stream(2).step(x, out=x), expected)


def test_some_rows_begin_anew():
    model, x = network(), np.random.default_rng(0).integers(0, 11, (12, 4))
    for rows, fresh in ((2, [2]), ([0, -1], [0, 3]), ([False, True, True, False], [1, 2]),
                        ([], []), (None, [0, 1, 2, 3])):
        stream = model.stream(4)
        stream.run(x[:5])
        stream.reset(rows)
        y = stream.run(x[5:])
        for row in range(4):
            alone = x[5:, row] if row in fresh else x[:, row]
            same_bits(y[:, row], model.infer(alone)[0][-7:])


@pytest.mark.parametrize("copied", [rc.stream.Stream.clone, copy.copy, copy.deepcopy])
def test_a_clone_goes_its_own_way(copied):
    model, x = network(), np.random.default_rng(0).integers(0, 11, (12, 2))
    stream = model.stream(2)
    stream.run(x[:5])
    model.load_state_dict({n: w * 2 for n, w in model.state_dict().items()})
    other = copied(stream)
    expected = stream.run(x[5:])
    same_bits(other.run(x[5:]), expected)
    other.step(x[0])
    same_bits(copied(stream).step(x[1]), stream.step(x[1]))


def test_a_state_is_a_copy():
    model = rc.Model([rc.LSTM(2, 3)], seed=0)
    stream = model.stream()
    stream.step(draw(1, 2))
    before = stream.state
    stream.step(draw(1, 2))
    given = copy.deepcopy(before)
    stream.state = given
    given[0][0][:] = np.nan
    same_states(stream.state, before)
    stream.state = None
    same_states(stream.state, model.stream().state)


def test_new_weights_come_with_refresh():
    model, x = network(), np.random.default_rng(0).integers(0, 11, (9, 2))
    old, stream = copy.deepcopy(model), model.stream(2)
    stream.run(x[:3])
    model.load_state_dict({n: w * 0.5 for n, w in model.state_dict().items()})
    same_bits(stream.run(x[3:6]), old.infer(x[:6])[0][3:])
    state = stream.state
    stream.refresh()
    same_states(stream.state, state)
    same_bits(stream.run(x[6:]), model.infer(x[6:], state)[0])
    for name in model.named_parameters():
        model.set_parameter(name, old.state_dict()[name])
    same_bits(copy.deepcopy(model).stream(2).run(x), old.infer(x)[0])


def test_streams_share_packed_weights():
    model = network()
    one, other = model.stream(), model.stream(3)
    pairs = zip(one._program.plans, other._program.plans, strict=True)
    assert all(a is b for a, b in pairs)
    assert one._program.table is other._program.table


@pytest.mark.parametrize("hidden", [5, 200])  # with the GIL and without it
def test_streams_in_many_threads(hidden):
    model = rc.Model([rc.LSTM(3, hidden), rc.GRU(hidden, 4)], seed=0)
    xs = [draw(60, 3, seed=i) for i in range(40)]
    expected = [model.infer(x)[0].tobytes() for x in xs]
    streams, wrong = [model.stream() for _ in xs], []

    def call(first):
        got = {i: [] for i in range(first, len(xs), 8)}
        for t in range(60):
            for i, rows in got.items():
                rows.append(streams[i].step(xs[i][t]))
        wrong.extend(i for i in got if np.stack(got[i]).tobytes() != expected[i])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(call, range(8)))
    assert not wrong


def test_steps_do_not_grow():
    model = rc.Model([rc.LSTM(2, 8), rc.Linear(8, 2)], seed=0)
    stream, x, y = model.stream(), draw(1, 2), np.empty((1, 2), np.float32)

    def turns(count):
        for _ in range(count):
            stream.step(x, out=y)

    tracemalloc.start()
    turns(100)
    before = tracemalloc.get_traced_memory()[0]
    turns(10_000)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 1000
    assert peak - before < 30_000
    turns(100_000)  # fills what a sanitizer holds back
    pages = resident()
    turns(100_000)
    assert resident() - pages < 1_000_000


@pytest.mark.skipif(not can_fence(), reason="no mprotect here")
@pytest.mark.parametrize("behind", [False, True])
@every_isa
def test_fences_and_poison(isa, behind):
    """Inaccessible pages around x, y and what the engine allocates."""
    for engine in ("native", "blas"):
        for size in (1, 2, 60):
            model, x = network(), np.random.default_rng(0).integers(0, 11, (5, size))
            with use(isa=isa, engine=engine):
                expected, out = model.stream(size).run(x), np.empty((size, 3), np.float32)
                with poisoned(behind):
                    stream, out = model.stream(size), fenced(out, behind)
                    for t in range(5):
                        stream.step(fenced(x[t], behind), out=out)
                        np.testing.assert_allclose(out, expected[t], 1e-4, 1e-4)


def test_every_instruction_set_gives_the_same_bits():
    model, x = network(), np.random.default_rng(0).integers(0, 11, (20, 3))
    results = []
    for isa in available_isas():
        if isa != "baseline":  # which has no fused multiply-add
            with use(isa=isa, engine="native"):
                results.append(model.stream(3).run(x))
    for other in results[1:]:
        same_bits(other, results[0])
