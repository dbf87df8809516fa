/* plusrnn.h - +RNN, the intersection RNN - Collins, Sohl-Dickstein & Sussillo (2017).
 *
 *   v = relu(a_v)      k = tanh(a_k)      g = sigmoid(a_g)      d = sigmoid(a_d)
 *   h = g h' + (1 - g) k                  gated through time
 *   y = d x  + (1 - d) v                  gated through depth
 *
 * The output y is not the state h, and x reaches y directly, so the layer needs as many inputs
 * as hidden units. A prime marks time t-1. */
ALWAYS_INLINE void FN(plusrnn_forward_)(const rnn_panel *s)
{
    FOR_EACH_PANEL(s) {
        const vec v = FN(relu)(BLOCK(s, 0)), k = FN(tanh)(BLOCK(s, 1));
        const vec g = FN(sigmoid)(BLOCK(s, 2)), d = FN(sigmoid)(BLOCK(s, 3));
        UNITS(s, h) = FMA(g, UNITS(s, h_prev) - k, k);
        UNITS(s, y) = FMA(d, INPUTS(s, x) - v, v);
        BLOCK(s, 0) = v;
        BLOCK(s, 1) = k;
        BLOCK(s, 2) = g;
        BLOCK(s, 3) = d;
    }
}
STAGE(plusrnn_forward, FN(plusrnn_forward_)(s))

ALWAYS_INLINE void FN(plusrnn_backward_)(const rnn_panel *s)
{
    FOR_EACH_PANEL(s) {
        FETCH(s, h_prev);
        FETCH(s, dy);
        const vec v = BLOCK(s, 0), k = BLOCK(s, 1), g = BLOCK(s, 2), d = BLOCK(s, 3);
        const vec dh = UNITS(s, dh), dy = UNITS(s, dy);
        BLOCK(s, 0) = dy * (ONE - d) * FN(relu_slope)(v);
        BLOCK(s, 1) = dh * (ONE - g) * FN(tanh_slope)(k);
        BLOCK(s, 2) = dh * (UNITS(s, h_prev) - k) * FN(sigmoid_slope)(g);
        BLOCK(s, 3) = dy * (INPUTS(s, x) - v) * FN(sigmoid_slope)(d);
        INPUTS(s, dx) = dy * d;
        UNITS(s, dh) = dh * g;
    }
}
STAGE(plusrnn_backward, FN(plusrnn_backward_)(s))

static const rnn_cell FN(cell_plusrnn) = {
    .name = "plusrnn", .blocks = "vkgd", .state = "h", .x_count = 4, .mixes_input = 1,
    .fed = 'h', .output = 'y', .n_stages = 1,
    .stage = {{0, 4, FN(plusrnn_forward), FN(plusrnn_backward)}},
};
