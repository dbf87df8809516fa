"""Checkpoints: a run that was stopped goes on with the bits of one that was not."""

from __future__ import annotations

import numpy as np
import pytest
from runs import RUNS, Endless, continued, fitted
from small import F64, C, K, make, same

import rnncore as rc

T, B = 6, 5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def arrays(rng):
    return rng.standard_normal((T, B, K)), rng.integers(0, C, (T, B))


def iter_of(batches):
    yield from batches


def stop_after(count):
    return lambda event, model, history: len(history.update_loss) >= count


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("every", [None, 1])
def test_a_stopped_run_goes_on_with_the_same_bits(name, every, tmp_path):
    whole, history = fitted(name)
    updates = len(history.update_loss)
    assert updates > 6
    for count in {1, 2, updates // 2, updates - 1}:
        path = tmp_path / f"{count}"
        fitted(name, callbacks=[stop_after(count)], checkpoint=path, checkpoint_updates=every)
        resumed, again = fitted(name, checkpoint=path, checkpoint_updates=every, resume=True)
        assert same(resumed, whole)
        assert {k: v.tolist() for k, v in again.arrays().items()} \
            == {k: v.tolist() for k, v in history.arrays().items()}
        assert resumed.generator_states() == whole.generator_states()
        assert resumed.rng.bit_generator.state == whole.rng.bit_generator.state


class Count:
    """A callback that counts its calls and stops at one of them."""

    def __init__(self, stop=-1):
        self.calls, self.stop = 0, stop

    def __call__(self, event, model, history):
        self.calls += 1
        return self.calls == self.stop

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state):
        if state["calls"] < 1:
            raise ValueError("it was never called")
        self.calls = state["calls"]


def test_callbacks_with_a_state_go_on_where_they_were(tmp_path):
    whole, path = Count(), tmp_path / "run"
    fitted("dropout", callbacks=[whole])
    fitted("dropout", callbacks=[Count(stop=5)], checkpoint=path)
    resumed = Count()
    fitted("dropout", callbacks=[print_nothing, resumed], checkpoint=path, resume=True)
    assert resumed.calls == whole.calls > 5


def print_nothing(event, model, history):
    pass


def test_a_callback_may_refuse_its_state(tmp_path):
    path = tmp_path / "run"
    fitted("dropout", callbacks=[Count(stop=1)], checkpoint=path)
    with pytest.raises(ValueError, match=r"number of callbacks with a state is 1, expected 0"):
        fitted("dropout", checkpoint=path, resume=True)
    refusing = Count()
    refusing.load_state_dict = lambda state: Count.load_state_dict(refusing, {"calls": 0})
    with pytest.raises(ValueError, match=r"run is not a .*: it was never called"):
        fitted("dropout", callbacks=[refusing], checkpoint=path, resume=True)


def test_a_run_that_is_over_gives_its_result_again(tmp_path):
    path = tmp_path / "run"
    done, history = fitted("early stopping", checkpoint=path)
    again, same_history = fitted("early stopping", checkpoint=path, resume=True)
    assert same(done, again) and same_history.valid_loss == history.valid_loss
    assert len(history.loss) < 30 and history.best_epoch < len(history.loss) - 1


def test_a_finished_run_can_be_made_longer(rng, tmp_path):
    data, path = arrays(rng), tmp_path / "run"
    for epochs, resume in [(2, False), (5, True)]:
        model = make()
        history = model.fit(data, epochs=epochs, batch_size=2, checkpoint=path, resume=resume)
    whole = make()
    assert whole.fit(data, epochs=5, batch_size=2).loss == history.loss and same(whole, model)


def test_other_generators_than_the_default_are_kept(rng, tmp_path):
    data, models = arrays(rng), []
    for generator in (np.random.MT19937, np.random.Philox, np.random.SFC64):
        path = tmp_path / generator.__name__
        for stop, resume in [(2, False), (99, True)]:
            models.append(make())
            models[-1].fit(data, epochs=4, batch_size=2, checkpoint=path, resume=resume,
                           seed=np.random.Generator(generator(3)), checkpoint_updates=1,
                           callbacks=[stop_after(stop)])
        whole = make()
        whole.fit(data, epochs=4, batch_size=2, seed=np.random.Generator(generator(3)))
        assert same(whole, models[-1])


def test_an_iterable_without_a_state_is_passed_over(tmp_path):
    whole, _ = fitted("endless")
    options = {"checkpoint": tmp_path / "run", "checkpoint_updates": 1}
    fitted("endless", data=iter_of(Endless()), callbacks=[stop_after(8)], **options)
    resumed, _ = fitted("endless", data=iter_of(Endless()), resume=True, **options)
    assert same(resumed, whole)
    with pytest.raises(ValueError, match="data have no load_state_dict, expected the iterable"):
        fitted("endless", callbacks=[stop_after(8)], checkpoint=tmp_path / "other")
        fitted("endless", data=iter_of(Endless()), resume=True, checkpoint=tmp_path / "other")


