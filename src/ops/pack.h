/* pack.h: how weights are held for computing: panels of 16 output rows, k innermost, so that one load feeds 16 rows and
 * no horizontal sum is needed. One packed copy serves every mesh on a host: a shard is a range of rows and of k.
 *
 * The value of a weight is its exact f32 value in the file: round_f32(scale * q + min) for quantised ones (the product
 * is exact in f32), so every format computes what an f32 model of the same values would.
 *
 *   type  bits  panel of 16 rows (R = 16), all little-endian
 *   F32   32    [k][R] f32
 *   BF16  16    [k/2][R][2] bf16, k padded to even with zero
 *   F16   16    [k][R] f16, k padded to even with zero
 *   Q8     8.5  per 32 k: f16 scale[R]; s8 q[32][R]                                   q8_0
 *   Q4     5    per 32 k: f16 scale[R], f16 min[R]; u32 [4][R]: 8 k, lowest bits first  q4_0 (min = -8 scale), q4_1
 *               (-8 scale is exact in f16 unless |scale| > 8188, where it is infinite; no real file has such weights)
 *   Q4X    6    per 32 k: f32 scale[R], f32 min[R]; u32 [4][R]: 8 k, lowest bits first  q4_K
 *   Q8X   10    per 32 k: f32 scale[R], f32 min[R]; u8 q[32][R]                       q5_0, q5_1, q5_K
 *   Q6X   12    per 16 k: f32 scale[R], f32 min[R]; u8 q[16][R]                       q6_K
 */
#ifndef PACK_H
#define PACK_H
#include "../io/dtype.h"

enum { PANEL = 16 };

typedef enum PackedType {
    PACKED_F32, PACKED_BF16, PACKED_F16, PACKED_Q8, PACKED_Q4, PACKED_Q4X, PACKED_Q8X, PACKED_Q6X, PACKED_COUNT
} PackedType;

typedef struct PackedRow {
    const char *name;
    int group;       /* k per scale; 2 for 16-bit types, 1 for f32: a k range handed to a kernel may start anywhere */
    int group_bytes; /* bytes of a group of one panel */
} PackedRow;
extern const PackedRow packed_rows[PACKED_COUNT];

/* How a file type is held; false if it is no weight type. */
bool packed_type_of(DType dtype, PackedType *out);
/* Bytes of one panel of k columns, a multiple of 64. k is a multiple of the group for quantised types. */
int64_t packed_panel_bytes(PackedType type, int64_t k);
/* Packs one panel. rows[i]: row i of the panel as stored in the file (`dtype`, k elements), NULL for rows past the end,
 * which become zero. `panel` has packed_panel_bytes(type, k) bytes, 64-byte aligned. */
void pack_panel(DType dtype, const uint8_t *const rows[PANEL], int64_t k, void *panel);
#endif
