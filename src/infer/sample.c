/* sample.c: from logits to one token: penalty, temperature, top-k, top-p, min-p, then one draw. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "generation.h"

bool sample_work_new(SampleWork *w, int64_t vocab, Err *err) {
    *w = (SampleWork){.vocab = vocab};
    w->value = mem_new((size_t)vocab, sizeof *w->value, "sampling", err);
    w->id = mem_new((size_t)vocab, sizeof *w->id, "sampling", err);
    w->seen = mem_new((size_t)vocab, 1, "sampling", err);
    return w->value && w->id && w->seen;
}

void sample_work_free(SampleWork *w) {
    free(w->value);
    free(w->id);
    free(w->seen);
    *w = (SampleWork){0};
}

/* A number in [0, 1) from a counter: two rounds of the splitmix64 finaliser over (seed, sequence, position). */
static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}
static double uniform(uint64_t seed, uint64_t sequence, uint64_t position) {
    return (double)(mix(mix(mix(seed) ^ sequence) ^ position) >> 11) * 0x1p-53;
}

/* Every id of the history once: a positive logit is divided by the penalty, a negative one multiplied. */
static void penalise(const GenerationConfig *c, float *logits, const int32_t *history, int64_t count, SampleWork *w) {
    float p = (float)c->repetition_penalty;
    for (int64_t i = 0; i < count; i++) {
        int32_t id = history[i];
        if (w->seen[id]) continue;
        w->seen[id] = 1;
        logits[id] = logits[id] < 0 ? logits[id] * p : logits[id] / p;
    }
    for (int64_t i = 0; i < count; i++) w->seen[history[i]] = 0;
}

static int32_t largest(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return (int32_t)best;
}

static int descending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Least value that top-k keeps. */
static float kth_value(const GenerationConfig *c, const float *logits, SampleWork *w) {
    if (c->top_k <= 0 || c->top_k >= w->vocab) return -INFINITY;
    int64_t n = 0, k = c->top_k;
    float *heap = w->value; /* the k largest so far, the smallest first */
    for (int64_t i = 0; i < w->vocab; i++) {
        if (n == k && !(logits[i] > heap[0])) continue;
        int64_t at = n < k ? n++ : 0;
        heap[at] = logits[i];
        if (n <= k && at) {
            for (int64_t up; at && heap[up = (at - 1) / 2] > heap[at]; at = up) {
                float t = heap[at]; heap[at] = heap[up]; heap[up] = t;
            }
            continue;
        }
        for (int64_t down; (down = 2 * at + 1) < n; at = down) {
            if (down + 1 < n && heap[down + 1] < heap[down]) down++;
            if (heap[at] <= heap[down]) break;
            float t = heap[at]; heap[at] = heap[down]; heap[down] = t;
        }
    }
    return heap[0];
}

/* Least value that top-p keeps of the sorted `n` values: the token that crosses p is kept. */
static float nucleus(const float *sorted, int64_t n, double top_p) {
    double sum = 0, passed = 0;
    if (top_p >= 1) return -INFINITY;
    for (int64_t i = 0; i < n; i++) sum += exp((double)(sorted[i] - sorted[0]));
    for (int64_t i = 0; i < n; i++) {
        passed += exp((double)(sorted[i] - sorted[0]));
        if (passed >= top_p * sum) return sorted[i];
    }
    return sorted[n - 1];
}

int32_t sample(const GenerationConfig *c, float *logits, const int32_t *history, int64_t count, uint64_t sequence,
               SampleWork *w) {
    if (c->repetition_penalty != 1) penalise(c, logits, history, count, w);
    if (!c->do_sample || c->temperature == 0) return largest(logits, w->vocab);
    for (int64_t i = 0; i < w->vocab; i++) logits[i] = logits[i] / (float)c->temperature;
    float keep = kth_value(c, logits, w), top = logits[largest(logits, w->vocab)];
    if (c->top_p < 1) {
        int64_t n = 0;
        for (int64_t i = 0; i < w->vocab; i++)
            if (logits[i] >= keep) w->value[n++] = logits[i];
        qsort(w->value, (size_t)n, sizeof *w->value, descending);
        float p = nucleus(w->value, n, c->top_p);
        if (p > keep) keep = p;
    }
    if (c->min_p > 0) {
        float m = top + logf((float)c->min_p);
        if (m > keep) keep = m;
    }
    double sum = 0;
    for (int64_t i = 0; i < w->vocab; i++)
        if (logits[i] >= keep) sum += exp((double)(logits[i] - top));
    double left = uniform((uint64_t)c->seed, sequence, (uint64_t)count) * sum;
    int32_t last = largest(logits, w->vocab);
    for (int64_t i = 0; i < w->vocab; i++) {
        if (!(logits[i] >= keep)) continue;
        last = (int32_t)i;
        left -= exp((double)(logits[i] - top));
        if (left < 0) break;
    }
    return last;
}
