/* tokenizer_gguf.c: the tokenizer in the metadata of a GGUF file (keys: github.com/ggml-org/ggml, docs/gguf.md). */
#include <inttypes.h>
#include "../base/watch.h"
#include "../io/names.h"
#include "tokenizer.h"
#include "unicode.h"

/* Values of tokenizer.ggml.token_type. */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

/* tokenizer.ggml.pre: the name of a pre-tokenizer, and with it of what else GGUF does not write down. */
static const struct Pre {
    const char *name;
    SplitKind step[2];
    int steps;
    bool nfc, whole_words, add_bos;
} known_pre[] = {
    {"qwen2", {SPLIT_QWEN2}, 1, true, false, false},
    {"deepseek-r1-qwen", {SPLIT_QWEN2}, 1, true, false, false},
    {"llama-bpe", {SPLIT_LLAMA3}, 1, false, true, true},
    {"smollm", {SPLIT_DIGITS, SPLIT_GPT2}, 2, false, false, false},
    {"gpt-2", {SPLIT_GPT2}, 1, false, false, false},
};

static bool text_equal(GgufText text, const char *word) {
    return text.bytes == strlen(word) && !memcmp(text.data, word, text.bytes);
}

/* Optional values: left alone when the key is absent. */
static bool find_int(const Gguf *g, const char *key, int64_t *out, Err *err) {
    return !gguf_find(g, key) || gguf_int(g, key, out, err);
}
static bool find_bool(const Gguf *g, const char *key, bool *out, Err *err) {
    return !gguf_find(g, key) || gguf_bool(g, key, out, err);
}
static bool find_text(const Gguf *g, const char *key, GgufText *out, Err *err) {
    return !gguf_find(g, key) || gguf_text(g, key, out, err);
}

/* The pre-tokenizer of a file that does not name it, as files written before May 2024 do not, or names it "default",
 * which is none of a model's. A wrong one gives other ids for digits and for words in capitals, so what is taken is
 * said. */
static GgufText guess_pre(const Gguf *gguf, const TokenizerHabits *habits, Err *err) {
    GgufText architecture = {"", 0};
    const GgufValue *tokens = gguf_find(gguf, "tokenizer.ggml.tokens");
    if (!find_text(gguf, "general.architecture", &architecture, err)) return architecture;
    bool habit = habits && habits->pre && (!habits->tokens || (tokens && tokens->count >= habits->tokens));
    const char *name = habit ? habits->pre : "gpt-2";
    watch_say(QM_WARNING,
              "tokenizer.ggml.pre is %s: taking %s for the architecture %s; if that is not how "
              "the model was trained, its answers will be worse",
              gguf_find(gguf, "tokenizer.ggml.pre") ? "default" : "missing", name,
              architecture.bytes ? name_text(architecture.data, architecture.bytes).text : "(none)");
    return (GgufText){name, strlen(name)};
}

static bool load_pre(QmTokenizer *t, const Gguf *gguf, const TokenizerHabits *habits, Err *err) {
    GgufText model = {0}, pre = {0};
    bool space = false;
    if (!gguf_text(gguf, "tokenizer.ggml.model", &model, err) || !find_text(gguf, "tokenizer.ggml.pre", &pre, err) ||
        !find_bool(gguf, "tokenizer.ggml.add_space_prefix", &space, err)) return false;
    if (!text_equal(model, "gpt2"))
        return err_set(err, "tokenizer.ggml.model: expected gpt2 (byte-level BPE), got '%s'",
                       name_text(model.data, model.bytes).text);
    if (space) return err_set(err, "tokenizer.ggml.add_space_prefix true is not supported with byte-level BPE");
    if (!pre.data || text_equal(pre, "default")) pre = guess_pre(gguf, habits, err);
    if (err->kind) return false;
    for (size_t i = 0; i < sizeof known_pre / sizeof *known_pre; i++) {
        if (!text_equal(pre, known_pre[i].name)) continue;
        t->nfc = known_pre[i].nfc;
        t->vocab.whole_words = known_pre[i].whole_words;
        t->add_bos = known_pre[i].add_bos;
        for (int s = 0; s < known_pre[i].steps; s++)
            if (!splitter_add(&t->splitter, known_pre[i].step[s], err)) return false;
        return true;
    }
    return err_set(err, "tokenizer.ggml.pre '%s' is not supported: expected qwen2, llama-bpe, smollm or gpt-2",
                   name_text(pre.data, pre.bytes).text);
}

