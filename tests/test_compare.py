"""The comparison with peers: its arithmetic and tables, and one small run of it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from compare import builds, command, machine, summary, tables
from compare.lanes import Lane, cleared
from compare.peers.onnxmodels import ORDER
from compare.probe import Probe, compiler, target
from compare.rounds import Measured, deviation, measure
from compare.rows import GATES, ROWS, Problem, Row, chosen

import rnncore as rc

ROOT = Path(__file__).parents[1]
SIZES = {"L1": 48 * 1024, "L2": 1024**2, "L3": 32 * 1024**2}
LSTM = Row("LSTM", 1, 100, 64)
TINY = Row("GRU", 2, 3, 5)


def result(threads=1, mode="forward", scale=1.0, **seconds):
    """A row with the times of libraries in ms; all of them agree but "openvino"."""
    seconds = {name.replace("_", " "): [1e-3 * value for value in values]
               for name, values in seconds.items()}
    probes = [{"peak": scale * 2e9, "L1": 8e9, "L2": 4e9, "L3": 2e9} for _ in range(3)]
    deviations = {name: 1e-2 if name == "openvino" else 1e-7 for name in seconds}
    return Measured(str(LSTM), mode, threads, seconds, {}, probes, deviations)


SOME = {"rnncore": [1, 2, 4], "torch": [2, 8, 8], "onnxruntime": [3, 3, 3],
        "openvino": [0.5, 0.5, 0.5]}


# ---- Rows ----


def test_the_table_has_every_cell_at_every_shape():
    assert len(ROWS) == 24 == len(set(ROWS))
    assert {row.cell for row in ROWS} == set(GATES)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_is_read_as_it_is_written(row):
    assert Row.parse(str(row)) == row


@pytest.mark.parametrize("text", ["", "LSTM", "LSTM B1 T100", "TCN B1 T100 H64",
                                  "LSTM B0 T1 H1", "LSTM B1 T1 H64 ", "LSTM T100 B1 H64"])
def test_other_texts_are_no_rows(text):
    with pytest.raises(ValueError, match=r"expected one such as 'LSTM B1 T100 H64'"):
        Row.parse(text)


def test_rows_are_chosen_by_words_and_once():
    assert chosen([]) == ROWS
    assert chosen(["GRU"]) == [row for row in ROWS if row.cell == "GRU"]
    assert chosen(["H64 B1", "LSTM B1 T100 H64"]) == [r for r in ROWS if r[1:] == (1, 100, 64)]
    assert chosen(["RNN B3 T7 H9"]) == [Row("RNN", 3, 7, 9)]
    with pytest.raises(ValueError, match="row 'B1 H65'"):
        chosen(["LSTM", "B1 H65"])


def test_operations_are_those_of_the_matrices():
    row = Row("GRU", 2, 5, 7)
    layer = rc.GRU(7, 7)
    matrices = sum(weight.size for _, weight in layer.parameters.items() if weight.ndim == 2)
    assert row.operations("forward") == 2 * 5 * 2 * matrices
    assert row.operations("training") == 3 * row.operations("forward")
    assert row.weight_bytes() == layer.parameters["weight_hh_l0"].nbytes


def test_a_problem_is_the_same_each_time_and_fits_our_layers():
    one, two = Problem(TINY), Problem(TINY)
    rc.GRU(5, 5).load_state_dict(one.weights)
    assert one.x.shape == one.dy.shape == (3, 2, 5)
    assert not np.array_equal(one.x, one.dy)
    for name, array in one.weights.items():
        np.testing.assert_array_equal(array, two.weights[name])
    np.testing.assert_array_equal(one.x, two.x)


def test_gates_of_onnx_are_ours_in_another_order():
    assert {cell: sorted(order) for cell, order in ORDER.items()} == {
        cell: list(range(gates)) for cell, gates in GATES.items()}


# ---- Arithmetic ----


def test_quartiles_are_numpys():
    values = [3.0, 1.0, 7.0, 2.0, 9.0, 4.0]
    np.testing.assert_allclose(summary.spread(values), np.quantile(values, [0.25, 0.5, 0.75]))
    assert summary.spread([2.0]) == (2, 2, 2)


def test_ratios_are_taken_within_a_round():
    """The ratio of the medians would be 1."""
    assert summary.ratios([10, 1, 4], [5, 4, 1]).median == 2
    with pytest.raises(ValueError, match="shorter"):
        summary.ratios([1, 2], [1])


def test_geometric_means():
    assert summary.geometric_mean([1, 8]) == pytest.approx(math.sqrt(8))
    assert math.isnan(summary.geometric_mean([]))


def test_the_best_peer_is_the_fastest_that_agrees_in_float32():
    assert summary.best_peer(result(**SOME)) == "onnxruntime"
    wrong = result(**SOME)
    wrong.deviations["onnxruntime"] = 1.0
    assert summary.best_peer(wrong) == "torch"
    assert summary.best_peer(result(rnncore=[1], rnncore_blas=[1])) is None


def test_speeds_and_shares_of_the_peak():
    found = result(rnncore=[1, 2, 4])
    operations = 2 * 100 * 2 * 64 * 4 * 64
    assert summary.speed(found, "rnncore").median == pytest.approx(operations / 2e-3 / 1e9)
    assert summary.share_of_peak(found).median == pytest.approx(operations / 2e-3 / 2e9)
    found.probes.clear()
    assert summary.share_of_peak(found) is None is summary.share_of_roofline(found, SIZES)


def test_the_roofline_is_the_peak_or_the_weights_out_of_their_cache():
    probe = {"peak": 1e9, "L1": 8e9, "L2": 4e9, "L3": 2e9}
    row, size = Row("LSTM", 1, 10, 64), 4 * 4 * 64 * 64  # 64 KiB: in L2, half of it in L1
    operations = row.operations("forward")
    assert summary.roofline(row, "forward", 1, probe, SIZES) == operations / 1e9
    fast = {**probe, "peak": 1e15}
    assert summary.roofline(row, "forward", 1, fast, SIZES) == 10 * size / 4e9
    assert summary.roofline(row, "forward", 2, fast, SIZES) == 10 * size / 8e9
    assert summary.roofline(row, "training", 1, fast, SIZES) == 20 * size / 4e9


@pytest.mark.parametrize(("size", "level"), [
    (1, "L1"), (48 * 1024, "L1"), (48 * 1024 + 1, "L2"), (2**20, "L2"), (2**22, "L3"),
    (2**40, "L3")])
def test_what_fits_into_a_cache(size, level):
    assert machine.level_of(size, SIZES) == level


def test_scaling_is_beside_that_of_the_peak():
    one, two = result(rnncore=[4, 4, 8]), result(2, scale=2, rnncore=[2, 4, 4])
    (found,) = summary.scalings([two, one])
    assert (found.threads, found.ours.median, found.machine.median) == (2, 2, 2)
    assert summary.scalings([one]) == []


def test_deviations_are_in_units_of_the_largest_element():
    ours = {"y": np.array([1.0, -4.0]), "dx": np.ones(2)}
    assert deviation(ours, ours) == 0
    assert deviation({**ours, "y": np.array([1.0, -4.4])}, ours) == pytest.approx(0.1)
    assert deviation({"y": ours["y"]}, ours) == math.inf
    assert deviation({**ours, "dx": np.ones(3)}, ours) == math.inf
    assert deviation({**ours, "dx": np.array([1, np.nan])}, ours) == math.inf


# ---- Tables ----


def test_markdown():
    assert tables.markdown([["", "a"], ["b", "1"]]) == "|  | a |\n| --- | --: |\n| b | 1 |"


def test_a_table_of_speeds():
    head, _, row, means = tables.speed_table([result(**SOME)], SIZES).splitlines()
    assert head == ("|  | rnncore | of peak | of roofline | torch | onnxruntime | openvino | "
                    "best peer | ratio to it |")
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "LSTM B1 T100 H64", "3 (2-5)", "1.64", "1.64", "1, 2.00x", "2, 1.50x", "13*, 0.25x",
        "onnxruntime", "1.50 (1.12-2.25)"]
    assert means.split("|")[1:-1] == [" geometric mean ", *["  "] * 3, " 2.00x ", " 1.50x ",
                                      " 0.25x ", "  ", " 1.50x "]


def test_a_document_tells_what_failed_and_what_differs():
    found = result(**SOME)
    found.failures["jax"] = "jax, 1 threads: out of order"
    found.waits["torch"] = [0.0, 0.5]
    text = tables.document({"processor": "P", "caches": SIZES, "date": "D", "rounds": 3,
                            "libraries": {"torch": "2, AVX9"}}, [found, result(2, **SOME)])
    for part in ("* P; L1 48 KiB", "FMA peak 2 GFLOP/s; L1 8 GB/s", "torch: 2, AVX9",
                 "50% of the turns waited", "### Forward, 1 thread\n", "### Threads",
                 "### Forward, 2 threads\n",
                 "openvino: outputs differ from ours by up to 1.0e-02",
                 "LSTM B1 T100 H64, forward: jax, 1 threads: out of order"):
        assert part in text


def test_steps_are_in_microseconds():
    row = tables.step_table([result(mode="step", **SOME)]).splitlines()[2]
    assert "| 2000.00 (1500.00-3000.00) | 8000.00, 2.00x |" in row


def test_a_table_of_two_builds():
    found = result(A=[2, 6, 9], B=[1, 2, 9])
    lines = builds.table([found, found]).splitlines()
    assert lines[2].split(" | ")[1:4] == ["6000.0 (4000.0-7500.0)", "2000.0 (1500.0-5500.0)",
                                          "2.000 (1.500-2.500)"]
    assert lines[-1] == "| geometric mean |  |  | 2.000 |  |"


# ---- Processes ----


def test_settings_that_cripple_others_are_not_handed_on(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("RNNCORE_GEMM", "blas")
    monkeypatch.setenv("RNNCORE_ISA", "avx2")
    environment = cleared()
    assert "OPENBLAS_CORETYPE" not in environment and "RNNCORE_GEMM" not in environment
    assert environment["RNNCORE_ISA"] == "avx2"
    assert environment["PATH"]


def test_the_probe_takes_the_widest_registers():
    assert target({"avx512f", "avx2", "fma"})[0] == 64
    assert target({"avx2", "fma"})[0] == 32
    assert target({"avx2"}) == target({"asimd"}) == (16, [])


@pytest.mark.skipif(not compiler(), reason="no C compiler")
def test_the_probe_measures_each_cache():
    found = Probe(1).run(0.01)
    assert set(found) == {"peak", "L1", "L2", "L3"}
    assert all(1e8 < value < 1e14 for value in found.values())


def test_two_builds_are_told_apart_and_an_error_names_the_process():
    folder = Path(rc.__file__).parents[1]
    lanes = [Lane("rnncore", 1, folder, name) for name in "AB"]
    try:
        (found,) = measure(lanes, TINY, "training", rounds=2, seconds=0.001)
        with pytest.raises(RuntimeError, match="A, 1 threads: ValueError: row 'x'"):
            lanes[0].ask("prepare", "x", "forward", "")
        lanes[1]._process.kill()
        with pytest.raises(RuntimeError, match="B, 1 threads: its process has ended"):
            lanes[1].ask("describe")
    finally:
        for lane in lanes:
            lane.close()
    assert set(found.seconds) == {"A", "B"} and found.deviations == {"A": 0, "B": 0}
    assert all(len(turns) == 2 and min(turns) > 0 for turns in found.seconds.values())


def test_the_command_runs_the_library_alone(tmp_path):
    prefix = tmp_path / "small"
    run = subprocess.run(
        [sys.executable, "-m", "bench.compare", "--library", "rnncore", "rnncore blas",
         "--only", str(TINY), "--rounds", "3", "--seconds", "0.002", "--threads", "1",
         "--out", prefix],
        cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    text = Path(f"{prefix}.md").read_text(encoding="utf-8")
    assert "### Forward, 1 thread" in text and "### Training, 1 thread" in text
    content = json.loads(Path(f"{prefix}.json").read_text(encoding="utf-8"))
    modes = {entry["mode"]: entry for entry in content["results"]}
    for entry in modes.values():
        assert {name: len(turns) for name, turns in entry["seconds"].items()} == {
            "rnncore": 3, "rnncore blas": 3}
        assert 0 < entry["deviations"]["rnncore blas"] < 1e-5
        assert entry["failures"] == {}
    assert set(modes) == {"forward", "training"}
    assert Path(f"{prefix}.png").exists() == (find_spec("matplotlib") is not None)


@pytest.mark.parametrize("given", [["--only", "LSTM B1"], ["--step"]])
def test_options(given):
    options = command.arguments(["--threads", "1", "4096", *given])
    assert options.threads == [1]
    assert options.mode == (["step"] if given == ["--step"] else ["forward", "training"])
    assert {row.steps for row in options.rows} == {1 if given == ["--step"] else 100}


@pytest.mark.parametrize("given", [["--only", "LSTN"], ["--threads", "0"], ["--rounds", "0"]])
def test_wrong_options_are_refused(given):
    with pytest.raises(SystemExit):
        command.arguments(given)
