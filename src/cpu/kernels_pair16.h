/* kernels_pair16.h: round and dot_pairs of ops/kernels.h, and those of training in bf16 (kernels_train16.h), written
 * once over v16 (floats) and pair16 (sixteen pairs of bf16); simd16_<isa>.h has them. Included after kernels_simd16.h or
 * alone by an instruction set that only makes these faster. Beyond kernels_simd16.h's list:
 *   pair16_load(p): 64 bytes, a pair per lane    pair16_all(p): the pair at p in every lane
 *   v16_pair(w, x, sum): fma_flushed of the odd numbers, then of the even ones
 *   v16_put_bf16(out, x): 16 nearest bf16, as f32_to_bf16
 *   v16_put_pairs(out, x, y): the same of x in the low halves of 16 pairs, of y in the high ones
 *   v16_flush(): from now on v16_pair flushes; returns what v16_flush_end takes
 *   v16_pin(x): x, which the compiler knows nothing of: computed before what follows in the code
 *   V16_PAIR_SUMS: sums that fit the registers;  V16_PAIR_ROWS: rows of two panels that fit;  V16_PAIR_MOST: rows of
 *   one panel;  V16_PAIR_FETCH: rows from which on sums take longer than loads, and fetching ahead gains;
 *   V16_PAIR_LONE: panels of one row: one stream from memory is the fastest, where a pair's product takes no longer */
#ifndef KERNELS_PAIR16_H
#define KERNELS_PAIR16_H
#include "fold16.h"

static void round_pairs(const float *x, int64_t n, Pair *out) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v16_put_bf16(out + i / 2, v16_load(x + i));
    for (; i < n; i += 2) out[i / 2] = f32_to_bf16(x[i]) | (Pair)(i + 1 < n ? f32_to_bf16(x[i + 1]) : 0) << 16;
}

/* ---- A block: some rows against some panels, sums in registers --------------------------------------------------- */

enum { PAIR_PANELS_MOST = 4, PAIR_FETCH_AHEAD = 2048 };

/* `n` pairs. Rows are reached from every third one: an address is a register and at most twice the step. */
INLINE void pair_block(int panels, int rows, const uint8_t *panel, int64_t step, const Pair *x, int64_t x_step,
                       int64_t n, float *acc, int64_t acc_step) {
    v16 sum[PAIR_PANELS_MOST][V16_PAIR_MOST];
    const Pair *third[(V16_PAIR_MOST + 2) / 3];
    UNROLL for (int r = 0; r < rows; r += 3) third[r / 3] = x + r * x_step;
    UNROLL for (int p = 0; p < panels; p++) UNROLL for (int r = 0; r < rows; r++) sum[p][r] =
        v16_load(acc + p * acc_step + r * PANEL);
    for (int64_t i = 0; i < n; i++, panel += 4 * PANEL) {
        pair16 w[PAIR_PANELS_MOST];
        UNROLL for (int p = 0; p < panels; p++) {
            w[p] = pair16_load(panel + p * step);
            if (rows >= V16_PAIR_FETCH) __builtin_prefetch(panel + p * step + PAIR_FETCH_AHEAD);
        }
        UNROLL for (int r = 0; r < rows; r++) {
            pair16 xs = pair16_all(third[r / 3] + r % 3 * x_step + i);
            UNROLL for (int p = 0; p < panels; p++) sum[p][r] = v16_pair(w[p], xs, sum[p][r]);
        }
    }
    UNROLL for (int p = 0; p < panels; p++) UNROLL for (int r = 0; r < rows; r++)
        v16_store(acc + p * acc_step + r * PANEL, sum[p][r]);
}

/* Panels worked on together with so many rows. */
#define PAIR_TOGETHER(rows) \
    ((rows) == 1 ? V16_PAIR_LONE : V16_PAIR_SUMS / (rows) >= 4 ? 4 : V16_PAIR_SUMS / (rows) >= 2 ? 2 : 1)

typedef struct PairJob {
    const uint8_t *panel;
    int64_t step;
    int panels;
    const Pair *x;
    int64_t x_step, rows, n;
    float *acc; /* [panels][rows][16] */
} PairJob;

INLINE void pair_rows(int rows, const PairJob *j, int64_t r) {
    const int together = PAIR_TOGETHER(rows);
    const int64_t acc_step = j->rows * PANEL;
    const Pair *x = j->x + r * j->x_step;
    float *acc = j->acc + r * PANEL;
    int p = 0;
    for (; p + together <= j->panels; p += together)
        pair_block(together, rows, j->panel + p * j->step, j->step, x, j->x_step, j->n, acc + p * acc_step, acc_step);
    for (; p < j->panels; p++)
        pair_block(1, rows, j->panel + p * j->step, j->step, x, j->x_step, j->n, acc + p * acc_step, acc_step);
}

/* Apart from flushing, which a compiler does not see, so that nothing may move out of here. */
static __attribute__((noinline)) void pair_all(const PairJob *j) {
    for (int64_t r = 0, n; r < j->rows; r += n) {
        int64_t left = j->rows - r;
        n = j->rows <= V16_PAIR_MOST    ? j->rows
            : left <= V16_PAIR_ROWS     ? left
            : left >= 2 * V16_PAIR_ROWS ? V16_PAIR_ROWS
                                        : (left + 1) / 2;
        switch (n) {
#define PAIR_CASE(n)                                                                                                   \
    case n:                                                                                                            \
        if (n <= V16_PAIR_MOST) pair_rows(n <= V16_PAIR_MOST ? n : 1, j, r);                                           \
        break
            PAIR_CASE(1);
            PAIR_CASE(2);
            PAIR_CASE(3);
            PAIR_CASE(4);
            PAIR_CASE(5);
            PAIR_CASE(6);
            PAIR_CASE(7);
            PAIR_CASE(8);
            PAIR_CASE(9);
            PAIR_CASE(10);
            PAIR_CASE(11);
            PAIR_CASE(12);
            PAIR_CASE(13);
            PAIR_CASE(14);
            PAIR_CASE(15);
            PAIR_CASE(16);
        }
    }
}

/* All rows go over a few panels before the next, so that weights come from far away once. Sums of leaves are added
 * without flushing. */
static void dot_pairs(const void *panel, int64_t panel_step, int panels, const Leaves *leaves, const Pair *x,
                      int64_t x_step, int64_t rows, float *acc) {
    _Alignas(64) FoldStack stack;
    const int wide = PAIR_TOGETHER(rows < V16_PAIR_MOST ? (int)rows : V16_PAIR_ROWS);
    for (int p0 = 0; p0 < panels; p0 += wide) {
        int n = panels - p0 < wide ? panels - p0 : wide;
        Fold fold = {.acc = acc + p0 * rows * PANEL, .stack = &stack, .vectors = n * (int)rows};
        for (int l = 0; l < leaves->count; l++) {
            int64_t k0 = leaves->first[l], k1 = leaves->last[l];
            PairJob job = {.panel = (const uint8_t *)panel + p0 * panel_step + k0 * 2 * PANEL,
                           .step = panel_step,
                           .panels = n,
                           .x = x + k0 / 2,
                           .x_step = x_step,
                           .rows = rows,
                           .n = (k1 - k0 + 1) / 2,
                           .acc = fold_next(&fold, leaves, l)};
            unsigned before = v16_flush();
            pair_all(&job);
            v16_flush_end(before);
            fold_add(&fold, leaves->adds[l]);
        }
    }
}

#include "kernels_train16.h"
#define KERNELS_PAIR16 .round = round_pairs, .dot_pairs = dot_pairs, KERNELS_TRAIN16
#endif
