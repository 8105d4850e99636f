/* tokenizer_write.c: see tokenizer_write.h. Keys were checked when the tokenizer was read from them
 * (tokenizer_gguf.c). */
#include <stdlib.h>
#include "../io/json_python.h"
#include "tokenizer_write.h"

#define BYTE_LEVEL "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": false, \"use_regex\": %s}"

/* ---- Tokens ------------------------------------------------------------------------------------------------------ */

/* Added tokens from this id on, which have no other behind them, stand in the list of added tokens alone, as in files
 * of transformers; there the next free id is given to each in turn. Those before are in the vocabulary too. */
static int32_t tail_of(const QmTokenizer *t) {
    int32_t tail = t->vocab.count;
    while (tail > 0 && t->vocab.piece[tail - 1].added) tail--;
    for (int32_t id = 0; id < tail; id++)
        if (t->vocab.piece[id].kind == PIECE_NONE) return t->vocab.count; /* ids would be given to holes */
    return tail;
}

/* Texts are GGUF's own, spelled in the alphabet. */
static void add_added(const QmTokenizer *t, const Gguf *gguf, Text *out) {
    const GgufValue *tokens = gguf_find(gguf, "tokenizer.ggml.tokens");
    const uint8_t *cursor = tokens->data;
    GgufText text;
    bool first = true;
    text_line(out, "  \"added_tokens\": [");
    for (int32_t id = 0; id < t->vocab.count && gguf_next_text(tokens, &cursor, &text); id++) {
        if (!t->vocab.piece[id].added) continue;
        text_line(out, "%s\n    {\"id\": %d, \"content\": ", first ? "" : ",", (int)id);
        python_json_text(text.data, text.bytes, out);
        text_line(out, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                  "\"special\": %s}", t->vocab.piece[id].special ? "true" : "false");
        first = false;
    }
    text_line(out, "\n  ],\n");
}

static void add_vocab(const QmTokenizer *t, const Gguf *gguf, Text *out) {
    const GgufValue *tokens = gguf_find(gguf, "tokenizer.ggml.tokens");
    const uint8_t *cursor = tokens->data;
    int32_t tail = tail_of(t);
    GgufText text;
    bool first = true;
    text_line(out, "    \"vocab\": {");
    for (int32_t id = 0; id < tail && gguf_next_text(tokens, &cursor, &text); id++) {
        if (t->vocab.piece[id].kind == PIECE_NONE) continue;
        text_line(out, "%s\n      ", first ? "" : ",");
        python_json_text(text.data, text.bytes, out);
        text_line(out, ": %d", (int)id);
        first = false;
    }
    text_line(out, "\n    },\n");
}

/* A pair of texts each: newer versions of tokenizers write them so, and all but old ones read them. */
static void add_merges(const Gguf *gguf, Text *out) {
    const GgufValue *merges = gguf_find(gguf, "tokenizer.ggml.merges");
    const uint8_t *cursor = merges->data;
    GgufText line;
    text_line(out, "    \"merges\": [");
    for (uint64_t i = 0; gguf_next_text(merges, &cursor, &line); i++) {
        const char *space = memchr(line.data, ' ', line.bytes);
        size_t left = space ? (size_t)(space - line.data) : line.bytes;
        text_line(out, "%s\n      [", i ? "," : "");
        python_json_text(line.data, left, out);
        text_add(out, ", ", 2);
        python_json_text(line.data + left + 1, line.bytes - left - 1, out);
        text_add(out, "]", 1);
    }
    text_line(out, "\n    ]\n");
}

/* ---- Pieces ------------------------------------------------------------------------------------------------------ */

/* GPT-2's pattern is ByteLevel's own. */
static bool add_pre_tokenizer(const Splitter *s, Text *out, Err *err) {
    bool own = s->count && s->step[s->count - 1] == SPLIT_GPT2;
    text_line(out, "  \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [");
    for (int i = 0; i < s->count - own; i++) {
        const char *pattern = split_pattern(s->step[i]);
        if (s->step[i] == SPLIT_DIGITS) text_line(out, "\n    {\"type\": \"Digits\", \"individual_digits\": true},");
        else if (pattern) {
            text_line(out, "\n    {\"type\": \"Split\", \"pattern\": {\"Regex\": ");
            python_json_text(pattern, strlen(pattern), out);
            text_line(out, "}, \"behavior\": \"Isolated\", \"invert\": false},");
        } else return err_as(err, QM_INTERNAL, "a step of the pre-tokenizer has no place in tokenizer.json");
    }
    text_line(out, "\n    " BYTE_LEVEL "\n  ]},\n", own ? "true" : "false");
    return true;
}

