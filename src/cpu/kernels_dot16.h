/* kernels_dot16.h: quantise and dot of ops/kernels.h, written once over v16 (floats), d16 (sixteen int32) and line16
 * (64 bytes, four per lane); simd16_<isa>.h has them. Included after kernels_simd16.h or alone by an instruction set
 * that only makes these faster. Beyond kernels_simd16.h's list: d16_all(i)  d16_f32(x)  line16_load(p)   line16_low,
 * _high(x): the low, the high nibbles of every byte d16_dot(sum, w, x): lane i + sum over j < 4 of w[4 i + j] * x[j],
 * exact for w <= 128 d16_dot_centred(sum, w, x): the same for any w, but of w - 128 unless d16_seed(s) = s, which then
 * makes up for it v16_put_s8(out, x): nearest integers in the order of Quad; their sum        V16_DOT_ROWS: rows that
 * fit the registers */
#ifndef KERNELS_DOT16_H
#define KERNELS_DOT16_H
#include "../ops/kernels.h"
#include "inline16.h"

static void quantise(const float *x, int64_t n, Quad *out, int row) {
    for (Quad *end = out + n / ACT_GROUP; out < end; out++, x += ACT_GROUP) {
        v16 a = v16_load(x), b = v16_load(x + 16), top = v16_all(127.0f), low = v16_all(-127.0f);
        float most = v16_top(v16_max(v16_abs(a), v16_max(v16_abs(b), v16_all(0))));
        float scale = most / 127.0f, inverse = most > 0 ? 127.0f / most : 0;
        v16 qa = v16_mul(a, v16_all(inverse)), qb = v16_mul(b, v16_all(inverse));
        qa = v16_max(qa, low), qb = v16_max(qb, low);
        qa = v16_pick(v16_less(qa, top), qa, top), qb = v16_pick(v16_less(qb, top), qb, top);
        if (v16_equal(a, a) != 0xffff || v16_equal(b, b) != 0xffff) /* the last NaN, as in the reference */
            for (int i = 0; i < ACT_GROUP; i++) scale = x[i] != x[i] ? x[i] : scale;
        int32_t first = v16_put_s8(out->q[row], qa), second = v16_put_s8(out->q[row] + 16, qb);
        out->scale[row] = scale;
        out->seed8[row] = -128 * (first + second);
        out->seed4[row] = -8 * (first + second);
        out->sum[row] = scale * (float)(first + second);
        out->half[0][row] = scale * (float)first;
        out->half[1][row] = scale * (float)second;
    }
}

/* ---- Packed types, as far as integers need them (constants: every use is specialised) ---------------------------- */

INLINE bool dot_nibbles(PackedType type) { return type == PACKED_Q4 || type == PACKED_Q4X || type == PACKED_Q4G; }
INLINE int dot_zero(PackedType type) {
    return type == PACKED_Q8 || type == PACKED_Q8G ? 128 : type == PACKED_Q4G ? 8 : 0;
}
INLINE int dot_head(PackedType type) { return (dot_zero(type) ? 2 : type == PACKED_Q4 ? 4 : 8) * PANEL; }
INLINE int dot_group(PackedType type) {
    return type == PACKED_Q8G || type == PACKED_Q4G ? 128 : type == PACKED_Q6X ? 16 : 32;
}
INLINE int dot_group_bytes(PackedType type) {
    return dot_head(type) + dot_group(type) * PANEL / (dot_nibbles(type) ? 2 : 1);
}
INLINE v16 dot_scale(PackedType type, const uint8_t *group) {
    return dot_head(type) == 8 * PANEL ? v16_load((const float *)(const void *)group) : v16_f16(group);
}
INLINE v16 dot_min(PackedType type, const uint8_t *group) {
    return dot_head(type) == 8 * PANEL ? v16_load((const float *)(const void *)group + PANEL)
                                       : v16_f16(group + 2 * PANEL);
}

/* ---- A block: some rows against some panels, sums in registers --------------------------------------------------- */

/* From two rows on products take longer than loads, and fetching ahead gains. One row goes over several panels, whose
 * streams the hardware fetches better alone. */
enum { DOT_PANELS_MOST = 4, DOT_FETCH_AHEAD = 4096 };
typedef d16 Exact[DOT_PANELS_MOST][V16_DOT_ROWS];
typedef v16 Float[DOT_PANELS_MOST][V16_DOT_ROWS];

/* x: the quad of the first rows at these columns; row r is row (sub + r) % 4 of the quad r / 4 * x_step on. */
typedef struct DotRows { const Quad *x; int64_t x_step; int sub; } DotRows;
INLINE const Quad *dot_quad(const DotRows *d, int r) { return d->x + (d->sub + r) / QUAD * d->x_step; }

