/* dtype.h: how numbers are stored in files, one row per type; blocks of quantised types as in GGUF. */
#ifndef DTYPE_H
#define DTYPE_H
#include "../base/base.h"

typedef enum DType {
    DTYPE_F32, DTYPE_F16, DTYPE_BF16,
    DTYPE_I8, DTYPE_U8, DTYPE_BOOL, DTYPE_I16, DTYPE_U16, DTYPE_I32, DTYPE_U32, DTYPE_I64, DTYPE_U64, DTYPE_F64,
    DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q8_0, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K,
    DTYPE_COUNT
} DType;

/* Elements [first, first+count) of a row, both multiples of the block, as f32. The value is exactly
 * round_f32(scale * q + min) with scale and min as the format defines them; scale * q is exact in f32. */
typedef void DTypeRead(const uint8_t *row, int64_t first, int64_t count, float *out);

typedef struct DTypeRow {
    const char *name;        /* "f32", "bf16", "q4_1", ...: ours, in messages and --weights  */
    const char *safetensors; /* "F32", "BF16", ... or NULL                                   */
    int gguf;                /* ggml type number, or -1                                      */
    int block, block_bytes;  /* elements per block, bytes per block                          */
    DTypeRead *read;         /* NULL for types that are no weights                           */
} DTypeRow;

extern const DTypeRow dtype_rows[DTYPE_COUNT];
const DTypeRow *dtype_row(DType type);
/* Bytes of `elements` elements; false when they are no whole blocks or the product wraps. */
bool dtype_bytes(DType type, int64_t elements, size_t *bytes);

static inline float bf16_to_f32(uint16_t h) {
    union { uint32_t u; float f; } v = {.u = (uint32_t)h << 16};
    return v.f;
}
static inline uint16_t f32_to_bf16(float f) { /* nearest, ties to even; NaN stays NaN */
    union { float f; uint32_t u; } v = {.f = f};
    if ((v.u & 0x7fffffff) > 0x7f800000) return (uint16_t)((v.u >> 16) | 0x40);
    return (uint16_t)((v.u + 0x7fff + ((v.u >> 16) & 1)) >> 16);
}
float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);
#endif
