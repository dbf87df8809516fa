"""Character models: corpora, vocabulary, streams, held-out bits, sampling, training."""

from __future__ import annotations

import io
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import rnncore as rc
from rnncore.jobs.cells import CELLS
from rnncore.text import training
from rnncore.text.character import (
    bits_per_character,
    build_model,
    load_character_model,
    sample,
    save_character_model,
)
from rnncore.text.corpus import InputError, Vocabulary, read_corpus, split, streams
from rnncore.text.training import Plan, StopRequest, train

TEXT = "the cat sat on the mat, the dog sat on the log; " * 30  # 1440 characters


@pytest.fixture
def parts():
    return split(TEXT)


@pytest.fixture
def model(parts):
    return build_model(parts.vocabulary, hidden=16, seed=1)


# ---- Reading ----


def test_reads_a_file_exactly(tmp_path):
    text = "Zwölf Boxkämpfer\r\n" * 60
    (tmp_path / "text").write_bytes(text.encode())
    corpus = read_corpus(str(tmp_path / "text"))
    assert corpus.text == text
    assert corpus.origin.endswith("text")


def test_a_byte_order_mark_is_no_character(tmp_path):
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert read_corpus(str(tmp_path / "text")).text == TEXT


def test_reads_standard_input(monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(TEXT.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    corpus = read_corpus("-")
    assert (corpus.text, corpus.origin) == (TEXT, "standard input")


def test_reads_the_documentation_of_python():
    corpus = read_corpus()
    assert corpus.text.count("\n") > 5000
    assert sys.version.split()[0] in corpus.origin
    assert len(corpus.sha256) == 64


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty, expected at least 1000 characters"),
        (b"abc", "has 3 characters, expected at least 1000"),
        (b"abc\xff" * 1000, r"is not UTF-8 text: byte 0xff at offset 3 \(invalid start byte\)"),
    ],
)
def test_names_what_is_wrong_with_a_text(tmp_path, data, message):
    (tmp_path / "text").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_corpus(str(tmp_path / "text"))


def test_names_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*missing: No such file"):
        read_corpus(str(tmp_path / "missing"))
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"):
        read_corpus(str(tmp_path))


# ---- Symbols ----


def test_vocabulary_numbers_every_character():
    text = "añ\N{SNAKE}\x00z"
    vocabulary = Vocabulary.of(text)
    symbols = vocabulary.encode(text)
    assert sorted(symbols) == [1, 2, 3, 4, 5]
    assert vocabulary.decode(symbols) == text
    np.testing.assert_array_equal(vocabulary.encode("b\udc80"), [0, 0])
    assert vocabulary.unknown_characters("baba") == ["b"]
    with pytest.raises(ValueError, match="repeats a character"):
        Vocabulary("aba")


def test_vocabulary_comes_from_the_training_part_alone():
    parts = split("ab" * 450 + "a?" * 50)
    assert parts.vocabulary.characters == "ab"
    assert (len(parts.training), len(parts.held_out), parts.unknown) == (900, 100, 50)


def test_streams_continue_from_row_to_row():
    x, y = streams(np.arange(100), 7)
    assert x.shape == y.shape == (14, 7)
    np.testing.assert_array_equal(y, x + 1)
    np.testing.assert_array_equal(x[1:], y[:-1])
    with pytest.raises(ValueError, match="expected more than 7"):
        streams(np.arange(7), 7)


# ---- The network ----


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_learns(cell, parts):
    model = build_model(parts.vocabulary, cell=cell, hidden=16)
    x, y = streams(parts.training, 16)
    optimizer = rc.Adam(lr=0.01)
    losses = []
    for _ in range(8):
        loss, _ = model.network.loss_and_grad(x[:32], y[:32])
        model.network.clip_norm(1.0)
        optimizer.step(model.network)
        losses.append(loss)
    assert losses[-1] < 0.9 * losses[0]


def test_held_out_bits_are_the_mean_over_one_stream(model, parts, monkeypatch):
    symbols = parts.held_out
    logits = model.network.infer(symbols[:-1, np.newaxis])[0][:, 0].astype(float)
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log2(probability[np.arange(len(symbols) - 1), symbols[1:]]).mean()
    assert bits_per_character(model.network, symbols) == pytest.approx(expected, abs=1e-6)
    monkeypatch.setattr("rnncore.text.character.INFER_STEPS", 10)
    assert bits_per_character(model.network, symbols) == pytest.approx(expected, abs=1e-6)


@pytest.mark.oracle
def test_pytorch_gives_the_same_held_out_bits(model, parts):
    torch = pytest.importorskip("torch")
    state = {name: torch.tensor(value) for name, value in model.network.state_dict().items()}
    lstm = torch.nn.LSTM(16, 16, num_layers=2)
    lstm.load_state_dict({k[2:]: v for k, v in state.items() if k.startswith("1.")})
    symbols = torch.from_numpy(parts.held_out)
    with torch.no_grad():
        y = lstm(state["0.weight"][symbols[:-1]])[0] @ state["2.weight"].T + state["2.bias"]
        nats = torch.nn.functional.cross_entropy(y, symbols[1:]).item()
    bits = bits_per_character(model.network, parts.held_out)
    assert bits == pytest.approx(nats / math.log(2), abs=1e-5)


