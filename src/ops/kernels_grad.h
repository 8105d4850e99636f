/* kernels_grad.h: the plain kernels of training, for the table in kernels.c. */
#ifndef KERNELS_GRAD_H
#define KERNELS_GRAD_H
#include "kernels.h"

/* The sum of 16 lanes in the written order; destroys them. */
static inline float lanes_fold(float lane[16]) {
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) lane[i] += lane[i + step];
    return lane[0];
}

/* kernels_grad.c */
void plain_outer(const float *w, int64_t step, int panels, int64_t count, const float *x, int64_t x_step, int64_t rows,
                 float *acc, int64_t acc_step);
void plain_sum_parts(const float *w, int64_t step, int panels, const SumParts *parts, int64_t rows, float *acc);
void plain_panels(const float *in, int64_t in_step, int64_t rows, int64_t columns, float *out, int64_t out_step);
void plain_copy(const float *in, int64_t in_step, int64_t rows, int64_t columns, float *out, int64_t out_step);
void plain_transpose(const float *in, int64_t in_step, int64_t rows, int64_t columns, float *out, int64_t out_step);
float plain_product_sum(const float *a, const float *b, int64_t n);
void plain_scale(const float *x, float factor, int64_t n, float *y);
void plain_softmax_grad(const float *s, const float *dp, int64_t step, int64_t lo, int64_t hi, const SoftmaxRow *row,
                        float *p, float *ds);
void plain_silu_mul_grad(const float *gate, const float *up, const float *dy, int64_t n, float *dgate, float *dup);
float plain_rms_norm_grad(const float *x, const float *gain, const float *dy, float epsilon, int64_t d, float *dx);
void plain_gain_grad(const float *x, const float *dy, float r, int64_t n, float *g);
float plain_max(const float *x, int64_t n);
float plain_exp_sum(const float *z, int64_t n, float m);
void plain_softmax_minus(const float *z, int64_t n, float m, float inverse, float weight, float *y);
/* kernels_pairs.c */
void plain_pair_up(const float *even, const float *odd, int64_t in_step, int64_t rows, int64_t columns, Pair *out,
                   int64_t out_step, int64_t panel_step);
void plain_sum_pair_parts(const Pair *w, int64_t step, int panels, const SumParts *parts, int64_t rows, float *acc);
void plain_outer_pairs(const Pair *w, int64_t step, int panels, int64_t count, const Pair *x, int64_t x_step,
                       int64_t rows, float *acc, int64_t acc_step);
/* kernels_optimize.c */
void plain_adamw(float *p, const float *grad, float *m, float *v, int64_t n, const AdamwNumbers *numbers);
void plain_adamw8(float *p, const float *grad, uint8_t *m, uint8_t *v, int64_t columns, const AdamwNumbers *numbers);
void plain_sgd(float *p, const float *grad, float *m, int64_t n, const SgdNumbers *numbers);
void plain_average(float *e, const float *p, int64_t n, float decay, float rest);
double plain_sum_squares(const float *x, int64_t n);

#define KERNELS_GRAD                                                                                                   \
    .outer = plain_outer, .copy = plain_copy, .transpose = plain_transpose, .product_sum = plain_product_sum,          \
    .scale = plain_scale, .sum_parts = plain_sum_parts, .panels = plain_panels,                                        \
    .softmax_grad = plain_softmax_grad, .silu_mul_grad = plain_silu_mul_grad, .rms_norm_grad = plain_rms_norm_grad,    \
    .gain_grad = plain_gain_grad, .max = plain_max, .exp_sum = plain_exp_sum, .softmax_minus = plain_softmax_minus,   \
    .pair_up = plain_pair_up, .sum_pair_parts = plain_sum_pair_parts, .outer_pairs = plain_outer_pairs,
#define KERNELS_OPTIMIZE                                                                                               \
    .adamw = plain_adamw, .adamw8 = plain_adamw8, .sgd = plain_sgd, .average = plain_average, .sum_squares = plain_sum_squares,
#endif
