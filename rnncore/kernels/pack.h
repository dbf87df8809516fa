/* pack.h - between the user's order of weights and panels, and the sums that are not products.
 *
 * The user stacks gate blocks, each (H, K), in PyTorch's order; a panel holds L units of each
 * block of a span. Sums run backwards over rows: the gradient's fixed order is from the last
 * step to the first. */
static void FN(to_panels)(const rnn_matrix *m, const void *w_, void *panels_, ptrdiff_t panel,
                          ptrdiff_t row)
{
    const real *w = w_;
    real *panels = panels_;
    for (int b = 0; b < m->count; b++) {
        if (m->row_block[b] < 0)
            continue;
        const real *block = w + m->row_block[b] * m->hidden * m->ld;
        for (ptrdiff_t j = m->begin; j < m->end; j++) {
            real *to = panels + j / LANES * panel + b * LANES + j % LANES;
            for (ptrdiff_t k = 0; k < m->depth; k++)
                to[k * row] += block[j * m->ld + k];
        }
    }
}

static void FN(from_panels)(const rnn_matrix *m, void *w_, const void *panels_, ptrdiff_t panel,
                            ptrdiff_t row)
{
    real *w = w_;
    const real *panels = panels_;
    for (int b = 0; b < m->count; b++) {
        if (m->row_block[b] < 0)
            continue;
        real *block = w + m->row_block[b] * m->hidden * m->ld;
        for (ptrdiff_t j = m->begin; j < m->end; j++) {
            const real *from = panels + j / LANES * panel + b * LANES + j % LANES;
            for (ptrdiff_t k = 0; k < m->depth; k++)
                block[j * m->ld + k] = from[k * row];
        }
    }
}

/* To panels of K: [panel][block][unit], the lanes past K zero. The user has all blocks of a
 * matrix that is multiplied. */
static void FN(transpose)(const rnn_matrix *m, const void *w_, void *panels_)
{
    const real *w = w_;
    real *to = panels_;
    for (ptrdiff_t k0 = 0; k0 < m->depth; k0 += LANES) {
        const ptrdiff_t lanes = m->depth - k0 < LANES ? m->depth - k0 : LANES;
        for (int b = 0; b < m->count; b++)
            for (ptrdiff_t j = 0; j < m->hidden; j++, to += LANES) {
                const real *from = w + (m->row_block[b] * m->hidden + j) * m->ld + k0;
                for (ptrdiff_t k = 0; k < LANES; k++)
                    to[k] = k < lanes ? from[k] : 0;
            }
    }
}

static void FN(add)(ptrdiff_t n, void *to_, const void *from_)
{
    real *restrict to = to_;
    const real *restrict from = from_;
    for (ptrdiff_t i = 0; i < n; i++) to[i] += from[i];
}

static void FN(multiply)(ptrdiff_t n, void *to_, const void *by_)
{
    real *restrict to = to_;
    const real *restrict by = by_;
    for (ptrdiff_t i = 0; i < n; i++) to[i] *= by[i];
}

/* Sums over rows of whole vectors. Two of the same rows, from different beginnings, cost one
 * reading of them. Rows further back are fetched: no processor expects to go that way. */
static void FN(column_sums)(ptrdiff_t rows, ptrdiff_t n, const void *z_, ptrdiff_t ldz,
                            void *sums_, void *again_)
{
    real *sums = sums_, *again = again_;
    for (ptrdiff_t row = rows - 1; row >= 0; row--) {
        const real *z = (const real *)z_ + row * ldz;
        for (ptrdiff_t i = 0; i < n; i += LANES) {
            const vec z_i = *(const vec *)(z + i);
            __builtin_prefetch(z - 2 * ldz + i);
            *(vec *)(sums + i) += z_i;
            if (again)
                *(vec *)(again + i) += z_i;
        }
    }
}

/* sums[unit] += sum over rows of z[unit] state[unit], for one gate block; `panel` is the
 * distance of two panels in z and in sums. */
static void FN(unit_gradient)(ptrdiff_t rows, ptrdiff_t panels, ptrdiff_t panel, const void *z_,
                              ptrdiff_t ldz, const void *state_, ptrdiff_t ldh, void *sums_)
{
    for (ptrdiff_t row = rows - 1; row >= 0; row--)
        for (ptrdiff_t p = 0; p < panels; p++) {
            const vec z = *(const vec *)((const real *)z_ + row * ldz + p * panel);
            const vec state = *(const vec *)((const real *)state_ + row * ldh + p * LANES);
            vec *sums = (vec *)((real *)sums_ + p * panel);
            *sums = FMA(z, state, *sums);
        }
}
