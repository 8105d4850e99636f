/* kernels_simd16.h: every kernel of ops/kernels.h written once over v16, sixteen floats, one per lane of a panel.
 * kernels_avx2.c and kernels_avx512.c include simd16_<isa>.h, then this, and name the table. Same bits as the
 * reference: sums in its order, one fused multiply-add where it has fmaf, one rounded operation elsewhere.
 *
 * What simd16_<isa>.h gives (x, y, z: v16; every operation lane by lane and rounded once):
 *   v16_all(f)  v16_load(p)  v16_store(p, x)  v16_add  _sub  _mul  _div  v16_sqrt  v16_fma(x, y, z) = x y + z
 *   v16_max(x, y) = x > y ? x : y
 *   v16_load_part(p, n), v16_store_part(p, n, x): the first n lanes, rest zero
 *   v16_sum(x): (i, i+8), (i, i+4), (i, i+2), (0, 1)
 *   v16_top(x): the largest lane
 *   v16_transpose(in, in_step, out, out_step): out[j][i] = in[i][j] of 16 x 16 floats
 *   m16: a choice per lane.  v16_lanes(lo, hi): lo <= lane < hi     v16_less(x, y)  v16_nan(x)  v16_pick(m, yes, no)
 *   v16_equal(x, y): bit i set where lane i is equal
 *   v16_exponent(x, n): bits of x plus (bits of n) << 23
 *   v16_f16(p): 16 numbers in a row;  v16_byte(p, n): byte n of 16 words, times 256^n where n < 3
 *   v16_bf16_pair(p, &even, &odd): [16][2]
 *   v16_s8(p): 16 int8 in a row
 *   v16_bf16_split(p): 16 in a row, their lanes in any order that v16_unsplit puts right
 *   v16_u8(p): 16 uint8 in a row;  v16_put_u8(p, x): such of numbers from 0 to 255, to the nearest
 *   v16_topped(p, tops, shift, up, n, &even, &odd): bits shift .. shift + 3 and shift + 4 .. shift + 7 of 16 words,
 *   with n bits above them: of 16 words at tops from bit shift + up, and shift + up + n, up
 *   v16_nibbles(p, shift, &low, &high): bits shift .. shift + 3 of 16 words, and 16 times bits shift + 4 .. shift + 7
 *   V16_PANELS(rows, k decoded in one go): panels worked on together;  V16_APART_ROWS: see rows_step
 *   V16_ROWS_MOST: most rows whose sums stay in registers while weights are decoded, 4 or 8
 *   V16_TILE_ROWS: most rows of a tile;  V16_SUMS_F32, _BF16: most sums */
#include "../ops/codes8.h"
#include "../ops/kernels.h"
#include "exp16.h"
#include "fold16.h"
#include "heads16.h"
#include <math.h>
#include <string.h>

#define V16_APART(memory) __asm__ volatile("" : : "r"(memory) : "memory") /* what follows reads it again */

/* ---- Decoding weights -------------------------------------------------------------------------------------------- */

/* Of a group; unused by types without. scale[n] = scale / 2^m of the numbers that stand m bits up in their word when
 * they are taken out, so that they need not be shifted down; the product is the same exact number. */
typedef struct Scale { v16 scale[3], min; } Scale;

INLINE bool has_nibbles(PackedType type) { return packed_rows[type].bits == 4; }
INLINE bool has_tops(PackedType type) { return packed_rows[type].bits == 5 || packed_rows[type].bits == 6; }
INLINE int step_of(PackedType type) { /* k decoded in one go; with tops a part */
    return !packed_quantised(type) ? 2 : has_tops(type) ? packed_rows[type].part : 8;
}

