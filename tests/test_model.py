"""Models: running, gradients, states, masks, freezing, copies, and every refusal."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import rnncore as rc

F64 = np.float64
T, B, K, H, C = 5, 3, 2, 4, 3


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make(loss="cross_entropy", last=False, dtype=F64, **options):
    layers = [rc.LSTM(K, H, dtype=dtype), rc.Linear(H, C, dtype=dtype)]
    if last:
        layers.insert(1, rc.Last())
    return rc.Model(layers, loss, **{"seed": 0, **options})


def inputs(rng, dtype=F64):
    return rng.standard_normal((T, B, K)).astype(dtype), rng.integers(0, C, (T, B))


def numeric_gradient(model, *args, **kwargs):
    """Central differences of the loss by every parameter."""
    gradient = np.empty_like(model.grads)
    start = model.parameters.copy()
    for i in range(start.size):
        ends = []
        for sign in (1, -1):
            with model.writable() as flat:
                flat[:] = start
                flat[i] += sign * 1e-5
            ends.append(model.loss_and_grad(*args, **kwargs)[0])
        gradient[i] = (ends[0] - ends[1]) / 2e-5
    with model.writable() as flat:
        flat[:] = start
    return gradient


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


def test_symbols_go_in_through_an_embedding(rng):
    model = rc.Model([rc.Embedding(6, K, dtype=F64), rc.GRU(K, H, dtype=F64),
                      rc.Linear(H, C, dtype=F64)], "cross_entropy", seed=0)
    x, target = rng.integers(0, 6, (T, B)), rng.integers(0, C, (T, B))
    expected = numeric_gradient(model, x, target)
    model.loss_and_grad(x, target)
    np.testing.assert_allclose(model.grads, expected, atol=1e-8)


def test_a_feed_forward_net(rng):
    model = rc.Model([rc.Linear(K, H, activation="tanh", dtype=F64), rc.Linear(H, 1, dtype=F64)],
                     seed=0)
    x, target = rng.standard_normal((20, K)), rng.standard_normal((20, 1))
    expected = numeric_gradient(model, x, target)
    loss, state = model.loss_and_grad(x, target)
    np.testing.assert_allclose(model.grads, expected, atol=1e-8)
    assert loss == pytest.approx(((model.infer(x)[0] - target) ** 2).mean())
    assert state == [None, None]


def test_parameters_are_flat_and_named():
    model = make()
    assert list(model.named_parameters()) == [
        "0.weight_ih_l0", "0.weight_hh_l0", "0.bias_ih_l0", "0.bias_hh_l0", "1.weight", "1.bias"]
    assert model.parameters.size == model.grads.size == 4 * H * (K + H + 2) + C * (H + 1)
    np.testing.assert_array_equal(
        np.concatenate([p.ravel() for p in model.named_parameters().values()]), model.parameters)
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


@pytest.mark.parametrize("linear_first", [False, True])
def test_padding_never_changes_a_result(linear_first, rng):
    model = make()
    if linear_first:
        model = rc.Model([rc.Linear(K, K, dtype=F64), rc.LSTM(K, H, dtype=F64),
                          rc.Linear(H, C, dtype=F64)], "cross_entropy", seed=0)
    x, target = inputs(rng)
    loss, _ = model.loss_and_grad(x[:3, :1], target[:3, :1])
    gradient = model.grads.copy()
    x[3:, 0], target[3:, 0] = np.nan, -100
    again, _ = model.loss_and_grad(x[:, :1], target[:, :1], lengths=[3])
    assert again == pytest.approx(loss, rel=1e-14)
    np.testing.assert_allclose(model.grads, gradient, rtol=1e-12, atol=1e-15)
    assert (model.infer(x[:, :1], lengths=[3])[0][3:] == 0).all()
    assert (model.predict(x[:, :1], lengths=[3])[3:] == 0).all()


def test_nothing_to_learn_from_is_zero(rng):
    model = make()
    x, target = inputs(rng)
    for extra in ({"lengths": [0, 0, 0]}, {"mask": np.zeros((T, B), bool)}):
        model.grads[:] = 1
        assert model.loss_and_grad(x, target, **extra)[0] == 0
        assert (model.grads == 0).all()
    assert model.loss_and_grad(x[:0], target[:0])[0] == 0
    assert model.loss_and_grad(x[:, :0], target[:, :0])[0] == 0


def test_batch_first_is_the_same_in_another_order(rng):
    model, other = make(), make(batch_first=True)
    x, target = inputs(rng)
    extra = {"lengths": [5, 0, 3]}
    mask = rng.random((T, B)) < 0.7
    loss, state = model.loss_and_grad(x, target, mask=mask, **extra)
    again, same = other.loss_and_grad(x.swapaxes(0, 1), target.T, mask=mask.T, **extra)
    assert again == loss and (other.grads == model.grads).all()
    np.testing.assert_array_equal(same[0][0], state[0][0])
    for run in ("forward", "infer"):
        y, _ = getattr(other, run)(x.swapaxes(0, 1), **extra)
        np.testing.assert_array_equal(y.swapaxes(0, 1), model.infer(x, **extra)[0])
    np.testing.assert_array_equal(other.predict(x.swapaxes(0, 1), **extra).swapaxes(0, 1),
                                  model.predict(x, **extra))
    model.forward(x)
    other.forward(x.swapaxes(0, 1))
    dy = rng.standard_normal((T, B, C))
    np.testing.assert_array_equal(other.backward(dy.swapaxes(0, 1))[0].swapaxes(0, 1),
                                  model.backward(dy)[0])


def test_batch_first_with_a_target_per_sequence(rng):
    model, other = make(last=True), make(last=True, batch_first=True)
    x, target = inputs(rng)
    mask = np.array([True, False, True])
    args = {"lengths": [5, 1, 3], "mask": mask}
    assert (model.loss_and_grad(x, target[0], **args)[0]
            == other.loss_and_grad(x.swapaxes(0, 1), target[0], **args)[0])
    assert other.predict(x.swapaxes(0, 1)).shape == (B, C)


def test_one_sequence_needs_no_batch_axis(rng):
    model = make()
    x, target = inputs(rng)
    loss, state = model.loss_and_grad(x[:, 0], target[:, 0])
    assert loss == pytest.approx(model.loss_and_grad(x[:, :1], target[:, :1])[0])
    assert model.infer(x[:, 0])[0].shape == (T, C) and state[0][0].shape == (1, H)
    last = make(last=True)
    assert last.predict(x[:, 0]).shape == (C,)
    assert last.loss_and_grad(x[:, 0], 1)[0] > 0


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
    with pytest.raises(FloatingPointError, match="gradient of 0.bias_ih_l0 is not finite in 1 of"):
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
        with pytest.raises(TypeError, match="a Model is not pickled: use model.save, or copy.de"):
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


X, Y = np.zeros((T, B, K)), np.zeros((T, B), int)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.zeros((T, B, 7))}, ValueError,
         r"x has shape \(5, 3, 7\), expected \(time, batch, 2\)"),
        ({"x": np.zeros((1, T, B, K))}, ValueError, r"expected \(time, batch, 2\)"),
        ({"x": np.float64(1)}, ValueError, r"x has shape \(\), expected"),
        ({"x": X.astype(np.float32)}, TypeError,
         r"x has dtype float32, expected float64: cast it with x.astype\(np.float64\)"),
        ({"x": Y}, TypeError, "x has dtype int64, expected float64"),
        ({"target": Y + C}, ValueError, "target holds 3, expected values from 0 to 2"),
        ({"target": Y[1:]}, ValueError, r"target has shape \(4, 3\), expected \(5, 3\) of cl"),
        ({"lengths": [5, 5]}, ValueError, r"lengths has shape \(2,\), expected \(3,\)"),
        ({"lengths": [5, 6, 1]}, ValueError, r"lengths\[1\] is 6, expected 0 to 5"),
        ({"lengths": [5, 5, -1]}, ValueError, r"lengths\[2\] is -1, expected 0 to 5"),
        ({"lengths": [5.0, 5.0, 1.0]}, TypeError, "lengths has dtype float64, expected integers"),
        ({"x": X[:, 0], "target": Y[:, 0], "lengths": [5]}, ValueError,
         r"lengths came with one sequence of shape \(5, 2\), expected None"),
        ({"mask": np.ones((T, B))}, TypeError, "mask has dtype float64, expected bool"),
        ({"mask": np.ones((B, T), bool)}, ValueError, r"mask has shape \(3, 5\), expected \(5, 3"),
        ({"state": [None]}, ValueError, "state is a list of length 1, expected a list of one en"),
        ({"state": 3}, ValueError, "state is a int, expected a list of one entry for each of th"),
        ({"state": [None, np.zeros(3)]}, ValueError, r"state\[1\] is of a layer without state"),
    ],
)
def test_wrong_arguments_change_nothing(change, error, message):
    model = make()
    model.grads[:] = 1
    before = model.state_dict()
    with pytest.raises(error, match=message):
        model.loss_and_grad(**{"x": X, "target": Y, **change})
    assert (model.grads == 1).all()
    assert all((before[n] == p).all() for n, p in model.named_parameters().items())


def test_wrong_arguments_of_a_batch_first_model_are_told_in_its_order():
    model = make(batch_first=True)
    with pytest.raises(ValueError, match=r"x has shape \(3, 5, 7\), expected \(batch, time, 2\)"):
        model.infer(np.zeros((B, T, 7)))
    with pytest.raises(ValueError, match=r"target has shape \(5, 3\), expected \(3, 5\) of class"):
        model.loss_and_grad(np.zeros((B, T, K)), Y)
    with pytest.raises(ValueError, match=r"lengths\[0\] is 6, expected 0 to 5"):
        model.infer(np.zeros((B, T, K)), lengths=[6, 0, 0])


def test_symbols_that_are_none():
    model = rc.Model([rc.Embedding(6, K, dtype=F64), rc.Linear(K, C, dtype=F64)])
    with pytest.raises(TypeError, match="x has dtype float64, expected integers for an Embedd"):
        model.infer(np.zeros((T, B)))
    with pytest.raises(ValueError, match=r"x has shape \(5, 3, 2\), expected \(time, batch\)"):
        model.infer(np.zeros((T, B, K), int))
    for bad in (6, -1):
        with pytest.raises(ValueError, match=f"x holds {bad}, expected indices from 0 to 5"):
            model.infer(np.full((T, B), bad))


@pytest.mark.parametrize("pattern", ["2.*", "weight", ""])
def test_a_pattern_must_match(pattern):
    model = make()
    with pytest.raises(ValueError, match=f"pattern '{pattern}' matches no parameter, expected to"):
        model.freeze("0.*", pattern)
    assert not model.frozen
    with pytest.raises(ValueError, match="no pattern came, expected names such as"):
        model.freeze()


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (lambda: [], ValueError, "layers holds no layer with parameters, expected at least one"),
        (lambda: [rc.Last()], ValueError, "layers holds no layer with parameters"),
        (lambda: [rc.RNN(2, 8), rc.Linear(9, 2)], ValueError,
         r"layer 1, Linear\(.*\), takes width 9, expected 8, which layer 0, RNN\(2, 8\) gives"),
        (lambda: [rc.RNN(2, 8), rc.Last(), rc.Linear(9, 2)], ValueError, "layer 2, .*takes wi"),
        (lambda: [rc.RNN(2, 8), rc.Linear(8, 2, dtype=F64)], TypeError,
         r"layer 1, Linear\(.*\), has dtype float64, expected float32 as the others"),
        (lambda: [rc.RNN(2, 8), rc.Embedding(8, 2)], ValueError,
         "layer 1, .* takes symbols, expected an Embedding as layer 0 alone"),
        (lambda: [rc.RNN(2, 8), rc.Last(), rc.RNN(8, 2)], ValueError,
         "layer 2, .* comes after Last, expected Linear layers alone"),
        (lambda: [rc.RNN(2, 8, batch_first=True)], ValueError,
         "layer 0, .* has batch_first=True, expected it of the Model alone"),
    ],
)
def test_layers_that_do_not_fit(layers, error, message):
    with pytest.raises(error, match=message):
        rc.Model(layers())


def test_a_layer_is_in_one_model_once():
    layer = rc.RNN(2, 2)
    with pytest.raises(ValueError, match="part 0 is in a model already: use a deep copy of it"):
        rc.Model([layer, layer])
    rc.Model([layer])
    with pytest.raises(ValueError, match="part 0 is in a model already"):
        rc.Model([layer])
    rc.Model([copy.deepcopy(layer), rc.Linear(2, 1)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "nll"}, "loss is 'nll', expected 'mse', 'cross_entropy', 'kl', 'bernoulli' or"),
        ({"reduction": "max"}, "reduction is 'max', expected 'mean' or 'sum'"),
    ],
)
def test_unknown_options_leave_the_layers_free(options, message):
    layer = rc.RNN(2, 2)
    with pytest.raises(ValueError, match=message):
        rc.Model([layer], **options)
    rc.Model([layer])