def test_samples_depend_on_the_seed_alone(model):
    def draw(**options):
        return "".join(sample(model, "the ", 80, **options))

    assert len(draw(temperature=1.0)) == 80
    assert draw(temperature=1.0, seed=3) == draw(temperature=1.0, seed=3)
    assert draw(temperature=1.0, seed=3) != draw(temperature=1.0, seed=4)
    greedy = draw(temperature=0, seed=3)
    assert greedy == draw(temperature=0, seed=4) == draw(temperature=1e-300)
    assert set(draw(temperature=1e300)) <= set(TEXT)  # all but uniform, yet never unknown


def test_samples_start_without_a_prime(model):
    assert len("".join(sample(model, "", 10, 1.0))) == 10


def test_unknown_characters_of_the_prime_are_named(model):
    with pytest.raises(InputError, match=r"does not know: 'X' \(U\+0058\), 'é' \(U\+00E9\)"):
        sample(model, "éXthe", 10, 1.0)


def test_a_file_keeps_network_and_vocabulary(model, parts, tmp_path):
    path = tmp_path / "model.safetensors"
    save_character_model(model, path)
    loaded = load_character_model(path)
    assert loaded.vocabulary.characters == parts.vocabulary.characters
    bits = [bits_per_character(m.network, parts.held_out) for m in (model, loaded)]
    assert bits[0] == bits[1]


def test_names_files_that_are_no_character_model(model, tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match=r"cannot read .*model.safetensors: No such file"):
        load_character_model(path)
    path.write_bytes(b"not a model at all")
    with pytest.raises(InputError, match="safetensors"):
        load_character_model(path)
    model.network.save(path)
    with pytest.raises(InputError, match="holds no vocabulary"):
        load_character_model(path)
    model.network.save(path, metadata={"rnncore.vocabulary": "aba"})
    with pytest.raises(InputError, match="2 different characters out of 3, expected 15"):
        load_character_model(path)


# ---- Training ----


def run(model, parts, path, epochs=3, request=None):
    reports = []
    with request or StopRequest() as stop:
        outcome = train(model, parts, Plan(epochs, 8), path, stop=stop, report=reports.append)
    return outcome, reports, stop


def test_training_learns_and_is_deterministic(parts, tmp_path):
    files = [tmp_path / "a", tmp_path / "b"]
    runs = [
        run(build_model(parts.vocabulary, hidden=16, dropout=0.1, seed=5), parts, path, 20)
        for path in files
    ]
    (outcome, reports, _), (_, again, _) = runs
    assert reports == again
    assert reports[-1] < math.log2(len(parts.vocabulary)) - 0.3
    assert outcome.bits == min(reports)
    first, second = (load_character_model(path).network.state_dict() for path in files)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_the_best_model_is_kept(model, parts, tmp_path, monkeypatch):
    scores = iter([3.0, 2.0, 2.5])
    kept, save = [], training.save_character_model

    def kept_and_saved(model, path):
        kept.append(model.network.state_dict()["2.bias"])
        save(model, path)

    monkeypatch.setattr(training, "bits_per_character", lambda *_: next(scores))
    monkeypatch.setattr(training, "save_character_model", kept_and_saved)
    outcome, reports, _ = run(model, parts, tmp_path / "model")
    assert reports == [3.0, 2.0, 2.5]
    assert (outcome.bits, outcome.characters) == (2.0, 2 * 8 * ((1296 - 1) // 8))
    before_the_first_evaluation, first, second = kept
    np.testing.assert_array_equal(before_the_first_evaluation, first)
    assert not np.array_equal(first, second)


def test_a_deadline_keeps_a_model(model, parts, tmp_path):
    path = tmp_path / "model"
    outcome, reports, stop = run(model, parts, path, 10**9, StopRequest(max_seconds=0.5))
    assert (stop.reason, stop.exit_code) == ("stopped after 0.5 seconds", 0)
    assert outcome.bits == min(reports)
    bits = bits_per_character(load_character_model(path).network, parts.held_out)
    assert bits == outcome.bits


def test_a_first_epoch_cut_short_is_evaluated(model, parts, tmp_path):
    stop = StopRequest()
    stop.ask("enough", 3)
    outcome, reports, _ = run(model, parts, tmp_path / "model", 9, stop)
    assert reports == [outcome.bits]
    assert outcome.characters == 8 * training.STEPS
    assert (tmp_path / "model").exists()


def test_divergence_keeps_the_best(model, parts, tmp_path, monkeypatch):
    clip_norm, calls = model.network.clip_norm, []

    def diverge(max_norm, on_nonfinite):
        calls.append(max_norm)
        if len(calls) > 8:  # in the second epoch
            raise FloatingPointError("gradient of 1.weight_hh_l0 is not finite")
        return clip_norm(max_norm)

    monkeypatch.setattr(model.network, "clip_norm", diverge)
    _, reports, stop = run(model, parts, tmp_path / "model")
    assert stop.reason == "training diverged: gradient of 1.weight_hh_l0 is not finite"
    assert stop.exit_code == 1
    assert len(reports) == 2
    assert load_character_model(tmp_path / "model")
