/* optimize.h - what is done to a model's flat arrays: norms, clipping and the updates of the
 * optimizers (equations and sources: rnncore/optim).
 *
 * All of it goes by elements, so it is the same however the arrays are cut; the sums have a
 * fixed order. The last vector goes by way of a padded copy. */
#undef SUMS
#define SUMS 16                   /* partial sums, as many on every instruction set */

/* sums += (scale x)^2, for SUMS elements; multiplied and added, never fused, for the baseline
 * cannot. */
ALWAYS_INLINE void FN(add_squares)(FN(wide) *sums, const real *x, double scale)
{
#pragma GCC unroll 16
    for (int i = 0; i < SUMS / DOUBLES; i++) {
        const FN(wide) v = scale * FN(widen)(*(const FN(part) *)(x + i * DOUBLES));
        sums[i] += v * v;
    }
}

/* Sum of (scale x)^2 in float64, in the same bits on all instruction sets. */
static double FN(sum_squares)(ptrdiff_t n, const void *x_, double scale)
{
    const real *x = x_;
    FN(wide) sums[SUMS / DOUBLES] = {{0}};
    real rest[SUMS] = {0};
    double total = 0;
    for (; n >= SUMS; n -= SUMS, x += SUMS)
        FN(add_squares)(sums, x, scale);
    __builtin_memcpy(rest, x, n * sizeof(real));
    FN(add_squares)(sums, rest, scale);
    for (int i = 0; i < SUMS; i++)
        total += sums[i / DOUBLES][i % DOUBLES];
    return total;
}

/* The larger of |x| and most, lane by lane. Without their sign, numbers are ordered as the
 * integers of the same bits, and NaN is above infinity. */
ALWAYS_INLINE mask FN(above)(vec x, mask most)
{
    const mask size = (mask)FN(absolute)(x);
    return (mask)FN(select)(size > most, (vec)size, (vec)most);
}

/* max |x|, or NaN where there is one. */
static double FN(largest)(ptrdiff_t n, const void *x_)
{
    const real *x = x_;
    mask most = {0};
    vec rest = {0};
    integer top = 0;
    for (; n >= LANES; n -= LANES, x += LANES)
        most = FN(above)(*(const vec *)x, most);
    __builtin_memcpy(&rest, x, n * sizeof(real));
    most = FN(above)(rest, most);
    for (int i = 0; i < LANES; i++)
        if (most[i] > top)
            top = most[i];
    return ((vec)(top - (mask){0}))[0];
}

static void FN(scale)(ptrdiff_t n, void *x_, double factor)
{
    real *x = x_;
    for (ptrdiff_t i = 0; i < n; i++) x[i] = (real)(x[i] * factor);
}

/* Each element into [-limit, limit]; NaN stays. */
static void FN(clamp)(ptrdiff_t n, void *x_, double limit)
{
    real *x = x_;
    const real most = (real)limit;
    for (ptrdiff_t i = 0; i < n; i++)
        x[i] = x[i] > most ? most : x[i] < -most ? -most : x[i];
}

/* The numbers of an rnn_update in all lanes. */
typedef struct {
    vec lr, decay, beta1, rest1, beta2, rest2, root, eps;
} FN(rates);

/* An update of one vector: x[0] of weights, x[1] of gradients, x[2] and x[3] of the state. */
typedef void (*FN(rule))(const FN(rates) *, vec *x);

ALWAYS_INLINE void FN(sgd_plain)(const FN(rates) *r, vec *x)
{
    x[0] = FMA(-r->lr, FMA(r->decay, x[0], x[1]), x[0]);
}

ALWAYS_INLINE void FN(sgd_momentum)(const FN(rates) *r, vec *x)
{
    x[2] = FMA(r->beta1, x[2], FMA(r->decay, x[0], x[1]));
    x[0] = FMA(-r->lr, x[2], x[0]);
}

