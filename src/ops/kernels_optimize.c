/* kernels_optimize.c: what the kernels of the optimizer compute, in plain C: see kernels.h. */
#include <math.h>
#include <string.h>
#include "codes8.h"
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

void plain_adamw8(float *p, const float *grad, uint8_t *m, uint8_t *v, int64_t columns, const AdamwNumbers *numbers) {
    uint8_t *const code[2] = {m + PANEL * sizeof(float), v + PANEL * sizeof(float)};
    uint8_t *const scales[2] = {m, v};
    float value[2][CODE_BLOCK * PANEL], scale[2][PANEL], most[2][PANEL] = {{0}};
    for (int k = 0; k < 2; k++) {
        memcpy(scale[k], scales[k], sizeof scale[k]);
        for (int64_t i = 0; i < columns * PANEL; i++) value[k][i] = code_value((CodeKind)k, code[k][i], scale[k][i % PANEL]);
    }
    plain_adamw(p, grad, value[CODE_FIRST], value[CODE_SECOND], columns * PANEL, numbers);
    for (int k = 0; k < 2; k++) {
        for (int64_t i = 0; i < columns * PANEL; i++)
            if (fabsf(value[k][i]) > most[k][i % PANEL]) most[k][i % PANEL] = fabsf(value[k][i]);
        for (int l = 0; l < PANEL; l++) scale[k][l] = code_scale((CodeKind)k, most[k][l]);
        for (int64_t i = 0; i < columns * PANEL; i++) code[k][i] = code_of((CodeKind)k, value[k][i], scale[k][i % PANEL]);
        memcpy(scales[k], scale[k], sizeof scale[k]);
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
