/* codes8.h: moments in 8 bits, block by block of a row's columns, each with a scale in f32 (Dettmers et al. 2021, 8-bit
 * optimizers via block-wise quantization). With c a code and s its block's scale, numbers are
 *
 *     first moments     s * t * |t|, t = (c - 128) / 127     c = nearest(128 +- 127 sqrt(|x| / s)), at most 127 from 128
 *     second moments    s * t^4,     t = c / 255             c = nearest(255 sqrt(sqrt(x / s))), at least 1 unless x is 0
 *
 * s is the block's largest |x|, at least code_least (nothing becomes subnormal), or 0 where all are 0. Codes lie closer
 * towards 0, as those of the paper's dynamic tree, but need no table; and no second moment becomes 0, which a first one
 * would be divided by. A block that is read and stored again has the same values.
 *
 * A block is at most CODE_BLOCK columns of one row, within what no split cuts: a head, a leaf of the ffn's columns. So no
 * device, rank or mesh sees another.
 */
#ifndef CODES8_H
#define CODES8_H
#include <float.h>
#include <math.h>
#include "pack.h"

enum { CODE_BLOCK = 256 };
static const float code_least[2] = {0x1p-100f, 0x1p-80f}; /* by kind */

typedef enum CodeKind { CODE_FIRST, CODE_SECOND } CodeKind;

/* All but the block's largest: one correctly rounded operation each, as written. */
static inline float code_scale(CodeKind kind, float most) {
    float s = code_least[kind] < most ? most : code_least[kind];
    s = s < FLT_MAX ? s : FLT_MAX;
    return 0 < most ? s : 0;
}
static inline float code_value(CodeKind kind, uint8_t code, float scale) {
    float t = kind == CODE_FIRST ? ((float)code - 128) / 127 : (float)code / 255;
    if (kind == CODE_FIRST) return t * fabsf(t) * scale;
    t = t * t;
    return t * t * scale;
}
static inline uint8_t code_nearest(float q) { return (uint8_t)((q + 12582912.0f) - 12582912.0f); } /* ties to even */
static inline uint8_t code_of(CodeKind kind, float x, float scale) {
    float r = x / (0 < scale ? scale : 1);
    if (kind == CODE_FIRST) {
        float q = sqrtf(fabsf(r)) * 127;
        q = q < 127 ? q : 127;
        return code_nearest((x < 0 ? 0 - q : q) + 128);
    }
    float q = sqrtf(sqrtf(r)) * 255;
    q = q < 255 ? q : 255;
    return code_nearest(0 < x && q < 1 ? 1 : q);
}

/* In memory a block of a panel is 16 scales, then the codes of its columns, [column][16]. */
static inline int64_t code_block_bytes(int64_t columns) { return (int64_t)(PANEL * sizeof(float)) + PANEL * columns; }
#endif
