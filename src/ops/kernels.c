/* kernels.c: what every kernel computes, in plain C: the truth the tuned ones are compared with, bit for bit.
 * Written to be read, not to be fast; one function per entry of the table, in its order. */
#include <float.h>
#include <math.h>
#include <string.h>
#include "kernels_grad.h"

const char *const act_names[ACT_COUNT] = {"f32", "int8", "bf16"};
const char *const cache_names[CACHE_COUNT] = {"f32", "bf16", "8bit"};

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

/* Scale and min of lane i of the part that holds k; returns the part's numbers. */
static const uint8_t *head_of(PackedType type, const uint8_t *panel, int64_t k, int i, float *scale, float *min) {
    const PackedRow *row = &packed_rows[type];
    const uint8_t *g = panel + k / row->group * packed_group_bytes(type);
    int64_t part = k % row->group / row->part;
    switch (row->head) {
        case HEAD_K:
            *scale = f16_at(g, i) * (float)g[(4 + 2 * part) * PANEL + i];
            *min = f16_at(g, PANEL + i) * (float)g[(5 + 2 * part) * PANEL + i];
            break;
        case HEAD_6K:
            *scale = f16_at(g, i) * (float)(int8_t)g[(2 + part) * PANEL + i];
            break;
        default:
            *scale = f16_at(g, part * PANEL + i);
            *min = f16_at(g, PANEL + i);
    }
    if (row->zero) *min = -(float)row->zero * *scale;
    return g + row->head_bytes + packed_bytes(type, part * row->part);
}

/* Number k of lane i of a part whose numbers begin at `q`. */
static int number_at(PackedType type, const uint8_t *q, int64_t k, int i) {
    int bits = packed_rows[type].bits, tops = bits - 4;
    int64_t line = k / 8, at = k % 8, byte = i * 4 + at / 2;
    if (bits == 8) return q[(2 * line + at % 2) * 4 * PANEL + byte];
    if (bits == 4) return q[line * 4 * PANEL + byte] >> at % 2 * 4 & 15;
    int top = q[byte] >> (2 * line + at % 2) * tops & ((1 << tops) - 1);
    return top << 4 | (q[(line + 1) * 4 * PANEL + byte] >> at % 2 * 4 & 15);
}

static void decode_quantised(PackedType type, const uint8_t *panel, int64_t k, float w[PANEL]) {
    for (int i = 0; i < PANEL; i++) {
        float scale, min;
        const uint8_t *q = head_of(type, panel, k, i, &scale, &min);
        w[i] = fmaf((float)number_at(type, q, k % packed_rows[type].part, i), scale, min);
    }
}
#define DECODE(name, type) \
    static void decode_##name(const uint8_t *panel, int64_t k, float w[PANEL]) { decode_quantised(type, panel, k, w); }
PACKED_QUANTISED(DECODE)

/* ---- Sums of leaves ---------------------------------------------------------------------------------------------- */

/* The sums of one row of one panel over columns k0 .. k1 onto acc. */
typedef struct Columns Columns;
struct Columns {
    void (*sum)(const Columns *c, int64_t k0, int64_t k1, float acc[PANEL]);
    Decode *decode;
    PackedType type;
    const uint8_t *panel;
    const void *x;
    int x_step; /* of acts */
};

static void sum_leaves(const Columns *c, const Leaves *leaves, float *acc) {
    float sum[LEAVES_DEPTH][PANEL];
    int top = 0;
    for (int l = 0; l < leaves->count; l++) {
        bool begins = !l || leaves->of[l] != leaves->of[l - 1];
        if (begins) top = 0, memcpy(sum[0], acc + leaves->of[l] * leaves->sum_step, sizeof sum[0]);
        else memset(sum[top], 0, sizeof sum[top]);
        c->sum(c, leaves->first[l], leaves->last[l], sum[top++]);
        for (int n = leaves->adds[l]; n > 0; n--, top--)
            for (int i = 0; i < PANEL; i++) sum[top - 2][i] += sum[top - 1][i];
        memcpy(acc + leaves->of[l] * leaves->sum_step, sum[0], sizeof sum[0]);
    }
}

