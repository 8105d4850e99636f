/* chat_forms.c: what other programs call a conversation, made to messages. */
#include <string.h>
#include "../io/json.h"
#include "train_chat.h"

static json_t *no_memory(Err *err) {
    err_as(err, QM_MEMORY, "out of memory: a conversation");
    return NULL;
}

/* ---- Messages ---------------------------------------------------------------------------------------------------- */

/* A call whose arguments are the text of an object, as the API of OpenAI has it, in the form that templates expect; the
 * call itself where there is nothing to read. A new reference. */
static json_t *call_read(json_t *call) {
    json_t *function = json_object_get(call, "function"), *holder = function ? function : call;
    const json_t *text = json_object_get(holder, "arguments");
    Err none = {0};
    json_t *value =
        json_is_text(text) ? json_text(json_string_value(text), json_string_length(text), "arguments", &none) : NULL;
    if (!json_is_object(value)) return json_decref(value), json_incref(call);
    json_t *copy = json_deep_copy(call);
    holder = function ? json_object_get(copy, "function") : copy;
    if (json_object_set_new(holder, "arguments", value) == 0) return copy;
    json_decref(copy);
    return NULL;
}

/* A new reference. */
static json_t *message_read(json_t *message) {
    json_t *calls = json_object_get(message, "tool_calls"), *call;
    size_t i;
    if (!json_is_array(calls) || json_array_size(calls) == 0) return json_incref(message);
    json_t *copy = json_copy(message), *list = json_array();
    bool ok = copy && list;
    json_array_foreach(calls, i, call) ok = ok && json_array_append_new(list, call_read(call)) == 0;
    ok = ok && json_object_set(copy, "tool_calls", list) == 0;
    json_decref(list);
    if (ok) return copy;
    json_decref(copy);
    return NULL;
}

/* Tools are a list, or the text of one. A new reference; NULL: there are none, or an error. */
static json_t *tools_read(const json_t *line, Err *err) {
    json_t *tools = json_object_get(line, "tools");
    if (!tools || json_is_null(tools)) return NULL;
    if (!json_is_text(tools)) return json_incref(tools);
    if (json_string_length(tools) == 0) return NULL;
    return json_text(json_string_value(tools), json_string_length(tools), "tools", err);
}

static bool set(json_t *object, const char *key, json_t *value) {
    return object && value && json_object_set_new(object, key, value) == 0;
}

/* Takes the reference of `messages`. */
static json_t *request_new(const json_t *line, json_t *messages, Err *err) {
    json_t *request = json_object(), *tools = tools_read(line, err), *more;
    bool ok = set(request, "messages", messages);
    if (tools) ok = set(ok ? request : NULL, "tools", tools);
    if (ok && (more = json_object_get(line, "documents"))) ok = json_object_set(request, "documents", more) == 0;
    if (ok && (more = json_object_get(line, "chat_template_kwargs")))
        ok = json_object_set(request, "variables", more) == 0;
    if (ok && !err->kind) return request;
    json_decref(request);
    return err->kind ? NULL : no_memory(err);
}

json_t *request_of_messages(const json_t *line, const json_t *messages, Err *err) {
    size_t i;
    json_t *message;
    if (!json_is_array(messages)) return err_set(err, "messages: expected a list"), NULL;
    json_t *list = json_array();
    bool ok = list != NULL;
    json_array_foreach((json_t *)(uintptr_t)messages, i, message) ok =
        ok && json_array_append_new(list, message_read(message)) == 0;
    if (ok) return request_new(line, list, err);
    json_decref(list);
    return no_memory(err);
}

/* ---- Others ------------------------------------------------------------------------------------------------------ */

static bool say(json_t *list, const char *who, const char *text, size_t bytes) {
    json_t *message = json_object();
    bool ok = set(message, "role", json_string(who)) && set(message, "content", json_stringn(text, bytes));
    return ok ? json_array_append_new(list, message) == 0 : (json_decref(message), false);
}

/* The text of a member that may be missing; false: it is something else. */
static bool optional(const json_t *value, const char *key, const char **text, size_t *bytes, Err *err) {
    const json_t *member = json_object_get(value, key);
    *text = "";
    *bytes = 0;
    return !member || json_is_null(member) || sample_member(value, key, text, bytes, err);
}

static bool say_system(json_t *list, const json_t *line, Err *err) {
    const char *text;
    size_t n;
    if (!optional(line, "system", &text, &n, err)) return false;
    return n == 0 || say(list, "system", text, n) || no_memory(err);
}

typedef struct Speaker {
    const char *name, *role;
} Speaker;
static const Speaker speakers[] = {
    {"human", "user"},      {"user", "user"},          {"gpt", "assistant"},    {"assistant", "assistant"},
    {"model", "assistant"}, {"system", "system"},      {"tool", "tool"},        {"observation", "tool"},
    {"ipython", "tool"},    {"tool_response", "tool"}, {"function_call", NULL}, {"tool_call", NULL},
};
enum { SPEAKERS = sizeof speakers / sizeof *speakers };