/* Of part j. */
INLINE Scale scale_of(PackedType type, const uint8_t *head, int64_t j) {
    const int zero = packed_rows[type].zero;
    Scale s;
    v16 scale = packed_quantised(type) ? head_scale(type, head, j) : v16_all(0);
    s.min = !packed_quantised(type) ? scale : zero ? v16_mul(scale, v16_all(-(float)zero)) : head_min(type, head, j);
    s.scale[0] = scale;
    s.scale[1] = v16_mul(scale, v16_all(has_nibbles(type) ? 0x1p-4f : 0x1p-8f));
    s.scale[2] = v16_mul(scale, v16_all(0x1p-16f));
    return s;
}

/* Weights k + i and k + i + 1 of a part whose numbers begin at q; k a multiple of the step, i even and below it. Types
 * without scales are one endless part. */
INLINE void weights(PackedType type, const uint8_t *q, int64_t k, int i, const Scale *s, v16 *even, v16 *odd) {
    switch (type) {
        case PACKED_F32:
            *even = v16_load((const float *)q + (k + i) * PANEL);
            *odd = v16_load((const float *)q + (k + i + 1) * PANEL);
            return;
        case PACKED_BF16: v16_bf16_pair(q + (k + i) * 2 * PANEL, even, odd); return;
        case PACKED_F16:
            *even = v16_f16(q + (k + i) * 2 * PANEL);
            *odd = v16_f16(q + (k + i + 1) * 2 * PANEL);
            return;
        default: break;
    }
    if (has_tops(type)) {
        const int tops = packed_rows[type].bits - 4;
        v16_topped(q + (4 + i / 8 * 4) * PANEL, q, i % 8 / 2 * 8, i / 8 * 2 * tops, tops, even, odd);
        *even = v16_fma(*even, s->scale[0], s->min);
        *odd = v16_fma(*odd, s->scale[0], s->min);
        return;
    }
    if (has_nibbles(type)) {
        v16_nibbles(q + k / 2 * PANEL, 4 * i, even, odd);
        *even = v16_fma(*even, s->scale[0], s->min);
        *odd = v16_fma(*odd, s->scale[1], s->min);
        return;
    }
    const int up = i / 2 % 3; /* byte 3 is shifted down, or it would not fit the 24 bits of a float */
    *even = v16_fma(v16_byte(q + k * PANEL, i / 2), s->scale[up], s->min);
    *odd = v16_fma(v16_byte(q + (k + 4) * PANEL, i / 2), s->scale[up], s->min);
}

/* Weight k of a part. */
INLINE v16 weight(PackedType type, const uint8_t *q, int64_t k, const Scale *s) {
    const int n = step_of(type);
    v16 even, odd;
    if (type == PACKED_F32) return v16_load((const float *)q + k * PANEL);
    weights(type, q, k / n * n, (int)(k % n) & ~1, s, &even, &odd);
    return k & 1 ? odd : even;
}

/* Where a sum over k stands: a part of a group of a panel. Types without scales have one endless part. */
typedef struct Part {
    const uint8_t *head; /* of its group */
    int64_t j;           /* its number in the group */
    int64_t first, last; /* k inside the part: from first, the next part's is 0, to last */
    int64_t left;        /* k after it */
} Part;
INLINE const uint8_t *part_numbers(PackedType type, const Part *p) {
    return p->head + packed_rows[type].head_bytes + p->j * packed_bytes(type, packed_rows[type].part);
}
INLINE void part_take(PackedType type, Part *p, int64_t first, int64_t left) {
    const int64_t part = packed_quantised(type) ? packed_rows[type].part : first + left;
    p->first = first;
    p->last = left < part - first ? first + left : part;
    p->left = left - (p->last - first);
}
INLINE Part part_first(PackedType type, const uint8_t *panel, int64_t k0, int64_t k1) {
    const PackedRow *packed = &packed_rows[type];
    Part p = {.head = panel};
    if (packed_quantised(type)) {
        p.head += k0 / packed->group * packed_group_bytes(type);
        p.j = k0 % packed->group / packed->part;
        part_take(type, &p, k0 % packed->part, k1 - k0);
    } else {
        part_take(type, &p, k0, k1 - k0);
    }
    return p;
}
INLINE void part_next(PackedType type, Part *p) {
    if (++p->j == packed_rows[type].group / packed_rows[type].part) {
        p->j = 0;
        p->head += packed_group_bytes(type);
    }
    part_take(type, p, 0, p->left);
}

