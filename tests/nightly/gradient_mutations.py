"""Mutations of the weight gradients and their sums, written out as those of the engine are.

Left out are those that engine_mutations.py leaves out, and these, which change nothing:

    _stretch        conditions that end a stretch too early: more products, same order
    _matrices       `layer.h[i]` as `layer.h[0]`: the matrices of all taps have one shape
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cell_mutations import Mutant
from engine_mutations import TESTS, Mutations, written_out

MUTATIONS: Mutations = {
    "engine/gradient.pyx": [
        ("_accumulate", "at(states, rows * a.stride, layer)", "states"),
        ("_accumulate", "at(dz, (row + rows) * layer.ldz, layer)", "dz"),
        (
            "_accumulate",
            "at(dz, (row + rows) * layer.ldz, layer)",
            "at(dz, row * layer.ldz, layer)",
        ),
        (
            "_accumulate",
            "at(dz, (row + rows) * layer.ldz, layer)",
            "at(dz, rows * layer.ldz, layer)",
        ),
        (
            "_stretch",
            "slot(batch, t - 1 - back) + batch.live[t - 1] == slot(batch, t - back)",
            "True",
        ),
        ("_open", "range(shape.depth)", "range(0)"),
        ("_matrix_gradient", "step_row(layer, s.batch, 0) * layer.ldz", "0"),
        ("_matrix_gradient", "if a.back == 0:", "if a.back <= 1:"),
        ("_matrix_gradient", "s.batch.offset[end], sums", "s.batch.offset[1], sums"),
        ("_matrix_gradient", "s.batch.offset[end] - row", "s.batch.live[first]"),
        ("_matrix_gradient", "slot(s.batch, first - a.back)", "slot(s.batch, first)"),
        ("_matrix_gradient", "slot(s.batch, first - a.back)", "slot(s.batch, first - 1)"),
        ("_matrix_gradient", ", dz, row,", ", dz, 0,"),
        ("_matrix_gradient", "        end = first", "        end = 0"),
        (
            "_matrix_gradient",
            "&mine, grad, at(sums, w.first * layer.lanes, layer)",
            "&mine, grad, sums",
        ),
        ("_bias_gradients", "s.batch.offset[s.batch.steps]", "s.batch.offset[1]"),
        ("_bias_gradients", "step_row(layer, s.batch, 0) * layer.ldz", "0"),
        ("_bias_gradients", "s.grads.bias_h != NULL", "False"),
        ("_bias_gradients", "at(of_x, layer.ldz, layer)", "of_x"),
        ("_bias_gradients", "if s.grads.bias_x == NULL:", "if False:"),
        (
            "_bias_gradients",
            "x = _open(layer, part, &layer.bias_x",
            "x = _open(layer, part, &layer.bias_h",
        ),
        (
            "_bias_gradients",
            "h = _open(layer, part, &layer.bias_h",
            "h = _open(layer, part, &layer.bias_x",
        ),
        ("_bias_gradients", "0, s.grads.bias_h, of_h)", "0, s.grads.bias_x, of_h)"),
        ("_bias_gradients", "0, s.grads.bias_x, of_x)", "0, s.grads.bias_x, of_h)"),
        ("_bias_gradients", "part.count * width", "width"),
        ("_bias_gradients", "at(of_h, skip, layer) if two else NULL", "NULL"),
        ("_bias_gradients", "s.grads.bias_x, of_x, width", "s.grads.bias_x, of_h, width"),
        ("_bias_gradients", "s.grads.bias_h, of_h, width", "s.grads.bias_h, of_x, width"),
        ("_bias_gradients", "(&x, s.grads", "(&h, s.grads"),
        ("_bias_gradients", "(&h, s.grads", "(&x, s.grads"),
        (
            "_unit_gradient",
            "range(s.batch.steps - 1, -1, -1)",
            "range(s.batch.steps - 1, 0, -1)",
        ),
        ("_unit_gradient", "+ unit.block * layer.lanes", ""),
        ("_unit_gradient", "slot(s.batch, t - a.back)", "slot(s.batch, t)"),
        ("_unit_gradient", "row = s.batch.offset[t] + rows", "row = rows"),
        ("_units", "layer.lag if unit.previous else 0", "layer.lag"),
        ("_units", "layer.lag if unit.previous else 0", "1 if unit.previous else 0"),
        ("_units", "s.tape.c if unit.state == c'c' else s.tape.h", "s.tape.h"),
        ("_units", "i * layer.hidden", "0"),
        ("_matrices", "s.tape.c if layer.cell.fed == c'c' else s.tape.h", "s.tape.h"),
        ("_matrices", "range(layer.n_taps if", "range(1 if"),
        ("_matrices", "layer.taps[i]", "layer.taps[0]"),
        ("_matrices", "s.grads.weight_h[i]", "s.grads.weight_h[0]"),
        ("_matrices", "if layer.cell.n_stages > 1:", "if layer.cell.n_stages > 2:"),
        ("_matrices", "s.tape.rh", "s.tape.h"),
        ("_gradient_part", "_bias_gradients(s, &mine)", "pass"),
    ],
    "kernels/pack.h": [
        ("from_panels", "w + m->row_block[b]", "w + b"),
        ("transpose", "w[(m->row_block[b] * m->hidden", "w[(b * m->hidden"),
        ("add", "+=", "-="),
        ("add", "+=", "="),
        ("column_sums", "sums[i] += z[i]", "sums[i] -= z[i]"),
        ("column_sums", "sums[i] += z[i]", "sums[i] = z[i]"),
        ("column_sums", "again[i] += z[i]", "again[i] -= z[i]"),
        ("column_sums", "again[i] += z[i]", "again[i] = z[i]"),
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