/* The exact sums of `count` columns (16 or 32); q: their first line, `at`: their first place in the quad. */
INLINE void dot_exact(PackedType type, int panels, int rows, int count, const uint8_t *q, int64_t step,
                      const DotRows *d, int at, Exact sum) {
    UNROLL for (int r = 0; r < rows; r++) {
        const Quad *x = dot_quad(d, r);
        int i = (d->sub + r) % QUAD;
        int32_t seed = dot_zero(type) == 128 ? d16_seed(x->seed8[i]) : dot_zero(type) ? x->seed4[i] : 0;
        UNROLL for (int p = 0; p < panels; p++) sum[p][r] = d16_all(seed);
    }
    UNROLL for (int k = 0; k < count; k += 8)
        UNROLL for (int p = 0; p < panels; p++) {
            const uint8_t *line = q + p * step + k * PANEL / (dot_nibbles(type) ? 2 : 1);
            line16 even = line16_load(line),
                   odd = dot_nibbles(type) ? line16_high(even) : line16_load(line + 4 * PANEL);
            if (dot_nibbles(type)) even = line16_low(even);
            if (rows > 1) __builtin_prefetch(line + DOT_FETCH_AHEAD);
            if (rows > 1 && !dot_nibbles(type)) __builtin_prefetch(line + DOT_FETCH_AHEAD + 4 * PANEL);
            UNROLL for (int r = 0; r < rows; r++) {
                const int8_t *x = dot_quad(d, r)->q[(d->sub + r) % QUAD] + at + k;
                sum[p][r] = dot_zero(type) == 128 ? d16_dot_centred(sum[p][r], even, x) : d16_dot(sum[p][r], even, x);
            }
            UNROLL for (int r = 0; r < rows; r++) {
                const int8_t *x = dot_quad(d, r)->q[(d->sub + r) % QUAD] + at + k + 4;
                sum[p][r] = dot_zero(type) == 128 ? d16_dot_centred(sum[p][r], odd, x) : d16_dot(sum[p][r], odd, x);
            }
        }
}

/* One weight group of 32 or 16 columns onto the sums. */
INLINE void dot_narrow(PackedType type, int panels, int rows, const uint8_t *group, int64_t step, const DotRows *d,
                       int at, Float sum) {
    Exact exact;
    dot_exact(type, panels, rows, dot_group(type), group + dot_head(type), step, d, at, exact);
    UNROLL for (int p = 0; p < panels; p++) {
        v16 scale = dot_scale(type, group + p * step);
        UNROLL for (int r = 0; r < rows; r++) {
            v16 both = v16_mul(scale, v16_all(dot_quad(d, r)->scale[(d->sub + r) % QUAD]));
            sum[p][r] = v16_fma(d16_f32(exact[p][r]), both, sum[p][r]);
        }
        if (dot_zero(type)) continue;
        v16 min = dot_min(type, group + p * step);
        UNROLL for (int r = 0; r < rows; r++) {
            const Quad *x = dot_quad(d, r);
            int i = (d->sub + r) % QUAD;
            sum[p][r] =
                v16_fma(min, v16_all(dot_group(type) == ACT_GROUP ? x->sum[i] : x->half[at / 16][i]), sum[p][r]);
        }
    }
}

INLINE void dot_block(PackedType type, int panels, int rows, const uint8_t *panel, int64_t step, int64_t k0, int64_t k1,
                      DotRows d, float *acc, int64_t acc_step) {
    const int group = dot_group(type), bytes = dot_group_bytes(type);
    const bool wide = group > ACT_GROUP;
    Float sum;
    if (!wide)
        UNROLL for (int p = 0; p < panels; p++)
            UNROLL for (int r = 0; r < rows; r++) sum[p][r] = v16_load(acc + p * acc_step + r * PANEL);
    panel += k0 / group * bytes;
    d.x += k0 / ACT_GROUP;
    for (int64_t k = k0; k < k1;) {
        if (!wide) {
            for (int at = 0; at < ACT_GROUP; at += group, panel += bytes)
                dot_narrow(type, panels, rows, panel, step, &d, at, sum);
            k += ACT_GROUP;
            d.x++;
            continue;
        }
        UNROLL for (int p = 0; p < panels; p++)
            UNROLL for (int r = 0; r < rows; r++) sum[p][r] = v16_all(0);
        int64_t in = k % group, end = k1 - k < group - in ? k1 - k + in : group;
        for (k += end - in; in < end; in += ACT_GROUP, d.x++) {
            Exact exact;
            const uint8_t *q = panel + dot_head(type) + in * PANEL / (dot_nibbles(type) ? 2 : 1);
            dot_exact(type, panels, rows, ACT_GROUP, q, step, &d, 0, exact);
            UNROLL for (int r = 0; r < rows; r++) {
                v16 scale = v16_all(dot_quad(&d, r)->scale[(d.sub + r) % QUAD]);
                UNROLL for (int p = 0; p < panels; p++) sum[p][r] = v16_fma(d16_f32(exact[p][r]), scale, sum[p][r]);
            }
        }
        UNROLL for (int p = 0; p < panels; p++) {
            v16 scale = dot_scale(type, panel + p * step);
            UNROLL for (int r = 0; r < rows; r++) {
                float *to = acc + p * acc_step + r * PANEL;
                v16_store(to, v16_fma(sum[p][r], scale, v16_load(to)));
            }
        }
        panel += bytes;
    }
    if (!wide)
        UNROLL for (int p = 0; p < panels; p++)
            UNROLL for (int r = 0; r < rows; r++) v16_store(acc + p * acc_step + r * PANEL, sum[p][r]);
}

