/* grammar_tools.c: calls of tools as Qwen2.5 and its relatives write them,
 *
 *     <tool_call>
 *     {"name": "NAME", "arguments": {...}}
 *     </tool_call>
 *
 * as a grammar: NAME is one that is offered, the arguments are of its schema. */
#include <string.h>
#include "grammar_cache.h"
#include "grammar_tools.h"

enum { MAX_TOOLS = 512 };

static const char tag[] = "<tool_call>", think_tag[] = "<think>", thought_tag[] = "</think>";

static Grammar *text(const char *t, Err *err) { return grammar_text(t, strlen(t), err); }

/* Parts one after another, each released. */
static Grammar *chain(Grammar **parts, int count, Err *err) {
    Grammar *g = grammar_then(parts, count, err);
    for (int i = 0; i < count; i++) grammar_release(parts[i]);
    return g;
}

static Grammar *ways(Grammar **parts, int count, Err *err) {
    Grammar *g = grammar_either(parts, count, err);
    for (int i = 0; i < count; i++) grammar_release(parts[i]);
    return g;
}
#define CHAIN(err, ...)                                                                                                \
    chain((Grammar *[]){__VA_ARGS__}, (int)(sizeof((Grammar *[]){__VA_ARGS__}) / sizeof(Grammar *)), err)
#define WAYS(err, ...)                                                                                                 \
    ways((Grammar *[]){__VA_ARGS__}, (int)(sizeof((Grammar *[]){__VA_ARGS__}) / sizeof(Grammar *)), err)

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

/* The schema of an object: without parameters it has no members. A new reference. */
static json_t *parameters_of(const json_t *tool, Err *err) {
    json_t *given = json_object_get(tool, "parameters"), *type = json_object_get(given, "type");
    json_t *made = NULL;
    bool has = given && !json_is_null(given);
    if (has && !json_is_object(given)) return err_set(err, "parameters: expected a schema"), NULL;
    if (type && !json_is_word(type, "object"))
        return err_set(err, "parameters: type: expected \"object\", got another"), NULL;
    if (!has) made = json_pack("{s:s, s:b}", "type", "object", "additionalProperties", 0);
    else if (type || json_object_get(given, "$ref")) made = json_incref(given);
    else if ((made = json_copy(given)) && json_object_set_new(made, "type", json_string("object")) != 0)
        json_decref(made), made = NULL;
    if (!made) err_as(err, QM_MEMORY, "out of memory: a tool");
    return made;
}

/* A schema that cannot be kept binds nobody who did not ask for it: then arguments are any object. */
static Grammar *arguments_of(const json_t *tool, bool strict, Err *err) {
    Err why = {0};
    json_t *parameters = parameters_of(tool, err);
    Grammar *g = parameters ? grammar_cached_schema(parameters, &why) : NULL;
    json_decref(parameters);
    if (g || err->kind) return g;
    if (strict || why.kind == QM_MEMORY) {
        err_prefix(&why, "parameters");
        return err_from(err, &why), NULL;
    }
    return grammar_cached_object(err);
}

/* What follows the tag. */
static Grammar *call_of(const json_t *tool, const char *where, size_t i, Err *err) {
    static const char *const known[] = {"name", "parameters", "strict", NULL};
    bool strict = false;
    json_t *name = json_object_get(tool, "name");
    Grammar *g = NULL;
    if (!json_is_object(tool)) err_set(err, "expected an object");
    else if (!json_is_text(name) || json_string_length(name) == 0) err_set(err, "name: expected a text");
    else if (members_known(tool, known, "tool", "members", err) &&
             json_get_bool(tool, "strict", "tool", &strict, err)) {
        char *quoted = json_dump(name, JSON_ENCODE_ANY, "a tool", err);
        if (quoted)
            g = CHAIN(err, text("\n{\"name\": ", err), text(quoted, err), text(", \"arguments\": ", err),
                      arguments_of(tool, strict, err), text("}\n</tool_call>", err));
        free(quoted);
    }
    if (!g) err_prefix(err, "%s: tools[%zu]", where, i);
    return g;
}

/* One call, or several, after the first tag. */
static Grammar *calls_of(const json_t *tools, bool parallel, const char *where, Err *err) {
    Grammar *one[MAX_TOOLS] = {0};
    size_t count = json_array_size(tools);
    bool ok = true;
    if (!json_is_array(tools) || count == 0 || count > MAX_TOOLS)
        return err_set(err, "%s: tools: expected a list of 1 to %d", where, MAX_TOOLS), NULL;
    for (size_t i = 0; ok && i < count; i++) ok = (one[i] = call_of(json_array_get(tools, i), where, i, err)) != NULL;
    Grammar *any = ways(one, (int)count, err), *between = parallel ? text("\n<tool_call>", err) : NULL;
    Grammar *all = parallel ? grammar_list(any, between, err) : grammar_share(any);
    grammar_release(any), grammar_release(between);
    return all;
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

Grammar *grammar_tools(const json_t *member, const Grammar *content, const char *where, Err *err) {
    static const char *const known[] = {"tools", "required", "parallel", NULL};
    bool required = false, parallel = true;
    char inside[128];
    snprintf(inside, sizeof inside, "%.80s: tool_calls", where);
    if (!json_is_object(member)) return err_set(err, "%s: expected an object", inside), NULL;
    if (!members_known(member, known, where, "tool_calls", err) ||
        !json_get_bool(member, "required", inside, &required, err) ||
        !json_get_bool(member, "parallel", inside, &parallel, err))
        return NULL;
    Grammar *calls = calls_of(json_object_get(member, "tools"), parallel, inside, err), *other = (Grammar *)content;
    if (!calls) return NULL;
    if (required) return CHAIN(err, text(tag, err), calls);
    if (content) return WAYS(err, grammar_share(other), CHAIN(err, text(tag, err), calls));
    return WAYS(err, grammar_until(tag, false, err), CHAIN(err, grammar_until(tag, true, err), calls));
}

Grammar *grammar_thinking(Thinking thinking, Grammar *after, Err *err) {
    static const char blank[] = "[ \\t]{0,8}|\\n{0,4}";
    if (!after || thinking == THINKING_NONE) return grammar_share(after);
    Grammar *thought = CHAIN(err, grammar_until(thought_tag, true, err), grammar_regex(blank, strlen(blank), err));
    if (thinking == THINKING_OPEN) return CHAIN(err, thought, grammar_share(after));
    Grammar *from_tag = CHAIN(err, text(think_tag, err), thought);
    return CHAIN(err, WAYS(err, from_tag, text("", err)), grammar_share(after));
}
