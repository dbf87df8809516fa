"""The monitor of a training: what it records is right, and no bit of training knows of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

import rnncore as rc
from rnncore.analysis.monitor import Monitor


def problem(steps=12, rows=6, inputs=3, outputs=2, dtype=np.float64):
    rng = np.random.default_rng(0)
    return (rng.standard_normal((steps, rows, inputs)).astype(dtype),
            rng.standard_normal((steps, rows, outputs)).astype(dtype))


def looked_at(layers, x, y, lengths=None, loss="mse", **options):
    """What one look finds after one update."""
    model = rc.Model(layers, loss, seed=0)
    monitor = Monitor(model, x, y, lengths)
    model.fit((x, y, lengths), batch_size=x.shape[1], callbacks=[monitor], **options)
    return model, monitor.observations


# ---- Training does not know of it ----


@pytest.mark.parametrize("layers", [
    lambda: [rc.LSTM(3, 5, num_layers=2, dropout=0.3), rc.Linear(5, 2)],
    lambda: [rc.RNN(3, 5, bidirectional=True), rc.Linear(10, 2)],
    lambda: [rc.Linear(3, 4), rc.GRU(4, 5), rc.Linear(5, 2)],
])
@pytest.mark.parametrize("options", [{}, {"omega": rc.Omega(0.5), "clip_norm": 0.1}])
def test_asking_for_it_changes_no_bit(layers, options):
    x, y = problem(dtype=np.float32)
    results = []
    for asked in (False, True):
        model = rc.Model(layers(), seed=0)
        callbacks = [Monitor(model, x[:, :2], y[:, :2], every=1)] if asked else []
        history = model.fit((x, y), epochs=3, batch_size=2, callbacks=callbacks, **options)
        results.append((model, history))
    (without, before), (watched, after) = results
    np.testing.assert_array_equal(without.parameters, watched.parameters)
    np.testing.assert_array_equal(without.grads, watched.grads)
    assert without.generator_states() == watched.generator_states()
    assert before.update_loss == after.update_loss
    assert without.omega == watched.omega


# ---- What it records ----


@pytest.mark.parametrize("layer", [
    lambda **o: rc.RNN(3, 5, **o), lambda **o: rc.RNN(3, 5, form="pascanu", **o),
    lambda **o: rc.LSTM(3, 5, **o), lambda **o: rc.GRU(3, 5, **o),
    lambda **o: rc.IndRNN(3, 5, **o), lambda **o: rc.IdentityRNN(3, 5, **o),
])
def test_the_flow_is_what_a_cut_sequence_hands_back(layer):
    """The gradient of the state that a shorter sequence begins from, for each cut."""
    x, y = problem()
    model, seen = looked_at([layer(dtype=np.float64), rc.Linear(5, 2, dtype=np.float64)], x, y)
    for lag in (1, 4, 11):
        first = len(x) - lag
        _, state = model.infer(x[:first])
        output, _ = model.forward(x[first:], state)
        dy = np.zeros_like(output)
        dy[-1] = model.loss.terms(output[-1], y[-1], np.full(6, 1 / 12))[1]
        _, dstate = model.backward(dy)
        parts = dstate[0] if isinstance(dstate[0], tuple) else (dstate[0],)
        expected = np.sqrt(sum(np.sum(part**2) for part in parts) / 6)
        np.testing.assert_allclose(seen.flow[0, 0, lag], expected, rtol=1e-10)


def test_flows_begin_at_the_end_of_each_row():
    x, y = problem()
    lengths = np.array([12, 5, 0, 7, 12, 1])
    _, seen = looked_at([rc.GRU(3, 5, dtype=np.float64), rc.Linear(5, 2, dtype=np.float64)],
                        x, y, lengths, optimizer=rc.SGD(0.0))
    alone = []
    for row, length in enumerate(lengths):
        if length:
            part = slice(row, row + 1)
            _, one = looked_at([rc.GRU(3, 5, dtype=np.float64),
                                rc.Linear(5, 2, dtype=np.float64)],
                               x[:length, part], y[:length, part], optimizer=rc.SGD(0.0))
            alone.append(np.pad(one.flow[0, 0] / 5, (0, 12 - length),  # of five rows, the mean
                                constant_values=np.nan))
    with np.errstate(all="ignore"):
        expected = np.sqrt(np.nanmean(np.square(alone), axis=0))
    np.testing.assert_allclose(seen.flow[0, 0], expected, rtol=1e-10)


def test_a_reverse_direction_is_a_forward_one_of_the_sequence_turned_round():
    x, y = problem()
    flows = []
    for turn in (False, True):
        model = rc.Model([rc.LSTM(3, 5, bidirectional=True, dtype=np.float64),
                          rc.Linear(10, 2, dtype=np.float64)], seed=0)
        weights = model.state_dict()
        if turn:
            weights = {name: weights[name.removesuffix("_reverse") if "_reverse" in name
                                     else f"{name}_reverse" if "_l0" in name else name]
                       for name in weights}
            weights["1.weight"] = np.roll(weights["1.weight"], 5, axis=1)
            model.load_state_dict(weights)
        data = (x[::-1].copy(), y[::-1].copy()) if turn else (x, y)
        monitor = Monitor(model, *data)
        model.fit(data, batch_size=6, optimizer=rc.SGD(0.0), callbacks=[monitor])
        assert monitor.observations.layers == ("0.l0", "0.l0_reverse")
        flows.append(monitor.observations.flow[0])
    np.testing.assert_allclose(flows[0][::-1], flows[1], rtol=1e-10)
    assert (flows[0] > 0).all()


@pytest.mark.parametrize("hidden", [8, 100, 256])
def test_radii_are_those_of_all_eigenvalues(hidden):
    x, y = problem(outputs=hidden, dtype=np.float32)
    for layer in (rc.LSTM(3, hidden), rc.RNN(3, hidden, taps=(1, 3))):
        model, seen = looked_at([layer], x, y)
        blocks = [block for name, w in model.named_parameters().items() if "weight_hh" in name
                  for block in np.split(w.astype(np.float64), len(w) // hidden)]
        expected = max(np.abs(np.linalg.eigvals(block)).max() for block in blocks)
        assert seen.radius[0, 0] == pytest.approx(expected, rel=1e-6 if hidden < 60 else 0.02)


def test_radii_of_what_is_no_matrix():
    x, y = problem(outputs=5, dtype=np.float32)
    model, seen = looked_at([rc.IndRNN(3, 5), rc.MinGRU(5, 5)], x, y)
    u = model.named_parameters()["0.weight_hh_l0"]
    assert seen.radius[0, 0] == np.abs(u).max()
    assert np.isnan(seen.radius[0, 1])


def test_a_matrix_whose_powers_end_early_has_its_radius():
    x, y = problem(outputs=100, dtype=np.float32)
    model = rc.Model([rc.RNN(3, 100)], seed=0)
    rc.init.identity(model, scale=0.5)
    monitor = Monitor(model, x, y)
    model.fit((x, y), optimizer=rc.SGD(0.0), callbacks=[monitor])
    assert monitor.observations.radius[0, 0] == pytest.approx(0.5)


def test_omega_is_that_of_the_last_steps_error():
    x, y = problem()
    model, seen = looked_at([rc.LSTM(3, 5, dtype=np.float64),
                             rc.Linear(5, 2, dtype=np.float64)], x, y)
    mask = np.zeros((12, 6))
    mask[-1] = 1
    model.loss_and_grad(x, y, mask=mask, omega=rc.Omega(0.0))
    assert seen.omega[0, 0] == pytest.approx(model.omega.value, rel=1e-12)
    assert seen.live[0, 0] == model.omega.share


def test_norms_and_ratios_are_those_of_the_update():
    x, y = problem()
    layers = [rc.GRU(3, 5, num_layers=2, dtype=np.float64), rc.Linear(5, 2, dtype=np.float64)]
    before = {}

    class Start:
        def add_gradient(self, model):
            before.update(model.state_dict())
            before["gradient"] = {k: v.copy() for k, v in model.grad_dict().items()}
            return 0.0

    model, seen = looked_at(layers, x, y, optimizer=rc.SGD(1.0), clip_norm=0.01,
                            regularizers=[Start()])
    assert seen.parts == ("0.l0", "0.l1", "1")
    for index, pattern in enumerate(("_l0", "_l1", "1.")):
        names = [name for name in model.tensors if pattern in name]
        norm = np.sqrt(sum(np.sum(before["gradient"][name] ** 2) for name in names))
        change = np.sqrt(sum(np.sum((model.state_dict()[name] - before[name]) ** 2)
                             for name in names))
        size = np.sqrt(sum(np.sum(before[name] ** 2) for name in names))
        assert seen.grad_norm[0, index] == pytest.approx(norm, rel=1e-9)
        assert seen.update_ratio[0, index] == pytest.approx(change / size, rel=1e-9)


@pytest.mark.parametrize(("layer", "share"), [
    (lambda: rc.RNN(3, 4, activation="relu"), 1.0), (lambda: rc.RNN(3, 4), 1.0),
    (lambda: rc.LSTM(3, 4), 1.0), (lambda: rc.GRU(3, 4), 1.0),
    (lambda: rc.RNN(3, 4, activation="identity"), np.nan),
])
def test_saturation_goes_from_nothing_to_all(layer, share):
    x, y = np.ones((6, 2, 3), np.float32), np.zeros((6, 2, 4), np.float32)
    model = rc.Model([layer()], seed=0)
    for scale, expected in ((0.0, 0.0), (-30.0, share)):
        rc.init.uniform(model, "*", low=scale, high=scale + 1e-3)
        if scale == 0.0:
            rc.init.uniform(model, "*", low=1e-3, high=2e-3)
        monitor = Monitor(model, x, y)
        model.fit((x, y), optimizer=rc.SGD(0.0), callbacks=[monitor])
        found = monitor.observations.saturation[0, 0]
        assert found == expected or (np.isnan(found) and np.isnan(share))


def test_lower_layers_are_seen_although_they_are_frozen():
    x, y = problem(dtype=np.float32)
    model = rc.Model([rc.RNN(3, 5), rc.Linear(5, 2)], seed=0)
    model.freeze("0.*")
    monitor = Monitor(model, x, y)
    model.fit((x, y), callbacks=[monitor])
    assert (monitor.observations.flow > 0).all()
    assert monitor.observations.grad_norm[0, 0] == 0


# ---- When it looks, and what is kept ----


def test_it_looks_at_the_first_update_and_at_every_so_many():
    x, y = problem(dtype=np.float32)
    model = rc.Model([rc.RNN(3, 5), rc.Linear(5, 2)], seed=0)
    monitor = Monitor(model, x, y, every=4)
    model.fit((x, y), epochs=9, callbacks=[monitor])
    assert monitor.observations.updates.tolist() == [1, 4, 8]
    assert np.isfinite(monitor.observations.update_ratio).all()


def test_of_many_records_every_second_one_is_kept():
    x, y = problem(2, 1, dtype=np.float32)
    model = rc.Model([rc.RNN(3, 2)], seed=0)
    monitor = Monitor(model, x, y, every=1)
    model.fit((x, y), epochs=207, callbacks=[monitor])
    updates = monitor.observations.updates.tolist()
    assert updates == [*range(1, 202, 2), 202, 204, 206]
    assert monitor.observations.flow.shape == (104, 1, 2)


def test_a_resumed_run_has_the_records_of_one_never_stopped(tmp_path):
    x, y = problem(dtype=np.float32)

    def run(epochs, name, **options):
        model = rc.Model([rc.LSTM(3, 5), rc.Linear(5, 2)], seed=0)
        monitor = Monitor(model, x[:, :3], y[:, :3], every=3)
        model.fit((x, y), epochs=epochs, batch_size=2, callbacks=[monitor],
                  checkpoint=tmp_path / name, **options)
        return monitor

    whole = run(8, "whole")
    run(3, "part")
    resumed = run(8, "part", resume=True)
    for one, other in zip(whole.observations, resumed.observations, strict=True):
        np.testing.assert_array_equal(one, other)
    assert json.dumps(whole.state_dict()) == json.dumps(resumed.state_dict())


def test_an_alarm_can_stop_training():
    x, y = problem(dtype=np.float32)
    model = rc.Model([rc.RNN(3, 5), rc.Linear(5, 2)], seed=0)
    heard = []
    monitor = Monitor(model, x, y, on_alarm=lambda alarm: heard.append(alarm) or True)
    history = model.fit((x, y), epochs=50, optimizer=rc.SGD(1000.0), callbacks=[monitor])
    assert len(history.update_loss) == 1
    assert heard == monitor.alarms
    assert heard[0].kind == "explosion"
    assert "times as large as the parameters" in heard[0].what
