/* tile.h - the one matrix kernel: forward products, products of the backward pass and weight
 * gradients differ in strides alone (see rnn_product).
 *
 * A tile is some rows times some panels, its accumulators all in registers: V vectors a row,
 * as many rows as leave room for V weights and one broadcast. k is never split, so every
 * element is the same chain of operations whatever else the tile holds. */
#undef ROWS_1
#undef ROWS_2
#undef ROWS_3
#undef ROWS_4
#undef FAR
#define FAR (2 << 20)  /* bytes of weights that no second cache of today holds beside others */
#if RNN_REGISTERS == 32
#define ROWS_1 12      /* rows of a tile of 1, 2, 3 or 4 vectors a row */
#define ROWS_2 12
#define ROWS_3 8
#define ROWS_4 6
#else
#define ROWS_1 6
#define ROWS_2 6
#define ROWS_3 4
#define ROWS_4 3
#endif

/* The sums of a tile of R rows, P panels and N blocks, which are constants at every call. Where
 * the rows of a are contiguous, k runs through all panels of it at once. */
ALWAYS_INLINE void FN(accumulate)(const rnn_product *s, const real *a, const real *w, vec *sum,
                                  const int R, const int P, const int N)
{
    const int V = P * N;
    const ptrdiff_t run = s->a_panel == LANES * s->a_lane ? s->depth : LANES;
    for (ptrdiff_t block = 0; block < s->a_blocks; block++, a += s->a_block) {
        const real *a_panel = a;
        for (ptrdiff_t k0 = 0; k0 < s->depth; k0 += run, a_panel += s->a_panel) {
            const ptrdiff_t count = s->depth - k0 < run ? s->depth - k0 : run;
            const real *a_k = a_panel;
            for (ptrdiff_t k = 0; k < count; k++, a_k += s->a_lane, w += s->w_k) {
                __builtin_prefetch(a_k + s->a_ahead, 0, 2);
#pragma GCC unroll 16
                for (int i = 0; i < R; i++) {
                    const vec x = FN(fill)(a_k[i * s->a_row]);
#pragma GCC unroll 16
                    for (int v = 0; v < V; v++) {
                        const vec w_v = *(const vec *)(w + v / N * s->w_panel + v % N * LANES);
                        sum[i * V + v] = FMA(w_v, x, sum[i * V + v]);
                    }
                }
            }
        }
    }
}

/* The same of one row. Each panel has a pointer of its own, so that all addresses stay in
 * registers. Fetched meanwhile are the weights that some k ahead will be read, and at `next` as
 * many as one panel has, unless that is NULL. */
ALWAYS_INLINE void FN(accumulate_row)(const rnn_product *s, ptrdiff_t panel, vec *sum,
                                      const int P, const int N, const int ahead,
                                      const real *next)
{
    const ptrdiff_t run = s->a_panel == LANES * s->a_lane ? s->depth : LANES;
    const real *a = s->a, *w[8];
#pragma GCC unroll 8
    for (int p = 0; p < P; p++)
        w[p] = (const real *)s->w + (panel + p) * s->w_panel;
    for (ptrdiff_t block = 0; block < s->a_blocks; block++, a += s->a_block) {
        const real *a_panel = a;
        for (ptrdiff_t k0 = 0; k0 < s->depth; k0 += run, a_panel += s->a_panel) {
            const ptrdiff_t count = s->depth - k0 < run ? s->depth - k0 : run;
            for (ptrdiff_t k = 0; k < count; k++) {
                const vec x = FN(fill)(a_panel[k * s->a_lane]);
#pragma GCC unroll 4
                for (int n = 0; next && n < N; n++, next += LANES)
                    __builtin_prefetch(next);
#pragma GCC unroll 8
                for (int p = 0; p < P; p++) {
#pragma GCC unroll 4
                    for (int n = 0; n < N; n++) {
                        if (ahead)
                            __builtin_prefetch(w[p] + ahead * s->w_k + n * LANES);
                        sum[p * N + n] = FMA(*(const vec *)(w[p] + n * LANES), x, sum[p * N + n]);
                    }
                    w[p] += s->w_k;
                }
            }
        }
    }
}

