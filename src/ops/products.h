/* products.h: the products of the backward pass of linears, y = x W^T + b: dx = dy W, dW = dy^T x, db = sum of dy.
 * Plain functions over kernels: no bit depends on the instruction set, on the blocks chosen here, or on how a caller
 * deals rows, columns and panels to threads. Scratch: as many floats as the function beside says, 64-byte aligned.
 */
#ifndef PRODUCTS_H
#define PRODUCTS_H
#include "lanes.h"
#include "linear.h"

/* Operands in bf16. Numbers of dy, of x and of W are each the nearest bf16 then, and a chain goes by pairs of the letter
 * that is summed up: fma_flushed (kernels.h) of the odd number, then of the even one, as vdpbf16ps has it; a number that
 * is missing is 0 on both sides. Leaves are joined in f32. Pairs of o are 2j and 2j + 1, so leaves begin at even columns,
 * and end at such or at the last. Pairs of rows are 2j and 2j + 1 of a sequence, wherever these lie: RowPairs. */

/* dy [rows][o], `dy_stride` floats from row to row, and its weight [o][i]. leaf[l]: the columns o, maybe none, that go
 * to leaf l of a tree (graph/tree.h); NULL: all go to the one leaf of a tree without levels. pairs: dy in bf16 instead,
 * `dy_stride` pairs from row to row. */
typedef struct BackPair {
    const float *dy;
    int64_t dy_stride;
    const PackedWeight *weight;
    const Range *leaf;
    const Pair *pairs;
} BackPair;

/* y[t][i] = sum over pairs and o of dy[t][o] W[o][i]: the sum of a subtree, 2^level leaves from index << level on. A
 * leaf is one chain of fmaf from 0: its columns of pair 0 in order, then those of pair 1, and so on. Leaves without a
 * column are left out; the others add up in pairs, left + right. Without any, y is 0. */
typedef struct BackSum {
    const BackPair *pair;
    int pairs, level;
    int64_t index;
} BackSum;

/* Rows [row0, row1) and columns [i0, i1) of y, i0 a multiple of PANEL and i1 too, or the end. y: as dy, by the number
 * of row and column in all. Every call turns W anew, for about 500 rows at a time, so rows should be the last thing to
 * be dealt; six panels of columns are enough for a call, unless rows of dy are multiples of 2 KiB apart: those it
 * copies, and the more columns share the copies the better. */
void products_dx(const Kernels *k, const BackSum *sum, int64_t row0, int64_t row1, int64_t i0, int64_t i1, float *y,
                 int64_t y_stride, float *scratch);
int64_t products_dx_scratch(int levels);

/* Which rows of a list are pairs. Row r of it is row row[r] (NULL: r) of the step, the index[]-th of its sequence in
 * slot[]. A run of rows does not end within a pair. */
typedef struct RowPairs {
    const int32_t *row, *slot;
    const int64_t *index;
} RowPairs;
static inline bool pairs_joined(const RowPairs *p, int64_t r) { /* rows r and r + 1 */
    int64_t a = p->row ? p->row[r] : r, b = p->row ? p->row[r + 1] : r + 1;
    return p->index[a] % 2 == 0 && p->index[b] == p->index[a] + 1 && p->slot[a] == p->slot[b];
}
static inline bool pairs_odd(const RowPairs *p, int64_t r) { return p->index[p->row ? p->row[r] : r] % 2 != 0; }

/* G[o][i] = sum over rows of dy[t][o] x[t][i], in panels of 16 o as PACKED_F32 has them: [panel][i][16], lanes past
 * `outputs` 0. Rows are summed as plan says (ops/lanes.h), onto slots that hold a whole G each: what is held and not
 * changed is not read, and only what is kept and changed is written. */
typedef struct WeightGrad {
    const float *dy, *x; /* [row][outputs], [row][inputs], strides in floats */
    int64_t dy_stride, x_stride, outputs, inputs;
    const LanePlan *plan;
    const RowPairs *pairs; /* NULL: operands in f32 */
    float *slot[LANE_SLOTS];
} WeightGrad;

/* Panels [p0, p1) and columns [i0, i1). Every call copies its part of dy and x: of 24 panels and 288 columns on that
 * takes a twentieth of the time. */
void products_dw(const Kernels *k, const WeightGrad *g, int64_t p0, int64_t p1, int64_t i0, int64_t i1,
                 float *scratch);
int64_t products_dw_scratch(void);

/* The same of a vector: slots [columns]. */
typedef struct VectorGrad {
    const float *dy, *x, *r; /* x and r: of products_norm_sum */
    int64_t dy_stride, x_stride;
    const LanePlan *plan;
    float *slot[LANE_SLOTS];
} VectorGrad;

/* Columns [i0, i1) of the sum of dy[t][i], one addition a row: the gradient of a bias. */
void products_sum(const Kernels *k, const VectorGrad *g, int64_t i0, int64_t i1, float *scratch);
/* Of dy[t][i] * (x[t][i] * r[t]), an fmaf a row: the gradient of a norm's gain, r[t] what rms_norm_grad returned. */
void products_norm_sum(const Kernels *k, const VectorGrad *g, int64_t i0, int64_t i1, float *scratch);
int64_t products_sum_scratch(void);
#endif
