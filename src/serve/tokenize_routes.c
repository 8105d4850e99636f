/* tokenize_routes.c: /tokenize, /detokenize, /apply-template and /tokenizer_info, as vLLM and llama.cpp have them: lm-eval
 * needs no tokenizer of its own then. */
#include <stdlib.h>
#include <string.h>
#include "../io/source.h"
#include "../text/tokenizer.h"
#include "../text/unicode.h"
#include "chat_run.h"
#include "openai_routes.h"

static bool has_tokenizer(Call *call) {
    if (call->server->model.tokenizer) return true;
    serve_error(call, 400, "invalid_request_error", NULL, NULL, "the model has no tokenizer");
    return false;
}

static void refuse(Call *call, ChatRequest *r, const Err *err) {
    serve_failed(call, err, *r->wrong ? r->wrong : NULL);
    chat_request_free(r);
}

/* ---- Text to ids ------------------------------------------------------------------------------------------------- */

static json_t *piece_json(const QmTokenizer *t, int32_t id) {
    size_t bytes = 0;
    bool special;
    Text text = {0};
    const char *piece = qm_tokenizer_piece(t, id, &bytes, &special);
    utf8_repair((const uint8_t *)(piece ? piece : ""), bytes, &text);
    json_t *out = json_stringn(text.data ? text.data : "", text.bytes);
    text_free(&text);
    return out;
}

static json_t *ids_json(const QmTokenizer *t, const int32_t *ids, int64_t count, bool pieces) {
    json_t *list = json_array();
    for (int64_t i = 0; list && i < count; i++)
        json_array_append_new(list, pieces ? json_pack("{s:i,s:o}", "id", ids[i], "piece", piece_json(t, ids[i]))
                                           : json_integer(ids[i]));
    return list;
}

/* vLLM's "prompt" begins as a prompt does unless it is told not to; llama.cpp's "content" only if it is told to. */
static int64_t text_ids(Call *call, ChatRequest *r, int32_t **ids, Err *err) {
    const QmTokenizer *t = call->server->model.tokenizer;
    const json_t *prompt = request_member(call->json, "prompt"), *content = request_member(call->json, "content"),
                 *text = prompt ? prompt : content;
    bool special = prompt != NULL, parse = true;
    if (!json_is_text(text)) return request_wrong(r, err, content ? "content" : "prompt", "expected a string"), -1;
    if (!request_flag(r, call->json, "add_special_tokens", &special, err) ||
        !request_flag(r, call->json, "add_special", &special, err) ||
        !request_flag(r, call->json, "parse_special", &parse, err))
        return -1;
    int64_t n = qm_tokenizer_encode(t, json_string_value(text), json_string_length(text), parse, ids, err);
    bool drop = n > 0 && t->add_bos && !special && (*ids)[0] == t->bos;
    if (drop) memmove(*ids, *ids + 1, (size_t)(n - 1) * sizeof **ids);
    return n - drop;
}

void tokenize(Call *call) {
    static const char *const names[] = {"prompt", "content", "add_special_tokens", "add_special", "parse_special",
                                        "with_pieces", "return_token_strs", "model", NULL};
    const QmTokenizer *t = call->server->model.tokenizer;
    ChatRequest r = {0};
    Err err = {0};
    int32_t *ids = NULL;
    bool pieces = false, strings = false;
    if (!has_tokenizer(call)) return;
    bool chat = request_member(call->json, "messages") != NULL, ok;
    if (chat) ok = chat_request_read(&r, call->json, &err);
    else ok = request_flag(&r, call->json, "with_pieces", &pieces, &err) &&
              request_flag(&r, call->json, "return_token_strs", &strings, &err);
    if (!chat) request_unknown(&r, call->json, names), note_unknown(call, &r);
    int64_t n = !ok ? -1 : chat ? chat_prompt_ids(call->server, &r, &ids, NULL, &err) : text_ids(call, &r, &ids, &err);
    if (n < 0) {
        refuse(call, &r, &err);
        return;
    }
    json_t *o = json_pack("{s:o,s:I,s:I}", "tokens", ids_json(t, ids, n, pieces), "count", (json_int_t)n,
                          "max_model_len", (json_int_t)qm_engine_info(call->server->model.engine)->context);
    json_t *list = o && strings ? json_array() : NULL;
    for (int64_t i = 0; list && i < n; i++) json_array_append_new(list, piece_json(t, ids[i]));
    if (list) json_object_set_new(o, "token_strs", list);
    free(ids);
    chat_request_free(&r);
    reply_json(call, 200, o);
}