INLINE void unpack_of(PackedType type, const uint8_t *panel, int64_t k0, int64_t k1, float *w) {
    const int n = step_of(type);
    for (Part p = part_first(type, panel, k0, k1); p.first < p.last; part_next(type, &p)) {
        const uint8_t *q = part_numbers(type, &p);
        int64_t k = p.first;
        Scale s = scale_of(type, p.head, p.j);
        for (; k % n && k < p.last; k++, w += PANEL) v16_store(w, weight(type, q, k, &s));
        for (; k + n <= p.last; k += n, w += n * PANEL)
            UNROLL for (int i = 0; i < n; i += 2) {
                v16 even, odd;
                weights(type, q, k, i, &s, &even, &odd);
                v16_store(w + i * PANEL, even);
                v16_store(w + (i + 1) * PANEL, odd);
            }
        for (; k < p.last; k++, w += PANEL) v16_store(w, weight(type, q, k, &s));
    }
}

/* ---- Tiles: rows of x times columns of w, sums in registers ------------------------------------------------------ */

/* out[r][v][lane] (+)= sum over k of w[k][v][lane] x[r][k]; w: floats, bf16 or int8 by `type`, w_step from one k to the
 * next, v_step from one v to the next, out_step in out. `fresh`: sums start at zero; only floats may start at out.
 * `ahead`: while w is read, as many bytes are asked for that far behind it; 0: none. */
typedef struct Tile {
    const void *w;
    int64_t w_step, v_step, count;
    const float *x;
    int64_t x_stride;
    float *out;
    int64_t out_stride, out_step, ahead;
    bool fresh;
} Tile;

/* Lanes of bf16 come in the order that is cheapest to widen, and so stay until the end of a tile. */
INLINE v16 cached(CacheType type, const void *w, int64_t i) {
    if (type == CACHE_Q8) return v16_s8((const int8_t *)w + i);
    return type == CACHE_F32 ? v16_load((const float *)w + i) : v16_bf16_split((const uint16_t *)w + i);
}

INLINE const void *cache_from(CacheType type, const void *cache, int64_t i) {
    if (type == CACHE_Q8) return (const int8_t *)cache + i;
    return type == CACHE_F32 ? (const void *)((const float *)cache + i) : (const void *)((const uint16_t *)cache + i);
}

/* Rows are reached from every third one, as in kernels_pair16.h: with a pointer for every row the compiler runs out of
 * registers and keeps some of them in vectors (a tenth of 12 rows' time with AVX-512). */
INLINE void tile_block(CacheType type, int rows, int vectors, const Tile *t, int64_t r0, int64_t v0) {
    v16 sum[V16_TILE_ROWS][4];
    const float *third[(V16_TILE_ROWS + 2) / 3];
    float *out = t->out + r0 * t->out_stride + v0 * t->out_step;
    int64_t at = v0 * t->v_step, w_step = t->w_step, v_step = t->v_step, x_stride = t->x_stride, count = t->count;
    const void *w = t->w;
    const int64_t ahead = r0 == 0 ? t->ahead : 0;
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++)
            sum[r][v] = type != CACHE_F32 || t->fresh ? v16_all(0)
                                                      : v16_load(out + r * t->out_stride + v * t->out_step);
    UNROLL for (int r = 0; r < rows; r += 3) third[r / 3] = t->x + (r0 + r) * x_stride;
    for (int64_t k = 0; k < count; k++, at += w_step) {
        v16 column[4];
        UNROLL for (int v = 0; v < vectors; v++) column[v] = cached(type, w, at + v * v_step);
        UNROLL for (int v = 0; ahead && v < vectors; v++)
            __builtin_prefetch((const uint8_t *)cache_from(type, w, at + v * v_step) + ahead, 0, 2);
        UNROLL for (int r = 0; r < rows; r++) {
            v16 xs = v16_all(third[r / 3][r % 3 * x_stride]);
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = v16_fma(column[v], xs, sum[r][v]);
        }
        UNROLL for (int r = 0; r < rows; r += 3) {
            third[r / 3]++;
            __asm__("" : "+r"(third[r / 3])); /* or it is a pointer for every row again: AVX2 a tenth slower */
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++)
            v16_store(out + r * t->out_stride + v * t->out_step,
                      type == CACHE_BF16 ? v16_unsplit(sum[r][v]) : sum[r][v]);
}

