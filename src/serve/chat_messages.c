/* chat_messages.c: OpenAI's messages, checked, and as chat templates take them. Only members that a template may read
 * are handed on. Source: OpenAI's OpenAPI document 2.3.0 (ChatCompletionRequestMessage). */
#include <string.h>
#include "chat_request.h"

/* Where in the messages something is wrong: "messages[3].tool_calls[0]". */
typedef struct Place { char text[96]; } Place;
static Place place(size_t message, const char *member) {
    Place p;
    snprintf(p.text, sizeof p.text, "messages[%zu]%s%s", message, *member ? "." : "", member);
    return p;
}

static bool set_new(json_t *object, const char *name, json_t *value) {
    return value && json_object_set_new(object, name, value) == 0;
}

/* ---- Content ----------------------------------------------------------------------------------------------------- */

/* One part as {"type": "text", "text"}; NULL and an error. */
static json_t *part_of(ChatRequest *r, const json_t *part, size_t i, size_t k, Err *err) {
    const json_t *type = json_object_get(part, "type");
    bool refusal = type && json_is_word(type, "refusal");
    json_t *text = json_object_get(part, refusal ? "refusal" : "text"), *out;
    char at[32];
    snprintf(at, sizeof at, "content[%zu]", k);
    if (!json_is_object(part) || !json_is_text(type))
        return request_wrong(r, err, place(i, at).text, "expected {\"type\": \"text\", \"text\": ...}"), NULL;
    if (!refusal && !json_is_word(type, "text") && !json_is_word(type, "input_text") &&
        !json_is_word(type, "output_text")) {
        NameText shown = name_text(json_string_value(type), json_string_length(type));
        request_wrong(r, err, place(i, at).text, "parts of type \"%s\" are not supported: expected text", shown.text);
        return NULL;
    }
    if (!json_is_text(text)) return request_wrong(r, err, place(i, at).text, "text: expected a string"), NULL;
    if (!(out = json_pack("{s:s,s:O}", "type", "text", "text", text))) request_memory(err);
    return out;
}

/* A string, or a list of text parts; NULL and an error. */
static json_t *content_of(ChatRequest *r, json_t *content, size_t i, bool may_lack, Err *err) {
    json_t *list, *part;
    size_t k;
    if (json_is_text(content)) return json_incref(content);
    bool empty = json_is_array(content) && json_array_size(content) == 0;
    if ((!content && may_lack) || empty) {
        if (!(list = json_string(""))) request_memory(err);
        return list;
    }
    if (!json_is_array(content))
        return request_wrong(r, err, place(i, "content").text, "expected a string or a list of text parts"), NULL;
    if (!(list = json_array())) return request_memory(err), NULL;
    json_array_foreach(content, k, part) {
        json_t *one = part_of(r, part, i, k, err);
        if (one && json_array_append_new(list, one) == 0) continue;
        if (!err->kind) request_memory(err);
        json_decref(list);
        return NULL;
    }
    return list;
}

/* ---- Calls that an earlier answer made --------------------------------------------------------------------------- */

/* Arguments come as a text of JSON and go to the template as an object. */
static json_t *arguments_of(ChatRequest *r, json_t *given, const char *where, Err *err) {
    if (json_is_object(given)) return json_incref(given);
    if (!given || (json_is_text(given) && json_string_length(given) == 0)) return json_object();
    Err why = {0};
    json_t *o = json_is_text(given) ? json_text(json_string_value(given), json_string_length(given), "arguments", &why)
                                    : NULL;
    if (json_is_object(o)) return o;
    json_decref(o);
    return request_wrong(r, err, where, "arguments: expected the text of a JSON object"), NULL;
}

static json_t *call_of(ChatRequest *r, const json_t *function, const json_t *id, const char *where, Err *err) {
    json_t *name = json_object_get(function, "name");
    if (!json_is_text(name) || !tool_name_ok(json_string_value(name), json_string_length(name)))
        return request_wrong(r, err, where, "function: expected a \"name\" of letters, digits, _ and -"), NULL;
    json_t *arguments = arguments_of(r, request_member(function, "arguments"), where, err);
    if (!arguments) return request_memory(err), NULL;
    json_t *call = json_pack("{s:s,s:{s:O,s:o}}", "type", "function", "function", "name", name, "arguments", arguments);
    if (call && json_is_text(id)) json_object_set(call, "id", (json_t *)(uintptr_t)id);
    if (!call) request_memory(err);
    return call;
}

