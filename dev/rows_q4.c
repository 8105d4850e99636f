/* rows_q4.c: a ladder for `rows` of 4-bit panels, one row of x, AVX2. Each rung gives the same bits (checked); the time
 * is that of panels in L2 (compute) and streamed from memory. cc -O3 -mavx2 -mfma -mf16c -ffp-contract=off
 * dev/rows_q4.c -o build/rows_q4 && build/rows_q4 */
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { K = 3584, GROUP = 320, PANEL_BYTES = K / 32 * GROUP };
typedef void Rung(const uint8_t *panel, const float *x, float *acc); /* two panels */

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#define LOADS(i, j) _mm256_loadu_si256((const void *)(g[(i) / 2] + 64 + 64 * (j) + 32 * ((i) % 2)))
#define HALF(i, at) _mm256_cvtph_ps(_mm_loadu_si128((const void *)(g[(i) / 2] + (at) + 16 * ((i) % 2))))

/* 1: shift, and, convert, fma, fma; everything in registers as the compiler sees fit. */
static void rung1(const uint8_t *panel, const float *x, float *acc) {
    const uint8_t *g[2] = {panel, panel + PANEL_BYTES};
    __m256 sum[4];
    for (int i = 0; i < 4; i++) sum[i] = _mm256_loadu_ps(acc + 8 * i);
    for (int k = 0; k < K; k += 32, g[0] += GROUP, g[1] += GROUP, x += 32) {
        __m256 scale[4], min[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) scale[i] = HALF(i, 0), min[i] = HALF(i, 32);
        for (int j = 0; j < 4; j++) {
#pragma GCC unroll 8
            for (int s = 0; s < 8; s++) {
                __m256 b = _mm256_broadcast_ss(x + 8 * j + s);
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++) {
                    __m256i q = _mm256_and_si256(_mm256_srli_epi32(LOADS(i, j), 4 * s), _mm256_set1_epi32(15));
                    sum[i] = _mm256_fmadd_ps(_mm256_fmadd_ps(_mm256_cvtepi32_ps(q), scale[i], min[i]), b, sum[i]);
                }
            }
        }
    }
    for (int i = 0; i < 4; i++) _mm256_storeu_ps(acc + 8 * i, sum[i]);
}

/* 2: no shift: the nibble stays where it is and the scale is divided by its power of two, exactly. */
static void rung2(const uint8_t *panel, const float *x, float *acc) {
    const uint8_t *g[2] = {panel, panel + PANEL_BYTES};
    __m256 sum[4];
    for (int i = 0; i < 4; i++) sum[i] = _mm256_loadu_ps(acc + 8 * i);
    for (int k = 0; k < K; k += 32, g[0] += GROUP, g[1] += GROUP, x += 32) {
        __m256 scale[4][8], min[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            scale[i][0] = HALF(i, 0), min[i] = HALF(i, 32);
#pragma GCC unroll 8
            for (int s = 1; s < 7; s++)
                scale[i][s] = _mm256_mul_ps(scale[i][0], _mm256_set1_ps(1.0f / (float)(1 << 4 * s)));
            scale[i][7] = scale[i][0];
        }
        for (int j = 0; j < 4; j++) {
#pragma GCC unroll 8
            for (int s = 0; s < 8; s++) {
                __m256 b = _mm256_broadcast_ss(x + 8 * j + s);
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++) {
                    __m256i q = s == 7 ? _mm256_srli_epi32(LOADS(i, j), 28)
                                       : _mm256_and_si256(LOADS(i, j), _mm256_set1_epi32(15 << 4 * s));
                    sum[i] = _mm256_fmadd_ps(_mm256_fmadd_ps(_mm256_cvtepi32_ps(q), scale[i][s], min[i]), b, sum[i]);
                }
            }
        }
    }
    for (int i = 0; i < 4; i++) _mm256_storeu_ps(acc + 8 * i, sum[i]);
}

