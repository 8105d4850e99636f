/* pack.c: rows as files store them -> panels of 16 rows, k innermost. Each row of a panel is read once, 16 streams side
 * by side; a 16-row transpose turns rows into columns. Blocks of quantised types are first split into scale, min and
 * one byte per weight. Block layouts: ggml's, as in GGUF files. */
#include <math.h>
#include <string.h>
#include "pack.h"

/* Bytes that k columns take, before rounding. */
static int64_t used_bytes(PackedType type, int64_t k) {
    const PackedRow *row = &packed_rows[type];
    int64_t whole = k / row->group, rest = k % row->group;
    int64_t last = !rest ? 0 : packed_quantised(type) ? row->head_bytes + packed_bytes(type, rest)
                                                      : packed_group_bytes(type);
    return whole * packed_group_bytes(type) + last;
}

int64_t packed_panel_bytes(PackedType type, int64_t k) { return (used_bytes(type, k) + 63) / 64 * 64; }

/* ---- The transpose: [16 rows][16 bytes] -> [column][16 rows], for columns of 2 or 4 bytes ----------------------- */

/* One round zips row i with row i + 8 into rows 2i and 2i + 1: the top bit of the row becomes the lowest bit of the
 * place. After four rounds the whole row number has moved below the column number. */
#define TRANSPOSE(name, Vector)                                                                                        \
    static inline void name(const uint8_t *in[PANEL], uint8_t *out) {                                                  \
        Vector a[PANEL], b[PANEL];                                                                                     \
        for (int i = 0; i < PANEL; i++) memcpy(&a[i], in[i], sizeof a[i]);                                             \
        for (int round = 0; round < 4; round++) {                                                                      \
            for (int i = 0; i < PANEL / 2; i++) name##_zip(a[i], a[i + 8], &b[2 * i], &b[2 * i + 1]);                  \
            memcpy(a, b, sizeof a);                                                                                    \
        }                                                                                                              \
        memcpy(out, a, sizeof a);                                                                                      \
    }

typedef uint16_t Halves __attribute__((vector_size(16)));
typedef uint32_t Words __attribute__((vector_size(16)));

