/* scores.c: weights of scores, and thresholds by radix selection. */
#include "scores.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 2048, BLOCK = 256, LANES = 8, MAXIMA = 1024 };

bool sample_work_new(SampleWork *w, int64_t vocab, Err *err) {
    *w = (SampleWork){.vocab = vocab};
    w->id = mem_new((size_t)vocab, sizeof *w->id, "sampling", err);
    w->weight = mem_new((size_t)vocab, sizeof *w->weight, "sampling", err);
    w->key = mem_new((size_t)vocab, sizeof *w->key, "sampling", err);
    w->raw = mem_new((size_t)vocab, sizeof *w->raw, "sampling", err);
    w->tally = mem_new((size_t)vocab, sizeof *w->tally, "sampling", err);
    return w->id && w->weight && w->key && w->raw && w->tally;
}

void sample_work_free(SampleWork *w) {
    free(w->id);
    free(w->weight);
    free(w->key);
    free(w->raw);
    free(w->tally);
    *w = (SampleWork){0};
}

/* The largest of n values, -inf if there is none; NaN never wins. Lanes, so that the compiler can use vectors. */
static float largest_of(const float *x, int64_t n) {
    float lane[LANES], best = -INFINITY;
    int64_t i = 0;
    for (int l = 0; l < LANES; l++) lane[l] = -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (; i < n; i++) best = x[i] > best ? x[i] : best;
    for (int l = 0; l < LANES; l++) best = lane[l] > best ? lane[l] : best;
    return best;
}

int64_t scores_best(const Scores *s) {
    float best = largest_of(s->value, s->count);
    if (best == -INFINITY) return -1;
    int64_t at = 0;
    while (s->value[at] != best) at++;
    return at;
}

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

/* e^x for x <= 0, within 2 ulp: n = x log2(e) rounded, e^(x - n ln 2) by its Taylor polynomial of degree 7, scaled by
 * 2^n; 0 below -87. Products and sums are rounded apart, so vectors of any width and machines without fused steps
 * agree. Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits. */
static inline float exp_down(float x) {
    union { float f; uint32_t u; } n, e;
    float in = x > -87.0f ? x : -87.0f; /* also for NaN */
    n.f = in * 0x1.715476p+0f + 12582912.0f;
    float whole = n.f - 12582912.0f;
    float r = (in - whole * 0x1.63p-1f) + whole * 0x1.bd0106p-13f; /* ln 2 = 0x1.63p-1 - 0x1.bd0106p-13 */
    float p = r * (1.0f / 5040) + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    e.f = p * r + 1.0f;
    e.u += n.u << 23;
    return x > -87.0f ? e.f : 0.0f;
}

double scores_weights(const Scores *s, float largest, float *weight) {
    double lane[LANES] = {0}, sum = 0;
    bool finite = largest < INFINITY;
    for (int64_t from = 0; from < s->count; from += BLOCK) {
        int64_t to = from + BLOCK < s->count ? from + BLOCK : s->count, i = from;
        if (finite)
            for (i = from; i < to; i++) weight[i] = exp_down(s->value[i] - largest);
        else
            for (i = from; i < to; i++) weight[i] = s->value[i] == largest;
        for (i = from; i + LANES <= to; i += LANES)
            for (int l = 0; l < LANES; l++) lane[l] += (double)weight[i + l];
        for (; i < to; i++) sum += (double)weight[i];
    }
    return sum + (((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7])));
}

/* ---- Thresholds -------------------------------------------------------------------------------------------------- */

void scores_keep(Scores *s, const float *key, float least) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->count; i++) { /* without a branch, which could not be foretold */
        s->value[n] = s->value[i];
        s->id[n] = scores_id(s, i);
        n += key[i] >= least;
    }
    s->count = n;
    s->all = false;
}

/* Bits whose unsigned order is the order of the floats; NaN of either sign sorts below all else. */
static inline uint32_t ordered(float x) {
    union { float f; uint32_t u; } v = {.f = x};
    uint32_t bits = v.u & 0x80000000u ? ~v.u : v.u | 0x80000000u;
    return x == x ? bits : 0;
}

static float unordered(uint32_t bits) {
    union { float f; uint32_t u; } v = {.u = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits};
    return bits ? v.f : -INFINITY;
}

float select_threshold(const float *key, const float *weight, int64_t n, double target) {
    static const int shifts[] = {21, 10, 0};
    double mass[BUCKETS], above = 0;
    uint32_t prefix = 0;
    for (int level = 0; level < 3; level++) {
        int shift = shifts[level], known = level ? shifts[level - 1] : 32;
        uint32_t mask = (1u << (known - shift)) - 1;
        memset(mass, 0, sizeof mass);
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits = ordered(key[i]);
            if (level && bits >> known != prefix) continue;
            mass[bits >> shift & mask] += weight ? (double)weight[i] : 1;
        }
        int64_t bucket = mask;
        for (; bucket >= 0 && above + mass[bucket] < target; bucket--) above += mass[bucket];
        if (bucket < 0 && level == 0) return -INFINITY;
        if (bucket < 0) bucket = 0; /* the same sum in another order fell short by a rounding */
        prefix = prefix << (known - shift) % 32 | (uint32_t)bucket;
    }
    return unordered(prefix);
}

float select_largest(const float *key, int64_t n, int64_t k, float *room) {
    if (k <= 0) return INFINITY;
    if (k > n) return -INFINITY;
    if (k == 1) return largest_of(key, n);
    if (k > MAXIMA / 2 || n < 4 * MAXIMA) return select_threshold(key, NULL, n, (double)k);
    int64_t block = (n + MAXIMA - 1) / MAXIMA, blocks = 0, kept = 0;
    for (int64_t from = 0; from < n; from += block)
        room[blocks++] = largest_of(key + from, from + block < n ? block : n - from);
    float bound = select_threshold(room, NULL, blocks, (double)k); /* k blocks reach it: so do k keys */
    for (int64_t i = 0; i < n; i++)
        if (key[i] >= bound) room[kept++] = key[i];
    return select_threshold(room, NULL, kept, (double)k);
}
