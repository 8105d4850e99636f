/* grammar_schema.c: JSON schemas (json-schema.org, the part that a grammar can keep): type, enum, const, properties,
 * required, additionalProperties, items, prefixItems, minItems, maxItems, minLength, maxLength, pattern, anyOf, oneOf,
 * $ref to "#/...". Properties come in the order of the schema. A keyword that would constrain and is not kept is an
 * error. */
#include <stdlib.h>
#include <string.h>
#include "grammar.h"

enum { MAX_REFS = 256 };
typedef struct Schema {
    Builder *b;
    const json_t *root, *ref[MAX_REFS]; /* ref: schemas that have rules " ref N" */
    int rules, depth, refs, refs_done;
} Schema;

static int text_of(Schema *s, const char *text) { return builder_text(s->b, text, strlen(text)); }
static int call(Schema *s, const char *name) { return builder_rule(s->b, name, strlen(name)); }
static int then3(Builder *b, int x, int y, int z) { return builder_then(b, builder_then(b, x, y), z); }

/* A rule of its own: so that what is used twice is expanded once. */
static int as_rule(Schema *s, int body) {
    char name[32];
    snprintf(name, sizeof name, " %d", s->rules++); /* a space: no name of GBNF or of a schema's is like it */
    return builder_define(s->b, name, strlen(name), body) ? call(s, name) : -1;
}

static int one_of(Schema *s, int low, int high) { return builder_class(s->b, &(CodeRange){low, high}, 1, false); }

/* One character of a string: anything but controls, the quote and the backslash, or an escape. */
static int string_character(Schema *s) {
    static const CodeRange none[] = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
    static const CodeRange simple[] = {{'"', '"'}, {'/', '/'}, {'\\', '\\'}, {'b', 'b'},
                                       {'f', 'f'}, {'n', 'n'}, {'r', 'r'},   {'t', 't'}};
    static const CodeRange hex[] = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
    int code = builder_then(s->b, text_of(s, "u"), builder_repeat(s->b, builder_class(s->b, hex, 3, false), 4, 4));
    int escape = builder_then(s->b, text_of(s, "\\"), builder_or(s->b, builder_class(s->b, simple, 8, false), code));
    return builder_or(s->b, builder_class(s->b, none, 3, true), escape);
}

/* The rules of JSON (RFC 8259). Space is at most one blank, or a line break and an indentation, or models fill
 * pages. */
static bool json_rules(Schema *s) {
    Builder *b = s->b;
    static const CodeRange blank[] = {{'\t', '\t'}, {' ', ' '}};
    int lines = builder_then(b, text_of(s, "\n"), builder_repeat(b, builder_class(b, blank, 2, false), 0, 20));
    bool ok = builder_define(b, " ws", 3, builder_or(b, builder_or(b, 0, text_of(s, " ")), lines));
    ok = ok && builder_define(b, " char", 5, string_character(s));
    int quote = text_of(s, "\"");
    ok = ok && builder_define(b, " string", 7, then3(b, quote, builder_repeat(b, call(s, " char"), 0, -1), quote));
    int digit = one_of(s, '0', '9'), more = builder_repeat(b, digit, 1, -1),
        minus = builder_repeat(b, text_of(s, "-"), 0, 1);
    int whole = builder_or(b, text_of(s, "0"), builder_then(b, one_of(s, '1', '9'), builder_repeat(b, digit, 0, 15)));
    ok = ok && builder_define(b, " integer", 8, builder_then(b, minus, whole));
    static const CodeRange e[] = {{'E', 'E'}, {'e', 'e'}}, sign[] = {{'+', '+'}, {'-', '-'}};
    int fraction = builder_repeat(b, builder_then(b, text_of(s, "."), more), 0, 1);
    int power = builder_repeat(
        b, then3(b, builder_class(b, e, 2, false), builder_repeat(b, builder_class(b, sign, 2, false), 0, 1), more), 0,
        1);
    ok = ok && builder_define(b, " number", 7, then3(b, call(s, " integer"), fraction, power));
    int ws = call(s, " ws"), comma = then3(b, ws, text_of(s, ","), ws), value = call(s, " value");
    int items = builder_then(b, value, builder_repeat(b, builder_then(b, comma, value), 0, -1));
    int array = then3(b, then3(b, text_of(s, "["), ws, builder_repeat(b, items, 0, 1)), ws, text_of(s, "]"));
    ok = ok && builder_define(b, " array", 6, array);
    ok = ok && builder_define(b, " member", 7, then3(b, call(s, " string"), then3(b, ws, text_of(s, ":"), ws), value));
    int member = call(s, " member");
    int members = builder_then(b, member, builder_repeat(b, builder_then(b, comma, member), 0, -1));
    int object = then3(b, then3(b, text_of(s, "{"), ws, builder_repeat(b, members, 0, 1)), ws, text_of(s, "}"));
    ok = ok && builder_define(b, " object", 7, object);
    ok = ok && builder_define(b, " boolean", 8, builder_or(b, text_of(s, "true"), text_of(s, "false")));
    ok = ok && builder_define(b, " null", 5, text_of(s, "null"));
    static const char *const kinds[] = {" object", " array", " string", " number", " boolean", " null"};
    int any = call(s, kinds[0]);
    for (int i = 1; i < 6; i++) any = builder_or(b, any, call(s, kinds[i]));
    return ok && builder_define(b, " value", 6, any);
}

