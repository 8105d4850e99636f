/* responses_answer.c: answers of POST /v1/responses: items of output, whole and as events, and the route. Source:
 * OpenAI's OpenAPI document 2.3.0 (Response, ResponseStreamEvent). A stream has no [DONE]. */
#include <stdlib.h>
#include <string.h>
#include "answer_parts.h"
#include "protocol_form.h"
#include "protocol_request.h"
#include "openai_routes.h"
#include "routes.h"

typedef struct Answer {
    json_t *asked;      /* what the answer says again of the request */
    json_t *output;     /* items that are whole                      */
    int64_t sequence;   /* of events                                 */
    bool open;          /* an item is under way:                     */
    ToolEventKind kind; /* TOOL_CONTENT, TOOL_REASONING, or TOOL_ARGUMENTS */
    char id[NEW_ID_BYTES];
    char call_id[NEW_ID_BYTES], call_name[65]; /* of a call          */
    Text text;                                 /* what it has said                          */
    Text thought;                              /* all reasoning                             */
} Answer;

/* Members that an answer has, with what stands for one that was not given. */
static json_t *asked_of(const json_t *body) {
    static const struct {
        const char *name, *otherwise;
    } said[] = {
        {"instructions", "null"},
        {"max_output_tokens", "null"},
        {"max_tool_calls", "null"},
        {"metadata", "{}"},
        {"parallel_tool_calls", "true"},
        {"reasoning", "{\"effort\": null, \"summary\": null}"},
        {"temperature", "1.0"},
        {"text", "{\"format\": {\"type\": \"text\"}}"},
        {"tool_choice", "\"auto\""},
        {"tools", "[]"},
        {"top_p", "1.0"},
        {"truncation", "\"disabled\""},
        {"user", "null"},
    };
    json_t *o = json_object();
    for (size_t i = 0; o && i < sizeof said / sizeof *said; i++) {
        json_t *value = request_member(body, said[i].name);
        value = value ? json_incref(value) : json_loads(said[i].otherwise, JSON_DECODE_ANY, NULL);
        if (!value || json_object_set_new(o, said[i].name, value)) return json_decref(o), NULL;
    }
    return o;
}

static void answer_free(void *state) {
    Answer *a = state;
    if (!a) return;
    json_decref(a->asked);
    json_decref(a->output);
    text_free(&a->text), text_free(&a->thought);
    free(a);
}

static void *state_of(const json_t *body) {
    Answer *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    a->asked = asked_of(body);
    a->output = json_array();
    if (a->asked && a->output) return a;
    answer_free(a);
    return NULL;
}

static json_t *text_json(const Text *t) { return json_stringn(t->data ? t->data : "", t->bytes); }

/* ---- The response ------------------------------------------------------------------------------------------------ */

/* The tokens of what was thought, by its text. */
static int64_t thought_tokens(const ChatRun *run, const Answer *a) {
    int32_t *ids = NULL;
    Err none = {0};
    int64_t n = a->thought.bytes == 0 ? 0
                                      : qm_tokenizer_encode(run->call->server->model.tokenizer, a->thought.data,
                                                            a->thought.bytes, false, &ids, &none);
    free(ids);
    return n > 0 ? n : 0;
}

static json_t *usage_of(const ChatRun *run, const Answer *a) {
    ChatUsage u = chat_run_usage(run);
    int64_t thought = thought_tokens(run, a);
    return json_pack("{s:I, s:{s:I}, s:I, s:{s:I}, s:I}", "input_tokens", (json_int_t)u.prompt, "input_tokens_details",
                     "cached_tokens", (json_int_t)u.cached, "output_tokens", (json_int_t)u.generated,
                     "output_tokens_details", "reasoning_tokens",
                     (json_int_t)(thought < u.generated ? thought : u.generated), "total_tokens",
                     (json_int_t)(u.prompt + u.generated));
}

static const char *status_of(const ChatChoice *c) {
    return !c || !c->finish ? "in_progress" : !strcmp(c->finish, "length") ? "incomplete" : "completed";
}

