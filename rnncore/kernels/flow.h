/* flow.h - the gradient on its way back through time, a row at a time: how large it is, and what
 * the regularizer Omega adds to the states. Squares and weights are float64 where float32 has
 * not their range, for vanished and exploded gradients. Rows are read in whole vectors: what
 * follows their n elements is 0. */

/* The sum over n of (x + y)^2, without y where it is NULL; `copy` gets x where it is not NULL.
 * Sixteen partial sums, folded by halves: the same order whatever the instruction set, so that
 * all of them give the same bits. */
ALWAYS_INLINE real FN(narrow_squares)(ptrdiff_t n, const real *x, const real *y, real *copy)
{
    typedef real sixteen __attribute__((vector_size(16)));   /* bytes */
    enum { IN_SIXTEEN = 128 / RNN_BITS };
    vec sums[16 / LANES] = {{0}};
    sixteen p[RNN_BYTES / 16];
    for (ptrdiff_t i = 0; i < n; i += 16)
        for (int part = 0, at = 0; part < 16 / LANES; part++, at += LANES)
            if (at == 0 || i + at < n) {
                vec v = *(const vec *)(x + i + at);
                if (copy)
                    *(vec *)(copy + i + at) = v;
                if (y)
                    v += *(const vec *)(y + i + at);
                sums[part] = FMA(v, v, sums[part]);
            }
    for (int half = 8 / LANES; half; half /= 2)
        for (int i = 0; i < half; i++)
            sums[i] += sums[i + half];
    __builtin_memcpy(p, sums, sizeof p);
    for (int half = RNN_BYTES / 32; half; half /= 2)
        for (int i = 0; i < half; i++)
            p[i] += p[i + half];
    return IN_SIXTEEN == 2 ? p[0][0] + p[0][1]
                           : (p[0][0] + p[0][2 % IN_SIXTEEN]) + (p[0][1] + p[0][3 % IN_SIXTEEN]);
}

/* The same in float64, where the squares have left float32's range. */
static __attribute__((noinline)) double FN(wide_squares)(ptrdiff_t n, const real *x,
                                                         const real *y)
{
    double sums[16] = {0};
    for (ptrdiff_t i = 0; i < n; i += 16)
        for (ptrdiff_t k = 0; k < 16 && i + k < n; k++) {
            const double v = y ? x[i + k] + y[i + k] : x[i + k];
            sums[k] += v * v;
        }
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}

/* Between the bounds, no square that counts was flushed to zero or became infinite. */
ALWAYS_INLINE double FN(squares)(ptrdiff_t n, const real *x, const real *y, real *copy)
{
    const double sum = FN(narrow_squares)(n, x, y, copy);
    return RNN_BITS == 64 || (sum > 0x1p-100 && sum < 0x1p120) ? sum : FN(wide_squares)(n, x, y);
}

/* sums[row] += such a sum; all arrays have the row stride ld. */
static void FN(row_squares)(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t ld, const void *x_,
                            const void *y_, void *copy_, double *sums)
{
    const real *x = x_, *y = y_;
    real *copy = copy_;
    for (ptrdiff_t row = 0, at = 0; row < rows; row++, at += ld)
        sums[row] += copy ? FN(squares)(n, x + at, 0, copy + at)
                   : y ? FN(squares)(n, x + at, y + at, 0) : FN(squares)(n, x + at, 0, 0);
}

/* sum = a + weight[row] z */
static void FN(blend)(ptrdiff_t rows, ptrdiff_t n, const void *a_, ptrdiff_t lda, const void *z_,
                      ptrdiff_t ldz, const double *weight, void *sum_)
{
    for (ptrdiff_t row = 0; row < rows; row++) {
        const real *a = (const real *)a_ + row * lda, *z = (const real *)z_ + row * ldz;
        real *sum = (real *)sum_ + row * ldz;
        const FN(wide) w = weight[row] - (FN(wide)){0};
        for (ptrdiff_t i = 0; i < n; i += DOUBLES)
            *(FN(part) *)(sum + i) = FN(narrow)(FN(wide_fma)(
                w, FN(widen)(*(const FN(part) *)(z + i)), FN(widen)(*(const FN(part) *)(a + i))));
    }
}

/* Turn the squares z of |z_t| into the weights of z_t in Omega's gradient, d being those of |d_t|;
 * add the terms of Omega to `total`; return how many are live. */
static ptrdiff_t FN(omega_weights)(ptrdiff_t n, double *z, const double *d, double bound,
                                   int squared, double *total)
{
    enum { BLOCK = 64 };
    double terms[BLOCK];
    ptrdiff_t live = 0;
    for (ptrdiff_t start = 0; start < n; start += BLOCK) {
        const int count = n - start < BLOCK ? (int)(n - start) : BLOCK;
        for (int i = 0; i < count; i++) {
            const double y = d[start + i], ratio = z[start + i] / y;
            const double off = (squared ? ratio : __builtin_sqrt(ratio)) - 1;
            const double weight = squared ? 4 * off / y : 2 * off / ((off + 1) * y);
            const int counts = y >= bound && y > 0;
            terms[i] = counts ? off * off : 0;
            z[start + i] = counts && ratio > 0 ? weight : 0;
            live += counts;
        }
        for (int i = 0; i < count; i++)
            *total += terms[i];
    }
    return live;
}
