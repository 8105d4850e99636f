/* embedding_routes.c: POST /v1/embeddings, and Ollama's /api/embed and /api/embeddings: vectors as `embed` makes them. Source: OpenAI's OpenAPI document 2.3.0
 * (CreateEmbeddingRequest); sentence-transformers' files say how a text is pooled. */
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "../io/sentence.h"
#include "chat_run.h"
#include "embedder.h"
#include "openai_routes.h"
#include "text_rows.h"

static const double LEAST_LENGTH = 1e-12; /* of a vector that is divided by it */

typedef struct Vectors {
    TextRows rows; /* first */
    bool base64, normalize, ollama;
    bool one;      /* Ollama's older form: a prompt, and its vector  */
    bool cuts;     /* texts longer than the context are cut off      */
    const char *model;
} Vectors;

/* ---- The answer -------------------------------------------------------------------------------------------------- */

static bool normalize(float *v, int64_t columns, bool wanted) {
    double length = 0;
    for (int64_t c = 0; c < columns; c++) {
        if (!isfinite(v[c])) return false;
        length += (double)v[c] * (double)v[c];
    }
    length = sqrt(length) > LEAST_LENGTH ? sqrt(length) : LEAST_LENGTH;
    for (int64_t c = 0; wanted && c < columns; c++) v[c] = (float)((double)v[c] / length);
    return true;
}

/* Little-endian f32, as this program's processors have them. */
static json_t *base64_json(const float *v, int64_t columns) {
    size_t bytes = (size_t)columns * sizeof *v;
    unsigned char *text = malloc(bytes / 3 * 4 + 8);
    int n = text ? EVP_EncodeBlock(text, (const unsigned char *)v, (int)bytes) : 0;
    json_t *out = text ? json_stringn((char *)text, (size_t)n) : NULL;
    free(text);
    return out;
}

static json_t *vector_json(const float *v, int64_t columns) {
    json_t *list = json_array();
    for (int64_t c = 0; list && c < columns; c++) json_array_append_new(list, json_real((double)v[c]));
    return list;
}

static double since_arrival(const Call *call) { return clock_seconds() - exchange_arrived(call->exchange); }

/* Takes the vectors. */
static json_t *ollama_json(const Call *call, const char *model, json_t *vectors, int64_t tokens) {
    return json_pack("{s:s,s:o,s:I,s:I,s:I}", "model", model, "embeddings", vectors, "total_duration",
                     (json_int_t)(since_arrival(call) * 1e9), "load_duration", (json_int_t)0, "prompt_eval_count",
                     (json_int_t)tokens);
}

static void answer(TextRows *rows, EmbedWork *w) {
    Vectors *v = (Vectors *)rows;
    json_t *data = json_array();
    int64_t tokens = 0;
    for (int64_t i = 0; data && i < w->texts; i++) {
        float *vector = w->rows + i * w->columns;
        tokens += w->count[i];
        if (!normalize(vector, w->columns, v->normalize)) {
            json_decref(data);
            serve_error(
                rows->call, 500, "server_error", NULL, NULL,
                "the states of text %lld are not numbers (NaN or infinite): a damaged checkpoint, or an overflow",
                (long long)i);
            return;
        }
        json_t *numbers = v->base64 ? base64_json(vector, w->columns) : vector_json(vector, w->columns);
        json_array_append_new(data, v->ollama ? numbers
                                              : json_pack("{s:s,s:I,s:o}", "object", "embedding", "index",
                                                          (json_int_t)i, "embedding", numbers));
    }
    rows->call->facts.prompt = tokens;
    if (v->one) {
        reply_json(rows->call, 200, json_pack("{s:O}", "embedding", json_array_get(data, 0)));
        json_decref(data);
        return;
    }
    reply_json(rows->call, 200,
               v->ollama ? ollama_json(rows->call, v->model, data, tokens)
                         : json_pack("{s:s,s:o,s:s,s:{s:I,s:I}}", "object", "list", "data", data, "model", v->model,
                                     "usage", "prompt_tokens", (json_int_t)tokens, "total_tokens", (json_int_t)tokens));
}

/* ---- The request ------------------------------------------------------------------------------------------------- */

/* Prompt, text, and the token that ends texts that stand alone, cut as the folder says. */
static int64_t text_ids(const Server *s, const PromptText *p, const char *before, int32_t **ids, Err *err) {
    const QmTokenizer *t = s->model.tokenizer;
    Text whole = {0};
    if (p->ids) return prompt_text_ids(s, p, ids, err);
    if (!t) return err_set(err, "the model has no tokenizer: expected ids"), -1;
    text_add(&whole, before, strlen(before));
    text_add(&whole, p->text, p->bytes);
    int64_t n = -1, most = s->sentence.max_tokens;
    int32_t end = qm_tokenizer_end(t);
    if (text_ok(&whole, "a text", err))
        n = qm_tokenizer_encode(t, whole.data ? whole.data : "", whole.bytes, true, ids, err);
    text_free(&whole);
    if (n >= 0 && most && n > most - (end >= 0)) n = most - (end >= 0);
    return n >= 0 && end >= 0 ? text_rows_end(ids, n, end, err) : n;
}

