/* activations.h - sigmoid and tanh without branches, tables or library calls.
 *
 * Both need e^a for a <= 0 only. With n = round(a / ln 2) and r = a - n ln 2, |r| <= ln 2 / 2,
 *     e^a = s (1 + q),   s = 2^n,   q = e^r - 1 = r + r^2 P(r),
 * where P is the polynomial of least weighted error (Remez exchange; degree 4: 1.5e-8,
 * degree 10: 2.9e-19, relative to r). Keeping q and s apart, nothing below cancels:
 *     sigmoid(x) = s(1 + q) / (1 + s + s q)   for x < 0, a = x;   1 / (...) for x >= 0, a = -x
 *     |tanh(x)|  = (1 - s - s q) / (1 + s + s q),                                a = -2 |x|
 * Largest errors found, in units in the last place: sigmoid 2.47, tanh 2.11 (every float32,
 * 2.5e8 arguments of float64: tests/nightly/activations.py; a sample is in the tests). 0,
 * infinities and NaN are exact; tanh keeps the sign of 0. */
#undef EXPONENT
#undef BIAS
#undef ROUND
#undef LN2_HI
#undef LN2_LO
#undef SIGMOID_MIN
#undef TANH_MIN
#if RNN_BITS == 32
#define EXPONENT    23              /* where the exponent starts */
#define BIAS        127
#define ROUND       12582912.f      /* 1.5 * 2^23: a + ROUND has no fraction left */
#define LN2_HI      0.693359375f    /* LN2_HI + LN2_LO = ln 2; n * LN2_HI is exact */
#define LN2_LO      -2.12194440e-4f
#define SIGMOID_MIN -88.f           /* n = -127 makes s = 0 */
#define TANH_MIN    -18.1f          /* 2 e^a is below half a unit in the last place of 1 */
#else
#define EXPONENT    52
#define BIAS        1023
#define ROUND       6755399441055744.
#define LN2_HI      0.693147180369123816490
#define LN2_LO      1.90821492927058770002e-10
#define SIGMOID_MIN -709.           /* n = -1023 makes s = 0 */
#define TANH_MIN    -38.2
#endif

/* s and q of e^a = s (1 + q), for SIGMOID_MIN <= a <= 0. */
ALWAYS_INLINE void FN(exponential)(vec a, vec *s, vec *q)
{
    const vec per_ln2 = FN(fill)((real)1.4426950408889634);
    const vec shifted = FMA(a, per_ln2, FN(fill)(ROUND));
    const vec n = shifted - ROUND;
    const vec r = FMA(n, FN(fill)(-LN2_LO), FMA(n, FN(fill)(-LN2_HI), a));
#if RNN_BITS == 32
    static const real P[] = {0.00139460049f, 0.00836634729f, 0.0416662917f, 0.16666545f, 0.5f};
#else
    static const real P[] = {
        2.0924129688333374e-09, 2.5108648147364552e-08, 2.7557243929584026e-07,
        2.7557245398967533e-06, 2.4801587358933773e-05, 0.00019841269884850505,
        0.0013888888888867854, 0.008333333333322186, 0.0416666666666667, 0.16666666666666677,
        0.5,
    };
#endif
    vec p = FN(fill)(P[0]);
    for (unsigned i = 1; i < sizeof P / sizeof *P; i++)
        p = FMA(p, r, FN(fill)(P[i]));
    *q = FMA(p, r * r, r);
    *s = (vec)(((mask)shifted + BIAS) << EXPONENT);   /* the low bits of `shifted` hold n */
}

ALWAYS_INLINE vec FN(absolute)(vec x) { return (vec)((mask)x & ~(mask)FN(fill)((real)-0.)); }

ALWAYS_INLINE vec FN(sigmoid)(vec x)
{
    vec s, q, a = -FN(absolute)(x);
    FN(exponential)(FN(at_least)(FN(fill)(SIGMOID_MIN), a), &s, &q);
    return FN(select)(x < 0, FMA(q, s, s), FN(fill)(1)) / FMA(q, s, ONE + s);
}

ALWAYS_INLINE vec FN(tanh)(vec x)
{
    vec s, q, a = FN(absolute)(x) * -2;
    FN(exponential)(FN(at_least)(FN(fill)(TANH_MIN), a), &s, &q);
    const vec size = FMA(-q, s, ONE - s) / FMA(q, s, ONE + s);
    return (vec)((mask)size | ((mask)x & (mask)FN(fill)((real)-0.)));   /* with the sign of x */
}

/* The activations of RNN, IndRNN and Linear, and their derivatives as functions of their
 * value. The relu of NaN is NaN. */
ALWAYS_INLINE vec FN(identity)(vec a) { return a; }
ALWAYS_INLINE vec FN(relu)(vec a) { return FN(select)(a < 0, (vec){0}, a); }
ALWAYS_INLINE vec FN(identity_slope)(vec y) { (void)y; return FN(fill)(1); }
ALWAYS_INLINE vec FN(relu_slope)(vec y) { return FN(select)(y > 0, FN(fill)(1), (vec){0}); }
ALWAYS_INLINE vec FN(sigmoid_slope)(vec y) { return y * (ONE - y); }
ALWAYS_INLINE vec FN(tanh_slope)(vec y) { return FMA(-y, y, FN(fill)(1)); }

/* In place over n elements, the last vector by way of a padded copy. */
#define OVER_ARRAY(f)                                                      \
    static void FN(f##_array)(ptrdiff_t n, void *x_)                       \
    {                                                                      \
        real *x = x_;                                                      \
        for (; n >= LANES; n -= LANES, x += LANES)                         \
            *(vec *)x = FN(f)(*(vec *)x);                                  \
        if (n > 0) {                                                       \
            vec rest = {0};                                                \
            __builtin_memcpy(&rest, x, n * sizeof(real));                  \
            rest = FN(f)(rest);                                            \
            __builtin_memcpy(x, &rest, n * sizeof(real));                  \
        }                                                                  \
    }
OVER_ARRAY(sigmoid)
OVER_ARRAY(tanh)
#undef OVER_ARRAY
