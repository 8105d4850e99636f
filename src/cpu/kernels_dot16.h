/* kernels_dot16.h: quantise and dot of ops/kernels.h, written once over v16 (floats), d16 (sixteen int32) and line16
 * (64 bytes, four per lane); simd16_<isa>.h has them. Included after kernels_simd16.h or alone by an instruction set
 * that only makes these faster. Beyond kernels_simd16.h's list:
 *   d16_all(i)  d16_add(x, y)  d16_f32(x)  line16_load(p)
 *   line16_once(x): x, to be loaded once for all that use it, where a compiler would not
 *   line16_low, _high(x): the low, the high nibbles of every byte
 *   line16_join(x, tops, left, mask): x or'ed with what the mask leaves, in every byte, of tops shifted left (right
 *   where negative)
 *   few16: exact sums of few lines' products, few_lines(bits) at most;  few16_from(seed)  few16_add(x, y)
 *   d16_of(x, seed): the sums that x stands for, with the seed it began from
 *   few16_dot(sum, w, x): and in lane i the sum over j < 4 of w[4 i + j] * x[j], w <= 128
 *   few16_dot_centred(sum, w, x): the same for any w, but of w - 128 unless d16_seed(s) = s, which then makes up for it
 *   v16_put_s8(out, x): nearest integers in the order of Act; their sum
 *   V16_DOT_ROWS: rows of a block, a multiple of QUAD;  V16_DOT_LONE: panels of a block of one row
 *   V16_DOT_LATE: a product's sum comes late, so that several should be under way;  V16_FEW_WIDE: few16 has 32 bits
 *   V16_ASK: see heads16.h */
#ifndef KERNELS_DOT16_H
#define KERNELS_DOT16_H
#include "../ops/kernels.h"
#include "fold16.h"
#include "heads16.h"

static void quantise(const float *x, int64_t n, Act *out, int step) {
    for (Act *end = out + n / ACT_GROUP * step; out < end; out += step, x += ACT_GROUP) {
        v16 a = v16_load(x), b = v16_load(x + 16), top = v16_all(127.0f), low = v16_all(-127.0f);
        float most = v16_top(v16_max(v16_abs(a), v16_max(v16_abs(b), v16_all(0))));
        float scale = most / 127.0f, inverse = most > 0 ? 127.0f / most : 0;
        v16 qa = v16_mul(a, v16_all(inverse)), qb = v16_mul(b, v16_all(inverse));
        qa = v16_max(qa, low), qb = v16_max(qb, low);
        qa = v16_pick(v16_less(qa, top), qa, top), qb = v16_pick(v16_less(qb, top), qb, top);
        if (v16_equal(a, a) != 0xffff || v16_equal(b, b) != 0xffff) /* the last NaN, as in the reference */
            for (int i = 0; i < ACT_GROUP; i++) scale = x[i] != x[i] ? x[i] : scale;
        int32_t first = v16_put_s8(out->q, qa), second = v16_put_s8(out->q + 16, qb);
        out->scale = scale;
        out->seed8 = -128 * (first + second);
        out->seed4 = -8 * (first + second);
        out->sum = scale * (float)(first + second);
        out->seed6[0] = -32 * first;
        out->seed6[1] = -32 * second;
    }
}

/* ---- Packed types, as far as integers need them (constants: every use is specialised) ---------------------------- */

/* What an integer sum starts from, at place `at` of the act. */
INLINE int32_t dot_seed(PackedType type, const Act *x, int at) {
    switch (packed_rows[type].zero) {
        case 128: return d16_seed(x->seed8);
        case 32: return x->seed6[at / 16];
        case 16: return (int32_t)(2u * (uint32_t)x->seed4); /* rows that are not there hold anything */
        case 8: return x->seed4;
        default: return 0;
    }
}

/* Of one row a line that is used again is loaded once; more rows have no register for it. */
INLINE line16 dot_load(int rows, const uint8_t *p) {
    return rows == 1 ? line16_once(line16_load(p)) : line16_load(p);
}

