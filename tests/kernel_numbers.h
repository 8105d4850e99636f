/* kernel_numbers.h: inputs for tests of kernels and of what is made of them. They end or begin at an unreadable page,
 * so a read past either end is a crash; outputs stand between canaries and such pages. */
#ifndef KERNEL_NUMBERS_H
#define KERNEL_NUMBERS_H
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "../src/cpu/kernels_select.h"
/* ---- Inputs that vary -------------------------------------------------------------------------------------------- */

static uint64_t random_state = 88172645463325252u;

static inline uint32_t random_bits(void) { /* xorshift64*, Vigna 2016 */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)(random_state * 2685821657736338717u >> 32);
}
static inline int64_t random_below(int64_t n) { return (int64_t)(random_bits() % (uint64_t)n); }

/* Sign, 24 bits of fraction, exponent over a few powers of two: sums of these round at every step. */
static inline float random_float(void) {
    float f = (float)((int32_t)(random_bits() >> 7) - (1 << 24)) * 0x1p-24f;
    return ldexpf(f, (int)random_below(6) - 3);
}

static inline void fill_floats(float *p, int64_t n) {
    for (int64_t i = 0; i < n; i++) p[i] = random_float();
    int64_t same = 0; /* of millions of neighbours, some pair is equal by chance */
    for (int64_t i = 1; i < n; i++) same += p[i] == p[i - 1];
    assert_true(n < 8 || same < n / 4);
}

static inline float *floats_new(int64_t n) {
    float *p = aligned_alloc(64, ((size_t)n * sizeof *p + 63) / 64 * 64);
    assert_non_null(p);
    return p;
}
static inline float *random_floats(int64_t n) {
    float *p = floats_new(n);
    for (int64_t i = 0; i < n; i++) p[i] = random_float();
    return p;
}

/* ---- Memory between unreadable pages ----------------------------------------------------------------------------- */

enum { PAGE = 4096, CANARY = 0xA5, SIDES = 2 };

typedef struct Guarded { uint8_t *map; size_t mapped, bytes; uint8_t *data; } Guarded;

/* `bytes` that end (side 0) or begin (side 1) at an unreadable page; the rest of their pages holds canaries. */
static inline void *guarded_new(Guarded *g, int64_t bytes, int side) {
    size_t inner = ((size_t)bytes + PAGE - 1) / PAGE * PAGE;
    if (!inner) inner = PAGE;
    *g = (Guarded){.mapped = inner + 2 * PAGE, .bytes = (size_t)bytes};
    g->map = mmap(NULL, g->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g->map != MAP_FAILED);
    assert_int_equal(mprotect(g->map, PAGE, PROT_NONE), 0);
    assert_int_equal(mprotect(g->map + PAGE + inner, PAGE, PROT_NONE), 0);
    memset(g->map + PAGE, CANARY, inner);
    g->data = g->map + PAGE + (side == 0 ? inner - g->bytes : 0);
    return g->data;
}

static inline void guarded_free(Guarded *g) {
    for (uint8_t *p = g->map + PAGE; p < g->map + g->mapped - PAGE; p++)
        if ((p < g->data || p >= g->data + g->bytes) && *p != CANARY)
            fail_msg("a byte %td from the start of a block of %zu was overwritten", p - g->data, g->bytes);
    munmap(g->map, g->mapped);
}

static inline float *guarded_floats(Guarded *g, int64_t n, int side) {
    float *p = guarded_new(g, 4 * n, side);
    fill_floats(p, n);
    return p;
}

static inline void same_bits(const char *isa, const char *what, const float *expected, const float *got, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&expected[i], &got[i], sizeof *got))
            fail_msg("%s %s: element %lld of %lld is %a, the reference has %a", isa, what, (long long)i, (long long)n,
                     (double)got[i], (double)expected[i]);
}

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

/* The tables of this CPU, the reference first. */
enum { TABLES_MOST = 8 };
static inline int all_tables(const Kernels *out[TABLES_MOST]) {
    int n = 0;
    for (int i = 0; kernels_name(i) && n < TABLES_MOST; i++) {
        const Kernels *k = kernels_select(kernels_name(i), NULL);
        if (k) out[n++] = k;
    }
    return n;
}
#endif
