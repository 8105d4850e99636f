/* anthropic_request.c: the body of POST /v1/messages and of its count_tokens. Sources: the types of the Python package
 * anthropic 2.14; the bodies that Claude Code sends. */
#include <string.h>
#include "protocol_request.h"

static const char *const text_only[] = {"text", NULL};

static const char *const known[] = {
    "model",
    "messages",
    "system",
    "max_tokens",
    "stop_sequences",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "tools",
    "tool_choice",
    "thinking",
    "metadata",
    "service_tier",
    "output_config",
    "output_format",
    "chat_template_kwargs",
    "seed",
    "betas",
    "container",
    "context_management",
    "mcp_servers",
    "cache_control",
    "inference_geo",
    "speed",
    NULL,
};

typedef struct Where {
    char text[96];
} Where;
static Where place(size_t message, size_t block) {
    Where w;
    snprintf(w.text, sizeof w.text, "messages[%zu].content[%zu]", message, block);
    return w;
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

/* Text blocks that stand together are one message; it is kept here until another kind comes. */
typedef struct Turn {
    ChatRequest *r;
    const char *role;
    Text text, thought;
    bool any;
} Turn;

static bool flush(Turn *t, Err *err) {
    if (!t->any) return true;
    bool ok = text_ok(&t->text, "a message", err) && text_ok(&t->thought, "a message", err);
    json_t *content = ok ? json_stringn(t->text.data ? t->text.data : "", t->text.bytes) : NULL;
    json_t *thought = ok && t->thought.bytes ? json_stringn(t->thought.data, t->thought.bytes) : NULL;
    if (!content) return json_decref(thought), request_memory(err);
    t->text.bytes = t->thought.bytes = 0;
    t->any = false;
    return protocol_message(t->r, t->role, content, "reasoning_content", thought, err);
}

static void add(Text *to, const json_t *text) {
    if (to->bytes) text_add(to, "\n", 1);
    text_add(to, json_string_value(text), json_string_length(text));
}

/* A result of a tool is a message of its own. */
static bool result_block(Turn *t, const json_t *block, const char *where, Err *err) {
    json_t *content = protocol_text(t->r, request_member(block, "content"), text_only, where, err);
    json_t *id = json_object_get(block, "tool_use_id");
    if (!content) return false;
    if (!flush(t, err)) return json_decref(content), false;
    return protocol_message(t->r, "tool", content, "tool_call_id", json_incref(id), err);
}

static bool use_block(Turn *t, const json_t *block, const char *where, Err *err) {
    bool ok = flush(t, err);
    return ok && protocol_call(t->r, json_object_get(block, "id"), json_object_get(block, "name"),
                               json_incref(json_object_get(block, "input")), where, err);
}

static bool take_block(Turn *t, const json_t *block, const char *where, Err *err) {
    const json_t *type = json_object_get(block, "type"), *text = json_object_get(block, "text"),
                 *thought = json_object_get(block, "thinking");
    bool assistant = !strcmp(t->role, "assistant");
    if (type && json_is_word(type, "text") && json_is_text(text)) return add(&t->text, text), t->any = true;
    if (assistant && type && json_is_word(type, "thinking") && json_is_text(thought))
        return add(&t->thought, thought), t->any = true;
    if (assistant && type && json_is_word(type, "redacted_thinking")) return true;
    if (assistant && type && json_is_word(type, "tool_use")) return use_block(t, block, where, err);
    if (!assistant && type && json_is_word(type, "tool_result")) return result_block(t, block, where, err);
    const char *shown = json_string_value(type);
    return request_wrong(t->r, err, where, "blocks of type \"%s\" are not supported here: expected %s",
                         shown ? name_text(shown, json_string_length(type)).text : "",
                         assistant ? "text, thinking or tool_use" : "text or tool_result");
}

static bool take_message(ChatRequest *r, const json_t *m, size_t i, Err *err) {
    json_t *role = json_object_get(m, "role"), *content = json_object_get(m, "content"), *block;
    bool assistant = role && json_is_word(role, "assistant"), system = role && json_is_word(role, "system");
    char where[64];
    size_t k;
    snprintf(where, sizeof where, "messages[%zu]", i);
    if (!assistant && !system && !(role && json_is_word(role, "user")))
        return request_wrong(r, err, where, "role: expected user or assistant");
    const char *name = assistant ? "assistant" : system ? "system" : "user";
    if (json_is_text(content)) return protocol_message(r, name, json_incref(content), NULL, NULL, err);
    if (!json_is_array(content)) return request_wrong(r, err, where, "content: expected a string or a list of blocks");
    Turn t = {.r = r, .role = name};
    bool ok = true;
    json_array_foreach(content, k, block) ok = ok && take_block(&t, block, place(i, k).text, err);
    ok = ok && flush(&t, err);
    text_free(&t.text), text_free(&t.thought);
    return ok;
}

static bool take_messages(ChatRequest *r, const json_t *body, Err *err) {
    const json_t *messages = request_member(body, "messages"), *system = request_member(body, "system"), *m;
    size_t i;
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return request_wrong(r, err, "messages", "expected a list of at least one message");
    if (system) {
        json_t *text = protocol_text(r, system, text_only, "system", err);
        if (!text || !protocol_system(r, text, err)) return false;
    }
    json_array_foreach(messages, i, m) if (!take_message(r, m, i, err)) return false;
    /* A last message of the assistant is the beginning of the answer. */
    const json_t *last = json_array_get(r->messages, json_array_size(r->messages) - 1);
    if (json_is_word(json_object_get(last, "role"), "assistant") && !json_object_get(last, "tool_calls")) {
        r->continue_final = true;
        r->add_generation_prompt = false;
    }
    return true;
}

/* ---- Tools ------------------------------------------------------------------------------------------------------- */

/* Tools that Anthropic's servers run (web_search, ...) have a type and no schema: they are left out, as nobody here can
 * run them. */
static json_t *tools_of(ChatRequest *r, const json_t *tools, Err *err) {
    json_t *list = json_array(), *tool;
    size_t i;
    bool ok = list || request_memory(err);
    if (ok && tools && !json_is_array(tools)) ok = request_wrong(r, err, "tools", "expected a list");
    json_array_foreach(tools, i, tool) {
        json_t *type = request_member(tool, "type"), *schema = request_member(tool, "input_schema");
        if (!ok || (type && !json_is_word(type, "custom") && !schema)) continue;
        ok = protocol_tool(list, json_object_get(tool, "name"), request_member(tool, "description"), schema,
                           request_member(tool, "strict"), err);
    }
    if (ok) return list;
    json_decref(list);
    return NULL;
}

static bool take_tools(ChatRequest *r, const json_t *body, Err *err) {
    json_t *choice = request_member(body, "tool_choice"), *type = json_object_get(choice, "type"), *theirs = NULL;
    bool serial = false;
    if (choice && !request_flag(r, choice, "disable_parallel_tool_use", &serial, err)) return false;
    if (choice && json_is_word(type, "tool"))
        theirs = json_pack("{s:s, s:{s:O*}}", "type", "function", "function", "name", json_object_get(choice, "name"));
    else if (choice) theirs = json_is_word(type, "any") ? json_string("required") : json_incref(type);
    if (choice && (!json_is_text(type) || !theirs ||
                   (!json_is_object(theirs) && !json_is_word(theirs, "required") && !json_is_word(theirs, "auto") &&
                    !json_is_word(theirs, "none"))))
        return json_decref(theirs), request_wrong(r, err, "tool_choice", "type: expected auto, any, tool or none");
    json_t *tools = tools_of(r, request_member(body, "tools"), err);
    bool ok = tools && request_tools(r, tools, theirs, serial ? json_false() : json_true(), err);
    json_decref(tools);
    json_decref(theirs);
    return ok;
}

/* ---- The rest ---------------------------------------------------------------------------------------------------- */

static const NumberField numbers[] = {
    {"temperature", "temperature", 0, 2, false},
    {"top_p", "top_p", 0, 1, false},
    {"top_k", "top_k", 0, 1 << 30, true},
};

/* Thinking is off unless it is asked for, as there; models that always think do so all the same. */
static bool take_thinking(ChatRequest *r, const json_t *body, Err *err) {
    const json_t *thinking = request_member(body, "thinking"), *type = json_object_get(thinking, "type");
    bool on = thinking && (json_is_word(type, "enabled") || json_is_word(type, "adaptive"));
    json_t *variables = request_member(body, "chat_template_kwargs");
    if (thinking && !on && !json_is_word(type, "disabled"))
        return request_wrong(r, err, "thinking", "type: expected enabled, adaptive or disabled");
    if (variables && !json_is_object(variables))
        return request_wrong(r, err, "chat_template_kwargs", "expected an object");
    r->variables = json_incref(variables);
    return protocol_variable(r, "enable_thinking", json_boolean(on), err);
}

/* {"type": "json_schema", "schema"}, at the top (output_format) or in output_config.format. */
static bool take_format(ChatRequest *r, const json_t *body, Err *err) {
    const json_t *format = request_member(body, "output_format");
    if (!format) format = request_member(request_member(body, "output_config"), "format");
    if (!format) return true;
    json_t *schema = json_object_get(format, "schema");
    if (!json_is_word(json_object_get(format, "type"), "json_schema") || !schema)
        return request_wrong(r, err, "output_format", "expected {\"type\": \"json_schema\", \"schema\": ...}");
    r->structure = json_pack("{s:{s:O}}", "json_schema", "schema", schema);
    return r->structure || request_memory(err);
}

bool messages_request_read(ChatRequest *r, const json_t *body, bool counting, Err *err) {
    int64_t most = -1;
    if (!chat_request_new(r, err)) return false;
    protocol_unknown(r, body, known);
    if (!request_model(r, body, err) || !request_count(r, body, "max_tokens", 1, INT64_MAX, &most, err)) return false;
    if (most < 0 && !counting) return request_wrong(r, err, "max_tokens", "expected an integer of 1 or more, got none");
    r->max_new = most;
    r->include_usage = true;
    return take_messages(r, body, err) && take_tools(r, body, err) && take_thinking(r, body, err) &&
           take_format(r, body, err) &&
           request_numbers(r, body, numbers, (int)(sizeof numbers / sizeof *numbers), err) &&
           request_sampling(r, err) &&
           request_stops(r, request_member(body, "stop_sequences"), "stop_sequences", err) &&
           request_seed(r, request_member(body, "seed"), err) && request_flag(r, body, "stream", &r->stream, err);
}