/* A call that a tool shall answer: {"name", "arguments"} or a list of such. */
static bool say_call(json_t *list, const char *text, size_t bytes, Err *err) {
    json_t *value = json_text(text, bytes, "value", err), *calls = json_array(), *message = json_object(), *call;
    size_t i;
    if (!value) return json_decref(calls), json_decref(message), false;
    json_t *several = json_is_array(value) ? json_incref(value) : json_pack("[O]", value);
    bool ok =
        several && calls && set(message, "role", json_string("assistant")) && set(message, "content", json_string(""));
    json_array_foreach(several, i, call) ok =
        ok && json_array_append_new(calls, json_pack("{s:s, s:O}", "type", "function", "function", call)) == 0;
    ok = ok && json_object_set(message, "tool_calls", calls) == 0 && json_array_append(list, message) == 0;
    json_decref(value), json_decref(several), json_decref(calls), json_decref(message);
    return ok || no_memory(err);
}

static bool say_turn(json_t *list, const json_t *turn, size_t i, Err *err) {
    const char *from, *value;
    size_t n, m;
    if (!json_is_object(turn)) return err_set(err, "conversations[%zu]: expected an object", i);
    bool ok = sample_member(turn, "from", &from, &n, err) && sample_member(turn, "value", &value, &m, err);
    int k = 0;
    while (ok && k < SPEAKERS && strcmp(speakers[k].name, from) != 0) k++;
    if (ok && k == SPEAKERS)
        ok = err_set(err, "from: expected human, gpt, system, tool, observation or function_call, got '%.40s'", from);
    else if (ok && speakers[k].role) ok = say(list, speakers[k].role, value, m) || no_memory(err);
    else if (ok) ok = say_call(list, value, m, err);
    if (!ok) err_prefix(err, "conversations[%zu]", i);
    return ok;
}

/* A request of the messages in `list`, whose reference it takes; their calls are read. */
static json_t *request_end(const json_t *line, json_t *list, bool ok, Err *err) {
    json_t *request = ok ? request_of_messages(line, list, err) : NULL;
    json_decref(list);
    return request;
}

json_t *request_of_sharegpt(const json_t *line, Err *err) {
    const json_t *turns = json_object_get(line, "conversations"), *turn;
    size_t i;
    if (!json_is_array(turns)) return err_set(err, "conversations: expected a list"), NULL;
    if (json_object_get(json_array_get(turns, 0), "role")) return request_of_messages(line, turns, err);
    json_t *list = json_array();
    bool ok = (list || no_memory(err)) && say_system(list, line, err);
    json_array_foreach(turns, i, turn) ok = ok && say_turn(list, turn, i, err);
    return request_end(line, list, ok, err);
}

/* [[question, answer], ...] of earlier turns. */
static bool say_history(json_t *list, const json_t *line, Err *err) {
    const json_t *history = json_object_get(line, "history"), *turn;
    size_t i;
    if (!history || json_is_null(history)) return true;
    if (!json_is_array(history)) return err_set(err, "history: expected a list of [question, answer]");
    json_array_foreach(history, i, turn) {
        const json_t *q = json_array_get(turn, 0), *a = json_array_get(turn, 1);
        if (!json_is_text(q) || !json_is_text(a)) return err_set(err, "history[%zu]: expected [question, answer]", i);
        if (!say(list, "user", json_string_value(q), json_string_length(q)) ||
            !say(list, "assistant", json_string_value(a), json_string_length(a)))
            return no_memory(err);
    }
    return true;
}

json_t *request_of_alpaca(const json_t *line, Err *err) {
    const char *instruction, *input, *output;
    size_t n, m, k;
    json_t *list = json_array();
    Text asked = {0};
    bool ok = (list || no_memory(err)) && sample_member(line, "instruction", &instruction, &n, err) &&
              optional(line, "input", &input, &m, err) && sample_member(line, "output", &output, &k, err) &&
              say_system(list, line, err) && say_history(list, line, err);
    if (ok) text_add(&asked, instruction, n);
    if (ok && m) text_add(&asked, "\n", 1), text_add(&asked, input, m);
    ok = ok && text_ok(&asked, "a conversation", err);
    if (ok && (!say(list, "user", asked.data, asked.bytes) || !say(list, "assistant", output, k))) ok = no_memory(err);
    text_free(&asked);
    return request_end(line, list, ok, err);
}

json_t *request_of_question(const json_t *line, Err *err) {
    const char *question, *answer;
    size_t n, m;
    json_t *list = json_array();
    bool ok = (list || no_memory(err)) && sample_member(line, "question", &question, &n, err) &&
              sample_member(line, "answer", &answer, &m, err) && say_system(list, line, err);
    if (ok && (!say(list, "user", question, n) || !say(list, "assistant", answer, m))) ok = no_memory(err);
    return request_end(line, list, ok, err);
}
