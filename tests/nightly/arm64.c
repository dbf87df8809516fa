/* arm64.c - one hash per kernel, the same on every instruction set that fuses multiply-adds.
 *
 *   arm64 ISA      prints them for the named instruction set; 2 if it is not available here
 *
 * Numbers are drawn for (array, row, unit, block), in float32 so that both element types get
 * them, and results are hashed in that order: the width of a panel does not show. Lanes past
 * the last unit are 0 going in and are not looked at coming out. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "kernels.h"

enum { ROWS = 13, UNITS = 37, DEPTH = 23, WIDE = 64, SIZE = 1 << 16 };

static const rnn_kernels *kernels;
static ptrdiff_t lanes, panels;
static uint64_t hash;

/* One array, large enough for any operand below. */
typedef struct { double memory[SIZE] __attribute__((aligned(64))); } array;
static array z, x, unit, h_prev, c_prev, h, c, y, rh, dy, dh, dc, drh, dx, w, start;

static uint64_t mix(uint64_t i)   /* the finalizer of splitmix64, Steele, Lea & Flood (2014) */
{
    i = (i ^ (i >> 30)) * 0xbf58476d1ce4e5b9u;
    i = (i ^ (i >> 27)) * 0x94d049bb133111ebu;
    return i ^ (i >> 31);
}

static void set(array *a, ptrdiff_t i, double value)
{
    if (kernels->itemsize == 4)
        ((float *)a->memory)[i] = (float)value;
    else
        a->memory[i] = value;
}

static void look(const void *value)   /* FNV-1a; any NaN is one value */
{
    uint64_t bits = 0;
    const int single = kernels->itemsize == 4;
    const double number = single ? *(const float *)value : *(const double *)value;
    memcpy(&bits, value, kernels->itemsize);
    if (number != number)
        bits = 1;
    for (int byte = 0; byte < 8; byte++, bits >>= 8)
        hash = (hash ^ (bits & 255)) * 0x100000001b3u;
}

static const void *at(const array *a, ptrdiff_t i)
{
    return (const char *)a->memory + i * kernels->itemsize;
}

static ptrdiff_t place(ptrdiff_t row, ptrdiff_t j, ptrdiff_t block, ptrdiff_t blocks)
{
    return row * WIDE * blocks + (j / lanes * blocks + block) * lanes + j % lanes;
}

/* Draw (rows, units, blocks) in panel order; one block is plain rows. */
static void draw(array *a, uint64_t name, ptrdiff_t rows, ptrdiff_t blocks)
{
    memset(a, 0, sizeof *a);
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t j = 0; j < UNITS; j++)
            for (ptrdiff_t b = 0; b < blocks; b++) {
                const uint64_t bits = mix(((name * 4096 + row) * 4096 + j) * 16 + b + 1);
                const int64_t digits = (int64_t)(bits >> 40) - (1 << 23);
                set(a, place(row, j, b, blocks), (double)digits / (1 << 22));   /* in [-2, 2) */
            }
}

static void digest(const array *a, ptrdiff_t rows, ptrdiff_t blocks)
{
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t j = 0; j < UNITS; j++)
            for (ptrdiff_t b = 0; b < blocks; b++)
                look(at(a, place(row, j, b, blocks)));
}

static void report(const char *what, const char *name)
{
    printf("%d-bit %s %s %016llx\n", (int)kernels->itemsize * 8, what, name,
           (unsigned long long)hash);
    hash = 0xcbf29ce484222325u;
}

/* Every 2^16th bit pattern, or 2^48th: all exponents, infinities and NaN among them. */
static void activation(const char *name, void (*f)(ptrdiff_t, void *))
{
    for (ptrdiff_t i = 0; i < SIZE; i++) {
        const uint64_t wide = (uint64_t)i << 48 | mix(i) >> 16;
        const uint32_t narrow = (uint32_t)i << 16 | mix(i) >> 48;
        if (kernels->itemsize == 4)
            memcpy((float *)x.memory + i, &narrow, sizeof narrow);
        else
            memcpy(x.memory + i, &wide, sizeof wide);
    }
    f(SIZE, x.memory);
    for (ptrdiff_t i = 0; i < SIZE; i++)
        look(at(&x, i));
    report("activation", name);
}

static void cell(const rnn_cell *cell)
{
    const ptrdiff_t blocks = (ptrdiff_t)strlen(cell->blocks);
    const rnn_panel p = {
        .rows = ROWS, .panels = panels, .blocks = blocks, .ldz = WIDE * blocks, .ldh = WIDE,
        .ldx = WIDE, .scale = 0.7, .z = &z, .x = &x, .unit = &unit, .h_prev = &h_prev,
        .c_prev = &c_prev, .h = &h, .c = &c, .y = &y, .rh = &rh, .dy = &dy, .dh = &dh,
        .dc = &dc, .drh = &drh, .dx = &dx,
    };
    array *const given[] = {&x, &unit, &h_prev, &c_prev, &h, &c, &y, &rh, &dy, &dh, &dc,
                            &drh, &dx};
    draw(&z, 1, ROWS, blocks);
    for (unsigned i = 0; i < sizeof given / sizeof *given; i++)
        draw(given[i], 2 + i, ROWS, 1);
    for (int stage = 0; stage < cell->n_stages; stage++)
        cell->stage[stage].forward(&p);
    digest(&z, ROWS, blocks), digest(&h, ROWS, 1), digest(&c, ROWS, 1);
    digest(&y, ROWS, 1), digest(&rh, ROWS, 1);
    report("forward", cell->name);
    for (int stage = cell->n_stages - 1; stage >= 0; stage--)
        cell->stage[stage].backward(&p);
    digest(&z, ROWS, blocks), digest(&dh, ROWS, 1), digest(&dc, ROWS, 1);
    digest(&drh, ROWS, 1), digest(&dx, ROWS, 1);
    report("backward", cell->name);
}

