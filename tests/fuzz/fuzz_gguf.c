/* fuzz_gguf.c: any bytes as a GGUF file: its tensors, its configuration, its tokenizer. */
#include "../../src/io/config.h"
#include "../../src/io/gguf.h"
#include "../../src/text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static ModelConfig config;
    Gguf gguf;
    Err err = {0}, other = {0};
    if (!gguf_parse(&gguf, data, bytes, "fuzz", &err)) return 0;
    volatile uint8_t last = 0;
    for (uint64_t i = 0; i < gguf.tensor_count; i++)
        if (gguf.tensors[i].bytes) last = gguf.tensors[i].data[gguf.tensors[i].bytes - 1];
    (void)last;
    config_from_gguf(&config, &gguf, &err);
    QmTokenizer *t = tokenizer_new(&other);
    if (t) tokenizer_load_gguf(t, &gguf, &other);
    qm_tokenizer_close(t);
    gguf_close(&gguf);
    return 0;
}
