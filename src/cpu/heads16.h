/* heads16.h: scale and min of part j of a group, as its head has them (ops/pack.h), over v16. Packed types are
 * constants: every use is specialised. */
#ifndef HEADS16_H
#define HEADS16_H
#include "../ops/pack.h"
#include "inline16.h"

INLINE v16 head_scale(PackedType type, const uint8_t *head, int64_t j) {
    switch (packed_rows[type].head) {
        case HEAD_K: return v16_mul(v16_f16(head), v16_u8(head + (4 + 2 * j) * PANEL));
        case HEAD_6K: return v16_mul(v16_f16(head), v16_s8((const int8_t *)head + (2 + j) * PANEL));
        default: return v16_f16(head + j * 2 * PANEL);
    }
}

/* Of a type without a zero; with one it is -zero times scale. */
INLINE v16 head_min(PackedType type, const uint8_t *head, int64_t j) {
    v16 min = v16_f16(head + 2 * PANEL);
    return packed_rows[type].head == HEAD_K ? v16_mul(min, v16_u8(head + (5 + 2 * j) * PANEL)) : min;
}

/* The numbers of one row are asked for V16_ASK bytes ahead, line by line across panels side by side, `step` bytes
 * apart, as reading them takes them. Where V16_ASK is 0 (AVX-512), the hardware's streams do better alone and are only
 * helped over their ends: asking for every line costs a quarter there (Zen 4), and asking far costs a fifth where every
 * line should be asked for (Zen 3). */
INLINE void fetch_numbers(const uint8_t *q, int64_t bytes, int panels, int64_t step) {
    for (int p = 0; V16_ASK == 0 && p < panels; p++) fetch_far(q + p * step);
    for (int64_t i = 0; V16_ASK > 0 && i < bytes; i += 64)
        UNROLL for (int p = 0; p < panels; p++) __builtin_prefetch(q + V16_ASK + i + p * step);
}

/* Asks for a long head as a whole, before the numbers behind it: its later lines, first needed between theirs, would
 * break the stream from memory (a fifth to a third of what one row in 8 bits reads of a K type). And for the numbers
 * that no part before them asks for, the first V16_ASK bytes (q4_K 4 to 8 % on one core, Zen 3). */
INLINE void fetch_head(PackedType type, const uint8_t *head) {
    if (packed_rows[type].head_bytes <= 64) return;
    for (int line = 64; line < packed_rows[type].head_bytes + V16_ASK; line += 64) __builtin_prefetch(head + line);
    IN_ORDER;
}
#endif
