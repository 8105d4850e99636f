/* kernels.c: what every kernel computes, in plain C: the truth the tuned ones are compared with, bit for bit.
 * Written to be read, not to be fast; one function per entry of the table, in its order. */
#include <math.h>
#include <string.h>
#include "kernels.h"

/* ---- Decoding: w[lane] of one k of a panel, for each packed type ------------------------------------------------ */

typedef void Decode(const uint8_t *panel, int64_t k, float w[PANEL]);

static float f32_at(const uint8_t *p, int64_t i) {
    float f;
    memcpy(&f, p + 4 * i, sizeof f);
    return f;
}
static uint16_t u16_at(const uint8_t *p, int64_t i) {
    uint16_t h;
    memcpy(&h, p + 2 * i, sizeof h);
    return h;
}
static float f16_at(const uint8_t *p, int64_t i) { return f16_to_f32(u16_at(p, i)); }

static void decode_f32(const uint8_t *panel, int64_t k, float w[PANEL]) {
    for (int i = 0; i < PANEL; i++) w[i] = f32_at(panel, k * PANEL + i);
}

static void decode_bf16(const uint8_t *panel, int64_t k, float w[PANEL]) {
    for (int i = 0; i < PANEL; i++) w[i] = bf16_to_f32(u16_at(panel, (k / 2 * PANEL + i) * 2 + k % 2));
}

static void decode_f16(const uint8_t *panel, int64_t k, float w[PANEL]) {
    for (int i = 0; i < PANEL; i++) w[i] = f16_at(panel, k * PANEL + i);
}

/* The group of k, and k's place in it. */
static const uint8_t *group_of(PackedType type, const uint8_t *panel, int64_t *k) {
    const PackedRow *row = &packed_rows[type];
    const uint8_t *group = panel + *k / row->group * row->group_bytes;
    *k %= row->group;
    return group;
}

static void decode_q8(const uint8_t *panel, int64_t k, float w[PANEL]) {
    const uint8_t *g = group_of(PACKED_Q8, panel, &k), *q = g + 2 * PANEL + k * PANEL;
    for (int i = 0; i < PANEL; i++) w[i] = f16_at(g, i) * (float)(int8_t)q[i];
}

/* Weight k of lane i among the [4][PANEL] words of 8 nibbles at q. */
static float nibble_at(const uint8_t *q, int64_t k, int i) {
    return (float)((q[(k / 8 * PANEL + i) * 4 + k % 8 / 2] >> (k % 2 * 4)) & 15);
}

static void decode_q4(const uint8_t *panel, int64_t k, float w[PANEL]) {
    const uint8_t *g = group_of(PACKED_Q4, panel, &k), *q = g + 4 * PANEL;
    for (int i = 0; i < PANEL; i++) w[i] = fmaf(nibble_at(q, k, i), f16_at(g, i), f16_at(g, PANEL + i));
}

static void decode_q4x(const uint8_t *panel, int64_t k, float w[PANEL]) {
    const uint8_t *g = group_of(PACKED_Q4X, panel, &k), *q = g + 8 * PANEL;
    for (int i = 0; i < PANEL; i++) w[i] = fmaf(nibble_at(q, k, i), f32_at(g, i), f32_at(g, PANEL + i));
}

static void decode_bytes(const uint8_t *group, int64_t k, float w[PANEL]) {
    const uint8_t *q = group + 8 * PANEL + k * PANEL;
    for (int i = 0; i < PANEL; i++) w[i] = fmaf((float)q[i], f32_at(group, i), f32_at(group, PANEL + i));
}

static void decode_q8x(const uint8_t *panel, int64_t k, float w[PANEL]) {
    const uint8_t *g = group_of(PACKED_Q8X, panel, &k);
    decode_bytes(g, k, w);
}

static void decode_q6x(const uint8_t *panel, int64_t k, float w[PANEL]) {
    const uint8_t *g = group_of(PACKED_Q6X, panel, &k);
    decode_bytes(g, k, w);
}

/* ---- Linear ------------------------------------------------------------------------------------------------------- */

