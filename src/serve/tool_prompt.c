/* tool_prompt.c: messages and tools as the template at hand wants them. */
#include "tool_prompt.h"
#include <stdlib.h>
#include <string.h>

/* ---- Which form -------------------------------------------------------------------------------------------------- */

static const char probe_name[] = "probe_tool";
static const char probe_tools[] =
    "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"probe_tool\", \"description\": \"d\", "
    "\"parameters\": {\"type\": \"object\", \"properties\": {\"k\": {\"type\": \"string\"}}}}}]";
static const char probe_call[] =
    "{\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [{\"type\": \"function\", \"id\": \"abcdefghi\", "
    "\"function\": {\"name\": \"probe_tool\", \"arguments\": {\"k\": \"v\"}}}]}, "
    "{\"role\": \"tool\", \"content\": \"r\", \"name\": \"probe_tool\", \"tool_call_id\": \"abcdefghi\"}";

/* The prompt of a question, a call of it, and the tool; NULL: the template does not take it. */
static char *probe(const QmTokenizer *t, bool tools, bool call) {
    Text messages = {0};
    Err err = {0};
    int32_t *ids = NULL;
    char *prompt = NULL;
    text_line(&messages, "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}%s%s]%s%s}", call ? ", " : "",
              call ? probe_call : "", tools ? ", " : "", tools ? probe_tools : "");
    if (text_ok(&messages, "a probe", &err) &&
        qm_tokenizer_chat(t, messages.data, messages.bytes, true, &ids, &prompt, &err) < 0) {
        free(prompt);
        prompt = NULL;
    }
    free(ids);
    text_free(&messages);
    return prompt;
}

/* Where `text` has `wanted`, white space aside; NULL: nowhere. */
static const char *find_packed(const char *text, const char *wanted) {
    for (; *text; text++) {
        const char *p = text, *w = wanted;
        if (*p != *w) continue;
        while (*w) {
            while (*p == ' ' || *p == '\n') p++;
            if (*p != *w) break;
            p++, w++;
        }
        if (!*w) return text;
    }
    return NULL;
}

static void show_call(const char *prompt, char shown[160]) {
    const char *last = NULL, *p = prompt;
    while ((p = strstr(p, probe_name))) last = p++;
    size_t before = 0;
    while (last && last - before > prompt && before < 40 && last[-(ptrdiff_t)before - 1] != '\n') before++;
    snprintf(shown, 160, "%.*s", (int)(before + 60), last ? last - before : "");
}

ToolForm tool_form(const QmTokenizer *t, char shown[160]) {
    char *offered = probe(t, true, false), *called = probe(t, true, true);
    ToolForm form = TOOL_FORM_GENERIC;
    if (shown) shown[0] = 0;
    if (offered && strstr(offered, probe_name)) {
        bool ours = called && find_packed(called, "<tool_call>{\"name\":\"probe_tool\",\"arguments\":{\"k\":\"v\"}}"
                                                  "</tool_call>");
        form = ours ? TOOL_FORM_TEMPLATE : TOOL_FORM_OTHER;
        if (!ours && called && shown) show_call(called, shown);
    }
    free(offered);
    free(called);
    return form;
}

const char *tool_form_name(ToolForm form) {
    static const char *const names[] = {"template", "generic", "other"};
    return names[form];
}

/* ---- The generic form -------------------------------------------------------------------------------------------- */

static void add(Text *out, const char *text) { text_add(out, text, strlen(text)); }

/* The text of a message: a string, or text parts, which chat_messages.c has checked. */
static void add_content(Text *out, const json_t *content) {
    size_t i;
    const json_t *part;
    if (json_is_string(content)) text_add(out, json_string_value(content), json_string_length(content));
    json_array_foreach(content, i, part) {
        const json_t *text = json_object_get(part, "text");
        if (text) text_add(out, json_string_value(text), json_string_length(text));
    }
}

static void add_json(Text *out, const json_t *value, Err *err) {
    char *text = json_dump(value, JSON_ENCODE_ANY, "a tool", err); /* ", " and ": ", as templates write it */
    if (text) add(out, text);
    free(text);
}

static void add_section(Text *out, const json_t *tools, Err *err) {
    size_t i;
    const json_t *tool;
    add(out, "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with "
             "function signatures within <tools></tools> XML tags:\n<tools>");
    json_array_foreach(tools, i, tool) {
        add(out, "\n");
        add_json(out, tool, err);
    }
    add(out, "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
             "<tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": "
             "<args-json-object>}\n</tool_call>");
}

static void add_calls(Text *out, const json_t *calls, Err *err) {
    size_t i;
    const json_t *call;
    json_array_foreach(calls, i, call) {
        const json_t *function = json_object_get(call, "function");
        add(out, out->bytes ? "\n<tool_call>\n{\"name\": " : "<tool_call>\n{\"name\": ");
        add_json(out, json_object_get(function, "name"), err);
        add(out, ", \"arguments\": ");
        add_json(out, json_object_get(function, "arguments"), err);
        add(out, "}\n</tool_call>");
    }
}

