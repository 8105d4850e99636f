/* grammar_schema.c: a JSON schema as a grammar: needs become rules, their forms alternatives. See schema.h. */
#include <stdlib.h>
#include <string.h>
#include "schema.h"

int then3(Builder *b, int x, int y, int z) { return builder_then(b, builder_then(b, x, y), z); }
int text_of(Schema *s, const char *text) { return builder_text(s->b, text, strlen(text)); }

int as_rule(Schema *s, int body) {
    if (body <= 0) return body;
    int rule = builder_rule(s->b);
    return builder_define(s->b, rule, body) ? builder_call(s->b, rule) : -1;
}

/* ---- The rules of JSON (RFC 8259) -------------------------------------------------------------------------------- */

static int one_of(Schema *s, int low, int high) { return builder_class(s->b, &(CodeRange){low, high}, 1, false); }
static int hex_digit(Schema *s, const char *digits) {
    CodeRange range[32];
    int n = 0;
    for (const char *p = digits; *p; p++) range[n++] = (CodeRange){*p, *p};
    return builder_class(s->b, range, n, false);
}

/* One character of a string: anything but controls, the quote and the backslash, or an escape: a pair of surrogates is
 * one character too, and half of one is none. */
static int string_character(Schema *s) {
    Builder *b = s->b;
    static const CodeRange none[] = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
    static const CodeRange simple[] = {{'"', '"'}, {'/', '/'}, {'\\', '\\'}, {'b', 'b'},
                                       {'f', 'f'}, {'n', 'n'}, {'r', 'r'},   {'t', 't'}};
    int hex = hex_digit(s, "0123456789ABCDEFabcdef"), hex2 = builder_then(b, hex, hex),
        hex3 = builder_then(b, hex2, hex);
    int d = hex_digit(s, "Dd");
    int code = builder_or(b, builder_then(b, hex_digit(s, "0123456789ABCEFabcef"), hex3),
                          then3(b, d, one_of(s, '0', '7'), hex2));
    int high = then3(b, d, hex_digit(s, "89ABab"), hex2), low = then3(b, d, hex_digit(s, "CDEFcdef"), hex2);
    int pair = then3(b, high, text_of(s, "\\u"), low);
    int escape = builder_or(b, builder_class(b, simple, 8, false),
                            builder_then(b, text_of(s, "u"), builder_or(b, code, pair)));
    return builder_or(b, builder_class(b, none, 3, true), builder_then(b, text_of(s, "\\"), escape));
}

/* A whole number has at most 16 digits: models would write them on and on. */
static void number_rules(Schema *s) {
    Builder *b = s->b;
    static const CodeRange e[] = {{'E', 'E'}, {'e', 'e'}}, sign[] = {{'+', '+'}, {'-', '-'}};
    int digit = one_of(s, '0', '9'), more = builder_repeat(b, digit, 1, -1);
    int minus = builder_repeat(b, text_of(s, "-"), 0, 1);
    int whole = builder_or(b, text_of(s, "0"), builder_then(b, one_of(s, '1', '9'), builder_repeat(b, digit, 0, 15)));
    s->rule.integer = as_rule(s, builder_then(b, minus, whole));
    int fraction = builder_repeat(b, builder_then(b, text_of(s, "."), more), 0, 1);
    int signs = builder_repeat(b, builder_class(b, sign, 2, false), 0, 1);
    int power = builder_repeat(b, then3(b, builder_class(b, e, 2, false), signs, more), 0, 1);
    s->rule.number = as_rule(s, then3(b, s->rule.integer, fraction, power));
}

