"""Mutations of how threads share rows and panels, and of where each then finds its own.

Left out are those that only change how work is cut, and those by which a thread writes what is
another's or does not wait for it: what comes of them is chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cell_mutations import Mutant
from engine_mutations import Mutations, written_out

TESTS = "same_bits_for_every_number or threads_do_not_change_a_bit"

MUTATIONS: Mutations = {
    "engine/share.pxd": [
        ("divide", "if whole_rows or", "if"),
        ("share", "part // into.panels", "part"),
        ("share", "part % into.panels", "part"),
        ("share", "part % into.panels", "0"),
        (
            "share",
            "batch.size * (row + 1) // into.rows",
            "mine.low + batch.size // into.rows",
        ),
        (
            "share",
            "layer.panels * (panel + 1) // into.panels",
            "mine.first + layer.panels // into.panels",
        ),
    ],
    "engine/steps.pxd": [
        ("for_spans", "min(part.high, s.batch.live[t]) - part.low", "1"),
        ("for_spans", "t, part.low, rows)", "t, 0, rows)"),
        ("for_spans", "        panel += wide", "        panel += wide + 1"),
    ],
    "engine/backward_steps.pyx": [
        ("_chunk", "of_x.first // lanes", "mine.first"),
        ("_chunk", "(of_x.last + lanes - 1) // lanes", "mine.last"),
        ("_input_gradient", "- batch.origin + row)", "- batch.origin)"),
        (
            "_input_gradient",
            "z_at(layer, batch, tape, t, row)",
            "z_at(layer, batch, tape, t, 0)",
        ),
    ],
    "engine/batch.pyx": [
        ("load_step", "patch.last == n", "False"),
        ("load_step", "first, itemsize), size)", "first, itemsize), itemsize)"),
        ("store_step", "range(patch.low, patch.high)", "range(patch.high)"),
    ],
    "engine/states.pyx": [
        ("get_states", "range(part.low, part.high)", "range(part.high - part.low)"),
        ("get_states", "layer.hidden + first, layer)", "layer.hidden, layer)"),
        ("shift_states", "t) + row) * layer.ldh + first", "t) + row) * layer.ldh"),
        ("_units", "part.first * layer.lanes", "0"),
        ("_units", "min(part.last * layer.lanes, layer.hidden)", "layer.hidden"),
        ("inject", "row), first, layer)", "row), 0, layer)"),
        ("inject", "* layer.hidden + first, layer)", "* layer.hidden, layer)"),
        ("inject", "while row > part.low:", "while row > 0:"),
        ("collect", "range(part.low, part.high)", "range(part.high - part.low)"),
        ("collect", "* layer.hidden + first, layer)", "* layer.hidden, layer)"),
        ("collect", "at(source, first, layer), size", "source, size"),
        ("collect", "at(target, first, layer), 0", "target, 0"),
    ],
    "engine/gradient.pyx": [
        (
            "_gradient_part",
            "layer.panels * (part + 1) // parts - mine.first",
            "layer.panels // parts",
        ),
        ("_accumulate", "at(dz, part.first * width, layer)", "dz"),
        ("_input_gradients", "at(of_x, skip, layer)", "of_x"),
        ("_input_gradients", "at(of_h, skip, layer) if", "of_h if"),
        ("_unit_gradient", "+ part.first * width + unit", "+ unit"),
        ("_unit_gradient", "at(states, part.first * layer.lanes, layer)", "states"),
        ("_unit_gradient", "at(s.tape.sums, part.first * width, layer)", "s.tape.sums"),
    ],
}


def thread_mutants(root: Path) -> Iterator[Mutant]:
    """All of them."""
    return written_out(root, MUTATIONS, TESTS)
