/* simd16_avx512.h: v16, sixteen floats, as one register of AVX-512 (F, BW, VL, DQ). See kernels_simd16.h for what each
 * function must do, simd16_avx2.h for the same on AVX2. */
#ifndef SIMD16_AVX512_H
#define SIMD16_AVX512_H
#include <immintrin.h>
#include <stdint.h>
#include "transpose8.h"

typedef __m512 v16;
typedef __mmask16 m16;

/* Register budget: 32 of 16 floats. */
enum { V16_ROWS_MOST = 8, V16_APART_ROWS = 9, V16_TILE_ROWS = 12, V16_SUMS_F32 = 24, V16_SUMS_BF16 = 24 };
#define V16_PANELS(rows, step) ((rows) == 1 ? 4 : (rows) > 2 && (step) >= 8 ? 1 : 2)
enum { V16_ASK = 0 }; /* see heads16.h */

#define V16 static inline __attribute__((always_inline))

V16 v16 v16_all(float f) { return _mm512_set1_ps(f); }
V16 v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
V16 void v16_store(float *p, v16 v) { _mm512_storeu_ps(p, v); }
V16 v16 v16_add(v16 x, v16 y) { return _mm512_add_ps(x, y); }
V16 v16 v16_sub(v16 x, v16 y) { return _mm512_sub_ps(x, y); }
V16 v16 v16_mul(v16 x, v16 y) { return _mm512_mul_ps(x, y); }
V16 v16 v16_div(v16 x, v16 y) { return _mm512_div_ps(x, y); }
V16 v16 v16_max(v16 x, v16 y) { return _mm512_max_ps(x, y); }
V16 v16 v16_fma(v16 x, v16 y, v16 z) { return _mm512_fmadd_ps(x, y, z); }
V16 v16 v16_sqrt(v16 x) { return _mm512_sqrt_ps(x); }

/* ---- Lanes ----------------------------------------------------------------------------------------------------- */

V16 float v16_sum(v16 v) {
    __m256 t = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
V16 float v16_top(v16 v) {
    __m256 t = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
V16 unsigned v16_below(int64_t n) { return n <= 0 ? 0 : n >= 16 ? 0xffffu : (1u << n) - 1; }
V16 m16 v16_lanes(int64_t lo, int64_t hi) { return (m16)(v16_below(hi) & ~v16_below(lo)); }
V16 v16 v16_pick(m16 m, v16 yes, v16 no) { return _mm512_mask_blend_ps(m, no, yes); }
V16 m16 v16_less(v16 x, v16 y) { return _mm512_cmp_ps_mask(x, y, _CMP_LT_OQ); }
V16 m16 v16_nan(v16 x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }
V16 unsigned v16_equal(v16 x, v16 y) { return _mm512_cmp_ps_mask(x, y, _CMP_EQ_OQ); }
V16 v16 v16_load_part(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(v16_lanes(0, n), p); }
V16 void v16_store_part(float *p, int64_t n, v16 v) { _mm512_mask_storeu_ps(p, v16_lanes(0, n), v); }

/* ---- Numbers in other forms ------------------------------------------------------------------------------------- */

V16 v16 v16_exponent(v16 x, v16 n) {
    __m512i shifted = _mm512_slli_epi32(_mm512_castps_si512(n), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), shifted));
}
V16 v16 v16_s8(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
}
V16 v16 v16_u8(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p)));
}
V16 v16 v16_bf16_split(const uint16_t *p) { /* in order: one instruction widens all */
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
V16 v16 v16_unsplit(v16 v) { return v; }
V16 void v16_bf16_pair(const uint8_t *p, v16 *even, v16 *odd) {
    __m512i v = _mm512_loadu_si512(p);
    *even = _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
    *odd = _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32((int)0xffff0000u)));
}
V16 v16 v16_f16(const uint8_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p)); }
V16 v16 v16_byte(const uint8_t *p, int n) {
    __m512i v = _mm512_loadu_si512(p);
    return _mm512_cvtepi32_ps(n == 3 ? _mm512_srli_epi32(v, 24) : _mm512_and_si512(v, _mm512_set1_epi32(255 << 8 * n)));
}
V16 void v16_nibbles(const uint8_t *p, int shift, v16 *low, v16 *high) {
    __m512i v = _mm512_srli_epi32(_mm512_loadu_si512(p), (unsigned)shift);
    *low = _mm512_cvtepi32_ps(_mm512_and_si512(v, _mm512_set1_epi32(15)));
    *high = _mm512_cvtepi32_ps(_mm512_and_si512(v, _mm512_set1_epi32(240)));
}

