/* tokenizer_write.h: the tokenizer of a GGUF file as the files of a Hugging Face folder. */
#ifndef TOKENIZER_WRITE_H
#define TOKENIZER_WRITE_H
#include "tokenizer.h"

/* tokenizer.json: gives the ids that `t`, which was read from the same keys, gives. malloc'ed; NULL on error. */
char *tokenizer_to_json(const QmTokenizer *t, const Gguf *gguf, size_t *bytes, Err *err);
/* tokenizer_config.json: special tokens and chat templates. max_length: positions of the model. Free with
 * json_decref. */
json_t *tokenizer_config_to_json(const QmTokenizer *t, const Gguf *gguf, int64_t max_length, Err *err);
#endif