/* Space is at most one blank, or a line break and an indentation, or models fill pages. */
static bool json_rules(Schema *s) {
    Builder *b = s->b;
    static const CodeRange blank[] = {{'\t', '\t'}, {' ', ' '}};
    int lines = builder_then(b, text_of(s, "\n"), builder_repeat(b, builder_class(b, blank, 2, false), 0, 20));
    int ws = s->rule.ws = as_rule(s, builder_or(b, builder_or(b, lines, text_of(s, " ")), 0));
    s->rule.comma = as_rule(s, then3(b, ws, text_of(s, ","), ws));
    s->rule.colon = as_rule(s, then3(b, ws, text_of(s, ":"), ws));
    s->rule.character = as_rule(s, string_character(s));
    int quote = text_of(s, "\""), value = builder_rule(b);
    s->rule.value = builder_call(b, value);
    s->rule.string = as_rule(s, then3(b, quote, builder_repeat(b, s->rule.character, 0, -1), quote));
    number_rules(s);
    int rest = builder_repeat(b, builder_then(b, s->rule.comma, s->rule.value), 0, -1);
    int items = builder_repeat(b, builder_then(b, s->rule.value, rest), 0, 1);
    s->rule.array = as_rule(s, then3(b, then3(b, text_of(s, "["), ws, items), ws, text_of(s, "]")));
    int member = as_rule(s, then3(b, s->rule.string, s->rule.colon, s->rule.value));
    rest = builder_repeat(b, builder_then(b, s->rule.comma, member), 0, -1);
    int members = builder_repeat(b, builder_then(b, member, rest), 0, 1);
    s->rule.object = as_rule(s, then3(b, then3(b, text_of(s, "{"), ws, members), ws, text_of(s, "}")));
    int any =
        builder_or(b, builder_or(b, s->rule.object, s->rule.array), builder_or(b, s->rule.string, s->rule.number));
    int words = builder_or(b, builder_or(b, text_of(s, "true"), text_of(s, "false")), text_of(s, "null"));
    return builder_define(b, value, builder_or(b, any, words));
}

/* ---- Values as they stand ---------------------------------------------------------------------------------------- */

static int scalar_expr(Schema *s, const json_t *value) {
    Text text = {0};
    scalar_text(value, &text);
    int out = text_ok(&text, "schema", s->b->err) ? builder_text(s->b, text.data, text.bytes) : -1;
    text_free(&text);
    return out;
}

int literal_expr(Schema *s, const json_t *value) {
    Builder *b = s->b;
    const char *key;
    json_t *member;
    int all = 0;
    bool object = json_is_object(value);
    if (!object && !json_is_array(value)) return scalar_expr(s, value);
    if (s->depth++ > 200) return builder_fail(b, "schema: a value in enum or const: expected less nesting"), -1;
    for (size_t i = 0; i < json_array_size(value); i++)
        all = then3(b, all, i ? s->rule.comma : 0, literal_expr(s, json_array_get(value, i)));
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        json_t *name = json_string(key);
        all = then3(b, all, all ? s->rule.comma : 0,
                    then3(b, scalar_expr(s, name), s->rule.colon, literal_expr(s, member)));
        json_decref(name);
    }
    s->depth--;
    int ws = s->rule.ws;
    return then3(b, builder_then(b, text_of(s, object ? "{" : "["), ws), all,
                 builder_then(b, ws, text_of(s, object ? "}" : "]")));
}

/* The scalar values of all forms become one automaton, so that a thousand names are one way and not a thousand. */
typedef struct Listed { char **text; size_t *bytes, count, text_room, bytes_room; } Listed;

static bool listed_add(Schema *s, Listed *l, const json_t *value) {
    Text text = {0};
    scalar_text(value, &text);
    if (!text_ok(&text, "schema", s->b->err) ||
        !mem_grow((void **)&l->text, &l->text_room, l->count + 1, sizeof *l->text, "schema", s->b->err) ||
        !mem_grow((void **)&l->bytes, &l->bytes_room, l->count + 1, sizeof *l->bytes, "schema", s->b->err))
        return text_free(&text), false;
    l->text[l->count] = text.data;
    l->bytes[l->count++] = text.bytes;
    return true;
}

/* ---- Forms ------------------------------------------------------------------------------------------------------- */

static int either(Builder *b, int all, int one) { return all == -2 ? one : builder_or(b, all, one); }

/* A value of a list that the form takes, beside `all`. */
static int listed_value(Schema *s, const Form *form, const json_t *value, Listed *l, int all) {
    if (!form_takes(s, form, value)) return s->b->err->kind ? -1 : all;
    if (json_is_object(value) || json_is_array(value)) return either(s->b, all, literal_expr(s, value));
    return listed_add(s, l, value) ? all : -1;
}