/* Vectors of w worked on together: as many as the registers hold sums for. */
#define TILE_VECTORS(type, rows) TILE_FIT((type) == CACHE_F32 ? V16_SUMS_F32 : V16_SUMS_BF16, rows)
#define TILE_FIT(sums, rows) ((sums) / (rows) >= 4 ? 4 : (sums) / (rows) >= 2 ? 2 : 1)

INLINE void tile_rows(CacheType type, int rows, const Tile *t, int64_t r0, int64_t v0, int64_t v1) {
    const int together = TILE_VECTORS(type, rows);
    int64_t v = v0;
    for (; v + together <= v1; v += together) tile_block(type, rows, together, t, r0, v);
    for (; v < v1; v++) tile_block(type, rows, 1, t, r0, v);
}

/* Blocks of the most rows. In f32 the last two are made nearly equal, since 4 + 3 rows hide the latency of fma better
 * than 6 + 1; bf16 has no registers for that. All rows go over a few vectors of w before the next, so that w is read
 * from far away once. */
INLINE void tile_all(CacheType type, const Tile *t, int64_t rows, int64_t vectors) {
    const bool even = type == CACHE_F32;
    const int64_t wide = rows <= V16_TILE_ROWS ? vectors : even ? 2 : 4;
    for (int64_t v0 = 0; v0 < vectors; v0 += wide) {
        int64_t v1 = v0 + wide < vectors ? v0 + wide : vectors;
        for (int64_t r = 0, n; r < rows; r += n) {
            int64_t left = rows - r;
            n = left <= V16_TILE_ROWS ? left : left >= 2 * V16_TILE_ROWS || !even ? V16_TILE_ROWS : (left + 1) / 2;
            switch (n) {
#define TILE_CASE(n) case n: if (n <= V16_TILE_ROWS) tile_rows(type, n <= V16_TILE_ROWS ? n : 1, t, r, v0, v1); break
                TILE_CASE(1);
                TILE_CASE(2);
                TILE_CASE(3);
                TILE_CASE(4);
                TILE_CASE(5);
                TILE_CASE(6);
                TILE_CASE(7);
                TILE_CASE(8);
                TILE_CASE(9);
                TILE_CASE(10);
                TILE_CASE(11);
                TILE_CASE(12);
            }
        }
    }
}

static void tile_f32(const Tile *t, int64_t rows, int64_t vectors) { tile_all(CACHE_F32, t, rows, vectors); }
static void tile_bf16(const Tile *t, int64_t rows, int64_t vectors) { tile_all(CACHE_BF16, t, rows, vectors); }
static void tile_q8(const Tile *t, int64_t rows, int64_t vectors) { tile_all(CACHE_Q8, t, rows, vectors); }

static void tile(const float *w, int64_t step, int panels, int64_t count, const float *x, int64_t x_stride,
                 int64_t rows, float *acc) {
    Tile t = {.w = w, .w_step = PANEL, .v_step = step, .count = count, .x = x, .x_stride = x_stride,
              .out = acc, .out_stride = PANEL, .out_step = rows * PANEL};
    tile_f32(&t, rows, panels);
}

/* ---- Linear: a few rows, straight from the panels ---------------------------------------------------------------- */

enum { PANELS_MOST = 4 };
typedef v16 Sums[PANELS_MOST][V16_ROWS_MOST];

