"""The seam between the two matrix engines: products over the same operands.

A native product may cover any rectangle of rows and panels; a BLAS product covers all panels.
"""

from libc.string cimport memcpy

from rnncore.engine.types cimport Blas, Layer, Matrix, rnn_product


cdef inline void *at(const void *base, Py_ssize_t elements, const Layer *layer) noexcept nogil:
    """The address of an element."""
    return <char *> base + elements * layer.itemsize


cdef inline void gemm(const Layer *layer, char ta, char tb, Py_ssize_t m, Py_ssize_t n,
                      Py_ssize_t k, const void *a, Py_ssize_t lda, const void *b,
                      Py_ssize_t ldb, void *c, Py_ssize_t ldc) noexcept nogil:
    """c (m, n) += op(a) op(b), row-major. BLAS is column-major, where a row-major matrix is its
    transpose: (a b)' = b' a', so the operands go in reverse order."""
    cdef int rows = <int> m, columns = <int> n, inner = <int> k
    cdef int a_stride = <int> lda, b_stride = <int> ldb, c_stride = <int> ldc
    cdef float one = 1
    cdef double one_ = 1
    if m == 0 or n == 0 or k == 0:
        return
    if layer.itemsize == sizeof(float):
        layer.blas.sgemm(&tb, &ta, &columns, &rows, &inner, &one, <float *> b, &b_stride,
                         <float *> a, &a_stride, &one, <float *> c, &c_stride)
    else:
        layer.blas.dgemm(&tb, &ta, &columns, &rows, &inner, &one_, <double *> b, &b_stride,
                         <double *> a, &a_stride, &one_, <double *> c, &c_stride)


cdef inline void copy_rows(const Layer *layer, Py_ssize_t rows, Py_ssize_t n, const void *start,
                           Py_ssize_t start_row, void *c, Py_ssize_t ldc) noexcept nogil:
    cdef Py_ssize_t row
    if start != c:
        for row in range(rows):
            memcpy(at(c, row * ldc, layer), at(start, row * start_row, layer),
                   n * layer.itemsize)


cdef inline rnn_product forward_operands(const Layer *layer, const Matrix *w, Py_ssize_t rows,
                                         Py_ssize_t panel, Py_ssize_t panels, const void *a,
                                         Py_ssize_t lda, const void *start,
                                         Py_ssize_t start_row, void *z) noexcept nogil:
    """What the native kernel takes for the following."""
    cdef rnn_product p
    cdef Py_ssize_t width = layer.blocks * layer.lanes
    cdef Py_ssize_t skip = panel * width + w.first * layer.lanes
    p.rows, p.panels, p.blocks = rows, panels, w.shape.count
    p.depth, p.a_blocks = w.shape.depth, 1
    p.a, p.a_row, p.a_lane, p.a_panel, p.a_block = a, lda, 1, layer.lanes, 0
    p.a_ahead = 0
    p.w_k = w.shape.count * layer.lanes
    p.w_panel = w.shape.depth * p.w_k
    p.w = at(w.forward, panel * p.w_panel, layer)
    p.start, p.start_row = at(start, skip, layer), start_row
    p.c, p.c_row, p.c_panel = at(z, skip, layer), layer.ldz, width
    p.next, p.more = NULL, NULL
    return p


cdef inline void forward_product(const Layer *layer, const Matrix *w, Py_ssize_t rows,
                                 Py_ssize_t panel, Py_ssize_t panels, const void *a,
                                 Py_ssize_t lda, const void *start, Py_ssize_t start_row,
                                 void *z) noexcept nogil:
    """z[rows, panels] = start + a W', in the blocks that W feeds. `start` and `z` point to
    panel 0; all blocks are copied where they differ."""
    cdef rnn_product p
    cdef Py_ssize_t width = layer.blocks * layer.lanes, skip = panel * width
    if layer.blas != NULL or (start != z and w.shape.count < layer.blocks):
        copy_rows(layer, rows, panels * width, at(start, skip, layer), start_row,
                  at(z, skip, layer), layer.ldz)
        start, start_row = z, layer.ldz
    if layer.blas != NULL:
        gemm(layer, c'N', c'N', rows, layer.panels * width, w.shape.depth, a, lda,
             w.dense, layer.ldz, z, layer.ldz)
        return
    p = forward_operands(layer, w, rows, panel, panels, a, lda, start, start_row, z)
    layer.kernels.product(&p)


