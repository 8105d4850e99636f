/* kernels_select.c: chooses the table of kernels at run time. Compiled for the weakest CPU of the architecture; the
 * files of stronger ones give data alone, or their code would run before the CPU is known (tests/test_isa.sh). */
#include <pthread.h>
#include <string.h>
#include "../base/cpu.h"
#include "kernels_select.h"

static bool always(const CpuFeatures *f) { return f != NULL; }

#if defined(__x86_64__)
extern const Kernels kernels_avx2, kernels_avx512, kernels_avx512vnni, kernels_avx512bf16;
static bool has_avx2(const CpuFeatures *f) { return f->avx2 && f->fma && f->f16c; }
static bool has_avx512(const CpuFeatures *f) {
    return has_avx2(f) && f->avx512f && f->avx512bw && f->avx512vl && f->avx512dq;
}
static bool has_avx512vnni(const CpuFeatures *f) { return has_avx512(f) && f->avx512_vnni; }
static bool has_avx512bf16(const CpuFeatures *f) { return has_avx512vnni(f) && f->avx512_bf16; }
#define X86(kernels, has) kernels, has
#else
#define X86(kernels, has) NULL, NULL
#endif

/* ---- Whether an instruction computes what is asked -------------------------------------------------------------- */

static float float_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Numbers at the edges of bf16, and sums at those of f32. */
static const uint16_t hard[] = {0, 0x8000, 1, 0x8001, 0x7f, 0x807f, 0x80, 0x8080, 0x81, 0x3f80, 0xbf80, 0x3f81, 0x3f7f,
                                0xbfff, 0x2000, 0x9fff, 0x1fff, 0x7f7f, 0xff7f, 0x7f80, 0xff80, 0x7fc0};
static const uint32_t hard_sum[] = {0, 0x80000000, 1, 0x80000001, 0x7fffff, 0x800000, 0x80800000, 0x800001, 0x3f800000,
                                    0xbf800000, 0x3f7fffff, 0x4b800000, 0xcb800001, 0x7f7fffff, 0xff800000};
enum { HARD = sizeof hard / sizeof *hard, HARD_SUMS = sizeof hard_sum / sizeof *hard_sum, LAW_ROUNDS = 400 };

static uint32_t next_bits(uint64_t *state) { /* splitmix64, Steele 2014 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

/* A third of the rounds: numbers whose sums round at every step and cancel; a third: products next to the smallest
 * normal number; the rest, and one in eight of all: edges. */
static uint16_t law_number(uint64_t *state, int round) {
    uint32_t r = next_bits(state);
    if (round % 3 == 0 || r >> 29 == 0) return hard[r % HARD];
    uint32_t exponent = round % 3 == 1 ? 124 + (r >> 8) % 7 : 62 + (r >> 8) % 4;
    return (uint16_t)((r & 0x807f) | exponent << 7);
}
static uint32_t law_sum(uint64_t *state, int round) {
    uint32_t r = next_bits(state);
    if (round % 3 == 0 || r >> 29 == 0) return hard_sum[r % HARD_SUMS];
    uint32_t exponent = round % 3 == 1 ? 124 + (r >> 24) % 8 : 1 + (r >> 24) % 3;
    return (r & 0x807fffff) | exponent << 23;
}

bool kernels_pairs_conform(const Kernels *k) {
    uint64_t state = 1;
    Leaves leaf;
    leaves_one(&leaf, 0, 2);
    for (int round = 0; round < LAW_ROUNDS; round++) {
        _Alignas(64) uint16_t w[2 * PANEL];
        _Alignas(64) float want[PANEL], got[PANEL];
        Pair x = law_number(&state, round) | (Pair)law_number(&state, round) << 16;
        for (int i = 0; i < 2 * PANEL; i++) w[i] = law_number(&state, round);
        for (int i = 0; i < PANEL; i++) want[i] = got[i] = float_of(law_sum(&state, round));
        kernels_reference.dot_pairs(w, 0, 1, &leaf, &x, 1, 1, want);
        k->dot_pairs(w, 0, 1, &leaf, &x, 1, 1, got);
        for (int i = 0; i < PANEL; i++) /* a NaN may have any bits */
            if (memcmp(&got[i], &want[i], sizeof *got) && (got[i] == got[i] || want[i] == want[i])) return false;
    }
    return true;
}

/* ---- The tables -------------------------------------------------------------------------------------------------- */

static void take_dot(Kernels *k, const Kernels *from) {
    memcpy(k->dot, from->dot, sizeof k->dot);
    k->quantise = from->quantise;
}
static void take_pairs(Kernels *k, const Kernels *from) {
    k->dot_pairs = from->dot_pairs, k->round = from->round, k->pair_up = from->pair_up;
    k->sum_pair_parts = from->sum_pair_parts, k->outer_pairs = from->outer_pairs;
}

/* Weakest first. A row is used where `conforms`, if there, says so. */
static const struct {
    const char *name;
    void (*take)(Kernels *k, const Kernels *from); /* of `kernels`; the rest as the row before; NULL: all */
    bool (*conforms)(const Kernels *k);
    const Kernels *kernels; /* NULL: not in this build */
    bool (*on_this_cpu)(const CpuFeatures *f);
} rows[] = {
    {"reference", NULL, NULL, &kernels_reference, always},
    {"avx2", NULL, NULL, X86(&kernels_avx2, has_avx2)},
    {"avx512", NULL, NULL, X86(&kernels_avx512, has_avx512)},
    {"avx512vnni", take_dot, NULL, X86(&kernels_avx512vnni, has_avx512vnni)},
    {"avx512bf16", take_pairs, kernels_pairs_conform, X86(&kernels_avx512bf16, has_avx512bf16)},
};
enum { TABLES = sizeof rows / sizeof *rows };

static Kernels tables[TABLES];
static bool usable[TABLES];

static void tables_fill(void) {
    CpuFeatures features = cpu_features();
    for (int i = 0; i < TABLES; i++) {
        if (!rows[i].kernels) continue;
        tables[i] = rows[i].take ? tables[i - 1] : *rows[i].kernels;
        if (rows[i].take) rows[i].take(&tables[i], rows[i].kernels);
        tables[i].isa = rows[i].name;
        usable[i] = rows[i].on_this_cpu(&features) && (!rows[i].conforms || rows[i].conforms(&tables[i]));
    }
}

const char *kernels_name(int i) { return i >= 0 && i < TABLES ? rows[i].name : NULL; }

const Kernels *kernels_select(const char *limit, Err *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CpuFeatures features = cpu_features();
    pthread_once(&once, tables_fill);
    for (int i = TABLES - 1; i >= 0; i--) {
        if (limit && strcmp(limit, rows[i].name)) continue;
        if (usable[i]) return rows[i].take ? &tables[i] : rows[i].kernels;
        if (limit) {
            bool there = rows[i].on_this_cpu && rows[i].on_this_cpu(&features);
            err_as(err, QM_USAGE, "kernels: this CPU has no %s%s", limit, there ? " that gives the bits expected" : "");
            return NULL;
        }
    }
    err_as(err, QM_USAGE, "kernels: no instruction set is called '%s'; expected reference, avx2, avx512, avx512vnni or "
                 "avx512bf16", limit);
    return NULL;
}
