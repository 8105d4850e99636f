/* simd16_avx2.h: v16, sixteen floats, as two registers of AVX2 with FMA and F16C. See kernels_simd16.h for what each
 * function must do; simd16_avx512.h has the same ones for AVX-512, tests/simd16_plain.h in plain C. */
#ifndef SIMD16_AVX2_H
#define SIMD16_AVX2_H
#include <immintrin.h>
#include <stdint.h>
#include "simd16_flush.h"
#include "transpose8.h"

typedef struct v16 { __m256 a, b; } v16;
typedef v16 m16; /* a choice per lane: all bits set or none */

/* Register budget: 16 of 8 floats. */
enum { V16_ROWS_MOST = 4, V16_APART_ROWS = 4, V16_TILE_ROWS = 6, V16_SUMS_F32 = 6, V16_SUMS_BF16 = 5 };
#define V16_PANELS(rows, step) ((rows) == 1 ? 4 : (rows) == 2 ? 2 : 1)
enum { V16_ASK = 256 }; /* see heads16.h */

#define V16 static inline __attribute__((always_inline))

V16 v16 v16_all(float f) { return (v16){_mm256_set1_ps(f), _mm256_set1_ps(f)}; }
V16 v16 v16_load(const float *p) { return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
V16 void v16_store(float *p, v16 v) {
    _mm256_storeu_ps(p, v.a);
    _mm256_storeu_ps(p + 8, v.b);
}
V16 v16 v16_add(v16 x, v16 y) { return (v16){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
V16 v16 v16_sub(v16 x, v16 y) { return (v16){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
V16 v16 v16_mul(v16 x, v16 y) { return (v16){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
V16 v16 v16_div(v16 x, v16 y) { return (v16){_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
V16 v16 v16_max(v16 x, v16 y) { return (v16){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
V16 v16 v16_fma(v16 x, v16 y, v16 z) { return (v16){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }

V16 v16 v16_sqrt(v16 x) { return (v16){_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }

/* ---- Lanes ----------------------------------------------------------------------------------------------------- */

V16 float v8_sum(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
V16 float v16_sum(v16 v) { return v8_sum(_mm256_add_ps(v.a, v.b)); }

V16 float v16_top(v16 v) {
    __m256 t = _mm256_max_ps(v.a, v.b);
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

V16 __m256 v8_lanes(int64_t lo, int64_t hi, __m256i lane) {
    int from = lo < 0 ? 0 : lo > 16 ? 16 : (int)lo, to = hi < 0 ? 0 : hi > 16 ? 16 : (int)hi;
    __m256i in = _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(from), lane),
                                     _mm256_cmpgt_epi32(_mm256_set1_epi32(to), lane));
    return _mm256_castsi256_ps(in);
}
V16 m16 v16_lanes(int64_t lo, int64_t hi) {
    return (m16){v8_lanes(lo, hi, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
                 v8_lanes(lo, hi, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}
V16 v16 v16_pick(m16 m, v16 yes, v16 no) {
    return (v16){_mm256_blendv_ps(no.a, yes.a, m.a), _mm256_blendv_ps(no.b, yes.b, m.b)};
}
V16 m16 v16_less(v16 x, v16 y) {
    return (m16){_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)};
}
V16 m16 v16_nan(v16 x) {
    return (m16){_mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q), _mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q)};
}
V16 unsigned v16_equal(v16 x, v16 y) {
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x.a, y.a, _CMP_EQ_OQ)) |
           (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x.b, y.b, _CMP_EQ_OQ)) << 8;
}
V16 v16 v16_load_part(const float *p, int64_t n) {
    m16 m = v16_lanes(0, n);
    return (v16){_mm256_maskload_ps(p, _mm256_castps_si256(m.a)), _mm256_maskload_ps(p + 8, _mm256_castps_si256(m.b))};
}
V16 void v16_store_part(float *p, int64_t n, v16 v) {
    m16 m = v16_lanes(0, n);
    _mm256_maskstore_ps(p, _mm256_castps_si256(m.a), v.a);
    _mm256_maskstore_ps(p + 8, _mm256_castps_si256(m.b), v.b);
}

/* ---- Numbers in other forms ------------------------------------------------------------------------------------- */

V16 __m256 v8_exponent(__m256 x, __m256 n) {
    __m256i shifted = _mm256_slli_epi32(_mm256_castps_si256(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), shifted));
}
V16 v16 v16_exponent(v16 x, v16 n) { return (v16){v8_exponent(x.a, n.a), v8_exponent(x.b, n.b)}; }

/* Lanes 0, 2, .. 14 in a, 1, 3, .. 15 in b: two instructions instead of four, none of them a shuffle. */
V16 v16 v16_s8(const int8_t *p) {
    __m256i a = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)),
            b = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)(p + 8)));
    return (v16){_mm256_cvtepi32_ps(a), _mm256_cvtepi32_ps(b)};
}
V16 v16 v16_u8(const uint8_t *p) {
    __m256i a = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p)),
            b = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(p + 8)));
    return (v16){_mm256_cvtepi32_ps(a), _mm256_cvtepi32_ps(b)};
}
V16 v16 v16_bf16_split(const uint16_t *p) {
    __m256i v = _mm256_loadu_si256((const void *)p), top = _mm256_set1_epi32((int)0xffff0000u);
    return (v16){_mm256_castsi256_ps(_mm256_slli_epi32(v, 16)), _mm256_castsi256_ps(_mm256_and_si256(v, top))};
}
V16 v16 v16_unsplit(v16 v) {
    __m256 low = _mm256_unpacklo_ps(v.a, v.b), high = _mm256_unpackhi_ps(v.a, v.b); /* 0-3 and 8-11, 4-7 and 12-15 */
    return (v16){_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
}

V16 void v16_bf16_pair(const uint8_t *p, v16 *even, v16 *odd) {
    __m256i a = _mm256_loadu_si256((const void *)p), b = _mm256_loadu_si256((const void *)(p + 32));
    __m256i top = _mm256_set1_epi32((int)0xffff0000u);
    *even = (v16){_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(b, 16))};
    *odd = (v16){_mm256_castsi256_ps(_mm256_and_si256(a, top)), _mm256_castsi256_ps(_mm256_and_si256(b, top))};
}