/* c NULL: it has just begun. */
static json_t *response_of(ChatRun *run, const ChatChoice *c, json_t *error) {
    Answer *a = run->state;
    const char *status = error ? "failed" : status_of(c);
    bool cut = !strcmp(status, "incomplete");
    json_t *o =
        json_pack("{s:s, s:s, s:I, s:s, s:b, s:o?, s:o?, s:s, s:O, s:n, s:b, s:o?, s:{s:I}}", "id", run->id, "object",
                  "response", "created_at", (json_int_t)run->created, "status", status, "background", 0, "error", error,
                  "incomplete_details", cut ? json_pack("{s:s}", "reason", "max_output_tokens") : NULL, "model",
                  run->model, "output", a->output, "previous_response_id", "store", 0, "usage",
                  c ? usage_of(run, a) : NULL, "qwenmesh", "seed", (json_int_t)run->seed);
    if (o) json_object_update(o, a->asked);
    if (o && c && !error) json_object_set_new(o, "completed_at", json_integer(wall_seconds()));
    return o;
}

static void say(ChatRun *run, const char *type, json_t *data) {
    Answer *a = run->state;
    if (data) {
        json_object_set_new(data, "type", json_string(type));
        json_object_set_new(data, "sequence_number", json_integer(a->sequence));
    }
    a->sequence++;
    if (run->request.stream) stream_event(run->call, type, data);
    else json_decref(data);
}

/* ---- Items ------------------------------------------------------------------------------------------------------- */

static json_t *part_of(const Answer *a, const Text *text) {
    if (a->kind == TOOL_REASONING) return json_pack("{s:s, s:o}", "type", "reasoning_text", "text", text_json(text));
    return json_pack("{s:s, s:o, s:[], s:[]}", "type", "output_text", "text", text_json(text), "annotations",
                     "logprobs");
}

/* The item at hand; `whole`: with its text. */
static json_t *item_of(const Answer *a, const char *status, bool whole) {
    static const Text nothing = {0};
    if (a->kind == TOOL_ARGUMENTS)
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "id", a->id, "type", "function_call", "status", status,
                         "call_id", a->call_id, "name", a->call_name, "arguments",
                         text_json(whole ? &a->text : &nothing));
    json_t *content = whole ? json_pack("[o]", part_of(a, &a->text)) : json_array();
    if (a->kind == TOOL_REASONING)
        return json_pack("{s:s, s:s, s:s, s:[], s:o}", "id", a->id, "type", "reasoning", "status", status, "summary",
                         "content", content);
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "id", a->id, "type", "message", "status", status, "role", "assistant",
                     "content", content);
}

static json_t *at_item(const Answer *a, bool in_part) {
    json_t *o = json_pack("{s:s, s:I}", "item_id", a->id, "output_index", (json_int_t)json_array_size(a->output));
    if (o && in_part) json_object_set_new(o, "content_index", json_integer(0));
    return o;
}

static json_t *with(json_t *o, const char *name, json_t *value) {
    if (o) json_object_set_new(o, name, value);
    else json_decref(value);
    return o;
}

static void open_item(ChatRun *run, ToolEventKind kind, const ChatCall *call) {
    static const Text nothing = {0};
    Answer *a = run->state;
    new_id(kind == TOOL_CONTENT ? "msg_" : kind == TOOL_REASONING ? "rs_" : "fc_", a->id);
    a->open = true;
    a->kind = kind;
    snprintf(a->call_id, sizeof a->call_id, "%s", call ? call->id : "");
    snprintf(a->call_name, sizeof a->call_name, "%s", call ? call->name : "");
    a->text.bytes = 0;
    say(run, "response.output_item.added",
        json_pack("{s:I, s:o}", "output_index", (json_int_t)json_array_size(a->output), "item",
                  item_of(a, "in_progress", false)));
    if (kind != TOOL_ARGUMENTS)
        say(run, "response.content_part.added", with(at_item(a, true), "part", part_of(a, &nothing)));
}

static void close_item(ChatRun *run, const char *status) {
    Answer *a = run->state;
    if (!a->open) return;
    bool call = a->kind == TOOL_ARGUMENTS;
    json_t *done = with(at_item(a, !call), call ? "arguments" : "text", text_json(&a->text));
    if (call) done = with(done, "name", json_string(a->call_name));
    if (a->kind == TOOL_CONTENT) done = with(done, "logprobs", json_array());
    say(run,
        call                        ? "response.function_call_arguments.done"
        : a->kind == TOOL_REASONING ? "response.reasoning_text.done"
                                    : "response.output_text.done",
        done);
    if (!call) say(run, "response.content_part.done", with(at_item(a, true), "part", part_of(a, &a->text)));
    json_t *item = item_of(a, status, true);
    say(run, "response.output_item.done",
        json_pack("{s:I, s:O}", "output_index", (json_int_t)json_array_size(a->output), "item", item));
    json_array_append_new(a->output, item);
    a->open = false;
}

