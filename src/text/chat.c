/* chat.c: rendering messages by a chat template, what requests may hold, and where templates come from. What the
 * template writes and what the messages say are kept apart in the prompt, so that "<|im_end|>" in a message stays
 * text. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "../base/file_kind.h"
#include "../io/json.h"

#include "chat.h"

/* ---- Templates -------------------------------------------------------------------------------------------------- */

static void forget(ChatTemplate *chat) {
    jinja_free(chat->usual);
    jinja_free(chat->with_tools);
    free(chat->wrong);
    chat->usual = chat->with_tools = NULL;
    chat->wrong = NULL;
    chat->needs = NULL;
}

void chat_free(ChatTemplate *chat) {
    forget(chat);
    json_decref(chat->tokens);
    json_decref(chat->arguments);
    *chat = (ChatTemplate){0};
}

bool chat_take(ChatTemplate *chat, const char *text, size_t bytes, bool with_tools, Err *err) {
    Err why = {0};
    JinjaTemplate **place = with_tools ? &chat->with_tools : &chat->usual;
    jinja_free(*place);
    if (!with_tools) free(chat->wrong), chat->wrong = NULL;
    *place = jinja_parse(text, bytes, &why);
    if (*place || with_tools) return true; /* the usual one is taken where that for tools cannot be read */
    return (chat->wrong = strdup(why.text)) || err_as(err, QM_MEMORY, "out of memory: chat template");
}

static bool choose_text(ChatTemplate *chat, const char *text, size_t bytes, Err *err) {
    JinjaTemplate *t = jinja_parse(text, bytes, err);
    if (!t) return false;
    if (EVP_Digest(text, bytes, chat->chosen, NULL, EVP_sha256(), NULL) != 1) {
        jinja_free(t);
        return err_as(err, QM_IO, "cannot hash a chat template: SHA-256 is not available");
    }
    forget(chat);
    chat->usual = t;
    return true;
}

static bool choose_file(ChatTemplate *chat, const char *path, Err *err) {
    size_t bytes;
    char *text = file_read(path, JINJA_MOST_BYTES, &bytes, err);
    bool ok = text && !file_is_other(text, bytes, path, err);
    if (ok && !choose_text(chat, text, bytes, err)) ok = false, err_prefix(err, "%s", path);
    free(text);
    return ok;
}

bool chat_choose(ChatTemplate *chat, const char *name, Err *err) {
    size_t n = strlen(name);
    if (strchr(name, '/') || (n >= 6 && !strcmp(name + n - 6, ".jinja"))) return choose_file(chat, name, err);
    bool is_qwen = !strcmp(name, "qwen2.5");
    if (!is_qwen && strcmp(name, "chatml"))
        return err_set(err, "chat template: expected qwen2.5, chatml or a .jinja file, got '%s'", name);
    const char *text = is_qwen ? chat_qwen25 : chat_chatml;
    if (!choose_text(chat, text, strlen(text), err)) return false;
    chat->needs = "<|im_start|> <|im_end|>";
    return true;
}

static bool set_member(json_t **object, const char *name, json_t *value, Err *err) {
    if (!*object) *object = json_object();
    return (value && *object && json_object_set_new(*object, name, value) == 0) ||
           err_as(err, QM_MEMORY, "out of memory: chat template");
}

bool chat_token(ChatTemplate *chat, const char *name, const char *text, size_t bytes, Err *err) {
    return set_member(&chat->tokens, name, json_stringn(text, bytes), err);
}

bool chat_argument(ChatTemplate *chat, const char *assignment, Err *err) {
    const char *sign = strchr(assignment, '=');
    char name[64], where[96];
    size_t n = sign ? (size_t)(sign - assignment) : 0;
    if (n == 0 || n >= sizeof name)
        return err_set(err, "a template's variable: expected NAME=JSON, got '%.80s'", assignment);
    memcpy(name, assignment, n);
    name[n] = 0;
    snprintf(where, sizeof where, "template variable %s", name);
    json_t *value = json_text(sign + 1, strlen(sign + 1), where, err);
    if (!value) return err_prefix(err, "expected NAME=JSON, where text stands in quotes ('\"high\"')"), false;
    return set_member(&chat->arguments, name, value, err);
}

