"""Omega and per-step clipping: what is promised of their bits, ends and arguments."""

from __future__ import annotations

import numpy as np
import pytest
from cases import RUNNERS
from fences import poisoned
from flow_problems import (
    LENGTHS,
    back,
    close,
)
from problems import (
    FUSED,
    every_cell,
    make_problem,
    same_bits,
)

import rnncore as rc
from rnncore.engine import threads
from rnncore.engine.plan import available_isas
from rnncore.engine.spec import use
from rnncore.remedies import remedies


@pytest.mark.parametrize("kind, options", [("RNN", {}), ("LSTM", {}), ("GRU", {})])
def test_layers_and_directions_have_an_omega_each(kind, options):
    rng = np.random.default_rng(0)
    stack = getattr(rc, kind)(3, 4, num_layers=2, bidirectional=True, dtype=np.float64, seed=0)
    x, dy = rng.standard_normal((6, 3, 3)), rng.standard_normal((6, 3, 8))
    given, lengths = remedies(rc.Omega(0.7), 0.5), np.array([6, 2, 4])
    stack.forward(x, lengths=lengths)
    stack.backward(dy, remedies=given)
    assert len(stack.omega) == 4

    def alone(suffix, turned, x, dy):
        """One layer and direction by itself: its output and dx, and whether it agrees."""
        single = getattr(rc, kind)(x.shape[2], 4, dtype=np.float64)
        single.load_state_dict({n: stack.parameters[n.replace("_l0", suffix)]
                                for n in single.parameters})
        turn = reverse(lengths) if turned else lambda array: array
        y, _ = single.forward(turn(x), lengths=lengths)
        dx, _ = single.backward(turn(dy), remedies=given)
        for name in single.parameters:
            same_bits(single.parameters.grad(name),
                      stack.parameters.grad(name.replace("_l0", suffix)), name)
        return turn(y), turn(dx), single.omega[0]

    plain = getattr(rc, kind)(3, 4, bidirectional=True, dtype=np.float64)
    plain.load_state_dict({n: stack.parameters[n] for n in plain.parameters})
    middle, _ = plain.infer(x, lengths=lengths)
    _, forth, omega_forth = alone("_l1", False, middle, dy[..., :4])
    _, back_, omega_back = alone("_l1_reverse", True, middle, dy[..., 4:])
    below = forth + back_
    found = [alone("_l0", False, x, below[..., :4])[2],
             alone("_l0_reverse", True, x, below[..., 4:])[2], omega_forth, omega_back]
    assert found == stack.omega


def reverse(lengths):
    def turn(array):
        result = array.copy()
        for b, length in enumerate(lengths):
            result[:length, b] = array[:length, b][::-1]
        return result

    return turn


@pytest.mark.parametrize("H", [4, 19])
def test_pascanus_equation_holds_literally(H):
    """Equation 9 with the derivative of equation 10, column vectors, one step after another."""
    rng, T = np.random.default_rng(0), 6
    layer = rc.RNN(3, H, form="pascanu", dtype=np.float64, seed=1)
    u, dy = rng.standard_normal((T, 1, 3)), rng.standard_normal((T, 1, H))
    x, _ = layer.forward(u)
    layer.backward(dy)
    before = layer.parameters.grad("weight_hh_l0").copy()
    layer.grads[:] = 0
    layer.forward(u)
    layer.backward(dy, remedies=remedies(rc.Omega(1.0, reduction="sum"), None))
    w, states = layer.parameters["weight_hh_l0"], [np.zeros(H), *x[:, 0]]

    def value(w_rec):
        total, error = 0.0, np.zeros(H)  # error: dE / dx_{k+1}
        for k in reversed(range(T)):
            error = dy[k, 0] + error
            slope = np.diag(1 - np.tanh(states[k]) ** 2)
            carried = error @ w_rec @ slope
            total += (np.linalg.norm(carried) / np.linalg.norm(error) - 1) ** 2
            error = error @ w @ slope
        return total

    slopes = [[(value(w + e) - value(w - e)) / 2e-6 for e in row]
              for row in 1e-6 * np.eye(H * H).reshape(H, H, H, H)]
    close(layer.parameters.grad("weight_hh_l0") - before, np.array(slopes), 1e-8)
    assert layer.omega[0][0] == pytest.approx(value(w), rel=1e-12)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "IndRNN"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "hidden"), [(33, 90), (3, 300)])