cdef inline void backward_product(const Layer *layer, const Matrix *w, Py_ssize_t rows,
                                  Py_ssize_t panel, Py_ssize_t panels, const void *dz,
                                  const void *start, Py_ssize_t start_row, void *c,
                                  Py_ssize_t ldc) noexcept nogil:
    """c[rows, panels of K] = start + dz W over the blocks that W feeds, blocks outermost.
    `start` and `c` point to panel 0."""
    cdef rnn_product p
    cdef Py_ssize_t skip = panel * layer.lanes
    if layer.blas != NULL:
        copy_rows(layer, rows, w.shape.depth, start, start_row, c, ldc)
        gemm(layer, c'N', c'T', rows, w.shape.depth, layer.panels * layer.blocks * layer.lanes,
             dz, layer.ldz, w.dense, layer.ldz, c, ldc)
        return
    p.rows, p.panels, p.blocks = rows, panels, 1
    p.depth, p.a_blocks = w.shape.hidden, w.shape.count
    p.a, p.a_row, p.a_lane = at(dz, w.first * layer.lanes, layer), layer.ldz, 1
    p.a_panel, p.a_block, p.a_ahead = layer.blocks * layer.lanes, layer.lanes, 0
    p.w_k = layer.lanes
    p.w_panel = w.shape.count * w.shape.hidden * layer.lanes
    p.w = at(w.backward, panel * p.w_panel, layer)
    p.start, p.start_row = at(start, skip, layer), start_row
    p.c, p.c_row, p.c_panel = at(c, skip, layer), ldc, layer.lanes
    p.next, p.more = NULL, NULL
    layer.kernels.product(&p)


cdef inline Py_ssize_t whole_columns(const Layer *layer, Py_ssize_t depth) noexcept nogil:
    """How many columns of a weight gradient `gradient_product` sums, which are whole vectors;
    a BLAS sums none without the others."""
    return depth // layer.lanes * layer.lanes if layer.blas == NULL else 0


cdef inline void gradient_product(const Layer *layer, const Matrix *w, Py_ssize_t columns,
                                  Py_ssize_t panel, Py_ssize_t panels, Py_ssize_t rows,
                                  const void *a, Py_ssize_t lda, const void *dz,
                                  void *grad) noexcept nogil:
    """grad[units of the panels, columns] += dz' a in the blocks that W feeds, over rows from
    last to first; grad (count * H, K) is where the user has it. `dz` points to panel 0. A row
    of the product is a unit, and dz of the next block is fetched beside that of this one."""
    cdef rnn_product p
    cdef Py_ssize_t i, block, width = layer.blocks * layer.lanes, row
    p.panels, p.blocks, p.depth, p.a_blocks = columns // layer.lanes, 1, rows, 1
    p.a_row, p.a_lane, p.a_panel, p.a_block = 1, -layer.ldz, -layer.ldz * layer.lanes, 0
    p.a_ahead = layer.lanes
    p.w, p.w_k, p.w_panel = at(a, (rows - 1) * lda, layer), -lda, layer.lanes
    p.start_row = p.c_row = w.shape.ld
    p.c_panel, p.next, p.more = layer.lanes, NULL, NULL
    for i in range(panel, panel + panels):
        p.rows = min(layer.lanes, layer.hidden - i * layer.lanes)
        for block in range(w.shape.count):
            row = w.shape.row_block[block] * layer.hidden + i * layer.lanes
            p.a = at(dz, (rows - 1) * layer.ldz + i * width + (w.first + block) * layer.lanes,
                     layer)
            p.start = p.c = at(grad, row * w.shape.ld, layer)
            layer.kernels.product(&p)


cdef inline void rest_product(const Layer *layer, const Matrix *w, Py_ssize_t columns,
                              Py_ssize_t panel, Py_ssize_t panels, Py_ssize_t rows,
                              const void *a, Py_ssize_t lda, const void *dz,
                              void *sums) noexcept nogil:
    """sums[column, panels] += a' dz for the first columns of `a`, otherwise as above. A row of
    the product is a column; `dz` and `sums` (columns, ldz) point to panel 0."""
    cdef rnn_product p
    cdef Py_ssize_t skip = panel * layer.blocks * layer.lanes + w.first * layer.lanes
    if layer.blas != NULL:
        gemm(layer, c'T', c'N', columns, layer.panels * layer.blocks * layer.lanes, rows,
             a, lda, dz, layer.ldz, sums, layer.ldz)
        return
    p.rows, p.panels, p.blocks = columns, panels, w.shape.count
    p.depth, p.a_blocks = rows, 1
    p.a, p.a_row, p.a_lane = at(a, (rows - 1) * lda, layer), 1, -lda
    p.a_panel, p.a_block, p.a_ahead = -lda * layer.lanes, 0, 0
    p.w = at(dz, (rows - 1) * layer.ldz + skip, layer)
    p.w_k, p.w_panel = -layer.ldz, layer.blocks * layer.lanes
    p.start = p.c = at(sums, skip, layer)
    p.start_row = p.c_row = layer.ldz
    p.c_panel, p.next, p.more = layer.blocks * layer.lanes, NULL, NULL
    layer.kernels.product(&p)
