/* simd16_plain.h: v16, sixteen floats, in plain C: the third form of the template of src/cpu/kernels_simd16.h, which
 * proves its logic apart from any instruction set. Its register budget is that of AVX-512, so that the blocks which
 * only AVX-512 uses run here too. */
#ifndef SIMD16_PLAIN_H
#define SIMD16_PLAIN_H
#include <assert.h>
#include <math.h>
#include <string.h>
#include "../src/io/dtype.h"

typedef struct v16 { float lane[16]; } v16;
typedef struct m16 { bool lane[16]; } m16;

enum { V16_ROWS_MOST = 8, V16_APART_ROWS = 3, V16_TILE_ROWS = 12, V16_SUMS_F32 = 24, V16_SUMS_BF16 = 20 };
#define V16_PANELS(rows, step) ((rows) == 1 ? 4 : (rows) > 2 && (step) >= 8 ? 1 : 2)
enum { V16_ASK = 0 }; /* see heads16.h */

#define V16 static inline
#define V16_EACH(value)                                                                                               \
    v16 y_;                                                                                                            \
    for (int i = 0; i < 16; i++) y_.lane[i] = (value);                                                                 \
    return y_

V16 v16 v16_all(float f) { V16_EACH(f); }
V16 v16 v16_load(const float *p) { V16_EACH(p[i]); }
V16 void v16_store(float *p, v16 v) { memcpy(p, v.lane, sizeof v.lane); }
V16 v16 v16_add(v16 x, v16 y) { V16_EACH(x.lane[i] + y.lane[i]); }
V16 v16 v16_sub(v16 x, v16 y) { V16_EACH(x.lane[i] - y.lane[i]); }
V16 v16 v16_mul(v16 x, v16 y) { V16_EACH(x.lane[i] * y.lane[i]); }
V16 v16 v16_div(v16 x, v16 y) { V16_EACH(x.lane[i] / y.lane[i]); }
V16 v16 v16_max(v16 x, v16 y) { V16_EACH(x.lane[i] > y.lane[i] ? x.lane[i] : y.lane[i]); }
V16 v16 v16_sqrt(v16 x) { V16_EACH(sqrtf(x.lane[i])); }
V16 void v16_transpose(const float *in, int64_t in_step, float *out, int64_t out_step) {
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) out[j * out_step + i] = in[i * in_step + j];
}
V16 v16 v16_fma(v16 x, v16 y, v16 z) { V16_EACH(fmaf(x.lane[i], y.lane[i], z.lane[i])); }

V16 float v16_sum(v16 v) {
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) v.lane[i] += v.lane[i + step];
    return v.lane[0];
}
V16 float v16_top(v16 v) {
    for (int i = 1; i < 16; i++) v.lane[0] = v.lane[i] > v.lane[0] ? v.lane[i] : v.lane[0];
    return v.lane[0];
}
V16 m16 v16_lanes(int64_t lo, int64_t hi) {
    m16 m;
    for (int i = 0; i < 16; i++) m.lane[i] = i >= lo && i < hi;
    return m;
}
V16 v16 v16_pick(m16 m, v16 yes, v16 no) { V16_EACH(m.lane[i] ? yes.lane[i] : no.lane[i]); }
V16 m16 v16_less(v16 x, v16 y) {
    m16 m;
    for (int i = 0; i < 16; i++) m.lane[i] = x.lane[i] < y.lane[i];
    return m;
}
V16 m16 v16_nan(v16 x) {
    m16 m;
    for (int i = 0; i < 16; i++) m.lane[i] = x.lane[i] != x.lane[i];
    return m;
}
V16 unsigned v16_equal(v16 x, v16 y) {
    unsigned bits = 0;
    for (int i = 0; i < 16; i++) bits |= (unsigned)(x.lane[i] == y.lane[i]) << i;
    return bits;
}
V16 v16 v16_load_part(const float *p, int64_t n) { V16_EACH(i < n ? p[i] : 0); }
V16 void v16_store_part(float *p, int64_t n, v16 v) {
    for (int i = 0; i < 16 && i < n; i++) p[i] = v.lane[i];
}

