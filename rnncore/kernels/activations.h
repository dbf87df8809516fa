/* activations.h - sigmoid and tanh without branches, tables or library calls.
 *
 * With n = round(a / ln 2) and r = a - n ln 2, |r| <= ln 2 / 2,
 *     e^a = s (1 + q),   s = 2^n,   q = e^r - 1 = r + r^2 P(r),
 * where P is the polynomial of least weighted error (Remez exchange; degree 4: 1.5e-8,
 * degree 10: 2.9e-19, relative to r). Keeping q and s apart, nothing below cancels, and the sums
 * with s do not wait for P:
 *     sigmoid(x) = 1 / (1 + s + s q),                   a = -x
 *     |tanh(x)|  = (1 - s - s q) / (1 + s + s q),       a = -2 |x|
 * At most 3 units in the last place off: tests/test_activations.py has the largest errors of a
 * sample; of every float32 they are 2.44 and 2.07 (tests/nightly/activations.py). 0, infinities
 * and NaN are exact, where denormal numbers are flushed; tanh keeps the sign of 0. */
#undef EXPONENT
#undef BIAS
#undef ROUND
#undef LN2_HI
#undef LN2_LO
#undef SIGMOID_MIN
#undef SIGMOID_MAX
#undef TANH_MAX
#if RNN_BITS == 32
#define EXPONENT    23              /* where the exponent starts */
#define BIAS        127
#define ROUND       12582912.f      /* 1.5 * 2^23: a + ROUND has no fraction left */
#define SIGMOID_MIN -88.37f         /* n = 127; the quotient is below all normal numbers: 0 */
#define SIGMOID_MAX 88.f            /* n = -127 makes s = 0 */
#define TANH_MAX    9.05f           /* 2 e^a is below half a unit in the last place of 1 */
#else
#define EXPONENT    52
#define BIAS        1023
#define ROUND       6755399441055744.
#define SIGMOID_MIN -709.43
#define SIGMOID_MAX 709.
#define TANH_MAX    19.1
#endif

/* LN2_HI + LN2_LO = ln 2, so that n * LN2_HI is exact: inside a fused multiply-add it always is. */
#if RNN_HAS_FMA && RNN_BITS == 32
#define LN2_HI      0.693147182f
#define LN2_LO      -1.90465421e-9f
#elif RNN_HAS_FMA
#define LN2_HI      0.69314718055994530942
#define LN2_LO      2.3190468138462996e-17
#elif RNN_BITS == 32
#define LN2_HI      0.693359375f
#define LN2_LO      -2.12194440e-4f
#else
#define LN2_HI      0.693147180369123816490
#define LN2_LO      1.90821492927058770002e-10
#endif

/* s and q of e^(by x), for SIGMOID_MIN <= -by x <= SIGMOID_MAX. */
ALWAYS_INLINE void FN(exponential)(vec x, const real by, vec *s, vec *q)
{
    const vec shifted = FMA(x, FN(fill)(by * (real)1.4426950408889634), FN(fill)(ROUND));
    const vec n = shifted - ROUND;
    const vec near = FMA(n, FN(fill)(-LN2_HI), by * x);
    const vec r = FMA(n, FN(fill)(-LN2_LO), near);
#if RNN_BITS == 32
    static const real P[] = {0.00139460049f, 0.00836634729f, 0.0416662917f, 0.16666545f, 0.5f};
    const vec t = RNN_HAS_FMA ? near : r;   /* of as much use to P, and earlier */
#else
    static const real P[] = {
        2.0924129688333374e-09, 2.5108648147364552e-08, 2.7557243929584026e-07,
        2.7557245398967533e-06, 2.4801587358933773e-05, 0.00019841269884850505,
        0.0013888888888867854, 0.008333333333322186, 0.0416666666666667, 0.16666666666666677,
        0.5,
    };
    const vec t = r;
#endif
    const vec t2 = t * t;
    vec p = FN(fill)(P[0]);
    for (unsigned i = 1; i < sizeof P / sizeof *P; i += 2)   /* pairs wait for half as much */
        p = FMA(p, t2, FMA(FN(fill)(P[i]), t, FN(fill)(P[i + 1])));
    *q = FMA(p, r * r, r);
    *s = (vec)(((mask)shifted + BIAS) << EXPONENT);   /* the low bits of `shifted` hold n */
}

ALWAYS_INLINE vec FN(absolute)(vec x) { return (vec)((mask)x & ~(mask)FN(fill)((real)-0.)); }

ALWAYS_INLINE vec FN(sigmoid)(vec x)
{
    vec s, q;
    x = FN(at_most)(FN(fill)(SIGMOID_MAX), FN(at_least)(FN(fill)(SIGMOID_MIN), x));
    FN(exponential)(x, -1, &s, &q);
    return 1 / FMA(q, s, ONE + s);
}

ALWAYS_INLINE vec FN(tanh)(vec x)
{
    vec s, q;
    FN(exponential)(FN(at_most)(FN(fill)(TANH_MAX), FN(absolute)(x)), -2, &s, &q);
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