/* NFC is left aside: llama.cpp has it in none. */
const char *tokenizer_pre_name(const QmTokenizer *t) {
    for (size_t i = 0; i < sizeof known_pre / sizeof *known_pre; i++) {
        const struct Pre *pre = &known_pre[i];
        bool same = pre->steps == t->splitter.count && pre->whole_words == t->vocab.whole_words;
        for (int s = 0; same && s < pre->steps; s++) same = pre->step[s] == t->splitter.step[s];
        if (same) return pre->name;
    }
    return NULL;
}

/* An array of the given items; NULL and an error when it is something else, or absent and needed. */
static const GgufValue *find_array(const Gguf *gguf, const char *key, GgufType item, bool needed, Err *err) {
    const GgufValue *v = gguf_find(gguf, key);
    if (!v && needed) err_set(err, "%s is missing", key);
    if (!v || (v->type == GGUF_ARRAY && v->item_type == item)) return v;
    err_set(err, "%s: expected an array of type %d, got type %d of %d", key, (int)item, (int)v->type,
            (int)v->item_type);
    return NULL;
}

/* The type of token i. Where a file gives none, a token spelled <|...|> is a control token: as text it would never end
 * an answer. */
static int32_t type_at(const GgufValue *types, uint64_t i, GgufText text) {
    int32_t type = TYPE_NORMAL;
    if (types) memcpy(&type, types->data + 4 * i, 4);
    else if (text.bytes > 4 && !memcmp(text.data, "<|", 2) && !memcmp(text.data + text.bytes - 2, "|>", 2))
        type = TYPE_CONTROL;
    return type;
}

/* Whether a control or user-defined token may be one that merges make: GGUF does not say. One spelled in ASCII reads
 * the same either way, and one character alone is a byte. */
static bool may_be_word(GgufText text) {
    int32_t code;
    size_t n =
        text.bytes ? (size_t)utf8_read((const uint8_t *)text.data, (const uint8_t *)text.data + text.bytes, &code) : 0;
    return text.bytes > 0 && (n == text.bytes || ascii_span((const uint8_t *)text.data, text.bytes) == text.bytes);
}

/* Puts the tokens in two passes: the vocabulary, then, when it has been indexed and merged, the added tokens. */
static bool load_tokens(QmTokenizer *t, const GgufValue *tokens, const GgufValue *types, bool added, Err *err) {
    const uint8_t *cursor = tokens->data;
    GgufText text;
    for (uint64_t i = 0; i < tokens->count; i++) {
        if (!gguf_next_text(tokens, &cursor, &text))
            return err_set(err, "tokenizer.ggml.tokens: token %" PRIu64 " is cut off", i);
        int32_t type = type_at(types, i, text);
        bool outside = type == TYPE_CONTROL || type == TYPE_USER_DEFINED || type == TYPE_UNKNOWN;
        if (type != TYPE_NORMAL && type != TYPE_UNUSED && !outside)
            return err_set(err,
                           "tokenizer.ggml.token_type: token %" PRIu64 " has type %d, which byte-level BPE has not", i,
                           (int)type);
        if (type == TYPE_UNUSED || (added && !outside)) continue; /* unused: padding of the embedding, no token */
        if (!utf8_valid((const uint8_t *)text.data, text.bytes))
            return err_set(err, "tokenizer.ggml.tokens: token %" PRIu64 " is not valid UTF-8", i);
        Added token = {.text = text.data, .bytes = text.bytes, .id = (int32_t)i};
        if (!added && outside && !may_be_word(text)) continue;
        if (!added && !vocab_add(&t->vocab, (int64_t)i, (const uint8_t *)text.data, text.bytes, err)) return false;
        if (added && !tokenizer_add(t, &token, type != TYPE_USER_DEFINED, false, err)) return false;
    }
    return true;
}