/* With one row the hardware's own prefetching of four panels is best: fetching ahead as well costs bf16 a quarter.
 * With more, sums take longer than loads, and 2 KiB ahead gains 6 % with two rows, 15 to 30 % with three or four. */
enum { ROWS_FETCH = 2, FETCH_AHEAD = 2048 };

/* A whole step of k, one after another: panel by panel, or across panels where a step is long (bits with tops), since
 * the sums of one panel wait for each other (one row 1.1 to 1.25 times as fast, two rows up to 1.3). Where four rows
 * and the decoding of nibbles together would spill sums, they are kept apart by a detour through L1: a third faster
 * with AVX2. */
INLINE void rows_step(PackedType type, int panels, int rows, const uint8_t *q, int64_t step, const Scale *s, int64_t k,
                      const float *x, int64_t x_stride, Sums sum) {
    const int n = step_of(type);
    const bool apart = rows >= V16_APART_ROWS && n >= 8;
    const bool across = has_tops(type) && !apart;
    const bool ask = rows >= ROWS_FETCH || (V16_ASK > 0 && packed_rows[type].bits == 8);
    _Alignas(64) float w[ACT_GROUP * PANEL];
    UNROLL for (int turn = 0; turn < panels * n / 2; turn++) {
        const int p = across ? turn % panels : turn / (n / 2), i = 2 * (across ? turn / panels : turn % (n / 2));
        if (i == 0) {
            const uint8_t *ahead = q + p * step + packed_bytes(type, k) + FETCH_AHEAD;
            for (int b = 0; ask && b < packed_bytes(type, n); b += 64) __builtin_prefetch(ahead + b);
        }
        if (across && rows == 1 && p == 0) IN_ORDER; /* or weights are taken out early, and spilled */
        v16 even, odd;
        weights(type, q + p * step, k, i, &s[p], &even, &odd);
        if (apart) {
            v16_store(w + i * PANEL, even);
            v16_store(w + (i + 1) * PANEL, odd);
        } else UNROLL for (int r = 0; r < rows; r++) {
            sum[p][r] = v16_fma(even, v16_all(x[r * x_stride + k + i]), sum[p][r]);
            sum[p][r] = v16_fma(odd, v16_all(x[r * x_stride + k + i + 1]), sum[p][r]);
        }
        if (!apart || i + 2 < n) continue;
        V16_APART(w);
        UNROLL for (int m = 0; m < n; m++)
            UNROLL for (int r = 0; r < rows; r++)
                sum[p][r] = v16_fma(v16_load(w + m * PANEL), v16_all(x[r * x_stride + k + m]), sum[p][r]);
    }
}

INLINE void rows_one(PackedType type, int panels, int rows, const uint8_t *q, int64_t step, const Scale *s, int64_t k,
                     const float *x, int64_t x_stride, Sums sum) {
    UNROLL for (int p = 0; p < panels; p++) {
        v16 w = weight(type, q + p * step, k, &s[p]);
        UNROLL for (int r = 0; r < rows; r++) sum[p][r] = v16_fma(w, v16_all(x[r * x_stride + k]), sum[p][r]);
    }
}