static bool read_form(Call *call, ChatRequest *r, Vectors *v, Err *err) {
    const json_t *format = request_member(call->json, "encoding_format"),
                 *pooling = request_member(call->json, "pooling");
    int64_t size = qm_engine_info(call->server->model.engine)->hidden, dimensions = size;
    v->normalize = call->server->sentence.normalize;
    v->rows.work->mean = call->server->sentence.pooling == POOLING_MEAN;
    v->base64 = format && json_is_word(format, "base64");
    if (format && !v->base64 && !json_is_word(format, "float"))
        return request_wrong(r, err, "encoding_format", "expected float or base64");
    if (pooling && !json_is_word(pooling, "last") && !json_is_word(pooling, "mean"))
        return request_wrong(r, err, "pooling", "expected last or mean");
    if (pooling) v->rows.work->mean = json_is_word(pooling, "mean");
    if (!request_count(r, call->json, "dimensions", 1, INT32_MAX, &dimensions, err) ||
        !request_flag(r, call->json, "normalize", &v->normalize, err))
        return false;
    if (dimensions != size)
        return request_wrong(r, err, "dimensions",
                             "the model's vectors have %lld numbers: not every model's can be cut", (long long)size);
    return true;
}

static bool read_texts(Call *call, ChatRequest *r, Vectors *v, Err *err) {
    const Server *s = call->server;
    const json_t *name = request_member(call->json, "prompt_name");
    if (name && !json_is_text(name)) return request_wrong(r, err, "prompt_name", "expected a string");
    const char *before = sentence_prompt(&s->sentence, json_string_value(name), err);
    if (!before) return request_wrong(r, err, "prompt_name", "the model has no such prompt");
    for (int64_t i = 0; i < r->prompt_count; i++) {
        int64_t n = text_ids(s, &r->prompts[i], before, &v->rows.work->ids[i], err);
        int64_t context = qm_engine_info(s->model.engine)->context;
        if (v->cuts && n > context) n = context;
        if (!text_rows_take(&v->rows, r, "input", i, n, err)) return false;
    }
    return true;
}

/* Numbers of an answer are held as JSON, some 40 bytes each. */
static bool vectors_fit(ChatRequest *r, int64_t columns, Err *err) {
    enum { MOST_NUMBERS = 1 << 22 };
    return r->prompt_count <= MOST_NUMBERS / columns ||
           request_wrong(r, err, "input", "expected at most %lld texts at once, got %lld",
                         (long long)(MOST_NUMBERS / columns), (long long)r->prompt_count);
}

void embeddings(Call *call) {
    static const char *const names[] = {"input", "encoding_format", "dimensions", "pooling", "normalize", "prompt_name",
                                        "input_type", "truncate", "options", "keep_alive", "prompt", NULL};
    ChatRequest r = {0};
    Err err = {0};
    const json_t *model = request_member(call->json, "model");
    const char *served = server_base_name(call, json_is_text(model) ? json_string_value(model) : NULL);
    if (!served) return;
    if (server_adapter(call->server, served)) {
        serve_error(call, 400, "invalid_request_error", NULL, "model", "vectors are made without adapters");
        return;
    }
    if (!call->server->embedder || !embedder_columns(call->server->embedder, "states")) {
        serve_error(call, 400, "invalid_request_error", NULL, "model",
                    "the server makes no vectors: the model's head is '%s'"
                    " (a model for text makes them with serve --embeddings)",
                    qm_engine_info(call->server->model.engine)->head);
        return;
    }
    request_unknown(&r, call->json, names);
    note_unknown(call, &r);
    Vectors *v = NULL;
    bool ollama = call->route->form == FORM_OLLAMA, cuts = ollama;
    bool one = ollama && !strcmp(call->route->path, "/api/embeddings");
    const char *input = one ? "prompt" : "input";
    bool ok = request_flag(&r, call->json, "truncate", &cuts, &err) &&
              request_prompts(&r, request_member(call->json, input), input, &err) &&
              (!one || r.prompt_count == 1 || request_wrong(&r, &err, input, "expected a string")) &&
              vectors_fit(&r, qm_engine_info(call->server->model.engine)->hidden, &err) &&
              (v = (Vectors *)text_rows_new(call, sizeof *v, r.prompt_count, "states", answer, &err));
    if (v) v->model = served, v->ollama = ollama, v->one = one, v->cuts = cuts;
    ok = ok && read_form(call, &r, v, &err) && read_texts(call, &r, v, &err);
    text_rows_start(call, v ? &v->rows : NULL, ok, &err, r.wrong);
    chat_request_free(&r);
}
