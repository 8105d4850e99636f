/* kernels_train16.h: pair_up, sum_pair_parts and outer_pairs of ops/kernels.h; kernels_pair16.h, which includes it, has
 * what they are written over. */
#ifndef KERNELS_TRAIN16_H
#define KERNELS_TRAIN16_H

/* Rows lie in pages of their own, where nothing is fetched ahead: so a few rows ahead are asked for. */
enum { PAIR_UP_AHEAD = 4 };

INLINE void pair_up_row(const float *even, const float *odd, int64_t columns, int64_t ahead, Pair *out,
                        int64_t panel_step) {
    int64_t c = 0;
    v16 zero = v16_all(0);
    for (; c + 16 <= columns; c += 16, out += panel_step) {
        if (ahead && even) __builtin_prefetch(even + ahead + c);
        if (ahead && odd) __builtin_prefetch(odd + ahead + c);
        v16_put_pairs(out, even ? v16_load(even + c) : zero, odd ? v16_load(odd + c) : zero);
    }
    if (c < columns)
        v16_put_pairs(out, even ? v16_load_part(even + c, columns - c) : zero,
                      odd ? v16_load_part(odd + c, columns - c) : zero);
}

static void pair_up(const float *even, const float *odd, int64_t in_step, int64_t rows, int64_t columns, Pair *out,
                    int64_t out_step, int64_t panel_step) {
    for (int64_t r = 0; r < rows; r++, out += out_step) {
        int64_t ahead = r + PAIR_UP_AHEAD < rows ? PAIR_UP_AHEAD * in_step : 0;
        pair_up_row(even ? even + r * in_step : NULL, odd ? odd + r * in_step : NULL, columns, ahead, out, panel_step);
    }
}

/* ---- Sums in registers: some rows against up to two panels -------------------------------------------------------- */

typedef v16 PairSums[V16_PAIR_ROWS][2];

/* Between flushing and not flushing nothing may move. */
INLINE void sums_pin(int rows, int vectors, PairSums sum) {
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = v16_pin(sum[r][v]);
}

/* Rows are reached from every third one, as in pair_block. */
INLINE void pair_part_sums(int rows, int vectors, const SumPart *part, const Pair *w, int64_t step, int64_t r0,
                           PairSums sum) {
    const Pair *third[(V16_PAIR_ROWS + 2) / 3];
    const int64_t x_stride = part->x_stride;
    sums_pin(rows, vectors, sum);
    unsigned before = v16_flush();
    sums_pin(rows, vectors, sum);
    UNROLL for (int r = 0; r < rows; r += 3) third[r / 3] = (const Pair *)part->x + (r0 + r) * x_stride;
    for (int64_t k = part->count; k > 0; k--, w += PANEL) {
        pair16 column[2];
        UNROLL for (int v = 0; v < vectors; v++) column[v] = pair16_load((const uint8_t *)(w + v * step));
        UNROLL for (int r = 0; r < rows; r++) {
            pair16 xs = pair16_all(third[r / 3] + r % 3 * x_stride);
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = v16_pair(column[v], xs, sum[r][v]);
        }
        UNROLL for (int r = 0; r < rows; r += 3) {
            third[r / 3]++;
            __asm__("" : "+r"(third[r / 3]));
        }
    }
    sums_pin(rows, vectors, sum);
    v16_flush_end(before);
    sums_pin(rows, vectors, sum);
}

INLINE void sums_load(int rows, int vectors, const float *acc, int64_t acc_step, PairSums sum) {
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = v16_load(acc + v * acc_step + r * PANEL);
}
INLINE void sums_store(int rows, int vectors, float *acc, int64_t acc_step, PairSums sum) {
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++) v16_store(acc + v * acc_step + r * PANEL, sum[r][v]);
}
/* Sums become those at acc + themselves. */
INLINE void sums_join(int rows, int vectors, const float *acc, int64_t acc_step, PairSums sum) {
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++)
            sum[r][v] = v16_add(v16_load(acc + v * acc_step + r * PANEL), sum[r][v]);
}
INLINE void sums_zero(int rows, int vectors, PairSums sum) {
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = v16_all(0);
}

typedef struct PairParts {
    const Pair *w;
    const SumParts *parts;
    int64_t step, rows;
    float *acc;
} PairParts;

/* Numbers that wait lie in the level 1 cache, that at hand in registers. */
INLINE void pair_parts_block(int rows, int vectors, const PairParts *t, int64_t r0, int64_t v0) {
    enum { ONE = V16_PAIR_ROWS * PANEL };
    _Alignas(64) float stack[PARTS_DEPTH][2 * ONE];
    PairSums sum;
    const int64_t acc_step = t->rows * PANEL;
    float *acc = t->acc + v0 * acc_step + r0 * PANEL;
    const Pair *w = t->w + v0 * t->step;
    int top = 0;
    if (t->parts->part[0].begins) sums_zero(rows, vectors, sum);
    else sums_load(rows, vectors, acc, acc_step, sum);
    for (int n = 0; n < t->parts->count; n++) {
        const SumPart *part = &t->parts->part[n];
        if (n && part->begins) {
            sums_store(rows, vectors, stack[top++], ONE, sum);
            sums_zero(rows, vectors, sum);
        }
        pair_part_sums(rows, vectors, part, w, t->step, r0, sum);
        w += part->count * PANEL;
        for (int a = part->adds; a > 0; a--) sums_join(rows, vectors, stack[--top], ONE, sum);
    }
    for (int j = t->parts->joins; j > 0; j--) {
        acc -= t->parts->join_step;
        sums_join(rows, vectors, acc, acc_step, sum);
    }
    sums_store(rows, vectors, acc, acc_step, sum);
}