V16 v16 v16_f16(const uint8_t *p) {
    return (v16){_mm256_cvtph_ps(_mm_loadu_si128((const void *)p)),
                 _mm256_cvtph_ps(_mm_loadu_si128((const void *)(p + 16)))};
}
V16 __m256 v8_byte(const uint8_t *p, int n) {
    __m256i v = _mm256_loadu_si256((const void *)p);
    return _mm256_cvtepi32_ps(n == 3 ? _mm256_srli_epi32(v, 24) : _mm256_and_si256(v, _mm256_set1_epi32(255 << 8 * n)));
}
V16 v16 v16_byte(const uint8_t *p, int n) { return (v16){v8_byte(p, n), v8_byte(p + 32, n)}; }
V16 void v8_nibbles(const uint8_t *p, int shift, __m256 *low, __m256 *high) {
    __m256i v = _mm256_srli_epi32(_mm256_loadu_si256((const void *)p), shift);
    *low = _mm256_cvtepi32_ps(_mm256_and_si256(v, _mm256_set1_epi32(15)));
    *high = _mm256_cvtepi32_ps(_mm256_and_si256(v, _mm256_set1_epi32(240)));
}
V16 void v16_nibbles(const uint8_t *p, int shift, v16 *low, v16 *high) {
    v8_nibbles(p, shift, &low->a, &high->a);
    v8_nibbles(p + 32, shift, &low->b, &high->b);
}

