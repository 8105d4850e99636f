/* weigh.h: the loops over a whole vocabulary that sampling is made of, as a table of functions per instruction set. The
 * bits are the same in all of them: exp_f32 of ops/kernels.h, and within a block of 256 values sums over 16 lanes as
 * described there (lane i takes values i, i + 16, ...; a missing one adds nothing). */
#ifndef WEIGH_H
#define WEIGH_H
#include <stdint.h>

enum { WEIGH_BLOCK = 256 };
static inline int64_t weigh_blocks(int64_t n) { return (n + WEIGH_BLOCK - 1) / WEIGH_BLOCK; }

typedef struct Weigh {
    const char *isa;
    /* top[b] = the largest of block b; NaN never wins; -inf when there is nothing else. */
    void (*tops)(const float *x, int64_t n, float *top);
    /* With d = x[i] - largest, w = e^d, 0 where d is NaN: weight[i] = w unless weight is NULL; sum[b] = sum of w;
     * moment[b] = sum of w d over w > 0, one fused step each, unless moment is NULL. largest < inf. */
    void (*weights)(const float *x, int64_t n, float largest, float *weight, float *sum, float *moment);
    void (*divide)(float *x, int64_t n, float by);
} Weigh;

extern const Weigh weigh_reference;
/* Of this machine: the best one, or NULL past the last when asked for number `i`: 0 is the reference. */
const Weigh *weigh_best(void);
const Weigh *weigh_table(int i);
#endif
