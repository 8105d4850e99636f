/* structure.c: what binds the form of a text: "grammar", "regex", "json_schema", and OpenAI's "response_format" in the
 * places where other programs have the schema. One of them, or an error: a schema that was given and not understood
 * would leave the text free. */
#include <string.h>
#include "generation.h"
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

bool structure_from_json(GenerationConfig *c, const json_t *o, const char *where, Err *err) {
    const json_t *format = json_object_get(o, "response_format"), *schema = json_object_get(o, "json_schema");
    Structure s = {.gbnf = json_object_get(o, "grammar"), .regex = json_object_get(o, "regex")};
    int named = !!s.gbnf + !!s.regex + !!schema + !!format;
    if (named == 0) return true;
    if (named > 1)
        return err_set(err, "%s: expected one of grammar, regex, json_schema and response_format, got %d", where,
                       named);
    const json_t *only = s.gbnf ? s.gbnf : s.regex ? s.regex : schema ? schema : format;
    if (json_is_null(only)) return generation_grammar(c, NULL, where, err);
    if (schema && !(s.schema = schema_inside(schema, where, "json_schema", err))) return false;
    if (format && !format_read(&s, format, where, err)) return false;
    const json_t *text = s.gbnf ? s.gbnf : s.regex;
    if (text && !json_is_text(text))
        return err_set(err, "%s: %s: expected a string", where, s.gbnf ? "grammar" : "regex");
    if (!text && !s.schema && !s.any_object) return generation_grammar(c, NULL, where, err); /* "text" */
    const char *start = json_string_value(text);
    return generation_grammar(c, s.gbnf    ? grammar_gbnf(start, json_string_length(text), err)
                                 : s.regex ? grammar_regex(start, json_string_length(text), err)
                                 : s.schema ? grammar_json_schema(s.schema, err)
                                            : grammar_json_object(err), where, err);
}
