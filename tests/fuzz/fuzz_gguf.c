/* fuzz_gguf.c: arbitrary bytes as a GGUF file: keys walked and read by type, configuration, tokenizer, weights by
 * row. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../../src/io/config.h"
#include "../../src/io/gguf.h"
#include "../at_path.h"
#include "../../src/text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void read_value(const Gguf *gguf, const GgufValue *v) {
    char key[128];
    int64_t integer;
    double number;
    bool flag;
    GgufText text;
    const uint8_t *cursor = v->data;
    uint64_t strings = 0, sum = 0;
    while (gguf_next_text(v, &cursor, &text)) {
        strings++;
        for (size_t i = 0; i < text.bytes; i++) sum += (uint8_t)text.data[i];
    }
    if (v->item_type == GGUF_STRING && strings != v->count) abort();
    for (size_t i = 0; i < v->bytes; i++) sum += v->data[i];
    if (sum == UINT64_MAX || v->key.bytes >= sizeof key || memchr(v->key.data, 0, v->key.bytes)) return;
    memcpy(key, v->key.data, v->key.bytes);
    key[v->key.bytes] = 0;
    if (gguf_find(gguf, key) != v) abort();
    gguf_int(gguf, key, &integer, NULL);
    gguf_float(gguf, key, &number, NULL);
    gguf_bool(gguf, key, &flag, NULL);
    gguf_text(gguf, key, &text, NULL);
}

static void read_tokenizer(const Gguf *gguf) {
    Err err = {0};
    QmTokenizer *t = tokenizer_new(&err);
    if (!t || tokenizer_load_gguf(t, gguf, NULL, &err) == (err.kind != QM_OK)) abort();
    qm_tokenizer_close(t);
}

/* Every row the loader may ask for lies in its tensor. The file goes through a memory file, as weights are opened by
 * path. */
static void read_weights(const uint8_t *data, size_t bytes) {
    char path[32];
    float out[256];
    int fd = memfd_create("gguf", 0);
    if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    Weights *w = weights_from(path, NULL);
    for (int64_t i = 0; w && i < weights_count(w); i++) {
        const WeightTensor *t = weights_at(w, i);
        const DTypeRow *type = dtype_row(t->dtype);
        size_t row_bytes = t->bytes / (size_t)t->dim[0];
        for (int64_t r = 0; r < t->dim[0]; r = r < 100 ? r + 1 : t->dim[0] - r > 1 ? t->dim[0] - 1 : t->dim[0]) {
            const uint8_t *row = weights_row(t, r);
            if (row < t->data || row + row_bytes > t->data + t->bytes) abort();
            if (type->read && row_bytes >= (size_t)type->block_bytes) type->read(row, 0, type->block, out);
        }
    }
    weights_close(w);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    Gguf gguf;
    ModelConfig config;
    Err err = {0};
    if (!gguf_parse(&gguf, data, bytes, "input", &err)) {
        if (!err.kind) abort();
        return 0;
    }
    for (uint64_t i = 0; i < gguf.value_count; i++) read_value(&gguf, &gguf.values[i]);
    if (config_from_gguf(&config, &gguf, &err) == (err.kind != QM_OK)) abort();
    if (!err.kind && !family_of(&config)) abort();
    read_tokenizer(&gguf);
    gguf_close(&gguf);
    read_weights(data, bytes);
    return 0;
}