/* ---- Linear ------------------------------------------------------------------------------------------------------ */

static void sum_floats(const Columns *c, int64_t k0, int64_t k1, float *acc) {
    const float *x = c->x;
    for (int64_t k = k0; k < k1; k++) {
        float w[PANEL];
        c->decode(c->panel, k, w);
        for (int i = 0; i < PANEL; i++) acc[i] = fmaf(w[i], x[k], acc[i]);
    }
}

#define LINEAR(name, type)                                                                                             \
    static void rows_##name(const void *panel, int64_t panel_step, int panels, const Leaves *leaves, const float *x,   \
                            int64_t x_stride, int rows, float *acc) {                                                  \
        for (int p = 0; p < panels; p++)                                                                               \
            for (int r = 0; r < rows; r++, acc += PANEL)                                                               \
                sum_leaves(&(Columns){.sum = sum_floats, .decode = decode_##name,                                      \
                                      .panel = (const uint8_t *)panel + p * panel_step, .x = x + r * x_stride},        \
                           leaves, acc);                                                                               \
    }                                                                                                                  \
    static void unpack_##name(const void *panel, int64_t k0, int64_t k1, float *w) {                                   \
        for (int64_t k = k0; k < k1; k++, w += PANEL) decode_##name(panel, k, w);                                      \
    }
PACKED_PLAIN(LINEAR)
PACKED_QUANTISED(LINEAR)

static void tile(const float *w, int64_t step, int panels, int64_t count, const float *x, int64_t x_stride,
                 int64_t rows, float *acc) {
    for (int p = 0; p < panels; p++, w += step)
        for (int64_t r = 0; r < rows; r++, acc += PANEL)
            for (int64_t k = 0; k < count; k++)
                for (int i = 0; i < PANEL; i++) acc[i] = fmaf(w[k * PANEL + i], x[r * x_stride + k], acc[i]);
}

/* ---- Linear with activations in bf16 ---------------------------------------------------------------------------- */

static void round_pairs(const float *x, int64_t n, Pair *out) {
    for (int64_t i = 0; i < n; i += 2)
        out[i / 2] = f32_to_bf16(x[i]) | (Pair)(i + 1 < n ? f32_to_bf16(x[i + 1]) : 0) << 16;
}

static void sum_pairs(const Columns *c, int64_t k0, int64_t k1, float *acc) {
    const Pair *x = c->x;
    for (int64_t k = k0; k < k1; k += 2) {
        float even[PANEL], odd[PANEL];
        decode_bf16(c->panel, k, even);
        decode_bf16(c->panel, k + 1, odd);
        for (int i = 0; i < PANEL; i++) {
            acc[i] = fma_flushed(odd[i], bf16_to_f32((uint16_t)(x[k / 2] >> 16)), acc[i]);
            acc[i] = fma_flushed(even[i], bf16_to_f32((uint16_t)x[k / 2]), acc[i]);
        }
    }
}

static void dot_pairs(const void *panel, int64_t panel_step, int panels, const Leaves *leaves, const Pair *x,
                      int64_t x_step, int64_t rows, float *acc) {
    for (int p = 0; p < panels; p++)
        for (int64_t r = 0; r < rows; r++, acc += PANEL)
            sum_leaves(&(Columns){.sum = sum_pairs, .panel = (const uint8_t *)panel + p * panel_step,
                                  .x = x + r * x_step}, leaves, acc);
}

/* ---- Linear with activations in 8 bits --------------------------------------------------------------------------- */