def test_threads_do_not_change_a_bit(kind, dtype, rows, hidden, monkeypatch):
    """Nor where there are too few rows to share: what is measured is a whole row."""
    monkeypatch.setattr(threads._Setting, "processors", 8)  # more may wait for one another
    assert 30 * rows * hidden * (40 + hidden) >= 1 << 23  # enough work to wake a thread for
    rng, layer = np.random.default_rng(0), getattr(rc, kind)(40, hidden, dtype=dtype, seed=0)
    x, dy = (rng.standard_normal((30, rows, n)).astype(dtype) for n in (40, hidden))
    found = []
    for number in (1, 2, 3):
        with rc.num_threads(number):
            layer.grads[:] = 0
            layer.forward(x)
            dx, _ = layer.backward(dy, remedies=remedies(rc.Omega(0.3), 0.01))
            found.append((layer.grads.copy(), dx, layer.omega))
    for grads, dx, reported in found[1:]:
        same_bits(grads, found[0][0])
        same_bits(dx, found[0][1])
        assert reported == found[0][2]


@pytest.mark.parametrize("hidden", [1, 5, 17, 33, 64])
@every_cell
def test_memory_and_instruction_sets_do_not_change_a_bit(cell, hidden):
    """Workspaces are fenced, before and behind, and what is not asked to be 0 is NaN."""
    found = []
    for isa, engine in RUNNERS:
        for behind in (True, False):
            problem = make_problem(cell, {}, np.float32, hidden, 3, LENGTHS, 5)
            given = {"omega": rc.Omega(0.1), "clip_step": rc.ClipStep(0.7, "ratio")}
            with use(isa=isa, engine=engine):
                wanted, omegas = back(problem, **given)
                with poisoned(behind):
                    again, same = back(problem, **given)
            assert same == omegas
            for name, value in wanted.items():
                same_bits(again[name], value, name)
            if engine == "native" and isa in FUSED:
                found.append(wanted)
    for other in found[1:]:
        for name, value in found[0].items():
            same_bits(other[name], value, name)


@pytest.mark.parametrize("form", ["plain", "squared"])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "IndRNN", "MinGRU"])
def test_without_a_live_term_omega_is_0(kind, form):
    layer = getattr(rc, kind)(2, 3, seed=0)
    x = np.ones((4, 2, 2), np.float32)
    for dy, given in ((np.zeros((4, 2, 3)), rc.Omega(1.0, form)),
                      (np.zeros((4, 2, 3)), rc.Omega(1.0, form, bound=0.0)),
                      (np.full((4, 2, 3), 1e-25), rc.Omega(1.0, form)),
                      (np.ones((4, 2, 3)), rc.Omega(1.0, form, bound=1e6))):
        layer.forward(x)
        layer.backward(dy.astype(np.float32))
        plain = layer.grads.copy()
        layer.grads[:] = 0
        layer.forward(x)
        layer.backward(dy.astype(np.float32), remedies=remedies(given, None))
        assert layer.omega == [(0.0, 0, 8)]
        same_bits(layer.grads, plain)
        layer.grads[:] = 0


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "MinGRU"])
def test_a_gradient_of_0_is_not_clipped(kind):
    """The ratio's limit is then 0, as is what is carried."""
    layer = getattr(rc, kind)(2, 3, seed=0)
    layer.forward(np.ones((4, 2, 2), np.float32))
    dx, _ = layer.backward(np.zeros((4, 2, 3), np.float32),
                           remedies=remedies(None, rc.ClipStep(0.5, "ratio")))
    assert not dx.any()
    assert not layer.grads.any()


def test_a_term_at_the_bound_counts():
    layer = rc.IdentityRNN(2, 4, seed=0)
    for bound, live in ((4.0, 1), (np.nextafter(4.0, 5.0), 0)):
        layer.forward(np.ones((1, 1, 2), np.float32))
        layer.backward(np.ones((1, 1, 4), np.float32),
                       remedies=remedies(rc.Omega(1.0, bound=float(bound)), None))
        assert layer.omega == [(0.0, live, 1)]