/* Two or more rows. */
ALWAYS_INLINE void FN(tile)(const rnn_product *s, const real *a, const real *w,
                            const real *start, real *c, const int R, const int P, const int N)
{
    const int V = P * N;
    vec sum[24];           /* R * V of them are used */
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 16
        for (int v = 0; v < V; v++)
            sum[i * V + v] = *(const vec *)(start + i * s->start_row + v / N * s->c_panel
                                            + v % N * LANES);
    FN(accumulate)(s, a, w, sum, R, P, N);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 16
        for (int v = 0; v < V; v++)
            *(vec *)(c + i * s->c_row + v / N * s->c_panel + v % N * LANES) = sum[i * V + v];
}

/* One row, which goes on with `more` while the sums are in registers. What comes from the last
 * cache is fetched ahead: the processor does not read several panels fast enough by itself. */
ALWAYS_INLINE void FN(row)(const rnn_product *s, const ptrdiff_t panel, const int P, const int N)
{
    const int V = P * N;
    const real *start = (const real *)s->start + panel * s->c_panel;
    real *c = (real *)s->c + panel * s->c_panel;
    vec sum[16];           /* V of them are used */
#pragma GCC unroll 16
    for (int v = 0; v < V; v++)
        sum[v] = *(const vec *)(start + v / N * s->c_panel + v % N * LANES);
    for (const rnn_product *part = s; part; part = part->more)
        if (part->panels * part->w_panel * (ptrdiff_t)sizeof(real) > FAR)
            FN(accumulate_row)(part, panel, sum, P, N, 4, NULL);
        else if (P == 2 && part->next)   /* only pairs leave time for it */
            FN(accumulate_row)(part, panel, sum, P, N, 0, part->next);
        else
            FN(accumulate_row)(part, panel, sum, P, N, 0, NULL);
#pragma GCC unroll 16
    for (int v = 0; v < V; v++)
        *(vec *)(c + v / N * s->c_panel + v % N * LANES) = sum[v];
}

