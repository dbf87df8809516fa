/* flow.h - the gradient on its way back through time, a row at a time: how large it is, and what
 * the regularizer Omega adds to the states. Squares and weights are float64 where float32 has
 * not their range, for vanished and exploded gradients. Rows are read in whole vectors: what
 * follows their n elements is 0. */

/* Sixteen partial sums, folded by halves: the same order whatever the instruction set, so that
 * all of them give the same bits. */
ALWAYS_INLINE real FN(fold)(vec *sums)
{
    typedef real sixteen __attribute__((vector_size(16)));   /* bytes */
    enum { IN_SIXTEEN = 128 / RNN_BITS };
    sixteen p[RNN_BYTES / 16];
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

/* The sum over n of (x + y)^2 in float64, without y where it is NULL. */
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

/* A sum between the bounds lost no square that counts, to zero or to infinity; others are found
 * again. */
ALWAYS_INLINE double FN(squares)(real sum, ptrdiff_t n, const real *x, const real *y)
{
    const int exact = RNN_BITS == 64 || (sum > (real)0x1p-100 && sum < (real)0x1p120);
    return __builtin_expect(exact, 1) ? sum : FN(wide_squares)(n, x, y);
}

/* row_squares with the constants it is compiled for: whether x is copied, and whether y added. */
ALWAYS_INLINE void FN(squares_of_rows)(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t ld, const real *x,
                                       const real *y, real *copy, double *of_x, double *of_sum,
                                       int copied, int added)
{
    for (ptrdiff_t row = 0, first = 0; row < rows; row++, first += ld) {
        vec alone[16 / LANES] = {{0}}, sum[16 / LANES] = {{0}};
        for (ptrdiff_t i = 0; i < n; i += 16)
            for (int part = 0, at = 0; part < 16 / LANES; part++, at += LANES)
                if (at == 0 || i + at < n) {
                    vec v = *(const vec *)(x + first + i + at);
                    if (copied)
                        *(vec *)(copy + first + i + at) = v;
                    if (copied || !added)
                        alone[part] = FMA(v, v, alone[part]);
                    if (added) {
                        v += *(const vec *)(y + first + i + at);
                        sum[part] = FMA(v, v, sum[part]);
                    }
                }
        if (copied || !added)
            of_x[row] += FN(squares)(FN(fold)(alone), n, x + first, 0);
        if (added)
            of_sum[row] += FN(squares)(FN(fold)(sum), n, x + first, y + first);
    }
}

static void FN(row_squares)(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t ld, const void *x,
                            const void *y, void *copy, double *of_x, double *of_sum)
{
    if (copy && y)
        FN(squares_of_rows)(rows, n, ld, x, y, copy, of_x, of_sum, 1, 1);
    else if (copy)
        FN(squares_of_rows)(rows, n, ld, x, y, copy, of_x, of_sum, 1, 0);
    else if (y)
        FN(squares_of_rows)(rows, n, ld, x, y, copy, of_x, of_sum, 0, 1);
    else
        FN(squares_of_rows)(rows, n, ld, x, y, copy, of_x, of_sum, 0, 0);
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
