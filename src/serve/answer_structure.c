/* answer_structure.c: what binds the text of an answer, by the names of OpenAI, vLLM and llama.cpp, as parameters of
 * the library, which reads and refuses them (src/infer/structure.c). */
#include <stdlib.h>
#include <string.h>
#include "tool_prompt.h"

/* ---- The text ---------------------------------------------------------------------------------------------------- */

typedef struct Name {
    const char *theirs, *ours;
} Name;

static const Name of_requests[] = {
    {"response_format", "response_format"},
    {"json_schema", "json_schema"},
    {"grammar", "grammar"},
    {"regex", "regex"},
    {"guided_json", "json_schema"},
    {"guided_regex", "regex"},
    {"guided_choice", "choices"},
    {"guided_grammar", "grammar"},
    {NULL, NULL},
};
static const Name of_structured[] = {
    {"json", "json_schema"}, {"regex", "regex"}, {"choice", "choices"}, {"grammar", "grammar"}, {NULL, NULL},
};

/* Takes over `value`. */
static bool put(ChatRequest *r, json_t *out, const char *theirs, const char *ours, json_t *value, Err *err) {
    if (json_object_size(out)) {
        json_decref(value);
        return request_wrong(r, err, theirs, "expected one of what binds the text: %s is there too", r->wrong);
    }
    snprintf(r->wrong, sizeof r->wrong, "%s", theirs);
    return (value && json_object_set_new(out, ours, value) == 0) || request_memory(err);
}

/* vLLM takes a schema as an object or as its text. */
static json_t *schema_of(ChatRequest *r, json_t *value, const char *where, Err *err) {
    Err why = {0};
    if (!json_is_text(value)) return json_incref(value);
    json_t *schema = json_text(json_string_value(value), json_string_length(value), "schema", &why);
    if (!schema) request_wrong(r, err, where, "%s", why.text);
    return schema;
}

static bool put_named(ChatRequest *r, json_t *out, const json_t *from, const Name *names, const char *inside,
                      Err *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)from, key, value) {
        char where[64];
        const Name *n = names;
        while (n->theirs && strcmp(n->theirs, key)) n++;
        snprintf(where, sizeof where, "%s%.40s", inside, key);
        if (!n->theirs || json_is_null(value)) continue;
        if (!strcmp(key, "response_format") && json_is_word(json_object_get(value, "type"), "text")) continue;
        json_t *given = strcmp(n->ours, "json_schema") ? json_incref(value) : schema_of(r, value, where, err);
        if (!given || !put(r, out, where, n->ours, given, err)) return false;
    }
    return true;
}

/* vLLM's {"json" | "regex" | "choice" | "grammar" | "json_object", ...}. */
static bool put_structured(ChatRequest *r, json_t *out, const json_t *from, Err *err) {
    static const char *const idle[] = {"disable_fallback", "disable_any_whitespace", "disable_additional_properties",
                                       "_backend",         "_backend_was_auto",      NULL};
    const json_t *object = json_object_get(from, "json_object");
    const char *key;
    json_t *value;
    if (!from) return true;
    if (!json_is_object(from)) return request_wrong(r, err, "structured_outputs", "expected an object");
    json_object_foreach((json_t *)(uintptr_t)from, key, value) {
        int known = !strcmp(key, "json_object");
        for (const Name *n = of_structured; n->theirs; n++) known |= !strcmp(key, n->theirs);
        for (const char *const *n = idle; *n; n++) known |= !strcmp(key, *n);
        if (!known && !json_is_null(value))
            return request_wrong(r, err, "structured_outputs",
                                 "\"%s\": expected json, json_object, regex, choice or "
                                 "grammar",
                                 name_text(key, strlen(key)).text);
    }
    if (!put_named(r, out, from, of_structured, "structured_outputs.", err)) return false;
    return !json_is_true(object) || put(r, out, "structured_outputs.json_object", "response_format",
                                        json_pack("{s:s}", "type", "json_object"), err);
}

/* ---- Tools ------------------------------------------------------------------------------------------------------- */

static json_t *tools_of(const ChatRequest *r) {
    json_t *list = json_array();
    size_t i;
    const json_t *tool;
    json_array_foreach(r->tools, i, tool) {
        json_t *function = json_object_get(tool, "function"), *name = json_object_get(function, "name");
        if (r->tool_choice == TOOLS_NAMED && !json_is_word(name, r->tool_name)) continue;
        json_t *one = json_pack("{s:O}", "name", name), *value;
        if (one && (value = json_object_get(function, "parameters"))) json_object_set(one, "parameters", value);
        if (one && (value = json_object_get(function, "strict"))) json_object_set(one, "strict", value);
        if (!one || json_array_append_new(list, one) != 0) return json_decref(list), NULL;
    }
    return list;
}

static bool put_tools(ChatRequest *r, json_t *out, Err *err) {
    json_t *tools = tools_of(r);
    json_t *calls = tools ? json_pack("{s:o, s:b, s:b}", "tools", tools, "required", r->tool_choice != TOOLS_AUTO,
                                      "parallel", r->parallel_tools && r->tool_choice != TOOLS_NAMED)
                          : NULL;
    if (json_object_size(out) == 0) snprintf(r->wrong, sizeof r->wrong, "tools");
    return (calls && json_object_set_new(out, "tool_calls", calls) == 0) || request_memory(err);
}

/* ---- Both -------------------------------------------------------------------------------------------------------- */

bool answer_structure(ChatRequest *r, AnswerShape shape, QmParameters *p, Err *err) {
    return answer_structure_told(r, shape, p, NULL, err);
}

bool answer_structure_told(ChatRequest *r, AnswerShape shape, QmParameters *p, json_t *told, Err *err) {
    json_t *out = json_object();
    r->wrong[0] = 0;
    bool ok = (out || request_memory(err)) && put_named(r, out, r->structure, of_requests, "", err) &&
              put_structured(r, out, json_object_get(r->structure, "structured_outputs"), err) &&
              (!shape.tools || put_tools(r, out, err));
    if (ok && json_object_size(out)) {
        const char *thinking = shape.open ? "open" : shape.thinking ? "may" : "none";
        ok = json_object_set_new(out, "thinking", json_string(thinking)) == 0 || request_memory(err);
        char *text = ok ? json_dump(out, JSON_COMPACT, "structure", err) : NULL;
        ok = text && qm_parameters_set(p, text, strlen(text), err);
        if (!ok && json_object_get(out, "tool_calls") && strstr(err->text, "tool_calls"))
            snprintf(r->wrong, sizeof r->wrong, "tools");
        free(text);
    }
    if (ok) r->wrong[0] = 0;
    if (ok && told && json_object_update(told, out) != 0) ok = request_memory(err);
    json_decref(out);
    return ok;
}
