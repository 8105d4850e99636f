/* structure.c: what binds the form of a text: "grammar", "regex", "json_schema", "choices", and OpenAI's
 * "response_format" in the places where other programs have the schema. One of them, or an error: a schema that was
 * given and not understood would leave the text free. Beside it "tool_calls", which the text may be instead, and
 * "thinking", which may come before. */
#include <stdlib.h>
#include <string.h>
#include "generation.h"
#include "grammar_cache.h"
#include "grammar_tools.h"
#include "parameters.h"

/* One way to bind a text. */
typedef struct Structure { const json_t *gbnf, *regex, *schema; bool any_object; } Structure;

/* A schema, or OpenAI's {"name", "strict", "description", "schema"} around one. NULL and an error: it lacks one. */
static const json_t *schema_inside(const json_t *value, const char *where, const char *what, Err *err) {
    static const char *const around[] = {"name", "description", "strict", "schema", NULL};
    const json_t *inner = json_object_get(value, "schema"), *name = json_object_get(value, "name");
    bool wrapped = inner || json_is_string(name) || json_object_get(value, "strict");
    if (!wrapped) return value;
    if (!members_known(value, around, where, what, err)) return NULL;
    if (!inner) return err_set(err, "%s: %s: expected \"schema\" in it", where, what), NULL;
    return inner;
}

/* {"type": ..., and what belongs to the type}. */
static bool format_object(Structure *s, const json_t *format, const char *where, Err *err) {
    static const char *const forms[] = {"text", "json_object", "json_schema", "grammar", "regex"};
    static const char *const members[][4] = {{"type", NULL}, {"type", "schema", NULL},
                                             {"type", "json_schema", "schema", NULL}, {"type", "grammar", NULL},
                                             {"type", "regex", "pattern", NULL}};
    const char *type = NULL;
    char inside[224];
    int form = 0;
    snprintf(inside, sizeof inside, "%.200s: response_format", where);
    if (!json_get_text(format, "type", inside, &type, err)) return false;
    while (form < 5 && type && strcmp(type, forms[form])) form++;
    if (!type || form == 5)
        return err_set(err, "%s: response_format: type: expected text, json_object, json_schema, grammar or regex, got "
                            "%.40s", where, type ? type : "none");
    if (!members_known(format, members[form], where, "response_format", err)) return false;
    const json_t *plain = json_object_get(format, "schema"), *schema = json_object_get(format, "json_schema"),
                 *regex = json_object_get(format, "regex"), *pattern = json_object_get(format, "pattern");
    if ((plain && schema) || (regex && pattern))
        return err_set(err, "%s: response_format: expected one of %s", where,
                       plain ? "schema and json_schema" : "regex and pattern");
    if (form == 1 && !plain) s->any_object = true;
    else if (form == 1 || form == 2) {
        s->schema = plain ? plain : schema ? schema_inside(schema, where, "response_format: json_schema", err) : NULL;
        if (!s->schema) return err_set(err, "%s: response_format: json_schema: expected a schema with it", where);
    } else if (form == 3) s->gbnf = json_object_get(format, "grammar");
    else if (form == 4) s->regex = regex ? regex : pattern;
    if (form == 3 && !s->gbnf) return err_set(err, "%s: response_format: expected \"grammar\" in it", where);
    if (form == 4 && !s->regex) return err_set(err, "%s: response_format: expected \"regex\" in it", where);
    return true;
}

static bool format_read(Structure *s, const json_t *format, const char *where, Err *err) {
    if (json_is_object(format)) return format_object(s, format, where, err);
    return err_set(err, "%s: response_format: expected an object with \"type\", as {\"type\": \"json_object\"}", where);
}

bool generation_grammar(GenerationConfig *c, Grammar *grammar, const char *where, Err *err) {
    if (err->kind) return err_prefix(err, "%s", where), false;
    grammar_release(c->grammar);
    c->grammar = grammar;
    return true;
}

/* One of a list of texts. */
static Grammar *choices_grammar(const json_t *list, const char *where, Err *err) {
    size_t i;
    const json_t *one;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return err_set(err, "%s: choices: expected a list of texts", where), NULL;
    json_array_foreach(list, i, one) if (!json_is_text(one) || json_string_length(one) == 0) {
        err_set(err, "%s: choices[%zu]: expected a text", where, i);
        return NULL;
    }
    Grammar **ways = mem_new(json_array_size(list), sizeof *ways, "choices", err), *g = NULL;
    for (i = 0; ways && i < json_array_size(list); i++) {
        one = json_array_get(list, i);
        ways[i] = grammar_text(json_string_value(one), json_string_length(one), err);
    }
    if (ways) g = grammar_either(ways, (int)json_array_size(list), err);
    for (i = 0; ways && i < json_array_size(list); i++) grammar_release(ways[i]);
    free(ways);
    return g;
}

