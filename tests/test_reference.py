"""The oracle tested on itself: numbers worked out by hand, identities between cells, symmetry.

Everything else trusts the oracle, so nothing here goes through code that it shares with what
is tested: expected values come from `math`, from explicit loops, or from another way to run.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference import by_hand, complex_step, parts, random_params, random_state, run

CASES = [
    ("RNN", {}),
    ("RNN", {"activation": "relu", "num_layers": 2}),
    ("RNN", {"activation": "sigmoid", "bidirectional": True, "num_layers": 2}),
    ("RNN", {"activation": "identity", "bias": False}),
    ("RNN", {"form": "pascanu", "activation": "sigmoid", "taps": (1, 3)}),
    ("RNN", {"skip": 3, "skip_scale": 0.5, "taps": (1, 2), "bidirectional": True}),
    ("LSTM", {"taps": (2, 3)}),
    ("LSTM", {"forget": "none", "num_layers": 2, "residual": True}),
    ("LSTM", {"forget": "coupled", "peephole": "diagonal"}),
    ("LSTM", {"peephole": "diagonal", "taps": (1, 2), "bidirectional": True}),
    ("LSTM", {"peephole": "cell", "taps": (1, 2)}),
    ("LSTM", {"peephole": "cell", "forget": "none", "bias": False}),
    ("GRU", {"taps": (1, 2), "num_layers": 2}),
    ("GRU", {"reset": "before", "taps": (2,), "residual": True}),
    ("IndRNN", {"activation": "relu", "taps": (2,)}),
    ("IdentityRNN", {"num_layers": 2, "residual": True, "taps": (2,)}),
    ("MinGRU", {"bidirectional": True}),
    ("MinGRU", {"candidate": "tanh", "taps": (2,)}),
    ("UGRNN", {"activation": "relu", "taps": (1, 2)}),
    ("IntersectionRNN", {"num_layers": 2, "taps": (1, 2)}),
    ("Linear", {"activation": "sigmoid", "residual": True}),
]
IDS = ["-".join([kind, *(f"{k}={v}" for k, v in options.items())]) for kind, options in CASES]
RECURRENT = [case for case in CASES if case[0] != "Linear"]
T, B, H = 5, 4, 3
LENGTHS = (3, 5, 0, 1)


def problem(kind, options, seed=0):
    rng = np.random.default_rng(seed)
    params = random_params(rng, kind, H, H, **options)
    state = None if kind == "Linear" else random_state(rng, kind, H, B, **options)
    return params, rng.standard_normal((T, B, H)), state


@pytest.mark.parametrize(("kind", "options"), CASES, ids=IDS)
def test_complex_step_agrees_with_central_differences(kind, options):
    params, x, state = problem(kind, options)
    names = [*params, "x", *(f"state{i}" for i in range(len(parts(state))))]
    values = dict(zip(names, [*params.values(), x, *parts(state)], strict=True))
    rng = np.random.default_rng(1)
    y, last = run(kind, params, x, state, LENGTHS, **options)
    weights = [rng.standard_normal(out.shape) for out in (y, *parts(last))]

    def loss(name, array):
        now = {**values, name: array}
        start = tuple(now[n] for n in names if n.startswith("state"))
        given = start if kind == "LSTM" else start[0] if start else None
        y, last = run(kind, {n: now[n] for n in params}, now["x"], given, LENGTHS, **options)
        return sum((w * out).sum() for w, out in zip(weights, (y, *parts(last)), strict=True))

    for name, value in values.items():
        gradient = complex_step(lambda a, name=name: loss(name, a), value)
        assert np.any(gradient != 0.0), f"nothing depends on {name}"
        for _ in range(3):
            way = rng.standard_normal(value.shape)
            central = (loss(name, value + 1e-5 * way) - loss(name, value - 1e-5 * way)) / 2e-5
            along = complex_step(lambda a, name=name: loss(name, a), value, way)
            assert_allclose(along, central, rtol=1e-6, atol=1e-7, err_msg=name)
            assert_allclose((gradient * way).sum(), along, rtol=1e-12, atol=1e-13, err_msg=name)


@pytest.mark.parametrize(("kind", "options"), CASES, ids=IDS)
def test_a_row_in_a_batch_is_the_row_alone(kind, options):
    params, x, state = problem(kind, options)
    y, last = run(kind, params, x, state, LENGTHS, **options)
    for b, length in enumerate(LENGTHS):
        alone = tuple(part[..., b, :] for part in parts(state))
        given = alone if kind == "LSTM" else alone[0] if alone else None
        y_b, last_b = run(kind, params, x[:length, b], given, **options)
        assert_array_equal(y[:length, b], y_b)
        assert_array_equal(y[length:, b], 0.0)
        for whole, single, start in zip(parts(last), parts(last_b), alone, strict=True):
            assert_array_equal(whole[..., b, :], single)
            assert length > 0 or np.array_equal(single, start)


@pytest.mark.parametrize("kind", ["RNN", "LSTM"])
def test_reverse_is_the_reversed_row(kind):
    """With the reverse direction's weights, on each row turned around inside its length."""
    params, x, state = problem(kind, {"bidirectional": True})
    y, last = run(kind, params, x, state, LENGTHS, bidirectional=True)
    back = {n.removesuffix("_reverse"): v for n, v in params.items() if n.endswith("_reverse")}
    for b, length in enumerate(LENGTHS):
        start = tuple(part[1:, b] for part in parts(state))
        turned, end = run(
            kind, back, x[:length, b][::-1], start if kind == "LSTM" else start[0]
        )
        assert_array_equal(y[:length, b, H:], turned[::-1])
        for whole, single in zip(parts(last), parts(end), strict=True):
            assert_array_equal(whole[1, b], single[0])


