/* kernels_optimize.c: what the kernels of the optimizer compute, in plain C: see kernels.h. */
#include <math.h>
#include "kernels_grad.h"

void plain_adamw(float *p, const float *grad, float *m, float *v, int64_t n, const AdamwNumbers *numbers) {
    const AdamwNumbers a = *numbers;
    for (int64_t i = 0; i < n; i++) {
        float g = grad[i] * a.clip;
        m[i] = m[i] * a.beta1 + g * a.rest1;
        v[i] = v[i] * a.beta2 + g * g * a.rest2;
        p[i] = p[i] * a.decay - m[i] * a.step / (sqrtf(v[i]) / a.root + a.epsilon);
    }
}

void plain_sgd(float *p, const float *grad, float *m, int64_t n, const SgdNumbers *numbers) {
    const SgdNumbers a = *numbers;
    for (int64_t i = 0; i < n; i++) {
        float g = grad[i] * a.clip + p[i] * a.decay;
        if (m) g = m[i] = m[i] * a.momentum + g;
        p[i] = p[i] - g * a.rate;
    }
}

void plain_average(float *e, const float *p, int64_t n, float decay, float rest) {
    for (int64_t i = 0; i < n; i++) e[i] = e[i] * decay + p[i] * rest;
}

double plain_sum_squares(const float *x, int64_t n) {
    double lane[16] = {0};
    for (int64_t i = 0; i < n; i++) lane[i % 16] += (double)x[i] * (double)x[i];
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++) lane[i] += lane[i + step];
    return lane[0];
}
