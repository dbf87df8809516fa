"""Character models of text: corpora, the n-gram baseline, the network, its training."""

from __future__ import annotations

from rnncore.jobs import InputError
from rnncore.jobs.cells import CELLS
from rnncore.jobs.stop import StopRequest
from rnncore.text.character import (
    CharacterModel,
    bits_per_character,
    build_model,
    load_character_model,
    sample,
    save_character_model,
)
from rnncore.text.corpus import (
    Corpus,
    Split,
    Vocabulary,
    read_corpus,
    split,
    streams,
)
from rnncore.text.ngram import witten_bell_bits, witten_bell_probabilities
from rnncore.text.training import Outcome, Plan, train

__all__ = [
    "CELLS",
    "CharacterModel",
    "Corpus",
    "InputError",
    "Outcome",
    "Plan",
    "Split",
    "StopRequest",
    "Vocabulary",
    "bits_per_character",
    "build_model",
    "load_character_model",
    "read_corpus",
    "sample",
    "save_character_model",
    "split",
    "streams",
    "train",
    "witten_bell_bits",
    "witten_bell_probabilities",
]