static bool calls_of(ChatRequest *r, json_t *out, const json_t *m, size_t i, Err *err) {
    const json_t *calls = request_member(m, "tool_calls"), *old = request_member(m, "function_call"), *call;
    size_t k;
    if (!calls && !old) return true;
    if (calls && !json_is_array(calls)) return request_wrong(r, err, place(i, "tool_calls").text, "expected a list");
    if (json_array_size(calls) > MAX_TOOLS)
        return request_wrong(r, err, place(i, "tool_calls").text, "expected at most %d calls", MAX_TOOLS);
    if (calls && json_array_size(calls) == 0) return true;
    json_t *list = json_array();
    json_array_foreach(calls, k, call) {
        char at[40];
        snprintf(at, sizeof at, "tool_calls[%zu]", k);
        json_t *one =
            call_of(r, json_object_get(call, "function"), json_object_get(call, "id"), place(i, at).text, err);
        if (one && list) json_array_append_new(list, one);
        if (!one) break;
    }
    if (!calls) {
        json_t *one = call_of(r, old, NULL, place(i, "function_call").text, err);
        if (one && list) json_array_append_new(list, one);
    }
    if (err->kind) return json_decref(list), false;
    return set_new(out, "tool_calls", list) || request_memory(err);
}

/* ---- A message --------------------------------------------------------------------------------------------------- */

/* The role that templates know; NULL: there is none of that name. */
static const char *role_of(const json_t *role) {
    static const char *const roles[][2] = {{"system", "system"}, {"developer", "system"}, {"user", "user"},
                                           {"assistant", "assistant"}, {"tool", "tool"}, {"function", "tool"}};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (role && json_is_word(role, roles[i][0])) return roles[i][1];
    return NULL;
}

/* Texts that templates may read beside the content. */
static bool texts_of(ChatRequest *r, json_t *out, const json_t *m, size_t i, Err *err) {
    static const char *const texts[][2] = {{"name", "name"}, {"tool_call_id", "tool_call_id"},
                                           {"reasoning_content", "reasoning_content"},
                                           {"reasoning", "reasoning_content"}};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        json_t *value = request_member(m, texts[k][0]);
        if (!value) continue;
        if (!json_is_text(value)) return request_wrong(r, err, place(i, texts[k][0]).text, "expected a string");
        if (json_object_set(out, texts[k][1], value)) return request_memory(err);
    }
    return true;
}

static bool message_of(ChatRequest *r, const json_t *m, size_t i, Err *err) {
    if (!json_is_object(m)) return request_wrong(r, err, place(i, "").text, "expected an object");
    const char *role = role_of(json_object_get(m, "role"));
    if (!role)
        return request_wrong(r, err, place(i, "role").text,
                             "expected system, developer, user, assistant or tool");
    bool assistant = !strcmp(role, "assistant");
    json_t *content = content_of(r, request_member(m, "content"), i, assistant, err);
    if (!content || !request_message(r, role, content, err)) return false;
    json_t *out = json_array_get(r->messages, json_array_size(r->messages) - 1);
    return texts_of(r, out, m, i, err) && (!assistant || calls_of(r, out, m, i, err));
}

bool request_messages(ChatRequest *r, const json_t *messages, Err *err) {
    size_t i, count = json_array_size(messages);
    const json_t *m;
    if (!json_is_array(messages) || count == 0)
        return request_wrong(r, err, "messages", "expected a list of at least one message");
    if (count > MAX_MESSAGES)
        return request_wrong(r, err, "messages", "expected at most %d, got %zu", MAX_MESSAGES, count);
    json_array_foreach(messages, i, m) if (!message_of(r, m, i, err)) return false;
    return true;
}