V16 __m256i words_right(__m256i x, int n) { return n >= 0 ? _mm256_srli_epi32(x, n) : _mm256_slli_epi32(x, -n); }
V16 void v8_topped(const uint8_t *p, const uint8_t *tops, int shift, int up, int n, __m256 *even, __m256 *odd) {
    __m256i v = _mm256_loadu_si256((const void *)p), t = _mm256_loadu_si256((const void *)tops);
    __m256i low = _mm256_set1_epi32(15), mask = _mm256_set1_epi32(((1 << n) - 1) << 4);
    __m256i a = _mm256_and_si256(words_right(v, shift), low), b = _mm256_and_si256(words_right(v, shift + 4), low);
    a = _mm256_or_si256(a, _mm256_and_si256(words_right(t, shift + up - 4), mask));
    b = _mm256_or_si256(b, _mm256_and_si256(words_right(t, shift + up + n - 4), mask));
    *even = _mm256_cvtepi32_ps(a);
    *odd = _mm256_cvtepi32_ps(b);
}
V16 void v16_topped(const uint8_t *p, const uint8_t *tops, int shift, int up, int n, v16 *even, v16 *odd) {
    v8_topped(p, tops, shift, up, n, &even->a, &odd->a);
    v8_topped(p + 32, tops + 32, shift, up, n, &even->b, &odd->b);
}

/* ---- Products in 8 bits, summed in 32: d16, sixteen integers; line16, 64 bytes, four per lane -------------------- */

typedef struct d16 { __m256i a, b; } d16;
typedef d16 line16;

/* Rows of a dot_block. Exact sums of four fit the registers; those in floats wait in L1 for the end of a part. */
enum { V16_DOT_ROWS = 4, V16_DOT_LONE = 4 };

V16 d16 d16_all(int32_t i) { return (d16){_mm256_set1_epi32(i), _mm256_set1_epi32(i)}; }
/* A sum is added up where it stands in the code: GCC puts adding off and spills all that waits, which costs a third of
 * the time of four rows in 4 bits and a tenth of one row's. */
V16 d16 d16_now(d16 x) {
    __asm__ volatile("" : "+x"(x.a), "+x"(x.b));
    return x;
}
V16 d16 d16_add(d16 x, d16 y) { return d16_now((d16){_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}); }
V16 v16 d16_f32(d16 x) { return (v16){_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
V16 line16 line16_load(const uint8_t *p) {
    return (line16){_mm256_loadu_si256((const void *)p), _mm256_loadu_si256((const void *)(p + 32))};
}
V16 line16 line16_once(line16 x) { return x; }
V16 line16 line16_low(line16 x) {
    __m256i mask = _mm256_set1_epi8(15);
    return (line16){_mm256_and_si256(x.a, mask), _mm256_and_si256(x.b, mask)};
}
V16 line16 line16_high(line16 x) {
    return line16_low((line16){_mm256_srli_epi32(x.a, 4), _mm256_srli_epi32(x.b, 4)});
}
V16 line16 line16_join(line16 x, line16 tops, int left, int mask) {
    __m256i m = _mm256_set1_epi8((char)mask);
    return (line16){_mm256_or_si256(x.a, _mm256_and_si256(words_right(tops.a, -left), m)),
                    _mm256_or_si256(x.b, _mm256_and_si256(words_right(tops.b, -left), m))};
}
V16 __m256i quad_word(const int8_t *x) {
    int32_t word;
    __builtin_memcpy(&word, x, sizeof word);
    return _mm256_set1_epi32(word);
}
typedef d16 few16; /* 32 sums of pairs, in 16 bits */
enum { V16_DOT_LATE = 0, V16_FEW_WIDE = 0 };
V16 few16 few16_from(int32_t seed) { return d16_all(0 * seed); }
V16 few16 few16_add(few16 x, few16 y) { return (few16){_mm256_add_epi16(x.a, y.a), _mm256_add_epi16(x.b, y.b)}; }
V16 few16 few16_dot(few16 sum, line16 w, const int8_t *x) {
    __m256i v = quad_word(x);
    return d16_now(few16_add(sum, (few16){_mm256_maddubs_epi16(w.a, v), _mm256_maddubs_epi16(w.b, v)}));
}
V16 __m256i v32_centred(__m256i w, __m256i x) { /* |w - 128| times x with the sign of w - 128 */
    __m256i s = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
    return _mm256_maddubs_epi16(_mm256_abs_epi8(s), _mm256_sign_epi8(x, s));
}
V16 few16 few16_dot_centred(few16 sum, line16 w, const int8_t *x) {
    __m256i v = quad_word(x);
    return d16_now(few16_add(sum, (few16){v32_centred(w.a, v), v32_centred(w.b, v)}));
}
V16 d16 d16_of(few16 x, int32_t seed) {
    __m256i one = _mm256_set1_epi16(1);
    return d16_add(d16_all(seed), (d16){_mm256_madd_epi16(x.a, one), _mm256_madd_epi16(x.b, one)});
}
V16 int32_t d16_seed(int32_t seed) { return 0 * seed; }

/* 16 floats to int8 (nearest, ties to even), in the order of Act; returns their sum. */
V16 int32_t v16_put_s8(int8_t *out, v16 v) {
    __m256i a = _mm256_cvtps_epi32(v.a), b = _mm256_cvtps_epi32(v.b);
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    __m128i order = _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
    _mm_storeu_si128((__m128i *)(void *)out, _mm_shuffle_epi8(bytes, order));
    __m256i s = _mm256_add_epi32(a, b);
    __m128i t = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(t, _mm_shuffle_epi32(t, 0xb1)));
}
/* 16 floats from 0 to 255 to bytes in a row, to the nearest, ties to even. */
V16 void v16_put_u8(uint8_t *out, v16 v) {
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b)), 0xd8);
    _mm_storeu_si128((__m128i *)(void *)out,
                     _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
V16 v16 v16_abs(v16 x) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}

