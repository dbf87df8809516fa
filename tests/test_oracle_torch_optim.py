"""Every optimizer and both clips against PyTorch's, on the same gradients."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import rnncore as rc
from rnncore.parameters import Parameters

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.oracle

SHAPES = {"a.weight": (5, 7), "a.bias": (5,), "b.weight": (3, 5), "b.bias": (3,)}
OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "eps": 1e-3, "momentum": 0.8}),
    ("RMSprop", {"lr": 0.02, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.3}),
]


class Model:
    """The same random parameters on both sides."""

    def __init__(self, dtype=np.float64):
        rng = np.random.default_rng(0)
        self.tensors, self.frozen = Parameters(SHAPES, dtype), frozenset()
        with self.tensors.writable() as flat:
            flat[:] = rng.standard_normal(flat.size)
        self.theirs = {name: torch.nn.Parameter(torch.from_numpy(value.copy()))
                       for name, value in self.tensors.items()}

    def set_grads(self, rng):
        self.tensors.grads[:] = rng.standard_normal(self.tensors.size)
        for name, parameter in self.theirs.items():
            parameter.grad = torch.from_numpy(self.tensors.grad(name).copy())

    def assert_agree(self, tolerance=1e-9):
        for name, value in self.tensors.items():
            assert_allclose(value, self.theirs[name].detach(), rtol=tolerance, atol=tolerance,
                            err_msg=name)


def groups(model, options, **of_matrices):
    """PyTorch's parameters, of which matrices alone decay."""
    def settings(name, parameter):
        decay = options.get("weight_decay", of_matrices.get("default", 0.0))
        return {"params": [parameter], "weight_decay": decay if parameter.ndim > 1 else 0.0}

    return [settings(*item) for item in model.theirs.items()]


def both(name, options, model):
    default = 0.01 if name == "AdamW" else 0.0
    theirs = getattr(torch.optim, name)(groups(model, options, default=default), **options)
    return getattr(rc, name)(**options), theirs


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=str)
def test_hundred_updates(name, options, dtype, tolerance):
    model, rng = Model(dtype), np.random.default_rng(1)
    ours, theirs = both(name, options, model)
    for _ in range(100):
        model.set_grads(rng)
        ours.step(model)
        theirs.step()
    model.assert_agree(tolerance)


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "AdamW"])
def test_options_are_pytorchs_parameter_groups(name):
    model, rng = Model(), np.random.default_rng(1)
    groups = [{"params": [model.theirs["a.weight"]], "lr": 0.3, "weight_decay": 0.1},
              {"params": [model.theirs["a.bias"]], "lr": 0.3, "weight_decay": 0.2},
              {"params": [model.theirs["b.weight"]], "lr": 0.05, "weight_decay": 0.0},
              {"params": [model.theirs["b.bias"]], "lr": 0.05, "weight_decay": 0.2}]
    theirs = getattr(torch.optim, name)(groups)
    ours = getattr(rc, name)(0.05, weight_decay=0.1, options={
        "a.*": {"lr": 0.3}, "*.bias": {"weight_decay": 0.2}, "b.weight": {"weight_decay": 0}})
    for _ in range(20):
        model.set_grads(rng)
        ours.step(model)
        theirs.step()
    model.assert_agree()


def test_a_schedule_of_factors_is_a_schedule_of_rates():
    model, rng = Model(), np.random.default_rng(1)
    ours, theirs = both("AdamW", {"lr": 0.1}, model)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=30)
    own = rc.Cosine(30)
    for update in range(30):
        model.set_grads(rng)
        ours.step(model, own.factor(update, 0))
        theirs.step()
        schedule.step()
    model.assert_agree()


def test_clips():
    model = Model()
    model.set_grads(np.random.default_rng(1))
    norm = torch.nn.utils.clip_grad_norm_(model.theirs.values(), 1.5).item()
    assert_allclose(rc.clip_norm(model.tensors.grads, 1.5), norm, rtol=1e-14)
    torch.nn.utils.clip_grad_value_(model.theirs.values(), 0.25)
    assert rc.clip_value(model.tensors.grads, 0.25) > 0.25
    for name, grad in model.tensors.grad_dict().items():
        assert_allclose(grad, model.theirs[name].grad, rtol=1e-14)