/* With bos: [bos, text], and [bos, text, bos, text] for pairs. */
static void add_post_processor(const QmTokenizer *t, Text *out) {
    if (!t->add_bos) {
        text_line(out, "  \"post_processor\": " BYTE_LEVEL ",\n", "false");
        return;
    }
    Text name = {0};
    python_json_text((const char *)vocab_bytes(&t->vocab, t->bos), t->vocab.piece[t->bos].bytes, &name);
    out->failed |= name.failed;
    const char *bos = name.data ? name.data : "\"\"";
    text_line(out, "  \"post_processor\": {\"type\": \"Sequence\", \"processors\": [\n    " BYTE_LEVEL ",\n", "false");
    text_line(out,
              "    {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": %s, \"type_id\": 0}}, "
              "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}],\n",
              bos);
    text_line(out, "     \"pair\": [{\"SpecialToken\": {\"id\": %s, \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", "
              "\"type_id\": 0}}, {\"SpecialToken\": {\"id\": %s, \"type_id\": 1}}, {\"Sequence\": {\"id\": \"B\", "
              "\"type_id\": 1}}],\n", bos, bos);
    text_line(out, "     \"special_tokens\": {%s: {\"id\": %s, \"ids\": [%d], \"tokens\": [%s]}}}\n  ]},\n", bos, bos,
              (int)t->bos, bos);
    text_free(&name);
}

char *tokenizer_to_json(const QmTokenizer *t, const Gguf *gguf, size_t *bytes, Err *err) {
    Text out = {0};
    text_line(&out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    add_added(t, gguf, &out);
    text_line(&out, "  \"normalizer\": %s,\n", t->nfc ? "{\"type\": \"NFC\"}" : "null");
    bool ok = add_pre_tokenizer(&t->splitter, &out, err);
    add_post_processor(t, &out);
    text_line(&out, "  \"decoder\": " BYTE_LEVEL ",\n", "false");
    text_line(&out, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
              "    \"continuing_subword_prefix\": \"\",\n    \"end_of_word_suffix\": \"\",\n    \"fuse_unk\": false,\n"
              "    \"byte_fallback\": false,\n    \"ignore_merges\": %s,\n", t->vocab.whole_words ? "true" : "false");
    add_vocab(t, gguf, &out);
    add_merges(gguf, &out);
    text_line(&out, "  }\n}\n");
    if (ok && text_ok(&out, "tokenizer.json", err)) {
        *bytes = out.bytes;
        return out.data;
    }
    text_free(&out);
    return NULL;
}

/* ---- tokenizer_config.json --------------------------------------------------------------------------------------- */

/* The template; with another for tools, a list of both. */
static json_t *template_json(const Gguf *gguf, Err *err) {
    GgufText usual = {0}, tools = {0};
    if (gguf_find(gguf, "tokenizer.chat_template") && !gguf_text(gguf, "tokenizer.chat_template", &usual, err))
        return NULL;
    if (gguf_find(gguf, "tokenizer.chat_template.tool_use") &&
        !gguf_text(gguf, "tokenizer.chat_template.tool_use", &tools, err))
        return NULL;
    json_t *one = usual.data ? json_stringn(usual.data, usual.bytes) : json_null(), *out = one;
    if (tools.data)
        out = json_pack("[{s:s, s:o}, {s:s, s:o}]", "name", "default", "template", one, "name", "tool_use", "template",
                        json_stringn(tools.data, tools.bytes));
    if (!out) err_set(err, "tokenizer.chat_template: expected UTF-8");
    return out;
}

json_t *tokenizer_config_to_json(const QmTokenizer *t, const Gguf *gguf, int64_t max_length, Err *err) {
    static const char *const names[] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    json_t *chat = template_json(gguf, err);
    json_t *root =
        chat ? json_pack("{s:b, s:b}", "add_prefix_space", false, "clean_up_tokenization_spaces", false) : NULL;
    bool ok = root != NULL;
    for (int i = 0; ok && i < 4; i++) {
        json_t *token = json_object_get(t->chat.tokens, names[i]);
        int32_t id = token ? tokenizer_id(t, json_string_value(token), json_string_length(token)) : -1;
        bool added = id >= 0 && t->vocab.piece[id].added; /* any other text would become a token of its own */
        ok = json_object_set(root, names[i], added ? token : json_null()) == 0;
    }
    ok = ok && (json_is_null(chat) || json_object_set(root, "chat_template", chat) == 0) &&
         json_object_set_new(root, "model_max_length", json_integer(max_length)) == 0 &&
         json_object_set_new(root, "tokenizer_class", json_string("PreTrainedTokenizerFast")) == 0;
    json_decref(chat);
    if (ok) return root;
    json_decref(root);
    if (!err->kind) err_as(err, QM_MEMORY, "out of memory: tokenizer_config.json");
    return NULL;
}