/* ---- Reading requests ------------------------------------------------------------------------------------------- */

typedef struct Request {
    const JinjaTemplate *t;
    const json_t *messages, *tools, *documents, *variables; /* NULL: none */
    json_t *flat;     /* messages with parts put together; owned, or NULL */
    bool exact;       /* as transformers: nothing is checked or put together */
} Request;

static const JinjaTemplate *template_for(const ChatTemplate *chat, bool tools, Err *err) {
    const JinjaTemplate *t = tools && chat->with_tools ? chat->with_tools : chat->usual;
    if (t) return t;
    err_set(err,
            "%s; choose one with --chat-template qwen2.5, chatml or FILE.jinja, or write the prompt with its control "
            "tokens yourself",
            chat->wrong ? chat->wrong : "this model has no chat template");
    return NULL;
}

static bool check_messages(const Request *r, Err *err) {
    size_t i;
    const json_t *m;
    if (!json_is_array(r->messages)) return err_set(err, "messages: expected an array");
    if (json_array_size(r->messages) == 0) return err_set(err, "messages: expected at least one, got none");
    json_array_foreach(r->messages, i, m) {
        const json_t *role = json_object_get(m, "role"), *calls = json_object_get(m, "tool_calls");
        if (!json_is_object(m)) return err_set(err, "messages[%zu]: expected an object", i);
        if (!json_is_text(role) || json_string_length(role) == 0)
            return err_set(err, "messages[%zu]: role: expected a string, got %s", i, role ? "something else" : "none");
        if (strlen(json_string_value(role)) != json_string_length(role))
            return err_set(err, "messages[%zu]: role holds a NUL character", i);
        if (calls && !json_is_null(calls) && !json_is_array(calls))
            return err_set(err, "messages[%zu]: tool_calls: expected an array", i);
        if (json_array_size(calls) && !jinja_mentions(r->t, "tool_calls"))
            return err_set(err, "messages[%zu]: tool_calls: this model's chat template has no place for them", i);
    }
    return true;
}

static bool check_tools(const Request *r, Err *err) {
    size_t i;
    const json_t *tool;
    if (r->tools && !jinja_mentions(r->t, "tools"))
        return err_set(err, "tools: this model's chat template has no place for them");
    json_array_foreach(r->tools, i, tool)
        if (!json_is_object(tool)) return err_set(err, "tools[%zu]: expected an object", i);
    return true;
}

/* The texts of a list of parts, one after another. */
static json_t *join_parts(const json_t *parts, size_t message, Err *err) {
    size_t k;
    const json_t *part;
    Text whole = {0};
    text_add(&whole, "", 0);
    json_array_foreach(parts, k, part) {
        const char *type = json_string_value(json_object_get(part, "type"));
        const json_t *text = json_object_get(part, "text");
        if (!err->kind && (!json_is_word(json_object_get(part, "type"), "text") || !json_is_text(text)))
            err_set(err, "messages[%zu]: content[%zu]: expected {\"type\": \"text\", \"text\": ...}, got type %.40s",
                    message, k, type ? type : "(none)");
        else if (!err->kind) text_add(&whole, json_string_value(text), json_string_length(text));
    }
    json_t *joined = !err->kind && text_ok(&whole, "message", err) ? json_stringn(whole.data, whole.bytes) : NULL;
    text_free(&whole);
    return joined;
}

