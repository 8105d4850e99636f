/* scores.c: weights of scores, and thresholds by histograms. */
#include "scores.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 2048, LANES = SELECT_MASS / BUCKETS };

bool sample_work_new(SampleWork *w, int64_t vocab, Err *err) {
    size_t n = (size_t)vocab, blocks = (size_t)weigh_blocks(vocab);
    *w = (SampleWork){.vocab = vocab, .weigh = weigh_best()};
    w->id = mem_new(n, sizeof *w->id, "sampling", err);
    w->weight = mem_new(n, sizeof *w->weight, "sampling", err);
    w->key = mem_new(n, sizeof *w->key, "sampling", err);
    w->room = mem_new(2 * n, sizeof *w->room, "sampling", err);
    w->raw = mem_new(n, sizeof *w->raw, "sampling", err);
    w->tally = mem_new(n, sizeof *w->tally, "sampling", err);
    w->top = mem_new(blocks, sizeof *w->top, "sampling", err);
    w->sum = mem_new(blocks, sizeof *w->sum, "sampling", err);
    w->moment = mem_new(blocks, sizeof *w->moment, "sampling", err);
    w->mass = mem_new(SELECT_MASS, sizeof *w->mass, "sampling", err);
    return !err->kind;
}

void sample_work_free(SampleWork *w) {
    free(w->id);
    free(w->weight);
    free(w->key);
    free(w->room);
    free(w->raw);
    free(w->tally);
    free(w->top);
    free(w->sum);
    free(w->moment);
    free(w->mass);
    free(w->repeats);
    *w = (SampleWork){0};
}

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

float scores_largest(const float *value, int64_t n, SampleWork *w) {
    float best = -INFINITY;
    w->weigh->tops(value, n, w->top);
    for (int64_t b = 0; b < weigh_blocks(n); b++) best = w->top[b] > best ? w->top[b] : best;
    return best;
}

bool logits_sound(const float *logits, int64_t vocab) {
    uint32_t wrong = 0, some = 0;
    for (int64_t i = 0; i < vocab; i++) { /* without a branch, a vector at a time */
        union { float f; uint32_t u; } v = {.f = logits[i]};
        wrong |= (uint32_t)((v.u & 0x7fffffffu) > 0x7f800000u) | (uint32_t)(v.u == 0x7f800000u);
        some |= (uint32_t)(v.u != 0xff800000u);
    }
    return !wrong && some;
}

int64_t scores_best(const Scores *s, SampleWork *w) {
    float best = scores_largest(s->value, s->count, w);
    if (best == -INFINITY) return -1;
    int64_t b = 0;
    while (w->top[b] != best) b++;
    int64_t at = b * WEIGH_BLOCK;
    while (s->value[at] != best) at++;
    return at;
}

double scores_weights(const float *value, int64_t n, float largest, SampleWork *w, float *weight, double *mean) {
    double total = 0, moment = 0;
    if (largest < INFINITY) {
        w->weigh->weights(value, n, largest, weight, w->sum, mean ? w->moment : NULL);
    } else {
        for (int64_t i = 0; i < n; i++) {
            if (i % WEIGH_BLOCK == 0) w->sum[i / WEIGH_BLOCK] = w->moment[i / WEIGH_BLOCK] = 0;
            w->sum[i / WEIGH_BLOCK] += value[i] == largest;
            if (weight) weight[i] = value[i] == largest;
        }
    }
    for (int64_t b = 0; b < weigh_blocks(n); b++) {
        total += (double)w->sum[b];
        if (mean) moment += (double)w->moment[b];
    }
    if (mean) *mean = moment / total;
    return total;
}

/* ---- Thresholds -------------------------------------------------------------------------------------------------- */