static void rows_of(Decode *decode, const uint8_t *panel, int64_t panel_step, int panels, int64_t k0, int64_t k1,
                    const float *x, int64_t x_stride, int rows, float *acc) {
    for (int p = 0; p < panels; p++, panel += panel_step, acc += rows * PANEL)
        for (int64_t k = k0; k < k1; k++) {
            float w[PANEL];
            decode(panel, k, w);
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < PANEL; i++)
                    acc[r * PANEL + i] = fmaf(w[i], x[r * x_stride + k], acc[r * PANEL + i]);
        }
}

#define LINEAR(type)                                                                                                    \
    static void rows_##type(const void *panel, int64_t panel_step, int panels, int64_t k0, int64_t k1, const float *x, \
                            int64_t x_stride, int rows, float *acc) {                                                   \
        rows_of(decode_##type, panel, panel_step, panels, k0, k1, x, x_stride, rows, acc);                              \
    }                                                                                                                   \
    static void unpack_##type(const void *panel, int64_t k0, int64_t k1, float *w) {                                    \
        for (int64_t k = k0; k < k1; k++, w += PANEL) decode_##type(panel, k, w);                                       \
    }
LINEAR(f32) LINEAR(bf16) LINEAR(f16) LINEAR(q8) LINEAR(q4) LINEAR(q4x) LINEAR(q8x) LINEAR(q6x)

static void tile(const float *w, int64_t count, const float *x, int64_t x_stride, int64_t rows, float *acc) {
    for (int64_t r = 0; r < rows; r++, x += x_stride, acc += PANEL)
        for (int64_t k = 0; k < count; k++)
            for (int i = 0; i < PANEL; i++) acc[i] = fmaf(w[k * PANEL + i], x[k], acc[i]);
}

/* ---- Attention ------------------------------------------------------------------------------------------------------ */

/* The 16 lanes' sum in the written order; destroys them. */
static float lanes_sum(float lane[16]) {
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) lane[i] += lane[i + step];
    return lane[0];
}

static float cache_at(CacheType type, const void *cache, int64_t i) {
    return type == CACHE_F32 ? ((const float *)cache)[i] : bf16_to_f32(((const uint16_t *)cache)[i]);
}

/* Scores of one block for one head become e in place; m_b and l_b. lo..hi: the block's positions inside the range. */
static void block_softmax(float s[ATTENTION_BLOCK], int64_t lo, int64_t hi, float *m, float *l) {
    float lane[16];
    *m = -INFINITY;
    for (int64_t p = lo; p < hi; p++) *m = s[p] > *m ? s[p] : *m;
    for (int64_t p = 0; p < ATTENTION_BLOCK; p++) s[p] = p < lo || p >= hi ? 0 : exp_f32(s[p] - *m);
    for (int i = 0; i < 16; i++) lane[i] = (s[i] + s[i + 16]) + (s[i + 32] + s[i + 48]);
    *l = lanes_sum(lane);
}

static void attention_of(CacheType type, const AttentionCall *call) {
    int64_t channels = call->channels;
    float *s = call->scratch, *o = s + ATTENTION_BLOCK, *o_b = o + channels; /* of one head */
    for (int h = 0; h < call->heads; h++) {
        const float *q = call->q + h * call->q_stride;
        float m = 0, l = 0;
        for (int64_t start = call->first / ATTENTION_BLOCK * ATTENTION_BLOCK; start < call->last; start += ATTENTION_BLOCK) {
            int64_t lo = call->first > start ? call->first - start : 0;
            int64_t hi = call->last - start < ATTENTION_BLOCK ? call->last - start : ATTENTION_BLOCK;
            float m_b, l_b;
            for (int64_t p = lo; p < hi; p++) {
                int64_t at = start + p;
                s[p] = 0;
                for (int64_t c = 0; c < channels; c++)
                    s[p] = fmaf(q[c], cache_at(type, call->k, (at / K_BLOCK * channels + c) * K_BLOCK + at % K_BLOCK), s[p]);
                s[p] *= call->scale;
            }
            block_softmax(s, lo, hi, &m_b, &l_b);
            for (int64_t c = 0; c < channels; c++) {
                o_b[c] = 0;
                for (int64_t p = lo; p < hi; p++)
                    o_b[c] = fmaf(s[p], cache_at(type, call->v, (start + p) * channels + c), o_b[c]);
            }
            if (call->first >= start) { /* the first block */
                m = m_b;
                l = l_b;
                for (int64_t c = 0; c < channels; c++) o[c] = o_b[c];
                continue;
            }
            float top = m_b > m ? m_b : m, a = exp_f32(m - top), b = exp_f32(m_b - top);
            m = top;
            l = fmaf(l, a, l_b * b);
            for (int64_t c = 0; c < channels; c++) o[c] = fmaf(o[c], a, o_b[c] * b);
        }
        for (int64_t c = 0; c < channels; c++) call->out[h * call->out_stride + c] = o[c] / l;
    }
}

