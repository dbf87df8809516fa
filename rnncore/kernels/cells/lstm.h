/* lstm.h - LSTM - Hochreiter & Schmidhuber (1997); forget gate: Gers, Schmidhuber & Cummins
 * (2000); diagonal peepholes: Gers & Schmidhuber (2000), as in Graves (2013).
 *
 *   i = sigmoid(a_i + p_i c')     g = tanh(a_g)     f = sigmoid(a_f + p_f c')
 *   c = f c' + i g                                  o = sigmoid(a_o + p_o c)
 *   h = o tanh(c)
 *
 * f is 1 without a forget gate and 1 - i where it is coupled. A prime marks time t-1. Blocks
 * are i g o (f). With peepholes instead of the recurrent h (peephole "cell") the product
 * multiplies c' and feeds i o (f), so that the blocks are g i o (f). */
enum { FN(FORGET_NONE), FN(FORGET_GATE), FN(FORGET_COUPLED) };

/* Where the blocks stand: i and g change places under peephole "cell". */
#undef I
#undef G
#define I cell
#define G (1 - cell)
enum { FN(O) = 2, FN(F) = 3 };

/* a + p c, where there are diagonal peepholes. Their weights stand in the order i, (f), o. */
#undef PEEP
#define PEEP(a, weight, c) (diagonal ? FMA(WEIGHTS(s, weight), c, a) : (vec)(a))

ALWAYS_INLINE vec FN(lstm_state)(const rnn_panel *s, const ptrdiff_t row, const ptrdiff_t panel,
                                 const int forget, const int diagonal, const int cell)
{
    const vec c_prev = UNITS(s, c_prev);
    const vec i = FN(sigmoid)(PEEP(BLOCK(s, I), 0, c_prev)), g = FN(tanh)(BLOCK(s, G));
    vec f = FN(fill)(1);
    if (forget == FN(FORGET_GATE))
        f = BLOCK(s, FN(F)) = FN(sigmoid)(PEEP(BLOCK(s, FN(F)), 1, c_prev));
    else if (forget == FN(FORGET_COUPLED))
        f = ONE - i;
    BLOCK(s, I) = i;
    BLOCK(s, G) = g;
    return UNITS(s, c) = FMA(f, c_prev, i * g);
}

ALWAYS_INLINE void FN(lstm_output)(const rnn_panel *s, const ptrdiff_t row, const ptrdiff_t panel,
                                   const vec c, const int forget, const int diagonal)
{
    const int last = forget == FN(FORGET_GATE) ? 2 : 1;
    const vec o = BLOCK(s, FN(O)) = FN(sigmoid)(PEEP(BLOCK(s, FN(O)), last, c));
    UNITS(s, h) = o * FN(tanh)(c);
}

/* A single row waits for each of its panels anyway. */
ALWAYS_INLINE void FN(lstm_forward_)(const rnn_panel *s, const int forget, const int diagonal,
                                     const int cell)
{
    if (s->rows == 1) {
        FOR_EACH_PANEL(s) {
            const vec c = FN(lstm_state)(s, row, panel, forget, diagonal, cell);
            FN(lstm_output)(s, row, panel, c, forget, diagonal);
        }
        return;
    }
    FOR_EACH_PANEL(s) FN(lstm_state)(s, row, panel, forget, diagonal, cell);
    FOR_EACH_PANEL(s) FN(lstm_output)(s, row, panel, UNITS(s, c), forget, diagonal);
}

ALWAYS_INLINE void FN(lstm_backward_)(const rnn_panel *s, const int forget, const int diagonal,
                                      const int cell)
{
    const int last = forget == FN(FORGET_GATE) ? 2 : 1;
    FOR_EACH_PANEL(s) {
        FETCH(s, c_prev);
        FETCH(s, dy);
        const vec i = BLOCK(s, I), g = BLOCK(s, G), o = BLOCK(s, FN(O)), c_prev = UNITS(s, c_prev);
        const vec tanh_c = FN(tanh)(UNITS(s, c)), dh = UNITS(s, dh) + UNITS(s, dy);
        const vec da_o = dh * tanh_c * FN(sigmoid_slope)(o);
        const vec dc = PEEP(FMA(dh * o, FN(tanh_slope)(tanh_c), UNITS(s, dc)), last, da_o);
        vec f = FN(fill)(1), da_f = {0}, di = dc * g;
        if (forget == FN(FORGET_GATE)) {
            f = BLOCK(s, FN(F));
            da_f = BLOCK(s, FN(F)) = dc * c_prev * FN(sigmoid_slope)(f);
        } else if (forget == FN(FORGET_COUPLED)) {
            f = ONE - i;
            di = dc * (g - c_prev);
        }
        const vec da_i = di * FN(sigmoid_slope)(i);
        const vec dc_prev = PEEP(dc * f, 0, da_i);
        UNITS(s, dc) = forget == FN(FORGET_GATE) ? PEEP(dc_prev, 1, da_f) : dc_prev;
        UNITS(s, dh) = (vec){0};
        BLOCK(s, I) = da_i;
        BLOCK(s, G) = dc * i * FN(tanh_slope)(g);
        BLOCK(s, FN(O)) = da_o;
    }
}

/* Constants make each variant straight-line code. The last arguments are the peepholes. */
#define LSTM(variant, gates, forget, diagonal, cell, fed_state, ...)                  \
    STAGE(variant##_forward, FN(lstm_forward_)(s, FN(forget), diagonal, cell))        \
    STAGE(variant##_backward, FN(lstm_backward_)(s, FN(forget), diagonal, cell))      \
    static const rnn_cell FN(cell_##variant) = {                                      \
        .name = #variant, .blocks = gates, .state = "hc",                             \
        .x_count = sizeof gates - 1, .fed = fed_state, .output = 'h', .n_stages = 1,  \
        .stage = {{cell, sizeof gates - 1 - cell,                                     \
                   FN(variant##_forward), FN(variant##_backward)}},                   \
        .n_units = diagonal ? sizeof gates - 2 : 0, .unit = {__VA_ARGS__},            \
    };
LSTM(lstm, "igof", FORGET_GATE, 0, 0, 'h', {0})
LSTM(lstm_none, "igo", FORGET_NONE, 0, 0, 'h', {0})
LSTM(lstm_coupled, "igo", FORGET_COUPLED, 0, 0, 'h', {0})
LSTM(lstm_diagonal, "igof", FORGET_GATE, 1, 0, 'h',
     {0, 'c', 1}, {FN(F), 'c', 1}, {FN(O), 'c', 0})
LSTM(lstm_none_diagonal, "igo", FORGET_NONE, 1, 0, 'h', {0, 'c', 1}, {FN(O), 'c', 0})
LSTM(lstm_coupled_diagonal, "igo", FORGET_COUPLED, 1, 0, 'h', {0, 'c', 1}, {FN(O), 'c', 0})
LSTM(lstm_cell, "giof", FORGET_GATE, 0, 1, 'c', {0})
LSTM(lstm_none_cell, "gio", FORGET_NONE, 0, 1, 'c', {0})
LSTM(lstm_coupled_cell, "gio", FORGET_COUPLED, 0, 1, 'c', {0})
#undef LSTM