static int schema_expr(Schema *s, const json_t *schema);

static int literal(Schema *s, const json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    int out = text ? text_of(s, text) : -1;
    free(text);
    return out;
}

/* One of a list: of values, or of schemas. */
static int any_of(Schema *s, const json_t *list, bool values, const char *what) {
    int all = -1;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return builder_fail(s->b, "%s: expected a list with something in it", what), -1;
    for (size_t i = 0; i < json_array_size(list); i++) {
        int one = values ? literal(s, json_array_get(list, i)) : schema_expr(s, json_array_get(list, i));
        all = one < 0 ? -1 : i == 0 ? one : builder_or(s->b, all, one);
        if (all < 0) return -1;
    }
    return all;
}

/* "least" and "most" of a schema, -1 where there is none. */
static bool bounds(Schema *s, const json_t *schema, const char *low, const char *high, int64_t *least, int64_t *most) {
    Err err = {0};
    *least = 0;
    *most = -1;
    if (json_get_int(schema, low, "schema", 0, MAX_GRAMMAR_NODES, least, &err) &&
        json_get_int(schema, high, "schema", 0, MAX_GRAMMAR_NODES, most, &err) && (*most < 0 || *most >= *least))
        return true;
    return builder_fail(s->b, "%s", err.set ? err.text : "the least is above the most");
}

static int string_schema(Schema *s, const json_t *schema) {
    int64_t least, most;
    int quote = text_of(s, "\"");
    const json_t *pattern = json_object_get(schema, "pattern");
    if (!bounds(s, schema, "minLength", "maxLength", &least, &most)) return -1;
    if (json_is_string(pattern)) {
        if (json_object_get(schema, "minLength") || json_object_get(schema, "maxLength"))
            return builder_fail(s->b, "pattern: expected no minLength and maxLength beside it"), -1;
        return then3(s->b, quote, builder_regex(s->b, json_string_value(pattern), json_string_length(pattern)), quote);
    }
    if (least == 0 && most < 0) return call(s, " string");
    return then3(s->b, quote, builder_repeat(s->b, call(s, " char"), least, most), quote);
}

/* prefixItems in order, then items between minItems and maxItems. */
static int array_schema(Schema *s, const json_t *schema) {
    Builder *b = s->b;
    int64_t least, most;
    const json_t *prefix = json_object_get(schema, "prefixItems"), *items = json_object_get(schema, "items");
    int64_t fixed = (int64_t)json_array_size(prefix);
    if (!bounds(s, schema, "minItems", "maxItems", &least, &most)) return -1;
    int ws = call(s, " ws"), comma = then3(b, ws, text_of(s, ","), ws), all = 0;
    for (int64_t i = 0; i < fixed && all >= 0; i++) {
        int one = schema_expr(s, json_array_get(prefix, (size_t)i));
        all = i ? then3(b, all, comma, one) : one;
    }
    if (all >= 0 && !json_is_false(items) && (!prefix || items) && most != 0) {
        int one = items ? schema_expr(s, items) : call(s, " value");
        if (one >= 0) one = as_rule(s, one);
        int64_t low = least > fixed ? least - fixed : 0, high = most < 0 ? -1 : most > fixed ? most - fixed : 0;
        int rest = builder_then(b, comma, one);
        if (fixed) all = builder_then(b, all, builder_repeat(b, rest, low, high));
        else {
            int some = builder_then(b, one, builder_repeat(b, rest, low ? low - 1 : 0, high < 0 ? -1 : high - 1));
            all = low ? some : builder_repeat(b, some, 0, 1);
        }
    }
    return then3(b, builder_then(b, text_of(s, "["), ws), all, builder_then(b, ws, text_of(s, "]")));
}

