"""Models: gradients, states, freezing, accumulating, copies."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from small import F64, C, H, K, make, numeric_gradient

import rnncore as rc

T, B = 5, 3


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def inputs(rng, dtype=F64):
    return rng.standard_normal((T, B, K)).astype(dtype), rng.integers(0, C, (T, B))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("some", [False, True])
def test_the_gradient_is_that_of_the_loss(last, some, reduction, rng):
    model = make(last=last, reduction=reduction)
    x, target = inputs(rng)
    target = target[0] if last else target
    extra = {"lengths": [5, 0, 3], "mask": rng.random(target.shape) < 0.7} if some else {}
    expected = numeric_gradient(model, x, target, **extra)
    model.loss_and_grad(x, target, **extra)
    np.testing.assert_allclose(model.grads, expected, atol=1e-8)
    assert np.abs(model.grads).max() > 1e-3


def test_parameters_are_flat_and_named():
    model = make()
    assert list(model.named_parameters()) == [
        "0.weight_ih_l0", "0.weight_hh_l0", "0.bias_ih_l0", "0.bias_hh_l0",
        "1.weight", "1.bias"]
    assert model.parameters.size == model.grads.size == 4 * H * (K + H + 2) + C * (H + 1)
    views = [p.ravel() for p in model.named_parameters().values()]
    np.testing.assert_array_equal(np.concatenate(views), model.parameters)
    for view in (model.parameters, model.named_parameters()["1.bias"]):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1
    model.grad_dict()["1.bias"][:] = 7
    assert (model.grads[-C:] == 7).all()


def test_writing_parameters_is_seen_by_the_next_run(rng):
    model = make()
    x, _ = inputs(rng)
    before = model.infer(x)[0]
    model.set_parameter("1.bias", np.full(C, 2.0))
    shifted = model.infer(x)[0]
    assert not np.allclose(shifted, before)
    with model.writable() as flat:
        flat[:] = 0
    assert (model.infer(x)[0] == 0).all()
    model.load_state_dict(make().state_dict())
    np.testing.assert_array_equal(model.infer(x)[0], before)
    with pytest.raises(ValueError, match=r"missing names \['0.weight_hh_l0'"):
        model.load_state_dict({"0.weight_ih_l0": np.zeros((4 * H, K))})


def test_a_seed_settles_everything(rng):
    assert make(seed=3).parameters.tobytes() == make(seed=3).parameters.tobytes()
    assert make(seed=3).parameters.tobytes() != make(seed=4).parameters.tobytes()
    layer = rc.RNN(K, H, seed=1)
    values = layer.parameters.values.copy()
    assert (rc.Model([layer]).parameters == values).all()  # without a seed nothing is drawn


def test_forward_infer_and_the_carried_state(rng):
    model = make()
    x, _ = inputs(rng)
    y, state = model.forward(x)
    np.testing.assert_array_equal(y, model.infer(x)[0])
    assert y.shape == (T, B, C) and state[1] is None and state[0][0].shape == (1, B, H)
    first, middle = model.infer(x[:2])
    second, end = model.infer(x[2:], middle)
    np.testing.assert_array_equal(np.concatenate([first, second]), y)
    np.testing.assert_array_equal(end[0][1], state[0][1])


def test_backward_goes_from_outputs_to_inputs_and_states(rng):
    model = make("mse")
    x, _ = inputs(rng)
    dy = rng.standard_normal((T, B, C))
    _, state = model.infer(x)
    model.forward(x, state)
    dx, dstate = model.backward(dy)
    once = model.grads.copy()
    assert dx.shape == x.shape and dstate[0][0].shape == (1, B, H) and dstate[1] is None
    for index in [(0, 0, 0), (4, 2, 1)]:
        step = np.zeros_like(x)
        step[index] = 1e-5
        up, down = (np.sum(dy * model.infer(x + s, state)[0]) for s in (step, -step))
        assert dx[index] == pytest.approx((up - down) / 2e-5, abs=1e-8)
    model.forward(x, state)
    assert model.backward(dy, input_grad=False)[0] is None
    np.testing.assert_allclose(model.grads, 2 * once)


def test_accumulated_gradients_add_up(rng):
    model = make(reduction="sum")
    x, target = inputs(rng)
    whole = model.loss_and_grad(x, target)[0], model.grads.copy()
    parts = model.loss_and_grad(x[:, :1], target[:, :1])[0]
    parts += model.loss_and_grad(x[:, 1:], target[:, 1:], accumulate=True)[0]
    assert parts == pytest.approx(whole[0])
    np.testing.assert_allclose(model.grads, whole[1], rtol=1e-10, atol=1e-12)
    model.loss_and_grad(x, target)
    np.testing.assert_allclose(model.grads, whole[1], rtol=1e-10, atol=1e-12)


def test_predictions_follow_the_loss(rng):
    x, _ = inputs(rng)
    raw = make().infer(x)[0]
    np.testing.assert_allclose(make("mse").predict(x), raw)
    np.testing.assert_allclose(make("bernoulli").predict(x), 1 / (1 + np.exp(-raw)))
    for loss in ("cross_entropy", "kl"):
        np.testing.assert_allclose(make(loss).predict(x).sum(axis=-1), 1)


def test_a_function_as_a_loss(rng):
    def squares(output, target, weights):
        difference, w = output - target, weights[..., None]
        return float((w * difference**2).sum()), 2 * w * difference

    model, other = make(squares), make("mse", reduction="sum")
    x, target = rng.standard_normal((T, B, K)), rng.standard_normal((T, B, C))
    loss, _ = model.loss_and_grad(x, target, lengths=[5, 0, 2])
    expected, _ = other.loss_and_grad(x, target, lengths=[5, 0, 2])
    assert loss == pytest.approx(expected / 7)
    np.testing.assert_allclose(model.grads, other.grads / 7)


def test_freezing(rng):
    model = make()
    x, target = inputs(rng)
    model.loss_and_grad(x, target)
    full = {name: g.copy() for name, g in model.grad_dict().items()}
    model.freeze("0.weight_*", "1.bias")
    assert model.frozen == {"0.weight_ih_l0", "0.weight_hh_l0", "1.bias"}
    for accumulate in (False, True, False):
        model.loss_and_grad(x, target, accumulate=accumulate)
    for name, g in model.grad_dict().items():
        assert (g == (0 if name in model.frozen else full[name])).all(), name
    before = model.state_dict()
    rc.Adam().step(model)
    for name, values in model.named_parameters().items():
        assert (values == before[name]).all() == (name in model.frozen), name
    model.unfreeze("1.*")
    assert model.frozen == {"0.weight_ih_l0", "0.weight_hh_l0"}
    model.unfreeze()
    assert not model.frozen


def test_layers_below_all_that_is_trained_are_not_run_back(rng, monkeypatch):
    model = make()
    x, target = inputs(rng)
    model.loss_and_grad(x, target)
    expected = model.grad_dict()["1.weight"].copy()
    model.freeze("0.*")
    monkeypatch.setattr(model.layers[0], "backward", None)
    model.loss_and_grad(x, target)
    assert (model.grad_dict()["1.weight"] == expected).all() and model.grads[0] == 0
    model.freeze("*")
    assert model.loss_and_grad(x, target)[0] > 0 and (model.grads == 0).all()


def test_clip_norm_names_the_parameter(rng):
    model = make()
    model.loss_and_grad(*inputs(rng))
    norm = np.linalg.norm(model.grads)
    assert model.clip_norm(norm / 2) == pytest.approx(norm)
    assert np.linalg.norm(model.grads) == pytest.approx(norm / 2, rel=1e-4)
    model.grad_dict()["0.bias_ih_l0"][1] = np.inf
    with pytest.raises(FloatingPointError, match="gradient of 0.bias_ih_l0 is not finite in 1"):
        model.clip_norm(1.0)
    assert model.clip_norm(1.0, on_nonfinite="skip") == np.inf
    assert np.isfinite(model.clip_norm(1.0, on_nonfinite="zero"))


def test_training_mode_reaches_every_layer():
    model = make()
    assert model.eval() is model and not any(layer.training for layer in model.layers)
    assert all(layer.training for layer in model.train().layers)


def test_a_deep_copy_shares_nothing_but_bits(rng):
    model = make()
    x, target = inputs(rng)
    model.freeze("1.bias")
    model.loss_and_grad(x, target)
    other = copy.deepcopy(model)
    assert other.parameters.tobytes() == model.parameters.tobytes()
    assert other.grads.tobytes() == model.grads.tobytes() and other.frozen == model.frozen
    before = other.infer(x)[0]
    assert before.tobytes() == model.infer(x)[0].tobytes()
    with model.writable() as flat:
        flat[:] = 0
    model.grads[:] = 0
    assert other.infer(x)[0].tobytes() == before.tobytes() and other.grads.any()
    other.loss_and_grad(x, target)
    rc.SGD(0.1).step(other)
    assert other.layers[1].parameters["weight"].base is not None
    assert (other.layers[1].parameters["weight"] == other.named_parameters()["1.weight"]).all()
    assert not model.parameters.any() and other.rng is not model.rng


def test_no_pickle():
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="stored by model.save"):
            attempt(make())


def test_readable():
    model = make()
    model.freeze("1.bias")
    lines = str(model).splitlines()
    assert lines[0] == "Model with loss 'cross_entropy', mean"
    assert lines[1].split() == ["layer", "shape", "parameters"]
    assert lines[2].startswith(f"0  {model.layers[0]!r}") and lines[2].endswith(" 128")
    assert ["".join(line.split()) for line in lines[3:5]] == [
        ".weight_ih_l0(16,2)32", ".weight_hh_l0(16,4)64"]
    assert lines[-2].split() == [".bias", "(3,)", "3", "frozen"]
    assert lines[-1].split() == ["total,", "float64", "143"]
    assert repr(model) == (f"Model([{model.layers[0]!r}, {model.layers[1]!r}], "
                           "loss='cross_entropy')")
