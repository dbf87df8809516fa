"""Optimizers against their papers' recurrences, element by element."""

from __future__ import annotations

import math
import signal
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from optim_problems import STATEFUL, Model

import rnncore as rc
from rnncore.engine.plan import available_isas
from rnncore.engine.spec import use


def sgd_by_hand(w, grads, lr, momentum, nesterov=False, weight_decay=0.0):
    v = [0.0] * len(w)
    for g in grads:
        for i in range(len(w)):
            d = g[i] + weight_decay * w[i]
            v[i] = momentum * v[i] + d
            w[i] -= lr * (d + momentum * v[i] if nesterov else v[i])
    return w


def rmsprop_by_hand(w, grads, lr=0.01, alpha=0.99, eps=1e-8, momentum=0.0, weight_decay=0.0):
    v, b = [0.0] * len(w), [0.0] * len(w)
    for g in grads:
        for i in range(len(w)):
            d = g[i] + weight_decay * w[i]
            v[i] = alpha * v[i] + (1 - alpha) * d**2
            b[i] = momentum * b[i] + d / (math.sqrt(v[i]) + eps)
            w[i] -= lr * b[i]
    return w


def adam_by_hand(w, grads, lr=1e-3, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0):
    m, v = [0.0] * len(w), [0.0] * len(w)
    for t, g in enumerate(grads, 1):
        for i in range(len(w)):
            w[i] *= 1 - lr * weight_decay
            m[i] = b1 * m[i] + (1 - b1) * g[i]
            v[i] = b2 * v[i] + (1 - b2) * g[i] ** 2
            step = lr * (m[i] / (1 - b1**t)) / (math.sqrt(v[i] / (1 - b2**t)) + eps)
            w[i] -= step
    return w


RULES = [
    (rc.SGD, sgd_by_hand, {"lr": 0.1, "momentum": 0.0}),
    (rc.SGD, sgd_by_hand, {"lr": 0.1, "momentum": 0.9}),
    (rc.SGD, sgd_by_hand, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (rc.SGD, sgd_by_hand, {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.3}),
    (rc.SGD, sgd_by_hand, {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.3}),
    (rc.SGD, sgd_by_hand, {"lr": 0.1, "momentum": 0.5, "nesterov": True, "weight_decay": 0.3}),
    (rc.RMSprop, rmsprop_by_hand, {}),
    (rc.RMSprop, rmsprop_by_hand, {"lr": 0.1, "alpha": 0.5, "eps": 0.25}),
    (rc.RMSprop, rmsprop_by_hand, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.3}),
    (rc.Adam, adam_by_hand, {}),
    (rc.AdamW, adam_by_hand, {"lr": 0.1, "weight_decay": 0.3}),
]


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize(("make", "by_hand", "options"), RULES)
def test_hundred_updates_follow_the_recurrence(make, by_hand, options, isa):
    model, optimizer = Model({"a": (3, 1), "b": (2, 2), "c": (4, 1)}), make(**options)
    grads = np.random.default_rng(1).standard_normal((100, 11))
    expected = by_hand(model.tensors.values.tolist(), grads, **options)
    with use(isa=isa):
        for g in grads:
            w = model.step(optimizer, g)
    assert_allclose(w, expected, rtol=1e-11, atol=1e-12)


def test_adam_with_its_own_betas():
    model, grads = Model(), np.random.default_rng(1).standard_normal((5, 11))
    expected = adam_by_hand(model.tensors.values.tolist(), grads, 0.1, 0.5, 0.75, 0.25)
    optimizer = rc.Adam(0.1, betas=(0.5, 0.75), eps=0.25)
    for g in grads:
        w = model.step(optimizer, g)
    assert_allclose(w, expected, rtol=1e-12)


def test_a_new_learning_rate_counts_from_the_next_step():
    model, optimizer = Model(), rc.SGD(1.0)
    before = model.tensors.values.copy()
    optimizer.lr = 0.5
    assert (model.step(optimizer, 1.0) == before - 0.5).all()


