"""What a report says, section by section, and the page itself.

Jinja2 escapes all that comes from the run: a text can hold anything.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from importlib.resources import files

import numpy as np

import rnncore
from rnncore.analysis.alarms import ends
from rnncore.analysis.conditions import conditions
from rnncore.analysis.dependence import measured, trained_reference
from rnncore.analysis.observer import Look, Observer
from rnncore.analysis.spectra import spectrum
from rnncore.analysis.verdict import diagnose
from rnncore.batch import make_batch
from rnncore.files import read_metadata
from rnncore.jobs import InputError
from rnncore.jobs.record import Record, looked_at
from rnncore.layers import Recurrent
from rnncore.model import Model
from rnncore.report import pictures
from rnncore.text.character import METADATA_KEY as VOCABULARY
from rnncore.text.character import load_character_model, sample

_UPDATES = 300  # of the network that the data are judged by
_WORK = 1_000_000_000  # recurrent weights times steps: half a minute of looking at factors
_GROWN, _WEAK = 10.0, 1e-3  # early over late, for words
_SAMPLE, _TEMPERATURE = 600, 0.7  # characters, as `rnncore sample` by default


@dataclass(frozen=True)
class Section:
    """A part of the page; what is empty is left out."""

    title: str
    paragraphs: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    table: list[list[str]] = field(default_factory=list)
    pictures: list[pictures.Picture] = field(default_factory=list)
    text: str = ""
    wrapped: bool = False
    kind: str = ""


def render(record: Record, path: str) -> str:
    """The page about a record and the best model, whose file `path` is.

    Raises
    ------
    InputError
        If the model cannot be loaded, or the record does not fit it.
    """
    from jinja2 import Environment

    try:
        best = rnncore.load(path)
        first = _first(record, best)
        observer = Observer(best, **looked_at(record.probe, best.per_step))
        looks = observer.look(first, None, 0.0), observer.look(best, None, 0.0)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} and its history do not fit together: {error}") from None
    source = files("rnncore.report").joinpath("page.html.jinja").read_text("utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(source)
    text: str = page.render(title=f"Training of {os.path.basename(path)}",
                            summary=_summary(record),
                            sections=_sections(record, path, (first, best), looks))
    return text


def _first(record: Record, best: Model) -> Model:
    """The model before the first update."""
    first = copy.deepcopy(best)
    if record.first.shape != first.parameters.shape or record.first.dtype != first.dtype:
        raise ValueError(f"the first parameters are {record.first.dtype} "
                         f"{record.first.shape}, expected {first.dtype} "
                         f"{first.parameters.shape}")
    with first.writable() as flat:
        flat[:] = record.first
    return first


def _sections(record: Record, path: str, models: tuple[Model, Model],
              looks: tuple[Look, Look]) -> list[Section]:
    alarms = [f"Update {alarm.update:,}, {alarm.kind}: {alarm.what}."
              for alarm in record.alarms]
    return [
        Section("Verdict", _verdict(record, models[1]), kind="verdict"),
        Section("Alarms", alarms or ["None: no explosion and no vanishing was seen."],
                kind="alarm" if alarms else "note"),
        Section("Curves", pictures=pictures.curves(record)),
        Section("Flow of the gradient", _flow_words(record, looks),
                pictures=pictures.flow(record, *looks)),
        Section("Layers", ["Before training → the best model, on the sequences looked at."],
                table=_layer_table(record, looks), kind="note"),
        *_weights(models),
        *_sample(path),
        Section("Configuration", facts=_options(record)),
        Section("Model", text=str(models[1])),
        Section("Timings", facts=_timings(record)),
    ]


def _verdict(record: Record, best: Model) -> list[str]:
    """What `diagnose` says of the best model, or, where that would take minutes, what the data
    say by themselves.
    """
    x, target, lengths = (record.probe.get(name) for name in ("x", "target", "lengths"))
    batch = make_batch(best, x, target, lengths)
    weights = sum(layer.parameters.values.size for layer in best.layers
                  if isinstance(layer, Recurrent))
    try:
        if len(batch.x) * weights <= _WORK:
            return [diagnose(best, x, target, lengths, updates=_UPDATES).text]
        reference, held = trained_reference(best, batch, 0, _UPDATES)
        found = measured(reference, held, max(len(batch.x) // 2, 1), np.random.default_rng(0))
    except ValueError as error:  # too few rows, or too short ones
        return [f"None: {error}."]
    says = "depend" if found.long else "show no dependence"
    return [f"The data {says} on inputs older than {found.lag} steps: the loss of a small GRU "
            f"at the last step goes from {found.loss:.3g} to {found.exchanged:.3g} (standard "
            f"error {found.error:.2g}) when they are exchanged between sequences.",
            f"How much of the gradient arrives stands below. With {weights:,} recurrent "
            f"weights and {len(batch.x)} steps it would take minutes to tell whether its way "
            "or the error is why: rnncore.analysis.diagnose does it."]


def _weights(models: tuple[Model, Model]) -> list[Section]:
    """Spectra and conditions, of cells that have recurrent matrices."""
    if not any("weight_hh" in name for name in models[1].tensors):
        return []
    before, after = (spectrum(model) for model in models)
    rows = [["weights", "largest singular value", "1/gamma", "spectral radius", "gradient"]]
    old, new = (conditions(model) for model in models)
    for was, now in zip(old, new, strict=True):
        rows.append([f"{now.name} {now.block}".rstrip(), f"{was.sigma:.3f} → {now.sigma:.3f}",
                     f"{1 / now.gamma:g}", f"{was.radius:.3f} → {now.radius:.3f}",
                     now.verdict])
    words = [now.text for now in new if now.factors is not None] or [
        "These cells are gated: gates carry the state past the recurrent product, and no "
        "theorem on the weights alone says whether the gradient vanishes. The flow above is "
        "measured."]
    return [Section("Spectra", pictures=pictures.spectra(before, after)),
            Section("Conditions", words, table=rows)]


def _sample(path: str) -> list[Section]:
    """Text of a character model."""
    if VOCABULARY not in read_metadata(path):
        return []
    drawn = "".join(sample(load_character_model(path), "", _SAMPLE, _TEMPERATURE))
    return [Section("Sample", [f"{_SAMPLE} characters of the best model, at temperature "
                               f"{_TEMPERATURE}:"], text=drawn, wrapped=True, kind="note")]


def _summary(record: Record) -> list[tuple[str, str]]:
    best = min(record.scores, key=lambda score: score.score, default=None)
    found = "none" if best is None else \
        f"{best.score:.4g} {record.loss}, after {best.updates:,} updates"
    return [*record.about.items(), ("best held-out score", found), ("ended", record.outcome)]


def _options(record: Record) -> list[tuple[str, str]]:
    """The options of `rnncore train` that were given or have a default."""
    return [(name, " ".join(map(str, value)) if isinstance(value, list) else str(value))
            for name, value in record.call.items() if value is not None]


def _flow_words(record: Record, looks: tuple[Look, Look]) -> list[str]:
    """What of the latest steps' gradient is left at the earliest, layer by layer."""
    words = []
    for index, name in enumerate(record.observations.layers):
        flows = [look.flow[index] for look in looks]
        before, after = (early / late if late else 0.0
                         for late, early in map(ends, flows))
        steps = np.count_nonzero(~np.isnan(flows[1]))
        many = "1 step" if steps == 1 else f"{steps} steps"
        words.append(f"Layer {name}: of the last step's error, over {many}, the "
                     f"earliest tenth gets {before:.2g} times the gradient of the latest tenth "
                     f"before training, and {after:.2g} times in the best model: "
                     f"{_judged(after)}.")
    return words


