/* train_key.h: what the tokens of a file depend on, as one hash. */
#ifndef TRAIN_KEY_H
#define TRAIN_KEY_H
#include "train_cache.h"
#include "train_sample.h"

/* data: the file's bytes. False without an error: its tokens may not be kept, for nothing says what the tokenizer is
 * made of, or the chat template reads the clock. */
bool tokens_key(const TrainReader *reader, const void *data, size_t bytes, bool is_text, TokensKey *out, Err *err);
#endif
