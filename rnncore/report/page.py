"""What a report says, section by section, and the page itself.

Jinja2 escapes all that comes from the run: a text can hold anything.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np

import rnncore
from rnncore.analysis.alarms import ends
from rnncore.analysis.observer import Look, Observer
from rnncore.files import read_metadata
from rnncore.jobs import InputError
from rnncore.jobs.record import Record
from rnncore.model import Model
from rnncore.report import pictures
from rnncore.text.character import METADATA_KEY as VOCABULARY
from rnncore.text.character import load_character_model, sample

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
        looks = _looks(record, best)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} and its history do not fit together: {error}") from None
    source = files("rnncore.report").joinpath("page.html.jinja").read_text("utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(source)
    text: str = page.render(title=f"Training of {os.path.basename(path)}",
                            summary=_summary(record),
                            sections=_sections(record, path, best, looks))
    return text


def _looks(record: Record, best: Model) -> tuple[Look, Look]:
    """The model before the first update, and the best one, seen through the same sequences."""
    first = copy.deepcopy(best)
    if record.first.shape != first.parameters.shape or record.first.dtype != first.dtype:
        raise ValueError(f"the first parameters are {record.first.shape}, expected "
                         f"{first.parameters.shape}")
    with first.writable() as flat:
        flat[:] = record.first
    observer = Observer(best, **record.probe)
    return observer.look(first, None, 0.0), observer.look(best, None, 0.0)


def _sections(record: Record, path: str, best: Model,
              looks: tuple[Look, Look]) -> list[Section]:
    sections = [
        Section("Alarms", [f"Update {alarm.update:,}, {alarm.kind}: {alarm.what}."
                           for alarm in record.alarms] or
                ["None: neither explosion nor vanishing was seen."],
                kind="alarm" if record.alarms else "note"),
        Section("Curves", pictures=pictures.curves(record)),
        Section("Flow of the gradient", table=_flow_table(record, looks),
                pictures=pictures.flow(record, *looks)),
        Section("Layers", table=_layer_table(record, looks)),
        Section("Configuration", facts=_options(record)),
        Section("Model", text=str(best)),
        Section("Timings", facts=_timings(record)),
    ]
    if VOCABULARY in read_metadata(path):
        model = load_character_model(path)
        drawn = "".join(sample(model, "", _SAMPLE, _TEMPERATURE))
        sections.insert(4, Section("Sample", [f"{_SAMPLE} characters of the best model at "
                                              f"temperature {_TEMPERATURE}:"],
                                   text=drawn, wrapped=True, kind="note"))
    return sections


def _summary(record: Record) -> list[tuple[str, str]]:
    best = min(record.scores, key=lambda score: score.score, default=None)
    found = "none" if best is None else \
        f"{best.score:.4g} {record.loss}, after {best.updates:,} updates"
    return [*record.about.items(), ("best held-out score", found), ("ended", record.outcome)]


def _options(record: Record) -> list[tuple[str, str]]:
    """The options of `rnncore train` that were given or have a default."""
    return [(name, " ".join(map(str, value)) if isinstance(value, list) else str(value))
            for name, value in record.call.items() if value is not None]


def _flow_table(record: Record, looks: tuple[Look, Look]) -> list[list[str]]:
    """What of the latest steps' gradient is left at the earliest."""
    rows = [["layer", "earliest / latest, before training", "best model"]]
    for index, name in enumerate(record.observations.layers):
        shares = [early / late if late else np.nan for look in looks
                  for late, early in [ends(look.flow[index])]]
        rows.append([name, *(f"{share:.2e}" for share in shares)])
    return rows


def _layer_table(record: Record, looks: tuple[Look, Look]) -> list[list[str]]:
    """The numbers of each recurrent layer, before training and of the best model."""
    first, best = looks
    rows = [["layer", "spectral radius", "Omega", "live terms", "saturated"]]
    for index, name in enumerate(record.observations.layers):
        values: list[tuple[Any, str]] = [(look_name, form) for look_name, form in
                                         [("radius", ".3f"), ("omega", ".3g"), ("live", ".1%"),
                                          ("saturation", ".1%")]]
        rows.append([name, *(f"{getattr(first, key)[index]:{form}} → "
                             f"{getattr(best, key)[index]:{form}}" for key, form in values)])
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