V16 __m512i words_right(__m512i x, int n) {
    return n >= 0 ? _mm512_srli_epi32(x, (unsigned)n) : _mm512_slli_epi32(x, (unsigned)-n);
}
V16 void v16_topped(const uint8_t *p, const uint8_t *tops, int shift, int up, int n, v16 *even, v16 *odd) {
    __m512i v = _mm512_loadu_si512(p), t = _mm512_loadu_si512(tops);
    __m512i low = _mm512_set1_epi32(15), mask = _mm512_set1_epi32(((1 << n) - 1) << 4);
    __m512i a = _mm512_and_si512(words_right(v, shift), low), b = _mm512_and_si512(words_right(v, shift + 4), low);
    a = _mm512_or_si512(a, _mm512_and_si512(words_right(t, shift + up - 4), mask));
    b = _mm512_or_si512(b, _mm512_and_si512(words_right(t, shift + up + n - 4), mask));
    *even = _mm512_cvtepi32_ps(a);
    *odd = _mm512_cvtepi32_ps(b);
}

/* ---- Products in 8 bits, summed in 32: d16, sixteen integers; line16, 64 bytes, four per lane -------------------- */

typedef __m512i d16, line16;

/* Rows of a dot_block: sums of both kinds for that many rows must fit the registers. */
enum { V16_DOT_ROWS = 12, V16_DOT_LONE = 1 };

V16 d16 d16_all(int32_t i) { return _mm512_set1_epi32(i); }
V16 d16 d16_now(d16 x) { /* as in simd16_avx2.h */
    __asm__ volatile("" : "+v"(x));
    return x;
}
V16 d16 d16_add(d16 x, d16 y) { return d16_now(_mm512_add_epi32(x, y)); }
V16 v16 d16_f32(d16 x) { return _mm512_cvtepi32_ps(x); }
V16 line16 line16_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
V16 line16 line16_once(line16 x) { /* GCC would load it anew for the low and the high bits */
    __asm__("" : "+v"(x));
    return x;
}
V16 line16 line16_low(line16 x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
V16 line16 line16_high(line16 x) { return _mm512_and_si512(_mm512_srli_epi32(x, 4), _mm512_set1_epi8(15)); }
V16 line16 line16_join(line16 x, line16 tops, int left, int mask) {
    return _mm512_ternarylogic_epi32(x, words_right(tops, -left), _mm512_set1_epi8((char)mask), 0xf8);
}
V16 int32_t quad_word(const int8_t *x) {
    int32_t word;
    __builtin_memcpy(&word, x, sizeof word);
    return word;
}
#ifdef __AVX512VNNI__
typedef d16 few16;
enum { V16_DOT_LATE = 1, V16_FEW_WIDE = 1 };
V16 few16 few16_from(int32_t seed) { return d16_all(seed); }
V16 few16 few16_add(few16 x, few16 y) { return d16_add(x, y); }
/* In assembly: GCC 12 copies and spills the sums of the intrinsic, and does not fold the broadcast. */
V16 few16 few16_dot(few16 sum, line16 w, const int8_t *x) {
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*(const int32_t *)(const void *)x));
    return sum;
}
V16 few16 few16_dot_centred(few16 sum, line16 w, const int8_t *x) { return few16_dot(sum, w, x); }
V16 d16 d16_of(few16 x, int32_t seed) {
    (void)seed; /* it started from it */
    return x;
}
V16 int32_t d16_seed(int32_t seed) { return seed; }
#else
/* As in simd16_avx2.h. */
typedef __m512i few16;
enum { V16_DOT_LATE = 0, V16_FEW_WIDE = 0 };
V16 few16 few16_from(int32_t seed) { return d16_all(0 * seed); }
V16 few16 few16_add(few16 x, few16 y) { return _mm512_add_epi16(x, y); }
V16 few16 few16_dot(few16 sum, line16 w, const int8_t *x) {
    return d16_now(few16_add(sum, _mm512_maddubs_epi16(w, _mm512_set1_epi32(quad_word(x)))));
}
V16 few16 few16_dot_centred(few16 sum, line16 w, const int8_t *x) { /* |w - 128| times x with the sign of w - 128 */
    __m512i s = _mm512_xor_si512(w, _mm512_set1_epi8(-128)), v = _mm512_set1_epi32(quad_word(x));
    v = _mm512_mask_sub_epi8(v, _mm512_movepi8_mask(s), _mm512_setzero_si512(), v);
    return d16_now(few16_add(sum, _mm512_maddubs_epi16(_mm512_abs_epi8(s), v)));
}
V16 d16 d16_of(few16 x, int32_t seed) {
    return d16_add(d16_all(seed), _mm512_madd_epi16(x, _mm512_set1_epi16(1)));
}
V16 int32_t d16_seed(int32_t seed) { return 0 * seed; }
#endif

