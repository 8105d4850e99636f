/* chat_tools.c: OpenAI's tools and tool_choice, checked, and as chat templates take them. */
#include <string.h>
#include "chat_request.h"

bool tool_name_ok(const char *name, size_t bytes) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    return bytes >= 1 && bytes <= 64 && strspn(name, letters) == bytes;
}

bool request_has_tool(const ChatRequest *r, const char *name) {
    size_t i;
    const json_t *tool;
    json_array_foreach(r->tools, i, tool)
        if (json_is_word(json_object_get(json_object_get(tool, "function"), "name"), name)) return true;
    return false;
}

/* A function as templates show it: name, description, parameters, strict as they came. */
static bool add_function(ChatRequest *r, const json_t *function, const char *where, Err *err) {
    static const char *const members[] = {"name", "description", "parameters", "strict"};
    json_t *name = json_object_get(function, "name"), *description = request_member(function, "description"),
           *parameters = request_member(function, "parameters");
    if (!json_is_text(name) || !tool_name_ok(json_string_value(name), json_string_length(name)))
        return request_wrong(r, err, where, "name: expected 1 to 64 letters, digits, _ and -");
    if (request_has_tool(r, json_string_value(name)))
        return request_wrong(r, err, where, "name: \"%s\" is there twice", json_string_value(name));
    if (description && !json_is_text(description))
        return request_wrong(r, err, where, "description: expected a string");
    if (parameters && !json_is_object(parameters))
        return request_wrong(r, err, where, "parameters: expected a JSON schema, an object");
    json_t *out = json_object();
    for (size_t k = 0; out && k < sizeof members / sizeof *members; k++) {
        json_t *value = request_member(function, members[k]);
        if (value && json_object_set(out, members[k], value)) return json_decref(out), request_memory(err);
    }
    json_t *tool = out ? json_pack("{s:s,s:o}", "type", "function", "function", out) : NULL;
    return (tool && json_array_append_new(r->tools, tool) == 0) || request_memory(err);
}

static bool choice_of(ChatRequest *r, const json_t *choice, Err *err) {
    static const char *const words[] = {"auto", "none", "required"};
    static const ToolChoice meanings[] = {TOOLS_AUTO, TOOLS_NONE, TOOLS_REQUIRED};
    bool any = json_array_size(r->tools) > 0;
    r->tool_choice = any ? TOOLS_AUTO : TOOLS_NONE;
    if (!choice) return true;
    for (size_t i = 0; i < 3; i++) {
        if (!json_is_string(choice) || !json_is_word(choice, words[i])) continue;
        if (!any && meanings[i] == TOOLS_REQUIRED)
            return request_wrong(r, err, "tool_choice", "required: expected tools with it");
        if (any) r->tool_choice = meanings[i];
        return true;
    }
    const json_t *function = json_object_get(choice, "function"),
                 *name = json_object_get(function ? function : choice, "name");
    if (!json_is_object(choice) || !json_is_text(name))
        return request_wrong(
            r, err, "tool_choice",
            "expected none, auto, required or {\"type\": \"function\", \"function\": {\"name\": ...}}");
    if (!request_has_tool(r, json_string_value(name)))
        return request_wrong(r, err, "tool_choice", "no tool is named \"%s\"",
                             name_text(json_string_value(name), json_string_length(name)).text);
    r->tool_choice = TOOLS_NAMED;
    snprintf(r->tool_name, sizeof r->tool_name, "%s", json_string_value(name));
    return true;
}

bool request_tools(ChatRequest *r, const json_t *tools, const json_t *choice, const json_t *parallel, Err *err) {
    size_t i, count = json_array_size(tools);
    const json_t *tool;
    if (tools && !json_is_array(tools)) return request_wrong(r, err, "tools", "expected a list");
    if (count > MAX_TOOLS) return request_wrong(r, err, "tools", "expected at most %d, got %zu", MAX_TOOLS, count);
    if (count && !(r->tools = json_array())) return request_memory(err);
    json_array_foreach(tools, i, tool) {
        char where[40];
        const json_t *type = json_object_get(tool, "type"), *function = json_object_get(tool, "function");
        snprintf(where, sizeof where, "tools[%zu]", i);
        if (!json_is_object(tool) || (type && !json_is_word(type, "function")) || !json_is_object(function))
            return request_wrong(r, err, where, "expected {\"type\": \"function\", \"function\": {\"name\": ...}}");
        if (!add_function(r, function, where, err)) return false;
    }
    if (parallel && !json_is_boolean(parallel))
        return request_wrong(r, err, "parallel_tool_calls", "expected true or false");
    r->parallel_tools = !parallel || json_is_true(parallel);
    return choice_of(r, choice, err);
}

bool request_functions(ChatRequest *r, const json_t *functions, const json_t *choice, Err *err) {
    size_t i, count = json_array_size(functions);
    const json_t *function;
    if (!json_is_array(functions)) return request_wrong(r, err, "functions", "expected a list");
    r->functions = true;
    r->parallel_tools = false;
    if (count > MAX_TOOLS) return request_wrong(r, err, "functions", "expected at most %d, got %zu", MAX_TOOLS, count);
    if (count && !(r->tools = json_array())) return request_memory(err);
    json_array_foreach(functions, i, function) {
        char where[40];
        snprintf(where, sizeof where, "functions[%zu]", i);
        if (!add_function(r, function, where, err)) return false;
    }
    return choice_of(r, choice, err);
}
