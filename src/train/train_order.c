/* train_order.c: see train_order.h. */
#include "../base/mix.h"
#include "train_order.h"

uint64_t train_draw(uint64_t seed, DrawPurpose purpose, uint64_t counter, uint64_t index) {
    return mix64(mix64(mix64(mix64(seed) ^ (uint64_t)purpose) ^ counter) ^ index);
}

void train_order(uint64_t seed, DrawPurpose purpose, uint64_t counter, int64_t count, int64_t *out) {
    for (int64_t i = 0; i < count; i++) out[i] = i;
    for (int64_t i = count - 1; i > 0; i--) {
        uint64_t draw = train_draw(seed, purpose, counter, (uint64_t)i);
        /* The high word of a product: uniform but for i / 2^64. */
        int64_t j = (int64_t)((unsigned __int128)draw * (uint64_t)(i + 1) >> 64), kept = out[i];
        out[i] = out[j];
        out[j] = kept;
    }
}