def test_a_stream_of_a_task_goes_on(tmp_path):
    def run(**options):
        model = rc.Model([rc.RNN(2, 6), rc.Last(), rc.Linear(6, 1)], "mse", seed=0)
        task = rc.tasks.Addition((10, 20), seed=3)
        model.fit(task.batches(8), epochs=3, updates_per_epoch=4, **options)
        return model

    path = tmp_path / "run"
    run(checkpoint=path, checkpoint_updates=1, callbacks=[stop_after(6)])
    assert same(run(checkpoint=path, resume=True), run())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": rc.GRU}, r"its architecture, layers\[0\]"),
        ({"loss": "mse"}, "its architecture, loss is 'cross_entropy', expected 'mse' as in"),
        ({"optimizer": rc.SGD(0.1)}, "its optimizer is 'Adam', expected 'SGD'"),
        ({"batch_size": 3}, "its batch_size is 2, expected 3"),
        ({"tbptt": (1, 2)}, r"its tbptt is None, expected \[1, 2\]"),
        ({"shuffle": False}, "its shuffle is True, expected False"),
        ({"updates_per_epoch": 3}, "its updates_per_epoch is None, expected 3"),
        ({"seed": np.random.Generator(np.random.SFC64(0))}, "its generator is 'PCG64', exp"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(rng, tmp_path, change, message):
    (x, y), path = arrays(rng), tmp_path / "run"
    make().fit((x, y), batch_size=2, checkpoint=path)
    before = path.read_bytes()
    loss = change.pop("loss", "cross_entropy")
    model, other = (make(loss, cell=change.get("cell", rc.LSTM)) for _ in range(2))
    change.pop("cell", None)
    target = y if loss != "mse" else rng.standard_normal((T, B, C))
    optimizer = change.setdefault("optimizer", rc.Adam())
    with pytest.raises(ValueError, match=message):
        model.fit((x, target), **{"batch_size": 2, **change}, checkpoint=path, resume=True)
    assert same(model, other) and path.read_bytes() == before
    assert not optimizer.state_dict()["steps"].any()


def test_another_dtype_is_refused(rng, tmp_path):
    path = tmp_path / "run"
    make().fit(arrays(rng), checkpoint=path)
    model = rc.Model([rc.LSTM(K, 4), rc.Linear(4, C)], "cross_entropy")
    x, y = arrays(rng)
    with pytest.raises(ValueError, match=r"dtype is 'float64', expected 'float32'"):
        model.fit((x.astype(np.float32), y), checkpoint=path, resume=True)


def test_a_damaged_checkpoint_is_refused(rng, tmp_path):
    path, data = tmp_path / "run", arrays(rng)
    make().fit(data, checkpoint=path)
    content = path.read_bytes()
    for damaged, message in [(content[:-1], "is truncated"), (content[:500], "is truncated"),
                             (b"", "is not a safetensors file"),
                             (content.replace(b"position", b"positive"), "that this run")]:
        path.write_bytes(damaged)
        model, other = make(), make()
        with pytest.raises(ValueError, match=message):
            model.fit(data, checkpoint=path, resume=True)
        assert same(model, other) and path.read_bytes() == damaged
    make().save(path)
    with pytest.raises(ValueError, match="holds no training run"):
        make().fit(data, checkpoint=path, resume=True)


def test_data_that_are_too_short_are_named(rng, tmp_path):
    path, (x, y) = tmp_path / "run", arrays(rng)
    make().fit((x, y), batch_size=1, checkpoint=path, checkpoint_updates=1,
               callbacks=[stop_after(4)])
    model, other = make(), make()
    with pytest.raises(ValueError, match="data end before batch 4"):
        model.fit((x[:, :2], y[:, :2]), batch_size=1, checkpoint=path, resume=True)
    assert same(model, other)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"resume": True}, ValueError, "resume is True, but checkpoint is None"),
        ({"checkpoint_updates": 3}, ValueError, "checkpoint_updates is 3, but checkpoint is N"),
        ({"checkpoint": "no/folder/run"}, FileNotFoundError, "expected a file in a folder"),
    ],
)
def test_wrong_arguments_are_refused(rng, options, error, message):
    model, other = make(), make()
    with pytest.raises(error, match=message):
        model.fit(arrays(rng), **options)
    assert same(model, other)


def test_killed_runs_end_with_the_same_bits(tmp_path):
    for number, name in enumerate(("dropout", "carried")):
        whole, _ = fitted(name)
        resumed = continued(name, tmp_path / f"{number}", kills=2, seed=number)
        assert resumed == whole.parameters.astype(F64).tobytes()
