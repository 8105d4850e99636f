/* quant_write.c: see quant_write.h. */
#include <math.h>
#include <string.h>
#include "quant_write.h"

enum { BLOCK = 32 };

static bool put_scale(uint8_t *p, float scale) {
    uint16_t half = f32_to_f16(scale);
    memcpy(p, &half, sizeof half);
    return (half & 0x7c00) != 0x7c00; /* neither infinite nor NaN */
}

/* d = most / 127, q = round(x / d), halves away from zero. */
static bool write_q8_0(const float *x, uint8_t *p) {
    float most = 0;
    bool good = true;
    for (int i = 0; i < BLOCK; i++) {
        float a = fabsf(x[i]);
        good &= a <= 3.4e38f; /* NaN is not */
        if (a > most) most = a;
    }
    float d = most / 127, inverse = d != 0 ? 1 / d : 0;
    if (!good || !put_scale(p, d)) return false;
    for (int i = 0; i < BLOCK; i++) p[2 + i] = (uint8_t)(int8_t)roundf(x[i] * inverse);
    return true;
}

static uint8_t nibble(float v) {
    int8_t q = (int8_t)(v + 8.5f);
    return (uint8_t)(q < 15 ? q : 15);
}

/* d = m / -8 where m is the number of largest magnitude, sign and all: it is hit, up to the rounding of d. */
static bool write_q4_0(const float *x, uint8_t *p) {
    float most = 0, at = 0;
    bool good = true;
    for (int i = 0; i < BLOCK; i++) {
        good &= fabsf(x[i]) <= 3.4e38f;
        if (fabsf(x[i]) > most) most = fabsf(x[i]), at = x[i];
    }
    float d = at / -8, inverse = d != 0 ? 1 / d : 0;
    if (!good || !put_scale(p, d)) return false;
    for (int i = 0; i < BLOCK / 2; i++)
        p[2 + i] = (uint8_t)(nibble(x[i] * inverse) | nibble(x[BLOCK / 2 + i] * inverse) << 4);
    return true;
}

bool dtype_writable(DType type) {
    return type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16 || type == DTYPE_Q8_0 || type == DTYPE_Q4_0;
}

static void write_half(DType type, const float *in, int64_t count, uint8_t *out) {
    for (int64_t i = 0; i < count; i++) {
        uint16_t half = type == DTYPE_BF16 ? f32_to_bf16(in[i]) : f32_to_f16(in[i]);
        memcpy(out + 2 * i, &half, sizeof half);
    }
}

bool dtype_write(DType type, const float *in, int64_t count, uint8_t *out) {
    const DTypeRow *row = dtype_row(type);
    bool good = true;
    if (type == DTYPE_F32) memcpy(out, in, (size_t)count * sizeof *in);
    else if (type == DTYPE_F16 || type == DTYPE_BF16) write_half(type, in, count, out);
    else
        for (int64_t i = 0; good && i < count; i += BLOCK, out += row->block_bytes)
            good = (type == DTYPE_Q8_0 ? write_q8_0 : write_q4_0)(in + i, out);
    return good;
}
