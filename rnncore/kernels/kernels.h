/* kernels.h - what the engine sees of the kernels: a cell, a panel, a product, and one table of
 * functions per element type and instruction set.
 *
 * The letters used throughout:
 *   T time steps, B batch, I inputs, H hidden units, G gate blocks, L lanes of a register.
 * A panel is L hidden units with all their gate blocks side by side, so one row of Z is
 *   Z[panel][block][lane]      with ceil(H / L) panels; lanes past H are padding, whose
 * values never reach a result. `d` in front of a name means "gradient of the loss with
 * respect to". Nothing here owns or allocates memory; pointers are void so that one struct
 * serves both element types. Strides are in elements.
 */
#ifndef RNNCORE_KERNELS_H
#define RNNCORE_KERNELS_H

#include <stddef.h>

/* A rectangle of one time step: some rows of the batch, some neighbouring panels. Every
 * pointer is to the rectangle's first row and panel; those a cell does not use may be NULL.
 * No two arrays overlap. */
typedef struct rnn_panel {
    ptrdiff_t rows, panels;
    ptrdiff_t blocks;         /* G */
    ptrdiff_t ldz, ldh, ldx;  /* row strides: of z; of x and dx; of everything else */
    ptrdiff_t back;           /* from a row of h, c or dy to that of the step before */
    double scale;             /* of the update, for cells that skip through time */
    void *z;                  /* (rows, panels, G, L) forward: pre-activations in, activations
                               * out; backward: activations in, d pre-activations out */
    const void *x;            /* the layer's input, for cells whose output mixes it in */
    const void *unit;         /* (n_units, ldh) per-unit weights: peepholes, IndRNN's u */
    const void *h_prev, *c_prev;
    void *h, *c, *y;          /* y where the output is not h */
    void *rh;                 /* the operand of a second stage */
    const void *dy;           /* from the loss and the layers above */
    void *dh, *dc;            /* in: carried back to this step; out: the part of what is carried
                               * further back that does not pass a matrix product, or 0 */
    void *drh;
    void *dx;                 /* out: the part that does not pass a matrix product */
} rnn_panel;

typedef void (*rnn_pointwise)(const rnn_panel *);

/* A matrix product into gate blocks [first, first + count), then a pointwise function. */
typedef struct rnn_stage {
    int first, count;
    rnn_pointwise forward, backward;
} rnn_stage;

/* A per-unit weight: it multiplies `state` ('h' or 'c') in gate `block`, at the previous
 * step or at this one. */
typedef struct rnn_unit {
    int block;
    char state;
    int previous;
} rnn_unit;

enum { RNN_MAX_BLOCKS = 4, RNN_MAX_UNITS = 3 };

typedef struct rnn_cell {
    const char *name;
    const char *blocks;       /* one letter per gate block, in panel order */
    const char *state;        /* the arrays carried from step to step, as the user sees them */
    int x_first, x_count;     /* the blocks that the input feeds */
    char fed;                 /* the state that the product of stage 0 multiplies; 0: none */
    char output;              /* 'h' or 'y' */
    int mixes_input;          /* x reaches the output directly: needs I == H */
    int enters;               /* the initial state passes through the pointwise functions */
    int n_stages;
    rnn_stage stage[2];       /* stage 1, if any, multiplies rh */
    int n_units;
    rnn_unit unit[RNN_MAX_UNITS];
} rnn_cell;

/* C[row][panel][block] = start[row][panel][block] + sum over k of A[row](k) W[panel](k)[block],
 * each element one chain of fused multiply-adds in ascending k. W holds one vector per block.
 * k runs over `depth` elements in each of `a_blocks` blocks, blocks outermost; A's element k of
 * a block is at (k / L) * a_panel + (k % L) * a_lane. */
typedef struct rnn_product {
    ptrdiff_t rows, panels, blocks;
    ptrdiff_t depth, a_blocks;
    const void *a;
    ptrdiff_t a_row, a_lane, a_panel, a_block;
    ptrdiff_t a_ahead;        /* from each element of A to one that is read later and fetched
                               * now, of two or more rows; 0: none */
    const void *w;
    ptrdiff_t w_panel, w_k;
    const void *start;
    ptrdiff_t start_row;
    void *c;
    ptrdiff_t c_row, c_panel; /* c_panel is start's panel stride too */
    const void *next;         /* of one row: weights that are fetched meanwhile; NULL: none */
    const struct rnn_product *more;   /* goes on with the sums: of the same rows, panels and
                               * blocks, and beginning with c; NULL: none */
} rnn_product;

/* A weight matrix of shape (count * H, K) as the user orders its row blocks:
 * row_block[b] is where gate block b of the span stands, or -1 where the user has none. */