INLINE void rows_block(PackedType type, int panels, int rows, const uint8_t *panel, int64_t step, int64_t k0,
                       int64_t k1, const float *x, int64_t x_stride, float *acc) {
    const int n = step_of(type);
    Sums sum;
    UNROLL for (int p = 0; p < panels; p++)
        UNROLL for (int r = 0; r < rows; r++) sum[p][r] = v16_load(acc + (p * rows + r) * PANEL);
    Part at = part_first(type, panel, k0, k1);
    x += k0 - at.first;
    for (; at.first < at.last; x += at.last, part_next(type, &at)) {
        const uint8_t *q = part_numbers(type, &at);
        int64_t k = at.first;
        Scale s[PANELS_MOST];
        UNROLL for (int p = 0; p < panels; p++) s[p] = scale_of(type, at.head + p * step, at.j);
        if (at.j == 0) UNROLL for (int p = 0; p < panels; p++) fetch_head(type, at.head + p * step);
        if (!V16_ASK && rows == 1 && packed_rows[type].bits == 8) /* other types' products take longer than memory */
            UNROLL for (int p = 0; p < panels; p++) fetch_far(q + p * step);
        for (; k % n && k < at.last; k++) rows_one(type, panels, rows, q, step, s, k, x, x_stride, sum);
        for (; k + n <= at.last; k += n) rows_step(type, panels, rows, q, step, s, k, x, x_stride, sum);
        for (; k < at.last; k++) rows_one(type, panels, rows, q, step, s, k, x, x_stride, sum);
    }
    UNROLL for (int p = 0; p < panels; p++)
        UNROLL for (int r = 0; r < rows; r++) v16_store(acc + (p * rows + r) * PANEL, sum[p][r]);
}

INLINE void rows_leaves(PackedType type, int panels, int rows, const uint8_t *panel, int64_t step,
                        const Leaves *leaves, const float *x, int64_t x_stride, float *acc) {
    _Alignas(64) FoldStack stack;
    Fold fold = {.acc = acc, .stack = &stack, .vectors = panels * rows};
    for (int l = 0; l < leaves->count; l++) {
        float *to = fold_next(&fold, leaves, l);
        rows_block(type, panels, rows, panel, step, leaves->first[l], leaves->last[l], x, x_stride, to);
        fold_add(&fold, leaves->adds[l]);
    }
}

INLINE void rows_panels(PackedType type, int rows, const uint8_t *panel, int64_t step, int panels,
                        const Leaves *leaves, const float *x, int64_t x_stride, float *acc) {
    const int together = V16_PANELS(rows, step_of(type));
    int p = 0;
    for (; p + together <= panels; p += together)
        rows_leaves(type, together, rows, panel + p * step, step, leaves, x, x_stride, acc + p * rows * PANEL);
    for (; p < panels; p++)
        rows_leaves(type, 1, rows, panel + p * step, step, leaves, x, x_stride, acc + p * rows * PANEL);
}

/* More rows than registers hold sums for, in one of two ways. With room for eight, both halves of the rows decode a
 * block of k, which the first brings into the L1 cache. With less, a piece is decoded into that cache for all rows,
 * while the next one is fetched. */
enum { HALVES_KC = 512, UNPACK_KC = 64 };
INLINE void rows_unpacked(PackedType type, const uint8_t *panel, int64_t k0, int64_t k1, const float *x,
                          int64_t x_stride, int rows, float *acc) {
    _Alignas(64) float w[UNPACK_KC * PANEL];
    for (int64_t at = k0, end; at < k1; at = end) {
        end = k1 - at < UNPACK_KC ? k1 : (at + UNPACK_KC) / UNPACK_KC * UNPACK_KC;
        const int64_t bytes = packed_group_bytes(type), group = packed_rows[type].group;
        const uint8_t *next = panel + end * bytes / group;
        for (int64_t i = 0; i < UNPACK_KC * bytes / group; i += 64) __builtin_prefetch(next + i);
        unpack_of(type, panel, at, end, w);
        tile(w, 0, 1, end - at, x + at, x_stride, rows, acc);
    }
}

typedef void Few(const uint8_t *panel, int64_t step, int panels, const Leaves *leaves, const float *x,
                 int64_t x_stride, int rows, float *acc);
INLINE void rows_halves(Few *few, const uint8_t *panel, int64_t k0, int64_t k1, const float *x, int64_t x_stride,
                        int rows, float *acc) {
    int half = (rows + 1) / 2;
    for (int64_t at = k0, end; at < k1; at = end) {
        Leaves piece;
        end = k1 - at < HALVES_KC ? k1 : (at + HALVES_KC) / HALVES_KC * HALVES_KC;
        leaves_one(&piece, at, end);
        few(panel, 0, 1, &piece, x, x_stride, half, acc);
        few(panel, 0, 1, &piece, x + half * x_stride, x_stride, rows - half, acc + half * PANEL);
    }
}

