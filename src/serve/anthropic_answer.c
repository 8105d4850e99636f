/* anthropic_answer.c: answers of POST /v1/messages, whole and as events, and the two routes. Every event has its name
 * in an "event:" line: Anthropic's SDKs drop those without. */
#include <stdlib.h>
#include <string.h>
#include "protocol_form.h"
#include "protocol_request.h"
#include "openai_routes.h"
#include "routes.h"

static const char *stop_reason(const ChatChoice *c) {
    if (!strcmp(c->finish, "length")) return "max_tokens";
    if (c->stream.calls) return "tool_use";
    return c->stop ? "stop_sequence" : "end_turn";
}

/* Tokens that a slot had are not among input_tokens. */
static json_t *usage_of(const ChatRun *run) {
    ChatUsage u = chat_run_usage(run);
    return json_pack("{s:I, s:I, s:I, s:I}", "input_tokens", (json_int_t)(u.prompt - u.cached),
                     "cache_creation_input_tokens", (json_int_t)0, "cache_read_input_tokens", (json_int_t)u.cached,
                     "output_tokens", (json_int_t)u.generated);
}

/* Takes `content`. */
static json_t *message_of(const ChatRun *run, json_t *content, const ChatChoice *c) {
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s?, s:s?, s:o}", "id", run->id, "type", "message", "role",
                     "assistant", "model", run->model, "content", content, "stop_reason", c ? stop_reason(c) : NULL,
                     "stop_sequence", c ? c->stop : NULL, "usage", usage_of(run));
}

/* ---- The whole answer -------------------------------------------------------------------------------------------- */

static json_t *text_json(const Text *t) { return json_stringn(t->data ? t->data : "", t->bytes); }

/* A call that was cut off has no arguments that could be read: it is left out. */
static void add_calls(json_t *content, const ChatChoice *c) {
    for (int i = 0; i < c->call_count; i++) {
        Err none = {0};
        const Text *a = &c->calls[i].arguments;
        json_t *input = json_text(a->data ? a->data : "", a->bytes, "arguments", &none);
        if (json_is_object(input))
            json_array_append_new(content, json_pack("{s:s, s:s, s:s, s:O}", "type", "tool_use", "id", c->calls[i].id,
                                                     "name", c->calls[i].name, "input", input));
        json_decref(input);
    }
}

static void answer(ChatRun *run) {
    const ChatChoice *c = &run->choices[0];
    json_t *content = json_array();
    if (c->reasoning.bytes)
        json_array_append_new(content, json_pack("{s:s, s:o, s:s}", "type", "thinking", "thinking",
                                                 text_json(&c->reasoning), "signature", ""));
    if (c->content.bytes || (!c->call_count && !c->reasoning.bytes))
        json_array_append_new(content, json_pack("{s:s, s:o}", "type", "text", "text", text_json(&c->content)));
    add_calls(content, c);
    reply_json(run->call, 200, message_of(run, content, c));
}

/* ---- Events ------------------------------------------------------------------------------------------------------ */

typedef struct Blocks {
    int count;
    bool open;
    ToolEventKind kind;
} Blocks; /* content blocks that have begun */

static void say(ChatRun *run, const char *type, json_t *data) {
    if (data) json_object_set_new(data, "type", json_string(type));
    stream_event(run->call, type, data);
}

static void begin(ChatRun *run) {
    say(run, "message_start", json_pack("{s:o}", "message", message_of(run, json_array(), NULL)));
    say(run, "ping", json_object());
}

static void close_block(ChatRun *run, Blocks *b) {
    if (b->open) say(run, "content_block_stop", json_pack("{s:i}", "index", b->count - 1));
    b->open = false;
}

static void open_block(ChatRun *run, Blocks *b, ToolEventKind kind, json_t *block) {
    close_block(run, b);
    say(run, "content_block_start", json_pack("{s:i, s:o}", "index", b->count, "content_block", block));
    b->count++;
    b->open = true;
    b->kind = kind;
}

