/* rnn.h - cells of one gate block a, with an activation f.
 *
 *   linear        h = f(a)                     no state: a dense layer
 *   rnn           h = f(a)                     Elman (1990); the product multiplies h'
 *   rnn_pascanu   y = a,  h = f(a)             Pascanu et al. (2013), eq. 2: y is the state
 *   rnn_skip      h = h'_d + s f(a)            residual through time; h'_d is d steps back
 *   identity      h = h' + f(a)                the identity map: no product
 *   indrnn        h = f(a + u h')              Li et al. (2018): no product
 *
 * A prime marks the previous state. */
#define ACTIVATION(f)                                                             \
    STAGE(rnn_##f##_forward, FN(rnn_forward_)(s, FN(f)))                          \
    STAGE(rnn_##f##_backward, FN(rnn_backward_)(s, FN(f##_slope)))                \
    STAGE(linear_##f##_backward, FN(linear_backward_)(s, FN(f##_slope)))          \
    STAGE(rnn_pascanu_##f##_forward, FN(pascanu_forward_)(s, FN(f)))              \
    STAGE(rnn_pascanu_##f##_backward, FN(pascanu_backward_)(s, FN(f##_slope)))    \
    STAGE(rnn_skip_##f##_forward, FN(skip_forward_)(s, FN(f)))                    \
    STAGE(rnn_skip_##f##_backward, FN(skip_backward_)(s, FN(f##_slope)))          \
    STAGE(indrnn_##f##_forward, FN(indrnn_forward_)(s, FN(f)))                    \
    STAGE(indrnn_##f##_backward, FN(indrnn_backward_)(s, FN(f##_slope)))          \
    static const rnn_cell FN(cell_linear_##f) = {                                 \
        .name = "linear_" #f, .blocks = "a", .state = "", .x_count = 1,           \
        .output = 'h', .n_stages = 1,                                             \
        .stage = {{0, 0, FN(rnn_##f##_forward), FN(linear_##f##_backward)}},      \
    };                                                                            \
    static const rnn_cell FN(cell_rnn_##f) = {                                    \
        .name = "rnn_" #f, .blocks = "a", .state = "h", .x_count = 1,             \
        .fed = 'h', .output = 'h', .n_stages = 1,                                 \
        .stage = {{0, 1, FN(rnn_##f##_forward), FN(rnn_##f##_backward)}},         \
    };                                                                            \
    static const rnn_cell FN(cell_rnn_pascanu_##f) = {                            \
        .name = "rnn_pascanu_" #f, .blocks = "a", .state = "y", .x_count = 1,     \
        .fed = 'h', .output = 'y', .enters = 1, .n_stages = 1,                    \
        .stage = {{0, 1, FN(rnn_pascanu_##f##_forward), FN(rnn_pascanu_##f##_backward)}}, \
    };                                                                            \
    static const rnn_cell FN(cell_rnn_skip_##f) = {                               \
        .name = "rnn_skip_" #f, .blocks = "a", .state = "h", .x_count = 1,        \
        .fed = 'h', .output = 'h', .n_stages = 1,                                 \
        .stage = {{0, 1, FN(rnn_skip_##f##_forward), FN(rnn_skip_##f##_backward)}}, \
    };                                                                            \
    static const rnn_cell FN(cell_identity_##f) = {                               \
        .name = "identity_" #f, .blocks = "a", .state = "h", .x_count = 1,        \
        .output = 'h', .n_stages = 1,                                             \
        .stage = {{0, 0, FN(rnn_skip_##f##_forward), FN(rnn_skip_##f##_backward)}}, \
    };                                                                            \
    static const rnn_cell FN(cell_indrnn_##f) = {                                 \
        .name = "indrnn_" #f, .blocks = "a", .state = "h", .x_count = 1,          \
        .output = 'h', .n_stages = 1,                                             \
        .stage = {{0, 0, FN(indrnn_##f##_forward), FN(indrnn_##f##_backward)}},   \
        .n_units = 1, .unit = {{0, 'h', 1}},                                      \
    };

ALWAYS_INLINE void FN(rnn_forward_)(const rnn_panel *s, vec (*f)(vec))
{
    FOR_EACH_PANEL(s) UNITS(s, h) = BLOCK(s, 0) = f(BLOCK(s, 0));
}

ALWAYS_INLINE void FN(rnn_backward_)(const rnn_panel *s, vec (*slope)(vec))
{
    FOR_EACH_PANEL(s) {
        FETCH(s, dy);
        BLOCK(s, 0) = (UNITS(s, dh) + UNITS(s, dy)) * slope(BLOCK(s, 0));
        UNITS(s, dh) = (vec){0};
    }
}

ALWAYS_INLINE void FN(linear_backward_)(const rnn_panel *s, vec (*slope)(vec))
{
    FOR_EACH_PANEL(s) BLOCK(s, 0) = UNITS(s, dy) * slope(BLOCK(s, 0));
}

ALWAYS_INLINE void FN(pascanu_forward_)(const rnn_panel *s, vec (*f)(vec))
{
    FOR_EACH_PANEL(s) {
        UNITS(s, y) = BLOCK(s, 0);
        UNITS(s, h) = f(BLOCK(s, 0));
    }
}

/* dh is the gradient of f(a); a itself is the state, so its whole gradient is dZ. Not fused: a
 * sequence cut here, whose pieces hand on the product, has to give the same bits. */
ALWAYS_INLINE void FN(pascanu_backward_)(const rnn_panel *s, vec (*slope)(vec))
{
    FOR_EACH_PANEL(s) {
        FETCH(s, h);
        FETCH(s, dy);
        BLOCK(s, 0) = UNITS(s, dh) * slope(UNITS(s, h)) + UNITS(s, dy);
        UNITS(s, dh) = (vec){0};
    }
}

ALWAYS_INLINE void FN(skip_forward_)(const rnn_panel *s, vec (*f)(vec))
{
    FOR_EACH_PANEL(s) {
        BLOCK(s, 0) = f(BLOCK(s, 0));
        UNITS(s, h) = FMA(FN(fill)((real)s->scale), BLOCK(s, 0), UNITS(s, h_prev));
    }
}

ALWAYS_INLINE void FN(skip_backward_)(const rnn_panel *s, vec (*slope)(vec))
{
    FOR_EACH_PANEL(s) {
        FETCH(s, dy);
        UNITS(s, dh) += UNITS(s, dy);
        BLOCK(s, 0) = UNITS(s, dh) * (real)s->scale * slope(BLOCK(s, 0));
    }
}

ALWAYS_INLINE void FN(indrnn_forward_)(const rnn_panel *s, vec (*f)(vec))
{
    FOR_EACH_PANEL(s)
        UNITS(s, h) = BLOCK(s, 0) = f(FMA(WEIGHTS(s, 0), UNITS(s, h_prev), BLOCK(s, 0)));
}

ALWAYS_INLINE void FN(indrnn_backward_)(const rnn_panel *s, vec (*slope)(vec))
{
    FOR_EACH_PANEL(s) {
        FETCH(s, dy);
        BLOCK(s, 0) = (UNITS(s, dh) + UNITS(s, dy)) * slope(BLOCK(s, 0));
        UNITS(s, dh) = WEIGHTS(s, 0) * BLOCK(s, 0);
    }
}

ACTIVATION(identity)
ACTIVATION(relu)
ACTIVATION(sigmoid)
ACTIVATION(tanh)
#undef ACTIVATION