static bool load_vocab(QmTokenizer *t, const Gguf *gguf, Err *err) {
    const GgufValue *tokens = find_array(gguf, "tokenizer.ggml.tokens", GGUF_STRING, true, err);
    const GgufValue *merges = tokens ? find_array(gguf, "tokenizer.ggml.merges", GGUF_STRING, true, err) : NULL;
    const GgufValue *types = merges ? find_array(gguf, "tokenizer.ggml.token_type", GGUF_I32, false, err) : NULL;
    if (!merges || (!types && gguf_find(gguf, "tokenizer.ggml.token_type"))) return false;
    if (!types)
        watch_say(QM_WARNING, "tokenizer.ggml.token_type is missing: taking tokens spelled <|...|> for "
                        "control tokens, and all others for text");
    if (types && types->count != tokens->count)
        return err_set(err, "tokenizer.ggml.token_type: expected %" PRIu64 " items, one for each token, got %" PRIu64,
                       tokens->count, types->count);
    if (tokens->count > VOCAB_MOST_IDS)
        return err_as(err, QM_LIMIT, "tokenizer.ggml.tokens: expected at most %d items, got %" PRIu64, VOCAB_MOST_IDS,
                      tokens->count);
    if (!load_tokens(t, tokens, types, false, err) || !vocab_index(&t->vocab, err)) return false;
    const uint8_t *cursor = merges->data;
    GgufText line;
    for (uint64_t i = 0; i < merges->count; i++) {
        if (!gguf_next_text(merges, &cursor, &line))
            return err_set(err, "tokenizer.ggml.merges: merge %" PRIu64 " is cut off", i);
        if (!utf8_valid((const uint8_t *)line.data, line.bytes))
            return err_set(err, "tokenizer.ggml.merges: merge %" PRIu64 " is not valid UTF-8", i);
        if (!vocab_merge_line(&t->vocab, (const uint8_t *)line.data, line.bytes, err)) return false;
    }
    return load_tokens(t, tokens, types, true, err);
}

static bool load_id(const QmTokenizer *t, const Gguf *gguf, const char *key, int32_t *id, Err *err) {
    int64_t value = -1;
    if (!find_int(gguf, key, &value, err)) return false;
    if (gguf_find(gguf, key) && (value < 0 || value >= t->vocab.count || t->vocab.piece[value].kind == PIECE_NONE))
        return err_set(err, "%s: no token has id %" PRId64, key, value);
    *id = (int32_t)value;
    return true;
}

/* Special tokens as chat templates see them, and the templates. */
static bool load_chat(QmTokenizer *t, const Gguf *gguf, Err *err) {
    static const char *const names[][2] = {{"tokenizer.ggml.bos_token_id", "bos_token"},
                                           {"tokenizer.ggml.eos_token_id", "eos_token"},
                                           {"tokenizer.ggml.unknown_token_id", "unk_token"},
                                           {"tokenizer.ggml.padding_token_id", "pad_token"}};
    GgufText chat = {0}, tools = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int64_t id = -1;
        size_t bytes;
        if (!find_int(gguf, names[i][0], &id, err)) return false;
        const char *piece = id >= 0 && id < INT32_MAX ? qm_tokenizer_piece(t, (int32_t)id, &bytes, NULL) : NULL;
        if (piece && utf8_valid((const uint8_t *)piece, bytes) && !chat_token(&t->chat, names[i][1], piece, bytes, err))
            return false;
    }
    return find_text(gguf, "tokenizer.chat_template", &chat, err) &&
           find_text(gguf, "tokenizer.chat_template.tool_use", &tools, err) &&
           (!chat.data || chat_take(&t->chat, chat.data, chat.bytes, false, err)) &&
           (!tools.data || chat_take(&t->chat, tools.data, tools.bytes, true, err));
}

bool tokenizer_load_gguf(QmTokenizer *t, const Gguf *gguf, const TokenizerHabits *habits, Err *err) {
    bool add_eos = false;
    if (!load_pre(t, gguf, habits, err) || !load_vocab(t, gguf, err)) return false;
    if (!load_id(t, gguf, "tokenizer.ggml.bos_token_id", &t->bos, err) ||
        !load_id(t, gguf, "tokenizer.ggml.eos_token_id", &t->eos, err) ||
        !find_bool(gguf, "tokenizer.ggml.add_bos_token", &t->add_bos, err) ||
        !find_bool(gguf, "tokenizer.ggml.add_eos_token", &add_eos, err))
        return false;
    if (add_eos) return err_set(err, "tokenizer.ggml.add_eos_token true is not supported");
    if (t->add_bos && t->bos < 0)
        return err_set(err, "tokenizer.ggml.add_bos_token is true, but there is no bos_token_id");
    return tokenizer_finish(t, err) && load_chat(t, gguf, err);
}
