/* train_key.c: see train_key.h. Every part is hashed behind its length, so that no two lists of parts run together. */
#include <openssl/evp.h>
#include <string.h>
#include "../io/source.h"
#include "train_key.h"

typedef struct Hash {
    EVP_MD_CTX *of;
    bool ok;
} Hash;

static void add(Hash *h, const void *data, size_t bytes) {
    uint64_t n = bytes;
    h->ok = h->ok && EVP_DigestUpdate(h->of, &n, sizeof n) == 1 && EVP_DigestUpdate(h->of, data, bytes) == 1;
}

static void add_number(Hash *h, int64_t n) { add(h, &n, sizeof n); }

static bool add_json(Hash *h, const json_t *value, Err *err) {
    char *text = value ? json_dump(value, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY, "a tokenizer", err) : NULL;
    if (text) add(h, text, strlen(text));
    else add_number(h, -1);
    free(text);
    return !err->kind;
}

/* The keys of a GGUF file that a tokenizer is made of. */
static void add_gguf(Hash *h, const Gguf *gguf) {
    for (uint64_t i = 0; i < gguf->value_count; i++) {
        const GgufValue *v = &gguf->values[i];
        bool is = v->key.bytes > 10 && !memcmp(v->key.data, "tokenizer.", 10);
        if (!is && (v->key.bytes != 20 || memcmp(v->key.data, "general.architecture", 20) != 0)) continue;
        add(h, v->key.data, v->key.bytes);
        add_number(h, v->type * 100 + v->item_type);
        add(h, v->data, v->bytes);
    }
}

static bool add_files(Hash *h, Source *source, Err *err) {
    static const char *const texts[] = {"tokenizer.json", "chat_template.jinja",
                                        "additional_chat_templates/tool_use.jinja"};
    static const char *const values[] = {"tokenizer_config.json", "config.json"};
    for (int i = 0; i < 3; i++) {
        SourceText text;
        bool ok = source_text(source, texts[i], (size_t)1 << 30, &text, err);
        if (ok) add(h, text.data ? text.data : "", text.bytes);
        source_text_free(&text);
        if (!ok) return false;
    }
    for (int i = 0; i < 2; i++) {
        const json_t *value;
        const char *where;
        if (!source_json(source, values[i], &value, &where, err)) return false;
        if (!add_json(h, i == 0 ? value : json_object_get(value, "model_type"), err)) return false;
    }
    return true;
}

/* As tokenizer_open.c: a folder's GGUF file counts where it has no tokenizer.json. */
static bool add_tokenizer(Hash *h, const TrainReader *r, Err *err) {
    const Gguf *gguf = NULL;
    Source *source = r->options->source;
    const ChatTemplate *chat = &r->tokenizer->chat;
    if (!source_has(source, "tokenizer.json") && !source_gguf(source, &gguf, err)) return false;
    if (gguf) add_gguf(h, gguf);
    else if (!add_files(h, source, err)) return false;
    add(h, chat->chosen, sizeof chat->chosen);
    return add_json(h, chat->arguments, err);
}

static void add_options(Hash *h, const TrainReader *r, bool is_text) {
    const TrainDataOptions *o = r->options;
    int64_t n[] = {o->task, o->mask, o->packing == PACKING_BLOCKS, o->documents, o->control_tokens, r->vocab,
                   r->end,  is_text, (int64_t)sizeof(FileSample)};
    add(h, n, sizeof n);
    for (int i = 0; i < o->name_count; i++) add(h, o->names[i], strlen(o->names[i]));
}

static bool reads_clock(const ChatTemplate *chat) {
    return (chat->usual && jinja_mentions(chat->usual, "strftime_now")) ||
           (chat->with_tools && jinja_mentions(chat->with_tools, "strftime_now"));
}

bool tokens_key(const TrainReader *r, const void *data, size_t bytes, bool is_text, TokensKey *out, Err *err) {
    if (r->tokenizer && (!r->options->source || reads_clock(&r->tokenizer->chat))) return false;
    Hash h = {EVP_MD_CTX_new(), true};
    h.ok = h.of && EVP_DigestInit_ex(h.of, EVP_sha256(), NULL) == 1;
    bool ok = !r->tokenizer || add_tokenizer(&h, r, err);
    add_options(&h, r, is_text);
    add(&h, data, bytes);
    ok = ok && h.ok && EVP_DigestFinal_ex(h.of, out->byte, NULL) == 1;
    EVP_MD_CTX_free(h.of);
    return ok;
}