static inline void transpose_halves_zip(Halves a, Halves b, Halves *low, Halves *high) {
    *low = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    *high = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
static inline void transpose_words_zip(Words a, Words b, Words *low, Words *high) {
    *low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    *high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
}
TRANSPOSE(transpose_halves, Halves)
TRANSPOSE(transpose_words, Words)

/* ---- Plain numbers ----------------------------------------------------------------------------------------------- */

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

/* The numbers of part j (32 weights, 16 of q6_K) of a row, never negative. */
typedef void Split(const uint8_t *row, int64_t j, uint8_t q[GROUP]);

static uint16_t u16_at(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return h;
}
/* 16 bytes: low nibbles are weights 0..15, high ones 16..31. */
static void split_nibbles(const uint8_t *bytes, uint8_t q[GROUP]) {
    for (int i = 0; i < 16; i++) q[i] = bytes[i] & 15;
    for (int i = 0; i < 16; i++) q[i + 16] = bytes[i] >> 4;
}

/* Bit i of four bytes is bit 4 of weight i. */
static void add_fifth_bits(const uint8_t *bits, uint8_t q[GROUP]) {
    for (int i = 0; i < GROUP; i++) q[i] = (uint8_t)(q[i] | ((bits[i / 8] >> i % 8) & 1) << 4);
}

static void split_q8_0(const uint8_t *row, int64_t j, uint8_t q[GROUP]) { /* f16 d; s8 q[32] */
    for (int i = 0; i < GROUP; i++) q[i] = (uint8_t)(row[j * 34 + 2 + i] + 128);
}
static void split_q4_0(const uint8_t *row, int64_t j, uint8_t q[GROUP]) { /* f16 d; nibbles[16], 8 is zero */
    split_nibbles(row + j * 18 + 2, q);
}
static void split_q4_1(const uint8_t *row, int64_t j, uint8_t q[GROUP]) { /* f16 d, m; nibbles[16] */
    split_nibbles(row + j * 20 + 4, q);
}
static void split_q5_0(const uint8_t *row, int64_t j, uint8_t q[GROUP]) {
    const uint8_t *b = row + j * 22; /* f16 d; fifth bits[4]; nibbles[16], 16 is zero */
    split_nibbles(b + 6, q);
    add_fifth_bits(b + 2, q);
}
static void split_q5_1(const uint8_t *row, int64_t j, uint8_t q[GROUP]) {
    const uint8_t *b = row + j * 24; /* f16 d, m; fifth bits[4]; nibbles[16] */
    split_nibbles(b + 8, q);
    add_fifth_bits(b + 4, q);
}
static void split_q4_k(const uint8_t *row, int64_t j, uint8_t q[GROUP]) {
    const uint8_t *b = row + j / 8 * 144; /* head[16]; nibbles [4 pairs of parts][32], even part low */
    for (int i = 0; i < GROUP; i++) q[i] = (b[16 + j % 8 / 2 * 32 + i] >> j % 2 * 4) & 15;
}
static void split_q5_k(const uint8_t *row, int64_t j, uint8_t q[GROUP]) {
    const uint8_t *b = row + j / 8 * 176; /* head[16]; fifth bits [32], bit = part; nibbles as q4_K */
    for (int i = 0; i < GROUP; i++)
        q[i] = (uint8_t)(((b[48 + j % 8 / 2 * 32 + i] >> j % 2 * 4) & 15) | ((b[16 + i] >> j % 8) & 1) << 4);
}
static void split_q6_k(const uint8_t *row, int64_t j, uint8_t q[GROUP]) {
    const uint8_t *b = row + j / 16 * 210; /* nibbles[128]; two-bit tops[64]; s8 scale[16]; f16 d: 16 parts of 16 */
    int64_t in = j % 16, quarter = in % 8 / 2; /* of a half of 128: 0 and 1 low nibbles, 2 and 3 high */
    const uint8_t *low = b + in / 8 * 64 + quarter % 2 * 32 + in % 2 * 16, *top = b + 128 + in / 8 * 32 + in % 2 * 16;
    for (int i = 0; i < 16; i++)
        q[i] = (uint8_t)(((low[i] >> quarter / 2 * 4) & 15) | ((top[i] >> quarter * 2) & 3) << 4);
}

static void put_half(uint8_t *head, int64_t line, int lane, uint16_t h) {
    memcpy(head + (line * PANEL + lane) * 2, &h, sizeof h);
}
/* Blocks with an f16 scale at the front, and a min after it. */
static void head_f16(PackedType type, const uint8_t *block, int64_t block_bytes, int64_t parts, int lane,
                     uint8_t *head) {
    for (int64_t j = 0; j < parts; j++) put_half(head, j, lane, u16_at(block + j * block_bytes));
    if (packed_rows[type].head == HEAD_MIN) put_half(head, 1, lane, u16_at(block + 2));
}

/* The head of a q4_K or q5_K block of 8 parts: f16 d, f16 dmin, then 6-bit scale and min of each part in 12 bytes: the
 * first four in the low six bits of bytes 0-3 and 4-7, the others in nibbles of bytes 8-11 with their top two bits in
 * the top bits of bytes 0-7. */
static void head_k(const uint8_t *b, int64_t parts, int lane, uint8_t *head) {
    const uint8_t *s = b + 4;
    put_half(head, 0, lane, u16_at(b));
    put_half(head, 1, lane, u16_at(b + 2) ^ 0x8000);
    for (int64_t j = 0; j < parts; j++) {
        head[(4 + 2 * j) * PANEL + lane] = (uint8_t)(j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4);
        head[(5 + 2 * j) * PANEL + lane] = (uint8_t)(j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4);
    }
}
static void head_6k(const uint8_t *b, int64_t parts, int lane, uint8_t *head) { /* see split_q6_k */
    put_half(head, 0, lane, u16_at(b + 208));
    for (int64_t j = 0; j < parts; j++) head[(2 + j) * PANEL + lane] = b[192 + j];
}

/* Lane `lane` of the head of a group that begins at the block; `parts` of the group are there. */
static void put_head(PackedType type, const uint8_t *block, int64_t block_bytes, int64_t parts, int lane,
                     uint8_t *head) {
    switch (packed_rows[type].head) {
        case HEAD_NONE: break;
        case HEAD_SCALE:
        case HEAD_MIN: head_f16(type, block, block_bytes, parts, lane, head); break;
        case HEAD_K: head_k(block, parts, lane, head); break;
        case HEAD_6K: head_6k(block, parts, lane, head); break;
    }
}

/* Bits above the nibbles of `count` numbers: of byte line n, from bit n * bits up in every byte. */
static void put_tops(int bits, const uint8_t *q, int64_t count, uint8_t tops[4]) {
    memset(tops, 0, 4);
    for (int i = 0; i < count; i++)
        tops[i % 8 / 2] = (uint8_t)(tops[i % 8 / 2] | q[i] >> 4 << (i / 8 * 2 + i % 2) * bits);
}

/* Writes `count` columns (a multiple of 16, a whole part where there are tops) of 16 rows. */
static void put_columns(PackedType type, uint8_t q[PANEL][GROUP], int64_t count, uint8_t *out) {
    static const uint8_t order[8] = {0, 2, 4, 6, 1, 3, 5, 7};
    const uint8_t *at[PANEL];
    uint8_t line[PANEL][GROUP];
    int bits = packed_rows[type].bits;
    for (int r = 0; r < PANEL; r++) {
        if (bits == 8) for (int i = 0; i < count; i++) line[r][i] = q[r][i / 8 * 8 + order[i % 8]];
        else for (int i = 0; i < count / 2; i++) line[r][i] = (uint8_t)((q[r][2 * i] & 15) | q[r][2 * i + 1] << 4);
        if (bits == 5 || bits == 6) put_tops(bits - 4, q[r], count, out + 4 * r);
    }
    if (bits == 5 || bits == 6) out += 4 * PANEL;
    int64_t bytes = bits == 8 ? count : count / 2, b = 0;
    for (; b + 16 <= bytes; b += 16) {
        for (int r = 0; r < PANEL; r++) at[r] = &line[r][b];
        transpose_words(at, out + b * PANEL);
    }
    for (; b < bytes; b += 4)
        for (int r = 0; r < PANEL; r++) memcpy(out + b * PANEL + 4 * r, &line[r][b], 4);
}

/* Missing rows are zero: their scales are, and their numbers are the zero. */
static void pack_groups(PackedType type, const DTypeRow *stored, Split *split, const uint8_t *const rows[PANEL],
                        int64_t k, uint8_t *panel) {
    const PackedRow *packed = &packed_rows[type];
    for (int64_t from = 0; from < k; from += packed->group) {
        int64_t left = k - from < packed->group ? k - from : packed->group, parts = left / packed->part;
        int64_t blocks = from / stored->block; /* of the file, before the group */
        memset(panel, 0, (size_t)packed->head_bytes);
        for (int r = 0; r < PANEL; r++)
            if (rows[r]) put_head(type, rows[r] + blocks * stored->block_bytes, stored->block_bytes, parts, r, panel);
        panel += packed->head_bytes;
        for (int64_t j = 0; j < parts; j++, panel += packed_bytes(type, packed->part)) {
            uint8_t q[PANEL][GROUP];
            memset(q, packed->zero, sizeof q);
            for (int r = 0; r < PANEL; r++)
                if (rows[r]) split(rows[r], from / packed->part + j, q[r]);
            put_columns(type, q, packed->part, panel);
        }
    }
}

/* ---- Quantising at load ------------------------------------------------------------------------------------------ */

enum { WIDE = 128 }; /* k per scale */

/* q + zero of n weights for a scale, and the squared error. The scale is what f16 keeps of it. */
static double quantise_with(const float *w, int64_t n, float scale, int low, int high, int zero, uint8_t *q) {
    double error = 0;
    float inverse = scale != 0 ? 1.0f / scale : 0;
    for (int64_t i = 0; i < n; i++) {
        float v = w[i] * inverse;
        v = v > (float)low ? v < (float)high ? v : (float)high : (float)low;
        float whole = (v + 12582912.0f) - 12582912.0f; /* 1.5 * 2^23: rounds to nearest, ties to even */
        double off = (double)w[i] - (double)(whole * scale);
        q[i] = (uint8_t)((int)whole + zero);
        error += off * off;
    }
    return error;
}

static float through_f16(float f) { return f16_to_f32(f32_to_f16(f)); }

static float quantise_group(PackedType type, const float *w, int64_t n, uint8_t *q, PackError *error) {
    float most = 0;
    double square = 0, off;
    for (int64_t i = 0; i < n; i++) {
        if ((w[i] < 0 ? -w[i] : w[i]) > (most < 0 ? -most : most)) most = w[i];
        square += (double)w[i] * (double)w[i];
    }
    float scale = through_f16(type == PACKED_Q8G ? (most < 0 ? -most : most) / 127 : most / -8);
    if (type == PACKED_Q8G) {
        off = quantise_with(w, n, scale, -127, 127, 128, q);
    } else {
        uint8_t again[WIDE];
        double wq = 0, qq = 0;
        off = quantise_with(w, n, scale, -8, 7, 8, q);
        for (int64_t i = 0; i < n; i++) wq += (double)w[i] * (q[i] - 8), qq += (q[i] - 8) * (q[i] - 8);
        float better = qq > 0 ? through_f16((float)(wq / qq)) : scale;
        double less = quantise_with(w, n, better, -8, 7, 8, again);
        if (less < off) {
            off = less;
            scale = better;
            memcpy(q, again, (size_t)n);
        }
    }
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)w[i] - (double)((float)(q[i] - packed_rows[type].zero) * scale));
        if (d > error->most) error->most = d;
    }
    error->square += square;
    error->error += off;
    return scale;
}

