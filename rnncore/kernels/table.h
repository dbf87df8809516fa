/* table.h - every kernel of one element type and instruction set, and the table of cells. No
 * include guard: isa.h includes it twice. */
#include "real.h"
#include "wide.h"
#include "activations.h"
#include "tile.h"
#include "pack.h"
#include "flow.h"
#include "optimize.h"
#include "cells/panel.h"
#include "cells/rnn.h"
#include "cells/ugrnn.h"
#include "cells/gru.h"
#include "cells/lstm.h"
#include "cells/plusrnn.h"

#define ACTIVATIONS(cell)                                                                  \
    &FN(cell_##cell##_identity), &FN(cell_##cell##_relu), &FN(cell_##cell##_sigmoid),      \
    &FN(cell_##cell##_tanh)
static const rnn_cell *const FN(cells)[] = {
    ACTIVATIONS(linear), ACTIVATIONS(rnn), ACTIVATIONS(rnn_pascanu), ACTIVATIONS(rnn_skip),
    ACTIVATIONS(identity), ACTIVATIONS(indrnn),
    &FN(cell_mingru_identity), &FN(cell_mingru_tanh),
    &FN(cell_ugrnn_tanh), &FN(cell_ugrnn_relu),
    &FN(cell_gru_after), &FN(cell_gru_before),
    &FN(cell_lstm), &FN(cell_lstm_none), &FN(cell_lstm_coupled),
    &FN(cell_lstm_diagonal), &FN(cell_lstm_none_diagonal), &FN(cell_lstm_coupled_diagonal),
    &FN(cell_lstm_cell), &FN(cell_lstm_none_cell), &FN(cell_lstm_coupled_cell),
    &FN(cell_plusrnn), NULL,
};
#undef ACTIVATIONS

#define RNN_NAME_(name) #name
#define RNN_NAME(name) RNN_NAME_(name)
const rnn_kernels FN(kernels) = {
    .isa = RNN_NAME(RNN_ISA), .itemsize = sizeof(real), .lanes = LANES, .cells = FN(cells),
    .product = FN(product), .to_panels = FN(to_panels), .from_panels = FN(from_panels),
    .transpose = FN(transpose), .add = FN(add), .multiply = FN(multiply),
    .column_sums = FN(column_sums), .unit_gradient = FN(unit_gradient),
    .row_squares = FN(row_squares), .blend = FN(blend),
    .omega_weights = FN(omega_weights),
    .sum_squares = FN(sum_squares), .largest = FN(largest), .scale = FN(scale),
    .clamp = FN(clamp), .sgd = FN(sgd), .rmsprop = FN(rmsprop), .adam = FN(adam),
    .enter = rnn_enter, .leave = rnn_leave, .run_parts = rnn_run_parts, .wait = rnn_wait,
    .sigmoid = FN(sigmoid_array), .tanh = FN(tanh_array),
};
#undef RNN_NAME
#undef RNN_NAME_
#undef RNN_CAT
#undef RNN_CAT_
