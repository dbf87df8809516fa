"""Mutations of what a recorded backward pass shows, written out as those of the engine are.

Left out are these, which change nothing:

    carve_record    `layer.cell.state[0] and`: an empty state ends there
    carve_record    room that is not wanted, or for a state that enters: nobody reads it
    note            the way out where a letter is not recorded: no cell has one behind it
    blocks_of       nothing packed: a batch of no rows has no element to be cleared
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cell_mutations import Mutant
from engine_mutations import Mutations, written_out

TESTS = (
    "(test_a_record or test_activations_give or test_recording or has_a_record or no_dx "
    "or threads_and_engines) "
    "and not (relu or sigmoid or _identity or _none or _coupled or ugrnn or mingru)"
)

MUTATIONS: Mutations = {
    "engine/record.pyx": [
        ("note", "+ row)", ")"),
        ("note", "+ panel * layer.lanes", ""),
        ("note", "i * layer.ldh, layer)\n            memcpy", "0, layer)\n            memcpy"),
        ("note", "at(carried, i * layer.ldh, layer)", "carried"),
        ("note", "at(p.dy, i * layer.ldh, layer)", "p.dy"),
        ("note", "p.dc if", "p.dh if"),
        ("note", "== layer.cell.output", "!= layer.cell.output"),
        ("rows_of", "          reverse)", "          False)"),
        ("blocks_of", "order.find(chr(layer.cell.blocks[block]))", "<int> block"),
        ("blocks_of", "layer.itemsize), wide,\n              reverse)",
         "layer.itemsize), wide,\n              False)"),
    ],
    "engine/backward_steps.pyx": [
        ("_backward_step", "note(layer, batch, tape, t, cut.row, cut.panel, &p)", "pass"),
        ("_backward_step", "and stage == last and t >= 0", "and stage == 0 and t >= 0"),
    ],
    "engine/backward.pyx": [
        ("backward", "buffers.inputs[number],", "buffers.inputs[0],"),
        ("backward", "if buffers.inputs[number].data != NULL and", "if number == 0 and"),
    ],
    "engine/sequence.pyx": [
        ("_states", 'tape.c if letter == "c"', 'tape.h if letter == "c"'),
        ("_states", 'tape.y if letter == "y"', 'tape.h if letter == "y"'),
        ("_states", "index % run.plan.directions == 1", "False"),
        ("_records", "dx[index // run.plan.directions]", "dx[0]"),
        ("_records", "reverse = index % run.plan.directions == 1", "reverse = False"),
    ],
}


def record_mutants(root: Path) -> Iterator[Mutant]:
    """All of them."""
    return written_out(root, MUTATIONS, TESTS)