/* 3: as 2, but two positions only (0 and 4 of a byte) over words shifted by 0, 8, 16, 24: fewer scales to keep. */
static void rung3(const uint8_t *panel, const float *x, float *acc) {
    const uint8_t *g[2] = {panel, panel + PANEL_BYTES};
    __m256 sum[4];
    for (int i = 0; i < 4; i++) sum[i] = _mm256_loadu_ps(acc + 8 * i);
    for (int k = 0; k < K; k += 32, g[0] += GROUP, g[1] += GROUP, x += 32) {
        __m256 scale[4], high[4], min[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            scale[i] = HALF(i, 0), min[i] = HALF(i, 32);
            high[i] = _mm256_mul_ps(scale[i], _mm256_set1_ps(0.0625f));
        }
        for (int j = 0; j < 4; j++) {
            __m256i v[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) v[i] = LOADS(i, j);
#pragma GCC unroll 4
            for (int s = 0; s < 4; s++) {
                __m256 b0 = _mm256_broadcast_ss(x + 8 * j + 2 * s), b1 = _mm256_broadcast_ss(x + 8 * j + 2 * s + 1);
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++) {
                    __m256i l = _mm256_and_si256(v[i], _mm256_set1_epi32(15)),
                            h = _mm256_and_si256(v[i], _mm256_set1_epi32(240));
                    v[i] = _mm256_srli_epi32(v[i], 8);
                    sum[i] = _mm256_fmadd_ps(_mm256_fmadd_ps(_mm256_cvtepi32_ps(l), scale[i], min[i]), b0, sum[i]);
                    sum[i] = _mm256_fmadd_ps(_mm256_fmadd_ps(_mm256_cvtepi32_ps(h), high[i], min[i]), b1, sum[i]);
                }
            }
        }
    }
    for (int i = 0; i < 4; i++) _mm256_storeu_ps(acc + 8 * i, sum[i]);
}

/* 4: scales and mins widened once into memory, where fma reads one of them; the loop over words not unrolled. */
static void rung4(const uint8_t *panel, const float *x, float *acc) {
    const uint8_t *g[2] = {panel, panel + PANEL_BYTES};
    __m256 s0 = _mm256_loadu_ps(acc), s1 = _mm256_loadu_ps(acc + 8), s2 = _mm256_loadu_ps(acc + 16),
           s3 = _mm256_loadu_ps(acc + 24);
    const __m256i mask = _mm256_set1_epi32(15);
    _Alignas(32) float sc[32];
    for (int k = 0; k < K; k += 32, g[0] += GROUP, g[1] += GROUP, x += 32) {
        __m256 m0 = HALF(0, 32), m1 = HALF(1, 32), m2 = HALF(2, 32), m3 = HALF(3, 32);
        _mm256_store_ps(sc, HALF(0, 0));
        _mm256_store_ps(sc + 8, HALF(1, 0));
        _mm256_store_ps(sc + 16, HALF(2, 0));
        _mm256_store_ps(sc + 24, HALF(3, 0));
        __asm__ volatile("" ::: "memory");
        for (int j = 0; j < 4; j++) {
            __m256i v0 = LOADS(0, j), v1 = LOADS(1, j), v2 = LOADS(2, j), v3 = LOADS(3, j);
#pragma GCC unroll 8
            for (int s = 0; s < 8; s++) {
                __m256 b = _mm256_broadcast_ss(x + 8 * j + s), w;
#define STEP(i)                                                                                     \
    w = _mm256_cvtepi32_ps(_mm256_and_si256(v##i, mask));                                           \
    v##i = _mm256_srli_epi32(v##i, 4);                                                              \
    __asm__("vfmadd132ps %1, %2, %0" : "+x"(w) : "m"(*(const __m256 *)(sc + 8 * i)), "x"(m##i));     \
    s##i = _mm256_fmadd_ps(w, b, s##i)
                STEP(0);
                STEP(1);
                STEP(2);
                STEP(3);
            }
        }
    }
    _mm256_storeu_ps(acc, s0), _mm256_storeu_ps(acc + 8, s1), _mm256_storeu_ps(acc + 16, s2),
        _mm256_storeu_ps(acc + 24, s3);
}

/* 5: as 3, one half panel after another through the 8 k of a word: its scale, min and word stay in registers, and the
 * processor overlaps the chains of sums. */
static void rung5(const uint8_t *panel, const float *x, float *acc) {
    const uint8_t *g[2] = {panel, panel + PANEL_BYTES};
    __m256 sum[4];
    for (int i = 0; i < 4; i++) sum[i] = _mm256_loadu_ps(acc + 8 * i);
    for (int k = 0; k < K; k += 32, g[0] += GROUP, g[1] += GROUP, x += 32) {
        __m256 scale[4], high[4], min[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            scale[i] = HALF(i, 0), min[i] = HALF(i, 32);
            high[i] = _mm256_mul_ps(scale[i], _mm256_set1_ps(0.0625f));
        }
        for (int j = 0; j < 4; j++) {
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                __m256i v = LOADS(i, j);
#pragma GCC unroll 4
                for (int s = 0; s < 4; s++) {
                    __m256i l = _mm256_and_si256(v, _mm256_set1_epi32(15)),
                            h = _mm256_and_si256(v, _mm256_set1_epi32(240));
                    v = _mm256_srli_epi32(v, 8);
                    sum[i] = _mm256_fmadd_ps(_mm256_fmadd_ps(_mm256_cvtepi32_ps(l), scale[i], min[i]),
                                             _mm256_broadcast_ss(x + 8 * j + 2 * s), sum[i]);
                    sum[i] = _mm256_fmadd_ps(_mm256_fmadd_ps(_mm256_cvtepi32_ps(h), high[i], min[i]),
                                             _mm256_broadcast_ss(x + 8 * j + 2 * s + 1), sum[i]);
                }
            }
        }
    }
    for (int i = 0; i < 4; i++) _mm256_storeu_ps(acc + 8 * i, sum[i]);
}

/* 6: as 5, but a word's 8 products are decoded before they are added: the chain holds only the last fma. */
static void rung6(const uint8_t *panel, const float *x, float *acc) {
    const uint8_t *g[2] = {panel, panel + PANEL_BYTES};
    __m256 sum[4];
    for (int i = 0; i < 4; i++) sum[i] = _mm256_loadu_ps(acc + 8 * i);
    for (int k = 0; k < K; k += 32, g[0] += GROUP, g[1] += GROUP, x += 32) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            __m256 scale = HALF(i, 0), min = HALF(i, 32), high = _mm256_mul_ps(scale, _mm256_set1_ps(0.0625f)),
                   t = sum[i];
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) {
                __m256i v = LOADS(i, j);
#pragma GCC unroll 4
                for (int s = 0; s < 4; s++) {
                    __m256i l = _mm256_and_si256(v, _mm256_set1_epi32(15)),
                            h = _mm256_and_si256(v, _mm256_set1_epi32(240));
                    v = _mm256_srli_epi32(v, 8);
                    t = _mm256_fmadd_ps(_mm256_fmadd_ps(_mm256_cvtepi32_ps(l), scale, min),
                                        _mm256_broadcast_ss(x + 8 * j + 2 * s), t);
                    t = _mm256_fmadd_ps(_mm256_fmadd_ps(_mm256_cvtepi32_ps(h), high, min),
                                        _mm256_broadcast_ss(x + 8 * j + 2 * s + 1), t);
                }
            }
            sum[i] = t;
        }
    }
    for (int i = 0; i < 4; i++) _mm256_storeu_ps(acc + 8 * i, sum[i]);
}