/* ---- Ids to text ------------------------------------------------------------------------------------------------- */

void detokenize(Call *call) {
    Err err = {0};
    const json_t *tokens = json_object_get(call->json, "tokens"), *id;
    size_t i, count = json_array_size(tokens), bytes = 0;
    if (!has_tokenizer(call)) return;
    int32_t *ids = json_is_array(tokens) ? mem_new(count ? count : 1, sizeof *ids, "ids", &err) : NULL;
    if (!json_is_array(tokens)) err_set(&err, "tokens: expected a list of ids");
    else if (ids) json_array_foreach(tokens, i, id) {
        int64_t v = json_integer_value(id);
        if (!json_is_integer(id) || v < 0 || v >= qm_tokenizer_vocab(call->server->model.tokenizer))
            err_set(&err, "tokens[%zu]: expected an id below %d", i, qm_tokenizer_vocab(call->server->model.tokenizer));
        ids[i] = (int32_t)v;
    }
    char *text =
        err.kind ? NULL : qm_tokenizer_decode(call->server->model.tokenizer, ids, (int64_t)count, false, &bytes, &err);
    if (text) reply_json(call, 200, json_pack("{s:s%,s:s%}", "prompt", text, bytes, "content", text, bytes));
    else serve_failed(call, &err, "tokens");
    free(text);
    free(ids);
}

/* ---- Templates --------------------------------------------------------------------------------------------------- */

void apply_template(Call *call) {
    ChatRequest r;
    Err err = {0};
    int32_t *ids = NULL;
    char *text = NULL;
    if (!has_tokenizer(call)) return;
    if (!chat_request_read(&r, call->json, &err) || chat_prompt_ids(call->server, &r, &ids, &text, &err) < 0) {
        refuse(call, &r, &err);
        return;
    }
    reply_json(call, 200, json_pack("{s:s}", "prompt", text));
    free(ids);
    free(text);
    chat_request_free(&r);
}

json_t *template_json(QmSource *source, Err *err) {
    enum { MOST = 1 << 20 };
    SourceText file = {0};
    const json_t *config = NULL, *value;
    const Gguf *gguf = NULL;
    const char *where;
    GgufText text = {0};
    json_t *out = NULL;
    if (source_text(source, "chat_template.jinja", MOST, &file, err) && file.data)
        out = json_stringn(file.data, file.bytes);
    source_text_free(&file);
    if (out || err->kind) return out;
    if (source_json(source, "tokenizer_config.json", &config, &where, err) &&
        (value = json_object_get(config, "chat_template")))
        return json_incref((json_t *)(uintptr_t)value);
    if (!err->kind && source_gguf(source, &gguf, err) && gguf && gguf_find(gguf, "tokenizer.chat_template") &&
        gguf_text(gguf, "tokenizer.chat_template", &text, err))
        return json_stringn(text.data, text.bytes);
    return json_null();
}

void tokenizer_info(Call *call) {
    static const char *const names[] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    const ServerModel *m = &call->server->model;
    Err err = {0};
    if (!has_tokenizer(call)) return;
    json_t *o = json_pack("{s:s,s:I,s:I,s:b}", "tokenizer_class", "PreTrainedTokenizerFast", "model_max_length",
                          (json_int_t)qm_engine_info(m->engine)->context, "vocab_size",
                          (json_int_t)qm_tokenizer_vocab(m->tokenizer), "add_bos_token", m->tokenizer->add_bos);
    for (int i = 0; o && i < 4; i++) {
        json_t *token = json_object_get(m->tokenizer->chat.tokens, names[i]);
        json_object_set_new(o, names[i], token ? json_incref(token) : json_null());
    }
    int32_t eos = qm_tokenizer_eos(m->tokenizer);
    if (o && eos >= 0) json_object_set_new(o, "eos_token", piece_json(m->tokenizer, eos));
    if (o) json_object_set_new(o, "chat_template", template_json(m->source, &err));
    reply_json(call, 200, o);
}
