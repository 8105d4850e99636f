/* ollama_answer.c: answers of POST /api/chat and /api/generate: one object, or lines of such, and the two routes'
 * forms. */
#include <stdlib.h>
#include <string.h>
#include "protocol_form.h"

/* The arguments of the call under way: calls are told whole, with an object. */
typedef struct Answer {
    Text arguments;
} Answer;

void *ollama_state(void) { return calloc(1, sizeof(Answer)); }

static void answer_free(void *state) {
    Answer *a = state;
    if (a) text_free(&a->arguments);
    free(a);
}

static bool is_chat(const ChatRun *run) { return run->form == &ollama_chat_form; }

/* A line with what is said: `member` of the message, or of the line itself where a prompt was given. Takes `value`. */
static json_t *line_of(const ChatRun *run, const char *member, json_t *value) {
    char now[UTC_BYTES];
    bool chat = is_chat(run);
    json_t *o = json_pack("{s:s, s:s, s:b}", "model", run->model, "created_at", utc_now(6, now), "done", 0);
    json_t *said = chat ? json_pack("{s:s, s:s}", "role", "assistant", "content", "") : json_incref(o);
    if (!chat && o) json_object_set_new(o, "response", json_string(""));
    if (said && value) json_object_set_new(said, !chat && !strcmp(member, "content") ? "response" : member, value);
    else json_decref(value);
    if (chat && o && said) json_object_set_new(o, "message", said);
    else json_decref(said);
    return o;
}

static json_t *nanoseconds(double seconds) { return json_integer(seconds > 0 ? (json_int_t)(seconds * 1e9) : 0); }

/* The end's members on top of a line. */
static json_t *ended(const ChatRun *run, json_t *o) {
    ChatUsage u = chat_run_usage(run);
    const CallFacts *f = &run->call->facts;
    double total = f->total > 0 ? f->total : clock_seconds() - exchange_arrived(run->call->exchange);
    if (!o) return NULL;
    json_object_set_new(o, "done", json_true());
    json_object_set_new(o, "done_reason", json_string(!strcmp(run->choices[0].finish, "length") ? "length" : "stop"));
    json_object_set_new(o, "total_duration", nanoseconds(total));
    json_object_set_new(o, "load_duration", nanoseconds(f->queued));
    json_object_set_new(o, "prompt_eval_count", json_integer((json_int_t)u.prompt));
    json_object_set_new(o, "prompt_eval_duration", nanoseconds(f->first - f->queued));
    json_object_set_new(o, "eval_count", json_integer((json_int_t)u.generated));
    json_object_set_new(o, "eval_duration", nanoseconds(f->first > 0 ? total - f->first : 0));
    return o;
}

/* NULL: the arguments were cut off. */
static json_t *call_json(const ChatCall *call, int number, const Text *arguments) {
    Err none = {0};
    json_t *o = json_text(arguments->data ? arguments->data : "", arguments->bytes, "arguments", &none);
    return json_is_object(o) ? json_pack("{s:s, s:{s:i, s:s, s:o}}", "id", call->id, "function", "index", number,
                                         "name", call->name, "arguments", o)
                             : (json_decref(o), NULL);
}

static void event(ChatRun *run, int64_t choice, const ToolEvent *e) {
    Answer *a = run->state;
    if (e->kind == TOOL_BEGIN) a->arguments.bytes = 0;
    if (e->kind == TOOL_ARGUMENTS) text_add(&a->arguments, e->text, e->bytes);
    if (e->kind == TOOL_CONTENT || e->kind == TOOL_REASONING)
        stream_line(run->call,
                    line_of(run, e->kind == TOOL_CONTENT ? "content" : "thinking", json_stringn(e->text, e->bytes)));
    if (e->kind != TOOL_END) return;
    json_t *call = call_json(&run->choices[choice].calls[e->call], e->call, &a->arguments);
    if (call) stream_line(run->call, line_of(run, "tool_calls", json_pack("[o]", call)));
}

static json_t *whole(const ChatRun *run) {
    const ChatChoice *c = &run->choices[0];
    json_t *o = line_of(run, "content", json_stringn(c->content.data ? c->content.data : "", c->content.bytes));
    json_t *said = is_chat(run) ? json_object_get(o, "message") : o, *calls = json_array();
    if (c->reasoning.bytes) json_object_set_new(said, "thinking", json_stringn(c->reasoning.data, c->reasoning.bytes));
    for (int i = 0; i < c->call_count; i++) {
        json_t *call = call_json(&c->calls[i], i, &c->calls[i].arguments);
        if (call) json_array_append_new(calls, call);
    }
    if (json_array_size(calls)) json_object_set(said, "tool_calls", calls);
    json_decref(calls);
    return o;
}

static void end(ChatRun *run) {
    if (!run->request.stream) {
        reply_json(run->call, 200, ended(run, whole(run)));
        return;
    }
    stream_line(run->call, ended(run, line_of(run, "content", NULL)));
    stream_end(run->call);
}

static void failed(ChatRun *run, int status, const char *type, const char *message) {
    stream_line(run->call, error_json(run->call, status, type, NULL, NULL, message));
}

#define OLLAMA_FORM(ids)                                                                                               \
    {.prefix = (ids), .call_prefix = "call_", .stream_type = "application/x-ndjson", .event = event, .end = end,       \
     .failed = failed, .free = answer_free}
const ChatForm ollama_chat_form = OLLAMA_FORM("chat-");
const ChatForm ollama_generate_form = OLLAMA_FORM("gen-");