static void event(ChatRun *run, int64_t choice, const ToolEvent *e) {
    Blocks *b = run->state;
    const ChatChoice *c = &run->choices[choice];
    const char *type = e->kind == TOOL_CONTENT     ? "text_delta"
                       : e->kind == TOOL_REASONING ? "thinking_delta"
                                                   : "input_json_delta",
               *member = e->kind == TOOL_CONTENT     ? "text"
                         : e->kind == TOOL_REASONING ? "thinking"
                                                     : "partial_json";
    if (e->kind == TOOL_BEGIN)
        open_block(run, b, TOOL_ARGUMENTS,
                   json_pack("{s:s, s:s, s:s, s:{}}", "type", "tool_use", "id", c->calls[e->call].id, "name",
                             c->calls[e->call].name, "input"));
    else if (e->kind == TOOL_END) close_block(run, b);
    else {
        if ((!b->open || b->kind != e->kind) && e->kind == TOOL_CONTENT)
            open_block(run, b, e->kind, json_pack("{s:s, s:s}", "type", "text", "text", ""));
        if ((!b->open || b->kind != e->kind) && e->kind == TOOL_REASONING)
            open_block(run, b, e->kind,
                       json_pack("{s:s, s:s, s:s}", "type", "thinking", "thinking", "", "signature", ""));
        say(run, "content_block_delta",
            json_pack("{s:i, s:{s:s, s:o}}", "index", b->count - 1, "delta", "type", type, member,
                      json_stringn(e->text, e->bytes)));
    }
}

static void end(ChatRun *run) {
    const ChatChoice *c = &run->choices[0];
    Blocks *b = run->state;
    if (!run->request.stream) {
        answer(run);
        return;
    }
    close_block(run, b);
    say(run, "message_delta",
        json_pack("{s:{s:s, s:s?}, s:o}", "delta", "stop_reason", stop_reason(c), "stop_sequence", c->stop, "usage",
                  usage_of(run)));
    say(run, "message_stop", json_object());
    stream_end(run->call);
}

static void failed(ChatRun *run, int status, const char *type, const char *message) {
    stream_event(run->call, "error", error_json(run->call, status, type, NULL, NULL, message));
}

static const char ping[] = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
const ChatForm messages_form = {.prefix = "msg_",
                                .call_prefix = "toolu_",
                                .stream_type = "text/event-stream",
                                .ping = ping,
                                .begin = begin,
                                .event = event,
                                .end = end,
                                .failed = failed,
                                .free = free};

/* ---- Routes ------------------------------------------------------------------------------------------------------ */

static void messages(Call *call) {
    ChatRequest r;
    Err err = {0};
    bool ok = messages_request_read(&r, call->json, false, &err);
    Blocks *b = ok ? mem_new(1, sizeof *b, "an answer", &err) : NULL;
    if (b) {
        note_unknown(call, &r);
        chat_run_start(call, &r, &messages_form, b);
    } else serve_failed(call, &err, r.wrong);
    chat_request_free(&r);
}

/* The prompt with system and tools, as it would be fed. */
static void count_tokens(Call *call) {
    ChatRequest r;
    Err err = {0};
    int32_t *ids = NULL;
    int64_t count = -1;
    bool ok = messages_request_read(&r, call->json, true, &err);
    if (ok && !server_model_name(call, r.model[0] ? r.model : NULL)) {
        chat_request_free(&r);
        return;
    }
    if (ok) count = chat_prompt_ids(call->server, &r, &ids, NULL, &err);
    if (count >= 0) reply_json(call, 200, json_pack("{s:I}", "input_tokens", (json_int_t)count));
    else serve_failed(call, &err, r.wrong);
    free(ids);
    chat_request_free(&r);
}

const Route anthropic_routes[] = {
    {"POST", "/v1/messages", "Anthropic's messages: text, tools, thinking, streams", messages, FORM_ANTHROPIC, false,
     false, 0},
    {"POST", "/v1/messages/count_tokens", "tokens of such a request's prompt", count_tokens, FORM_ANTHROPIC, false,
     false, 0},
    {NULL, NULL, NULL, NULL, FORM_ANTHROPIC, false, false, 0},
};
