/* weigh.c: the plain C that defines weigh.h, and which table this machine can run. */
#include "weigh.h"
#include <math.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include "../base/cpu.h"
#include "../ops/kernels.h"

enum { LANES = 16 };

static float lanes_sum(float *lane) {
    for (int step = LANES / 2; step > 0; step /= 2)
        for (int l = 0; l < step; l++) lane[l] += lane[l + step];
    return lane[0];
}

static void tops(const float *x, int64_t n, float *top) {
    for (int64_t from = 0; from < n; from += WEIGH_BLOCK) {
        int64_t to = from + WEIGH_BLOCK < n ? from + WEIGH_BLOCK : n;
        float best = -INFINITY;
        for (int64_t i = from; i < to; i++) best = x[i] > best ? x[i] : best;
        top[from / WEIGH_BLOCK] = best;
    }
}

static void weights(const float *x, int64_t n, float largest, float *weight, float *sum, float *moment) {
    for (int64_t from = 0; from < n; from += WEIGH_BLOCK) {
        int64_t to = from + WEIGH_BLOCK < n ? from + WEIGH_BLOCK : n;
        float sums[LANES] = {0}, moments[LANES] = {0};
        for (int64_t i = from; i < to; i++) {
            float d = x[i] - largest, w = d == d ? exp_f32(d) : 0;
            sums[i % LANES] += w;
            moments[i % LANES] = fmaf(w, w > 0 ? d : 0, moments[i % LANES]);
            if (weight) weight[i] = w;
        }
        sum[from / WEIGH_BLOCK] = lanes_sum(sums);
        if (moment) moment[from / WEIGH_BLOCK] = lanes_sum(moments);
    }
}

static void divide(float *x, int64_t n, float by) {
    for (int64_t i = 0; i < n; i++) x[i] /= by;
}

const Weigh weigh_reference = {"reference", tops, weights, divide};

#if defined(__x86_64__)
extern const Weigh weigh_avx2, weigh_avx512;
#endif

const Weigh *weigh_table(int i) {
    const char *best = cpu_isa_best();
    (void)best;
    if (i == 0) return &weigh_reference;
#if defined(__x86_64__)
    if (i == 1 && strcmp(best, "reference")) return &weigh_avx2;
    if (i == 2 && !strncmp(best, "avx512", 6)) return &weigh_avx512;
#endif
    return NULL;
}

const Weigh *weigh_best(void) {
    static _Atomic(const Weigh *) known; /* asking the CPU is slow; whoever asks first finds the same */
    const Weigh *best = atomic_load(&known);
    if (best) return best;
    for (int i = 0; weigh_table(i); i++) best = weigh_table(i);
    atomic_store(&known, best);
    return best;
}