/* Columns of 16 rows rounded to bf16, WIDE at a time. */
static void pack_bf16(const DTypeRow *stored, const uint8_t *const rows[PANEL], int64_t k, uint8_t *panel,
                      PackError *error) {
    for (int64_t from = 0; from < k; from += WIDE) {
        uint16_t half[PANEL][WIDE];
        const uint8_t *at[PANEL];
        float w[2 * WIDE];
        int64_t n = k - from < WIDE ? k - from : WIDE;
        for (int r = 0; r < PANEL; r++) {
            at[r] = rows[r] ? (const uint8_t *)half[r] : NULL;
            if (!rows[r]) continue;
            int64_t first = from / stored->block * stored->block;
            int64_t last = (from + n + stored->block - 1) / stored->block * stored->block;
            stored->read(rows[r], first, last - first, w);
            for (int64_t i = 0; i < n; i++) {
                float v = w[from - first + i];
                half[r][i] = f32_to_bf16(v);
                double off = fabs((double)v - (double)bf16_to_f32(half[r][i]));
                error->square += (double)v * (double)v;
                error->error += off * off;
                if (off > error->most) error->most = off;
            }
        }
        pack_columns(at, 4, 2 * n, 2 * (n + n % 2), panel + from * 2 * PANEL);
    }
}