static void add_text(ChatRun *run, ToolEventKind kind, const char *text, size_t bytes) {
    Answer *a = run->state;
    if (!a->open || a->kind != kind) {
        close_item(run, "completed");
        open_item(run, kind, NULL);
    }
    text_add(&a->text, text, bytes);
    if (kind == TOOL_REASONING) text_add(&a->thought, text, bytes);
    json_t *delta = with(at_item(a, kind != TOOL_ARGUMENTS), "delta", json_stringn(text, bytes));
    if (kind == TOOL_CONTENT) delta = with(delta, "logprobs", json_array());
    if (delta) chunk_padding(run, delta, delta);
    say(run,
        kind == TOOL_CONTENT     ? "response.output_text.delta"
        : kind == TOOL_REASONING ? "response.reasoning_text.delta"
                                 : "response.function_call_arguments.delta",
        delta);
}

/* ---- The form ---------------------------------------------------------------------------------------------------- */

static void begin(ChatRun *run) {
    say(run, "response.created", json_pack("{s:o}", "response", response_of(run, NULL, NULL)));
    say(run, "response.in_progress", json_pack("{s:o}", "response", response_of(run, NULL, NULL)));
}

static void event(ChatRun *run, int64_t choice, const ToolEvent *e) {
    if (e->kind == TOOL_BEGIN) {
        close_item(run, "completed");
        open_item(run, TOOL_ARGUMENTS, &run->choices[choice].calls[e->call]);
    } else if (e->kind == TOOL_END) close_item(run, "completed");
    else add_text(run, e->kind, e->text, e->bytes);
}

/* Of an answer in one piece: the items that a stream would have had. */
static void all_items(ChatRun *run, const ChatChoice *c) {
    Answer *a = run->state;
    if (c->reasoning.bytes) add_text(run, TOOL_REASONING, c->reasoning.data, c->reasoning.bytes);
    if (c->content.bytes) add_text(run, TOOL_CONTENT, c->content.data, c->content.bytes);
    for (int i = 0; i < c->call_count; i++) {
        close_item(run, "completed");
        open_item(run, TOOL_ARGUMENTS, &c->calls[i]);
        if (c->calls[i].arguments.bytes) text_add(&a->text, c->calls[i].arguments.data, c->calls[i].arguments.bytes);
        if (i + 1 < c->call_count || !c->stream.cut_off) close_item(run, "completed");
    }
}

static void end(ChatRun *run) {
    Answer *a = run->state;
    const ChatChoice *c = &run->choices[0];
    bool cut = !strcmp(c->finish, "length");
    if (!run->request.stream) all_items(run, c);
    if (!a->open && json_array_size(a->output) == 0) open_item(run, TOOL_CONTENT, NULL);
    close_item(run, cut ? "incomplete" : "completed");
    if (!run->request.stream) {
        reply_json(run->call, 200, response_of(run, c, NULL));
        return;
    }
    say(run, cut ? "response.incomplete" : "response.completed",
        json_pack("{s:o}", "response", response_of(run, c, NULL)));
    stream_end(run->call);
}

static void failed(ChatRun *run, int status, const char *type, const char *message) {
    json_t *error =
        json_pack("{s:s, s:s}", "code", status == 429 ? "rate_limit_exceeded" : "server_error", "message", message);
    (void)type;
    say(run, "response.failed", json_pack("{s:o}", "response", response_of(run, NULL, error)));
}

const ChatForm responses_form = {.prefix = "resp_",
                                 .call_prefix = "call_",
                                 .stream_type = "text/event-stream",
                                 .ping = ": ping\n\n",
                                 .begin = begin,
                                 .event = event,
                                 .end = end,
                                 .failed = failed,
                                 .free = answer_free};

static void responses(Call *call) {
    ChatRequest r;
    Err err = {0};
    bool ok = responses_request_read(&r, call->json, &err);
    void *state = ok ? state_of(call->json) : NULL;
    if (ok && !state) ok = request_memory(&err);
    if (ok) {
        note_unknown(call, &r);
        chat_run_start(call, &r, &responses_form, state);
    } else serve_failed(call, &err, r.wrong);
    chat_request_free(&r);
}

const Route responses_routes[] = {
    {"POST", "/v1/responses", "OpenAI's responses: text, function tools, reasoning, streams", responses, FORM_OPENAI,
     false, false, 0},
    {NULL, NULL, NULL, NULL, FORM_OPENAI, false, false, 0},
};