/* Panel by panel. */
INLINE void rows_many(PackedType type, Few *few, const uint8_t *panel, int64_t step, int panels, const Leaves *leaves,
                      const float *x, int64_t x_stride, int rows, float *acc) {
    _Alignas(64) FoldStack stack;
    for (int p = 0; p < panels; p++, panel += step, acc += rows * PANEL) {
        Fold fold = {.acc = acc, .stack = &stack, .vectors = rows};
        for (int l = 0; l < leaves->count; l++) {
            float *to = fold_next(&fold, leaves, l);
            int64_t k0 = leaves->first[l], k1 = leaves->last[l];
            if (V16_ROWS_MOST < 8) rows_unpacked(type, panel, k0, k1, x, x_stride, rows, to);
            else rows_halves(few, panel, k0, k1, x, x_stride, rows, to);
            fold_add(&fold, leaves->adds[l]);
        }
    }
}

#define ROWS_CASE(type, n)                                                                                             \
    case n:                                                                                                            \
        if (n <= V16_ROWS_MOST)                                                                                        \
            rows_panels(type, n <= V16_ROWS_MOST ? n : 1, panel, step, panels, leaves, x, x_stride, acc);              \
        return
#define LINEAR(name, type)                                                                                             \
    static void few_##name(const uint8_t *panel, int64_t step, int panels, const Leaves *leaves, const float *x,       \
                           int64_t x_stride, int rows, float *acc) {                                                   \
        switch (rows) {                                                                                                \
            ROWS_CASE(type, 1);                                                                                        \
            ROWS_CASE(type, 2);                                                                                        \
            ROWS_CASE(type, 3);                                                                                        \
            ROWS_CASE(type, 4);                                                                                        \
            ROWS_CASE(type, 5);                                                                                        \
            ROWS_CASE(type, 6);                                                                                        \
            ROWS_CASE(type, 7);                                                                                        \
            ROWS_CASE(type, 8);                                                                                        \
        }                                                                                                              \
    }                                                                                                                  \
    static void rows_##name(const void *panel, int64_t step, int panels, const Leaves *leaves, const float *x,         \
                            int64_t x_stride, int rows, float *acc) {                                                  \
        if (rows <= V16_ROWS_MOST) few_##name(panel, step, panels, leaves, x, x_stride, rows, acc);                    \
        else rows_many(type, few_##name, panel, step, panels, leaves, x, x_stride, rows, acc);                         \
    }                                                                                                                  \
    static void unpack_##name(const void *panel, int64_t k0, int64_t k1, float *w) {                                   \
        unpack_of(type, panel, k0, k1, w);                                                                             \
    }
PACKED_PLAIN(LINEAR)
PACKED_QUANTISED(LINEAR)

#include "kernels_attention16.h"
#include "kernels_grad16.h"

/* ---- Element by element: sixteen at a time, then the rest in the first lanes ------------------------------------- */

static void rms_norm(const float *x, const float *gain, float epsilon, int64_t d, float *y) {
    v16 sum = v16_all(0);
    int64_t i = 0;
    for (; i + 16 <= d; i += 16) sum = v16_fma(v16_load(x + i), v16_load(x + i), sum);
    v16 last = v16_load_part(x + i, d - i);
    sum = v16_fma(last, last, sum); /* adds +0 to the missing lanes, which are not negative zero */
    v16 r = v16_all(1.0f / sqrtf(v16_sum(sum) / (float)d + epsilon));
    for (i = 0; i + 16 <= d; i += 16) v16_store(y + i, v16_mul(v16_mul(v16_load(x + i), r), v16_load(gain + i)));
    v16_store_part(y + i, d - i, v16_mul(v16_mul(last, r), v16_load_part(gain + i, d - i)));
}