static bool is_required(const json_t *schema, const char *key) {
    const json_t *required = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (name && !strcmp(name, key)) return true;
    }
    return false;
}

/* Members from the last to the first: what follows when one has been written (a comma is due), and when none has. */
static int object_schema(Schema *s, const json_t *schema) {
    Builder *b = s->b;
    const json_t *properties = json_object_get(schema, "properties"),
                 *more = json_object_get(schema, "additionalProperties");
    size_t n = json_object_size(properties), at = 0;
    const char *key;
    json_t *value;
    Err ignored = {0};
    int *member = NULL;
    bool *need = NULL;
    if (n == 0 && !json_is_false(more) && !json_is_object(more)) return call(s, " object");
    if (n > 1000) return builder_fail(b, "properties: expected at most 1000"), -1;
    int ws = call(s, " ws"), comma = then3(b, ws, text_of(s, ","), ws), colon = then3(b, ws, text_of(s, ":"), ws);
    member = mem_new(n + 1, sizeof *member, "schema", &ignored);
    need = mem_new(n + 1, sizeof *need, "schema", &ignored);
    if (!member || !need) return free(member), free(need), builder_fail(b, "out of memory"), -1;
    json_object_foreach((json_t *)(uintptr_t)properties, key, value) {
        json_t *name = json_string(key);
        int of = schema_expr(s, value);
        member[at] = of < 0 ? -1 : as_rule(s, then3(b, literal(s, name), colon, of));
        need[at++] = is_required(schema, key);
        json_decref(name);
    }
    int due = 0, none = 0; /* after the last: nothing, or any further members where the schema says so */
    if (json_is_true(more) || json_is_object(more)) {
        int of = json_is_true(more) ? call(s, " value") : schema_expr(s, more);
        int extra = of < 0 ? -1 : as_rule(s, then3(b, call(s, " string"), colon, of));
        due = builder_repeat(b, builder_then(b, comma, extra), 0, -1);
        none = builder_repeat(b, builder_then(b, extra, due), 0, 1);
    }
    for (size_t i = n; i-- > 0 && due >= 0 && none >= 0;) {
        int later = builder_then(b, comma, member[i]);
        int new_none = builder_then(b, member[i], due);
        none = need[i] ? new_none : builder_or(b, new_none, none);
        due = builder_then(b, need[i] ? later : builder_repeat(b, later, 0, 1), due);
        if (due >= 0) due = as_rule(s, due);
        if (none >= 0) none = as_rule(s, none);
    }
    free(member);
    free(need);
    return then3(b, builder_then(b, text_of(s, "{"), ws), none, builder_then(b, ws, text_of(s, "}")));
}

static int typed(Schema *s, const json_t *schema, const char *type) {
    static const char *const plain[] = {"integer", "number", "boolean", "null"};
    if (!strcmp(type, "string")) return string_schema(s, schema);
    if (!strcmp(type, "array")) return array_schema(s, schema);
    if (!strcmp(type, "object")) return object_schema(s, schema);
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, " %s", plain[i]);
        if (!strcmp(type, plain[i])) return call(s, name);
    }
    return builder_fail(s->b, "type: expected a type of JSON, got '%.40s'", type), -1;
}

