/* gguf_keys.h: configuration and tokenizer of a model as the keys of a GGUF file. */
#ifndef GGUF_KEYS_H
#define GGUF_KEYS_H
#include "../io/gguf_writer.h"
#include "model_folder.h"

/* All keys but those that depend on the types of tensors. */
bool gguf_keys(const ModelSave *save, GgufOutput *out, Err *err);
/* Divisors of rotary frequencies that GGUF keeps as a tensor, rope_freqs.weight: rope.dim / 2 of them. False: none. */
bool gguf_rope_divisors(const Rope *rope, float *out);
#endif
