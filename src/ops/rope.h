/* rope.h: what rotary embeddings go by. */
#ifndef ROPE_H
#define ROPE_H
#include "../io/config.h"

/* Of rope_table and rope. Outlives the graph. */
typedef struct RopeAttributes {
    const Rope *rope;
    bool back; /* the rotation back */
} RopeAttributes;

/* Frequency i in f32 for a sequence of `length` tokens. */
float rope_frequency(const Rope *r, int64_t i, int64_t length);
#endif
