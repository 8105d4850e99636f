/* fuzz_chat.c: any bytes as chat messages, through the Qwen2.5 template. */
#include <stdlib.h>
#include "../../src/text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static QmTokenizer *t;
    Err err = {0};
    int32_t *ids = NULL;
    char *text = NULL;
    if (!t) t = qm_tokenizer_open("tests/data/qwen2.5", &err);
    if (!t) return 0;
    qm_tokenizer_chat(t, (const char *)data, bytes, true, &ids, &text, &err);
    free(ids);
    free(text);
    return 0;
}
