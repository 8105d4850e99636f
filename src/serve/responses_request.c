/* responses_request.c: the body of POST /v1/responses. Sources: OpenAI's OpenAPI document 2.3.0 (CreateResponse), and
 * what Codex sends. Nothing is stored: each request has all items of its conversation. */
#include <string.h>
#include "protocol_request.h"

static const char *const texts[] = {"input_text", "output_text", "text", NULL};

static const char *const known[] = {
    "model",
    "input",
    "instructions",
    "max_output_tokens",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
    "temperature",
    "top_p",
    "top_logprobs",
    "include",
    "store",
    "previous_response_id",
    "conversation",
    "background",
    "prompt",
    "stream",
    "stream_options",
    "reasoning",
    "truncation",
    "metadata",
    "user",
    "max_tool_calls",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "client_metadata",
    "chat_template_kwargs",
    "seed",
    "stop",
    "top_k",
    "min_p",
    "qwenmesh",
    NULL,
};

/* ---- Items ------------------------------------------------------------------------------------------------------- */

static bool message_item(ChatRequest *r, const json_t *item, const char *where, Err *err) {
    static const char *const roles[][2] = {
        {"user", "user"}, {"assistant", "assistant"}, {"system", "system"}, {"developer", "system"}};
    const json_t *role = json_object_get(item, "role");
    json_t *content = request_member(item, "content"), *text;
    if (json_is_array(content)) { /* a refusal is what the assistant said, too */
        json_t *first = json_array_get(content, 0), *refusal = json_object_get(first, "refusal");
        if (refusal && json_array_size(content) == 1) content = refusal;
    }
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (!role || !json_is_word(role, roles[i][0])) continue;
        if (!(text = protocol_text(r, content, texts, where, err))) return false;
        return !strcmp(roles[i][1], "system") ? protocol_system(r, text, err)
                                              : protocol_message(r, roles[i][1], text, NULL, NULL, err);
    }
    return request_wrong(r, err, where, "role: expected user, assistant, system or developer");
}

/* Arguments are the text of an object; of a custom tool any text. */
static bool call_item(ChatRequest *r, const json_t *item, bool custom, const char *where, Err *err) {
    const json_t *text = json_object_get(item, custom ? "input" : "arguments");
    json_t *arguments = NULL;
    Err none = {0};
    if (custom) arguments = json_pack("{s:O*}", "input", text);
    else if (json_is_text(text) && json_string_length(text) == 0) arguments = json_object();
    else if (json_is_text(text))
        arguments = json_text(json_string_value(text), json_string_length(text), "arguments", &none);
    if (!json_is_object(arguments))
        return json_decref(arguments), request_wrong(r, err, where, "arguments: expected the text of a JSON object");
    return protocol_call(r, json_object_get(item, "call_id"), json_object_get(item, "name"), arguments, where, err);
}

static bool output_item(ChatRequest *r, const json_t *item, const char *where, Err *err) {
    json_t *text = protocol_text(r, request_member(item, "output"), texts, where, err);
    return text &&
           protocol_message(r, "tool", text, "tool_call_id", json_incref(json_object_get(item, "call_id")), err);
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), k = strlen(end);
    return n >= k && !strcmp(text + n - k, end);
}

static bool take_item(ChatRequest *r, const json_t *item, size_t i, Err *err) {
    char where[40];
    snprintf(where, sizeof where, "input[%zu]", i);
    const json_t *named = json_object_get(item, "type");
    if (!json_is_object(item)) return request_wrong(r, err, where, "expected an object");
    const char *type = named ? json_string_value(named) : "message";
    if (!type) return request_wrong(r, err, where, "type: expected a string");
    if (!strcmp(type, "message")) return message_item(r, item, where, err);
    if (!strcmp(type, "function_call")) return call_item(r, item, false, where, err);
    if (!strcmp(type, "custom_tool_call")) return call_item(r, item, true, where, err);
    if (!strcmp(type, "function_call_output") || !strcmp(type, "custom_tool_call_output"))
        return output_item(r, item, where, err);
    /* Thoughts of earlier turns are not shown again, as templates do; what tools of OpenAI's servers did is unknown. */
    static const char *const silent[] = {"reasoning", "tool_search_output", "ghost_snapshot", "mcp_list_tools"};
    for (size_t k = 0; k < sizeof silent / sizeof *silent; k++)
        if (!strcmp(type, silent[k])) return true;
    if (ends_with(type, "_call") || ends_with(type, "_call_output")) return true;
    return request_wrong(r, err, where, "items of type \"%s\" are not supported", name_text(type, strlen(type)).text);
}