INLINE v16 silu_mul_of(v16 gate, v16 up) {
    v16 e = v16_exp(v16_sub(v16_all(-0.0f), gate));
    return v16_mul(v16_div(gate, v16_add(v16_all(1.0f), e)), up);
}
static void silu_mul(const float *gate, const float *up, int64_t n, float *y) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(y + i, silu_mul_of(v16_load(gate + i), v16_load(up + i)));
    v16_store_part(y + i, n - i, silu_mul_of(v16_load_part(gate + i, n - i), v16_load_part(up + i, n - i)));
}

INLINE void rotate(v16 a, v16 b, v16 c, v16 s, v16 *first, v16 *second) {
    *first = v16_sub(v16_mul(a, c), v16_mul(b, s));
    *second = v16_add(v16_mul(b, c), v16_mul(a, s));
}
static void rope(const float *x, const float *cosine, const float *sine, int64_t half, float *y) {
    int64_t i = 0, rest;
    v16 first, second;
    for (; i + 16 <= half; i += 16) {
        rotate(v16_load(x + i), v16_load(x + half + i), v16_load(cosine + i), v16_load(sine + i), &first, &second);
        v16_store(y + i, first);
        v16_store(y + half + i, second);
    }
    rest = half - i;
    rotate(v16_load_part(x + i, rest), v16_load_part(x + half + i, rest), v16_load_part(cosine + i, rest),
           v16_load_part(sine + i, rest), &first, &second);
    v16_store_part(y + i, rest, first);
    v16_store_part(y + half + i, rest, second);
}

static void add(const float *a, const float *b, int64_t n, float *y) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(y + i, v16_add(v16_load(a + i), v16_load(b + i)));
    v16_store_part(y + i, n - i, v16_add(v16_load_part(a + i, n - i), v16_load_part(b + i, n - i)));
}

/* Two passes: the largest value (a NaN loses each comparison), then its first place. */
static int64_t argmax(const float *x, int64_t n, float *best) {
    enum { CHAINS = 4 };
    v16 low = v16_all(-INFINITY), top[CHAINS] = {low, low, low, low};
    int64_t i = 0;
    for (; i + 16 * CHAINS <= n; i += 16 * CHAINS)
        UNROLL for (int c = 0; c < CHAINS; c++) top[c] = v16_max(v16_load(x + i + 16 * c), top[c]);
    for (; i + 16 <= n; i += 16) top[0] = v16_max(v16_load(x + i), top[0]);
    float value = v16_top(v16_max(v16_max(top[0], top[1]), v16_max(top[2], top[3])));
    for (; i < n; i++) value = x[i] > value ? x[i] : value;
    v16 wanted = v16_all(value);
    for (i = 0; i + 16 <= n; i += 16) {
        unsigned equal = v16_equal(v16_load(x + i), wanted);
        if (!equal) continue;
        i += __builtin_ctz(equal);
        *best = x[i];
        return i;
    }
    for (; i < n; i++)
        if (x[i] == value) {
            *best = x[i];
            return i;
        }
    *best = -INFINITY;
    return -1;
}

#define ROWS_ENTRY(name, type) [type] = rows_##name,
#define UNPACK_ENTRY(name, type) [type] = unpack_##name,
#define KERNELS_SIMD16(name)                                                                                           \
    {                                                                                                                  \
        .isa = name,                                                                                                   \
        .rows = {PACKED_PLAIN(ROWS_ENTRY) PACKED_QUANTISED(ROWS_ENTRY)},                                               \
        .unpack = {PACKED_PLAIN(UNPACK_ENTRY) PACKED_QUANTISED(UNPACK_ENTRY)},                                         \
        .tile = tile, .attention = {attention_f32, attention_bf16, attention_q8}, .merge = attention_merge,            \
        .rms_norm = rms_norm, .silu_mul = silu_mul, .rope = rope, .add = add, .argmax = argmax,                        \
        KERNELS_DOT16 KERNELS_PAIR16 KERNELS_GRAD16                                                                    \
    }