/* The line of bytes at place k, a multiple of 4, of the part whose numbers begin at q. */
INLINE line16 dot_line(PackedType type, int rows, const uint8_t *q, int k) {
    const int bits = packed_rows[type].bits, tops = bits - 4;
    if (bits == 8) return line16_load(q + k * PANEL);
    line16 both = dot_load(rows, q + k / 8 * 4 * PANEL + (bits == 4 ? 0 : 4 * PANEL));
    line16 line = k % 8 ? line16_high(both) : line16_low(both);
    return bits == 4 ? line : line16_join(line, dot_load(rows, q), 4 - k / 4 * tops, ((1 << tops) - 1) << 4);
}

/* ---- A block: some rows against some panels, sums in registers --------------------------------------------------- */

/* From two rows on products take longer than loads, and fetching ahead gains. One row is bound by memory. With AVX-512
 * it goes panel by panel as well: panels stand one after another, and one stream through all of them is what memory
 * gives fastest (Zen 4: 94 to 98 % of what reading does, where four panels side by side had 80 to 90 %). With AVX2 four
 * panels side by side give one core the most, and two cores what reading does (Zen 3: 95 to 100 %).
 * Fetching as fetch_numbers does gains 4 to 10 % with AVX-512; with AVX2 30 to 50 % over fetching as AVX-512 does. */
enum { DOT_FETCH_AHEAD = 4096 };
typedef d16 Exact[V16_DOT_ROWS];
typedef v16 Float[V16_DOT_ROWS];

/* x: the acts of the first rows at these columns, `width` from one 32 columns to the next; row r is row r % 4 of the
 * quad r / 4 * x_step on. */
typedef struct DotRows { const Act *x; int64_t x_step; int width; } DotRows;
INLINE const Act *dot_act(const DotRows *d, int r) { return d->x + r / QUAD * QUAD * d->x_step + r % QUAD; }

/* Lines go to several sums in turn, where products take long and rows are too few to hide it: waiting products fill the
 * scheduler, and loads ahead then stand still. */
INLINE int dot_chains(int rows, int count) {
    return !V16_DOT_LATE || rows > 2 ? 1 : rows == 2 ? 2 : count / 8;
}

/* Lines that surely fit a few16: where it sums pairs of products in 16 bits, 2 * 128 * 127 of one line of 8 bits and
 * 2 * lines * (2^bits - 1) * 127 of fewer stay below 2^15. */
INLINE int few_lines(int bits) { return V16_FEW_WIDE || bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1; }

/* Registers hold the sums of a block, of several rows of one panel or of one row of several panels: sum[i] is of panel
 * dot_panel(rows, i) and row dot_row(rows, i). */
INLINE int dot_panel(int rows, int i) { return rows == 1 ? i : 0; }
INLINE int dot_row(int rows, int i) { return rows == 1 ? 0 : i; }

/* The exact sums of `count` columns (16 or 32); q: their numbers, `at`: their first place in the act. A turn of lines
 * fills the sums of all chains. */