@pytest.mark.parametrize(
    ("kind", "options"), [case for case in RECURRENT if "skip" not in case[1]]
)
@pytest.mark.parametrize("s", [2, 3])
def test_one_tap_runs_interleaved_sequences(kind, options, s):
    """taps=(s,): element t only meets t - s, so there are s independent sequences."""
    options = {**options, "bidirectional": False}
    rng = np.random.default_rng(3)
    length = 2 * s  # a multiple of s, so that newest first is the same order for all of them
    plain, dilated = {**options, "taps": (1,)}, {**options, "taps": (s,)}
    params, x = random_params(rng, kind, H, H, **plain), rng.standard_normal((length, B, H))
    state = random_state(rng, kind, H, B, **dilated)
    y, last = run(kind, params, x, state, **dilated)
    for j in range(s):
        # The sequence of elements j, j + s, ... starts from the state s steps before element j.
        start = tuple(part[:, s - 1 - j] for part in parts(state))
        y_j, last_j = run(kind, params, x[j::s], start if kind == "LSTM" else start[0], **plain)
        assert_allclose(y[j::s], y_j, rtol=1e-14, atol=1e-14)
        for whole, single in zip(parts(last), parts(last_j), strict=True):
            assert_allclose(whole[:, s - 1 - j], single, rtol=1e-14, atol=1e-14)


def test_short_rows_keep_older_initial_states():
    params, x, state = problem("RNN", {"taps": (1, 4)})
    y, last = run("RNN", params, x, state, LENGTHS, taps=(1, 4))
    assert last.shape == (1, 4, B, H)
    for b, length in enumerate(LENGTHS):
        seen = min(length, 4)
        assert_array_equal(last[0, :seen, b], y[length - seen : length, b][::-1])
        assert_array_equal(last[0, seen:, b], state[0, : 4 - seen, b])


def test_taps_and_skip_by_an_explicit_sum():
    options = {"taps": (2, 3), "skip": 5, "skip_scale": 0.5}
    params, x, _ = problem("RNN", options)
    start = np.random.default_rng(1).standard_normal((1, 5, B, H))
    y, last = run("RNN", params, x, start, **options)
    history = [*start[0, ::-1], *y]  # history[t + 5] is h_t
    for t in range(T):
        a = x[t] @ params["weight_ih_l0"].T + params["bias_ih_l0"] + params["bias_hh_l0"]
        a += history[t + 3] @ params["weight_hh_l0"].T
        a += history[t + 2] @ params["weight_hh_l0_tap3"].T
        assert_allclose(y[t], history[t] + 0.5 * np.tanh(a), rtol=1e-12)
    assert_array_equal(last[0], history[: -5 - 1 : -1])


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_pascanu_form_is_elman_before_the_nonlinearity(activation):
    """f(x_t) of the one is h_t of the other when f(x_0) = h_0, and so are the gradients."""
    params, x, start = problem("RNN", {})
    f = {
        "tanh": np.tanh,
        "relu": lambda a: a * (a.real > 0),
        "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
    }[activation]
    w = np.random.default_rng(1).standard_normal((T, B, H))

    def elman(p):
        return run("RNN", p, x, f(start), activation=activation)[0]

    def pascanu(p):
        return f(run("RNN", p, x, start, form="pascanu", activation=activation)[0])

    assert_allclose(pascanu(params), elman(params), rtol=1e-13, atol=1e-15)
    for name, value in params.items():
        one, other = (
            complex_step(lambda a, g=g, name=name: (w * g({**params, name: a})).sum(), value)
            for g in (elman, pascanu)
        )
        assert_allclose(one, other, rtol=1e-12, atol=1e-14, err_msg=name)


