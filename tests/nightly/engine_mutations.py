"""Mutations of the engine's half of the backward pass, written out one by one.

Each is (function, old text, new text); the old text stands once in the function. There are none
that only read where nothing is defined (steps before the first, rows behind the last), none
that only change how work is cut into pieces, and none of these, which change nothing:

    _carry          `later >= batch.steps` as `>`: nothing lives at step T
    _carry          `living > 0` as `>=`: a product of no rows
    _for_spans      over more steps than have their dZ: they come again, and then they have
    load_gradient   another layer's dy, or its row stride: they share it
    backward        `wanted and` in front of a residual: no one reads what is not wanted
    backward        the row stride of `above` in a residual as that of `below`: equal there
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cell_mutations import Mutant

# The cells between them use every way through the engine.
TESTS = (
    "[rnn_tanh or rnn_pascanu_tanh or rnn_skip_tanh or indrnn_tanh or gru or lstm_diagonal "
    "or lstm_cell or plusrnn"
)

Mutations = dict[str, list[tuple[str, str, str]]]  # by file: function, old text, new text

MUTATIONS: Mutations = {
    "engine/backward.pyx": [
        ("_enter", "run.plan.n_layers - 1", "0"),
        ("_enter", "buffers.above, run.strides[last + 1], run.width", "buffers.above, 1, 1"),
        ("_enter", "if not run.composed(last):", "if run.composed(last):"),
        ("_enter", "if not run.composed(last):", "if True:"),
        ("_begin", "at(above.data, n, layer)", "above.data"),
        ("_begin", "memset(tape.dy, 0, slot(batch, 0) * layer.ldh * run.item)", "pass"),
        ("_begin", "memset(tape.dh, 0, carried)", "pass"),
        ("_begin", "memset(tape.dc, 0, carried)", "pass"),
        ("_begin", "memset(tape.drh, 0, batch.size * layer.ldh * run.item)", "pass"),
        ("_begin", "if direction == 1:", "if False:"),
        ("_begin", "tape.from_dy.data = NULL", "pass"),
        ("_begin", "slot(batch, 0) * layer.ldh, layer), layer.ldh", "0, layer), layer.ldh"),
        ("backward", "run.drop(number, above.data, above.inner)", "pass"),
        ("backward", "states = index * batch.past * batch.size * layer.hidden", "states = 0"),
        ("backward", "states = index * batch.past", "states = index"),
        ("backward", "buffers.dx if direction else buffers.below", "buffers.below"),
        ("backward", " &above, direction)", " &above, 0)"),
        ("backward", "number > 0 or input_grad", "input_grad"),
        ("backward", "number > 0 or input_grad", "number > 0"),
        ("backward", "&boundary, wanted)", "&boundary, False)"),
        ("backward", "buffers.turned, layer.ldx)", "buffers.dx, layer.ldx)"),
        ("backward", "if direction == 1 and", "if direction == 2 and"),
        ("backward", "and run.adds_input(number)", "and not run.adds_input(number)"),
        ("backward", "run.plan.directions == 1 and not", "not"),
        ("backward", "1 and not run.adds_input(number)", "1"),
        ("backward", "if whole else", "if False else"),
        ("backward", "        above = packed_view(buffers.above, layer.ldx)\n", ""),
        ("gradients", "range(run.plan.n_layers * run.plan.directions)", "range(1)"),
        ("gradients", "&grads[index]", "&grads[0]"),
    ],
    "engine/cut.pxd": [
        ("rectangle", "p.dy = at(tape.dy, now, layer)", "p.dy = at(tape.dy, before, layer)"),
        (
            "rectangle",
            "(ring(layer, batch, t) + row) * layer.ldh + unit",
            "(ring(layer, batch, t) + row) * layer.ldh",
        ),
        (
            "rectangle",
            "(ring(layer, batch, t) + row) * layer.ldh + unit",
            "ring(layer, batch, t) * layer.ldh + unit",
        ),
        (
            "rectangle",
            "(ring(layer, batch, t) + row) * layer.ldh + unit",
            "row * layer.ldh + unit",
        ),
        ("rectangle", "row * layer.ldh + unit, layer)", "unit, layer)"),
        ("rectangle", "row * layer.ldh + unit, layer)", "row * layer.ldh, layer)"),
        (
            "rectangle",
            "p.dx = at(tape.dx, live * layer.ldx + unit, layer)",
            "p.dx = at(tape.dx, live * layer.ldx, layer)",
        ),
        (
            "rectangle",
            "p.dx = at(tape.dx, live * layer.ldx + unit, layer)",
            "p.dx = at(tape.dx, unit, layer)",
        ),
        ("cut_step", "+ (down - 1) * cut.high", "+ down * cut.high"),
        ("cut_step", "+ (across - 1) * cut.wide", "+ across * cut.wide"),
        ("cut_step", "down * across", "down * across - 1"),
        ("begin", "-cut.high, -cut.wide", "-cut.high, cut.wide"),
        ("begin", "cut.far_row, cut.far_panel", "cut.low, cut.far_panel"),
        ("advance", "cut.low if cut.down > 0 else cut.far_row", "cut.low"),
        ("advance", "cut.low <= cut.row <= cut.far_row", "cut.low <= cut.row"),
        ("piece", "min(cut.high, cut.low + cut.rows - cut.row)", "cut.high"),
        ("piece", "min(cut.wide, cut.last - cut.panel)", "cut.wide"),
    ],
    "engine/backward_steps.pyx": [
        ("_carry", "tape.dc if layer.cell.fed == c'c' else tape.dh", "tape.dh"),
        ("_carry", "(ring(layer, batch, t) + row)", "ring(layer, batch, t)"),
        ("_carry", "(ring(layer, batch, t) + row)", "row"),
        ("_carry", "t + layer.taps[tap]", "t - layer.taps[tap]"),
        ("_carry", "t + layer.taps[tap]", "t + layer.taps[0]"),
        ("_carry", "t + layer.taps[tap]", "t + 1"),
        ("_carry", "if later < 0 or", "if later <= 0 or"),
        ("_carry", "or later >= batch.steps", "or later >= batch.steps - 1"),
        ("_carry", "            continue\n", "            break\n"),
        ("_carry", "batch.live[later] - row", "batch.live[later]"),
        ("_carry", "min(batch.live[later] - row, rows)", "rows"),
        ("_carry", "&layer.h[tap]", "&layer.h[0]"),
        ("_carry", "tape, later, row", "tape, later, 0"),
        ("_carry", "tape, later, row", "tape, t, row"),
        (
            "_carry",
            "carried, layer.ldh, carried, layer.ldh",
            "layer.zeros, 0, carried, layer.ldh",
        ),
        (
            "_backward_step",
            "batch.live[t] if t >= 0 else batch.size",
            "batch.live[t] if t >= 0 else batch.live[0]",
        ),
        ("_backward_step", "range(last, -1, -1)", "range(last + 1)"),
        ("_backward_step", "range(last, -1, -1)", "range(last, 0, -1)"),
        ("_backward_step", "&layer.reset", "&layer.h[0]"),
        (
            "_backward_step",
            "z_at(layer, batch, tape, t, cut.row), layer.zeros",
            "z_at(layer, batch, tape, t, 0), layer.zeros",
        ),
        (
            "_backward_step",
            "cut.row), layer.zeros, 0,",
            "cut.row), at(tape.drh, cut.row * layer.ldh, layer), layer.ldh,",
        ),
        ("_backward_step", "at(tape.drh, cut.row * layer.ldh, layer)", "tape.drh"),
        ("_backward_step", "elif layer.cell.fed and", "elif False and"),
        ("_backward_step", "if t >= 0 or layer.cell.enters:", "if t >= 0:"),
        ("_chunk", "range(s.last - 1, s.first - 1, -1)", "range(s.first, s.last)"),
        ("_chunk", "inject(s.layer, s.batch, s.tape, s.boundary, t, mine)", "pass"),
        ("_chunk", "collect(s.layer, s.batch, s.tape, s.boundary, t, mine)", "pass"),
        ("_chunk", "if s.input_gradient:", "if False:"),
        ("_chunk", "(of_x.last + lanes - 1) // lanes", "of_x.last // lanes"),
        ("_backward_part", "while s.first > job.first:", "while s.first > job.first + 1:"),
        ("backward_layer", "while s.first > -batch.past:", "while s.first > 0:"),
        ("_input_gradient", "dx if layer.cell.mixes_input else layer.zeros", "layer.zeros"),
        ("_input_gradient", "layer.ldx if layer.cell.mixes_input else 0", "0"),
        ("_input_gradient", "(batch.offset[t] - batch.origin + row)", "row"),
        (
            "_input_gradient",
            "z_at(layer, batch, tape, t, row)",
            "z_at(layer, batch, tape, 0, row)",
        ),
    ],
    "engine/steps.pxd": [
        ("for_spans", "max(s.first, 0)", "max(s.first, 0) + 1"),
        ("for_spans", "end - panel, first, 0, rows)", "end - panel, 0, 0, rows)"),
        ("for_spans", "- s.batch.offset[first]\n", "\n"),
        ("for_spans", "s.batch.offset[s.last] - s.batch.offset[first]", "s.batch.live[first]"),
        ("bring", "max(s.first, 0), s.last", "max(s.first, 0), s.last - 1"),
        ("deliver", "range(max(s.first, 0), ", "range(max(s.first, 0) + 1, "),
    ],
    "engine/batch.pyx": [
        ("_row", "if view.packed:", "if True:"),
        ("_row", "batch.place[row]", "row"),
        ("_row", "t) * view.outer", "t) * view.inner * batch.size"),
        ("load_step", "- batch.origin", ""),
        ("load_step", "batch.live[t]", "batch.size"),
        ("load_step", "memset(_at(to, n, itemsize), 0, (stride - n) * itemsize)", "pass"),
        ("store_step", "row < batch.live[t]", "True"),
        ("store_step", "elif not target.packed:", "elif False:"),
        ("store_step", "if reverse:", "if False:"),
    ],
    "engine/states.pyx": [
        ("_target", "(t >= 0 or layer.cell.enters)", "True"),
        ("_target", "(t >= 0 or layer.cell.enters)", "t >= 0"),
        ("_target", "name == layer.cell.output and", "name != layer.cell.output and"),
        ("_target", "slot(batch, t) + row", "slot(batch, t)"),
        ("_target", "tape.dc if name == c'c' else tape.dh", "tape.dh"),
        ("_target", "ring(layer, batch, t) + row", "ring(layer, batch, t)"),
        ("_target", "ring(layer, batch, t) + row", "row"),
        ("inject", "batch.length[row] - 1 - t", "batch.length[row] - t"),
        ("inject", "back >= batch.past", "back > batch.past"),
        ("inject", "back >= batch.past", "back >= 1"),
        ("inject", "range(2)", "range(1)"),
        ("inject", "back * batch.size + batch.place[row]", "batch.place[row]"),
        ("inject", "back * batch.size + batch.place[row]", "back * batch.size + row"),
        ("collect", "range(2)", "range(1)"),
        ("collect", "if layer.cell.enters:", "if not layer.cell.enters:"),
        (
            "collect",
            "(-1 - t) * batch.size + batch.place[row]",
            "(batch.past + t) * batch.size + batch.place[row]",
        ),
        ("collect", "(-1 - t) * batch.size + batch.place[row]", "(-1 - t) * batch.size + row"),
        ("collect", "memset(at(target, first, layer), 0, size)", "pass"),
        (
            "_units",
            "min(part.last * layer.lanes, layer.hidden)",
            "part.last * layer.lanes",
        ),
    ],
    "engine/states.pxd": [
        ("ring", "(place + layer.lag if place < 0 else place) * batch.size", "0"),
        ("ring", "place + layer.lag if place < 0 else place", "place"),
    ],
    "engine/product.pxd": [
        (
            "backward_product",
            "copy_rows(layer, rows, w.shape.depth, start, start_row, c, ldc)",
            "pass",
        ),
        ("backward_product", "at(dz, w.first * layer.lanes, layer)", "dz"),
        (
            "backward_product",
            "layer.blocks * layer.lanes, layer.lanes, 0\n",
            "layer.blocks * layer.lanes, 0, 0\n",
        ),
        ("backward_product", "w.shape.hidden, w.shape.count\n", "w.shape.hidden, 1\n"),
        ("backward_product", "at(w.backward, panel * p.w_panel, layer)", "w.backward"),
        ("backward_product", "at(start, skip, layer), start_row", "at(start, skip, layer), 0"),
        ("gradient_product", "at(a, (rows - 1) * lda, layer)", "a"),
        ("gradient_product", "w.shape.row_block[block] * layer.hidden", "block * layer.hidden"),
        ("gradient_product", "(w.first + block)", "block"),
        ("gradient_product", "(rows - 1) * layer.ldz + i * width", "i * width"),
        ("gradient_product", "= w.shape.ld\n", "= columns\n"),
        ("gradient_product", "1, -layer.ldz, ", "1, layer.ldz, "),
        ("gradient_product", "-layer.ldz * layer.lanes", "layer.ldz * layer.lanes"),
        (
            "rest_product",
            "layer.blocks * layer.lanes + w.first * layer.lanes",
            "layer.blocks * layer.lanes",
        ),
        ("rest_product", "at(a, (rows - 1) * lda, layer)", "a"),
        ("rest_product", "at(dz, (rows - 1) * layer.ldz + skip, layer)", "at(dz, skip, layer)"),
        ("rest_product", "-lda * layer.lanes", "lda * layer.lanes"),
    ],
}


def _function(source: str, name: str) -> tuple[int, int]:
    """Where a C or Cython function begins and ends."""
    begin = re.search(rf"^(?:cdef|static|ALWAYS_INLINE)\b[^\n]*\b{name}\b\)?\(", source, re.M)
    if begin is None:
        raise ValueError(f"no function named {name}")
    end = re.compile(r"^(?=\S)(?!\{)", re.M).search(source, source.index("\n", begin.end()))
    return begin.start(), end.start() if end else len(source)


def written_out(root: Path, mutations: Mutations, tests: str) -> Iterator[Mutant]:
    """Mutants of files under rnncore; a text that is not there is an error, so that the list
    stays true."""
    for path, changes in mutations.items():
        source = (root / "rnncore" / path).read_text(encoding="utf-8")
        for name, old, new in changes:
            begin, end = _function(source, name)
            if source.count(old, begin, end) != 1:
                raise ValueError(
                    f"{old!r} stands {source.count(old, begin, end)} times in {name}"
                )
            start = source.index(old, begin, end)
            yield Mutant(f"rnncore/{path}", start, start + len(old), new, name, tests)


def engine_mutants(root: Path) -> Iterator[Mutant]:
    """All of them."""
    return written_out(root, MUTATIONS, TESTS)