INLINE void dot_exact(PackedType type, int panels, int rows, int count, const uint8_t *q, int64_t step,
                      const DotRows *d, int at, Exact sum) {
    const int zero = packed_rows[type].zero, bits = packed_rows[type].bits, chains = dot_chains(rows, count);
    const int turn = chains * few_lines(bits), sums = panels * rows;
    few16 few[4][V16_DOT_ROWS];
    if (rows == 1) fetch_numbers(q, packed_bytes(type, count), panels, step);
    UNROLL for (int k = 0; k < count; k += 4) {
        const int n = k / 4, c = n % chains;
        const uint8_t *ahead = q + packed_bytes(type, k) + DOT_FETCH_AHEAD;
        if (rows > 1 && (k % 8 == 0 || bits > 4)) __builtin_prefetch(ahead);
        if (!V16_FEW_WIDE || (rows == 1 && bits == 8)) IN_ORDER; /* or lines are loaded early, and spilled */
        line16 line;
        UNROLL for (int i = 0; i < sums; i++) {
            const Act *act = dot_act(d, dot_row(rows, i));
            const int8_t *x = act->q + at + k;
            if (i == 0 || rows == 1) line = dot_line(type, rows, q + dot_panel(rows, i) * step, k);
            if (n % turn < chains) few[c][i] = few16_from(n == 0 ? dot_seed(type, act, at) : 0);
            few[c][i] = zero == 128 ? few16_dot_centred(few[c][i], line, x) : few16_dot(few[c][i], line, x);
            if ((n + 1) % turn && k + 4 < count) continue;
            UNROLL for (int j = 0; 2 * j + 1 < chains; j++) few[j][i] = few16_add(few[2 * j][i], few[2 * j + 1][i]);
            if (chains == 4) few[0][i] = few16_add(few[0][i], few[1][i]);
            d16 whole = d16_of(few[0][i], n < turn ? dot_seed(type, act, at) : 0);
            sum[i] = n < turn ? whole : d16_add(sum[i], whole);
        }
    }
}

/* Part j (32 or 16 columns) of a group onto the sums. */
INLINE void dot_narrow(PackedType type, int panels, int rows, const uint8_t *group, int64_t step, int64_t j,
                       const DotRows *d, int at, Float sum) {
    const PackedRow *packed = &packed_rows[type];
    Exact exact;
    const uint8_t *q = group + packed->head_bytes + j * packed_bytes(type, packed->part);
    dot_exact(type, panels, rows, packed->part, q, step, d, at, exact);
    v16 scale, min;
    UNROLL for (int i = 0; i < panels * rows; i++) {
        const Act *act = dot_act(d, dot_row(rows, i));
        if (i == 0 || rows == 1) scale = head_scale(type, group + dot_panel(rows, i) * step, j);
        sum[i] = v16_fma(d16_f32(exact[i]), v16_mul(scale, v16_all(act->scale)), sum[i]);
    }
    if (!packed->zero)
        UNROLL for (int i = 0; i < panels * rows; i++) {
            if (i == 0 || rows == 1) min = head_min(type, group + dot_panel(rows, i) * step, j);
            sum[i] = v16_fma(min, v16_all(dot_act(d, dot_row(rows, i))->sum), sum[i]);
        }
}

/* What columns in .. end of a wide group give, summed apart and scaled once. */
INLINE void dot_wide(PackedType type, int panels, int rows, const uint8_t *group, int64_t step, int64_t in, int64_t end,
                     DotRows d, float *acc) {
    Float sum;
    UNROLL for (int i = 0; i < panels * rows; i++) sum[i] = v16_all(0);
    for (; in < end; in += ACT_GROUP, d.x += d.width) {
        Exact exact;
        const uint8_t *q = group + packed_rows[type].head_bytes + packed_bytes(type, in);
        dot_exact(type, panels, rows, ACT_GROUP, q, step, &d, 0, exact);
        UNROLL for (int i = 0; i < panels * rows; i++)
            sum[i] = v16_fma(d16_f32(exact[i]), v16_all(dot_act(&d, dot_row(rows, i))->scale), sum[i]);
    }
    UNROLL for (int i = 0; i < panels * rows; i++) {
        v16 scale = head_scale(type, group + dot_panel(rows, i) * step, 0);
        v16_store(acc + i * PANEL, v16_fma(sum[i], scale, v16_load(acc + i * PANEL)));
    }
}

/* Panels are `step` bytes apart, more than one for one row only, and gone through line by line: 8 bits gain up to 10 %
 * by it over part by part, in wide groups 30 to 40, fewer bits up to 10 (Zen 3). */