int main(void) {
    static const struct { const char *what; Rung *run;
    } rungs[] = {{"1 shift, and, convert", rung1},    {"2 scaled in place", rung2},
                 {"3 bytes, scaled halves", rung3},   {"4 scale as memory operand", rung4},
                 {"5 one half after another", rung5}, {"6 the whole group", rung6}};
    enum { RUNGS = 6, BIG = 96 << 20 };
    uint8_t *w = mmap(NULL, BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(w, BIG, MADV_HUGEPAGE);
    for (int i = 0; i < BIG; i++) w[i] = (uint8_t)((unsigned)i * 2654435761u >> 23);
    for (int64_t g = 0; g + GROUP <= BIG; g += GROUP)
        for (int i = 1; i < 64; i += 2) w[g + i] = 0x2c;
    float x[K], first[32];
    for (int i = 0; i < K; i++) x[i] = (float)(i % 37) * 0.1f - 1.8f;
    for (int big = 0; big < 2; big++)
        for (int r = 0; r < RUNGS; r++) {
            double best = 1e9;
            float acc[32];
            int64_t pairs = big ? BIG / (2 * PANEL_BYTES) : 5;
            for (int rep = 0; rep < 7; rep++) {
                double t = seconds();
                for (int again = 0; again < (big ? 1 : 60); again++)
                    for (int64_t p = 0; p < pairs; p++) {
                        memset(acc, 0, sizeof acc);
                        rungs[r].run(w + 2 * PANEL_BYTES * p, x, acc);
                    }
                t = (seconds() - t) / (big ? 1 : 60);
                if (t < best) best = t;
            }
            if (r == 0) memcpy(first, acc, sizeof acc);
            printf("%-8s %-28s %6.2f GB/s %s\n", big ? "memory" : "L2", rungs[r].what,
                   (double)(pairs * 2 * PANEL_BYTES) / best / 1e9, memcmp(first, acc, sizeof acc) ? "DIFFERS" : "");
        }
    return 0;
}
