/* rerank_routes.c: /v1/rerank and /v1/score, of models whose head gives one number for a pair of texts: the ids of
 * both, one after the other, and the sigmoid of that number. Forms as Jina, Cohere and vLLM have them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "chat_run.h"
#include "embedder.h"
#include "openai_routes.h"
#include "text_rows.h"

typedef struct Pairs {
    TextRows rows; /* first */
    json_t *documents; /* of rerank, where they are told; else NULL */
    bool ranks;
    int64_t most;      /* results                                  */
    const char *model;
    double *score;     /* [texts] */
} Pairs;

/* ---- The answer -------------------------------------------------------------------------------------------------- */

static bool scores_of(Pairs *p, const EmbedWork *w) {
    Err err = {0};
    if (!(p->score = mem_new((size_t)w->texts, sizeof *p->score, "scores", &err))) return false;
    for (int64_t i = 0; i < w->texts; i++) p->score[i] = 1 / (1 + exp(-(double)w->rows[i * w->columns]));
    return true;
}

/* The best that is not told yet, earlier ones first; told ones are below 0. */
static int64_t best_of(const Pairs *p, int64_t count) {
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (p->score[i] > p->score[best]) best = i;
    return best;
}

static json_t *ranked(Pairs *p, int64_t count) {
    json_t *list = json_array();
    for (int64_t k = 0; list && k < p->most && k < count; k++) {
        int64_t i = best_of(p, count);
        json_t *one = json_pack("{s:I,s:f}", "index", (json_int_t)i, "relevance_score", p->score[i]);
        if (one && p->documents)
            json_object_set_new(one, "document", json_pack("{s:O}", "text", json_array_get(p->documents, (size_t)i)));
        json_array_append_new(list, one);
        p->score[i] = -1;
    }
    return list;
}

static json_t *listed(const Pairs *p, int64_t count) {
    json_t *list = json_array();
    for (int64_t i = 0; list && i < count; i++)
        json_array_append_new(
            list, json_pack("{s:I,s:s,s:f}", "index", (json_int_t)i, "object", "score", "score", p->score[i]));
    return list;
}

static void answer(TextRows *rows, EmbedWork *w) {
    Pairs *p = (Pairs *)rows;
    char id[NEW_ID_BYTES];
    int64_t tokens = 0;
    bool sound = true, ok = scores_of(p, w);
    for (int64_t i = 0; i < w->texts; i++) tokens += w->count[i], sound = sound && isfinite(w->rows[i * w->columns]);
    rows->call->facts.prompt = tokens;
    if (!sound) {
        serve_error(rows->call, 500, "server_error", NULL, NULL, "a score is not a number: a damaged checkpoint, or an "
                                                                 "overflow");
    } else {
        json_t *list = !ok ? NULL : p->ranks ? ranked(p, w->texts) : listed(p, w->texts);
        new_id(p->ranks ? "rerank-" : "score-", id);
        reply_json(rows->call, 200,
                   json_pack("{s:s,s:s,s:I,s:s,s:o,s:{s:I,s:I}}", "id", id, "object", "list", "created",
                             (json_int_t)wall_seconds(), "model", p->model, p->ranks ? "results" : "data", list,
                             "usage", "prompt_tokens", (json_int_t)tokens, "total_tokens", (json_int_t)tokens));
    }
    free(p->score);
    json_decref(p->documents);
    p->score = NULL;
    p->documents = NULL;
}

/* ---- The request ------------------------------------------------------------------------------------------------- */

/* A text, or an object with one. */
static const json_t *text_of(const json_t *value) {
    const json_t *text = json_is_object(value) ? json_object_get(value, "text") : value;
    return json_is_text(text) ? text : NULL;
}

static const json_t *at(const json_t *list, size_t i) {
    return json_is_array(list) ? text_of(json_array_get(list, json_array_size(list) == 1 ? 0 : i)) : text_of(list);
}