/* ---- Products of bf16: pair16, sixteen pairs -------------------------------------------------------------------- */

typedef struct pair16 { v16 even, odd; } pair16;
enum { V16_PAIR_SUMS = 4, V16_PAIR_ROWS = 4, V16_PAIR_MOST = 4, V16_PAIR_FETCH = 3, V16_PAIR_LONE = 4 };
V16 pair16 pair16_load(const uint8_t *p) {
    pair16 y;
    v16_bf16_pair(p, &y.even, &y.odd);
    return y;
}
V16 pair16 pair16_all(const uint32_t *p) {
    __m256i v = _mm256_set1_epi32((int)*p);
    __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
    __m256 odd = _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32((int)0xffff0000u)));
    return (pair16){{even, even}, {odd, odd}};
}
V16 v16 v16_pair(pair16 w, pair16 x, v16 sum) { return v16_fma(w.even, x.even, v16_fma(w.odd, x.odd, sum)); }
V16 __m256i v8_bf16(__m256 v) { /* in the high halves */
    __m256i u = _mm256_castps_si256(v), even = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i r = _mm256_add_epi32(u, _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff)));
    __m256 nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);
    __m256 quiet = _mm256_or_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(0x400000)));
    return _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(r), quiet, nan));
}
V16 void v16_put_bf16(void *out, v16 v) {
    __m256i a = _mm256_srli_epi32(v8_bf16(v.a), 16), b = _mm256_srli_epi32(v8_bf16(v.b), 16);
    _mm256_storeu_si256((__m256i *)out, _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8));
}
V16 __m256i v8_pairs(__m256 low, __m256 high) {
    return _mm256_blend_epi16(_mm256_srli_epi32(v8_bf16(low), 16), v8_bf16(high), 0xaa);
}
V16 void v16_put_pairs(void *out, v16 low, v16 high) {
    _mm256_storeu_si256((__m256i *)out, v8_pairs(low.a, high.a));
    _mm256_storeu_si256((__m256i *)out + 1, v8_pairs(low.b, high.b));
}
V16 v16 v16_pin(v16 x) {
    __asm__ volatile("" : "+x"(x.a), "+x"(x.b));
    return x;
}
#endif