INLINE void pair_parts_rows(int rows, const PairParts *t, int64_t r0, int64_t v0, int64_t v1) {
    const int together = V16_PAIR_SUMS / rows >= 2 ? 2 : 1;
    int64_t v = v0;
    for (; v + together <= v1; v += together) pair_parts_block(rows, together, t, r0, v);
    for (; v < v1; v++) pair_parts_block(rows, 1, t, r0, v);
}

/* Blocks of the most rows, the last two nearly equal, over two panels before the next: as tile_all. */
#define EACH_PAIR_ROWS(function, t, panels)                                                                            \
    for (int64_t v0 = 0; v0 < (panels); v0 += 2)                                                                       \
        for (int64_t r = 0, n, v1 = v0 + 2 < (panels) ? v0 + 2 : (panels); r < (t)->rows; r += n) {                    \
            int64_t left = (t)->rows - r;                                                                              \
            n = left <= V16_PAIR_ROWS ? left : left >= 2 * V16_PAIR_ROWS ? V16_PAIR_ROWS : (left + 1) / 2;             \
            switch (n) {                                                                                               \
                PAIR_ROWS_OF(function, t, 1);                                                                          \
                PAIR_ROWS_OF(function, t, 2);                                                                          \
                PAIR_ROWS_OF(function, t, 3);                                                                          \
                PAIR_ROWS_OF(function, t, 4);                                                                          \
                PAIR_ROWS_OF(function, t, 5);                                                                          \
                PAIR_ROWS_OF(function, t, 6);                                                                          \
                PAIR_ROWS_OF(function, t, 7);                                                                          \
                PAIR_ROWS_OF(function, t, 8);                                                                          \
                PAIR_ROWS_OF(function, t, 9);                                                                          \
                PAIR_ROWS_OF(function, t, 10);                                                                         \
                PAIR_ROWS_OF(function, t, 11);                                                                         \
                PAIR_ROWS_OF(function, t, 12);                                                                         \
            }                                                                                                          \
        }
#define PAIR_ROWS_OF(function, t, n)                                                                                   \
    case n:                                                                                                            \
        if (n <= V16_PAIR_ROWS) function(n <= V16_PAIR_ROWS ? n : 1, t, r, v0, v1);                                    \
        break

static void sum_pair_parts(const Pair *w, int64_t step, int panels, const SumParts *parts, int64_t rows, float *acc) {
    PairParts t = {.w = w, .parts = parts, .step = step, .rows = rows, .acc = acc};
    EACH_PAIR_ROWS(pair_parts_rows, &t, panels)
}

typedef struct PairOuter {
    const Pair *w, *x;
    int64_t step, count, x_step, rows;
    float *acc;
    int64_t acc_step;
} PairOuter;

INLINE void pair_outer_block(int rows, int vectors, const PairOuter *t, int64_t r0, int64_t v0) {
    PairSums sum;
    const int64_t step = t->step, x_step = t->x_step;
    float *acc = t->acc + v0 * t->acc_step + r0 * PANEL;
    const Pair *w = t->w + v0 * step, *x = t->x + r0;
    sums_load(rows, vectors, acc, t->acc_step, sum);
    for (int64_t k = t->count; k > 0; k--, w += PANEL, x += x_step) {
        pair16 column[2];
        UNROLL for (int v = 0; v < vectors; v++) column[v] = pair16_load((const uint8_t *)(w + v * step));
        UNROLL for (int r = 0; r < rows; r++) {
            pair16 xs = pair16_all(x + r);
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = v16_pair(column[v], xs, sum[r][v]);
        }
    }
    sums_store(rows, vectors, acc, t->acc_step, sum);
}

INLINE void pair_outer_rows(int rows, const PairOuter *t, int64_t r0, int64_t v0, int64_t v1) {
    const int together = V16_PAIR_SUMS / rows >= 2 ? 2 : 1;
    int64_t v = v0;
    for (; v + together <= v1; v += together) pair_outer_block(rows, together, t, r0, v);
    for (; v < v1; v++) pair_outer_block(rows, 1, t, r0, v);
}

/* Apart from flushing, as pair_all. */
static __attribute__((noinline)) void pair_outer_all(const PairOuter *t, int64_t panels) {
    EACH_PAIR_ROWS(pair_outer_rows, t, panels)
}

static void outer_pairs(const Pair *w, int64_t step, int panels, int64_t count, const Pair *x, int64_t x_step,
                        int64_t rows, float *acc, int64_t acc_step) {
    PairOuter t = {.w = w, .x = x, .step = step, .count = count, .x_step = x_step, .rows = rows, .acc = acc,
                   .acc_step = acc_step};
    unsigned before = v16_flush();
    pair_outer_all(&t, panels);
    v16_flush_end(before);
}

#define KERNELS_TRAIN16 .pair_up = pair_up, .sum_pair_parts = sum_pair_parts, .outer_pairs = outer_pairs,
#endif