/* w[panel][k][block][lane] for a forward product, whose k counts plain elements of a row of
 * `a`, or whose k goes through `a_blocks` blocks of panels; drawn for (k, unit, block). */
static void weights(ptrdiff_t depth, ptrdiff_t blocks)
{
    array *drawn = &start;
    draw(drawn, 90, depth, blocks);
    memset(&w, 0, sizeof w);
    for (ptrdiff_t k = 0; k < depth; k++)
        for (ptrdiff_t j = 0; j < UNITS; j++)
            for (ptrdiff_t b = 0; b < blocks; b++) {
                const ptrdiff_t panel = (j / lanes * depth + k) * blocks * lanes;
                memcpy((char *)w.memory + (panel + b * lanes + j % lanes) * kernels->itemsize,
                       at(drawn, place(k, j, b, blocks)), kernels->itemsize);
            }
}

static void products(ptrdiff_t rows, ptrdiff_t blocks)
{
    char name[32];
    rnn_product p = {
        .rows = rows, .panels = panels, .blocks = blocks, .depth = DEPTH, .a_blocks = 1,
        .a = &x, .a_row = WIDE, .a_lane = 1, .a_panel = lanes,
        .w = &w, .w_panel = DEPTH * blocks * lanes, .w_k = blocks * lanes,
        .start = &start, .start_row = WIDE * blocks,
        .c = &z, .c_row = WIDE * blocks, .c_panel = blocks * lanes,
    };
    draw(&x, 80, rows, 1);
    weights(DEPTH, blocks);
    draw(&start, 81, rows, blocks);
    memset(&z, 0, sizeof z);
    kernels->product(&p);
    digest(&z, rows, blocks);
    /* As in the backward pass: the operand's k goes through panels, a block at a time. */
    draw(&x, 82, rows, blocks);
    weights(blocks * UNITS, 1);
    draw(&start, 83, rows, 1);
    p.blocks = 1, p.depth = UNITS, p.a_blocks = blocks, p.a_row = WIDE * blocks;
    p.a_panel = blocks * lanes, p.a_block = lanes;
    p.w_panel = blocks * UNITS * lanes, p.w_k = lanes;
    p.start_row = p.c_row = WIDE, p.c_panel = lanes;
    kernels->product(&p);
    digest(&z, rows, 1);
    /* As for a weight gradient: both operands are rows, read from the last to the first. */
    draw(&x, 84, DEPTH, 1);
    draw(&dh, 85, DEPTH, blocks);
    draw(&start, 86, rows, blocks);
    p.blocks = blocks, p.depth = DEPTH, p.a_blocks = 1, p.a_row = 1, p.a_lane = -WIDE;
    p.a = at(&x, (DEPTH - 1) * WIDE), p.a_panel = -WIDE * lanes;
    p.w = at(&dh, (DEPTH - 1) * WIDE * blocks);
    p.w_k = -WIDE * blocks, p.w_panel = blocks * lanes;
    p.start_row = p.c_row = WIDE * blocks, p.c_panel = blocks * lanes;
    kernels->product(&p);
    digest(&z, rows, blocks);
    snprintf(name, sizeof name, "%dx%d", (int)rows, (int)blocks);
    report("product", name);
}

static void sums(void)
{
    draw(&x, 95, ROWS, 1);
    const double squares = kernels->sum_squares(ROWS * WIDE, &x, 0.3);
    printf("%d-bit squares %a\n", (int)kernels->itemsize * 8, squares);
    kernels->scale(ROWS * WIDE, &x, 0.7);
    digest(&x, ROWS, 1);
    report("scale", "0.7");
}

int main(int count, char **arguments)
{
    for (ptrdiff_t size = 4; size <= 8; size += 4) {
        kernels = count > 1 ? rnn_find_kernels(arguments[1], size) : NULL;
        if (!kernels)
            return 2;
        lanes = kernels->lanes, panels = (UNITS + lanes - 1) / lanes;
        hash = 0xcbf29ce484222325u;
        const unsigned mode = kernels->enter();
        activation("sigmoid", kernels->sigmoid);
        activation("tanh", kernels->tanh);
        for (const rnn_cell *const *each = kernels->cells; *each; each++)
            cell(*each);
        for (ptrdiff_t rows = 1; rows <= ROWS; rows++)
            for (ptrdiff_t blocks = 1; blocks <= 4; blocks++)
                products(rows, blocks);
        sums();
        kernels->leave(mode);
    }
    return 0;
}