/* One row: up to four panels together, so that their sums hide each other's latency. */
INLINE void dot_one(PackedType type, const uint8_t *panel, int64_t step, int panels, int64_t k0, int64_t k1,
                    const Quad *x, float *acc) {
    const int64_t acc_step = QUAD * PANEL;
    const int most = V16_DOT_ROWS >= 4 ? DOT_PANELS_MOST : 2;
    int p = 0;
    for (; p + most <= panels; p += most)
        dot_block(type, most, 1, panel + p * step, step, k0, k1, (DotRows){x, 0, 0}, acc + p * acc_step, acc_step);
    for (; p < panels; p++)
        dot_block(type, 1, 1, panel + p * step, step, k0, k1, (DotRows){x, 0, 0}, acc + p * acc_step, acc_step);
}

/* Rows r .. r + n of one panel. */
#define DOT_BLOCK(n) dot_block(type, 1, n, panel, step, k0, k1, (DotRows){x + r / QUAD * x_step, x_step, 0}, a, 0)
#define DOT_PAIR(n, sub) \
    dot_block(type, 1, n, panel, step, k0, k1, (DotRows){x + r / QUAD * x_step, x_step, sub}, a + (sub) * PANEL, 0)
INLINE void dot_panels(PackedType type, const uint8_t *panel, int64_t step, int panels, int64_t k0, int64_t k1,
                       const Quad *x, int64_t x_step, int64_t rows, float *acc) {
    if (rows == 1) {
        dot_one(type, panel, step, panels, k0, k1, x, acc);
        return;
    }
    for (int p = 0; p < panels; p++, panel += step, acc += quad_rows(rows) * PANEL)
        for (int64_t r = 0; r < rows;) {
            float *a = acc + r * PANEL;
            int64_t left = rows - r;
            if (V16_DOT_ROWS >= 12) {
                if (left > 8) DOT_BLOCK(V16_DOT_ROWS >= 12 ? 12 : 1), r += 12;
                else if (left > 4) DOT_BLOCK(V16_DOT_ROWS >= 12 ? 8 : 1), r += 8;
                else if (left > 2) DOT_BLOCK(V16_DOT_ROWS >= 12 ? 4 : 1), r += 4;
                else if (left == 2) DOT_BLOCK(2), r += 4;
                else DOT_BLOCK(1), r += 4;
            } else {
                if (left == 1) DOT_BLOCK(1);
                else DOT_BLOCK(2);
                if (left == 3) DOT_PAIR(1, 2);
                else if (left > 3) DOT_PAIR(2, 2);
                r += 4;
            }
        }
}

#define DOT(name, type)                                                                                                \
    static void dot_##name(const void *panel, int64_t step, int panels, int64_t k0, int64_t k1, const Quad *x,         \
                           int64_t x_step, int64_t rows, float *acc) {                                                 \
        dot_panels(type, panel, step, panels, k0, k1, x, x_step, rows, acc);                                           \
    }
DOT(q8, PACKED_Q8)
DOT(q4, PACKED_Q4)
DOT(q4x, PACKED_Q4X)
DOT(q8x, PACKED_Q8X)
DOT(q6x, PACKED_Q6X)
DOT(q8g, PACKED_Q8G)
DOT(q4g, PACKED_Q4G)

#define DOT_TABLE {NULL, NULL, NULL, dot_q8, dot_q4, dot_q4x, dot_q8x, dot_q6x, dot_q8g, dot_q4g}
#define KERNELS_DOT16 .quantise = quantise, .dot = DOT_TABLE,
#endif
