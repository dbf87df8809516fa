/* ugrnn.h - gated cells of two blocks, without a reset.
 *
 *   ugrnn    Collins, Sohl-Dickstein & Sussillo (2017):  g = sigmoid(a_g), k = f(a_k)
 *            h = g h' + (1 - g) k
 *   mingru   Feng et al. (2024): gates see x alone:      z = sigmoid(a_z), k = f(a_k)
 *            h = (1 - z) h' + z k
 *
 * A prime marks time t-1. */
ALWAYS_INLINE void FN(ugrnn_forward_)(const rnn_panel *s, vec (*f)(vec))
{
    FOR_EACH_PANEL(s) {
        const vec g = FN(sigmoid)(BLOCK(s, 0)), k = f(BLOCK(s, 1));
        UNITS(s, h) = FMA(g, UNITS(s, h_prev) - k, k);
        BLOCK(s, 0) = g;
        BLOCK(s, 1) = k;
    }
}

ALWAYS_INLINE void FN(ugrnn_backward_)(const rnn_panel *s, vec (*slope)(vec))
{
    FOR_EACH_PANEL(s) {
        FETCH(s, h_prev);
        FETCH(s, dy);
        const vec g = BLOCK(s, 0), k = BLOCK(s, 1), d = UNITS(s, dh) + UNITS(s, dy);
        BLOCK(s, 0) = d * (UNITS(s, h_prev) - k) * FN(sigmoid_slope)(g);
        BLOCK(s, 1) = d * (ONE - g) * slope(k);
        UNITS(s, dh) = d * g;
    }
}

ALWAYS_INLINE void FN(mingru_forward_)(const rnn_panel *s, vec (*f)(vec))
{
    FOR_EACH_PANEL(s) {
        const vec z = FN(sigmoid)(BLOCK(s, 0)), k = f(BLOCK(s, 1)), h_prev = UNITS(s, h_prev);
        UNITS(s, h) = FMA(z, k - h_prev, h_prev);
        BLOCK(s, 0) = z;
        BLOCK(s, 1) = k;
    }
}

ALWAYS_INLINE void FN(mingru_backward_)(const rnn_panel *s, vec (*slope)(vec))
{
    FOR_EACH_PANEL(s) {
        FETCH(s, h_prev);
        FETCH(s, dy);
        const vec z = BLOCK(s, 0), k = BLOCK(s, 1), d = UNITS(s, dh) + UNITS(s, dy);
        BLOCK(s, 0) = d * (k - UNITS(s, h_prev)) * FN(sigmoid_slope)(z);
        BLOCK(s, 1) = d * z * slope(k);
        UNITS(s, dh) = d * (ONE - z);
    }
}

#define GATED(cell, f, gates, fed_state, fed_count)                                    \
    STAGE(cell##_##f##_forward, FN(cell##_forward_)(s, FN(f)))                        \
    STAGE(cell##_##f##_backward, FN(cell##_backward_)(s, FN(f##_slope)))              \
    static const rnn_cell FN(cell_##cell##_##f) = {                                    \
        .name = #cell "_" #f, .blocks = gates, .state = "h", .x_count = 2,             \
        .fed = fed_state, .output = 'h', .n_stages = 1,                                \
        .stage = {{0, fed_count, FN(cell##_##f##_forward), FN(cell##_##f##_backward)}}, \
    };
GATED(ugrnn, tanh, "gk", 'h', 2)
GATED(ugrnn, relu, "gk", 'h', 2)
GATED(mingru, identity, "zk", 0, 0)
GATED(mingru, tanh, "zk", 0, 0)
#undef GATED
