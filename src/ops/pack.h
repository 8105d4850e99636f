/* pack.h: how weights are held for computing: panels of 16 output rows, k innermost, so that one load feeds 16 rows and
 * no horizontal sum is needed. One packed copy serves every mesh on a host: a shard is a range of rows and of k.
 *
 * The value of a weight is its exact f32 value in the file: round_f32(scale * q + min) for quantised ones (the product
 * is exact in f32), so every format computes what an f32 model of the same values would.
 *
 *   type  bits   panel of 16 rows (R = 16), all little-endian
 *   F32   32     [k][R] f32
 *   BF16  16     [k/2][R][2] bf16, k padded to even with zero
 *   F16   16     [k][R] f16, k padded to even with zero
 *   Q8     8.5   per 32 k: f16 scale[R]; bytes; zero 128                q8_0
 *   Q4     5     per 32 k: f16 scale[R], f16 min[R]; nibbles            q4_0 (min = -8 scale), q4_1
 *                (-8 scale is exact in f16 unless |scale| > 8188, where it is infinite; no real file has such weights)
 *   Q4X    6     per 32 k: f32 scale[R], f32 min[R]; nibbles            q4_K
 *   Q8X   10     per 32 k: f32 scale[R], f32 min[R]; bytes              q5_0, q5_1, q5_K
 *   Q6X   12     per 16 k: f32 scale[R], f32 min[R]; bytes              q6_K
 *   Q8G    8.125 per 128 k: f16 scale[R]; bytes; zero 128               made at load: --weights 8bit
 *   Q4G    4.125 per 128 k: f16 scale[R]; nibbles; zero 8               made at load: --weights 4bit
 * nibbles: per 8 k u32 [R], lowest bits first. bytes: per 8 k two lines u8 [R][4], the first of k 0 2 4 6, the second
 * of k 1 3 5 7: what the low and the high nibbles of a line are, so that both meet the same activations (see Quad in
 * kernels.h). Types with a zero have min = -zero scale. A last group of Q8G and Q4G may hold any multiple of 32
 * columns.
 */
#ifndef PACK_H
#define PACK_H
#include "../io/dtype.h"

/* Names everything above: a change of any panel's bytes needs a new name, so that packed files of the old form are
 * refused. tests/test_pack.c knows what panels hash to under this name. */
#define PACK_LAYOUT "panel16-1"

enum { PANEL = 16 };

typedef enum PackedType {
    PACKED_F32,
    PACKED_BF16,
    PACKED_F16,
    PACKED_Q8,
    PACKED_Q4,
    PACKED_Q4X,
    PACKED_Q8X,
    PACKED_Q6X,
    PACKED_Q8G,
    PACKED_Q4G,
    PACKED_COUNT
} PackedType;

typedef struct PackedRow {
    const char *name;
    int group;       /* k per scale; 2 for 16-bit types, 1 for f32: a k range handed to a kernel may start anywhere */
    int group_bytes; /* bytes of a group of one panel, of which ... */
    int head_bytes;  /* ... scales (and mins): 32 f16 scales, 64 f16 both, 128 f32 both, 0 none */
    int bits, zero;  /* of a quantised weight */
} PackedRow;
extern const PackedRow packed_rows[PACKED_COUNT];
static inline bool packed_quantised(PackedType type) { return packed_rows[type].head_bytes > 0; }

/* By name; false if there is none. */
bool packed_type_named(const char *name, PackedType *out);
/* How a file type is held; false if it is no weight type. */
bool packed_type_of(DType dtype, PackedType *out);
/* Bytes of one panel of k columns, a multiple of 64. k is a multiple of the group for quantised types. */
int64_t packed_panel_bytes(PackedType type, int64_t k);
/* Packs one panel. rows[i]: row i of the panel as stored in the file (`dtype`, k elements), NULL for rows past the end,
 * which become zero. `panel` has packed_panel_bytes(type, k) bytes, 64-byte aligned. */
void pack_panel(DType dtype, const uint8_t *const rows[PANEL], int64_t k, void *panel);

/* ---- Quantising at load: Q8G, Q4G and BF16 from any weight type -------------------------------------------------- */

/* Sums over weights: of squares, and of squared differences that quantising made. */
typedef struct PackError { double square, error, most; } PackError; /* most: the largest difference */
/* Packs one panel as `type` (BF16: nearest, any k; Q8G or Q4G: k a multiple of 32), and adds to *error. Per row and 128
 * columns:
 *   8 bits: scale = f16(largest |w| / 127), q = nearest w / scale, -127 .. 127.
 *   4 bits: scale = f16(w of the largest |w|, over -8), q = nearest, -8 .. 7; then once the scale with the least
 * squared error for these q, sum w q / sum q^2, and q again; kept if the error is smaller. */
void pack_quantise(DType dtype, PackedType type, const uint8_t *const rows[PANEL], int64_t k, void *panel,
                   PackError *error);
#endif
