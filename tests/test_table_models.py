"""Models of tables: their files, their scores and their training."""

from __future__ import annotations

import json

import numpy as np
import pytest
from table_cases import F, N, T, classes, table_of

import rnncore as rc
from rnncore.jobs import InputError
from rnncore.jobs.cells import CELLS
from rnncore.jobs.recipe import Recipe
from rnncore.jobs.stop import StopRequest
from rnncore.tables import (
    Parts,
    Plan,
    Table,
    build_model,
    judge,
    load_table_model,
    save_table_model,
    split,
    train,
)
from rnncore.tables.training import BATCH


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def arrays(rng):
    return classes(rng)


@pytest.fixture
def written(tmp_path):
    return lambda given: table_of(given, tmp_path)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_has_a_model(cell, arrays, written):
    table = written(arrays)
    model = build_model(table, cell=cell, layers=2, hidden=5, dropout=0.1)
    assert model.predict(arrays["x"]).shape == (N,)


@pytest.mark.parametrize("kind", ["classes", "targets", "steps"])
def test_a_file_keeps_a_model_and_what_it_means(kind, arrays, written, rng, tmp_path):
    y = {"classes": np.array(["n", "y"])[arrays["y"]], "targets": rng.random((N, 2)) * 9,
         "steps": rng.random((N, T, 2))}[kind]
    model = build_model(written({**arrays, "y": y}), hidden=4)
    path = tmp_path / "model.safetensors"
    save_table_model(model, path)
    loaded = load_table_model(path)
    predicted = loaded.predict(arrays["x"])
    assert predicted.shape == y.shape and predicted.dtype == y.dtype
    np.testing.assert_array_equal(predicted, model.predict(arrays["x"]))
    assert (loaded.features, loaded.targets) == (model.features, model.targets)


def test_predictions_do_not_depend_on_padding_or_pieces(arrays, written, monkeypatch):
    model = build_model(written({**arrays, "y": arrays["x"][:, :, :1]}), hidden=4)
    alone = model.predict(arrays["x"][:, :4])
    arrays["x"][:, 4:] = np.nan
    monkeypatch.setattr("rnncore.tables.model.SEQUENCES", 5)
    np.testing.assert_array_equal(model.predict(arrays["x"], np.full(N, 4))[:, :4], alone)
    for x, lengths, message in [(np.zeros((2, 3)), None, r"x has shape \(2, 3\), expected"),
                                (np.zeros((2, 3, F)), [3], r"lengths has shape \(1,\), exp")]:
        with pytest.raises(ValueError, match=message):
            model.predict(x, lengths)


def test_names_files_that_are_no_model_of_a_table(arrays, written, tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match=r"cannot read .*model.safetensors: No such file"):
        load_table_model(path)
    path.write_bytes(b"not a model")
    with pytest.raises(InputError, match="is not a safetensors file"):
        load_table_model(path)
    model = build_model(written(arrays), hidden=4)
    good = {"features": {"mean": [0.0] * F, "deviation": [1.0] * F}, "targets": None,
            "classes": ["a", "b"]}
    for entry, message in [
        (None, "holds no scales, expected the model of a table"),
        ("{", "damaged metadata under 'rnncore.table'"),
        ("[]", "damaged metadata"),
        (json.dumps({**good, "features": None}), "damaged metadata"),
        (json.dumps({**good, "classes": ["a"]}), r"for \(2, 1\), expected \(2, 2\) as its"),
    ]:
        model.network.save(path, metadata=None if entry is None else {"rnncore.table": entry})
        with pytest.raises(InputError, match=message):
            load_table_model(path)


# ---- Training ----


def test_scores_are_those_of_the_definition(rng):
    x = list(rng.standard_normal((N, T, F)))
    y = rng.standard_normal((N, 2)) * [1, 100] + 7
    parts = split(Table(x, y), 0.25)
    model = build_model(parts.training, hidden=4)
    score, table = judge(model, parts), parts.held_out
    error = ((model.predict(np.array(table.x)) - table.y) ** 2).mean(axis=0)
    base = ((parts.training.y.mean(axis=0) - table.y) ** 2).mean(axis=0)
    assert score.value == pytest.approx(error.mean())
    assert score.baseline == pytest.approx(base.mean())
    assert score.r2 == pytest.approx((1 - error / base).mean())
    targets = [model.targets.apply(target) for target in table.y]
    features = [model.features.apply(sequence) for sequence in table.x]
    loss = model.network.evaluate(list(zip(features, targets, strict=True))).loss
    assert score.loss == pytest.approx(loss, rel=1e-5)