static void attention_f32(const AttentionCall *call) { attention_of(CACHE_F32, call); }
static void attention_bf16(const AttentionCall *call) { attention_of(CACHE_BF16, call); }

/* ---- Element by element -------------------------------------------------------------------------------------------- */

static void rms_norm(const float *x, const float *gain, float epsilon, int64_t d, float *y) {
    float lane[16] = {0};
    for (int64_t i = 0; i < d; i++) lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
    float r = 1.0f / sqrtf(lanes_sum(lane) / (float)d + epsilon);
    for (int64_t i = 0; i < d; i++) y[i] = (x[i] * r) * gain[i];
}

static void silu_mul(const float *gate, const float *up, int64_t n, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (gate[i] / (1.0f + exp_f32(-gate[i]))) * up[i];
}

static void rope(const float *x, const float *cosine, const float *sine, int64_t half, float *y) {
    for (int64_t i = 0; i < half; i++) {
        float a = x[i], b = x[i + half];
        y[i] = a * cosine[i] - b * sine[i];
        y[i + half] = b * cosine[i] + a * sine[i];
    }
}

static void add(const float *a, const float *b, int64_t n, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static int64_t argmax(const float *x, int64_t n, float *best) {
    int64_t at = -1;
    *best = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (x[i] > *best || (at < 0 && x[i] == *best)) { /* the second: -inf wins over nothing */
            at = i;
            *best = x[i];
        }
    return at;
}

/* Coefficients: dev/exp_minimax.c. 12582912 = 1.5 * 2^23: adding it rounds to an integer and leaves n in the low bits,
 * so that a shift by 23 puts n where an exponent is. */
float exp_f32(float x) {
    if (x < -87.33f) return 0;
    if (x > 88.72f) return INFINITY;
    if (x != x) return x;
    union { float f; uint32_t u; } n = {.f = fmaf(x, 0x1.715476p+0f, 12582912.0f)}, e;
    float whole = n.f - 12582912.0f;
    float r = fmaf(whole, -0x1.62e430p-1f, x); /* ln 2 = 0x1.62e430p-1 - 0x1.05c610p-29 */
    r = fmaf(whole, 0x1.05c610p-29f, r);
    float p = 0x1.6accb6p-10f;
    p = fmaf(p, r, 0x1.123e14p-7f);
    p = fmaf(p, r, 0x1.555858p-5f);
    p = fmaf(p, r, 0x1.55548cp-3f);
    p = fmaf(p, r, 0x1.fffffcp-2f);
    p = fmaf(p, r, 1.0f);
    e.f = fmaf(p, r, 1.0f);
    e.u += n.u << 23;
    return e.f;
}

/* ---- The table -------------------------------------------------------------------------------------------------------- */

const Kernels kernels_reference = {
    .isa = "reference",
    .rows = {rows_f32, rows_bf16, rows_f16, rows_q8, rows_q4, rows_q4x, rows_q8x, rows_q6x},
    .unpack = {unpack_f32, unpack_bf16, unpack_f16, unpack_q8, unpack_q4, unpack_q4x, unpack_q8x, unpack_q6x},
    .tile = tile,
    .attention = {attention_f32, attention_bf16},
    .rms_norm = rms_norm, .silu_mul = silu_mul, .rope = rope, .add = add, .argmax = argmax,
};
