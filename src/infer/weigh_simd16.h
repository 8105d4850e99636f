/* weigh_simd16.h: the loops of weigh.h over v16: weigh_avx2.c and weigh_avx512.c include src/cpu/simd16_<isa>.h, then
 * this. */
#include "../cpu/exp16.h"
#include "weigh.h"

/* Values [i, to), at most 16; lanes past the end are -inf. */
V16 v16 weigh_load(const float *x, int64_t i, int64_t to) {
    if (to - i >= 16) return v16_load(x + i);
    return v16_pick(v16_lanes(0, to - i), v16_load_part(x + i, to - i), v16_all(-INFINITY));
}

V16 void weigh_store(float *x, int64_t i, int64_t to, v16 v) {
    if (to - i >= 16) v16_store(x + i, v);
    else v16_store_part(x + i, to - i, v);
}

static void tops(const float *x, int64_t n, float *top) {
    for (int64_t from = 0; from < n; from += WEIGH_BLOCK) {
        int64_t to = from + WEIGH_BLOCK < n ? from + WEIGH_BLOCK : n;
        v16 best = v16_all(-INFINITY);
        for (int64_t i = from; i < to; i += 16) best = v16_max(weigh_load(x, i, to), best);
        top[from / WEIGH_BLOCK] = v16_top(best);
    }
}

/* weight and moment are NULL or not at compile time. */
V16 void weigh_blocks_of(const float *x, int64_t n, float largest, float *weight, float *sum, float *moment) {
    v16 top = v16_all(largest), zero = v16_all(0);
    for (int64_t from = 0; from < n; from += WEIGH_BLOCK) {
        int64_t to = from + WEIGH_BLOCK < n ? from + WEIGH_BLOCK : n;
        v16 sums = zero, moments = zero;
        for (int64_t i = from; i < to; i += 16) {
            v16 d = v16_sub(weigh_load(x, i, to), top), w = v16_pick(v16_nan(d), zero, v16_exp(d));
            sums = v16_add(sums, w);
            if (moment) moments = v16_fma(w, v16_pick(v16_less(zero, w), d, zero), moments);
            if (weight) weigh_store(weight, i, to, w);
        }
        sum[from / WEIGH_BLOCK] = v16_sum(sums);
        if (moment) moment[from / WEIGH_BLOCK] = v16_sum(moments);
    }
}

static void weights(const float *x, int64_t n, float largest, float *weight, float *sum, float *moment) {
    if (weight && moment) weigh_blocks_of(x, n, largest, weight, sum, moment);
    else if (moment) weigh_blocks_of(x, n, largest, NULL, sum, moment);
    else if (weight) weigh_blocks_of(x, n, largest, weight, sum, NULL);
    else weigh_blocks_of(x, n, largest, NULL, sum, NULL);
}

static void divide(float *x, int64_t n, float by) {
    v16 t = v16_all(by);
    for (int64_t i = 0; i < n; i += 16) weigh_store(x, i, n, v16_div(weigh_load(x, i, n), t));
}
