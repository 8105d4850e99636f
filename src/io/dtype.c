/* dtype.c: the table of stored types, and the plain ones read as f32. Files are little-endian, and so are we. */
#include <string.h>
#include "dtype.h"
#include "half.h"
#include "quant.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weights are used as they lie in little-endian files"
#endif

/* Nearest, ties to even; beyond 65504 + half a step: infinity. */
uint16_t f32_to_f16(float f) {
    uint32_t u = (Bits){.f = f}.u, sign = u >> 16 & 0x8000, body = u & 0x7fffffff;
    if (body > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (body >> 13 & 0x1ff));
    if (body >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    if (body >= 0x38800000) return (uint16_t)(sign | (body - (112u << 23) + 0xfff + (body >> 13 & 1)) >> 13);
    if (body < 0x33000000) return (uint16_t)sign; /* less than half of the smallest subnormal, 2^-24 */
    uint32_t fraction = (body & 0x7fffff) | 0x800000, shift = 126 - (body >> 23);
    return (uint16_t)(sign | (fraction + (1u << (shift - 1)) - 1 + (fraction >> shift & 1)) >> shift);
}

static void read_f32(const uint8_t *row, int64_t first, int64_t count, float *out) {
    memcpy(out, row + 4 * first, 4 * (size_t)count);
}

/* 16-bit types go in pieces of 64: a known trip count is what the compiler wants to make vector code. */
enum { PIECE = 64 };

static void read_f16(const uint8_t *row, int64_t first, int64_t count, float *out) {
    const uint8_t *p = row + 2 * first;
    uint16_t h[PIECE] = {0};
    int64_t i = 0;
    for (; i + PIECE <= count; i += PIECE) {
        memcpy(h, p + 2 * i, sizeof h);
        for (int k = 0; k < PIECE; k++) out[i + k] = half_to_float(h[k]);
    }
    memcpy(h, p + 2 * i, 2 * (size_t)(count - i));
    for (int k = 0; k < count - i; k++) out[i + k] = half_to_float(h[k]);
}

static void read_bf16(const uint8_t *row, int64_t first, int64_t count, float *out) {
    const uint8_t *p = row + 2 * first;
    uint16_t h[PIECE] = {0};
    int64_t i = 0;
    for (; i + PIECE <= count; i += PIECE) {
        memcpy(h, p + 2 * i, sizeof h);
        for (int k = 0; k < PIECE; k++) out[i + k] = bf16_to_f32(h[k]);
    }
    memcpy(h, p + 2 * i, 2 * (size_t)(count - i));
    for (int k = 0; k < count - i; k++) out[i + k] = bf16_to_f32(h[k]);
}

/* GGUF numbers: enum ggml_type of ggml.h. safetensors names: enum Dtype of its Rust reference. */
const DTypeRow dtype_rows[DTYPE_COUNT] = {
    [DTYPE_F32] = {"f32", "F32", 0, 1, 4, read_f32},
    [DTYPE_F16] = {"f16", "F16", 1, 1, 2, read_f16},
    [DTYPE_BF16] = {"bf16", "BF16", 30, 1, 2, read_bf16},
    [DTYPE_I8] = {"i8", "I8", 24, 1, 1, NULL},
    [DTYPE_U8] = {"u8", "U8", -1, 1, 1, NULL},
    [DTYPE_BOOL] = {"bool", "BOOL", -1, 1, 1, NULL},
    [DTYPE_I16] = {"i16", "I16", 25, 1, 2, NULL},
    [DTYPE_U16] = {"u16", "U16", -1, 1, 2, NULL},
    [DTYPE_I32] = {"i32", "I32", 26, 1, 4, NULL},
    [DTYPE_U32] = {"u32", "U32", -1, 1, 4, NULL},
    [DTYPE_I64] = {"i64", "I64", 27, 1, 8, NULL},
    [DTYPE_U64] = {"u64", "U64", -1, 1, 8, NULL},
    [DTYPE_F64] = {"f64", "F64", 28, 1, 8, NULL},
    [DTYPE_Q4_0] = {"q4_0", NULL, 2, 32, 18, read_q4_0},
    [DTYPE_Q4_1] = {"q4_1", NULL, 3, 32, 20, read_q4_1},
    [DTYPE_Q5_0] = {"q5_0", NULL, 6, 32, 22, read_q5_0},
    [DTYPE_Q5_1] = {"q5_1", NULL, 7, 32, 24, read_q5_1},
    [DTYPE_Q8_0] = {"q8_0", NULL, 8, 32, 34, read_q8_0},
    [DTYPE_Q4_K] = {"q4_K", NULL, 12, 256, 144, read_q4_k},
    [DTYPE_Q5_K] = {"q5_K", NULL, 13, 256, 176, read_q5_k},
    [DTYPE_Q6_K] = {"q6_K", NULL, 14, 256, 210, read_q6_k},
};

const DTypeRow *dtype_row(DType type) { return &dtype_rows[type]; }

bool dtype_bytes(DType type, int64_t elements, size_t *bytes) {
    const DTypeRow *row = &dtype_rows[type];
    if (elements < 0 || elements % row->block) return false;
    return size_mul((size_t)(elements / row->block), (size_t)row->block_bytes, bytes);
}
