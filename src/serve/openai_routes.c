/* openai_routes.c: OpenAI's routes for text and models, and the table of all that are spoken of in its words. */
#include <stdlib.h>
#include <string.h>
#include "openai_forms.h"
#include "openai_routes.h"
#include "routes.h"

/* ---- Text -------------------------------------------------------------------------------------------------------- */

static bool generates(Call *call) {
    if (call->server->model.generator) return true;
    serve_error(call, 400, "invalid_request_error", NULL, "model", "the model has no head for text: its head is '%s'",
                qm_engine_info(call->server->model.engine)->head);
    return false;
}

static void answer_text(Call *call, bool (*read)(ChatRequest *, const json_t *, Err *), const ChatForm *form) {
    ChatRequest r;
    Err err = {0};
    if (!generates(call)) return;
    if (read(&r, call->json, &err)) {
        note_unknown(call, &r);
        chat_run_start(call, &r, form, NULL);
        return;
    }
    serve_failed(call, &err, *r.wrong ? r.wrong : NULL);
    chat_request_free(&r);
}

static void chat_completions(Call *call) { answer_text(call, chat_request_read, &openai_chat_form); }
static void completions(Call *call) { answer_text(call, completion_request_read, &openai_completion_form); }

/* ---- Models ------------------------------------------------------------------------------------------------------ */

static json_t *model_json(const Server *s, const char *name) {
    const QmModelInfo *i = qm_engine_info(s->model.engine);
    char since[UTC_BYTES];
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:s,s:I,s:{s:I,s:I,s:I,s:I,s:I}}", "id", name, "object", "model", "type",
                     "model", "display_name", name, "created_at", utc_text(s->started, since), "created",
                     (json_int_t)s->started, "owned_by", "qwenmesh", "max_model_len", (json_int_t)i->context, "meta",
                     "n_ctx_train", (json_int_t)i->max_positions, "n_vocab", (json_int_t)i->vocab, "n_embd",
                     (json_int_t)i->hidden, "n_params", (json_int_t)i->parameters, "size", (json_int_t)i->weight_bytes);
}

/* "models" beside "data": Codex and clients of Ollama look there. Anthropic's list has the other members. */
static void models(Call *call) {
    const Server *s = call->server;
    json_t *data = json_array(), *names = json_array();
    for (int i = 0; data && names && i < s->options->names; i++) {
        const char *name = s->options->name[i];
        json_array_append_new(data, model_json(s, name));
        json_array_append_new(names, json_pack("{s:s,s:s,s:s}", "name", name, "model", name, "slug", name));
    }
    const char *adapter;
    for (int i = 0; data && (adapter = qm_engine_adapter(s->model.engine, i)); i++) {
        json_t *one = model_json(s, adapter);
        if (one) json_object_set_new(one, "parent", json_string(server_name(s)));
        json_array_append_new(data, one);
    }
    json_t *last = json_object_get(json_array_get(data, json_array_size(data) - 1), "id");
    reply_json(call, 200,
               json_pack("{s:s,s:b,s:s,s:O,s:o,s:o}", "object", "list", "has_more", 0, "first_id", server_name(s),
                         "last_id", last, "data", data, "models", names));
}

static void model(Call *call) {
    const Server *s = call->server;
    const char *name = server_model_name(call, call->rest);
    if (name) reply_json(call, 200, model_json(s, s->options->any_name ? call->rest : name));
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

#define POST(at, about, how) {.method = "POST", .path = at, .what = about, .handle = how}
#define GET(at, about, how) {.method = "GET", .path = at, .what = about, .handle = how}

const Route openai_routes[] = {
    POST("/v1/chat/completions", "an answer to messages, streamed if wanted", chat_completions),
    POST("/chat/completions", "the same", chat_completions),
    POST("/v1/completions", "what follows prompts; log-probabilities of prompts with echo", completions),
    POST("/completions", "the same", completions),
    POST("/v1/embeddings", "vectors of texts", embeddings),
    POST("/embeddings", "the same", embeddings),
    POST("/v1/rerank", "documents by their relevance to a query", rerank),
    POST("/rerank", "the same", rerank),
    POST("/v1/score", "scores of pairs of texts", score),
    POST("/score", "the same", score),
    GET("/v1/models", "the names that the model has here", models),
    GET("/models", "the same", models),
    GET("/v1/models/*", "one of them", model),
    POST("/tokenize", "ids of a text or of messages", tokenize),
    POST("/detokenize", "the text of ids", detokenize),
    POST("/apply-template", "messages as the model sees them", apply_template),
    GET("/tokenizer_info", "special tokens and the chat template", tokenizer_info),
    {0},
};