static void quantise(const float *x, int64_t n, Act *out, int step) {
    static const int place[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    for (int64_t g = 0; g < n / ACT_GROUP; g++, x += ACT_GROUP) {
        Act *act = &out[g * step];
        float most = 0;
        int32_t sum[2] = {0, 0};
        for (int i = 0; i < ACT_GROUP; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        float scale = most / 127.0f, inverse = most > 0 ? 127.0f / most : 0;
        for (int i = 0; i < ACT_GROUP; i++) {
            float v = x[i] * inverse;
            v = v > -127.0f ? v : -127.0f;
            v = v < 127.0f ? v : 127.0f;
            int q = (int)((v + 12582912.0f) - 12582912.0f); /* nearest, ties to even */
            if (x[i] != x[i]) scale = x[i];
            act->q[i / 8 * 8 + place[i % 8]] = (int8_t)q;
            sum[i / 16] += q;
        }
        act->scale = scale;
        act->seed8 = -128 * (sum[0] + sum[1]);
        act->seed4 = -8 * (sum[0] + sum[1]);
        act->sum = scale * (float)(sum[0] + sum[1]);
        for (int i = 0; i < 2; i++) act->seed6[i] = -32 * sum[i];
    }
}

/* The sum of (q - zero) times activations of lane i over [k, k + n), inside one part. */
static int32_t dot_exact(PackedType type, const uint8_t *q, int64_t k, int64_t n, int i, const Act *x, int step) {
    static const int place[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    int32_t sum = 0;
    for (int64_t j = k; j < k + n; j++) {
        int32_t a = x[j / ACT_GROUP * step].q[j % ACT_GROUP / 8 * 8 + place[j % 8]];
        sum += (number_at(type, q, j % packed_rows[type].part, i) - packed_rows[type].zero) * a;
    }
    return sum;
}

static float dot_lane(PackedType type, const uint8_t *panel, int64_t k0, int64_t k1, int i, const Act *x, int step,
                      float acc) {
    const PackedRow *packed = &packed_rows[type];
    bool wide = packed->part > ACT_GROUP;
    int64_t n = wide ? ACT_GROUP : packed->part;
    for (int64_t k = k0; k < k1;) {
        float scale, min, t = 0;
        const uint8_t *q = head_of(type, panel, k, i, &scale, &min);
        int64_t end = (k / packed->part + 1) * packed->part;
        for (end = end < k1 ? end : k1; k < end; k += n) {
            const Act *g = &x[k / ACT_GROUP * step];
            float s = (float)dot_exact(type, q, k, n, i, x, step);
            if (wide) t = fmaf(s, g->scale, t);
            else acc = fmaf(s, scale * g->scale, acc);
            if (!packed->zero) acc = fmaf(min, g->sum, acc);
        }
        if (wide) acc = fmaf(t, scale, acc);
    }
    return acc;
}

static void sum_acts(const Columns *c, int64_t k0, int64_t k1, float *acc) {
    for (int i = 0; i < PANEL; i++) acc[i] = dot_lane(c->type, c->panel, k0, k1, i, c->x, c->x_step, acc[i]);
}

#define DOT(name, packed_type)                                                                                         \
    static void dot_##name(const void *panel, int64_t panel_step, int panels, const Leaves *leaves, const Act *x,      \
                           int64_t x_step, int64_t rows, float *acc) {                                                 \
        for (int p = 0; p < panels; p++, acc += (x_step ? quad_rows(rows) : 1) * PANEL)                                \
            for (int64_t r = 0; r < rows; r++)                                                                         \
                sum_leaves(&(Columns){.sum = sum_acts, .type = packed_type,                                            \
                                      .panel = (const uint8_t *)panel + p * panel_step,                                \
                                      .x = x + (r / QUAD * x_step * QUAD + r % QUAD), .x_step = x_step ? QUAD : 1},    \
                           leaves, acc + r * PANEL);                                                                   \
    }
PACKED_QUANTISED(DOT)

/* ---- Attention --------------------------------------------------------------------------------------------------- */

static float cache_at(CacheType type, const void *cache, int64_t i) {
    if (type == CACHE_Q8) return (float)((const int8_t *)cache)[i];
    return type == CACHE_F32 ? ((const float *)cache)[i] : bf16_to_f32(((const uint16_t *)cache)[i]);
}

/* The scale of a position of a page. */
static float scale_at(CacheType type, const uint8_t *page, int64_t channels, int64_t p) {
    float scale = 1;
    if (type == CACHE_Q8) memcpy(&scale, page + ATTENTION_BLOCK * channels + 4 * p, sizeof scale);
    return scale;
}

/* Scores of one block for one head become e in place; m_b and l_b. lo..hi: the block's positions inside the range. */
static void block_softmax(float s[ATTENTION_BLOCK], int64_t lo, int64_t hi, float *m, float *l) {
    float lane[16];
    *m = -INFINITY;
    for (int64_t p = lo; p < hi; p++) *m = s[p] > *m ? s[p] : *m;
    for (int64_t p = 0; p < ATTENTION_BLOCK; p++) s[p] = p < lo || p >= hi ? 0 : exp_f32(s[p] - *m);
    for (int i = 0; i < 16; i++) lane[i] = (s[i] + s[i + 16]) + (s[i + 32] + s[i + 48]);
    *l = lanes_fold(lane);
}

/* What the bias that a key lacks gives to its score. */
static float bias_score(const AttentionCall *call, const float *q, int32_t position) {
    float t = 0, *weights = call->scratch + 2 * call->channels; /* after o and o_b */
    if (position < 0) return 0;
    key_bias_weights(call->bias, call->turns, position / TURN_POSITIONS, q, weights);
    for (int64_t i = 0; i < call->bias->pairs; i++) {
        int64_t turn = call->bias->pair[i].turn, at = position % TURN_POSITIONS;
        t = fmaf(weights[2 * i], call->turns->near[turn * TURN_POSITIONS + at], t);
        t = fmaf(weights[2 * i + 1], call->turns->near[(call->turns->half + 1 + turn) * TURN_POSITIONS + at], t);
    }
    return t;
}

/* One head, one block of positions lo .. hi: o_b, m_b, l_b. */
static void attention_block(CacheType type, const AttentionCall *call, const float *q, const uint8_t *keys, int64_t lo,
                            int64_t hi, float *o, float *m, float *l) {
    float s[ATTENTION_BLOCK];
    int64_t channels = call->channels, page = (keys - call->cache) / (2 * cache_page_bytes(type, channels));
    const uint8_t *values = keys + cache_page_bytes(type, channels);
    for (int64_t p = lo; p < hi; p++) {
        s[p] = 0;
        for (int64_t c = 0; c < channels; c++)
            s[p] = fmaf(q[c], cache_at(type, keys, (p / K_BLOCK * channels + c) * K_BLOCK + p % K_BLOCK), s[p]);
        if (type == CACHE_Q8 && call->bias)
            s[p] = fmaf(s[p], scale_at(type, keys, channels, p),
                        bias_score(call, q, call->at[page * ATTENTION_BLOCK + p])) * call->scale;
        else s[p] = s[p] * scale_at(type, keys, channels, p) * call->scale;
    }
    block_softmax(s, lo, hi, m, l);
    for (int64_t c = 0; c < channels; c++) {
        o[c] = 0;
        for (int64_t p = lo; p < hi; p++)
            o[c] = fmaf(s[p] * scale_at(type, values, channels, p), cache_at(type, values, p * channels + c), o[c]);
    }
}

/* From the sums of one head to the next, in a part. */
static int64_t o_step(int64_t channels) { return (channels + 15) / 16 * 16; }

/* Adds a block to the sums of one head. */
static void attention_add(int64_t channels, float *o, float *m, float *l, const float *o_b, float m_b, float l_b) {
    float top = m_b > *m ? m_b : *m, a = exp_f32(*m - top), b = exp_f32(m_b - top);
    *m = top;
    *l = fmaf(*l, a, l_b * b);
    for (int64_t c = 0; c < channels; c++) o[c] = fmaf(o[c], a, o_b[c] * b);
}

static void attention_head(CacheType type, const AttentionCall *call, const AttentionRow *row, int64_t h) {
    int64_t channels = call->channels, bytes = 2 * cache_page_bytes(type, channels), heads = call->heads;
    float *o = call->scratch, *o_b = o + channels, m = 0, l = 0, *part = call->parts;
    for (int64_t start = row->first / ATTENTION_BLOCK * ATTENTION_BLOCK; start < row->last; start += ATTENTION_BLOCK) {
        int64_t lo = row->first > start ? row->first - start : 0;
        int64_t hi = row->last - start < ATTENTION_BLOCK ? row->last - start : ATTENTION_BLOCK;
        const uint8_t *keys = call->cache + row->page[start / ATTENTION_BLOCK] * bytes;
        const float *q = row->q + h * channels;
        bool fresh = row->first >= start; /* the first block */
        float m_b, l_b;
        if (part) {
            float *sums = part + heads * o_step(channels);
            attention_block(type, call, q, keys, lo, hi, part + h * o_step(channels), &sums[h], &sums[heads + h]);
            part += attention_part(heads, channels);
            continue;
        }
        attention_block(type, call, q, keys, lo, hi, fresh ? o : o_b, fresh ? &m : &m_b, fresh ? &l : &l_b);
        if (!fresh) attention_add(channels, o, &m, &l, o_b, m_b, l_b);
    }
    for (int64_t c = 0; c < channels && !part; c++) row->out[h * channels + c] = o[c] / l;
    if (row->stats && !part) row->stats[2 * h] = m + 0.0f, row->stats[2 * h + 1] = l;
}

static void attention_of(CacheType type, const AttentionCall *call) {
    for (int r = 0; r < call->rows; r++)
        for (int h = 0; h < call->heads; h++) attention_head(type, call, &call->row[r], h);
}

static void attention_f32(const AttentionCall *call) { attention_of(CACHE_F32, call); }
static void attention_bf16(const AttentionCall *call) { attention_of(CACHE_BF16, call); }
static void attention_q8(const AttentionCall *call) { attention_of(CACHE_Q8, call); }

static void attention_merge(float *parts, int64_t blocks, int heads, int64_t channels, float *out,
                            float *stats) {
    int64_t size = attention_part(heads, channels);
    for (int64_t h = 0; h < heads; h++) {
        float *o = parts + h * o_step(channels), *m = parts + heads * o_step(channels) + h, *l = m + heads;
        for (int64_t at = size; at < blocks * size; at += size)
            attention_add(channels, o, m, l, o + at, m[at], l[at]);
        for (int64_t c = 0; c < channels; c++) out[h * channels + c] = o[c] / *l;
        if (stats) stats[2 * h] = *m + 0.0f, stats[2 * h + 1] = *l;
    }
}

/* ---- Element by element ------------------------------------------------------------------------------------------ */

static void rms_norm(const float *x, const float *gain, float epsilon, int64_t d, float *y) {
    float lane[16] = {0};
    for (int64_t i = 0; i < d; i++) lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
    float r = 1.0f / sqrtf(lanes_fold(lane) / (float)d + epsilon);
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

/* ---- The table --------------------------------------------------------------------------------------------------- */

#define ROWS(name, type) [type] = rows_##name,
#define UNPACK(name, type) [type] = unpack_##name,
#define DOTS(name, type) [type] = dot_##name,
const Kernels kernels_reference = {
    .isa = "reference",
    .rows = {PACKED_PLAIN(ROWS) PACKED_QUANTISED(ROWS)},
    .unpack = {PACKED_PLAIN(UNPACK) PACKED_QUANTISED(UNPACK)},
    .tile = tile,
    .quantise = quantise,
    .dot = {PACKED_QUANTISED(DOTS)},
    .round = round_pairs,
    .dot_pairs = dot_pairs,
    .attention = {attention_f32, attention_bf16, attention_q8}, .merge = attention_merge,
    .rms_norm = rms_norm, .silu_mul = silu_mul, .rope = rope, .add = add, .argmax = argmax,
    KERNELS_GRAD KERNELS_OPTIMIZE
};