def _judged(share: float) -> str:
    if share < np.finfo(np.float32).eps:
        return "it vanishes, rounded away beside that of the latest steps"
    if not np.isfinite(share):
        return "it overflows"
    if share > _GROWN:
        return "it grows on its way back"
    return "it arrives" if share > _WEAK else "little of it arrives"


def _layer_table(record: Record, looks: tuple[Look, Look]) -> list[list[str]]:
    """The numbers of each recurrent layer."""
    rows = [["layer", "spectral radius", "Omega", "live terms", "saturated"]]
    columns = [("radius", ".3f"), ("omega", ".3g"), ("live", ".1%"), ("saturation", ".1%")]
    for index, name in enumerate(record.observations.layers):
        rows.append([name, *(" → ".join(f"{getattr(look, column)[index]:{form}}"
                                        for look in looks) for column, form in columns)])
    return rows


def _timings(record: Record) -> list[tuple[str, str]]:
    seconds = record.scores[-1].seconds if record.scores else 0.0
    updates = len(record.history.update_loss)
    rows = [("training and judging", f"{seconds:.1f} s, {updates:,} updates, "
                                     f"{record.seen:,} {record.unit}")]
    if seconds > 0:
        rows += [("speed", f"{record.seen / seconds:,.0f} {record.unit} per second"),
                 ("an update", f"{1e3 * seconds / max(updates, 1):.2f} ms, judging included")]
    return rows