def test_a_vanished_gradient_still_counts():
    """|z| = 0 makes a term of 1 whose derivative does not exist: it is 0, not NaN."""
    layer = rc.RNN(2, 3, seed=0)
    layer.set_parameter("weight_hh_l0", np.zeros((3, 3), np.float32))
    layer.forward(np.ones((4, 1, 2), np.float32))
    layer.backward(np.ones((4, 1, 3), np.float32), remedies=remedies(rc.Omega(1.0), None))
    assert layer.omega == [(1.0, 4, 4)]
    plain = layer.grads.copy()
    layer.grads[:] = 0
    layer.forward(np.ones((4, 1, 2), np.float32))
    layer.backward(np.ones((4, 1, 3), np.float32))
    same_bits(plain, layer.grads)


@pytest.mark.parametrize("scale", [2.0**-90, 2.0**-52, 2.0**58, 2.0**100])
@pytest.mark.parametrize("hidden", [7, 50])
def test_omega_does_not_depend_on_the_size_of_the_gradient(scale, hidden):
    """Its value is a ratio, also where squares of float32 are 0 or infinite."""
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((9, 3, n)).astype(np.float32) for n in (4, hidden))
    fused = set()
    for isa in available_isas():
        found = []
        for size in (1.0, scale):
            with use(isa=isa, engine="native"):
                layer = rc.RNN(4, hidden, seed=0)
                layer.forward(x)
                layer.backward(dy * np.float32(size),
                               remedies=remedies(rc.Omega(1.0, bound=0.0), None))
            found += layer.omega
        assert found[1][0] == pytest.approx(found[0][0], rel=1e-6)
        assert found[1][1:] == (27, 27)
        fused |= {found[1]} if isa in FUSED else set()
    assert len(fused) <= 1


def test_the_identity_map_has_no_omega():
    layer = rc.IdentityRNN(2, 3, seed=0)
    layer.forward(np.ones((9, 4, 2), np.float32))
    layer.backward(np.ones((9, 4, 3), np.float32), remedies=remedies(rc.Omega(1.0), None))
    assert layer.omega == [(0.0, 36, 36)]


def test_a_model_reports_omega_and_adds_alpha_times_its_gradient():
    rng = np.random.default_rng(0)
    model = rc.Model([rc.RNN(2, 5, dtype=np.float64), rc.Linear(5, 1, dtype=np.float64)],
                     seed=0)
    x, y = rng.standard_normal((7, 3, 2)), rng.standard_normal((7, 3, 1))
    grads = []
    for alpha in (0.0, 1.0, 2.0):
        loss, _ = model.loss_and_grad(x, y, omega=rc.Omega(alpha))
        grads.append(model.grads.copy())
    close(grads[2] - grads[0], 2 * (grads[1] - grads[0]), 1e-12)
    assert (grads[1] != grads[0]).sum() == 25
    assert model.omega.terms == model.omega.live == 21
    assert model.omega.share == 1.0
    plain, _ = model.loss_and_grad(x, y)
    assert plain == loss
    same_bits(model.grads, grads[0])


@pytest.mark.parametrize("arguments, message", [
    ({"alpha": -1.0}, "alpha is -1.0, expected a number of at least 0"),
    ({"alpha": float("nan")}, "alpha is nan"),
    ({"alpha": 1.0, "form": "cubed"}, "form is 'cubed', expected 'plain' or 'squared'"),
    ({"alpha": 1.0, "reduction": "max"}, "reduction is 'max'"),
    ({"alpha": 1.0, "bound": -1.0}, "bound is -1.0"),
    ({"alpha": 1.0, "schedule": "1/n"}, "schedule is '1/n'"),
])
def test_a_wrong_omega_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        rc.Omega(**arguments)


def test_a_wrong_clip_step_is_refused():
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"threshold is {wrong}, expected a number"):
            remedies(None, wrong)
    with pytest.raises(ValueError, match="form is 'angle'"):
        rc.ClipStep(1.0, "angle")
    with pytest.raises(TypeError, match="clip_step is of type str"):
        remedies(None, "1")
    with pytest.raises(TypeError, match="omega is of type float, expected an Omega"):
        remedies(0.5, None)


def test_alpha_follows_its_schedule():
    assert [rc.Omega(6.0, schedule="1/t").at(epoch).alpha for epoch in range(3)] == [6, 3, 2]
    assert rc.Omega(2.0, schedule=lambda epoch: epoch / 4).at(2).alpha == 1.0
    assert rc.Omega(2.0).at(9).alpha == 2.0
