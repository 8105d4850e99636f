/* answer_parts.c: see answer_parts.h. Source: OpenAI's OpenAPI document 2.3.0. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../text/unicode.h"
#include "answer_parts.h"

json_t *answer_head(const ChatRun *run, const char *object, json_t *choices) {
    if (!choices) return NULL;
    return json_pack("{s:s,s:s,s:I,s:s,s:s?,s:o}", "id", run->id, "object", object, "created", (json_int_t)run->created,
                     "model", run->model, "system_fingerprint", atomic_load(&run->call->server->fingerprint), "choices",
                     choices);
}

bool answer_seed(const ChatRun *run, json_t *out) {
    return json_object_set_new(out, "qwenmesh", json_pack("{s:I}", "seed", (json_int_t)run->seed)) == 0;
}

json_t *usage_json(const ChatRun *run) {
    ChatUsage u = chat_run_usage(run);
    return json_pack("{s:I,s:I,s:I,s:{s:I}}", "prompt_tokens", (json_int_t)u.prompt, "completion_tokens",
                     (json_int_t)u.generated, "total_tokens", (json_int_t)(u.prompt + u.generated),
                     "prompt_tokens_details", "cached_tokens", (json_int_t)u.cached);
}

bool chunk_usage(const ChatRun *run, json_t *chunk) {
    if (run->request.continuous_usage) return json_object_set_new(chunk, "usage", usage_json(run)) == 0;
    return !run->request.include_usage || json_object_set_new(chunk, "usage", json_null()) == 0;
}

bool chunk_padding(const ChatRun *run, const json_t *told, json_t *chunk) {
    enum { BLOCK = 128 };
    bool tls = run->call->server->options->http.cert != NULL;
    bool unsaid = run->request.padding == PADDING_UNSAID;
    if (!run->request.stream || run->request.padding == PADDING_OFF || (unsaid && !tls)) return true;
    char letters[BLOCK + 1];
    size_t count = BLOCK - json_dumpb(told, NULL, 0, JSON_COMPACT) % BLOCK;
    random_letters(letters, count);
    return json_object_set_new(chunk, "obfuscation", json_stringn(letters, count)) == 0;
}

void stream_last(ChatRun *run, const char *object) {
    static const char done[] = "data: [DONE]\n\n";
    if (run->request.include_usage) {
        json_t *chunk = answer_head(run, object, json_array());
        if (chunk) json_object_set_new(chunk, "usage", usage_json(run));
        stream_event(run->call, NULL, chunk);
    }
    stream_add(run->call, done, sizeof done - 1);
    stream_end(run->call);
}

bool choice_proof(const ChatRun *run, int64_t choice, json_t *out) {
    const ChatChoice *c = &run->choices[choice];
    if (!run->request.proof) return true;
    json_t *o = json_pack("{s:I,s:I}", "seed", (json_int_t)run->seed, "sequence", (json_int_t)choice);
    if (o && *c->proof) json_object_set_new(o, "proof", json_string(c->proof));
    return json_object_set_new(out, "qwenmesh", o) == 0;
}

/* ---- Tokens ------------------------------------------------------------------------------------------------------ */

static const char *piece_of(const ChatRun *run, int32_t id, size_t *bytes) {
    bool special;
    const QmTokenizer *t = run->call->server->model.tokenizer;
    const char *piece = t && id >= 0 ? qm_tokenizer_piece(t, id, bytes, &special) : NULL;
    if (!piece) *bytes = 0;
    return piece ? piece : "";
}

json_t *token_text(const ChatRun *run, int32_t id, int64_t *characters) {
    size_t bytes;
    const char *piece = piece_of(run, id, &bytes);
    Text text = {0};
    utf8_repair((const uint8_t *)piece, bytes, &text);
    if (characters)
        for (size_t i = 0; i < text.bytes; i++) *characters += ((uint8_t)text.data[i] & 0xC0) != 0x80;
    json_t *out = text.failed ? NULL : json_stringn(text.data ? text.data : "", text.bytes);
    text_free(&text);
    return out;
}

/* What has no number in JSON gets the least that clients expect. */
static json_t *logprob_json(float logprob) {
    static const double least = -9999;
    return json_real(isfinite(logprob) ? (double)logprob : least);
}

