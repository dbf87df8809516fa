"""Tables of sequences: reading them, scales, and what is held out."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from table_cases import N, T, classes, table_of

from rnncore.jobs import InputError
from rnncore.tables import (
    Scale,
    Table,
    build_model,
    read_table,
    split,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def arrays(rng):
    return classes(rng)


@pytest.fixture
def written(tmp_path):
    return lambda given: table_of(given, tmp_path)


# ---- Arrays ----


def test_labels_of_every_kind_are_classes(arrays, written):
    for labels, expected in [(arrays["y"] - 3, [-3, -2]), (arrays["y"] > 0, [False, True]),
                             (np.array(["no", "yes"])[arrays["y"]], ["no", "yes"])]:
        table = written({**arrays, "y": labels})
        assert table.classes == expected and not table.per_step
        np.testing.assert_array_equal(np.array(table.classes)[table.y], labels)
        np.testing.assert_array_equal(table.x, arrays["x"])


@pytest.mark.parametrize(("shape", "per_step"), [((N,), False), ((N, 3), False),
                                                 ((N, T), False), ((N, T, 3), True)])
def test_floats_are_regression(arrays, written, rng, shape, per_step):
    y = rng.standard_normal(shape).astype(np.float32)
    table = written({**arrays, "y": y})
    assert (table.classes, table.per_step) == (None, per_step)
    assert table.outputs == (shape[-1] if len(shape) > 1 else 1)
    np.testing.assert_array_equal(np.ravel(table.y), y.ravel())


def test_one_feature_needs_no_axis(arrays, written):
    table = written({**arrays, "x": arrays["x"][:, :, 0].astype(np.float16)})
    assert table.features == 1
    assert str(table) == "24 sequences, steps: 6, features: 1, classes of each sequence: 2"


def test_what_lies_behind_the_lengths_is_not_read(arrays, written, rng):
    lengths = rng.integers(1, T + 1, N)
    y = rng.standard_normal((N, T, 1))
    behind = np.arange(T) >= lengths[:, None]
    arrays["x"][behind] = y[behind] = np.nan
    table = written({"x": arrays["x"], "y": y, "lengths": lengths})
    assert table.steps == lengths.tolist() == [len(target) for target in table.y]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": np.zeros(N)}, r"x has shape \(24,\), expected \(samples, time, features\) or"),
        ({"x": np.zeros((N, T, 0))}, "x has no features"),
        ({"x": np.zeros((N, 0, 1))}, "sequence 0 has no steps"),
        ({"x": np.full((N, T), "a")}, "x has dtype <U1, expected numbers"),
        ({"x": np.array([None] * N)}, "its array 'x' is damaged or holds objects"),
        ({"y": np.array([None] * N)}, "its array 'y' is damaged or holds objects"),
        ({"y": np.zeros(N, complex)}, "y has dtype complex128, expected integers or strings"),
        ({"y": np.zeros((N, T), int)}, r"y has shape \(24, 6\), expected \(24,\) of classes"),
        ({"y": np.zeros(N - 1)}, r"y has shape \(23,\), expected \(24,\), \(24, targets\)"),
        ({"y": np.zeros((N, T + 1, 1))}, r"y has shape \(24, 7, 1\), expected .* \(24, 6, tar"),
        ({"y": np.zeros(N, int)}, "all are of the class 0, expected at least 2"),
        ({"y": np.arange(N) // (N - 1)}, "one sequence alone is of the class 1, expected at"),
        ({"y": np.full(N, 2.5)}, "a target is the same everywhere"),
        ({"y": np.where(np.arange(N) == 7, np.nan, 1.0)}, r"y\[7, 0\] is nan, expected finite"),
        ({"lengths": np.full(N, T + 1)}, r"lengths\[0\] is 7, expected 1 to 6"),
        ({"lengths": np.ones(N)}, r"lengths has shape \(24,\) and dtype float64, expected"),
        ({"length": np.ones(N, int)}, "it has an array 'length', expected x, y and lengths"),
    ],
)
def test_names_what_is_wrong_with_arrays(arrays, written, changed, message):
    with pytest.raises(InputError, match=rf"^\S*data.npz: {message}"):
        written({**arrays, **changed})


def test_numbers_have_to_be_finite(arrays, written):
    arrays["x"][3, 4, 1] = np.inf
    with pytest.raises(InputError, match=r"data.npz: x\[3, 4, 1\] is inf, expected finite"):
        written(arrays)


def test_there_have_to_be_enough_sequences(arrays, written):
    with pytest.raises(InputError, match="data.npz: 9 sequences, expected at least 10"):
        written({name: array[:9] for name, array in arrays.items()})
    with pytest.raises(InputError, match="data.npz: it has no array 'y', expected x, y and"):
        written({"x": arrays["x"]})


def test_damaged_archives_are_one_line(arrays, written, tmp_path):
    written(arrays)
    path = tmp_path / "data.npz"
    whole = path.read_bytes()
    other = io.BytesIO()
    np.save(other, arrays["x"])
    broken = bytearray(whole)
    broken[600] ^= 255  # in the data of x: the checksum finds it
    for data in (b"", b"nonsense" * 99, whole[:-40], other.getvalue(), bytes(broken)):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"data.npz: it.* damaged"):
            read_table(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "text")
    with pytest.raises(InputError, match="it holds a file 'x', expected arrays alone"):
        read_table(str(path))
    with pytest.raises(InputError, match=r"cannot read .*none.npz: No such file"):
        read_table(str(tmp_path / "none.npz"))


# ---- Rows ----


def csv_of(targets, *, header="sequence,a,target,b"):
    """Two rows for each sequence, whose targets these are."""
    lines = [f"s{i},{i}.5,{target},-1e-3"
             for i, pair in enumerate(targets) for target in pair]
    return "\n".join([header, *lines]) + "\n"


def test_rows_are_told_apart_by_their_sequence(written):
    table = written("\ufeff" + csv_of([("up", "up"), ("down", "down")] * 6) + "\n")
    assert table.steps == [2] * 12 and table.classes == ["down", "up"]
    assert table.y.tolist() == [1, 0] * 6
    np.testing.assert_array_equal(table.x[3], [[3.5, -0.001]] * 2)


def test_a_point_or_an_exponent_makes_regression(written):
    integers = [(str(i % 3),) * 2 for i in range(12)]
    assert written(csv_of(integers)).classes == ["0", "1", "2"]
    for one in ("1.0", "1e0", "+1."):
        table = written(csv_of([*integers[:-1], (one, one)]))
        assert table.classes is None and table.y.shape == (12, 1)
        assert table.y[-1, 0] == 1
    table = written(csv_of([*integers, ("1.0", "-2")]))
    assert table.per_step and table.y[-1].tolist() == [[1.0], [-2.0]]
    assert written(csv_of([*integers, ("1.0", "1")])).per_step is False  # of one value
    assert written(csv_of([*integers, ("1.0", "1.0"), ("x", "x"), ("x", "x")][1:])
                   .replace("1.0", "2")).classes == ["0", "1", "2", "x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its header has 0 columns 'sequence', expected one"),
        ("sequence,a\n", "its header has 0 columns 'target', expected one"),
        ("sequence,target,target\n", "its header has 2 columns 'target', expected one"),
        ("sequence,target,a\n", "0 sequences, expected at least 10"),
        ("sequence,target,a\n1,2\n", "line 2 has 2 fields, expected 3 as in the header"),
        ("sequence,target,a\n1,2,\n", "line 2 has '' in column 'a', expected a finite number"),
        ("sequence,target,a\n1,2,nan\n", "line 2 has 'nan' in column 'a', expected a finite"),
        ("sequence,target,a\n\n1,2,big\n", "line 3 has 'big' in column 'a', expected a finite"),
        ("sequence,target,a\n1, ,2\n", "line 2 has no target, expected one in every row"),
        ("sequence,target,a\n1,2,3\n2,2,3\n1,2,3\n", "line 4 is of sequence '1', whose rows"),
        ("sequence,target,a\n1,x,3\n1,y,3\n", "sequence '1' has the targets 'x' and 'y', exp"),
        ('sequence,target,a\n1,"x"y,3\n', "line 2 is not CSV"),
        (b"sequence,target,a\n\xff", "it is not UTF-8 text: byte 0xff at offset 18"),
        (csv_of([("nan", "nan")] * 12), r"y\[0, 0, 0\] is nan, expected finite numbers"),
        (csv_of([("1", "1")] * 12), "all are of the class '1', expected at least 2 classes"),
        (csv_of([("1", "1"), ("2", "2")] * 6).replace(",a,", ",b,")
         .replace("sequence,b,target,b", "sequence,target"), "line 2 has 4 fields, expected 2"),
    ],
)
def test_names_what_is_wrong_with_rows(written, text, message):
    with pytest.raises(InputError, match=rf"^\S*data.csv: {message}"):
        written(text)


def test_features_are_needed(written):
    rows = "".join(f"{i},{i % 2}\n" for i in range(12))
    with pytest.raises(InputError, match="x has no features"):
        written("sequence,target\n" + rows)


# ---- Parts and scales ----


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5])
def test_parts_are_stratified_and_seeded(rng, share):
    y = rng.permutation(np.repeat([0, 1, 2], [2, 7, 51]))
    table = Table([np.full((1, 1), float(i)) for i in range(60)], y, ["a", "b", "c"])
    training, held_out = split(table, share, seed=1)
    assert len(held_out) == max(int(share * 60), 1)
    counts = np.bincount(held_out.y, minlength=3)
    assert (abs(counts - share * np.bincount(y)) <= 1).all()
    assert (np.bincount(training.y, minlength=3) > 0).all()
    numbers = [float(x[0, 0]) for x in training.x + held_out.x]
    assert sorted(numbers) == list(range(60))
    assert [float(x[0, 0]) for x in split(table, share, seed=1).held_out.x] \
        == numbers[len(training):]
    assert any([float(x[0, 0]) for x in split(table, share, seed=s).held_out.x]
               != numbers[len(training):] for s in (2, 3, 4))


def test_scales_come_from_the_training_part_alone(arrays, written):
    arrays["x"][:, :, 1] = 0.1  # constant, with a deviation by rounding
    parts = split(written(arrays), 0.25)
    model = build_model(parts.training, hidden=4)
    rows = np.concatenate(parts.training.x)
    assert model.features.mean == rows.mean(axis=0).tolist()
    assert model.features.deviation == [rows[:, 0].std(), 1.0]
    scale = Scale.of(rows)
    np.testing.assert_allclose(scale.undo(scale.apply(rows)), rows, atol=1e-6)