#define ROW(P, N)                                                                            \
    static void FN(row_##P##_##N)(const rnn_product *s, ptrdiff_t panel)                     \
    {                                                                                        \
        FN(row)(s, panel, P, N);                                                             \
    }

/* Two or more rows of P panels, divided evenly among tiles of at most `most` of them. */
#define STRIP(P, N, most, cases)                                                             \
    static void FN(strip_##P##_##N)(const rnn_product *s, const real *w, const real *start,  \
                                    real *c)                                                 \
    {                                                                                        \
        const real *a = s->a;                                                                \
        ptrdiff_t tiles = (s->rows + (most) - 1) / (most), rows = s->rows;                   \
        for (; tiles > 0; tiles--) {                                                         \
            const ptrdiff_t n = (rows + tiles - 1) / tiles;                                  \
            switch (n) { cases(P, N) }                                                       \
            a += n * s->a_row, start += n * s->start_row, c += n * s->c_row, rows -= n;      \
        }                                                                                    \
    }
#define CASE(R, P, N) case R: FN(tile)(s, a, w, start, c, R, P, N); break;
#define CASES_3(P, N) CASE(2, P, N) CASE(3, P, N)
#define CASES_4(P, N) CASES_3(P, N) CASE(4, P, N)
#define CASES_6(P, N) CASES_4(P, N) CASE(5, P, N) CASE(6, P, N)
#define CASES_8(P, N) CASES_6(P, N) CASE(7, P, N) CASE(8, P, N)
#define CASES_12(P, N) CASES_8(P, N) CASE(9, P, N) CASE(10, P, N) CASE(11, P, N) CASE(12, P, N)

#if RNN_REGISTERS == 32
STRIP(1, 1, ROWS_1, CASES_12)
STRIP(2, 1, ROWS_2, CASES_12)
STRIP(3, 1, ROWS_3, CASES_8)
STRIP(4, 1, ROWS_4, CASES_6)
STRIP(1, 2, ROWS_2, CASES_12)
STRIP(1, 3, ROWS_3, CASES_8)
STRIP(1, 4, ROWS_4, CASES_6)
#else
STRIP(1, 1, ROWS_1, CASES_6)
STRIP(2, 1, ROWS_2, CASES_6)
STRIP(3, 1, ROWS_3, CASES_4)
STRIP(4, 1, ROWS_4, CASES_3)
STRIP(1, 2, ROWS_2, CASES_6)
STRIP(1, 3, ROWS_3, CASES_4)
STRIP(1, 4, ROWS_4, CASES_3)
#endif
ROW(1, 1)
ROW(2, 1)
ROW(3, 1)
ROW(4, 1)
ROW(8, 1)
ROW(1, 2)
ROW(2, 2)
ROW(3, 2)
ROW(1, 3)
ROW(2, 3)
ROW(3, 3)
ROW(1, 4)
ROW(2, 4)
ROW(3, 4)
#if RNN_REGISTERS == 32
ROW(4, 2)
ROW(4, 3)
ROW(4, 4)
#endif
#undef ROW
#undef STRIP
#undef CASE
#undef CASES_3
#undef CASES_4
#undef CASES_6
#undef CASES_8
#undef CASES_12

/* One row of all panels: as many at a time as registers hold, for it lives on reading weights
 * and has nothing to wait for but its own sums. */
static void FN(one_row)(const rnn_product *s)
{
    static void (*const of[8][4])(const rnn_product *, ptrdiff_t) = {   /* so many panels */
        {FN(row_1_1), FN(row_1_2), FN(row_1_3), FN(row_1_4)},
        {FN(row_2_1), FN(row_2_2), FN(row_2_3), FN(row_2_4)},
        {FN(row_3_1), FN(row_3_2), FN(row_3_3), FN(row_3_4)},
#if RNN_REGISTERS == 32
        {FN(row_4_1), FN(row_4_2), FN(row_4_3), FN(row_4_4)},
#else
        {FN(row_4_1)},
#endif
        [7] = {FN(row_8_1)},
    };
    for (ptrdiff_t panel = 0, n; panel < s->panels; panel += n) {
        n = s->panels - panel < 8 ? s->panels - panel : 8;
        while (!of[n - 1][s->blocks - 1])
            n--;
        of[n - 1][s->blocks - 1](s, panel);
    }
}

/* Two or more rows of all panels: one panel at a time, and up to four where it is one vector.
 * They go on with `more` from memory. */
static void FN(all_rows)(const rnn_product *s)
{
    typedef void strip(const rnn_product *, const real *, const real *, real *);
    static strip *const blocks[] = {
        FN(strip_1_1), FN(strip_1_2), FN(strip_1_3), FN(strip_1_4),
    };
    static strip *const vectors[] = {
        FN(strip_1_1), FN(strip_2_1), FN(strip_3_1), FN(strip_4_1),
    };
    for (; s; s = s->more) {
        const real *w = s->w, *start = s->start;
        real *c = s->c;
        for (ptrdiff_t left = s->panels, group; left > 0; left -= group) {
            group = s->blocks > 1 ? 1 : left < 4 ? left : 4;
            (s->blocks > 1 ? blocks[s->blocks - 1] : vectors[group - 1])(s, w, start, c);
            w += group * s->w_panel, start += group * s->c_panel, c += group * s->c_panel;
        }
    }
}

static void FN(product)(const rnn_product *s)
{
    (s->rows == 1 ? FN(one_row) : FN(all_rows))(s);
}
