/* train_cache.h: the tokens of files, and where they are kept from one run to the next: by a hash of everything that
 * they depend on. A file: 8 bytes "QMTOKEN2", its key, SHA-256 of the rest; numbers as this machine has them. Whatever
 * is wrong with one, the samples are made anew. */
#ifndef TRAIN_CACHE_H
#define TRAIN_CACHE_H
#include "train_names.h"
#include "train_data.h"

typedef struct FileSample {
    int64_t first, count;  /* tokens                                           */
    int64_t number;        /* of its line, element or document, from 1 on      */
    TrainTarget target;
    int32_t torn;          /* Sample.torn; no padding follows                  */
} FileSample;

typedef struct TrainSamples {
    FileSample *sample;
    int64_t count, tokens;
    int32_t *ids, *labels; /* [tokens]                                         */
} TrainSamples;
void samples_free(TrainSamples *s);

enum { TOKENS_KEY_BYTES = 32 };
typedef struct TokensKey { uint8_t byte[TOKENS_KEY_BYTES]; } TokensKey;

/* What is stored under a key; names: empty, gets those of its labels. False without an error where there is nothing, or
 * nothing that can be trusted. `vocab`: ids must be below. Makes the folder where it is missing. */
bool tokens_read(const char *folder, const TokensKey *key, int64_t vocab, TrainSamples *out, TrainNames *names,
                 Err *err);
/* Stores them, whole or not at all, then keeps the folder to 8 GiB: files used longest ago go first. Warns where it
 * cannot. */
void tokens_write(const char *folder, const TokensKey *key, const TrainSamples *samples, const TrainNames *names);
#endif
