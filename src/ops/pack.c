/* pack.c: rows as files store them -> panels of 16 rows, k innermost. Each row of a panel is read once, 16 streams side by
 * side; a 16-row transpose turns rows into columns. Blocks of quantised types are first split into scale, min and one
 * byte per weight. Block layouts: ggml's, as in GGUF files. */
#include <string.h>
#include "pack.h"

const PackedRow packed_rows[PACKED_COUNT] = {
    [PACKED_F32] = {"f32", 1, 64},   [PACKED_BF16] = {"bf16", 2, 64}, [PACKED_F16] = {"f16", 2, 64},
    [PACKED_Q8] = {"q8", 32, 544},   [PACKED_Q4] = {"q4", 32, 320},   [PACKED_Q4X] = {"q4x", 32, 384},
    [PACKED_Q8X] = {"q8x", 32, 640}, [PACKED_Q6X] = {"q6x", 16, 384},
};

int64_t packed_panel_bytes(PackedType type, int64_t k) {
    const PackedRow *row = &packed_rows[type];
    return ((k + row->group - 1) / row->group * row->group_bytes + 63) / 64 * 64;
}

/* ---- The transpose: [16 rows][16 bytes] -> [column][16 rows], for columns of 1, 2 or 4 bytes ----------------------- */

/* One round zips row i with row i + 8 into rows 2i and 2i + 1: the top bit of the row becomes the lowest bit of the
 * place. After four rounds the whole row number has moved below the column number. */
#define TRANSPOSE(name, Vector)                                                                                         \
    static inline void name(const uint8_t *in[PANEL], uint8_t *out) {                                                   \
        Vector a[PANEL], b[PANEL];                                                                                      \
        for (int i = 0; i < PANEL; i++) memcpy(&a[i], in[i], sizeof a[i]);                                              \
        for (int round = 0; round < 4; round++) {                                                                       \
            for (int i = 0; i < PANEL / 2; i++) name##_zip(a[i], a[i + 8], &b[2 * i], &b[2 * i + 1]);                   \
            memcpy(a, b, sizeof a);                                                                                     \
        }                                                                                                               \
        memcpy(out, a, sizeof a);                                                                                       \
    }

typedef uint8_t Bytes __attribute__((vector_size(16)));
typedef uint16_t Halves __attribute__((vector_size(16)));
typedef uint32_t Words __attribute__((vector_size(16)));