static bool take_input(ChatRequest *r, const json_t *body, Err *err) {
    json_t *input = request_member(body, "input"), *instructions = request_member(body, "instructions"), *item;
    size_t i;
    if (instructions && !json_is_text(instructions)) return request_wrong(r, err, "instructions", "expected a string");
    if (instructions && !protocol_system(r, json_incref(instructions), err)) return false;
    if (json_is_text(input)) return protocol_message(r, "user", json_incref(input), NULL, NULL, err);
    if (input && !json_is_array(input)) return request_wrong(r, err, "input", "expected a string or a list of items");
    json_array_foreach(input, i, item) if (!take_item(r, item, i, err)) return false;
    bool said = false; /* a probe has no item at all */
    json_array_foreach(r->messages, i, item) said |= !json_is_word(json_object_get(item, "role"), "system");
    return said || protocol_message(r, "user", NULL, NULL, NULL, err);
}

/* ---- Tools ------------------------------------------------------------------------------------------------------- */

/* Only functions can be called here: Codex offers web_search and others beside them, which are left out. */
static bool take_tools(ChatRequest *r, const json_t *body, Err *err) {
    json_t *tools = request_member(body, "tools"), *choice = request_member(body, "tool_choice"), *tool,
           *list = json_array();
    size_t i;
    bool ok = list || request_memory(err);
    if (ok && tools && !json_is_array(tools)) ok = request_wrong(r, err, "tools", "expected a list");
    json_array_foreach(tools, i, tool) {
        json_t *type = json_object_get(tool, "type");
        if (!ok || !type || !json_is_word(type, "function")) continue;
        ok = protocol_tool(list, json_object_get(tool, "name"), request_member(tool, "description"),
                           request_member(tool, "parameters"), request_member(tool, "strict"), err);
    }
    ok = ok && request_tools(r, list, choice, request_member(body, "parallel_tool_calls"), err);
    json_decref(list);
    return ok;
}

/* ---- The rest ---------------------------------------------------------------------------------------------------- */

/* "text": {"format": {"type", "name", "schema", "strict"}}. */
static bool take_format(ChatRequest *r, const json_t *body, Err *err) {
    const json_t *text = request_member(body, "text"), *format = request_member(text, "format"),
                 *type = json_object_get(format, "type");
    json_t *schema = json_object_get(format, "schema");
    if (text && !json_is_object(text)) return request_wrong(r, err, "text", "expected an object");
    if (!format || (type && json_is_word(type, "text"))) return true;
    if (type && json_is_word(type, "json_object"))
        r->structure = json_pack("{s:{s:s}}", "response_format", "type", "json_object");
    else if (type && json_is_word(type, "json_schema") && schema)
        r->structure = json_pack("{s:{s:s, s:{s:s, s:O}}}", "response_format", "type", "json_schema", "json_schema",
                                 "name", "text", "schema", schema);
    else return request_wrong(r, err, "text.format", "expected type text, json_object, or json_schema with a schema");
    return r->structure || request_memory(err);
}

static bool refuse(ChatRequest *r, const json_t *body, Err *err) {
    static const struct {
        const char *name, *why;
    } absent[] = {
        {"previous_response_id", "answers are not stored: send the items of the conversation in \"input\""},
        {"conversation", "conversations are not stored: send their items in \"input\""},
        {"prompt", "prompts are not stored: send \"instructions\" and \"input\""},
    };
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (request_member(body, absent[i].name)) return request_wrong(r, err, absent[i].name, "%s", absent[i].why);
    if (json_is_true(json_object_get(body, "background")))
        return request_wrong(r, err, "background", "answers are not stored: expected false");
    if (json_integer_value(json_object_get(body, "top_logprobs")) > 0)
        return request_wrong(r, err, "top_logprobs", "not told here: /v1/chat/completions does");
    return true;
}

static const NumberField numbers[] = {
    {"temperature", "temperature", 0, 2, false},
    {"top_p", "top_p", 0, 1, false},
    {"top_k", "top_k", -1, 1 << 30, true},
    {"min_p", "min_p", 0, 1, false},
};

static bool take_thinking(ChatRequest *r, const json_t *body, Err *err) {
    const json_t *effort = json_object_get(request_member(body, "reasoning"), "effort");
    json_t *variables = request_member(body, "chat_template_kwargs");
    if (variables && !json_is_object(variables))
        return request_wrong(r, err, "chat_template_kwargs", "expected an object");
    r->variables = json_incref(variables);
    return !effort || !json_is_word(effort, "none") || protocol_variable(r, "enable_thinking", json_false(), err);
}

bool responses_request_read(ChatRequest *r, const json_t *body, Err *err) {
    if (!chat_request_new(r, err)) return false;
    protocol_unknown(r, body, known);
    r->include_usage = true;
    return refuse(r, body, err) && request_model(r, body, err) &&
           request_count(r, body, "max_output_tokens", 1, INT64_MAX, &r->max_new, err) && take_input(r, body, err) &&
           take_tools(r, body, err) && take_format(r, body, err) && take_thinking(r, body, err) &&
           request_numbers(r, body, numbers, (int)(sizeof numbers / sizeof *numbers), err) &&
           request_sampling(r, err) && request_stops(r, request_member(body, "stop"), "stop", err) &&
           request_seed(r, request_member(body, "seed"), err) && request_flag(r, body, "stream", &r->stream, err) &&
           request_padding(r, request_member(body, "stream_options"), err);
}
