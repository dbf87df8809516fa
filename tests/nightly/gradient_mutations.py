"""Mutations of the weight gradients and their sums, written out as those of the engine are.

Left out are those that engine_mutations.py leaves out, and these, which change nothing:

    _stretch        conditions that end a stretch too early: more products, same order
    _recurrent_gradients
                    `layer.h[i]` as `layer.h[0]`: the matrices of all taps have one shape
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cell_mutations import Mutant
from engine_mutations import TESTS, Mutations, written_out

MUTATIONS: Mutations = {
    "engine/gradient.pyx": [
        ("_accumulate", "at(states, rows * a.stride, layer)", "states"),
        ("_accumulate", "+ row + rows) * layer.ldz", "+ row) * layer.ldz"),
        ("_accumulate", "+ row + rows) * layer.ldz", "+ rows) * layer.ldz"),
        ("_accumulate", "(step_row(layer, s.batch, 0) + row", "(row"),
        ("_accumulate", "part.count * width,", "width,"),
        ("_accumulate", "to.bias_x, to.bias_h)", "to.bias_x, NULL)"),
        ("_accumulate", "if to.whole > 0:", "if to.whole > layer.lanes:"),
        ("_accumulate", "if to.rest.depth > 0:", "if to.rest.depth > 1:"),
        ("_accumulate", "at(left, to.whole, layer), stride", "left, stride"),
        (
            "_stretch",
            "slot(batch, t - 1 - back) + batch.live[t - 1] == slot(batch, t - back)",
            "True",
        ),
        ("_open", "range(shape.depth)", "range(0)"),
        ("_matrix_gradient", "if a.back == 0:", "if a.back <= 1:"),
        (
            "_matrix_gradient",
            "a.rows, 0, s.batch.offset[end])",
            "a.rows, 0, s.batch.offset[1])",
        ),
        ("_matrix_gradient", "s.batch.offset[end] - row", "s.batch.live[first]"),
        ("_matrix_gradient", "slot(s.batch, first - a.back)", "slot(s.batch, first)"),
        ("_matrix_gradient", "slot(s.batch, first - a.back)", "slot(s.batch, first - 1)"),
        (
            "_matrix_gradient",
            "* a.stride, layer), row,\n",
            "* a.stride, layer), 0,\n",
        ),
        ("_matrix_gradient", "        end = first", "        end = 0"),
        ("_matrix_gradient", "at(s.tape.sums, 2 * layer.ldz, layer)", "s.tape.sums"),
        (
            "_matrix_gradient",
            "&to.rest, w.first, at(grad, to.whole, layer)",
            "&to.rest, w.first, grad",
        ),
        ("_matrix_gradient", "&to.rest, w.first,", "&to.rest, 0,"),
        (
            "_matrix_gradient",
            "&mine, w.first, at(grad, to.whole, layer)",
            "&mine, w.first, grad",
        ),
        ("_matrix_gradient", "&mine, w.first,", "&mine, 0,"),
        ("_close", "at(sums, first * layer.lanes, layer)", "sums"),
        ("_input_gradients", "s.grads.bias_h != NULL", "False"),
        ("_input_gradients", "at(of_x, layer.ldz, layer)", "of_x"),
        ("_input_gradients", "one = s.grads.bias_x != NULL", "one = True"),
        (
            "_input_gradients",
            "x = _open(layer, part, &layer.bias_x",
            "x = _open(layer, part, &layer.bias_h",
        ),
        (
            "_input_gradients",
            "h = _open(layer, part, &layer.bias_h",
            "h = _open(layer, part, &layer.bias_x",
        ),
        (
            "_input_gradients",
            "0, s.grads.bias_h, of_h)\n    _m",
            "0, s.grads.bias_x, of_h)\n    _m",
        ),
        (
            "_input_gradients",
            "0, s.grads.bias_x, of_x)\n    if two:\n        h",
            "0, s.grads.bias_x, of_h)\n    if two:\n        h",
        ),
        ("_input_gradients", "at(of_h, skip, layer) if two else NULL", "NULL"),
        ("_input_gradients", "&x, 0, s.grads.bias_x, of_x", "&x, 0, s.grads.bias_x, of_h"),
        ("_input_gradients", "&h, 0, s.grads.bias_h, of_h", "&h, 0, s.grads.bias_h, of_x"),
        ("_input_gradients", "&x, 0, s.grads", "&h, 0, s.grads"),
        ("_input_gradients", "&h, 0, s.grads", "&x, 0, s.grads"),
        (
            "_unit_gradient",
            "range(s.batch.steps - 1, -1, -1)",
            "range(s.batch.steps - 1, 0, -1)",
        ),
        ("_unit_gradient", "+ unit.block * layer.lanes", ""),
        ("_unit_gradient", "slot(s.batch, t - a.back)", "slot(s.batch, t)"),
        ("_unit_gradient", "row = s.batch.offset[t] + rows", "row = rows"),
        ("_unit_gradients", "layer.lag if unit.previous else 0", "layer.lag"),
        ("_unit_gradients", "layer.lag if unit.previous else 0", "1 if unit.previous else 0"),
        ("_unit_gradients", "s.tape.c if unit.state == c'c' else s.tape.h", "s.tape.h"),
        ("_unit_gradients", "i * layer.hidden", "0"),
        (
            "_recurrent_gradients",
            "s.tape.c if layer.cell.fed == c'c' else s.tape.h",
            "s.tape.h",
        ),
        ("_recurrent_gradients", "range(layer.n_taps if", "range(1 if"),
        ("_recurrent_gradients", "layer.taps[i]", "layer.taps[0]"),
        ("_recurrent_gradients", "s.grads.weight_h[i]", "s.grads.weight_h[0]"),
        ("_recurrent_gradients", "if layer.cell.n_stages > 1:", "if layer.cell.n_stages > 2:"),
        ("_recurrent_gradients", "s.tape.rh", "s.tape.h"),
        ("_gradient_part", "_input_gradients(s, &mine)", "pass"),
        ("_gradient_part", "_recurrent_gradients(s, &mine)", "pass"),
    ],
    "kernels/pack.h": [
        ("to_panels", "block[j * m->ld + k]", "block[j * m->depth + k]"),
        ("from_panels", "w + m->row_block[b]", "w + b"),
        ("from_panels", "block[j * m->ld + k]", "block[j * m->depth + k]"),
        ("from_panels", "m->hidden * m->ld", "m->hidden * m->depth"),
        ("transpose", "w + (m->row_block[b] * m->hidden", "w + (b * m->hidden"),
        ("add", "+=", "-="),
        ("add", "+=", "="),
        ("column_sums", "(sums + i) += z_i", "(sums + i) -= z_i"),
        ("column_sums", "(sums + i) += z_i", "(sums + i) = z_i"),
        ("column_sums", "(again + i) += z_i", "(again + i) -= z_i"),
        ("column_sums", "(again + i) += z_i", "(again + i) = z_i"),
        ("column_sums", "if (again)", "if (0)"),
        ("column_sums", "row >= 0", "row > 0"),
        ("unit_gradient", "FMA(z, state, *sums)", "FMA(-z, state, *sums)"),
        ("unit_gradient", "FMA(z, state, *sums)", "z * state"),
        ("unit_gradient", "FMA(z, state, *sums)", "z + *sums"),
        ("unit_gradient", "row >= 0", "row > 0"),
    ],
}


def gradient_mutants(root: Path) -> Iterator[Mutant]:
    """All of them."""
    return written_out(root, MUTATIONS, TESTS)