V16 float plain_exponent(float x, float n) {
    union { float f; uint32_t u; } a = {.f = x}, b = {.f = n};
    a.u += b.u << 23;
    return a.f;
}
V16 uint16_t plain_half(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return h;
}
V16 v16 v16_exponent(v16 x, v16 n) { V16_EACH(plain_exponent(x.lane[i], n.lane[i])); }
V16 v16 v16_s8(const int8_t *p) { V16_EACH((float)p[i]); }
V16 v16 v16_u8(const uint8_t *p) { V16_EACH((float)p[i]); }
V16 v16 v16_bf16_split(const uint16_t *p) { V16_EACH(bf16_to_f32(p[15 - i])); } /* some other order */
V16 v16 v16_unsplit(v16 v) { V16_EACH(v.lane[15 - i]); }
V16 void v16_bf16_pair(const uint8_t *p, v16 *even, v16 *odd) {
    for (int i = 0; i < 16; i++) {
        even->lane[i] = bf16_to_f32(plain_half(p + 4 * i));
        odd->lane[i] = bf16_to_f32(plain_half(p + 4 * i + 2));
    }
}
V16 v16 v16_f16(const uint8_t *p) { V16_EACH(f16_to_f32(plain_half(p + 2 * i))); }
V16 v16 v16_byte(const uint8_t *p, int n) { V16_EACH((float)(n == 3 ? p[4 * i + n] : p[4 * i + n] << 8 * n)); }
V16 void v16_nibbles(const uint8_t *p, int shift, v16 *low, v16 *high) {
    for (int i = 0; i < 16; i++) {
        uint32_t word;
        memcpy(&word, p + 4 * i, sizeof word);
        low->lane[i] = (float)(word >> shift & 15);
        high->lane[i] = (float)(word >> shift & 240);
    }
}

V16 void v16_topped(const uint8_t *p, const uint8_t *tops, int shift, int up, int n, v16 *even, v16 *odd) {
    for (int i = 0; i < 16; i++) {
        uint32_t word, top, mask = (1u << n) - 1;
        memcpy(&word, p + 4 * i, sizeof word);
        memcpy(&top, tops + 4 * i, sizeof top);
        even->lane[i] = (float)((word >> shift & 15) | (top >> (shift + up) & mask) << 4);
        odd->lane[i] = (float)((word >> (shift + 4) & 15) | (top >> (shift + up + n) & mask) << 4);
    }
}

typedef struct d16 { int32_t lane[16]; } d16;
typedef struct line16 { uint8_t byte[64]; } line16;
enum { V16_DOT_ROWS = 12, V16_DOT_LONE = 1 };

