/* buckets.h: the static shapes in which steps run: one decode bucket of every slot with one row each, and prefill
 * buckets of one slot with many rows, whose attention looks at all positions of the cache or at its beginning. */
#ifndef PJRT_BUCKETS_H
#define PJRT_BUCKETS_H
#include "../graph/lower.h"

enum { PREFILL_SMALL = 32, SEEN_LEAST = 512, SEEN_GROWS = 4, MAX_BUCKETS = 64 };

/* Slots and cache positions of a replica: positions hold the context and one scratch row, in whole blocks of 64. */
int64_t bucket_slots(const Partition *p, int64_t slots);
int64_t bucket_positions(int64_t context);

/* The buckets of an engine of `slots` slots a replica and prefill chunks of `rows` rows: [0] decode, then prefill,
 * small first, each for the last row's logits and for all rows'; then prefill near the beginning of a cache of
 * `positions`, which looks at SEEN_LEAST positions or SEEN_GROWS times as many, and so on (positions 0: none of these).
 * Returns the number. */
int bucket_list(int64_t slots, int64_t rows, int64_t positions, Bucket list[MAX_BUCKETS]);
/* The cheapest prefill bucket for pieces of `rows` rows of which the last is at position `end` - 1; all: logits of more
 * than one of them. */
int bucket_prefill(const Bucket *list, int count, int64_t rows, int64_t end, bool all);
/* "decode 8x1", "prefill 1x128 of 512 all logits". */
void bucket_name(const Bucket *b, char *out, size_t size);
#endif
