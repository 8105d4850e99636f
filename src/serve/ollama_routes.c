/* ollama_routes.c: Ollama's routes: the two that generate, and what its clients ask of a server before. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "embedder.h"
#include "protocol_form.h"
#include "protocol_request.h"
#include "openai_routes.h"
#include "routes.h"
#include "tool_prompt.h"

/* The version of Ollama whose API this is: its clients compare it. */
static const char api_version[] = "0.13.0";

/* ---- Generating -------------------------------------------------------------------------------------------------- */

/* Without a prompt a request asks only for the model to be loaded, which it is. */
static void loaded(Call *call, const ChatRequest *r, bool chat) {
    const char *name = server_model_name(call, r->model[0] ? r->model : NULL);
    const json_t *keep = json_object_get(call->json, "keep_alive");
    char now[UTC_BYTES];
    if (!name) return;
    json_t *o = json_pack("{s:s, s:s, s:b, s:s}", "model", name, "created_at", utc_now(6, now), "done", 1,
                          "done_reason", json_is_integer(keep) && json_integer_value(keep) == 0 ? "unload" : "load");
    if (chat) json_object_set_new(o, "message", json_pack("{s:s, s:s}", "role", "assistant", "content", ""));
    else json_object_set_new(o, "response", json_string(""));
    reply_json(call, 200, o);
}

static void generate(Call *call, bool chat) {
    ChatRequest r;
    Err err = {0};
    bool ok = (chat ? ollama_chat_read : ollama_generate_read)(&r, call->json, &err);
    bool empty = ok && !json_array_size(r.messages) && !r.prompt_count;
    void *state = ok && !empty ? ollama_state() : NULL;
    if (ok) note_unknown(call, &r);
    if (empty) loaded(call, &r, chat);
    else if (state) chat_run_start(call, &r, chat ? &ollama_chat_form : &ollama_generate_form, state);
    else {
        if (!err.kind) request_memory(&err);
        serve_failed(call, &err, r.wrong);
    }
    chat_request_free(&r);
}

static void chat(Call *call) { generate(call, true); }
static void prompt(Call *call) { generate(call, false); }

/* ---- The model --------------------------------------------------------------------------------------------------- */

/* It stands for the model as opened here; not a digest of its files. */
static void id_of(const Server *s, const QmModelInfo *i, char out[65]) {
    char text[512];
    uint8_t hash[32] = {0};
    int n = snprintf(text, sizeof text, "%s %s %lld %lld %s", server_name(s), i->architecture, (long long)i->parameters,
                     (long long)i->weight_bytes, i->weight_type);
    EVP_Digest(text, n > 0 && n < (int)sizeof text ? (size_t)n : 0, hash, NULL, EVP_sha256(), NULL);
    for (int k = 0; k < 32; k++) snprintf(out + 2 * k, 3, "%02x", hash[k]);
}

static json_t *details(const QmModelInfo *i) {
    char size[32];
    if (i->parameters >= 1000000000) snprintf(size, sizeof size, "%.1fB", (double)i->parameters / 1e9);
    else snprintf(size, sizeof size, "%.2fM", (double)i->parameters / 1e6);
    return json_pack("{s:s, s:s, s:s, s:[s], s:s, s:s}", "parent_model", "", "format", "gguf", "family",
                     i->architecture, "families", i->architecture, "parameter_size", size, "quantization_level",
                     i->weight_type);
}

static json_t *model_row(const Call *call) {
    const Server *s = call->server;
    const QmModelInfo *i = qm_engine_info(s->model.engine);
    char now[UTC_BYTES], id[65], name[320];
    snprintf(name, sizeof name, "%.256s%s", server_name(s), strchr(server_name(s), ':') ? "" : ":latest");
    id_of(s, i, id);
    return json_pack("{s:s, s:s, s:s, s:I, s:s, s:o}", "name", name, "model", name, "modified_at", utc_now(6, now),
                     "size", (json_int_t)i->weight_bytes, "digest", id, "details", details(i));
}

static void tags(Call *call) { reply_json(call, 200, json_pack("{s:[o]}", "models", model_row(call))); }

