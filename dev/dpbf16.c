/* dpbf16.c: what vdpbf16ps computes, bit by bit, against orders of fused multiply-adds that every CPU can follow, and
 * how fast it is beside vfmadd. That one of them never differs is what activations in bf16 rest on (ops/kernels.h).
 *     gcc -O2 -ffp-contract=off -mavx512f -mavx512bf16 -mfma dev/dpbf16.c -o /tmp/dpbf16 -lm && /tmp/dpbf16
 * Zen 4: fma(odd), then fma(even) differs in 0 of 32 million; subnormals are read and written as zero; twice the
 * rate of vfmadd on sixteen floats. */
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t state = 88172645463325252u;
static uint32_t random_bits(void) { /* xorshift64*, Vigna 2016 */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)(state * 2685821657736338717u >> 32);
}

static float float_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static uint32_t bits_of(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Two random bf16 numbers within 2^-7 .. 2^7. */
static uint32_t random_pair(void) {
    uint32_t pair = random_bits() & 0x807f807fu;
    return pair | (120 + random_bits() % 14) << 7 | (120 + random_bits() % 14) << 23;
}

static void dot(const uint32_t a[16], const uint32_t b[16], const float sum[16], float out[16]) {
    __m512bh x = (__m512bh)_mm512_loadu_si512(a), y = (__m512bh)_mm512_loadu_si512(b);
    _mm512_storeu_ps(out, _mm512_dpbf16_ps(_mm512_loadu_ps(sum), x, y));
}

enum { ORDERS = 4, ROUNDS = 2000000, SPEED_ROUNDS = 3000000, CHAINS = 12 };
static const char *const names[ORDERS] = {"fma(odd), then fma(even)", "fma(even), then fma(odd)",
                                          "exact sum of both products, rounded, then added", "all three, rounded once"};

static void compare(void) {
    long different[ORDERS] = {0};
    for (int t = 0; t < ROUNDS; t++) {
        uint32_t a[16], b[16];
        float sum[16], out[16];
        for (int i = 0; i < 16; i++) {
            a[i] = random_pair(), b[i] = random_pair();
            sum[i] = float_of((random_bits() & 0x807fffffu) | (120 + random_bits() % 16) << 23);
        }
        dot(a, b, sum, out);
        for (int i = 0; i < 16; i++) {
            float a0 = float_of(a[i] << 16), a1 = float_of(a[i] & 0xffff0000u);
            float b0 = float_of(b[i] << 16), b1 = float_of(b[i] & 0xffff0000u);
            double both = (double)a0 * b0 + (double)a1 * b1;
            float by[ORDERS] = {fmaf(a0, b0, fmaf(a1, b1, sum[i])), fmaf(a1, b1, fmaf(a0, b0, sum[i])),
                                sum[i] + (float)both, (float)(both + (double)sum[i])};
            for (int o = 0; o < ORDERS; o++) different[o] += bits_of(by[o]) != bits_of(out[i]);
        }
    }
    for (int o = 0; o < ORDERS; o++) printf("%-48s differs in %ld of %d\n", names[o], different[o], 16 * ROUNDS);
}

static void subnormals(void) {
    uint32_t small[16], one[16], zero[16] = {0};
    float none[16] = {0}, tiny[16], out[16];
    for (int i = 0; i < 16; i++) small[i] = 1, one[i] = 0x3f80, tiny[i] = 0x1p-140f;
    dot(small, one, none, out);
    printf("0 + (subnormal bf16) * 1 = %a\n", (double)out[0]);
    dot(zero, zero, tiny, out);
    printf("(subnormal f32) + 0 * 0 = %a\n", (double)out[0]);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void speed(void) {
    __m512 sum[CHAINS], half = _mm512_set1_ps(0.5f);
    __m512bh pairs = (__m512bh)_mm512_set1_epi16(0x3f00);
    for (int i = 0; i < CHAINS; i++) sum[i] = half;
    double start = seconds();
    for (int n = 0; n < SPEED_ROUNDS; n++)
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_dpbf16_ps(sum[i], pairs, pairs);
    double middle = seconds();
    for (int n = 0; n < SPEED_ROUNDS; n++)
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_fmadd_ps(half, half, sum[i]);
    double end = seconds(), each = (double)SPEED_ROUNDS * CHAINS * 32 / 1e9;
    for (int i = 1; i < CHAINS; i++) sum[0] = _mm512_add_ps(sum[0], sum[i]);
    printf("vdpbf16ps %.1f GFLOP/s, vfmadd %.1f GFLOP/s (%a)\n", 2 * each / (middle - start), each / (end - middle),
           (double)_mm512_cvtss_f32(sum[0]));
}

int main(void) {
    compare();
    subnormals();
    speed();
    return 0;
}