static bool not_value(const Atom *a, const json_t *value) {
    if (a->kind == ATOM_NOT_CONST) return values_equal(a->value, value);
    for (size_t i = 0; a->kind == ATOM_NOT_ENUM && i < json_array_size(a->value); i++)
        if (values_equal(json_array_get(a->value, i), value)) return true;
    return false;
}
static int word_expr(Schema *s, const Form *form, const json_t *value, const char *text, int all) {
    for (const Atom *a = form->atoms; a; a = a->next)
        if (not_value(a, value)) return all;
    return either(s->b, all, text_of(s, text));
}

/* A form beside `all`; -2: no value so far. */
static int form_expr(Schema *s, const Form *form, Listed *l, int all) {
    Builder *b = s->b;
    for (const Atom *a = form->atoms; a; a = a->next) {
        if (a->kind == ATOM_CONST) return listed_value(s, form, a->value, l, all);
        if (a->kind != ATOM_ENUM) continue;
        s->listing = a;
        for (size_t i = 0; all != -1 && i < json_array_size(a->value); i++)
            all = listed_value(s, form, json_array_get(a->value, i), l, all);
        s->listing = NULL;
        return all;
    }
    if (form->types & TYPE_NULL) all = word_expr(s, form, json_null(), "null", all);
    if (form->types & TYPE_TRUE) all = word_expr(s, form, json_true(), "true", all);
    if (form->types & TYPE_FALSE) all = word_expr(s, form, json_false(), "false", all);
    if (all != -1 && form->types & TYPE_NUMBER) all = either(b, all, number_expr(s, form));
    if (all != -1 && form->types & TYPE_STRING) all = either(b, all, string_expr(s, form));
    if (all != -1 && form->types & TYPE_ARRAY) all = either(b, all, array_expr(s, form));
    if (all != -1 && form->types & TYPE_OBJECT) all = either(b, all, object_expr(s, form));
    return b->err->kind ? -1 : all;
}

static int need_body(Schema *s, Need *need) {
    Listed l = {0};
    int all = -2;
    if (!need_solve(s, need)) return -1;
    for (int i = 0; i < need->forms && all != -1; i++) all = form_expr(s, &need->form[i], &l, all);
    if (l.count && all != -1) {
        const Automaton *words = automaton_words(&s->shop, (const char *const *)l.text, l.bytes, l.count);
        all = either(s->b, all, builder_automaton(s->b, words, false));
    }
    for (size_t i = 0; i < l.count; i++) free(l.text[i]);
    free(l.text), free(l.bytes);
    return all == -2 ? builder_never(s->b) : all;
}

Grammar *grammar_json_schema(const json_t *schema, Err *err) {
    Schema *s = mem_new(1, sizeof *s, "schema", err);
    Builder *b = s ? builder_new(err) : NULL;
    Grammar *g = NULL;
    if (b) {
        *s = (Schema){.b = b, .root = schema, .shop = {.err = err}};
        s->queue_end = &s->queue;
        b->forward = true;
        int root = builder_rule(b);
        bool ok = schema_walk(s) && json_rules(s);
        Claim all = {schema, false};
        ok = ok && builder_define(b, root, need_expr(s, schema_need(s, &all, 1)));
        for (Need *need = s->queue; ok && need; need = need->queue) {
            s->at = need;
            ok = builder_define(b, need->rule, need_body(s, need));
        }
        if (!ok && !err->kind) builder_fail(b, "the schema could not be used");
        g = builder_finish(b, ok ? root : -1);
        arena_free(&s->shop.arena);
    }
    free(s);
    return g;
}

Grammar *grammar_json_object(Err *err) {
    json_t *schema = json_pack("{s:s}", "type", "object");
    Grammar *g = schema ? grammar_json_schema(schema, err) : (err_as(err, QM_MEMORY, "out of memory: schema"), NULL);
    json_decref(schema);
    return g;
}