static inline void transpose_bytes_zip(Bytes a, Bytes b, Bytes *low, Bytes *high) {
    *low = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *high = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
static inline void transpose_halves_zip(Halves a, Halves b, Halves *low, Halves *high) {
    *low = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    *high = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
static inline void transpose_words_zip(Words a, Words b, Words *low, Words *high) {
    *low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    *high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
}
TRANSPOSE(transpose_bytes, Bytes)
TRANSPOSE(transpose_halves, Halves)
TRANSPOSE(transpose_words, Words)

/* ---- Plain numbers -------------------------------------------------------------------------------------------------- */

static const uint8_t zeros[32]; /* what a missing row reads as */

/* Columns of `size` bytes (2 or 4), `bytes` of each row; a last partial column is padded with zero, and so are columns
 * up to `out_bytes` a row. */
static void pack_columns(const uint8_t *const rows[PANEL], int size, int64_t bytes, int64_t out_bytes, uint8_t *panel) {
    const uint8_t *at[PANEL];
    int64_t b = 0;
    for (; b + 16 <= bytes; b += 16) {
        for (int r = 0; r < PANEL; r++) at[r] = rows[r] ? rows[r] + b : zeros;
        if (size == 2) transpose_halves(at, panel + b * PANEL);
        else transpose_words(at, panel + b * PANEL);
    }
    for (int64_t c = b; c < out_bytes; c += size)
        for (int r = 0; r < PANEL; r++)
            for (int i = 0; i < size; i++)
                panel[c * PANEL + r * size + i] = rows[r] && c + i < bytes ? rows[r][c + i] : 0;
}

/* ---- Quantised blocks: value = scale * q + min ------------------------------------------------------------------- */

enum { GROUP = 32 };

/* Group g (32 weights, 16 for q6_K) of a row. */
typedef void Split(const uint8_t *row, int64_t g, float *scale, float *min, uint8_t q[GROUP]);

static uint16_t u16_at(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return h;
}
static float f16_at(const uint8_t *p) { return f16_to_f32(u16_at(p)); }

/* 16 bytes: low nibbles are weights 0..15, high ones 16..31. */
static void split_nibbles(const uint8_t *bytes, uint8_t q[GROUP]) {
    for (int i = 0; i < 16; i++) q[i] = bytes[i] & 15;
    for (int i = 0; i < 16; i++) q[i + 16] = bytes[i] >> 4;
}

/* Bit i of four bytes is bit 4 of weight i. */
static void add_fifth_bits(const uint8_t *bits, uint8_t q[GROUP]) {
    for (int i = 0; i < GROUP; i++) q[i] = (uint8_t)(q[i] | ((bits[i / 8] >> i % 8) & 1) << 4);
}

static void split_q8_0(const uint8_t *row, int64_t g, float *scale, float *min, uint8_t q[GROUP]) {
    const uint8_t *b = row + g * 34; /* f16 d; s8 q[32] */
    *scale = f16_at(b);
    *min = 0;
    memcpy(q, b + 2, GROUP);
}

static void split_q4_0(const uint8_t *row, int64_t g, float *scale, float *min, uint8_t q[GROUP]) {
    const uint8_t *b = row + g * 18; /* f16 d; nibbles[16], 8 is zero */
    *scale = f16_at(b);
    *min = -8 * *scale;
    split_nibbles(b + 2, q);
}

static void split_q4_1(const uint8_t *row, int64_t g, float *scale, float *min, uint8_t q[GROUP]) {
    const uint8_t *b = row + g * 20; /* f16 d, m; nibbles[16] */
    *scale = f16_at(b);
    *min = f16_at(b + 2);
    split_nibbles(b + 4, q);
}

static void split_q5_0(const uint8_t *row, int64_t g, float *scale, float *min, uint8_t q[GROUP]) {
    const uint8_t *b = row + g * 22; /* f16 d; fifth bits[4]; nibbles[16], 16 is zero */
    *scale = f16_at(b);
    *min = -16 * *scale;
    split_nibbles(b + 6, q);
    add_fifth_bits(b + 2, q);
}

static void split_q5_1(const uint8_t *row, int64_t g, float *scale, float *min, uint8_t q[GROUP]) {
    const uint8_t *b = row + g * 24; /* f16 d, m; fifth bits[4]; nibbles[16] */
    *scale = f16_at(b);
    *min = f16_at(b + 2);
    split_nibbles(b + 8, q);
    add_fifth_bits(b + 4, q);
}

/* The head of a q4_K or q5_K block of 8 groups: f16 d, f16 dmin, then 6-bit scale and min of each group in 12 bytes: the
 * first four in the low six bits of bytes 0-3 and 4-7, the others in nibbles of bytes 8-11 with their top two bits in
 * the top bits of bytes 0-7. */
static void split_head(const uint8_t *b, int64_t j, float *scale, float *min) {
    const uint8_t *s = b + 4;
    int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    int m = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
    *scale = f16_at(b) * (float)sc;
    *min = -(f16_at(b + 2) * (float)m);
}

static void split_q4_k(const uint8_t *row, int64_t g, float *scale, float *min, uint8_t q[GROUP]) {
    const uint8_t *b = row + g / 8 * 144; /* head[16]; nibbles [4 pairs of groups][32], even group low */
    int64_t j = g % 8;
    split_head(b, j, scale, min);
    for (int i = 0; i < GROUP; i++) q[i] = (b[16 + j / 2 * 32 + i] >> j % 2 * 4) & 15;
}

static void split_q5_k(const uint8_t *row, int64_t g, float *scale, float *min, uint8_t q[GROUP]) {
    const uint8_t *b = row + g / 8 * 176; /* head[16]; fifth bits [32], bit = group; nibbles as q4_K */
    int64_t j = g % 8;
    split_head(b, j, scale, min);
    for (int i = 0; i < GROUP; i++)
        q[i] = (uint8_t)(((b[48 + j / 2 * 32 + i] >> j % 2 * 4) & 15) | ((b[16 + i] >> j) & 1) << 4);
}

static void split_q6_k(const uint8_t *row, int64_t g, float *scale, float *min, uint8_t q[GROUP]) {
    const uint8_t *b = row + g / 16 * 210; /* nibbles[128]; two-bit tops[64]; s8 scale[16]; f16 d: 16 groups of 16 */
    int64_t j = g % 16, quarter = j % 8 / 2; /* of a half of 128: 0 and 1 low nibbles, 2 and 3 high */
    const uint8_t *low = b + j / 8 * 64 + quarter % 2 * 32 + j % 2 * 16, *top = b + 128 + j / 8 * 32 + j % 2 * 16;
    *scale = f16_at(b + 208) * (float)(int8_t)b[192 + j];
    *min = -32 * *scale;
    for (int i = 0; i < 16; i++)
        q[i] = (uint8_t)(((low[i] >> quarter / 2 * 4) & 15) | ((top[i] >> quarter * 2) & 3) << 4);
}

/* Writes scale and min of 16 rows as the panel's type has them; returns where q goes. */
static uint8_t *put_scales(PackedType type, const float scale[PANEL], const float min[PANEL], uint8_t *group) {
    if (type != PACKED_Q8 && type != PACKED_Q4) {
        memcpy(group, scale, PANEL * sizeof *scale);
        memcpy(group + PANEL * sizeof *scale, min, PANEL * sizeof *min);
        return group + 2 * PANEL * sizeof *scale;
    }
    for (int r = 0; r < PANEL; r++) {
        uint16_t s = f32_to_f16(scale[r]), m = f32_to_f16(min[r]);
        memcpy(group + 2 * r, &s, 2);
        if (type == PACKED_Q4) memcpy(group + 2 * PANEL + 2 * r, &m, 2);
    }
    return group + (type == PACKED_Q4 ? 4 : 2) * PANEL;
}

static void pack_groups(PackedType type, Split *split, const uint8_t *const rows[PANEL], int64_t k, uint8_t *panel) {
    const PackedRow *packed = &packed_rows[type];
    for (int64_t g = 0; g < k / packed->group; g++) {
        uint8_t q[PANEL][GROUP];
        const uint8_t *at[PANEL];
        float scale[PANEL] = {0}, min[PANEL] = {0};
        memset(q, 0, sizeof q);
        for (int r = 0; r < PANEL; r++)
            if (rows[r]) split(rows[r], g, &scale[r], &min[r], q[r]);
        uint8_t *out = put_scales(type, scale, min, panel + g * packed->group_bytes);
        if (type == PACKED_Q4 || type == PACKED_Q4X) {
            for (int r = 0; r < PANEL; r++) {
                for (int i = 0; i < GROUP / 2; i++) q[r][i] = (uint8_t)(q[r][2 * i] | q[r][2 * i + 1] << 4);
                at[r] = q[r];
            }
            transpose_words(at, out);
            continue;
        }
        for (int b = 0; b < packed->group; b += 16) {
            for (int r = 0; r < PANEL; r++) at[r] = &q[r][b];
            transpose_bytes(at, out + b * PANEL);
        }
    }
}

/* ---- Which type is held how ------------------------------------------------------------------------------------------ */

static const struct { bool weight; PackedType type; Split *split; } held[DTYPE_COUNT] = {
    [DTYPE_F32] = {true, PACKED_F32, NULL},        [DTYPE_BF16] = {true, PACKED_BF16, NULL},
    [DTYPE_F16] = {true, PACKED_F16, NULL},        [DTYPE_Q8_0] = {true, PACKED_Q8, split_q8_0},
    [DTYPE_Q4_0] = {true, PACKED_Q4, split_q4_0},  [DTYPE_Q4_1] = {true, PACKED_Q4, split_q4_1},
    [DTYPE_Q4_K] = {true, PACKED_Q4X, split_q4_k}, [DTYPE_Q5_0] = {true, PACKED_Q8X, split_q5_0},
    [DTYPE_Q5_1] = {true, PACKED_Q8X, split_q5_1}, [DTYPE_Q5_K] = {true, PACKED_Q8X, split_q5_k},
    [DTYPE_Q6_K] = {true, PACKED_Q6X, split_q6_k},
};

bool packed_type_of(DType dtype, PackedType *out) {
    if ((unsigned)dtype >= DTYPE_COUNT || !held[dtype].weight) return false;
    *out = held[dtype].type;
    return true;
}

void pack_panel(DType dtype, const uint8_t *const rows[PANEL], int64_t k, void *panel) {
    PackedType type = held[dtype].type;
    switch (type) {
        case PACKED_F32: pack_columns(rows, 4, 4 * k, 4 * k, panel); break;
        case PACKED_BF16: pack_columns(rows, 4, 2 * k, 2 * (k + k % 2), panel); break;
        case PACKED_F16: pack_columns(rows, 2, 2 * k, 2 * (k + k % 2), panel); break;
        default: pack_groups(type, held[dtype].split, rows, k, panel);
    }
    int64_t used = (k + packed_rows[type].group - 1) / packed_rows[type].group * packed_rows[type].group_bytes;
    memset((uint8_t *)panel + used, 0, (size_t)(packed_panel_bytes(type, k) - used));
}