static void running(Call *call) {
    json_t *row = model_row(call);
    if (row) {
        json_object_set_new(row, "expires_at", json_string("2318-03-01T00:00:00Z")); /* it stays */
        json_object_set_new(row, "size_vram", json_integer(0));
        json_object_set_new(row, "context_length", json_integer(qm_engine_info(call->server->model.engine)->context));
    }
    reply_json(call, 200, json_pack("{s:[o]}", "models", row));
}

static void version(Call *call) { reply_json(call, 200, json_pack("{s:s}", "version", api_version)); }

static void put_number(json_t *info, const char *architecture, const char *name, int64_t value) {
    char key[96];
    snprintf(key, sizeof key, "%s.%s", architecture, name);
    json_object_set_new(info, key, json_integer(value));
}

static json_t *model_info(const QmModelInfo *i) {
    json_t *o = json_pack("{s:s, s:I}", "general.architecture", i->architecture, "general.parameter_count",
                          (json_int_t)i->parameters);
    if (!o) return NULL;
    put_number(o, i->architecture, "context_length", i->context);
    put_number(o, i->architecture, "embedding_length", i->hidden);
    put_number(o, i->architecture, "block_count", i->layers);
    put_number(o, i->architecture, "feed_forward_length", i->ffn);
    put_number(o, i->architecture, "attention.head_count", i->heads);
    put_number(o, i->architecture, "attention.head_count_kv", i->kv_heads);
    put_number(o, i->architecture, "vocab_size", i->vocab);
    return o;
}

static json_t *capabilities(const Server *s) {
    json_t *list = json_array();
    const QmTokenizer *t = s->model.tokenizer;
    if (s->model.generator && t) json_array_append_new(list, json_string("completion"));
    if (s->model.generator && t && tool_form(t, NULL) != TOOL_FORM_OTHER)
        json_array_append_new(list, json_string("tools"));
    if (s->model.generator && t && qm_tokenizer_id(t, "<think>") >= 0)
        json_array_append_new(list, json_string("thinking"));
    if (s->embedder && embedder_columns(s->embedder, "states")) json_array_append_new(list, json_string("embedding"));
    return list;
}

static void show(Call *call) {
    Err err = {0};
    char now[UTC_BYTES];
    const json_t *name = json_object_get(call->json, "model");
    if (!name) name = json_object_get(call->json, "name");
    if (!json_is_text(name)) {
        serve_error(call, 400, "invalid_request_error", NULL, "model", "model: expected a name");
        return;
    }
    if (!server_model_name(call, json_string_value(name))) return;
    const QmModelInfo *i = qm_engine_info(call->server->model.engine);
    char *text = qm_parameters_text(call->server->model.parameters, &err);
    json_t *template = template_json(call->server->model.source, &err);
    const char *shown = json_string_value(template); /* a list of named templates has no place here */
    reply_json(call, 200,
               json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:s}", "modelfile", "", "license", "", "template",
                         shown ? shown : "", "parameters", text ? text : "", "details", details(i), "model_info",
                         model_info(i), "capabilities", capabilities(call->server), "modified_at", utc_now(6, now)));
    json_decref(template);
    free(text);
}

const Route ollama_routes[] = {
    {"POST", "/api/chat", "Ollama's chat: text, tools, thinking, lines", chat, FORM_OLLAMA, false, false, 0},
    {"POST", "/api/generate", "Ollama's answer to a prompt", prompt, FORM_OLLAMA, false, false, 0},
    {"POST", "/api/embed", "vectors of texts, as Ollama asks for them", embeddings, FORM_OLLAMA, false, false, 0},
    {"POST", "/api/embeddings", "the vector of a prompt, in Ollama's older form", embeddings, FORM_OLLAMA, false, false,
     0},
    {"GET", "/api/tags", "the model, as Ollama lists it", tags, FORM_OLLAMA, false, false, 0},
    {"GET", "/api/ps", "the model, as Ollama lists those that run", running, FORM_OLLAMA, false, false, 0},
    {"POST", "/api/show", "sizes and abilities of the model", show, FORM_OLLAMA, false, false, 0},
    {"GET", "/api/version", "the version of Ollama whose API this is", version, FORM_OLLAMA, false, true, 0},
    {NULL, NULL, NULL, NULL, FORM_OLLAMA, false, false, 0},
};