void scores_keep(Scores *s, const float *key, float least, const float *top) {
    int64_t n = 0;
    for (int64_t from = 0; from < s->count; from += WEIGH_BLOCK) {
        int64_t to = from + WEIGH_BLOCK < s->count ? from + WEIGH_BLOCK : s->count;
        if (!(top[from / WEIGH_BLOCK] >= least)) continue;
        for (int64_t i = from; i < to; i++) { /* without a branch, which could not be foretold */
            bool kept = key[i] >= least;      /* before key, which may be value, is written over */
            s->value[n] = s->value[i];
            s->id[n] = scores_id(s, i);
            n += kept;
        }
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

/* The threshold by radix over the bits, three digits; *above weighs what lies above all n keys. */
static float select_radix(const float *key, const float *weight, int64_t n, double target, double above, double *mass) {
    static const int shifts[] = {21, 10, 0};
    uint32_t prefix = 0;
    for (int level = 0; level < 3; level++) {
        int shift = shifts[level], known = level ? shifts[level - 1] : 32;
        uint32_t mask = (1u << (known - shift)) - 1;
        memset(mass, 0, BUCKETS * sizeof *mass);
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

/* Equal steps from the largest key down to the least finite one; what is below, or no number, is in the last. */
typedef struct Steps { float high, scale; } Steps;
static inline int step_of(Steps s, float key) {
    float at = (s.high - key) * s.scale;
    return at < (float)(BUCKETS - 1) ? (int)at : BUCKETS - 1; /* NaN too */
}

/* Sums of neighbours go to different lanes, for a sum that follows itself has to wait. */
static void steps_fill(Steps s, const float *key, const float *weight, int64_t n, double mass[BUCKETS][LANES]) {
    int64_t i = 0;
    memset(mass, 0, sizeof(double) * BUCKETS * LANES);
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) mass[step_of(s, key[i + l])][l] += weight ? (double)weight[i + l] : 1;
    for (; i < n; i++) mass[step_of(s, key[i])][0] += weight ? (double)weight[i] : 1;
}

float select_threshold(const float *key, const float *weight, int64_t n, double target, float *room, SampleWork *w) {
    double(*mass)[LANES] = (double(*)[LANES])w->mass, above = 0;
    float high = -INFINITY, low = INFINITY;
    int64_t kept = 0;
    if (n < BUCKETS) return select_radix(key, weight, n, target, 0, w->mass);
    for (int64_t i = 0; i < n; i++) {
        high = key[i] > high ? key[i] : high;
        low = key[i] < low && key[i] > -INFINITY ? key[i] : low;
    }
    Steps s = {high, (float)(BUCKETS - 1) / (high - low)};
    if (!(high < INFINITY) || !(s.scale > 0 && s.scale < INFINITY)) return select_radix(key, weight, n, target, 0,
                                                                                        w->mass);
    steps_fill(s, key, weight, n, mass);
    for (int at = 0; at < BUCKETS; at++) {
        double here = (mass[at][0] + mass[at][1]) + (mass[at][2] + mass[at][3]);
        if (above + here < target && at < BUCKETS - 1) {
            above += here;
            continue;
        }
        for (int64_t i = 0; i < n; i++) { /* room[n + kept] is written ahead of its reader: kept <= i */
            room[kept] = key[i];
            room[n + kept] = weight ? weight[i] : 1;
            kept += step_of(s, key[i]) == at;
        }
        break;
    }
    return select_radix(room, room + n, kept, target, above, w->mass);
}

/* The keys that reach `bound`, from the blocks that do. */
static int64_t reaching(const float *key, int64_t n, float bound, const float *top, float *out) {
    int64_t kept = 0;
    for (int64_t from = 0; from < n; from += WEIGH_BLOCK) {
        int64_t to = from + WEIGH_BLOCK < n ? from + WEIGH_BLOCK : n;
        for (int64_t i = from; top[from / WEIGH_BLOCK] >= bound && i < to; i++)
            if (key[i] >= bound) out[kept++] = key[i];
    }
    return kept;
}

float select_largest(const float *key, int64_t n, int64_t k, SampleWork *w) {
    int64_t blocks = weigh_blocks(n);
    float most = scores_largest(key, n, w);
    if (k <= 0) return INFINITY;
    if (k > n) return -INFINITY;
    if (k == 1) return most;
    if (k > blocks) return select_threshold(key, NULL, n, (double)k, w->room, w);
    float bound = select_radix(w->top, NULL, blocks, (double)k, 0, w->mass); /* k blocks reach it: so do k keys */
    int64_t kept = reaching(key, n, bound, w->top, w->room);
    if (kept < k) return -INFINITY; /* the bound is -inf: NaN is no key */
    return select_threshold(w->room, NULL, kept, (double)k, w->room + n, w);
}
