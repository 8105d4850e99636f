/* completion_answer.c: answers of POST /v1/completions: whole, and as chunks; choices prompt by prompt. */
#include <stdlib.h>
#include "answer_parts.h"
#include "openai_forms.h"

static const char object[] = "text_completion";

/* The prompt as `echo` gives it back: a text as it came, ids decoded. */
static bool echo_text(const ChatRun *run, int64_t prompt, Text *out) {
    const PromptText *p = &run->request.prompts[prompt];
    Err err = {0};
    if (!run->request.echo) return true;
    if (p->text) return text_add(out, p->text, p->bytes), !out->failed;
    size_t bytes;
    const ChatPrompt *ids = &run->prompts[prompt];
    char *text = qm_tokenizer_decode(run->call->server->model.tokenizer, ids->ids, ids->count, false, &bytes, &err);
    if (text) text_add(out, text, bytes);
    free(text);
    return text && !out->failed;
}

/* Takes `text`. With the log-probabilities of tokens that were not told. */
static json_t *choice_json(ChatRun *run, int64_t choice, int64_t index, const ChatPrompt *echoed, json_t *text,
                           const char *finish) {
    ChatChoice *c = &run->choices[choice];
    json_t *logprobs = run->request.logprobs ? completion_logprobs(run, echoed, c, &c->characters) : json_null();
    json_t *one = json_pack("{s:I,s:o,s:o,s:s?}", "index", (json_int_t)index, "text", text, "logprobs", logprobs,
                            "finish_reason", finish);
    if (one && run->request.token_ids) json_object_set_new(one, "token_ids", token_ids(c));
    if (one && finish) choice_proof(run, choice, one);
    return one;
}

/* ---- Chunks ------------------------------------------------------------------------------------------------------ */

static void chunk(ChatRun *run, int64_t choice, const char *text, size_t bytes, const char *finish) {
    json_t *one = choice_json(run, choice, choice, NULL, json_stringn(text, bytes), finish);
    json_t *o = one ? answer_head(run, object, json_pack("[o]", one)) : NULL;
    if (o && finish) answer_seed(run, o);
    if (o) chunk_usage(run, o), chunk_padding(run, one, o);
    chat_choice_told(&run->choices[choice]);
    stream_event(run->call, NULL, o);
}

/* Choices appear in their order here, too. */
static void on_begin(ChatRun *run) {
    for (int64_t i = 0; i < run->choice_count; i++) {
        Text text = {0};
        if (!run->request.echo && run->choice_count == 1) break; /* one choice's first text is its beginning */
        if (echo_text(run, i / run->samples, &text)) chunk(run, i, text.data ? text.data : "", text.bytes, NULL);
        text_free(&text);
    }
}

static void on_event(ChatRun *run, int64_t choice, const ToolEvent *e) {
    if (e->kind == TOOL_CONTENT) chunk(run, choice, e->text, e->bytes, NULL);
}

static void on_done(ChatRun *run, int64_t choice) { chunk(run, choice, "", 0, run->choices[choice].finish); }

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static json_t *whole_choice(ChatRun *run, int64_t prompt, int64_t choice, int64_t index) {
    const ChatChoice *c = &run->choices[choice];
    Text text = {0};
    bool ok = echo_text(run, prompt, &text);
    if (c->content.data) text_add(&text, c->content.data, c->content.bytes);
    json_t *o = ok && !text.failed ? choice_json(run, choice, index, run->request.echo ? &run->prompts[prompt] : NULL,
                                                 json_stringn(text.data ? text.data : "", text.bytes), c->finish)
                                   : NULL;
    text_free(&text);
    return o;
}

static void on_end(ChatRun *run) {
    if (run->request.stream) {
        stream_last(run, object);
        return;
    }
    json_t *choices = json_array();
    int64_t best[MAX_CHOICES], n = run->request.n;
    for (int64_t p = 0; choices && p < run->prompt_count; p++) {
        best_choices(run, p, best);
        for (int64_t i = 0; i < n; i++) json_array_append_new(choices, whole_choice(run, p, best[i], p * n + i));
    }
    if (choices && json_array_size(choices) != (size_t)(run->prompt_count * n)) json_decref(choices), choices = NULL;
    json_t *o = answer_head(run, object, choices);
    if (o) answer_seed(run, o), json_object_set_new(o, "usage", usage_json(run));
    reply_json(run->call, 200, o);
}

const ChatForm openai_completion_form = {.prefix = "cmpl-", .stream_type = "text/event-stream", .ping = ": ping\n\n",
                                         .begin = on_begin, .event = on_event, .done = on_done, .end = on_end};
