/* gguf_extract.c: a GGUF file without its weights. */
#include <string.h>
#include "gguf.h"

enum { EXTRACT_ALIGN = 64 };

static bool wanted(const GgufTensor *t) {
    bool rope = t->name.bytes > 5 && !memcmp(t->name.data, "rope_", 5),
         block = t->name.bytes > 6 && !memcmp(t->name.data, "blk.0.", 6);
    return t->rank == 1 && (rope || block);
}

static void add_number(Text *out, uint64_t v, int bytes) {
    uint8_t raw[8];
    for (int i = 0; i < bytes; i++) raw[i] = (uint8_t)(v >> 8 * i);
    text_add(out, (const char *)raw, (size_t)bytes);
}

static void add_text(Text *out, const char *data, size_t bytes) {
    add_number(out, bytes, 8);
    text_add(out, data, bytes);
}

static void pad(Text *out) {
    while (out->bytes % EXTRACT_ALIGN) add_number(out, 0, 1);
}

static bool is_key(GgufText key, const char *name) {
    return key.bytes == strlen(name) && !memcmp(key.data, name, key.bytes);
}

/* GGUF's key, type, and for arrays item type and count, are written anew around the value's bytes. */
static void add_value(Text *out, const GgufValue *v) {
    add_text(out, v->key.data, v->key.bytes);
    add_number(out, v->type, 4);
    if (v->type == GGUF_ARRAY) {
        add_number(out, v->item_type, 4);
        add_number(out, v->count, 8);
    }
    text_add(out, (const char *)v->data, v->bytes);
}

static void add_u32(Text *out, const char *key, uint64_t value) {
    add_text(out, key, strlen(key));
    add_number(out, GGUF_U32, 4);
    add_number(out, value, 4);
}

/* Keys stand as they did, but for two that are ours: the alignment, and the vocabulary, which is the number of rows of
 * the embedding that is not there. */
bool gguf_extract(const Gguf *g, Text *out, Err *err) {
    uint64_t values = 2, tensors = 0, place = 0;
    const GgufTensor *embed = gguf_tensor(g, "token_embd.weight");
    GgufText arch = {0};
    char vocab[96];
    if (!gguf_text(g, "general.architecture", &arch, err)) return false;
    snprintf(vocab, sizeof vocab, "%.*s.vocab_size", arch.bytes < 64 ? (int)arch.bytes : 64, arch.data);
    if (!embed || embed->rank != 2 || embed->dim[0] > UINT32_MAX)
        return err_set(err, "the GGUF file has no token_embd.weight of two dimensions");
    for (uint64_t i = 0; i < g->value_count; i++)
        values += !is_key(g->values[i].key, "general.alignment") && !is_key(g->values[i].key, vocab);
    for (uint64_t i = 0; i < g->tensor_count; i++) tensors += wanted(&g->tensors[i]);
    text_add(out, "GGUF", 4);
    add_number(out, 3, 4);
    add_number(out, tensors, 8);
    add_number(out, values, 8);
    for (uint64_t i = 0; i < g->value_count; i++)
        if (!is_key(g->values[i].key, "general.alignment") && !is_key(g->values[i].key, vocab))
            add_value(out, &g->values[i]);
    add_u32(out, "general.alignment", EXTRACT_ALIGN);
    add_u32(out, vocab, (uint64_t)embed->dim[0]);
    for (uint64_t i = 0; i < g->tensor_count; i++) {
        const GgufTensor *t = &g->tensors[i];
        if (!wanted(t)) continue;
        add_text(out, t->name.data, t->name.bytes);
        add_number(out, 1, 4);
        add_number(out, (uint64_t)t->dim[0], 8);
        add_number(out, (uint64_t)dtype_row(t->dtype)->gguf, 4);
        add_number(out, place, 8);
        place += (t->bytes + EXTRACT_ALIGN - 1) / EXTRACT_ALIGN * EXTRACT_ALIGN;
    }
    pad(out);
    for (uint64_t i = 0; i < g->tensor_count; i++) {
        if (!wanted(&g->tensors[i])) continue;
        text_add(out, (const char *)g->tensors[i].data, g->tensors[i].bytes);
        pad(out);
    }
    return text_ok(out, "metadata of the GGUF file", err);
}
