/* gru.h - GRU - Cho et al. (2014).
 *
 *   z = sigmoid(a_z)      r = sigmoid(a_r)      h = z h' + (1 - z) n
 *
 * and the candidate n resets the state before the matrix product,
 *   gru_before:  n = tanh(W_n x + U_n (r h') + b_n)                  two stages, blocks z r n
 * or resets the product's result, as cuDNN and PyTorch do,
 *   gru_after:   n = tanh(a_m + r a_q),  a_m = W_n x + b_in,  a_q = U_n h' + b_hn
 * with blocks m z r q: x feeds the first three and h' the last three. */
ALWAYS_INLINE void FN(gru_after_forward_)(const rnn_panel *s)
{
    FOR_EACH_PANEL(s)
        BLOCK(s, 2) = FN(sigmoid)(BLOCK(s, 2));
    FOR_EACH_PANEL(s) {
        const vec z = FN(sigmoid)(BLOCK(s, 1)), r = BLOCK(s, 2);
        const vec n = FN(tanh)(FMA(r, BLOCK(s, 3), BLOCK(s, 0)));
        UNITS(s, h) = FMA(z, UNITS(s, h_prev) - n, n);
        BLOCK(s, 0) = n;
        BLOCK(s, 1) = z;   /* block 3 keeps a_q for the backward pass */
    }
}
STAGE(gru_after_forward, FN(gru_after_forward_)(s))

ALWAYS_INLINE void FN(gru_after_backward_)(const rnn_panel *s)
{
    FOR_EACH_PANEL(s) {
        FETCH(s, h_prev);
        FETCH(s, dy);
        const vec n = BLOCK(s, 0), z = BLOCK(s, 1), r = BLOCK(s, 2), q = BLOCK(s, 3);
        const vec d = UNITS(s, dh) + UNITS(s, dy), da_n = d * (ONE - z) * FN(tanh_slope)(n);
        BLOCK(s, 0) = da_n;
        BLOCK(s, 1) = d * (UNITS(s, h_prev) - n) * FN(sigmoid_slope)(z);
        BLOCK(s, 2) = da_n * q * FN(sigmoid_slope)(r);
        BLOCK(s, 3) = da_n * r;
        UNITS(s, dh) = d * z;
    }
}
STAGE(gru_after_backward, FN(gru_after_backward_)(s))

ALWAYS_INLINE void FN(gru_before_forward_reset_)(const rnn_panel *s)
{
    FOR_EACH_PANEL(s) {
        BLOCK(s, 0) = FN(sigmoid)(BLOCK(s, 0));
        BLOCK(s, 1) = FN(sigmoid)(BLOCK(s, 1));
        UNITS(s, rh) = BLOCK(s, 1) * UNITS(s, h_prev);
    }
}
STAGE(gru_before_forward_reset, FN(gru_before_forward_reset_)(s))

ALWAYS_INLINE void FN(gru_before_forward_update_)(const rnn_panel *s)
{
    FOR_EACH_PANEL(s) {
        const vec n = BLOCK(s, 2) = FN(tanh)(BLOCK(s, 2));
        UNITS(s, h) = FMA(BLOCK(s, 0), UNITS(s, h_prev) - n, n);
    }
}
STAGE(gru_before_forward_update, FN(gru_before_forward_update_)(s))

ALWAYS_INLINE void FN(gru_before_backward_update_)(const rnn_panel *s)
{
    FOR_EACH_PANEL(s) {
        FETCH(s, h_prev);
        FETCH(s, dy);
        const vec z = BLOCK(s, 0), n = BLOCK(s, 2), d = UNITS(s, dh) + UNITS(s, dy);
        BLOCK(s, 0) = d * (UNITS(s, h_prev) - n) * FN(sigmoid_slope)(z);
        BLOCK(s, 2) = d * (ONE - z) * FN(tanh_slope)(n);
        UNITS(s, dh) = d * z;
    }
}
STAGE(gru_before_backward_update, FN(gru_before_backward_update_)(s))

ALWAYS_INLINE void FN(gru_before_backward_reset_)(const rnn_panel *s)
{
    FOR_EACH_PANEL(s) {
        const vec r = BLOCK(s, 1), drh = UNITS(s, drh);
        BLOCK(s, 1) = drh * UNITS(s, h_prev) * FN(sigmoid_slope)(r);
        UNITS(s, dh) = FMA(drh, r, UNITS(s, dh));
    }
}
STAGE(gru_before_backward_reset, FN(gru_before_backward_reset_)(s))

static const rnn_cell FN(cell_gru_after) = {
    .name = "gru_after", .blocks = "mzrq", .state = "h", .x_count = 3,
    .fed = 'h', .output = 'h', .n_stages = 1,
    .stage = {{1, 3, FN(gru_after_forward), FN(gru_after_backward)}},
};

static const rnn_cell FN(cell_gru_before) = {
    .name = "gru_before", .blocks = "zrn", .state = "h", .x_count = 3,
    .fed = 'h', .output = 'h', .n_stages = 2,
    .stage = {{0, 2, FN(gru_before_forward_reset), FN(gru_before_backward_reset)},
              {2, 1, FN(gru_before_forward_update), FN(gru_before_backward_update)}},
};
