/* kernels_pairs.c: the products of training in bf16, in plain C: the truth the tuned ones are compared with, bit for bit,
 * in the order of the table in kernels.h. */
#include <float.h>
#include <math.h>
#include "kernels_grad.h"

static float flushed(float f) { return fabsf(f) < FLT_MIN ? copysignf(0, f) : f; }

float fma_flushed(float a, float b, float c) {
    a = flushed(a), b = flushed(b), c = flushed(c);
    float r = fmaf(a, b, c);
    if (!(fabsf(r) <= FLT_MIN)) return r;
    if (fabsf(r) < FLT_MIN) return copysignf(0, r);
    /* Rounded up to 2^-126 as a multiple of 2^-149: with 24 bits it rounds so only from 2^-126 - 2^-151 on. Below,
     * sum + rest is a * b + c exactly (Knuth's two-sum; the product is exact in double). */
    const double edge = 0x1p-126 - 0x1p-151;
    double product = (double)a * (double)b, sum = product + (double)c, part = sum - product;
    double rest = (product - (sum - part)) + ((double)c - part);
    bool tiny = fabs(sum) < edge || (fabs(sum) == edge && rest * sum < 0);
    return tiny ? copysignf(0, r) : r;
}

static Pair pair_of(const float *even, const float *odd, int64_t i) {
    return (even ? f32_to_bf16(even[i]) : 0u) | (Pair)(odd ? f32_to_bf16(odd[i]) : 0u) << 16;
}

void plain_pair_up(const float *even, const float *odd, int64_t in_step, int64_t rows, int64_t columns, Pair *out,
                   int64_t out_step, int64_t panel_step) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < (columns + PANEL - 1) / PANEL * PANEL; c++)
            out[r * out_step + c / PANEL * panel_step + c % PANEL] =
                c < columns ? pair_of(even, odd, r * in_step + c) : 0;
}

/* The odd number first, as vdpbf16ps has it. */
static float pair_product(Pair w, Pair x, float sum) {
    sum = fma_flushed(bf16_to_f32((uint16_t)(w >> 16)), bf16_to_f32((uint16_t)(x >> 16)), sum);
    return fma_flushed(bf16_to_f32((uint16_t)w), bf16_to_f32((uint16_t)x), sum);
}

static void sum_parts_row(const Pair *w, const SumParts *parts, int64_t r, float *acc) {
    float sum[PARTS_DEPTH][PANEL];
    int top = 0;
    for (int n = 0; n < parts->count; n++) {
        const SumPart *part = &parts->part[n];
        const Pair *x = (const Pair *)part->x + r * part->x_stride;
        if (part->begins || !n)
            for (int i = 0; i < PANEL; i++) sum[top][i] = part->begins ? 0 : acc[i];
        top += part->begins || !n;
        for (int64_t k = 0; k < part->count; k++, w += PANEL)
            for (int i = 0; i < PANEL; i++) sum[top - 1][i] = pair_product(w[i], x[k], sum[top - 1][i]);
        for (int a = 0; a < part->adds; a++, top--)
            for (int i = 0; i < PANEL; i++) sum[top - 2][i] += sum[top - 1][i];
    }
    for (int j = 0; j < parts->joins; j++, acc -= parts->join_step)
        for (int i = 0; i < PANEL; i++) sum[0][i] = acc[i - parts->join_step] + sum[0][i];
    for (int i = 0; i < PANEL; i++) acc[i] = sum[0][i];
}

void plain_sum_pair_parts(const Pair *w, int64_t step, int panels, const SumParts *parts, int64_t rows, float *acc) {
    for (int p = 0; p < panels; p++, w += step)
        for (int64_t r = 0; r < rows; r++, acc += PANEL) sum_parts_row(w, parts, r, acc);
}

void plain_outer_pairs(const Pair *w, int64_t step, int panels, int64_t count, const Pair *x, int64_t x_step,
                       int64_t rows, float *acc, int64_t acc_step) {
    for (int p = 0; p < panels; p++, w += step, acc += acc_step)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t k = 0; k < count; k++)
                for (int i = 0; i < PANEL; i++)
                    acc[r * PANEL + i] = pair_product(w[k * PANEL + i], x[k * x_step + r], acc[r * PANEL + i]);
}
