/* quant_write.h: f32 to the stored types that models are written in: f32, f16, bf16, q8_0, q4_0; the inverse of the
 * readers in dtype.c and quant.c. */
#ifndef QUANT_WRITE_H
#define QUANT_WRITE_H
#include "dtype.h"

/* Whether dtype_write knows the type. */
bool dtype_writable(DType type);
/* `count` numbers, whole blocks, to dtype_bytes(type, count) bytes. 16-bit types: to the nearest, ties to even. Blocks
 * as ggml's reference quantisers make them (quantize_row_q8_0_ref, quantize_row_q4_0_ref). False where a block has a
 * number that its scale cannot hold: NaN, infinity, or one so large that the scale is no finite f16; `out` is then not
 * to be used. */
bool dtype_write(DType type, const float *in, int64_t count, uint8_t *out);
#endif
