/* tokenizer_gguf_write.h: a tokenizer as the keys of a GGUF file. */
#ifndef TOKENIZER_GGUF_WRITE_H
#define TOKENIZER_GGUF_WRITE_H
#include "../io/gguf_writer.h"
#include "tokenizer.h"

/* tokenizer.ggml.*: model, pre-tokenizer, `rows` tokens with their types (padding where the tokenizer has none),
 * merges, special ids, add_bos_token. eos, eot, pad: ids that the model's configuration has, or -1; the tokenizer's own
 * eos goes before. What GGUF, or llama.cpp, has no place for is an error. */
bool tokenizer_to_gguf(const QmTokenizer *t, int64_t rows, int32_t eos, int32_t eot, int32_t pad, GgufOutput *out,
                       Err *err);
#endif
