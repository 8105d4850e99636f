/* bpe.h: byte-pair encoding of one word: the lowest-ranked mergeable pair, leftmost first, is merged until none is left
 * (Sennrich et al. 2016, on bytes as in GPT-2). */
#ifndef BPE_H
#define BPE_H
#include "vocab.h"

typedef struct Ids { int32_t *data; size_t count, capacity; } Ids;
bool ids_reserve(Ids *ids, size_t more, Err *err);
bool ids_add(Ids *ids, int32_t id, Err *err);

/* Working space for one thread at a time, with a bounded cache of words; it serves one Vocab all its life. */
typedef struct Bpe Bpe;
Bpe *bpe_new(Err *err);
void bpe_free(Bpe *bpe);
size_t bpe_bytes(const Bpe *bpe); /* memory held */

/* Appends the ids of `word`. Any length: n log n. */
bool bpe_word(Bpe *bpe, const Vocab *vocab, const uint8_t *word, size_t bytes, Ids *out, Err *err);
#endif