/* $ref "#/a/b": the schema there becomes a rule, defined after all else, so that schemas may contain themselves. */
static int reference(Schema *s, const char *ref) {
    const json_t *at = s->root;
    char part[256], name[32];
    if (ref[0] != '#') return builder_fail(s->b, "$ref: expected '#/...', got '%.100s'", ref), -1;
    for (const char *p = ref + 1; *p == '/';) {
        size_t bytes = strcspn(++p, "/");
        snprintf(part, sizeof part, "%.*s", (int)(bytes < 255 ? bytes : 255), p);
        at = json_object_get(at, part);
        p += bytes;
    }
    if (!at) return builder_fail(s->b, "$ref: nothing at '%.100s'", ref), -1;
    int i = 0;
    while (i < s->refs && s->ref[i] != at) i++;
    if (i == MAX_REFS) return builder_fail(s->b, "$ref: expected at most %d schemas referred to", MAX_REFS), -1;
    if (i == s->refs) s->ref[s->refs++] = at;
    snprintf(name, sizeof name, " ref %d", i);
    return call(s, name);
}

/* Keywords that constrain and are not kept. */
static bool kept(Schema *s, const json_t *schema) {
    static const char *const not_kept[] = {"not", "allOf", "if", "then", "else", "patternProperties", "propertyNames",
        "minProperties", "maxProperties", "dependentRequired", "dependentSchemas", "contains", "uniqueItems", "minimum",
        "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "unevaluatedProperties", "$dynamicRef"};
    for (size_t i = 0; i < sizeof not_kept / sizeof *not_kept; i++) {
        const json_t *value = json_object_get(schema, not_kept[i]);
        if (value && !json_is_false(value)) return builder_fail(s->b, "schema: '%s' is not supported", not_kept[i]);
    }
    return true;
}

static int schema_expr(Schema *s, const json_t *schema) {
    int out = -1;
    const json_t *type = json_object_get(schema, "type"), *value;
    if (json_is_true(schema)) return call(s, " value");
    if (!json_is_object(schema)) return builder_fail(s->b, "schema: expected an object or true"), -1;
    if (s->depth == MAX_GRAMMAR_DEPTH) return builder_fail(s->b, "schema: expected less nesting"), -1;
    if (!kept(s, schema)) return -1;
    s->depth++;
    if (json_is_string(value = json_object_get(schema, "$ref"))) out = reference(s, json_string_value(value));
    else if ((value = json_object_get(schema, "const"))) out = literal(s, value);
    else if ((value = json_object_get(schema, "enum"))) out = any_of(s, value, true, "enum");
    else if ((value = json_object_get(schema, "anyOf"))) out = any_of(s, value, false, "anyOf");
    else if ((value = json_object_get(schema, "oneOf"))) out = any_of(s, value, false, "oneOf");
    else if (json_is_string(type)) out = typed(s, schema, json_string_value(type));
    else if (json_is_array(type)) {
        for (size_t i = 0; i < json_array_size(type); i++) {
            const char *name = json_string_value(json_array_get(type, i));
            int one = name ? typed(s, schema, name) : -1;
            out = i == 0 ? one : builder_or(s->b, out, one);
        }
    } else if (json_object_get(schema, "properties")) out = object_schema(s, schema);
    else if (json_object_get(schema, "items")) out = array_schema(s, schema);
    else out = call(s, " value");
    s->depth--;
    return out;
}

Grammar *grammar_json_schema(const json_t *schema, Err *err) {
    Builder *b = builder_new(err);
    if (!b) return NULL;
    Schema s = {.b = b, .root = schema};
    bool ok = json_rules(&s) && builder_define(b, "root", 4, schema_expr(&s, schema));
    for (; ok && s.refs_done < s.refs; s.refs_done++) {
        char name[32];
        snprintf(name, sizeof name, " ref %d", s.refs_done);
        ok = builder_define(b, name, strlen(name), schema_expr(&s, s.ref[s.refs_done]));
    }
    if (!ok) builder_fail(b, "the schema could not be used");
    return builder_finish(b, "root");
}

Grammar *grammar_json_object(Err *err) {
    json_t *schema = json_pack("{s:s}", "type", "object");
    Grammar *g = schema ? grammar_json_schema(schema, err) : (err_set(err, "out of memory: schema"), NULL);
    json_decref(schema);
    return g;
}