INLINE void dot_block(PackedType type, int panels, int rows, const uint8_t *panel, int64_t step, int64_t k0, int64_t k1,
                      DotRows d, float *acc) {
    const int group = packed_rows[type].group, part = packed_rows[type].part;
    const bool wide = part > ACT_GROUP;
    const int64_t bytes = packed_group_bytes(type);
    Float sum;
    if (!wide) UNROLL for (int i = 0; i < panels * rows; i++) sum[i] = v16_load(acc + i * PANEL);
    panel += k0 / group * bytes;
    d.x += k0 / ACT_GROUP * d.width;
    for (int64_t k = k0, in = k0 % group, end; k < k1; k += end - in, in = 0, panel += bytes) {
        end = k1 - k < group - in ? k1 - k + in : group;
        for (int p = 0; in == 0 && p < panels; p++) fetch_head(type, panel + p * step); /* else the leaf before did */
        if (wide) {
            dot_wide(type, panels, rows, panel, step, in, end, d, acc);
            d.x += (end - in + ACT_GROUP - 1) / ACT_GROUP * d.width;
        } else for (int64_t j = in / part; j < end / part; j += ACT_GROUP / part, d.x += d.width) {
            dot_narrow(type, panels, rows, panel, step, j, &d, 0, sum);
            if (part < ACT_GROUP) dot_narrow(type, panels, rows, panel, step, j + 1, &d, part, sum);
        }
    }
    if (!wide) UNROLL for (int i = 0; i < panels * rows; i++) v16_store(acc + i * PANEL, sum[i]);
}

/* Rows r .. r + n of one panel, n at most V16_DOT_ROWS. */
#define DOT_BLOCK(n)                                                                                                   \
    dot_block(type, 1, (n) <= V16_DOT_ROWS ? n : 1, panel, 0, k0, k1,                                                  \
              (DotRows){x + r * x_step, x_step, QUAD}, acc + r * PANEL)
INLINE void dot_rows(PackedType type, const uint8_t *panel, int64_t k0, int64_t k1, const Act *x, int64_t x_step,
                     int64_t rows, float *acc) {
    for (int64_t r = 0; r < rows; r += V16_DOT_ROWS) {
        int64_t left = rows - r;
        if (left == 1) DOT_BLOCK(1);
        else if (left == 2) DOT_BLOCK(2);
        else if (left <= 4 || V16_DOT_ROWS == 4) DOT_BLOCK(4);
        else if (left <= 8) DOT_BLOCK(8);
        else DOT_BLOCK(12);
    }
}

INLINE void dot_panels(PackedType type, const uint8_t *panel, int64_t step, int panels, const Leaves *leaves,
                       const Act *x, int64_t x_step, int64_t rows, float *acc) {
    _Alignas(64) FoldStack stack;
    const int vectors = x_step ? (int)quad_rows(rows) : 1;
    for (int p = 0, n; p < panels; p += n, panel += n * step, acc += n * vectors * PANEL) {
        n = !x_step && panels - p >= V16_DOT_LONE ? V16_DOT_LONE : 1;
        Fold fold = {.acc = acc, .stack = &stack, .vectors = n * vectors};
        for (int l = 0; l < leaves->count; l++) {
            float *to = fold_next(&fold, leaves, l);
            int64_t k0 = leaves->first[l], k1 = leaves->last[l];
            if (x_step) dot_rows(type, panel, k0, k1, x, x_step, rows, to);
            else if (n == 1) dot_block(type, 1, 1, panel, 0, k0, k1, (DotRows){x, 0, 1}, to);
            else dot_block(type, V16_DOT_LONE, 1, panel, step, k0, k1, (DotRows){x, 0, 1}, to);
            fold_add(&fold, leaves->adds[l]);
        }
    }
}

#define DOT(name, type)                                                                                                \
    static void dot_##name(const void *panel, int64_t step, int panels, const Leaves *leaves, const Act *x,            \
                           int64_t x_step, int64_t rows, float *acc) {                                                 \
        dot_panels(type, panel, step, panels, leaves, x, x_step, rows, acc);                                           \
    }
PACKED_QUANTISED(DOT)

#define DOT_ENTRY(name, type) [type] = dot_##name,
#define DOT_TABLE {PACKED_QUANTISED(DOT_ENTRY)}
#define KERNELS_DOT16 .quantise = quantise, .dot = DOT_TABLE,
#endif