V16 d16 d16_all(int32_t n) {
    d16 y;
    for (int i = 0; i < 16; i++) y.lane[i] = n;
    return y;
}
V16 d16 d16_add(d16 x, d16 y) {
    for (int i = 0; i < 16; i++) x.lane[i] += y.lane[i];
    return x;
}
V16 v16 d16_f32(d16 x) { V16_EACH((float)x.lane[i]); }
V16 line16 line16_load(const uint8_t *p) {
    line16 y;
    memcpy(y.byte, p, sizeof y.byte);
    return y;
}
V16 line16 line16_once(line16 x) { return x; }
V16 line16 line16_low(line16 x) {
    for (int i = 0; i < 64; i++) x.byte[i] &= 15;
    return x;
}
V16 line16 line16_high(line16 x) {
    for (int i = 0; i < 64; i++) x.byte[i] = (uint8_t)(x.byte[i] >> 4);
    return x;
}
V16 line16 line16_join(line16 x, line16 tops, int left, int mask) {
    for (int i = 0; i < 64; i++)
        x.byte[i] |= (uint8_t)((left < 0 ? tops.byte[i] >> -left : tops.byte[i] << left) & mask);
    return x;
}
/* Several sums under way, as with VNNI; each must fit the words of AVX2. */
typedef struct few16 { int32_t pair[32]; } few16;
enum { V16_DOT_LATE = 1, V16_FEW_WIDE = 0 };
V16 few16 few16_from(int32_t seed) {
    few16 y;
    (void)seed;
    memset(&y, 0, sizeof y);
    return y;
}
V16 few16 few16_add(few16 x, few16 y) {
    for (int i = 0; i < 32; i++) x.pair[i] += y.pair[i];
    return x;
}
V16 few16 few16_bytes(few16 sum, line16 w, const int8_t *x, int zero) {
    for (int i = 0; i < 32; i++) {
        int pair = (w.byte[2 * i] - zero) * x[2 * i % 4] + (w.byte[2 * i + 1] - zero) * x[2 * i % 4 + 1];
        assert(pair == (int16_t)pair);
        sum.pair[i] += pair;
        assert(sum.pair[i] == (int16_t)sum.pair[i]);
    }
    return sum;
}
V16 few16 few16_dot(few16 sum, line16 w, const int8_t *x) { return few16_bytes(sum, w, x, 0); }
V16 few16 few16_dot_centred(few16 sum, line16 w, const int8_t *x) { return few16_bytes(sum, w, x, 128); }
V16 d16 d16_of(few16 x, int32_t seed) {
    d16 y;
    for (int i = 0; i < 16; i++) y.lane[i] = seed + x.pair[2 * i] + x.pair[2 * i + 1];
    return y;
}
V16 int32_t d16_seed(int32_t seed) { return 0 * seed; }
V16 int32_t v16_put_s8(int8_t *out, v16 v) {
    static const int place[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    int32_t sum = 0;
    for (int i = 0; i < 16; i++) {
        int8_t q = (int8_t)lrintf(v.lane[i]);
        out[i / 8 * 8 + place[i % 8]] = q;
        sum += q;
    }
    return sum;
}
V16 void v16_put_u8(uint8_t *out, v16 v) {
    for (int i = 0; i < 16; i++) out[i] = (uint8_t)((v.lane[i] + 12582912.0f) - 12582912.0f); /* nearest, ties to even */
}
V16 v16 v16_abs(v16 x) { V16_EACH(fabsf(x.lane[i])); }

typedef struct pair16 { uint32_t lane[16]; } pair16;
enum { V16_PAIR_SUMS = 24, V16_PAIR_ROWS = 12, V16_PAIR_MOST = 16, V16_PAIR_FETCH = 17, V16_PAIR_LONE = 4 };
V16 pair16 pair16_load(const uint8_t *p) {
    pair16 y;
    memcpy(y.lane, p, sizeof y.lane);
    return y;
}
V16 pair16 pair16_all(const uint32_t *p) {
    pair16 y;
    for (int i = 0; i < 16; i++) y.lane[i] = *p;
    return y;
}
V16 float plain_pair(uint32_t w, uint32_t x, float sum) {
    sum = fma_flushed(bf16_to_f32((uint16_t)(w >> 16)), bf16_to_f32((uint16_t)(x >> 16)), sum);
    return fma_flushed(bf16_to_f32((uint16_t)w), bf16_to_f32((uint16_t)x), sum);
}
V16 v16 v16_pair(pair16 w, pair16 x, v16 sum) { V16_EACH(plain_pair(w.lane[i], x.lane[i], sum.lane[i])); }
V16 unsigned v16_flush(void) { return 0; }
V16 void v16_flush_end(unsigned before) { assert_int_equal(before, 0); }
V16 void v16_put_bf16(void *out, v16 v) {
    uint16_t h[16];
    for (int i = 0; i < 16; i++) h[i] = f32_to_bf16(v.lane[i]);
    memcpy(out, h, sizeof h);
}
V16 void v16_put_pairs(void *out, v16 low, v16 high) {
    uint32_t y[16];
    for (int i = 0; i < 16; i++) y[i] = f32_to_bf16(low.lane[i]) | (uint32_t)f32_to_bf16(high.lane[i]) << 16;
    memcpy(out, y, sizeof y);
}
V16 v16 v16_pin(v16 x) { return x; }
#endif
