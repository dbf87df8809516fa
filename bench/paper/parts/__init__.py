"""The parts of the study by name."""

from __future__ import annotations

from paper.part import Part
from paper.parts.agreement import SubjectOrRecency
from paper.parts.cells import Cells
from paper.parts.characters import Characters
from paper.parts.long import Long
from paper.parts.music import PolyphonicMusic
from paper.parts.order import AllLengths, Order

PARTS: dict[str, Part] = {
    "agreement": SubjectOrRecency(),
    "cells": Cells(),
    "characters": Characters(),
    "lengths": AllLengths(),
    "long": Long(),
    "music": PolyphonicMusic(),
    "order": Order(),
}