def test_the_most_frequent_class_is_that_of_the_training_part(rng):
    x = list(rng.standard_normal((9, T, F)))
    parts = Parts(*(Table(x, np.repeat([0, 1], n), ["a", "b"]) for n in ([6, 3], [2, 7])))
    assert judge(build_model(parts.training, hidden=4), parts).baseline == 2 / 9


def run(table, path, *, epochs=3, recipe=None, resume=False, stop=None, **options):
    """Train, and return the scores, the sequences that the best had seen, and the model."""
    parts = split(table, 0.25)
    model, scores = build_model(parts.training, hidden=6, **options), []
    with stop or StopRequest() as request:
        seen = train(model, parts, Plan(epochs, BATCH // 4), path, stop=request,
                     report=scores.append, recipe=recipe, resume=resume)
    return scores, seen, load_table_model(path).network


def test_training_learns_classes_and_targets(arrays, written, tmp_path):
    x = arrays["x"]
    for y in (arrays["y"], x[:, :, 0].mean(axis=1), x.sum(axis=2)[..., None]):
        scores, seen, _ = run(written({**arrays, "y": y}), tmp_path / "model", epochs=60)
        assert scores[-1].loss == min(score.loss for score in scores) < scores[0].loss / 2
        assert 0 < seen <= 60 * 18
        assert scores[-1].r2 is None or scores[-1].r2 > 0.7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.npz", "model",
                                                                "model.history"]


class StopAt(StopRequest):
    """Says stop when it has been asked so many times."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    @property
    def reason(self):
        self.count -= 1
        return "enough" if self.count < 0 else None


@pytest.mark.parametrize("recipe", [
    Recipe(), Recipe(tbptt=(2, 4), optimizer="sgd", lr=0.1, omega=0.5, orthogonal="hard"),
    Recipe(tbptt=(4, 4), optimizer="rmsprop", clip_step=0.5, orthogonal=0.1),
    Recipe(optimizer="adamw"),
], ids=["default", "sgd", "rmsprop", "adamw"])
@pytest.mark.parametrize("count", [1, 8])
def test_a_stopped_training_goes_on_with_its_bits(arrays, written, tmp_path, recipe, count):
    arrays["y"] = arrays["x"].sum(axis=2)[..., None]
    table = written({**arrays, "lengths": np.arange(N) % T + 1})
    options = {"recipe": recipe, "cell": "gru", "layers": 2, "dropout": 0.2}
    whole_scores, whole_seen, whole = run(table, tmp_path / "whole", **options)
    scores, seen, _ = run(table, tmp_path / "m", stop=StopAt(count), **options)
    assert seen < 3 * 18 and (tmp_path / "m.run").exists()
    more, seen, resumed = run(table, tmp_path / "m", resume=True, **options)
    assert not (tmp_path / "m.run").exists()
    assert (scores + more)[-1] == whole_scores[-1] and seen == whole_seen
    np.testing.assert_array_equal(resumed.parameters, whole.parameters)


def test_a_run_without_its_best_model_is_refused(arrays, written, tmp_path):
    table, path = written(arrays), tmp_path / "m"
    run(table, path, stop=StopAt(3))
    path.unlink()
    with pytest.raises(InputError, match=r"its best model, .*m, is missing"):
        run(table, path, resume=True)


def test_divergence_keeps_the_best_and_leaves_no_run(arrays, written, tmp_path):
    arrays["y"] = arrays["x"].sum(axis=2)[..., None]
    stop = StopRequest()
    recipe = Recipe("sgd", lr=1e30, clip=1e30)
    run(written(arrays), tmp_path / "m", recipe=recipe, cell="identity", stop=stop)
    assert stop.reason.startswith("training diverged: ") and stop.exit_code == 1
    assert not (tmp_path / "m.run").exists()
    assert isinstance(load_table_model(tmp_path / "m").network, rc.Model)
