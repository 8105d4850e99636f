/* transpose8.h: v16_transpose of kernels_simd16.h, in blocks of 8 x 8 in AVX registers: as wide shuffles gain nothing
 * over these. Halves of rows i and i + 4 are loaded together, so that two rounds of shuffles are enough. */
#ifndef TRANSPOSE8_H
#define TRANSPOSE8_H
#include <immintrin.h>
#include <stdint.h>

static inline __attribute__((always_inline)) __m256 halves(const float *low, const float *high) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
}

/* Four columns of eight rows. */
static inline __attribute__((always_inline)) void transpose_4(const float *in, int64_t step, float *out,
                                                              int64_t out_step) {
    __m256 a = halves(in, in + 4 * step), b = halves(in + step, in + 5 * step);
    __m256 c = halves(in + 2 * step, in + 6 * step), d = halves(in + 3 * step, in + 7 * step);
    __m256 ab = _mm256_unpacklo_ps(a, b), cd = _mm256_unpacklo_ps(c, d);
    __m256 ef = _mm256_unpackhi_ps(a, b), gh = _mm256_unpackhi_ps(c, d);
    _mm256_storeu_ps(out, _mm256_shuffle_ps(ab, cd, 0x44));
    _mm256_storeu_ps(out + out_step, _mm256_shuffle_ps(ab, cd, 0xee));
    _mm256_storeu_ps(out + 2 * out_step, _mm256_shuffle_ps(ef, gh, 0x44));
    _mm256_storeu_ps(out + 3 * out_step, _mm256_shuffle_ps(ef, gh, 0xee));
}

static inline __attribute__((always_inline)) void v16_transpose(const float *in, int64_t in_step, float *out,
                                                                int64_t out_step) {
    for (int r = 0; r < 16; r += 8)
        for (int c = 0; c < 16; c += 4)
            transpose_4(in + r * in_step + c, in_step, out + c * out_step + r, out_step);
}
#endif