/* Takes over the text. */
static bool say(json_t *list, const char *role, Text *text, Err *err) {
    bool ok = text_ok(text, "messages", err);
    json_t *content = ok ? json_stringn(text->data ? text->data : "", text->bytes) : NULL;
    json_t *message = content ? json_pack("{s:s, s:o}", "role", role, "content", content) : NULL;
    text_free(text);
    return (message && json_array_append_new(list, message) == 0) || request_memory(err);
}

static bool has_role(const json_t *message, const char *role) {
    return json_is_word(json_object_get(message, "role"), role);
}

/* Results that follow each other are one turn of the user. */
static bool say_results(json_t *list, const json_t *messages, size_t *i, Err *err) {
    Text text = {0};
    for (; has_role(json_array_get(messages, *i), "tool"); ++*i) {
        add(&text, text.bytes ? "\n<tool_response>\n" : "<tool_response>\n");
        add_content(&text, json_object_get(json_array_get(messages, *i), "content"));
        add(&text, "\n</tool_response>");
    }
    return say(list, "user", &text, err);
}

/* The messages with tools, calls and results as text. A new reference. */
static json_t *generic_messages(const json_t *messages, const json_t *tools, Err *err) {
    json_t *list = json_array();
    size_t i = 0;
    bool ok = list || request_memory(err);
    if (ok && json_array_size(tools)) {
        Text system = {0};
        if (has_role(json_array_get(messages, 0), "system")) {
            add_content(&system, json_object_get(json_array_get(messages, 0), "content"));
            add(&system, "\n\n");
            i = 1;
        }
        add_section(&system, tools, err);
        ok = say(list, "system", &system, err);
    }
    while (ok && i < json_array_size(messages)) {
        json_t *m = json_array_get(messages, i), *calls = json_object_get(m, "tool_calls");
        if (has_role(m, "tool")) ok = say_results(list, messages, &i, err);
        else if (json_array_size(calls)) {
            Text text = {0};
            add_content(&text, json_object_get(m, "content"));
            add_calls(&text, calls, err);
            ok = say(list, "assistant", &text, err);
            i++;
        } else ok = json_array_append(list, json_array_get(messages, i++)) == 0 || request_memory(err);
    }
    if (ok && !err->kind) return list;
    json_decref(list);
    return NULL;
}

/* ---- The prompt -------------------------------------------------------------------------------------------------- */

static bool history_has_calls(const json_t *messages) {
    size_t i;
    const json_t *m;
    json_array_foreach(messages, i,
                       m) if (has_role(m, "tool") || json_array_size(json_object_get(m, "tool_calls"))) return true;
    return false;
}

json_t *tool_prompt(const QmTokenizer *t, ChatRequest *r, Err *err) {
    bool offered = r->tool_choice != TOOLS_NONE && json_array_size(r->tools) > 0;
    bool calls = history_has_calls(r->messages), generic = false;
    if (offered || calls) {
        char shown[160], *taken = NULL;
        ToolForm form = tool_form(t, shown);
        if (form == TOOL_FORM_OTHER && offered)
            return request_wrong(r, err, "tools",
                                 "this model's chat template writes calls in a form of its own (%s): expected "
                                 "<tool_call>{\"name\": ..., \"arguments\": {...}}</tool_call>, or a template without "
                                 "tools (--chat-template)",
                                 *shown ? shown : "which it does not show"),
                   NULL;
        generic = form == TOOL_FORM_GENERIC && (offered || !(taken = probe(t, false, true)));
        free(taken);
    }
    json_t *tools = offered ? r->tools : NULL;
    json_t *messages = generic ? generic_messages(r->messages, tools, err) : json_incref(r->messages);
    if (!messages) return NULL;
    json_t *root = json_pack("{s:o}", "messages", messages);
    bool ok = root && (!tools || generic || json_object_set(root, "tools", tools) == 0) &&
              (!r->documents || json_object_set(root, "documents", r->documents) == 0) &&
              (!r->variables || json_object_set(root, "variables", r->variables) == 0);
    if (ok) return root;
    json_decref(root);
    return request_memory(err), NULL;
}

/* Whether the text ends in `tag` and white space. */
static bool ends_in(const char *text, const char *tag) {
    size_t n = strlen(text), k = strlen(tag);
    while (n && strchr(" \n\t\r", text[n - 1])) n--;
    return n >= k && !memcmp(text + n - k, tag, k);
}

AnswerShape answer_shape(const QmTokenizer *t, const ChatRequest *r, const char *prompt) {
    bool open = ends_in(prompt, "<think>"), closed = ends_in(prompt, "</think>");
    return (AnswerShape){.tools = r->tool_choice != TOOLS_NONE && json_array_size(r->tools) > 0,
                         .thinking = open || (!closed && qm_tokenizer_id(t, "<think>") >= 0),
                         .open = open};
}
