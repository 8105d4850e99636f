/* kernels_grad.c: what the kernels of the backward pass compute, in plain C: the truth the tuned ones are compared
 * with, bit for bit, in the order of the table in kernels.h. */
#include <math.h>
#include "kernels_grad.h"

static void sum_parts_row(const float *w, const SumParts *parts, int64_t r, float *acc) {
    float sum[PARTS_DEPTH][PANEL];
    int top = 0;
    for (int n = 0; n < parts->count; n++) {
        const SumPart *part = &parts->part[n];
        const float *x = (const float *)part->x + r * part->x_stride;
        if (part->begins || !n)
            for (int i = 0; i < PANEL; i++) sum[top][i] = part->begins ? 0 : acc[i];
        top += part->begins || !n;
        for (int64_t k = 0; k < part->count; k++, w += PANEL)
            for (int i = 0; i < PANEL; i++) sum[top - 1][i] = fmaf(w[i], x[k], sum[top - 1][i]);
        for (int a = 0; a < part->adds; a++, top--)
            for (int i = 0; i < PANEL; i++) sum[top - 2][i] += sum[top - 1][i];
    }
    for (int j = 0; j < parts->joins; j++, acc -= parts->join_step)
        for (int i = 0; i < PANEL; i++) sum[0][i] = acc[i - parts->join_step] + sum[0][i];
    for (int i = 0; i < PANEL; i++) acc[i] = sum[0][i];
}

void plain_sum_parts(const float *w, int64_t step, int panels, const SumParts *parts, int64_t rows, float *acc) {
    for (int p = 0; p < panels; p++, w += step)
        for (int64_t r = 0; r < rows; r++, acc += PANEL) sum_parts_row(w, parts, r, acc);
}

void plain_outer(const float *w, int64_t step, int panels, int64_t count, const float *x, int64_t x_step, int64_t rows,
                 float *acc, int64_t acc_step) {
    for (int p = 0; p < panels; p++, w += step, acc += acc_step)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t k = 0; k < count; k++)
                for (int i = 0; i < PANEL; i++)
                    acc[r * PANEL + i] = fmaf(w[k * PANEL + i], x[k * x_step + r], acc[r * PANEL + i]);
}

void plain_copy(const float *in, int64_t in_step, int64_t rows, int64_t columns, float *out, int64_t out_step) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) out[r * out_step + c] = in[r * in_step + c];
}

void plain_panels(const float *in, int64_t in_step, int64_t rows, int64_t columns, float *out, int64_t out_step) {
    for (int64_t c = 0; c < (columns + PANEL - 1) / PANEL * PANEL; c++)
        for (int64_t r = 0; r < rows; r++)
            out[c / PANEL * out_step + r * PANEL + c % PANEL] = c < columns ? in[r * in_step + c] : 0;
}

void plain_transpose(const float *in, int64_t in_step, int64_t rows, int64_t columns, float *out, int64_t out_step) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) out[c * out_step + r] = in[r * in_step + c];
}

float plain_product_sum(const float *a, const float *b, int64_t n) {
    float lane[16] = {0};
    for (int64_t i = 0; i < n; i++) lane[i % 16] = fmaf(a[i], b[i], lane[i % 16]);
    return lanes_fold(lane);
}

void plain_scale(const float *x, float factor, int64_t n, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * factor;
}

void plain_softmax_grad(const float *s, const float *dp, int64_t step, int64_t lo, int64_t hi, const SoftmaxRow *row,
                        float *p, float *ds) {
    for (int64_t i = 0; i < ATTENTION_BLOCK; i++) {
        int64_t at = i / 16 * step + i % 16;
        bool inside = i >= lo && i < hi;
        p[i] = inside ? exp_f32(s[at] * row->scale - row->m) / row->l : 0;
        ds[i] = inside ? p[i] * (dp[at] - row->d) : 0;
    }
}

void plain_silu_mul_grad(const float *gate, const float *up, const float *dy, int64_t n, float *dgate, float *dup) {
    for (int64_t i = 0; i < n; i++) {
        float a = gate[i], s = 1.0f / (1.0f + exp_f32(-a)), d = dy[i], through = d * up[i];
        dup[i] = d * (a * s);
        dgate[i] = through * (s * fmaf(a, 1.0f - s, 1.0f));
    }
}

float plain_rms_norm_grad(const float *x, const float *gain, const float *dy, float epsilon, int64_t d, float *dx) {
    float square[16] = {0}, lane[16] = {0};
    for (int64_t i = 0; i < d; i++) square[i % 16] = fmaf(x[i], x[i], square[i % 16]);
    float r = 1.0f / sqrtf(lanes_fold(square) / (float)d + epsilon);
    for (int64_t i = 0; i < d; i++) lane[i % 16] = fmaf(dy[i] * gain[i], x[i] * r, lane[i % 16]);
    float mean = lanes_fold(lane) / (float)d;
    for (int64_t i = 0; i < d; i++) dx[i] = fmaf(x[i] * r, -mean, dy[i] * gain[i]) * r;
    return r;
}

void plain_gain_grad(const float *x, const float *dy, float r, int64_t n, float *g) {
    for (int64_t i = 0; i < n; i++) g[i] = fmaf(dy[i], x[i] * r, g[i]);
}

/* ---- Softmax over long rows -------------------------------------------------------------------------------------- */

float plain_max(const float *x, int64_t n) {
    float most = -INFINITY;
    for (int64_t i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
    return most + 0.0f;
}

float plain_exp_sum(const float *z, int64_t n, float m) {
    float lane[16] = {0};
    for (int64_t i = 0; i < n; i++) lane[i % 16] += exp_f32(z[i] - m);
    return lanes_fold(lane);
}

void plain_softmax_minus(const float *z, int64_t n, float m, float inverse, float weight, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = exp_f32(z[i] - m) * inverse * weight;
}
