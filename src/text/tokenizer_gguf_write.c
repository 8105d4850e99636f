/* tokenizer_gguf_write.c: see tokenizer_gguf_write.h. Keys: github.com/ggml-org/ggml, docs/gguf.md; types as
 * tokenizer_gguf.c reads them. */
#include <inttypes.h>
#include <stdlib.h>
#include "../io/json.h"
#include "tokenizer_gguf_write.h"

enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4, TYPE_UNUSED = 5 };

/* ---- Tokens ------------------------------------------------------------------------------------------------------ */

static bool add_tokens(const QmTokenizer *t, int64_t rows, GgufOutput *out, Err *err) {
    Text tokens = {0}, types = {0}, one = {0};
    for (int64_t id = 0; id < rows; id++) {
        bool there = id < t->vocab.count && t->vocab.piece[id].kind != PIECE_NONE;
        const Piece *p = there ? &t->vocab.piece[id] : NULL;
        int32_t type = !p ? TYPE_UNUSED : !p->added ? TYPE_NORMAL : p->special ? TYPE_CONTROL : TYPE_USER_DEFINED;
        one.bytes = 0;
        if (p) vocab_spell(&t->vocab, (int32_t)id, &one);
        else text_line(&one, "[PAD%" PRId64 "]", id);
        gguf_writer_item(&tokens, one.data, one.bytes);
        text_add(&types, (const char *)&type, sizeof type);
    }
    bool ok = text_ok(&one, "token", err) && text_ok(&types, "types of tokens", err);
    gguf_writer_array(out, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)rows, &tokens);
    gguf_writer_array(out, "tokenizer.ggml.token_type", GGUF_I32, (uint64_t)rows, &types);
    text_free(&tokens);
    text_free(&types);
    text_free(&one);
    return ok;
}

static int by_rank(const void *a, const void *b) {
    uint32_t x = ((const MergeSlot *)a)->rank, y = ((const MergeSlot *)b)->rank;
    return (x > y) - (x < y);
}

/* "left right", by rank. */
static bool add_merges(const QmTokenizer *t, GgufOutput *out, Err *err) {
    const Vocab *v = &t->vocab;
    MergeSlot *list = mem_new(v->merge_mask + 1, sizeof *list, "merges", err);
    Text items = {0}, one = {0};
    size_t count = 0;
    if (!list) return false;
    for (size_t i = 0; i <= v->merge_mask; i++)
        if (v->merge[i].left >= 0) list[count++] = v->merge[i];
    qsort(list, count, sizeof *list, by_rank);
    for (size_t i = 0; i < count; i++) {
        one.bytes = 0;
        vocab_spell(v, list[i].left, &one);
        text_add(&one, " ", 1);
        vocab_spell(v, list[i].right, &one);
        gguf_writer_item(&items, one.data, one.bytes);
    }
    bool ok = text_ok(&one, "merge", err);
    gguf_writer_array(out, "tokenizer.ggml.merges", GGUF_STRING, count, &items);
    text_free(&items);
    text_free(&one);
    free(list);
    return ok;
}

/* ---- The rest ---------------------------------------------------------------------------------------------------- */

/* The id of a special token by its name; `other` where the tokenizer has none. */
static int32_t special_id(const QmTokenizer *t, const char *name, int32_t other) {
    const json_t *text = json_object_get(t->chat.tokens, name);
    int32_t id = text ? tokenizer_id(t, json_string_value(text), json_string_length(text)) : -1;
    return id >= 0 ? id : other;
}

static void add_id(GgufOutput *out, const char *key, int32_t id, int64_t rows) {
    if (id >= 0 && id < rows) gguf_writer_u32(out, key, (uint32_t)id);
}

bool tokenizer_to_gguf(const QmTokenizer *t, int64_t rows, int32_t eos, int32_t eot, int32_t pad, GgufOutput *out,
                       Err *err) {
    const char *pre = tokenizer_pre_name(t);
    if (!pre)
        return err_set(err, "the tokenizer's pre-tokenizer has no name in GGUF: known are qwen2, llama-bpe, smollm and "
                            "gpt-2");
    if (t->end >= 0) return err_set(err, "the tokenizer ends every text with a token, which has no place in GGUF");
    if (t->vocab.count > rows)
        return err_set(err,
                       "the tokenizer has %d tokens, the embedding %" PRId64 " rows: llama.cpp takes no such model",
                       (int)t->vocab.count, rows);
    gguf_writer_text(out, "tokenizer.ggml.model", "gpt2", 4);
    gguf_writer_text(out, "tokenizer.ggml.pre", pre, strlen(pre));
    if (!add_tokens(t, rows, out, err) || !add_merges(t, out, err)) return false;
    int32_t end = t->eos >= 0 ? t->eos : eos;
    add_id(out, "tokenizer.ggml.bos_token_id", special_id(t, "bos_token", t->bos), rows);
    add_id(out, "tokenizer.ggml.eos_token_id", end, rows);
    if (eos != end) add_id(out, "tokenizer.ggml.eot_token_id", eos, rows);
    else if (eot != end) add_id(out, "tokenizer.ggml.eot_token_id", eot, rows);
    add_id(out, "tokenizer.ggml.unknown_token_id", special_id(t, "unk_token", -1), rows);
    add_id(out, "tokenizer.ggml.padding_token_id", special_id(t, "pad_token", pad), rows);
    gguf_writer_bool(out, "tokenizer.ggml.add_bos_token", t->add_bos);
    return true;
}