def test_a_step_raises_the_version_and_keeps_the_gradients():
    model = Model()
    version = model.tensors.version
    model.step(rc.Adam(), 2.0)
    assert model.tensors.version == version + 1 and (model.tensors.grads == 2).all()


@pytest.mark.parametrize("make", STATEFUL)
def test_frozen_parameters_and_their_moments_stay(make):
    model, optimizer = Model(), make()
    model.step(optimizer, 1.0)
    weights, state = model.tensors.state_dict(), optimizer.state_dict()
    model.frozen = frozenset({"b"})
    model.step(optimizer, 1.0)
    after, part = optimizer.state_dict(), model.tensors.slice("b")
    assert (model.tensors["b"] == weights["b"]).all()
    assert all((model.tensors[name] != weights[name]).all() for name in "ac")
    assert after["steps"].tolist() == [2, 1, 2]
    for name in state.keys() - {"steps"}:
        assert (after[name][part] == state[name][part]).all()
        assert (after[name][: part.start] != state[name][: part.start]).all()


def test_a_parameter_that_thaws_goes_on_as_if_alone():
    """The bias correction goes by a parameter's own steps, as in torch.optim."""
    grads = np.random.default_rng(1).standard_normal((6, 11))
    model, alone = Model(), Model({"b": (2, 2)})
    part = model.tensors.slice("b")
    alone.tensors.set("b", model.tensors["b"])
    optimizer, other = rc.Adam(), rc.Adam()
    model.frozen = frozenset({"b"})
    for g in grads[:4]:
        model.step(optimizer, g)
    model.frozen = frozenset()
    for g in grads[4:]:
        both = model.step(optimizer, g), alone.step(other, g[part])
        assert both[0][part].tobytes() == both[1].tobytes()


@pytest.mark.parametrize("make", [lambda: rc.SGD(0.1), *STATEFUL])
@pytest.mark.parametrize("steps", [0, 3])
def test_a_state_restored_goes_on_in_the_same_bits(make, steps):
    grads = np.random.default_rng(1).standard_normal((6, 11))
    model, optimizer = Model(), make()
    for g in grads[:steps]:
        model.step(optimizer, g)
    other, restored = Model(), make()
    other.tensors.load_state_dict(model.tensors.state_dict())
    state = optimizer.state_dict()
    restored.load_state_dict(state)
    for g in grads[steps:]:
        assert model.step(optimizer, g).tobytes() == other.step(restored, g).tobytes()
    assert (state["steps"] == steps).all()  # a copy: what came later is not in it


def state_of_adam(**changes):
    state = {"steps": np.ones(3, np.int64), "m": np.zeros(11), "v": np.zeros(11), **changes}
    return {name: array for name, array in state.items() if array is not None}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (state_of_adam(steps=None), "steps of the state is not a row of int64 counts"),
        (state_of_adam(steps=np.array([-1, 2, 3])), "steps of the state is not a row of int64"),
        (state_of_adam(v=None), r"moments \['m'\], expected \['m', 'v'\]"),
        (state_of_adam(w=np.zeros(1)), r"moments \['m', 'v', 'w'\], expected \['m', 'v'\]"),
        (state_of_adam(v=np.zeros(12)), "moments of the state differ in size or dtype"),
        (state_of_adam(v=np.zeros((11, 1))), "v of the state is not a row of finite numbers"),
        (state_of_adam(v=np.full(11, np.nan)), "v of the state is not a row of finite numbers"),
    ],
)
def test_a_wrong_state_changes_nothing(state, message):
    model, optimizer = Model(), rc.Adam()
    model.step(optimizer, 1.0)
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    assert all((before[n] == a).all() for n, a in optimizer.state_dict().items())


