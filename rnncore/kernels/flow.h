/* flow.h - the gradient on its way back through time, a row at a time: how large it is, and what
 * the regularizer Omega adds to the states. Squares and weights are float64, so that neither a
 * vanished nor an exploded float32 gradient leaves their range. Rows are read in whole vectors:
 * what follows their n elements is 0. */
/* The sum over n of (x + y)^2, without y where it is NULL; `copy` gets x where it is not NULL.
 * Sixteen partial sums, folded in the same order whatever the instruction set, so that all of them
 * give the same bits. */
ALWAYS_INLINE double FN(squares)(ptrdiff_t n, const real *x, const real *y, real *copy)
{
    typedef double pair __attribute__((vector_size(16)));
    FN(wide) sums[16 / DOUBLES] = {{0}};
    pair p[8];
    for (ptrdiff_t i = 0; i < n; i += 16)
        for (int part = 0, at = 0; part < 16 / DOUBLES; part++, at += DOUBLES)
            if (at < LANES || i + at < n) {
                FN(part) v = *(const FN(part) *)(x + i + at);
                if (copy)
                    *(FN(part) *)(copy + i + at) = v;
                if (y)
                    v += *(const FN(part) *)(y + i + at);
                const FN(wide) w = FN(widen)(v);
                sums[part] = FN(wide_fma)(w, w, sums[part]);
            }
    __builtin_memcpy(p, sums, sizeof p);
    p[0] = ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]));
    return p[0][0] + p[0][1];
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
