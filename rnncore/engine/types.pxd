"""The engine's structs: plain C below the line where the GIL is released.

The letters are those of kernels.h: T steps, B batch, N live rows, I inputs, H hidden units,
K the inner width of a matrix, G gate blocks, L lanes, D past steps that a state holds.
"""

cdef extern from "../kernels/kernels.h" nogil:
    ctypedef struct rnn_panel:
        Py_ssize_t rows, panels, blocks, ldz, ldh, ldx, back
        double scale
        void *z
        const void *x
        const void *unit
        const void *h_prev
        const void *c_prev
        void *h
        void *c
        void *y
        void *rh
        const void *dy
        void *dh
        void *dc
        void *drh
        void *dx

    ctypedef struct rnn_stage:
        int first, count
        void (*forward)(const rnn_panel *) noexcept nogil
        void (*backward)(const rnn_panel *) noexcept nogil

    ctypedef struct rnn_unit:
        int block
        char state
        int previous

    ctypedef struct rnn_cell:
        const char *name
        const char *blocks
        const char *state
        int x_first, x_count
        char fed, output
        int mixes_input, enters, n_stages
        rnn_stage stage[2]
        int n_units
        rnn_unit unit[3]

    ctypedef struct rnn_product:
        Py_ssize_t rows, panels, blocks, depth, a_blocks
        const void *a
        Py_ssize_t a_row, a_lane, a_panel, a_block, a_ahead
        const void *w
        Py_ssize_t w_panel, w_k
        const void *start
        Py_ssize_t start_row
        void *c
        Py_ssize_t c_row, c_panel
        const void *next
        const rnn_product *more

    ctypedef struct rnn_matrix:
        Py_ssize_t hidden, depth, ld, begin, end
        int count
        int row_block[4]

    ctypedef struct rnn_update:
        Py_ssize_t n
        void *w
        const void *g
        void *state[2]
        double lr, decay, beta1, beta2, root, eps
        int nesterov

    ctypedef struct rnn_kernels:
        const char *isa
        Py_ssize_t itemsize, lanes
        const rnn_cell *const *cells
        void (*product)(const rnn_product *) noexcept nogil
        void (*to_panels)(const rnn_matrix *, const void *w, void *panels, Py_ssize_t panel,
                          Py_ssize_t row) noexcept nogil
        void (*from_panels)(const rnn_matrix *, void *w, const void *panels, Py_ssize_t panel,
                            Py_ssize_t row) noexcept nogil
        void (*transpose)(const rnn_matrix *, const void *w, void *panels) noexcept nogil
        void (*add)(Py_ssize_t n, void *to, const void *by) noexcept nogil
        void (*multiply)(Py_ssize_t n, void *to, const void *by) noexcept nogil
        void (*column_sums)(Py_ssize_t rows, Py_ssize_t n, const void *z, Py_ssize_t ldz,
                            void *sums, void *again) noexcept nogil
        void (*unit_gradient)(Py_ssize_t rows, Py_ssize_t panels, Py_ssize_t panel,
                              const void *z, Py_ssize_t ldz, const void *state, Py_ssize_t ldh,
                              void *sums) noexcept nogil
        void (*row_squares)(Py_ssize_t rows, Py_ssize_t n, Py_ssize_t ld, const void *x,
                            const void *y, void *copy, double *of_x,
                            double *of_sum) noexcept nogil
        void (*blend)(Py_ssize_t rows, Py_ssize_t n, const void *a, Py_ssize_t lda,
                      const void *z, Py_ssize_t ldz, const double *weight,
                      void *sum) noexcept nogil
        Py_ssize_t (*omega_weights)(Py_ssize_t n, double *z, const double *d, double bound,
                                    int squared, double *total) noexcept nogil
        double (*sum_squares)(Py_ssize_t n, const void *x, double scale) noexcept nogil
        double (*largest)(Py_ssize_t n, const void *x) noexcept nogil
        void (*scale)(Py_ssize_t n, void *x, double factor) noexcept nogil
        void (*clamp)(Py_ssize_t n, void *x, double limit) noexcept nogil
        void (*sgd)(const rnn_update *) noexcept nogil
        void (*rmsprop)(const rnn_update *) noexcept nogil
        void (*adam)(const rnn_update *) noexcept nogil
        unsigned (*enter)() noexcept nogil
        void (*leave)(unsigned mode) noexcept nogil
        void (*run_parts)(void (*job)(void *, int, int) noexcept nogil, void *context,
                          int parts) noexcept nogil
        void (*wait)(int parts) noexcept nogil
        void (*sigmoid)(Py_ssize_t n, void *x) noexcept nogil
        void (*tanh)(Py_ssize_t n, void *x) noexcept nogil


# The BLAS functions the other engine calls; see blas.pyx.
ctypedef void (*sgemm_function)(char *, char *, int *, int *, int *, float *, float *, int *,
                                float *, int *, float *, float *, int *) noexcept nogil
ctypedef void (*dgemm_function)(char *, char *, int *, int *, int *, double *, double *, int *,
                                double *, int *, double *, double *, int *) noexcept nogil