def test_gru_resets_agree_only_when_reset_does_nothing():
    params, x, state = problem("GRU", {})

    def gap():
        after, before = (run("GRU", params, x, state, reset=r)[0] for r in ("after", "before"))
        return abs(after - before).max()

    assert gap() > 1e-3
    usual = params["weight_hh_l0"].copy()
    params["weight_hh_l0"][2 * H :] = 0.0
    assert gap() > 1e-3  # r still multiplies b_hn in one of them
    params["bias_hh_l0"][2 * H :] = 0.0
    assert gap() < 1e-15
    params["weight_hh_l0"] = usual
    assert gap() > 1e-3
    params["bias_ih_l0"][:H] = 100.0  # r = 1
    assert gap() < 1e-14


def test_lstm_without_forget_gate_is_one_with_an_open_gate():
    params, x, state = problem("LSTM", {})
    params["weight_ih_l0"][H : 2 * H] = params["weight_hh_l0"][H : 2 * H] = 0.0
    params["bias_ih_l0"][H : 2 * H] = 100.0
    keep = np.r_[0:H, 2 * H : 4 * H]
    none = run("LSTM", {n: v[keep] for n, v in params.items()}, x, state, forget="none")
    gate = run("LSTM", params, x, state)
    for one, other in zip((none[0], *none[1]), (gate[0], *gate[1]), strict=True):
        assert_allclose(one, other, rtol=1e-14)


def test_masks_multiply_the_output_of_every_layer_but_the_last():
    options = {"num_layers": 3, "residual": True, "bidirectional": True}
    params, x, state = problem("GRU", options)
    masks = [np.random.default_rng(s).choice([0.0, 2.0], (T, B, 2 * H)) for s in (0, 1)]
    y, last = run("GRU", params, x, state, LENGTHS, masks=masks, **options)
    z = x
    for layer in range(3):
        one = {
            n.replace(f"_l{layer}", "_l0"): v for n, v in params.items() if f"_l{layer}" in n
        }
        rows = slice(2 * layer, 2 * layer + 2)
        out, end = run("GRU", one, z, state[rows], LENGTHS, bidirectional=True)
        assert_array_equal(last[rows], end)
        if layer:
            out = out + z  # z is 0 past the ends
        z = out * masks[layer] if layer < 2 else out
    assert_array_equal(y, z)


@pytest.mark.parametrize(("kind", "options"), RECURRENT)
def test_no_time_and_no_rows(kind, options):
    params, x, state = problem(kind, options)
    y, last = run(kind, params, x[:0], state, **options)
    assert y.shape[:2] == (0, B)
    for part, start in zip(parts(last), parts(state), strict=True):
        assert_array_equal(part, start)
    y, last = run(kind, params, x[:, :0], **options)
    assert y.shape[:2] == (T, 0)


def test_wrong_parameters_and_states_are_refused():
    params, x, state = problem("LSTM", {})
    with pytest.raises(ValueError, match="expected"):
        run("LSTM", {**params, "bias_l0": np.zeros(H)}, x)
    with pytest.raises(ValueError, match="expected"):
        run("LSTM", {**params, "weight_hh_l0": np.zeros((4 * H, H + 1))}, x)
    with pytest.raises(
        ValueError, match=r"state has shape \(2, 1, 2, 3\), expected \(2, 1, 4, 3\)"
    ):
        run("LSTM", params, x, tuple(part[:, :2] for part in state))


@pytest.mark.parametrize(("kind", "options", "expected"), list(by_hand.steps()))
def test_one_unit_one_step_by_hand(kind, options, expected):
    x, h, c = (np.full((1, 1), value) for value in (by_hand.X, by_hand.H, by_hand.C))
    state = {"LSTM": (h, c), "Linear": None}.get(kind, h)
    y, last = run(kind, by_hand.params(kind, **options), x, state, **options)
    assert_allclose([y.item(), *(part.item() for part in parts(last))], expected, rtol=1e-14)
