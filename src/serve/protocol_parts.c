/* protocol_parts.c: what readers of the other protocols do alike: see protocol_request.h. */
#include <string.h>
#include "protocol_request.h"

static bool among(const json_t *type, const char *const *types) {
    for (; *types; types++)
        if (type && json_is_word(type, *types)) return true;
    return false;
}

json_t *protocol_text(ChatRequest *r, const json_t *content, const char *const *types, const char *where, Err *err) {
    size_t i;
    const json_t *part;
    Text whole = {0};
    if (json_is_text(content)) return json_incref((json_t *)(uintptr_t)content);
    if (content && !json_is_array(content)) {
        request_wrong(r, err, where, "expected a string or a list of parts");
        return NULL;
    }
    text_add(&whole, "", 0);
    json_array_foreach(content, i, part) {
        const json_t *type = json_object_get(part, "type"), *text = json_object_get(part, "text");
        const char *shown = json_string_value(type);
        if (!among(type, types) || !json_is_text(text)) {
            request_wrong(r, err, where, "part %zu: expected {\"type\": \"%s\", \"text\": ...}, got type \"%s\"", i,
                          types[0], shown ? name_text(shown, json_string_length(type)).text : "");
            return text_free(&whole), NULL;
        }
        if (whole.bytes) text_add(&whole, "\n", 1);
        text_add(&whole, json_string_value(text), json_string_length(text));
    }
    json_t *out = text_ok(&whole, "a message", err) ? json_stringn(whole.data, whole.bytes) : NULL;
    text_free(&whole);
    if (!out) request_memory(err);
    return out;
}

bool protocol_message(ChatRequest *r, const char *role, json_t *content, const char *member, json_t *value, Err *err) {
    bool ok = request_message(r, role, content, err);
    json_t *m = json_array_get(r->messages, json_array_size(r->messages) - 1);
    if (!ok) return json_decref(value), false;
    if (json_array_size(r->messages) > MAX_MESSAGES)
        return json_decref(value), request_wrong(r, err, "messages", "expected at most %d", MAX_MESSAGES);
    return !value || json_object_set_new(m, member, value) == 0 || request_memory(err);
}

bool protocol_system(ChatRequest *r, json_t *text, Err *err) {
    json_t *last = json_array_get(r->messages, 0), *said = json_object_get(last, "content");
    if (json_array_size(r->messages) != 1 || !json_is_word(json_object_get(last, "role"), "system"))
        return protocol_message(r, "system", text, NULL, NULL, err);
    Text whole = {0};
    text_add(&whole, json_string_value(said), json_string_length(said));
    text_add(&whole, "\n\n", 2);
    text_add(&whole, json_string_value(text), json_string_length(text));
    json_t *both = whole.failed ? NULL : json_stringn(whole.data, whole.bytes);
    text_free(&whole);
    json_decref(text);
    return (both && json_object_set_new(last, "content", both) == 0) || request_memory(err);
}

bool protocol_call(ChatRequest *r, const json_t *id, const json_t *name, json_t *arguments, const char *where,
                   Err *err) {
    json_t *last = json_array_get(r->messages, json_array_size(r->messages) - 1), *list;
    if (!json_is_text(name) || !tool_name_ok(json_string_value(name), json_string_length(name)))
        return json_decref(arguments), request_wrong(r, err, where, "name: expected 1 to 64 letters, digits, _ and -");
    if (!json_is_object(arguments))
        return json_decref(arguments), request_wrong(r, err, where, "expected an object of arguments");
    if (!json_is_word(json_object_get(last, "role"), "assistant")) {
        if (!protocol_message(r, "assistant", NULL, NULL, NULL, err)) return json_decref(arguments), false;
        last = json_array_get(r->messages, json_array_size(r->messages) - 1);
    }
    list = json_object_get(last, "tool_calls");
    if (!list && (list = json_array())) json_object_set_new(last, "tool_calls", list);
    if (json_array_size(list) >= MAX_TOOLS)
        return json_decref(arguments), request_wrong(r, err, where, "expected at most %d calls", MAX_TOOLS);
    json_t *call =
        json_pack("{s:s, s:{s:O, s:o}}", "type", "function", "function", "name", name, "arguments", arguments);
    if (call && json_is_text(id)) json_object_set(call, "id", (json_t *)(uintptr_t)id);
    return (call && list && json_array_append_new(list, call) == 0) || request_memory(err);
}

bool protocol_tool(json_t *list, json_t *name, json_t *description, json_t *parameters, json_t *strict, Err *err) {
    json_t *function = json_object();
    bool ok = function != NULL;
    if (ok && name) ok = json_object_set(function, "name", name) == 0;
    if (ok && description) ok = json_object_set(function, "description", description) == 0;
    if (ok && parameters) ok = json_object_set(function, "parameters", parameters) == 0;
    if (ok && strict) ok = json_object_set(function, "strict", strict) == 0;
    json_t *tool = ok ? json_pack("{s:s, s:O}", "type", "function", "function", function) : NULL;
    json_decref(function);
    return (tool && json_array_append_new(list, tool) == 0) || request_memory(err);
}

bool protocol_variable(ChatRequest *r, const char *name, json_t *value, Err *err) {
    if (json_object_get(r->variables, name)) return json_decref(value), true;
    json_t *own = r->variables ? json_copy(r->variables) : json_object(); /* the body's own stays as it is */
    json_decref(r->variables);
    r->variables = own;
    return (own && value && json_object_set_new(own, name, value) == 0) || request_memory(err);
}

void protocol_unknown(ChatRequest *r, const json_t *body, const char *const *known) {
    const char *name;
    json_t *value;
    size_t at = strlen(r->unknown);
    json_object_foreach((json_t *)(uintptr_t)body, name, value) {
        const char *const *k = known;
        while (*k && strcmp(*k, name)) k++;
        NameText shown = name_text(name, strlen(name));
        if (*k) continue;
        if (at + strlen(shown.text) + 3 > sizeof r->unknown) return;
        at += (size_t)snprintf(r->unknown + at, sizeof r->unknown - at, "%s%s", at ? ", " : "", shown.text);
    }
}