/* What binds the text itself; NULL without an error: nothing. */
static Grammar *text_grammar(const json_t *o, const char *where, Err *err) {
    const json_t *format = json_object_get(o, "response_format"), *schema = json_object_get(o, "json_schema"),
                 *choices = json_object_get(o, "choices");
    Structure s = {.gbnf = json_object_get(o, "grammar"), .regex = json_object_get(o, "regex")};
    int named = !!s.gbnf + !!s.regex + !!schema + !!format + !!choices;
    if (named == 0) return NULL;
    if (named > 1)
        return err_set(err, "%s: expected one of grammar, regex, json_schema, choices and response_format, got %d",
                       where, named), NULL;
    const json_t *only = s.gbnf ? s.gbnf : s.regex ? s.regex : schema ? schema : choices ? choices : format;
    if (json_is_null(only)) return NULL;
    if (choices) return choices_grammar(choices, where, err);
    if (schema && !(s.schema = schema_inside(schema, where, "json_schema", err))) return NULL;
    if (format && !format_read(&s, format, where, err)) return NULL;
    const json_t *text = s.gbnf ? s.gbnf : s.regex;
    if (text && !json_is_text(text))
        return err_set(err, "%s: %s: expected a string", where, s.gbnf ? "grammar" : "regex"), NULL;
    const char *start = json_string_value(text);
    if (text) return (s.gbnf ? grammar_gbnf : grammar_regex)(start, json_string_length(text), err);
    if (s.schema) return grammar_cached_schema(s.schema, err);
    return s.any_object ? grammar_cached_object(err) : NULL; /* "text" */
}

static bool thinking_read(const json_t *o, const char *where, Thinking *out, Err *err) {
    const json_t *value = json_object_get(o, "thinking");
    *out = json_is_word(value, "may") ? THINKING_MAY : json_is_word(value, "open") ? THINKING_OPEN : THINKING_NONE;
    return *out != THINKING_NONE || !value || json_is_null(value) || json_is_word(value, "none") ||
           err_set(err, "%s: thinking: expected none, may or open", where);
}

/* What of a request binds its text, and where it stands. */
typedef struct Asked { const json_t *o; const char *where; } Asked;

/* NULL without an error: nothing does. */
static Grammar *whole_grammar(void *owner, Err *err) {
    const Asked *a = owner;
    const json_t *calls = json_object_get(a->o, "tool_calls");
    Thinking thinking;
    if (!thinking_read(a->o, a->where, &thinking, err)) return NULL;
    Grammar *content = text_grammar(a->o, a->where, err), *all = content;
    if (!err->kind && calls && !json_is_null(calls)) {
        all = grammar_tools(calls, content, a->where, err);
        grammar_release(content);
    }
    Grammar *whole = err->kind || !all ? NULL : grammar_thinking(thinking, all, err);
    grammar_release(all);
    return whole;
}

/* The members that are read here; *any: one but "thinking", which binds nothing by itself. NULL: memory ended. */
static json_t *members_here(const json_t *o, bool *any) {
    static const char *const names[] = {"thinking", "tool_calls", "grammar", "regex", "json_schema", "choices",
                                        "response_format"};
    json_t *key = json_object();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *value = json_object_get(o, names[i]);
        *any |= value && i > 0;
        if (value && key && json_object_set(key, names[i], value)) return json_decref(key), NULL;
    }
    return key;
}

bool structure_from_json(GenerationConfig *c, const json_t *o, const char *where, Err *err) {
    bool any = false;
    Asked asked = {o, where};
    json_t *key = members_here(o, &any);
    Thinking thinking;
    if (!any) return json_decref(key), thinking_read(o, where, &thinking, err);
    Grammar *whole = key ? grammar_cached(key, whole_grammar, &asked, err)
                         : (err_as(err, QM_MEMORY, "out of memory: a grammar"), NULL);
    json_decref(key);
    return generation_grammar(c, whole, where, err);
}