typedef struct rnn_matrix {
    ptrdiff_t hidden, depth;  /* H, K */
    ptrdiff_t ld;             /* from row to row: K, or more where it is some of the columns */
    ptrdiff_t begin, end;     /* the units to move: all, or those of some panels */
    int count;
    int row_block[RNN_MAX_BLOCKS];
} rnn_matrix;

/* One step of an optimizer over n elements: see optimize.h. */
typedef struct rnn_update {
    ptrdiff_t n;
    void *w;
    const void *g;
    void *state[2];           /* SGD: momentum or NULL; RMSprop: mean of squares, momentum or
                               * NULL; Adam: both moments */
    double lr;                /* Adam: lr / (1 - beta1^t) */
    double decay;             /* how much of w is added to g; Adam: is taken off w */
    double beta1, beta2;      /* of the momentum or first moment, of the mean of squares */
    double root;              /* Adam: 1 / sqrt(1 - beta2^t) */
    double eps;
    int nesterov;
} rnn_update;

typedef struct rnn_kernels {
    const char *isa;
    ptrdiff_t itemsize, lanes;
    const rnn_cell *const *cells;   /* ends with NULL */
    void (*product)(const rnn_product *);
    /* panels[p * panel + k * row + b * L + lane] += w, and w = panels[...] */
    void (*to_panels)(const rnn_matrix *, const void *w, void *panels, ptrdiff_t panel,
                      ptrdiff_t row);
    void (*from_panels)(const rnn_matrix *, void *w, const void *panels, ptrdiff_t panel,
                        ptrdiff_t row);
    /* panels[q][b][unit][lane] = w, q counting panels of L columns of w */
    void (*transpose)(const rnn_matrix *, const void *w, void *panels);
    void (*add)(ptrdiff_t n, void *to, const void *from);
    void (*multiply)(ptrdiff_t n, void *to, const void *by);
    /* sums[i] += z[..., i], and again += the same where there are `again` */
    void (*column_sums)(ptrdiff_t rows, ptrdiff_t n, const void *z, ptrdiff_t ldz, void *sums,
                        void *again);
    void (*unit_gradient)(ptrdiff_t rows, ptrdiff_t panels, ptrdiff_t panel, const void *z,
                          ptrdiff_t ldz, const void *state, ptrdiff_t ldh, void *sums);
    /* of_x[row] += |x|^2, and of_sum[row] += |x + y|^2. With `copy`, which gets x, the first, and
     * the second too if there is y; without, the second alone, or where y is NULL the first. */
    void (*row_squares)(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t ld, const void *x, const void *y,
                        void *copy, double *of_x, double *of_sum);
    void (*blend)(ptrdiff_t rows, ptrdiff_t n, const void *a, ptrdiff_t lda, const void *z,
                  ptrdiff_t ldz, const double *weight, void *sum);
    ptrdiff_t (*omega_weights)(ptrdiff_t n, double *z, const double *d, double bound, int squared,
                               double *total);
    double (*sum_squares)(ptrdiff_t n, const void *x, double scale);
    double (*largest)(ptrdiff_t n, const void *x);
    void (*scale)(ptrdiff_t n, void *x, double factor);
    void (*clamp)(ptrdiff_t n, void *x, double limit);
    void (*sgd)(const rnn_update *);
    void (*rmsprop)(const rnn_update *);
    void (*adam)(const rnn_update *);
    unsigned (*enter)(void);        /* rnn_enter, rnn_leave, rnn_run_parts, rnn_wait */
    void (*leave)(unsigned mode);
    void (*run_parts)(void (*job)(void *context, int part, int parts), void *context,
                      int parts);
    void (*wait)(int parts);
    void (*sigmoid)(ptrdiff_t n, void *x);
    void (*tanh)(ptrdiff_t n, void *x);
} rnn_kernels;

/* The table for elements of `itemsize` bytes (4 or 8), or NULL where this build or this
 * processor has no such instruction set. */
const rnn_kernels *rnn_find_kernels(const char *isa, ptrdiff_t itemsize);

/* The names this build has, best first, ending with NULL; the best this processor can run. */
extern const char *const rnn_isa_names[];
const char *rnn_best_isa(void);

/* Run every part of a job, [0, parts), the first on the calling thread; or the whole of it as
 * part 0 of 1 where no other thread is to be had. What one part writes no other may touch until
 * both have waited. */
typedef void (*rnn_job)(void *context, int part, int parts);
void rnn_run_parts(rnn_job job, void *context, int parts);

/* Called by every part of a job: return when all of them have called. */
void rnn_wait(int parts);

/* Denormals count as zero between these two calls of one thread. */
unsigned rnn_enter(void);
void rnn_leave(unsigned mode);

#endif