void pack_quantise(DType dtype, PackedType type, const uint8_t *const rows[PANEL], int64_t k, void *panel,
                   PackError *error) {
    const PackedRow *packed = &packed_rows[type];
    const DTypeRow *stored = dtype_row(dtype);
    uint8_t *group = panel;
    if (type == PACKED_BF16) pack_bf16(stored, rows, k, panel, error);
    for (int64_t from = 0; type != PACKED_BF16 && from < k; from += WIDE, group += packed_group_bytes(type)) {
        uint8_t q[PANEL][WIDE], part[PANEL][GROUP];
        float scale[PANEL] = {0}, w[2 * WIDE];
        int64_t n = k - from < WIDE ? k - from : WIDE;
        memset(q, packed->zero, sizeof q);
        for (int r = 0; r < PANEL; r++) {
            if (!rows[r]) continue;
            int64_t first = from / stored->block * stored->block; /* whole blocks, of 256 at most */
            int64_t last = (from + n + stored->block - 1) / stored->block * stored->block;
            stored->read(rows[r], first, last - first, w);
            scale[r] = quantise_group(type, w + (from - first), n, q[r], error);
        }
        for (int r = 0; r < PANEL; r++) put_half(group, 0, r, f32_to_f16(scale[r]));
        uint8_t *out = group + packed->head_bytes;
        for (int64_t at = 0; at < n; at += GROUP, out += packed_bytes(type, GROUP)) {
            for (int r = 0; r < PANEL; r++) memcpy(part[r], q[r] + at, GROUP);
            put_columns(type, part, GROUP, out);
        }
    }
    memset((uint8_t *)panel + used_bytes(type, k), 0, (size_t)(packed_panel_bytes(type, k) - used_bytes(type, k)));
}

/* ---- Which type is held how -------------------------------------------------------------------------------------- */

static const struct { bool weight; PackedType type; Split *split; } held[DTYPE_COUNT] = {
    [DTYPE_F32] = {true, PACKED_F32, NULL},        [DTYPE_BF16] = {true, PACKED_BF16, NULL},
    [DTYPE_F16] = {true, PACKED_F16, NULL},        [DTYPE_Q8_0] = {true, PACKED_Q8, split_q8_0},
    [DTYPE_Q4_0] = {true, PACKED_Q4Z, split_q4_0}, [DTYPE_Q4_1] = {true, PACKED_Q4, split_q4_1},
    [DTYPE_Q5_0] = {true, PACKED_Q5Z, split_q5_0}, [DTYPE_Q5_1] = {true, PACKED_Q5, split_q5_1},
    [DTYPE_Q4_K] = {true, PACKED_Q4K, split_q4_k}, [DTYPE_Q5_K] = {true, PACKED_Q5K, split_q5_k},
    [DTYPE_Q6_K] = {true, PACKED_Q6K, split_q6_k},
};

bool packed_type_named(const char *name, PackedType *out) {
    for (int t = 0; t < PACKED_COUNT; t++)
        if (!strcmp(packed_rows[t].name, name)) return *out = (PackedType)t, true;
    return false;
}

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
        default: pack_groups(type, dtype_row(dtype), held[dtype].split, rows, k, panel);
    }
    memset((uint8_t *)panel + used_bytes(type, k), 0, (size_t)(packed_panel_bytes(type, k) - used_bytes(type, k)));
}
