/* chat_answer.c: answers of POST /v1/chat/completions: whole, and as chunks. The first chunks of all choices come in
 * their order, before anything else: OpenAI's own client puts later ones at the wrong place otherwise. */
#include "answer_parts.h"
#include "openai_forms.h"

static const char whole[] = "chat.completion", piece[] = "chat.completion.chunk";

/* ---- Chunks ------------------------------------------------------------------------------------------------------ */

/* Takes `delta`. With the log-probabilities of tokens that no chunk has told. */
static void chunk(ChatRun *run, int64_t choice, json_t *delta, const char *finish) {
    ChatChoice *c = &run->choices[choice];
    bool tell = c->token_count > 0 && (run->request.logprobs || run->request.token_ids);
    json_t *one =
        json_pack("{s:I,s:o,s:o*,s:s?}", "index", (json_int_t)choice, "delta", delta, "logprobs",
                  tell && run->request.logprobs ? chat_logprobs(run, c) : json_null(), "finish_reason", finish);
    if (one && tell && run->request.token_ids) json_object_set_new(one, "token_ids", token_ids(c));
    if (one && finish) choice_proof(run, choice, one);
    json_t *o = one ? answer_head(run, piece, json_pack("[o]", one)) : NULL;
    if (o && finish) answer_seed(run, o);
    if (o) chunk_usage(run, o), chunk_padding(run, one, o);
    chat_choice_told(c);
    stream_event(run->call, NULL, o);
}

static void on_begin(ChatRun *run) {
    for (int64_t i = 0; i < run->choice_count; i++)
        chunk(run, i, json_pack("{s:s,s:s}", "role", "assistant", "content", ""), NULL);
}

static json_t *call_delta(const ChatRun *run, const ChatCall *call, const ToolEvent *e) {
    bool begin = e->kind == TOOL_BEGIN;
    const char *text = begin ? "" : e->text;
    size_t bytes = begin ? 0 : e->bytes;
    json_t *function = json_pack("{s:s%}", "arguments", text, bytes);
    if (begin && function) json_object_set_new(function, "name", json_string(call->name));
    if (run->request.functions) return json_pack("{s:o}", "function_call", function);
    if (!begin) return json_pack("{s:[{s:i,s:o}]}", "tool_calls", "index", e->call, "function", function);
    return json_pack("{s:[{s:i,s:s,s:s,s:o}]}", "tool_calls", "index", e->call, "id", call->id, "type", "function",
                     "function", function);
}

static void on_event(ChatRun *run, int64_t choice, const ToolEvent *e) {
    const ChatChoice *c = &run->choices[choice];
    switch (e->kind) {
    case TOOL_CONTENT: chunk(run, choice, json_pack("{s:s%}", "content", e->text, e->bytes), NULL); break;
    case TOOL_REASONING: chunk(run, choice, json_pack("{s:s%}", "reasoning_content", e->text, e->bytes), NULL); break;
    case TOOL_BEGIN:
    case TOOL_ARGUMENTS:
        if (e->call < c->call_count) chunk(run, choice, call_delta(run, &c->calls[e->call], e), NULL);
        break;
    case TOOL_END: break;
    }
}

/* In the older form of tools a call is a function's. */
static const char *finish_word(const ChatRun *run, const ChatChoice *c) {
    bool calls = c->call_count && run->request.functions && c->finish[0] == 't';
    return calls ? "function_call" : c->finish;
}

static void on_done(ChatRun *run, int64_t choice) {
    chunk(run, choice, json_object(), finish_word(run, &run->choices[choice]));
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static json_t *text_json(const Text *text) { return json_stringn(text->data ? text->data : "", text->bytes); }

static bool add_calls(const ChatRun *run, const ChatChoice *c, json_t *message) {
    json_t *list = json_array();
    for (int i = 0; list && i < c->call_count; i++) {
        json_t *function =
            json_pack("{s:s,s:o}", "name", c->calls[i].name, "arguments", text_json(&c->calls[i].arguments));
        if (run->request.functions)
            return json_decref(list), json_object_set_new(message, "function_call", function) == 0;
        json_array_append_new(list, json_pack("{s:s,s:s,s:o}", "id", c->calls[i].id, "type", "function", "function",
                                              function));
    }
    return json_object_set_new(message, "tool_calls", list) == 0;
}

static json_t *message_json(const ChatRun *run, const ChatChoice *c) {
    bool silent = c->call_count && !c->content.bytes;
    json_t *m = json_pack("{s:s,s:o,s:n}", "role", "assistant", "content",
                          silent ? json_null() : text_json(&c->content), "refusal");
    if (m && c->reasoning.bytes) json_object_set_new(m, "reasoning_content", text_json(&c->reasoning));
    if (m && c->call_count) add_calls(run, c, m);
    return m;
}

static void on_end(ChatRun *run) {
    if (run->request.stream) {
        stream_last(run, piece);
        return;
    }
    json_t *choices = json_array();
    for (int64_t i = 0; choices && i < run->choice_count; i++) {
        const ChatChoice *c = &run->choices[i];
        json_t *one = json_pack("{s:I,s:o,s:o,s:s}", "index", (json_int_t)i, "message", message_json(run, c),
                                "logprobs", run->request.logprobs ? chat_logprobs(run, c) : json_null(),
                                "finish_reason", finish_word(run, c));
        if (one && run->request.token_ids) json_object_set_new(one, "token_ids", token_ids(c));
        if (one) choice_proof(run, i, one);
        json_array_append_new(choices, one);
    }
    json_t *o = answer_head(run, whole, choices);
    if (o) answer_seed(run, o), json_object_set_new(o, "usage", usage_json(run));
    reply_json(run->call, 200, o);
}

const ChatForm openai_chat_form = {.prefix = "chatcmpl-", .stream_type = "text/event-stream", .ping = ": ping\n\n",
                                   .begin = on_begin, .event = on_event, .done = on_done, .end = on_end};
