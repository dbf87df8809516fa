"""Models of tables of sequences: reading them, standardization, training."""

from __future__ import annotations

from rnncore.tables.model import (
    Scale,
    TableModel,
    build_model,
    load_table_model,
    save_table_model,
)
from rnncore.tables.reading import read_table
from rnncore.tables.table import Table
from rnncore.tables.training import Parts, Plan, Score, judge, split, train

__all__ = [
    "Parts",
    "Plan",
    "Scale",
    "Score",
    "Table",
    "TableModel",
    "build_model",
    "judge",
    "load_table_model",
    "read_table",
    "save_table_model",
    "split",
    "train",
]
