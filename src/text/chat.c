/* chat.c: rendering messages. What the template writes and what the messages say are kept apart in the prompt, so that
 * "<|im_end|>" in a message stays text. */
#include <stdlib.h>
#include <string.h>
#include "../io/json.h"
#include "chat.h"

typedef struct Render {
    const ChatTemplate *chat;
    const json_t *messages;
    const json_t *tools;   /* NULL: none */
    size_t count;
    Prompt *out;
    Err *err;
} Render;

void prompt_free(Prompt *prompt) {
    text_free(&prompt->text);
    free(prompt->open);
    *prompt = (Prompt){0};
}

/* ---- Writing ------------------------------------------------------------------------------------------------- */

/* Text of the template: control tokens in it are control tokens. */
static bool write_template(Render *r, const char *text) {
    Prompt *p = r->out;
    size_t start = p->text.bytes;
    text_add(&p->text, text, strlen(text));
    if (p->open_count && p->open[p->open_count - 1].end == start) {
        p->open[p->open_count - 1].end = p->text.bytes;
        return true;
    }
    if (!mem_grow((void **)&p->open, &p->open_room, p->open_count + 1, sizeof *p->open, "prompt", r->err)) return false;
    p->open[p->open_count++] = (Span){start, p->text.bytes};
    return true;
}

/* Text of a message. */
static bool write_plain(Render *r, const json_t *string) {
    text_add(&r->out->text, json_string_value(string), json_string_length(string));
    return true;
}

static bool write_json(Render *r, const json_t *value) {
    python_json(value, &r->out->text);
    return true;
}

/* ---- Reading messages ---------------------------------------------------------------------------------------- */

static const json_t *message_at(const Render *r, size_t i) { return json_array_get(r->messages, i); }

static bool has_role(const Render *r, size_t i, const char *role) {
    const char *text = i < r->count ? json_string_value(json_object_get(message_at(r, i), "role")) : NULL;
    return text && !strcmp(text, role);
}

/* A tool_calls that is absent, null or empty is none, as in the template. */
static const json_t *tool_calls(const Render *r, size_t i) {
    const json_t *calls = json_object_get(message_at(r, i), "tool_calls");
    return json_array_size(calls) ? calls : NULL;
}

/* Writes a message's content: a string, or an array of {"type": "text", "text": ...} one after another. */
static bool write_content(Render *r, size_t i) {
    const json_t *content = json_object_get(message_at(r, i), "content"), *part;
    size_t k;
    if (json_is_text(content)) return write_plain(r, content);
    if (!content || json_is_null(content))
        return err_set(r->err, "messages[%zu]: content is %s", i, content ? "null" : "missing");
    if (!json_is_array(content))
        return err_set(r->err, "messages[%zu]: content: expected a string or an array of text parts", i);
    json_array_foreach(content, k, part) {
        const char *type = json_string_value(json_object_get(part, "type"));
        const json_t *text = json_object_get(part, "text");
        if (!json_is_word(json_object_get(part, "type"), "text") || !json_is_text(text))
            return err_set(r->err,
                           "messages[%zu]: content[%zu]: expected {\"type\": \"text\", \"text\": ...}, got type %.40s",
                           i, k, type ? type : "(none)");
        write_plain(r, text);
    }
    return true;
}

/* Whether there is content to write, as the template's `if message.content`. */
static bool has_content(const Render *r, size_t i) {
    const json_t *content = json_object_get(message_at(r, i), "content");
    return json_is_string(content)
               ? json_string_length(content) > 0
               : content && !json_is_null(content) && !(json_is_array(content) && json_array_size(content) == 0);
}

static bool check_messages(const Render *r) {
    if (!json_is_array(r->messages)) return err_set(r->err, "messages: expected an array");
    if (r->count == 0) return err_set(r->err, "messages: expected at least one, got none");
    for (size_t i = 0; i < r->count; i++) {
        const json_t *m = message_at(r, i), *role = json_object_get(m, "role"),
                     *calls = json_object_get(m, "tool_calls");
        if (!json_is_object(m)) return err_set(r->err, "messages[%zu]: expected an object", i);
        if (!json_is_text(role) || json_string_length(role) == 0)
            return err_set(r->err, "messages[%zu]: role: expected a string, got %s", i,
                           role ? "something else" : "none");
        if (strlen(json_string_value(role)) != json_string_length(role))
            return err_set(r->err, "messages[%zu]: role holds a NUL character", i);
        if (calls && !json_is_null(calls) && !json_is_array(calls))
            return err_set(r->err, "messages[%zu]: tool_calls: expected an array", i);
    }
    return true;
}

/* ---- ChatML -------------------------------------------------------------------------------------------------- */

static bool render_turn(Render *r, size_t i) {
    return write_template(r, "<|im_start|>") && write_plain(r, json_object_get(message_at(r, i), "role")) &&
           write_template(r, "\n") && write_content(r, i) && write_template(r, "<|im_end|>\n");
}

static bool render_system(Render *r) {
    return write_template(r, "<|im_start|>system\n") && write_template(r, r->chat->system) &&
           write_template(r, "<|im_end|>\n");
}

static bool render_chatml(Render *r) {
    if (r->tools) return err_set(r->err, "tools: this model's chat template has no place for them");
    if (r->chat->system && !has_role(r, 0, "system") && !render_system(r)) return false;
    for (size_t i = 0; i < r->count; i++) {
        if (tool_calls(r, i))
            return err_set(r->err, "messages[%zu]: tool_calls: this model's chat template has no place for them", i);
        if (!render_turn(r, i)) return false;
    }
    return true;
}

