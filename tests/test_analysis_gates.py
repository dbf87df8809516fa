"""Gates: against activations from the oracle's equations, unit by unit and step by step."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference import cells as oracle

import rnncore as rc
from rnncore.analysis.gates import gates

T, B, I, H = 9, 3, 2, 5  # noqa: E741
LENGTHS = (9, 0, 4)
GATED = [
    (rc.LSTM, {}), (rc.LSTM, {"forget": "none"}), (rc.LSTM, {"forget": "coupled"}),
    (rc.LSTM, {"peephole": "diagonal"}), (rc.LSTM, {"peephole": "cell"}), (rc.GRU, {}),
    (rc.GRU, {"reset": "before"}), (rc.UGRNN, {}), (rc.MinGRU, {}), (rc.MinGRU, {
        "candidate": "tanh"}), (rc.UGRNN, {"activation": "relu"}), (rc.IntersectionRNN, {}),
]


def gates_of(kind, w, x, h, c, options):
    """The activations of the gates and of the candidate, by their public names."""
    s = oracle.sigmoid
    if kind == "LSTM":
        names = "ifgo" if options.get("forget", "gate") == "gate" else "igo"
        a = oracle.blocks(names, w.ih(x))
        fed = names.replace("g", "") if options.get("peephole") == "cell" else names
        u = oracle.blocks(fed, w.hh(c if options.get("peephole") == "cell" else h))
        z = {name: a[name] + u.get(name, 0.0) for name in names}
        if options.get("peephole") == "diagonal":
            p = oracle.blocks("ifo", w["weight_ph"])
            z["i"], z["f"] = z["i"] + p["i"] * c[0], z["f"] + p["f"] * c[0]
            new = s(z["f"]) * c[0] + s(z["i"]) * np.tanh(z["g"])
            z["o"] = z["o"] + p["o"] * new
        found = {name: np.tanh(v) if name == "g" else s(v) for name, v in z.items()}
        keep = {"none": np.ones_like(h[0]), "coupled": 1 - found["i"]}
        return found, keep.get(options.get("forget", "gate"), found.get("f"))
    if kind == "GRU":
        a, u = oracle.blocks("rzn", w.ih(x)), oracle.blocks("rzn", w.hh(h))
        r, z = s(a["r"] + u["r"]), s(a["z"] + u["z"])
        reset = oracle.blocks("rzn", w.hh([r * h[0]]))["n"] \
            if options.get("reset") == "before" else r * u["n"]
        return {"r": r, "z": z, "n": np.tanh(a["n"] + reset)}, z
    if kind == "MinGRU":
        a = oracle.blocks("zk", w.ih(x))
        k = np.tanh(a["k"]) if options.get("candidate") == "tanh" else a["k"]
        return {"z": s(a["z"]), "k": k}, 1 - s(a["z"])
    if kind == "UGRNN":
        a = oracle.blocks("cg", w.ih(x) + w.hh(h))
        c = oracle.relu(a["c"]) if options.get("activation") == "relu" else np.tanh(a["c"])
        return {"c": c, "g": s(a["g"])}, s(a["g"])
    y, inner, g_y, g_h = (w.ih(x) + w.hh(h)).reshape(4, -1)
    return {"y": oracle.relu(y), "h": np.tanh(inner), "g_y": s(g_y), "g_h": s(g_h)}, s(g_h)


def problem(kind, options, scale=3.0):
    size = H if kind is rc.IntersectionRNN else I
    layer = kind(size, H, dtype=np.float64, seed=1, **options)
    with layer.parameters.writable() as flat:
        flat *= scale  # so that some gates are open, some closed, some between
    rng = np.random.default_rng(2)
    return rc.Model([layer, rc.Linear(H, 1, dtype=np.float64)]), rng.normal(size=(T, B, size))


@pytest.mark.parametrize(("kind", "options"), GATED, ids=str)
def test_gates_are_those_of_the_equations(kind, options):
    model, x = problem(kind, options)
    (found,) = gates(model, x, lengths=LENGTHS)
    layer = model.layers[0]
    w = oracle.Weights(dict(layer.parameters.items()), "_l0", (1,))
    values = {}  # by block: lists by step of the units of the rows that live
    keep = []
    for row, length in enumerate(LENGTHS):
        state = [[np.zeros(H)] for _ in range(2 if kind is rc.LSTM else 1)]
        kept = np.zeros(H)
        for t in range(length):
            blocks, f = gates_of(kind.__name__, w, x[t, row], state[0], state[-1], options)
            for name, value in blocks.items():
                values.setdefault(name, [[] for _ in range(T)])[t].append(value)
            keep.append(f)
            kept = kept + np.log10(f)
            _, *new = oracle.CELLS[kind.__name__](w, x[t, row], *state, **options)
            state = [[s] for s in new]
        assert_allclose(found.log10_retention[row], kept, atol=1e-10)
    assert found.name == "0.l0"
    for number, block in enumerate(found.blocks):
        for t in range(T):
            units = np.array(values[block][t])
            assert found.opened[number, t] == pytest.approx((units > 0.9).mean())
            assert found.closed[number, t] == pytest.approx((units < 0.1).mean())
            assert found.between[number, t] == pytest.approx(
                ((units >= 0.1) & (units <= 0.9)).mean())
    with np.errstate(divide="ignore"):
        assert_allclose(found.half_life, np.log(0.5) / np.minimum(np.log(keep).mean(0), -0.0))
    for block, share in found.saturated.items():
        units = np.concatenate([np.array(v).reshape(-1, H) for v in values[block]])
        beyond = (np.abs(units) > 0.9) if block in ("g", "n", "c", "h", "k") and \
            block not in found.blocks else (units > 0.9) | (units < 0.1)
        assert_allclose(share, beyond.mean(0))
    assert 0 < np.mean(list(found.saturated.values())) < 1


def test_a_constant_gate_has_the_half_life_of_its_power():
    model = rc.Model([rc.LSTM(2, 3, dtype=np.float64)])
    layer = model.layers[0]
    for name, value in layer.parameters.items():
        layer.set_parameter(name, np.zeros_like(value))
    bias = np.zeros(12)
    bias[3:6] = np.log(np.array([0.5, 0.9, 0.99]) / np.array([0.5, 0.1, 0.01]))
    layer.set_parameter("bias_ih_l0", bias)
    (found,) = gates(model, np.zeros((40, 2, 2)))
    assert_allclose(found.half_life, np.log(0.5) / np.log([0.5, 0.9, 0.99]))
    assert_allclose(found.log10_retention, 40 * np.log10([[0.5, 0.9, 0.99]] * 2))
    assert_allclose(found.half_life, [1, 6.58, 68.97], atol=0.01)


@pytest.mark.parametrize("layer", [rc.LSTM(2, 3, forget="none"), rc.IdentityRNN(2, 3)])
def test_what_is_carried_unchanged_is_kept_for_ever(layer):
    (found,) = gates(rc.Model([layer]), np.ones((5, 2, 2), np.float32))
    assert found.keep == "1"
    assert not found.log10_retention.any()
    assert np.isinf(found.half_life).all()


def test_vanilla_units_saturate_and_die():
    layer = rc.RNN(1, 4, activation="relu", dtype=np.float64)
    for name, value in layer.parameters.items():
        layer.set_parameter(name, np.zeros_like(value))
    layer.set_parameter("weight_ih_l0", np.array([[1.0], [-1.0], [0.0], [1.0]]))
    layer.set_parameter("bias_ih_l0", np.array([0.0, 0.0, 0.0, -9.0]))
    x = np.array([1.0, 2.0, 3.0, -1.0])[:, None, None]
    (found,) = gates(rc.Model([layer]), x, lengths=[3])  # the -1 is past the end
    assert_array_equal(found.dead, [False, True, True, True])
    assert (found.blocks, found.keep, found.half_life) == ((), "", None)
    assert not found.saturated
    tanh = rc.RNN(1, 2, dtype=np.float64)
    for name, value in tanh.parameters.items():
        tanh.set_parameter(name, np.zeros_like(value))
    tanh.set_parameter("weight_ih_l0", np.array([[9.0], [0.1]]))
    (found,) = gates(rc.Model([tanh]), np.array([1.0, -1.0, 0.0, 0.0])[:, None, None])
    assert_allclose(found.saturated["a"], [0.5, 0])
    assert found.dead is None


def test_layers_and_directions_have_entries_of_their_own():
    model = rc.Model([rc.GRU(2, 4, num_layers=2, bidirectional=True, dropout=0.5),
                      rc.Linear(8, 4), rc.LSTM(4, 3)], seed=0)
    before = model.parameters.copy()
    states = model.generator_states()
    x = np.random.default_rng(0).standard_normal((6, 3, 2)).astype(np.float32)
    found = gates(model, x)
    assert [entry.name for entry in found] == ["0.l0", "0.l0_reverse", "0.l1", "0.l1_reverse",
                                               "2.l0"]
    again = gates(model, x)
    assert_array_equal(found[-1].log10_retention, again[-1].log10_retention)  # no dropout
    assert_array_equal(model.parameters, before)
    assert model.generator_states() == states
    assert model.layers[0].training


def test_one_sequence_and_other_layouts_give_the_same():
    model = rc.Model([rc.LSTM(2, 3, dtype=np.float64)], seed=0)
    x = np.random.default_rng(0).standard_normal((6, 1, 2))
    (expected,), (one,) = gates(model, x), gates(model, x[:, 0])
    model.batch_first = True
    (turned,) = gates(model, x.swapaxes(0, 1))
    for found in (one, turned):
        assert_array_equal(found.opened, expected.opened)
        assert_array_equal(found.log10_retention, expected.log10_retention)


@pytest.mark.parametrize("shape", [(0, 2, 2), (3, 0, 2), (0, 2)])
def test_no_steps_or_rows_have_no_shares(shape):
    (found,) = gates(rc.Model([rc.LSTM(2, 3)]), np.zeros(shape, np.float32))
    assert found.opened.shape == (3, shape[0])
    assert np.isnan(found.opened).all()
    assert np.isnan(found.half_life).all()


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda m, x: gates(rc.Model([rc.Linear(2, 1)]), x), ValueError, "has the layers Linear"),
    (lambda m, x: gates(m.layers[0], x), TypeError, "model is a LSTM, expected a Model"),
    (lambda m, x: gates(m, x[..., :1]), ValueError, "x has shape"),
    (lambda m, x: gates(m, x, lengths=[9]), ValueError, "lengths"),
    (lambda m, x: gates(m, x, opened=0.1, closed=0.5), ValueError, "closed and opened are 0.5"),
    (lambda m, x: gates(m, x, opened=2.0), ValueError, "closed and opened are 0.1 and 2.0"),
], ids=["layers", "layer", "width", "lengths", "order", "beyond"])
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(rc.Model([rc.LSTM(2, 3)]), np.zeros((4, 1, 2), np.float32))