@pytest.mark.parametrize("make", STATEFUL)
def test_an_optimizer_belongs_to_one_model(make):
    optimizer, other = make(), Model({"a": (4,), "b": (2, 2), "c": (4,)})
    Model().step(optimizer, 1.0)
    before = other.tensors.values.copy()
    with pytest.raises(ValueError, match="belongs to another model than this one of 12"):
        other.step(optimizer, 1.0)
    with pytest.raises(ValueError, match="than this one of 11 float32 elements"):
        Model(dtype=np.float32).step(optimizer, 1.0)
    assert (other.tensors.values == before).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rc.SGD(-1.0), r"lr is -1.0, expected a number in \[0, inf\)"),
        (lambda: rc.SGD(math.nan), "lr is nan"),
        (lambda: rc.SGD(1.0, momentum=1.0), r"momentum is 1.0, expected a number in \[0, 1\)"),
        (lambda: rc.Adam(betas=(1.0, 0.9)), r"betas\[0\] is 1.0"),
        (lambda: rc.Adam(betas=(0.9, -0.1)), r"betas\[1\] is -0.1"),
        (lambda: rc.Adam(eps=-1e-8), "eps is -1e-08"),
        (lambda: rc.SGD(1.0, nesterov=True), "nesterov is True and momentum 0, expected a mom"),
        (lambda: rc.SGD(1.0, 0.5, nesterov=2), "nesterov is 2, expected True or False"),
        (lambda: rc.SGD(1.0, weight_decay=-1), "weight_decay is -1, expected a number in"),
        (lambda: rc.RMSprop(alpha=1.0), r"alpha is 1.0, expected a number in \[0, 1\)"),
        (lambda: rc.RMSprop(eps=math.inf), r"eps is inf, expected a number in \[0, inf\)"),
        (lambda: rc.RMSprop(momentum=1.0), "momentum is 1.0"),
        (lambda: rc.AdamW(weight_decay=math.nan), "weight_decay is nan"),
        (lambda: rc.SGD(1.0, options={"*": {"momentum": 0.5}}),
         r"options\['\*'\] has 'momentum', expected some of lr, weight_decay"),
        (lambda: rc.Adam(options={"*": {"weight_decay": 0.5}}),
         r"options\['\*'\] has 'weight_decay', expected some of lr"),
        (lambda: rc.Adam(options={"*": {"lr": -1.0}}), r"lr of options\['\*'\] is -1.0, expec"),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rc.SGD("fast"), "lr is 'fast', expected a number"),
        (lambda: rc.Adam(options=["*"]), "options is of type list, expected a mapping of patt"),
        (lambda: rc.Adam(options={"*": 0.1}), r"options\['\*'\] is of type float, expected a"),
        (lambda: rc.Adam(options={"*": {"lr": None}}), "is None, expected a number"),
    ],
)
def test_options_of_wrong_types(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_readable():
    assert repr(rc.SGD(0.5, momentum=0.9)) == (
        "SGD(lr=0.5, momentum=0.9, nesterov=False, weight_decay=0.0)")
    assert repr(rc.RMSprop()) == (
        "RMSprop(lr=0.01, alpha=0.99, eps=1e-08, momentum=0.0, weight_decay=0.0)")
    assert repr(rc.AdamW(options={"*": {"lr": 1}})) == (
        "AdamW(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01, "
        "options={'*': {'lr': 1.0}})")
    assert repr(rc.Adam()) == "Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08)"


@pytest.mark.parametrize("make", STATEFUL)
def test_a_step_allocates_less_than_the_parameters(make):
    model, optimizer = Model({"a": (10**6,)}, np.float32), make()
    model.step(optimizer, 1.0)
    tracemalloc.start()
    try:
        optimizer.step(model)
        assert tracemalloc.get_traced_memory()[1] < model.tensors.values.nbytes / 10
    finally:
        tracemalloc.stop()


def test_a_step_is_whole_or_not_at_all(monkeypatch):
    """Ctrl-C in the middle of an update comes through at its end."""
    model, other, optimizer = Model(), Model(), rc.SGD(0.1, 0.9)
    update = optimizer._update

    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)
        update(*args)

    monkeypatch.setattr(optimizer, "_update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.step(optimizer, 1.0)
    assert (model.tensors.values == other.step(rc.SGD(0.1, 0.9), 1.0)).all()
    assert optimizer.state_dict()["steps"].tolist() == [1, 1, 1]
