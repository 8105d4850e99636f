/* quant.c: GGUF's block formats to f32, as the reference dequantisation of ggml (ggml-quants.c) defines them.
 *
 * Blocks are little-endian and unaligned; d, m are f16. A product scale * q has at most 24 significant bits (11 of d,
 * 6 or 7 of a sub-scale, 6 of q), so it is exact in f32 and a fused multiply-add would give the same value.
 *
 *   format  block                                                             value of element i
 *   q4_0    d, u8 qs[16]: nibbles, low half of the block first                d (q - 8)
 *   q4_1    d, m, u8 qs[16]                                                   d q + m
 *   q5_0    d, u32 qh: fifth bits, u8 qs[16]                                  d (q - 16)
 *   q5_1    d, m, u32 qh, u8 qs[16]                                           d q + m
 *   q8_0    d, s8 qs[32]                                                      d q
 *   q4_K    d, m, u8 scales[12], u8 qs[128]                                   (d s) q - (m t)     s, t per 32: 6 bits
 *   q5_K    d, m, u8 scales[12], u8 qh[32], u8 qs[128]                        (d s) q - (m t)
 *   q6_K    u8 ql[128], u8 qh[64], s8 scales[16], d                           (d s) (q - 32)      s per 16: signed 8 bits
 */
#include <string.h>
#include "quant.h"

static inline float half_at(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return f16_to_f32(h);
}

static inline uint32_t word_at(const uint8_t *p) {
    uint32_t w;
    memcpy(&w, p, 4);
    return w;
}

void read_q4_0(const uint8_t *row, int64_t first, int64_t count, float *out) {
    const uint8_t *block = row + first / 32 * 18;
    for (int64_t b = 0; b < count / 32; b++, block += 18, out += 32) {
        float d = half_at(block);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((block[2 + i] & 15) - 8);
            out[16 + i] = d * (float)((block[2 + i] >> 4) - 8);
        }
    }
}

void read_q4_1(const uint8_t *row, int64_t first, int64_t count, float *out) {
    const uint8_t *block = row + first / 32 * 20;
    for (int64_t b = 0; b < count / 32; b++, block += 20, out += 32) {
        float d = half_at(block), m = half_at(block + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(block[4 + i] & 15) + m;
            out[16 + i] = d * (float)(block[4 + i] >> 4) + m;
        }
    }
}

void read_q5_0(const uint8_t *row, int64_t first, int64_t count, float *out) {
    const uint8_t *block = row + first / 32 * 22;
    for (int64_t b = 0; b < count / 32; b++, block += 22, out += 32) {
        float d = half_at(block);
        uint32_t high = word_at(block + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((block[6 + i] & 15) + (int)(high >> i << 4 & 16) - 16);
            out[16 + i] = d * (float)((block[6 + i] >> 4) + (int)(high >> i >> 12 & 16) - 16);
        }
    }
}

void read_q5_1(const uint8_t *row, int64_t first, int64_t count, float *out) {
    const uint8_t *block = row + first / 32 * 24;
    for (int64_t b = 0; b < count / 32; b++, block += 24, out += 32) {
        float d = half_at(block), m = half_at(block + 2);
        uint32_t high = word_at(block + 4);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((block[8 + i] & 15) + (int)(high >> i << 4 & 16)) + m;
            out[16 + i] = d * (float)((block[8 + i] >> 4) + (int)(high >> i >> 12 & 16)) + m;
        }
    }
}

void read_q8_0(const uint8_t *row, int64_t first, int64_t count, float *out) {
    const uint8_t *block = row + first / 32 * 34;
    for (int64_t b = 0; b < count / 32; b++, block += 34, out += 32) {
        float d = half_at(block);
        for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)block[2 + i];
    }
}

/* The 6-bit scale and min of sub-block j (0..7): low four are whole in bytes 0-3 and 4-7; the others have 4 bits in
 * bytes 8-11 and their top 2 bits above those of the low four. */
static void k_scale(const uint8_t *packed, int j, int *scale, int *min) {
    if (j < 4) {
        *scale = packed[j] & 63;
        *min = packed[j + 4] & 63;
    } else {
        *scale = (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4;
        *min = (packed[j + 4] >> 4) | (packed[j] >> 6) << 4;
    }
}

void read_q4_k(const uint8_t *row, int64_t first, int64_t count, float *out) {
    const uint8_t *block = row + first / 256 * 144;
    for (int64_t b = 0; b < count / 256; b++, block += 144) {
        float d = half_at(block), m = half_at(block + 2);
        for (int j = 0; j < 8; j++, out += 32) {
            const uint8_t *qs = block + 16 + 32 * (j / 2);
            int scale, min, shift = 4 * (j & 1);
            k_scale(block + 4, j, &scale, &min);
            float step = d * (float)scale, low = m * (float)min;
            for (int i = 0; i < 32; i++) out[i] = step * (float)(qs[i] >> shift & 15) - low;
        }
    }
}

void read_q5_k(const uint8_t *row, int64_t first, int64_t count, float *out) {
    const uint8_t *block = row + first / 256 * 176;
    for (int64_t b = 0; b < count / 256; b++, block += 176) {
        float d = half_at(block), m = half_at(block + 2);
        const uint8_t *high = block + 16;
        for (int j = 0; j < 8; j++, out += 32) {
            const uint8_t *qs = block + 48 + 32 * (j / 2);
            int scale, min, shift = 4 * (j & 1);
            k_scale(block + 4, j, &scale, &min);
            float step = d * (float)scale, low = m * (float)min;
            for (int i = 0; i < 32; i++)
                out[i] = step * (float)((qs[i] >> shift & 15) + ((high[i] >> j & 1) << 4)) - low;
        }
    }
}

/* Two halves of 128; quarter q of a half takes nibble q / 2 of ql[32 (q & 1) + i] and bits 2q, 2q + 1 of qh[i]. */
void read_q6_k(const uint8_t *row, int64_t first, int64_t count, float *out) {
    const uint8_t *block = row + first / 256 * 210;
    for (int64_t b = 0; b < count / 256; b++, block += 210) {
        float d = half_at(block + 208);
        for (int j = 0; j < 8; j++, out += 32) {
            int half = j / 4, quarter = j % 4;
            const uint8_t *low = block + 64 * half + 32 * (quarter & 1), *high = block + 128 + 32 * half;
            const uint8_t *scales = block + 192 + 2 * j;
            for (int s = 0; s < 2; s++) {
                float step = d * (float)(int8_t)scales[s];
                for (int i = 16 * s; i < 16 * s + 16; i++)
                    out[i] = step * (float)((low[i] >> 4 * (quarter / 2) & 15) + ((high[i] >> 2 * quarter & 3) << 4) - 32);
            }
        }
    }
}