ALWAYS_INLINE void FN(sgd_nesterov)(const FN(rates) *r, vec *x)
{
    const vec g = FMA(r->decay, x[0], x[1]);
    x[2] = FMA(r->beta1, x[2], g);
    x[0] = FMA(-r->lr, FMA(r->beta1, x[2], g), x[0]);
}

/* The scaled gradient of RMSprop; x[2] is the mean of squares. */
ALWAYS_INLINE vec FN(rms_scaled)(const FN(rates) *r, vec *x)
{
    const vec g = FMA(r->decay, x[0], x[1]);
    x[2] = FMA(r->beta2, x[2], r->rest2 * g * g);
    return g / (FN(sqrt)(x[2]) + r->eps);
}

ALWAYS_INLINE void FN(rms_plain)(const FN(rates) *r, vec *x)
{
    x[0] = FMA(-r->lr, FN(rms_scaled)(r, x), x[0]);
}

ALWAYS_INLINE void FN(rms_momentum)(const FN(rates) *r, vec *x)
{
    x[3] = FMA(r->beta1, x[3], FN(rms_scaled)(r, x));
    x[0] = FMA(-r->lr, x[3], x[0]);
}

/* x[2] and x[3] are the first and the second moment. */
ALWAYS_INLINE void FN(adam_rule)(const FN(rates) *r, vec *x)
{
    const vec w = FMA(-r->decay, x[0], x[0]);
    x[2] = FMA(r->rest1, x[1] - x[2], x[2]);
    x[3] = FMA(r->beta2, x[3], r->rest2 * x[1] * x[1]);
    x[0] = FMA(-r->lr, x[2] / FMA(FN(sqrt)(x[3]), r->root, r->eps), w);
}

/* A rule over `arrays` arrays, of which all but the gradients change; both are constants at
 * every call. */
ALWAYS_INLINE void FN(update)(const rnn_update *u, FN(rule) rule, const int arrays)
{
    const FN(rates) r = {
        .lr = FN(fill)((real)u->lr), .decay = FN(fill)((real)u->decay),
        .beta1 = FN(fill)((real)u->beta1), .rest1 = FN(fill)((real)(1 - u->beta1)),
        .beta2 = FN(fill)((real)u->beta2), .rest2 = FN(fill)((real)(1 - u->beta2)),
        .root = FN(fill)((real)u->root), .eps = FN(fill)((real)u->eps),
    };
    real *const array[] = {u->w, (real *)u->g, u->state[0], u->state[1]};
    ptrdiff_t i = 0;
    for (; i + LANES <= u->n; i += LANES) {
        vec x[4];
#pragma GCC unroll 4
        for (int k = 0; k < arrays; k++) x[k] = *(const vec *)(array[k] + i);
        rule(&r, x);
#pragma GCC unroll 4
        for (int k = 0; k < arrays; k++) if (k != 1) *(vec *)(array[k] + i) = x[k];
    }
    if (i < u->n) {
        const ptrdiff_t rest = (u->n - i) * sizeof(real);
        vec x[4] = {{0}};
        for (int k = 0; k < arrays; k++) __builtin_memcpy(&x[k], array[k] + i, rest);
        rule(&r, x);
        for (int k = 0; k < arrays; k++) if (k != 1) __builtin_memcpy(array[k] + i, &x[k], rest);
    }
}

static void FN(sgd)(const rnn_update *u)
{
    if (!u->state[0])
        FN(update)(u, FN(sgd_plain), 2);
    else if (u->nesterov)
        FN(update)(u, FN(sgd_nesterov), 3);
    else
        FN(update)(u, FN(sgd_momentum), 3);
}

static void FN(rmsprop)(const rnn_update *u)
{
    if (u->state[1])
        FN(update)(u, FN(rms_momentum), 4);
    else
        FN(update)(u, FN(rms_plain), 3);
}

static void FN(adam)(const rnn_update *u) { FN(update)(u, FN(adam_rule), 4); }