cdef struct Blas:
    sgemm_function sgemm
    dgemm_function dgemm


cdef enum:
    MAX_TAPS = 16
    CHUNK = 128            # rows that are summed at a time: four vectors of each stay in L1
    BLEND = 64             # the same of rows that are blended before: all of each


# One weight matrix, (count * H, K) as the user stores it, packed for one engine.
cdef struct Matrix:
    rnn_matrix shape
    Py_ssize_t first          # the gate blocks [first, first + count) of a panel
    void *forward             # [panel][k][block][L]                native
    void *backward            # [panel of K][block][unit][L]        native
    void *dense               # (K, ldz), zero outside the span     blas


# What is fixed about one layer in one direction; immutable once packed.
cdef struct Layer:
    const rnn_kernels *kernels
    const rnn_cell *cell
    const Blas *blas          # NULL: the native engine
    Py_ssize_t itemsize, lanes, inputs, hidden, panels, blocks
    Py_ssize_t ldz, ldh, ldx  # padded row strides of Z, of the states, of the input
    Py_ssize_t n_taps, lag    # lag: how far back the elementwise state is read
    Py_ssize_t taps[MAX_TAPS]
    Py_ssize_t past           # D
    double scale
    Matrix x, reset           # reset: of a second stage
    Matrix h[MAX_TAPS]        # one per tap
    rnn_matrix bias_x, bias_h  # their rows in the user's order, as matrices of width 1
    void *bias                # (ldz)
    void *unit                # (n_units, ldh)
    void *zeros               # (max(ldh, ldx))


# One layer's parameters, or their gradients, where and as the user stores them; NULL where
# there is none.
cdef struct Arrays:
    void *weight_x
    void *weight_h[MAX_TAPS]
    void *bias_x
    void *bias_h
    void *unit


# Rows of features, contiguous each; strides in elements. A user's array (T, B, features), its
# rows in the user's order, or packed rows, `inner` from one to the next.
cdef struct View:
    void *data                # NULL: none
    Py_ssize_t outer, inner
    bint packed


# The shape of a batch of sequences, rows sorted by falling length. Step t has the rows
# [offset[t], offset[t] + live[t]) of every packed array. A run over some of the steps is a
# batch too, its arrays beginning at row `origin`.
cdef struct Batch:
    Py_ssize_t steps, size, past
    const Py_ssize_t *live    # (T)
    const Py_ssize_t *offset  # (T+1)
    Py_ssize_t origin
    const Py_ssize_t *length  # (B)
    const Py_ssize_t *place   # (B) where a row stands in the user's batch
    Py_ssize_t begun          # steps of the whole batch before this run
    int threads               # how many may work on it
    int companions            # how many of them may wait for one another
    bint interruptible        # whether Ctrl-C ends a pass: to look for it takes the GIL


# What is done about a gradient on its way back through time; see flow.pyx.
cdef struct Remedies:
    double threshold          # of per-step clipping; inf: none
    bint ratio                # |z_t| <= threshold |d_t|, in place of |z_t| <= threshold
    bint omega                # whether Omega is wanted, of which alpha is the weight
    double alpha, bound
    bint squared, mean


# What the remedies keep of one layer and direction; all arrays are empty without Omega but d,
# which the ratio needs as well. For each tap, row (t, b) of z and kept is what leaves step t.
cdef struct Flow:
    const Remedies *remedies  # NULL: none
    double *d                 # (N) |d_t|^2
    double *z                 # (taps, N) |z_t|^2; in the end the weights of `kept`
    void *kept                # (taps, N, ldh) of z_t what the recurrent matrix is to be given
    void *reset               # (N, ldh) the same for the matrix of a second stage
    double *size              # (B) scratch, as the following
    void *zeros               # (B, ldh)
    void *turned
    void *seen
    void *sums                # (threads, rows of a block, ldh)
    double value              # Omega
    Py_ssize_t live, terms    # how many of its terms are not left out, and how many there are


# What one layer and direction leaves for its backward pass, and what that pass needs. Arrays
# of states have D * B rows of initial state before those of the steps.
cdef struct Tape:
    View from_x, to_y         # whence rows of x are copied as steps need them, and where rows
    View from_dy, to_dx       # of y go as they come; the same on the way back. Or none.
    const void *x             # (N, its own stride ldx; the layer's where the cell mixes x in)
    Py_ssize_t ldx
    void *z                   # (N, ldz); cells that enter: (D*B + N, ldz)
    void *h
    void *c
    void *y                   # (D*B + N, ldh)
    void *rh                  # (N, ldh)
    void *dy                  # (D*B + N, ldh)
    void *dh
    void *dc                  # (lag, B, ldh) a ring over time
    void *drh                 # (B, ldh)
    void *dx                  # (N, the layer's ldx)
    void *sums                # gradients in panel order: two of biases, (ldz) each, and columns
    void *entering[2]         # (N, ldh) d_t by letter of the state; NULL: not recorded
    Flow flow