/* {"token", "logprob", "bytes"} */
static json_t *token_json(const ChatRun *run, QmLogprob l) {
    size_t bytes;
    const char *piece = piece_of(run, l.id, &bytes);
    json_t *list = json_array();
    for (size_t i = 0; list && i < bytes; i++) json_array_append_new(list, json_integer((uint8_t)piece[i]));
    return json_pack("{s:o,s:o,s:o}", "token", token_text(run, l.id, NULL), "logprob", logprob_json(l.logprob), "bytes",
                     list);
}

json_t *chat_logprobs(const ChatRun *run, const ChatChoice *c) {
    int64_t row = 1 + run->request.top_logprobs;
    json_t *list = json_array();
    for (int64_t i = 0; list && c->logprobs && i < c->token_count; i++) {
        const QmLogprob *l = c->logprobs + i * row;
        json_t *one = token_json(run, *l), *top = json_array();
        for (int64_t k = 1; k < row && l[k].id >= 0; k++) json_array_append_new(top, token_json(run, l[k]));
        if (one) json_object_set_new(one, "top_logprobs", top);
        else json_decref(top);
        json_array_append_new(list, one);
    }
    return json_pack("{s:o,s:n}", "content", list, "refusal");
}

/* {text: logprob}: the likeliest, and the token itself. Of two tokens with one text the likelier counts. */
static json_t *top_json(const ChatRun *run, const QmLogprob *l, int64_t row) {
    json_t *out = json_object();
    for (int64_t k = 1; k <= row; k++) {
        QmLogprob one = l[k % row]; /* itself last */
        if (one.id < 0 || !out) continue;
        json_t *text = token_text(run, one.id, NULL);
        const char *name = json_string_value(text);
        const json_t *there = name ? json_object_get(out, name) : NULL;
        if (name && (!there || json_number_value(there) < (double)one.logprob))
            json_object_set_new(out, name, logprob_json(one.logprob));
        json_decref(text);
    }
    return out;
}

typedef struct Legacy { json_t *tokens, *logprobs, *top, *offsets; int64_t at; } Legacy;

static void legacy_add(const ChatRun *run, Legacy *l, int32_t id, const QmLogprob *told) {
    int64_t row = 1 + run->request.top_logprobs;
    bool any = told && told->id >= 0;
    json_array_append_new(l->offsets, json_integer(l->at));
    json_array_append_new(l->tokens, token_text(run, id, &l->at));
    json_array_append_new(l->logprobs, any ? logprob_json(told->logprob) : json_null());
    json_array_append_new(l->top, any ? top_json(run, told, row) : json_null());
}

json_t *completion_logprobs(const ChatRun *run, const ChatPrompt *p, const ChatChoice *c, int64_t *offset) {
    int64_t row = 1 + run->request.top_logprobs;
    Legacy l = {json_array(), json_array(), json_array(), json_array(), *offset};
    for (int64_t i = 0; p && i < p->count; i++)
        legacy_add(run, &l, p->ids[i], p->logprobs ? p->logprobs + i * row : NULL);
    for (int64_t i = 0; i < c->token_count; i++)
        legacy_add(run, &l, c->ids[i], c->logprobs ? c->logprobs + i * row : NULL);
    *offset = l.at;
    return json_pack("{s:o,s:o,s:o,s:o}", "tokens", l.tokens, "token_logprobs", l.logprobs, "top_logprobs", l.top,
                     "text_offset", l.offsets);
}

json_t *token_ids(const ChatChoice *c) {
    json_t *list = json_array();
    for (int64_t i = 0; list && i < c->token_count; i++) json_array_append_new(list, json_integer(c->ids[i]));
    return list;
}

static double mean_logprob(const ChatChoice *c) { return c->logprob_sum / (double)(c->tokens ? c->tokens : 1); }

void best_choices(const ChatRun *run, int64_t prompt, int64_t *out) {
    int64_t first = prompt * run->samples, n = run->request.n;
    for (int64_t i = 0; i < n; i++) out[i] = first + i;
    if (n == run->samples) return;
    int64_t taken = 0;
    for (int64_t i = 0; i < run->samples; i++) { /* insertion, the best first, earlier ones before equals */
        int64_t at = taken;
        while (at > 0 && mean_logprob(&run->choices[out[at - 1]]) < mean_logprob(&run->choices[first + i])) at--;
        if (at >= n) continue;
        int64_t last = taken < n ? taken++ : n - 1;
        memmove(out + at + 1, out + at, (size_t)(last - at) * sizeof *out);
        out[at] = first + i;
    }
}