/* A template that nowhere reads the text of a part takes content to be one string: lists of text parts become one. */
static bool flatten(Request *r, Err *err) {
    size_t i;
    const json_t *m;
    if (jinja_mentions(r->t, "text")) return true;
    json_array_foreach(r->messages, i, m) {
        const json_t *content = json_object_get(m, "content");
        if (!json_is_array(content)) continue;
        json_t *joined = join_parts(content, i, err), *changed = json_copy((json_t *)(uintptr_t)m);
        if (!r->flat) r->flat = json_copy((json_t *)(uintptr_t)r->messages);
        bool ok = joined && changed && r->flat && json_object_set(changed, "content", joined) == 0 &&
                  json_array_set(r->flat, i, changed) == 0;
        json_decref(joined);
        json_decref(changed);
        if (!ok) return err_as(err, QM_MEMORY, "out of memory: messages");
    }
    if (r->flat) r->messages = r->flat;
    return true;
}

static const json_t *member(const json_t *root, const char *key) {
    const json_t *value = json_object_get(root, key);
    return json_is_null(value) ? NULL : value;
}

static bool read_request(Request *r, const ChatTemplate *chat, const json_t *root, Err *err) {
    const char *key;
    json_t *value;
    r->messages = root;
    if (json_is_object(root)) {
        r->messages = json_object_get(root, "messages");
        r->tools = member(root, "tools");
        r->documents = member(root, "documents");
        r->variables = member(root, "variables");
        json_object_foreach(
            (json_t *)(uintptr_t)root, key,
            value) if (!r->exact && strcmp(key, "messages") && strcmp(key, "tools") && strcmp(key, "documents") &&
                       strcmp(key, "variables")) return err_set(err,
                                                                "unknown member '%.40s': expected messages, tools, "
                                                                "documents and variables",
                                                                key);
    }
    if (r->variables && !json_is_object(r->variables)) return err_set(err, "variables: expected an object");
    if (!r->messages) return err_set(err, "messages: expected an array");
    if (!r->exact && r->tools && !json_is_array(r->tools)) return err_set(err, "tools: expected an array");
    if (!r->exact && json_array_size(r->tools) == 0) r->tools = NULL;
    r->t = template_for(chat, r->tools != NULL, err);
    if (!r->t) return false;
    return r->exact || (check_messages(r, err) && check_tools(r, err) && flatten(r, err));
}

/* ---- Rendering -------------------------------------------------------------------------------------------------- */

static void add_all(JinjaVariable *list, size_t *count, const json_t *object, bool data) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) list[(*count)++] = (JinjaVariable){key, value, data};
}

static bool render(const ChatTemplate *chat, const json_t *root, bool exact, bool generate, Prompt *out, Err *err) {
    Request r = {.exact = exact};
    size_t count = 0, room = 4 + json_object_size(chat->tokens) + json_object_size(chat->arguments) +
                             json_object_size(json_object_get(root, "variables"));
    JinjaVariable *v = mem_new(room, sizeof *v, "chat template", err);
    bool ok = v && read_request(&r, chat, root, err);
    if (ok) {
        v[count++] = (JinjaVariable){"messages", r.messages, true};
        v[count++] = (JinjaVariable){"tools", r.tools, true};
        v[count++] = (JinjaVariable){"documents", r.documents, true};
        v[count++] = (JinjaVariable){"add_generation_prompt", generate ? json_true() : json_false(), false};
        add_all(v, &count, chat->tokens, false);
        add_all(v, &count, chat->arguments, true);
        add_all(v, &count, r.variables, true);
        ok = jinja_render(r.t, v, count, NULL, out, err);
    }
    json_decref(r.flat);
    free(v);
    return ok;
}

bool chat_render_value(const ChatTemplate *chat, const json_t *root, bool add_generation_prompt, Prompt *out,
                       Err *err) {
    return render(chat, root, false, add_generation_prompt, out, err);
}

bool chat_render_bare(const ChatTemplate *chat, const json_t *root, Prompt *out, Err *err) {
    return render(chat, root, true, false, out, err);
}

bool chat_render(const ChatTemplate *chat, const char *json, size_t bytes, bool add_generation_prompt, Prompt *out,
                 Err *err) {
    if (!template_for(chat, false, err)) return false;
    json_t *root = json_text(json, bytes, "messages", err);
    bool ok = root && chat_render_value(chat, root, add_generation_prompt, out, err);
    json_decref(root);
    return ok;
}
