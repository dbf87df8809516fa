/* panel.h - how a cell walks a rectangle of panels.
 *
 * STAGE(name, call) defines a function of a cell by a call over s, a copy of what it was given:
 * no store into the arrays can change a copy, so that addresses and strides stay in registers.
 * Inside FOR_EACH_PANEL(s), BLOCK(s, i) is gate block i of the present panel, UNITS(s, name)
 * the same units of another array, WEIGHTS(s, i) their per-unit weights: one `vec` each.
 * A function of a function is found in a second walk, by the LSTM of several rows: with both in
 * one, the chain of operations is longer than what a processor looks ahead, and panels wait for
 * one another.
 * FETCH(s, name) brings the units of the step before towards the core, for a backward function
 * that will read them next: states and dy of a batch have left the caches since the forward
 * pass, and are too scattered for the processor to foresee. */
#undef STAGE
#undef FOR_EACH_PANEL
#undef BLOCK
#undef UNITS
#undef INPUTS
#undef WEIGHTS
#undef FETCH
#define STAGE(name, call)                           \
    static void FN(name)(const rnn_panel *given)    \
    {                                               \
        const rnn_panel own = *given, *s = &own;    \
        call;                                       \
    }
#define FOR_EACH_PANEL(s)                                       \
    for (ptrdiff_t row = 0; row < (s)->rows; row++)             \
        for (ptrdiff_t panel = 0; panel < (s)->panels; panel++)
#define BLOCK(s, i)     (*(vec *)((real *)(s)->z + row * (s)->ldz                     \
                                  + (panel * (s)->blocks + (i)) * LANES))
#define UNITS(s, name)  (*(vec *)((real *)(s)->name + row * (s)->ldh + panel * LANES))
#define INPUTS(s, name) (*(vec *)((real *)(s)->name + row * (s)->ldx + panel * LANES))
#define WEIGHTS(s, i)   (*(const vec *)((const real *)(s)->unit + (i) * (s)->ldh      \
                                        + panel * LANES))
#define FETCH(s, name)                                                                \
    __builtin_prefetch((const real *)(s)->name - (s)->back + row * (s)->ldh + panel * LANES)