/* ---- Qwen2.5 ------------------------------------------------------------------------------------------------- */

static bool render_tools(Render *r) {
    const json_t *tool;
    size_t i;
    if (!write_template(r, "<|im_start|>system\n")) return false;
    if (!(has_role(r, 0, "system") ? write_content(r, 0) : write_template(r, r->chat->system))) return false;
    if (!write_template(
            r, "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided "
               "with function signatures within <tools></tools> XML tags:\n<tools>"))
        return false;
    json_array_foreach(r->tools, i, tool) {
        if (!json_is_object(tool)) return err_set(r->err, "tools[%zu]: expected an object", i);
        if (!write_template(r, "\n") || !write_json(r, tool)) return false;
    }
    return write_template(
        r, "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
           "<tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": "
           "<args-json-object>}\n</tool_call><|im_end|>\n");
}

/* An assistant's turn with calls. Content may be missing. */
static bool render_calls(Render *r, size_t i, const json_t *calls) {
    const json_t *call;
    size_t k;
    if (!write_template(r, "<|im_start|>assistant")) return false;
    if (has_content(r, i) && (!write_template(r, "\n") || !write_content(r, i))) return false;
    json_array_foreach(calls, k, call) {
        const json_t *function = json_object_get(call, "function"), *name, *arguments;
        if (!function) function = call;
        name = json_object_get(function, "name");
        arguments = json_object_get(function, "arguments");
        if (!json_is_text(name))
            return err_set(r->err, "messages[%zu]: tool_calls[%zu]: name: expected a string", i, k);
        if (!arguments) return err_set(r->err, "messages[%zu]: tool_calls[%zu]: arguments are missing", i, k);
        if (!write_template(r, "\n<tool_call>\n{\"name\": \"") || !write_plain(r, name) ||
            !write_template(r, "\", \"arguments\": ") || !write_json(r, arguments) ||
            !write_template(r, "}\n</tool_call>"))
            return false;
    }
    return write_template(r, "<|im_end|>\n");
}

/* Results of tools that follow each other are one turn of the user. */
static bool render_tool(Render *r, size_t i) {
    if ((i == 0 || !has_role(r, i - 1, "tool")) && !write_template(r, "<|im_start|>user")) return false;
    if (!write_template(r, "\n<tool_response>\n") || !write_content(r, i) || !write_template(r, "\n</tool_response>"))
        return false;
    return has_role(r, i + 1, "tool") || write_template(r, "<|im_end|>\n");
}

static bool render_qwen25(Render *r) {
    if (r->tools ? !render_tools(r) : has_role(r, 0, "system") ? !render_turn(r, 0) : !render_system(r)) return false;
    for (size_t i = has_role(r, 0, "system"); i < r->count; i++) {
        const json_t *calls = tool_calls(r, i);
        bool ok;
        if (has_role(r, i, "assistant") && calls) ok = render_calls(r, i, calls);
        else if (has_role(r, i, "user") || has_role(r, i, "system") || has_role(r, i, "assistant"))
            ok = render_turn(r, i);
        else if (has_role(r, i, "tool")) ok = render_tool(r, i);
        else ok = err_set(r->err, "messages[%zu]: role: expected system, user, assistant or tool, got '%.40s'", i,
                          json_string_value(json_object_get(message_at(r, i), "role")));
        if (!ok) return false;
    }
    return true;
}

/* ---- The whole ----------------------------------------------------------------------------------------------- */

static bool read_request(Render *r, const json_t *root) {
    const char *key;
    json_t *value;
    r->messages = root;
    if (json_is_object(root)) {
        r->messages = json_object_get(root, "messages");
        r->tools = json_object_get(root, "tools");
        json_object_foreach((json_t *)(uintptr_t)root, key, value)
            if (strcmp(key, "messages") && strcmp(key, "tools"))
                return err_set(r->err, "unknown member '%.40s': expected messages and tools", key);
    }
    if (json_is_null(r->tools)) r->tools = NULL;
    if (r->tools && !json_is_array(r->tools)) return err_set(r->err, "tools: expected an array");
    if (json_array_size(r->tools) == 0) r->tools = NULL;
    r->count = json_array_size(r->messages);
    return check_messages(r);
}

static bool check_kind(ChatKind kind, Err *err) {
    if (kind == CHAT_CHATML || kind == CHAT_QWEN25) return true;
    return err_set(err,
                   "%s; choose one with --chat-template qwen2.5, chatml or FILE.jinja that holds one of these, or "
                   "write the prompt "
                   "with its control tokens yourself",
                   kind == CHAT_NONE ? "this model has no chat template"
                                     : "this model's chat template is none we know");
}

bool chat_render_value(const ChatTemplate *chat, const json_t *root, bool add_generation_prompt, Prompt *out,
                       Err *err) {
    Render r = {.chat = chat, .out = out, .err = err};
    if (!check_kind(chat->kind, err)) return false;
    return read_request(&r, root) && (chat->kind == CHAT_QWEN25 ? render_qwen25(&r) : render_chatml(&r)) &&
           (!add_generation_prompt || write_template(&r, "<|im_start|>assistant\n")) &&
           text_ok(&out->text, "prompt", err);
}

bool chat_render(const ChatTemplate *chat, const char *json, size_t bytes, bool add_generation_prompt, Prompt *out,
                 Err *err) {
    if (!check_kind(chat->kind, err)) return false;
    json_t *root = json_text(json, bytes, "messages", err);
    bool ok = root && chat_render_value(chat, root, add_generation_prompt, out, err);
    json_decref(root);
    return ok;
}
