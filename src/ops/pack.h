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
 *   Q8     8.5   groups of 32 k: f16 scale[R]; bytes; zero 128                              q8_0
 *   Q4     5     32: f16 scale[R], f16 min[R]; nibbles                                      q4_1
 *   Q4Z    4.5   64: f16 scale[2][R]; nibbles; zero 8                                       q4_0
 *   Q5     6     32: f16 scale[R], f16 min[R]; nibbles and tops                             q5_1
 *   Q5Z    5.5   64: f16 scale[2][R]; nibbles and tops; zero 16                             q5_0
 *   Q4K    4.625 256: f16 d[R], -dmin[R], then [8] u8 scale[R], u8 min[R]; nibbles          q4_K
 *   Q5K    5.625 256: the same; nibbles and tops                                            q5_K
 *   Q6K    6.625 256: f16 d[R], [16] s8 scale[R], 32 bytes unused; nibbles and tops; zero 32 q6_K
 *   Q8G    8.125 128: f16 scale[R]; bytes; zero 128               made at load: --weights 8bit
 *   Q4G    4.125 128: f16 scale[R]; nibbles; zero 8               made at load: --weights 4bit
 * A group is a head and its numbers, in parts that have a scale each: 32 k, 16 of Q6K, 128 of Q8G and Q4G. Scale and
 * min of a K type are products with d and -dmin, exact in f32; min is -zero times scale in types with a zero. A last
 * group may hold any multiple of 32 columns.
 * bytes: per 8 k two lines u8 [R][4], the first of k 0 2 4 6, the second of k 1 3 5 7: what the low and the high
 * nibbles of a line are, so that both meet the same activations (see Quad in kernels.h). nibbles: per 8 k one line,
 * u32 [R], lowest bits first. nibbles and tops: per part a line of the bits above the nibbles, then the nibbles' lines.
 * With one such bit (5 in all) a part has 4 lines of nibbles, with two it has 2, and so 8 or 4 lines of bytes; byte
 * line n has its bits in every byte of the line of tops from bit n, or 2 n, up.
 */
#ifndef PACK_H
#define PACK_H
#include "../io/dtype.h"

/* Names everything above: a change of any panel's bytes needs a new name, so that packed files of the old form are
 * refused. tests/test_pack.c knows what panels hash to under this name. */
#define PACK_LAYOUT "panel16-2"

enum { PANEL = 16 };

typedef enum PackedType {
    PACKED_F32,
    PACKED_BF16,
    PACKED_F16,
    PACKED_Q8,
    PACKED_Q4,
    PACKED_Q4Z,
    PACKED_Q5,
    PACKED_Q5Z,
    PACKED_Q4K,
    PACKED_Q5K,
    PACKED_Q6K,
    PACKED_Q8G,
    PACKED_Q4G,
    PACKED_COUNT
} PackedType;

/* F(name, type) of every type, for tables of functions. */
#define PACKED_PLAIN(F) F(f32, PACKED_F32) F(bf16, PACKED_BF16) F(f16, PACKED_F16)
#define PACKED_QUANTISED(F)                                                                                            \
    F(q8, PACKED_Q8) F(q4, PACKED_Q4) F(q4z, PACKED_Q4Z) F(q5, PACKED_Q5) F(q5z, PACKED_Q5Z) F(q4k, PACKED_Q4K)        \
    F(q5k, PACKED_Q5K) F(q6k, PACKED_Q6K) F(q8g, PACKED_Q8G) F(q4g, PACKED_Q4G)

/* What the head of a group holds; see above. */
typedef enum PackedHead { HEAD_NONE, HEAD_SCALE, HEAD_MIN, HEAD_K, HEAD_6K } PackedHead;

typedef struct PackedRow {
    const char *name;
    int group, part; /* k per head and per scale; 2 for 16-bit types, 1 for f32: a k range may start anywhere */
    PackedHead head;
    int head_bytes;
    int bits, zero;  /* of a quantised weight */
} PackedRow;
/* In the header, so that kernels made for one type see constants. */
static const PackedRow packed_rows[PACKED_COUNT] = {
    [PACKED_F32] = {"f32", 1, 1, HEAD_NONE, 0, 32, 0},
    [PACKED_BF16] = {"bf16", 2, 2, HEAD_NONE, 0, 16, 0},
    [PACKED_F16] = {"f16", 2, 2, HEAD_NONE, 0, 16, 0},
    [PACKED_Q8] = {"q8", 32, 32, HEAD_SCALE, 32, 8, 128},
    [PACKED_Q4] = {"q4", 32, 32, HEAD_MIN, 64, 4, 0},
    [PACKED_Q4Z] = {"q4z", 64, 32, HEAD_SCALE, 64, 4, 8},
    [PACKED_Q5] = {"q5", 32, 32, HEAD_MIN, 64, 5, 0},
    [PACKED_Q5Z] = {"q5z", 64, 32, HEAD_SCALE, 64, 5, 16},
    [PACKED_Q4K] = {"q4k", 256, 32, HEAD_K, 320, 4, 0},
    [PACKED_Q5K] = {"q5k", 256, 32, HEAD_K, 320, 5, 0},
    [PACKED_Q6K] = {"q6k", 256, 16, HEAD_6K, 320, 6, 32},
    [PACKED_Q8G] = {"q8g", 128, 128, HEAD_SCALE, 32, 8, 128},
    [PACKED_Q4G] = {"q4g", 128, 128, HEAD_SCALE, 32, 4, 8},
};
static inline bool packed_quantised(PackedType type) { return packed_rows[type].head != HEAD_NONE; }
/* Bytes of the numbers of k columns of a panel, k whole parts; of a whole group with its head. */
static inline int64_t packed_bytes(PackedType type, int64_t k) { return k * PANEL * packed_rows[type].bits / 8; }
static inline int64_t packed_group_bytes(PackedType type) {
    return packed_rows[type].head_bytes + packed_bytes(type, packed_rows[type].group);
}

/* By name; false if there is none. */
bool packed_type_named(const char *name, PackedType *out);
/* How a file type is held; false if it is no weight type. */
bool packed_type_of(DType dtype, PackedType *out);
/* Bytes of one panel of k columns, a multiple of 64. k is a multiple of 32 for quantised types. */
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