/* 16 floats to int8 (nearest, ties to even), in the order of Act; returns their sum. */
V16 int32_t v16_put_s8(int8_t *out, v16 v) {
    __m512i i = _mm512_cvtps_epi32(v);
    __m128i order = _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
    _mm_storeu_si128((__m128i *)(void *)out, _mm_shuffle_epi8(_mm512_cvtepi32_epi8(i), order));
    return _mm512_reduce_add_epi32(i);
}
/* 16 floats from 0 to 255 to bytes in a row, to the nearest, ties to even. */
V16 void v16_put_u8(uint8_t *out, v16 v) {
    _mm_storeu_si128((__m128i *)(void *)out, _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(v)));
}
V16 v16 v16_abs(v16 x) { return _mm512_abs_ps(x); }

/* ---- Products of bf16: pair16, sixteen pairs -------------------------------------------------------------------- */

#ifdef __AVX512BF16__
typedef __m512i pair16;
enum { V16_PAIR_SUMS = 24, V16_PAIR_ROWS = 12, V16_PAIR_MOST = 16, V16_PAIR_FETCH = 9, V16_PAIR_LONE = 1 };
V16 pair16 pair16_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
V16 pair16 pair16_all(const uint32_t *p) { return _mm512_set1_epi32((int)*p); }
V16 v16 v16_pair(pair16 w, pair16 x, v16 sum) { return _mm512_dpbf16_ps(sum, (__m512bh)w, (__m512bh)x); }
V16 unsigned v16_flush(void) { return 0; } /* it always flushes */
V16 void v16_flush_end(unsigned before) { (void)before; }
#else
#include "simd16_flush.h"
typedef struct pair16 { v16 even, odd; } pair16;
enum { V16_PAIR_SUMS = 20, V16_PAIR_ROWS = 10, V16_PAIR_MOST = 10, V16_PAIR_FETCH = 9, V16_PAIR_LONE = 4 };
V16 pair16 pair16_of(__m512i v) {
    return (pair16){_mm512_castsi512_ps(_mm512_slli_epi32(v, 16)),
                    _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32((int)0xffff0000u)))};
}
V16 pair16 pair16_load(const uint8_t *p) { return pair16_of(_mm512_loadu_si512(p)); }
V16 pair16 pair16_all(const uint32_t *p) { return pair16_of(_mm512_set1_epi32((int)*p)); }
V16 v16 v16_pair(pair16 w, pair16 x, v16 sum) { return v16_fma(w.even, x.even, v16_fma(w.odd, x.odd, sum)); }
#endif
V16 __m512i v16_bf16(v16 v) { /* in the high halves */
    __m512i u = _mm512_castps_si512(v), one = _mm512_set1_epi32(1);
    __m512i even = _mm512_and_si512(_mm512_srli_epi32(u, 16), one);
    __m512i r = _mm512_add_epi32(u, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
    return _mm512_mask_or_epi32(r, v16_nan(v), u, _mm512_set1_epi32(0x400000));
}
V16 void v16_put_bf16(void *out, v16 v) {
    _mm256_storeu_si256((__m256i *)out, _mm512_cvtepi32_epi16(_mm512_srli_epi32(v16_bf16(v), 16)));
}
V16 void v16_put_pairs(void *out, v16 low, v16 high) { /* 0xca: of `high` where the mask is set, else of `a` */
    __m512i mask = _mm512_set1_epi32((int)0xffff0000u), a = _mm512_srli_epi32(v16_bf16(low), 16);
    _mm512_storeu_si512(out, _mm512_ternarylogic_epi32(mask, v16_bf16(high), a, 0xca));
}
V16 v16 v16_pin(v16 x) {
#ifndef __AVX512BF16__ /* which flushes whatever the mode is */
    __asm__ volatile("" : "+v"(x));
#endif
    return x;
}
#endif
