"""Mutations of Omega and of per-step clipping, written out as those of the engine are.

Left out are those that engine_mutations.py leaves out, and these, which change nothing:

    carve_flow      room for what only Omega needs without it; the same in `enter`, `_units`
    begin_flow      the counts as they were: carve_backward cleared them
    arriving        `later >= batch.steps` as `>`: nothing lives at step T
    depart, _keep   no way out where there are no rows: no rows are copied
    depart          `elif not one_tap(layer)` as `else`: `_keep` copies once more
    _keep           another row of `flow.zeros`: they are all 0
    depart, enter   no way out before what would do nothing
    arrive          `threshold < INFINITY` as True: no norm is above it
    _watched_...    `batch.size` as `batch.live[0]`: no product comes from a row without steps
    _enter          dy's padding as it was, in the second direction: the first cleared it

nor those by which a thread writes into the scratch of another: what comes of it is chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cell_mutations import Mutant
from engine_mutations import Mutations, written_out
from flow_kernel_mutations import KERNEL_MUTATIONS

# All of the file but what is there for the sake of the cells, the sizes and the messages.
TESTS = (
    "test_omega and not (relu or sigmoid or _identity or _none or _coupled or [lstm- or ugrnn "
    "or mingru or bias or threads or -1] or -33] or -64] or refused)"
)

CLIPPED_FIRST = """    if flow.remedies.threshold < INFINITY:
        _clip(layer, batch, tape, t, part, parts, count)
    if flow.remedies.omega:
"""
ENTERED_FIRST = """        if watched:
            enter(s.layer, s.batch, s.tape, t, mine)
            inject(s.layer, s.batch, s.tape, s.boundary, t, mine)
            _backward_step(s.layer, s.batch, s.tape, mine, t, 1)
            if t < 0:
                collect(s.layer, s.batch, s.tape, s.boundary, t, mine)
            continue
        inject("""

MUTATIONS: Mutations = {
    "engine/flow.pyx": [
        ("carve_flow", "layer.n_taps * rows", "rows"),
        ("carve_flow", "if one_tap(layer):", "if True:"),
        ("carve_flow", "at(tape.dy, slot(batch, 0) * layer.ldh, layer)", "tape.dy"),
        ("carve_flow", "layer.n_taps * wide", "wide"),
        ("carve_flow", "if layer.cell.n_stages > 1", "if layer.cell.n_stages > 2"),
        ("carve_scratch", "flow.remedies = remedies", "pass"),
        ("carve_scratch", "batch.size * layer.ldh", "layer.ldh"),
        ("carve_scratch", "batch.size * sizeof(double)", "sizeof(double)"),
        ("carve_scratch", "batch.threads * BLEND", "BLEND"),
        ("begin_flow", "memset(flow.zeros, 0, batch.size *", "memset(flow.zeros, 0,"),
        ("begin_flow", "memset(flow.d, 0, rows * sizeof(double))", "pass"),
        ("begin_flow", "if flow.remedies.omega:", "if not flow.remedies.omega:"),
        ("begin_flow", "layer.n_taps * rows", "rows"),
        ("_through", "t, row, rows, 0, layer.panels)", "t, 0, rows, 0, layer.panels)"),
        ("_through", "rows, 0, layer.panels)", "1, 0, layer.panels)"),
        ("_through", "rows, 0, layer.panels)", "rows, 0, 1)"),
        ("_through", "source, dy, target", "target, dy, source"),
        ("depart", "if not flow.remedies.omega or", "if"),
        ("depart", "if not flow.remedies.omega or", "if flow.remedies.omega or"),
        ("depart", "(one_tap(layer) and layer.cell.state[1] == 0)", "one_tap(layer)"),
        (
            "depart",
            "(one_tap(layer) and layer.cell.state[1] == 0)",
            "layer.cell.state[1] == 0",
        ),
        ("_entering", "batch.offset[max(t, 0)] + part.low", "part.low"),
        ("_entering", "batch.offset[max(t, 0)] + part.low", "batch.offset[max(t, 0)]"),
        ("_at_once", "flow.remedies.threshold < INFINITY or", ""),
        ("_at_once", "or not one_tap(layer)", ""),
        ("_at_once", "or layer.cell.enters", ""),
        ("_at_once", "t < 0 or", ""),
        ("_at_once", "fed_state(layer)", "0"),
        ("_at_once", "return 0", "return arriving(batch, t + layer.lag, part)"),
        ("_at_once", "arriving(batch, t + layer.lag, part)", "living(batch, t, part)"),
        ("_at_once", "arriving(batch, t + layer.lag, part)", "arriving(batch, t + 1, part)"),
        ("depart", "range(layer.n_taps)", "range(1)"),
        ("depart", "t + layer.taps[tap]", "t + layer.taps[0]"),
        ("depart", "t + layer.taps[tap]", "t + 1"),
        ("depart", "rows == 0:\n            continue", "rows == 0:\n            break"),
        ("depart", "tap * n + batch.offset[later]", "batch.offset[later]"),
        ("depart", "tap * n + batch.offset[later]", "tap * n"),
        ("depart", "batch.offset[later] + part.low", "batch.offset[later]"),
        ("depart", "if layer.taps[tap] != layer.lag:", "if layer.taps[tap] == layer.lag:"),
        ("depart", "if layer.taps[tap] != layer.lag:", "if False:"),
        ("depart", "if layer.taps[tap] != layer.lag:", "if True:"),
        ("depart", "layer), 0, rows * size)", "layer), 0, size)"),
        (
            "depart",
            "memset(at(flow.kept, place * layer.ldh, layer), 0, rows * size)",
            "pass",
        ),
        ("depart", "range(count)", "range(1)"),
        ("depart", "if i != fed_state(layer):", "if i == fed_state(layer):"),
        ("depart", "rows, parts[i].rows, NULL", "rows, parts[0].rows, NULL"),
        ("depart", "flow.z + place", "flow.z"),
        ("depart", "elif not one_tap(layer):", "elif one_tap(layer):"),
        ("depart", "parts[i].rows, rows * size)", "parts[0].rows, rows * size)"),
        ("depart", "parts[i].rows, rows * size)", "parts[i].rows, size)"),
        ("_keep", "t + layer.taps[tap]", "t + layer.taps[0]"),
        ("_keep", "tap * batch.offset[batch.steps] + ", ""),
        ("_keep", "+ batch.offset[later] + part.low", "+ part.low"),
        ("_keep", "batch.offset[later] + part.low", "batch.offset[later]"),
        ("_keep", "kept = at(flow.kept, place * layer.ldh, layer)", "kept = flow.kept"),
        ("_keep", "if one_tap(layer) and not layer.cell.enters:", "if one_tap(layer):"),
        ("_keep", "if one_tap(layer) and not layer.cell.enters:", "if not layer.cell.enters:"),
        ("_keep", "fed.dy if _at_once(layer, batch, flow, t, part) else NULL", "NULL"),
        ("_keep", "fed.dy if _at_once(layer, batch, flow, t, part) else NULL", "fed.dy"),
        ("_keep", "kept, flow.z + place, _entering", "NULL, flow.z + place, _entering"),
        ("_keep", "kept, flow.z + place, _entering", "kept, flow.z, _entering"),
        ("_keep", "    elif one_tap(layer):\n", "    elif False:\n"),
        ("_keep", "memcpy(kept, fed.rows, rows *", "memcpy(kept, fed.rows,"),
        ("_keep", "&layer.h[tap]", "&layer.h[0]"),
        ("_keep", "rows, 0, layer.panels,\n", "rows, 0, 1,\n"),
        ("_keep", "later, part.low), kept", "later, 0), kept"),
        ("_keep", "later, part.low), kept", "t, part.low), kept"),
        ("_keep", "kept, layer.ldh, kept,", "zeros, layer.ldh, kept,"),
        ("_keep", "    if layer.cell.enters:", "    if False:"),
        ("_keep", "rows, kept, zeros, seen)", "rows, seen, zeros, kept)"),
        ("_keep", "_square(layer, rows, seen", "_square(layer, rows, kept"),
        ("_keep", "_through(layer, batch, tape, t, part.low, rows, seen, zeros, kept)", "pass"),
        ("_keep", "elif not one_tap(layer):", "elif False:"),
        ("_keep", "elif not one_tap(layer):", "else:"),
        ("_keep", "_square(layer, rows, kept, NULL, flow.z + place)", "pass"),
        ("_keep", "if flow.reset != NULL:", "if False:"),
        ("_keep", "multiply(rows * layer.ldh", "multiply(layer.ldh"),
        ("_keep", "at(flow.reset, place * layer.ldh, layer)", "flow.reset"),
        ("_keep_reset", "range(low, low + rows)", "range(rows)"),
        ("_keep_reset", "range(low, low + rows)", "range(low, rows)"),
        ("_keep_reset", "(batch.offset[t] + row)", "row"),
        ("_keep_reset", "(batch.offset[t] + row)", "batch.offset[t]"),
        (
            "_keep_reset",
            "z_at(layer, batch, tape, t, row) + size",
            "z_at(layer, batch, tape, t, row)",
        ),
        ("_keep_reset", "tape, t, row) + size", "tape, t, low) + size"),
        ("_keep_reset", "range(layer.panels)", "range(1)"),
        ("_keep_reset", "memcpy(to + panel * size", "memcpy(to"),
        ("_keep_reset", "panel * layer.blocks * size", "panel * size"),
        ("_clip", "t + first_lag(layer)", "t + 1"),
        ("_clip", "memset(size, 0, rows * sizeof(double))", "pass"),
        ("_clip", "memset(size, 0, rows * sizeof(double))", "memset(size, 0, sizeof(double))"),
        ("_clip", "range(count):\n        _square", "range(1):\n        _square"),
        ("_clip", "parts[i].rows, NULL, size)", "parts[0].rows, NULL, size)"),
        ("_clip", "for row in range(rows):", "for row in range(1):"),
        ("_clip", "sqrt(size[row])", "size[row]"),
        ("_clip", "sqrt(size[row])", "sqrt(size[0])"),
        ("_clip", "if flow.remedies.ratio:", "if not flow.remedies.ratio:"),
        ("_clip", "sqrt(flow.d[batch.offset[later] + part.low + row])", "1"),
        (
            "_clip",
            "sqrt(flow.d[batch.offset[later] + part.low + row])",
            "flow.d[batch.offset[later] + part.low + row]",
        ),
        ("_clip", "batch.offset[later] + part.low + row", "part.low + row"),
        ("_clip", "batch.offset[later] + part.low + row", "batch.offset[later] + row"),
        ("_clip", "batch.offset[later] + part.low + row", "batch.offset[later] + part.low"),
        ("_clip", "norm <= limit", "norm < limit"),
        ("_clip", "norm <= limit", "norm > limit"),
        ("_clip", "            continue\n", "            break\n"),
        ("_clip", "range(count):\n            layer", "range(1):\n            layer"),
        ("_clip", "at(parts[i].rows, row * layer.ldh, layer)", "parts[i].rows"),
        ("_clip", "layer),\n                                limit / norm", "layer),\n limit"),
        ("_clip", "if layer.cell.enters:", "if False:"),
        ("_clip", "if layer.cell.enters:", "if True:"),
        ("_clip", "(ring(layer, batch, t) + part.low + row)", "(part.low + row)"),
        ("_clip", "(ring(layer, batch, t) + part.low + row)", "(ring(layer, batch, t) + row)"),
        ("_clip", "+ part.low + row) * layer.ldh", "+ part.low) * layer.ldh"),
        ("_clip", "carried, limit / norm", "carried, limit"),
        ("arrive", "if flow.remedies.omega:", "if not flow.remedies.omega:"),
        ("arrive", "    if flow.remedies.omega:\n", CLIPPED_FIRST),
        ("arrive", "range(layer.n_taps)", "range(1)"),
        ("arrive", "t, tap, part", "t, 0, part"),
        ("arrive", "&parts[fed_state(layer)]", "&parts[0]"),
        ("arrive", "if layer.cell.enters:", "if False:"),
        ("arrive", "parts[0].rows, rows * layer.ldh", "parts[0].rows, layer.ldh"),
        ("arrive", "_see(flow, layer, part, parts)", "pass"),
        ("arrive", "part.low, rows, turned", "part.low, 1, turned"),
        ("arrive", "if flow.remedies.threshold < INFINITY:", "if False:"),
        ("enter", "if t < 0 or", "if t <= 0 or"),
        ("enter", "(flow.remedies.omega or flow.remedies.ratio)", "flow.remedies.omega"),
        ("enter", "(flow.remedies.omega or flow.remedies.ratio)", "flow.remedies.ratio"),
        ("enter", "if layer.cell.enters:", "if False:"),
        ("enter", "range(count)", "range(1)"),
        ("enter", "done == rows and layer.cell.state[1] == 0", "done == rows"),
        ("enter", "done == rows and layer.cell.state[1] == 0", "layer.cell.state[1] == 0"),
        ("enter", "first = done if i == fed_state(layer) else 0", "first = 0"),
        ("enter", "first = done if i == fed_state(layer) else 0", "first = done"),
        ("enter", "rows - first", "rows"),
        ("enter", "at(parts[i].rows, first * layer.ldh, layer)", "parts[i].rows"),
        ("enter", "at(parts[i].dy, first * layer.ldh, layer)", "parts[i].dy"),
        ("enter", "_entering(flow, batch, t, part) + first", "_entering(flow, batch, t, part)"),
        ("enter", "parts[i].rows", "parts[0].rows"),
        ("enter", "parts[i].dy", "NULL"),
        ("enter", "parts[i].dy", "parts[0].dy"),
        ("enter", "if flow.reset != NULL:", "if False:"),
        ("enter", "t, part.low, rows)", "t, 0, rows)"),
        ("finish_flow", "if not remedies.omega:", "if False:"),
        ("finish_flow", "if not remedies.omega:", "if remedies.omega:"),
        ("finish_flow", "flow.terms = layer.n_taps * n", "flow.terms = n"),
        ("finish_flow", "range(layer.n_taps)", "range(1)"),
        ("finish_flow", "flow.live += layer", "flow.live = layer"),
        ("finish_flow", "flow.z + tap * n", "flow.z"),
        ("finish_flow", "remedies.bound", "0"),
        ("finish_flow", "remedies.squared", "0"),
        ("finish_flow", "remedies.squared", "1"),
        ("finish_flow", "if flow.live > 0:", "if flow.live >= 0:"),
        ("finish_flow", "flow.live if remedies.mean else", "flow.terms if remedies.mean else"),
        ("finish_flow", "if remedies.mean", "if not remedies.mean"),
        ("finish_flow", "else batch.size", "else n"),
        ("finish_flow", "flow.value *= share", "pass"),
        ("finish_flow", "range(flow.terms)", "range(n)"),
        ("finish_flow", "share *= remedies.alpha", "pass"),
        ("finish_flow", "share *= remedies.alpha", "share = remedies.alpha"),
    ],
    "engine/carried.pxd": [
        ("arriving", "if later < 0 or", "if later <= 0 or"),
        ("arriving", "or later >= batch.steps", "or later >= batch.steps - 1"),
        ("arriving", "min(batch.live[later], part.high)", "batch.live[later]"),
        ("arriving", "min(batch.live[later], part.high)", "part.high"),
        ("arriving", " - part.low, 0)", ", 0)"),
        (
            "arriving",
            "max(min(batch.live[later], part.high) - part.low, 0)",
            "min(batch.live[later], part.high) - part.low",
        ),
        ("first_lag", "min(layer.lag, layer.taps[0])", "layer.lag"),
        ("first_lag", "min(layer.lag, layer.taps[0])", "layer.taps[0]"),
        ("one_tap", "layer.n_taps == 1 and", ""),
        ("one_tap", " and layer.lag == layer.taps[0]", ""),
        ("one_tap", "layer.lag == layer.taps[0]", "layer.lag != layer.taps[0]"),
        ("fed_state", "layer.cell.fed == c'c'", "0"),
        ("fed_state", "layer.cell.fed == c'c'", "layer.cell.fed != c'c'"),
        ("carried_to", "(ring(layer, batch, t) + row)", "ring(layer, batch, t)"),
        ("carried_to", "(ring(layer, batch, t) + row)", "row"),
        ("carried_to", "range(2)", "range(1)"),
        ("carried_to", "tape.dc if name == c'c' else tape.dh", "tape.dh"),
        ("carried_to", "(slot(batch, t) + row)", "slot(batch, t)"),
        ("carried_to", "(slot(batch, t) + row)", "(slot(batch, t - 1) + row)"),
        ("carried_to", "name == layer.cell.output", "name != layer.cell.output"),
        ("carried_to", "name == layer.cell.output", "True"),
        ("carried_to", "return 2", "return 1"),
        ("living", "if t >= 0", "if t > 0"),
        ("living", "else part.high - part.low", "else 0"),
    ],
    "engine/gradient.pyx": [
        ("_blended", "if a.kept == NULL:", "if True:"),
        ("_blended", "row * layer.ldh", "0"),
        ("_blended", "blend(count", "blend(1"),
        ("_blended", "a.weight + row", "a.weight"),
        ("_blended", "return part.scratch", "return rows"),
        ("_accumulate", "row + rows, count", "row, count"),
        ("_accumulate", "row + rows, count", "rows, count"),
        ("_unit_gradient", "(slot(s.batch, t - a.back) + rows)", "slot(s.batch, t - a.back)"),
        ("_unit_gradient", "row = s.batch.offset[t] + rows", "row = s.batch.offset[t]"),
        ("_unit_gradient", "a, states, row, count", "a, states, rows, count"),
        ("_recurrent_gradients", " and flow.remedies.omega", ""),
        ("_recurrent_gradients", "at(flow.kept, i * n * layer.ldh, layer)", "flow.kept"),
        ("_recurrent_gradients", "flow.z + i * n", "flow.z"),
        ("_recurrent_gradients", "= flow.reset, flow.z", "= flow.kept, flow.z"),
        ("_recurrent_gradients", "= flow.reset, flow.z", "= NULL, NULL"),
        ("_unit_gradients", "not layer.cell.fed and ", ""),
        ("_unit_gradients", "if not layer.cell.fed", "if False"),
    ],
    "engine/backward_steps.pyx": [
        ("_watched_products", "depart(layer, batch, tape, t, part)", "pass"),
        ("_watched_products", "arrive(layer, batch, tape, t, part)", "pass"),
        ("_watched_products", "while layer.cell.fed and", "while False and"),
        ("_watched_products", "t, cut.row, p.rows", "t, 0, p.rows"),
        ("_watched_products", "cut.panel, p.panels", "0, p.panels"),
        ("_backward_step", " and tape.flow.remedies == NULL", ""),
        ("_chunk", "_watched_products(s.layer, s.batch, s.tape, mine, t)", "pass"),
        ("_chunk", "enter(s.layer, s.batch, s.tape, t, mine)", "pass"),
        ("_chunk", "        inject(", ENTERED_FIRST),
        ("backward_layer", "finish_flow(layer, batch, &tape.flow)", "pass"),
    ],
    "engine/backward.pyx": [
        ("_begin", "begin_flow(layer, batch, &tape.flow)", "pass"),
        (
            "carve_backward",
            "carve_flow(layer, batch, &run.tapes[index], arena)",
            "carve_flow(layer, batch, &run.tapes[0], arena)",
        ),
    ],
}


def flow_mutants(root: Path) -> Iterator[Mutant]:
    """All of them."""
    return written_out(root, {**MUTATIONS, **KERNEL_MUTATIONS}, TESTS)