/* The ids of two texts, one after the other, ended as texts are. */
static int64_t pair_ids(const Server *s, const json_t *a, const json_t *b, int32_t **ids, Err *err) {
    const QmTokenizer *t = s->model.tokenizer;
    int32_t *more = NULL, end = qm_tokenizer_end(t);
    int64_t n = qm_tokenizer_encode(t, json_string_value(a), json_string_length(a), true, ids, err);
    int64_t m = n < 0 ? -1 : qm_tokenizer_encode(t, json_string_value(b), json_string_length(b), true, &more, err);
    int32_t *both = m < 0 ? NULL : realloc(*ids, (size_t)(n + m + 1) * sizeof *both);
    if (m >= 0 && !both) request_memory(err);
    if (both) {
        if (m) memcpy(both + n, more, (size_t)m * sizeof *both);
        *ids = both;
    }
    free(more);
    if (!both) return -1;
    return end >= 0 ? text_rows_end(ids, n + m, end, err) : n + m;
}

static bool scores_pairs(Call *call) {
    const QmModelInfo *i = qm_engine_info(call->server->model.engine);
    bool fits = !strcmp(i->head, "sequence") && i->labels == 1 && call->server->model.tokenizer;
    if (!fits)
        serve_error(
            call, 400, "invalid_request_error", NULL, "model",
            "the model does not score pairs of texts: its head is '%s' with %lld labels, expected 'sequence' with one",
            i->head, (long long)i->labels);
    return fits;
}

static Pairs *read_pairs(Call *call, ChatRequest *r, const char *left, const char *right, Err *err) {
    const json_t *a = request_member(call->json, left), *b = request_member(call->json, right);
    size_t many = json_is_array(b) ? json_array_size(b) : 1, first = json_is_array(a) ? json_array_size(a) : 1;
    if (!a || (first != 1 && first != many))
        return request_wrong(r, err, left, "expected a text, or as many as the others"), NULL;
    if (!b || many < 1 || many > MAX_PROMPTS)
        return request_wrong(r, err, right, "expected a text, or a list of 1 to %d", MAX_PROMPTS), NULL;
    Pairs *p = (Pairs *)text_rows_new(call, sizeof *p, (int64_t)many, "logits", answer, err);
    for (size_t i = 0; p && i < many && !err->kind; i++) {
        const json_t *x = at(a, i), *y = at(b, i);
        if (!x) request_wrong(r, err, left, "expected texts");
        else if (!y) request_wrong(r, err, right, "expected texts");
        else text_rows_take(&p->rows, r, right, (int64_t)i,
                            pair_ids(call->server, x, y, &p->rows.work->ids[i], err), err);
    }
    return p;
}

static json_t *texts_of(const json_t *list) {
    json_t *out = json_array();
    for (size_t i = 0; out && i < json_array_size(list); i++)
        json_array_append(out, (json_t *)(uintptr_t)text_of(json_array_get(list, i)));
    return out;
}

static void run(Call *call, bool ranks, const char *left, const char *right) {
    static const char *const names[] = {"query",   "documents", "top_n", "return_documents", "text_1", "text_2",
                                        "queries", "model",     NULL};
    ChatRequest r = {0};
    Err err = {0};
    const json_t *model = request_member(call->json, "model");
    const char *served = server_base_name(call, json_is_text(model) ? json_string_value(model) : NULL);
    int64_t most = MAX_PROMPTS;
    bool told = true;
    if (!served || !scores_pairs(call)) return;
    request_unknown(&r, call->json, names);
    note_unknown(call, &r);
    Pairs *p = read_pairs(call, &r, left, right, &err);
    bool ok = p && !err.kind && request_count(&r, call->json, "top_n", 1, INT32_MAX, &most, &err) &&
              request_flag(&r, call->json, "return_documents", &told, &err);
    if (ok && ranks && !json_is_array(json_object_get(call->json, right)))
        ok = request_wrong(&r, &err, right, "expected a list of texts");
    if (ok) {
        p->ranks = ranks;
        p->most = most;
        p->model = served;
        p->documents = ranks && told ? texts_of(json_object_get(call->json, right)) : NULL;
    }
    text_rows_start(call, p ? &p->rows : NULL, ok, &err, r.wrong);
    chat_request_free(&r);
}

void rerank(Call *call) { run(call, true, "query", "documents"); }

void score(Call *call) {
    bool texts = json_object_get(call->json, "text_1") != NULL;
    run(call, false, texts ? "text_1" : "queries", texts ? "text_2" : "documents");
}
