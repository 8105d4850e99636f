/* schema_keywords.c: a row for each keyword of JSON Schema: what its value must be, what it claims of a value, and the
 * ways in which a value can break it. What has no row is an annotation. */
#include <stdlib.h>
#include <string.h>
#include "schema.h"

int type_bits(const char *type) {
    static const struct { const char *name; int bits; } types[] = {
        {"null", TYPE_NULL}, {"boolean", TYPE_BOOLEAN}, {"integer", TYPE_INTEGER}, {"number", TYPE_NUMBER},
        {"string", TYPE_STRING}, {"array", TYPE_ARRAY}, {"object", TYPE_OBJECT}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(type, types[i].name)) return types[i].bits;
    return 0;
}

/* A whole number, 2.0 too; -1 when it is none, or negative. Beyond MAX_REPEAT all are alike. */
int64_t count_of(const json_t *value) {
    const char *wide = json_number_spelling(value);
    if (wide) return wide[0] == '-' ? -1 : 2 * (int64_t)MAX_REPEAT;
    double number = json_is_number(value) ? json_number_value(value) : -1;
    if (!(number >= 0) || !number_is_integer(value)) return -1;
    return number > MAX_REPEAT ? 2 * (int64_t)MAX_REPEAT : (int64_t)number;
}

static Claim holds(const json_t *schema) { return (Claim){schema, false}; }
static Claim fails(const json_t *schema) { return (Claim){schema, true}; }
static bool is_anything(const json_t *schema) {
    return json_is_true(schema) || (json_is_object(schema) && json_object_size(schema) == 0);
}

/* An alternative of a negation with one atom. */
static bool deny(Schema *s, Branch *b, int types, Atom atom) {
    struct Alternative *a = alternative_new(s, types);
    return alternative_atom(s, a, atom) && branch_deny(b, a);
}
static bool deny_claim(Schema *s, Branch *b, Claim claim, const Holder *h) {
    struct Alternative *a = alternative_new(s, TYPE_ALL);
    return alternative_claim(s, a, claim, h) && branch_deny(b, a);
}

/* What is read with another keyword, or need not be read. */
static bool nothing(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    (void)s, (void)b, (void)h, (void)value;
    return true;
}

/* ---- Any type ---------------------------------------------------------------------------------------------------- */

static int types_of(const json_t *value) {
    int bits = json_is_string(value) ? type_bits(json_string_value(value)) : 0;
    for (size_t i = 0; i < json_array_size(value); i++) bits |= type_bits(json_string_value(json_array_get(value, i)));
    return bits;
}
static bool take_type(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    (void)s, (void)h;
    b->form.types &= types_of(value);
    return true;
}
static bool deny_type(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    (void)h;
    return branch_deny(b, alternative_new(s, TYPE_ALL & ~types_of(value)));
}

static bool take_enum(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return branch_atom(s, b, (Atom){.kind = ATOM_ENUM, .value = value, .holder = h});
}
static bool deny_enum(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return deny(s, b, TYPE_ALL, (Atom){.kind = ATOM_NOT_ENUM, .value = value, .holder = h});
}
static bool take_const(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return branch_atom(s, b, (Atom){.kind = ATOM_CONST, .value = value, .holder = h});
}
static bool deny_const(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return deny(s, b, TYPE_ALL, (Atom){.kind = ATOM_NOT_CONST, .value = value, .holder = h});
}

/* ---- Schemas in place -------------------------------------------------------------------------------------------- */

static bool take_ref(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    const json_t *to = schema_reference(s, h->schema, "$ref", json_string_value(value));
    return to && branch_claim(s, b, holds(to), h);
}
static bool deny_ref(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    const json_t *to = schema_reference(s, h->schema, "$ref", json_string_value(value));
    return to && deny_claim(s, b, fails(to), h);
}

static bool take_all(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    for (size_t i = json_array_size(value); i-- > 0;)
        if (!branch_claim(s, b, holds(json_array_get(value, i)), h)) return false;
    return true;
}
static bool deny_all(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!deny_claim(s, b, fails(json_array_get(value, i)), h)) return false;
    return true;
}

static bool take_any(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    struct Alternative *first = NULL;
    for (size_t i = json_array_size(value); i-- > 0;) {
        struct Alternative *a = alternative_new(s, TYPE_ALL);
        if (!alternative_claim(s, a, holds(json_array_get(value, i)), h)) return false;
        a->next = first;
        first = a;
    }
    return branch_choice(s, b, first);
}
static bool deny_any(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    struct Alternative *a = alternative_new(s, TYPE_ALL);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!alternative_claim(s, a, fails(json_array_get(value, i)), h)) return false;
    return branch_deny(b, a);
}

/* One holds and the others do not: where two cannot hold together, that need not be said. */
static bool take_one(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    struct Alternative *first = NULL;
    size_t n = json_array_size(value);
    for (size_t i = n; i-- > 0;) {
        struct Alternative *a = alternative_new(s, TYPE_ALL);
        if (!alternative_claim(s, a, holds(json_array_get(value, i)), h)) return false;
        for (size_t k = 0; k < n; k++) {
            Claim both[] = {holds(json_array_get(value, i)), holds(json_array_get(value, k))};
            if (k == i || need_empty(s, schema_need(s, both, 2))) continue;
            if (!alternative_claim(s, a, fails(json_array_get(value, k)), h)) return false;
        }
        a->next = first;
        first = a;
    }
    return branch_choice(s, b, first);
}
/* None, or two. */
static bool deny_one(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    size_t n = json_array_size(value);
    if (!deny_any(s, b, h, value)) return false;
    if (n > 16)
        return schema_refuse(s, h->schema, "oneOf", "where it must not hold, in not, if or another oneOf: expected at "
                             "most 16 schemas");
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++) {
            struct Alternative *a = alternative_new(s, TYPE_ALL);
            if (!alternative_claim(s, a, holds(json_array_get(value, i)), h) ||
                !alternative_claim(s, a, holds(json_array_get(value, k)), h) || !branch_deny(b, a))
                return false;
        }
    return true;
}

static bool take_not(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return branch_claim(s, b, fails(value), h);
}
static bool deny_not(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return deny_claim(s, b, holds(value), h);
}

/* Two ways: `if` and the one keyword, not `if` and the other. A keyword that is missing holds. */
static bool if_ways(Schema *s, const Holder *h, const json_t *value, bool not, struct Alternative **way) {
    const json_t *then[] = {json_object_get(h->schema, "then"), json_object_get(h->schema, "else")};
    for (int i = 0; i < 2; i++) {
        Claim last = {then[i] ? then[i] : json_true(), not};
        way[i] = alternative_new(s, TYPE_ALL);
        if (!alternative_claim(s, way[i], (Claim){value, i == 1}, h) || !alternative_claim(s, way[i], last, h))
            return false;
    }
    return true;
}
static bool take_if(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    struct Alternative *way[2];
    if (!json_object_get(h->schema, "then") && !json_object_get(h->schema, "else")) return true;
    if (!if_ways(s, h, value, false, way)) return false;
    way[0]->next = way[1];
    return branch_choice(s, b, way[0]);
}
static bool deny_if(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    struct Alternative *way[2];
    return if_ways(s, h, value, true, way) && branch_deny(b, way[0]) && branch_deny(b, way[1]);
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

static bool bounded(Schema *s, const Holder *h, const char *keyword, const json_t *value) {
    return number_bounded(value) || schema_refuse(s, h->schema, keyword, "expected at most 40 digits");
}
static bool limit(Schema *s, Branch *b, const Holder *h, const char *keyword, AtomKind kind, const json_t *value,
                  bool strict, bool denied) {
    Atom atom = {.kind = kind, .value = value, .strict = strict, .holder = h};
    if (!bounded(s, h, keyword, value)) return false;
    return denied ? deny(s, b, TYPE_NUMBER, atom) : branch_atom(s, b, atom);
}
/* In draft 4 the exclusive ones are flags beside the others. */
static bool flagged(const Holder *h, const char *keyword) { return json_is_true(json_object_get(h->schema, keyword)); }
static bool take_minimum(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return limit(s, b, h, "minimum", ATOM_LOW, value, flagged(h, "exclusiveMinimum"), false);
}
static bool deny_minimum(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return limit(s, b, h, "minimum", ATOM_HIGH, value, !flagged(h, "exclusiveMinimum"), true);
}
static bool take_maximum(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return limit(s, b, h, "maximum", ATOM_HIGH, value, flagged(h, "exclusiveMaximum"), false);
}
static bool deny_maximum(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return limit(s, b, h, "maximum", ATOM_LOW, value, !flagged(h, "exclusiveMaximum"), true);
}
static bool take_above(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return json_is_boolean(value) || limit(s, b, h, "exclusiveMinimum", ATOM_LOW, value, true, false);
}
static bool deny_above(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return json_is_boolean(value) || limit(s, b, h, "exclusiveMinimum", ATOM_HIGH, value, false, true);
}
static bool take_below(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return json_is_boolean(value) || limit(s, b, h, "exclusiveMaximum", ATOM_HIGH, value, true, false);
}
static bool deny_below(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return json_is_boolean(value) || limit(s, b, h, "exclusiveMaximum", ATOM_LOW, value, false, true);
}
static bool take_multiple(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return bounded(s, h, "multipleOf", value) &&
           branch_atom(s, b, (Atom){.kind = ATOM_MULTIPLE, .value = value, .holder = h});
}

/* ---- Counts: of characters, items, members ----------------------------------------------------------------------- */

/* Most of something, where that is more than a grammar can count: fewer, which lets nothing wrong through. */
static int64_t capped(int64_t count) { return count > MAX_REPEAT ? MAX_REPEAT / 2 : count; }
static bool take_least(Schema *s, Branch *b, const Holder *h, const json_t *value, AtomKind kind) {
    return branch_atom(s, b, (Atom){.kind = kind, .least = count_of(value), .most = -1, .holder = h});
}
static bool take_most(Schema *s, Branch *b, const Holder *h, const json_t *value, AtomKind kind) {
    return branch_atom(s, b, (Atom){.kind = kind, .most = capped(count_of(value)), .holder = h});
}
static bool deny_least(Schema *s, Branch *b, const Holder *h, const json_t *value, AtomKind kind, int types) {
    int64_t count = count_of(value);
    if (count == 0) return true;
    return deny(s, b, types, (Atom){.kind = kind, .most = capped(count - 1), .holder = h});
}
static bool deny_most(Schema *s, Branch *b, const Holder *h, const json_t *value, AtomKind kind, int types) {
    return deny(s, b, types, (Atom){.kind = kind, .least = count_of(value) + 1, .most = -1, .holder = h});
}
#define COUNTS(what, kind, types)                                                                                      \
    static bool take_least_##what(Schema *s, Branch *b, const Holder *h, const json_t *value) {                        \
        return take_least(s, b, h, value, kind);                                                                       \
    }                                                                                                                  \
    static bool take_most_##what(Schema *s, Branch *b, const Holder *h, const json_t *value) {                         \
        return take_most(s, b, h, value, kind);                                                                        \
    }                                                                                                                  \
    static bool deny_least_##what(Schema *s, Branch *b, const Holder *h, const json_t *value) {                        \
        return deny_least(s, b, h, value, kind, types);                                                                \
    }                                                                                                                  \
    static bool deny_most_##what(Schema *s, Branch *b, const Holder *h, const json_t *value) {                         \
        return deny_most(s, b, h, value, kind, types);                                                                 \
    }
COUNTS(characters, ATOM_LENGTH, TYPE_STRING)
COUNTS(items, ATOM_SIZE, TYPE_ARRAY)
COUNTS(members, ATOM_COUNT, TYPE_OBJECT)

/* ---- Strings ----------------------------------------------------------------------------------------------------- */

static bool take_pattern(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    const Automaton *a = schema_pattern(s, json_string_value(value), json_string_length(value));
    return a ? branch_atom(s, b, (Atom){.kind = ATOM_WORD, .automaton = a, .holder = h})
             : schema_refused(s, h->schema, "pattern");
}
static bool deny_pattern(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    const Automaton *a = schema_pattern(s, json_string_value(value), json_string_length(value));
    return a ? deny(s, b, TYPE_STRING, (Atom){.kind = ATOM_NOT_WORD, .automaton = a, .holder = h})
             : schema_refused(s, h->schema, "pattern");
}

/* A format that the standard knows is kept; one that it does not know is an annotation. */
static bool take_format(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    bool known;
    const char *pattern = format_pattern(json_string_value(value), &known);
    if (!known) return true;
    if (!pattern) return schema_refuse(s, h->schema, "format", "'%.40s' is not supported", json_string_value(value));
    const Automaton *a = schema_pattern(s, pattern, strlen(pattern));
    return a ? branch_atom(s, b, (Atom){.kind = ATOM_WORD, .automaton = a, .strict = true, .holder = h})
             : schema_refused(s, h->schema, "format");
}

/* Until draft 7 these could be asserted; since then they are annotations. */
static bool take_content(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    (void)b, (void)value;
    return s->content_ignored ||
           schema_refuse(s, h->schema, "contentMediaType or contentEncoding",
                         "is supported as an annotation only: with a $schema of 2019-09 or later");
}

/* ---- Arrays ------------------------------------------------------------------------------------------------------ */

/* items, prefixItems and additionalItems are read together: see item_need. */
static bool take_items(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    (void)value;
    for (const Atom *a = b->form.atoms; a; a = a->next)
        if (a->kind == ATOM_ITEMS && a->holder == h) return true;
    return branch_atom(s, b, (Atom){.kind = ATOM_ITEMS, .holder = h});
}
static bool deny_item(Schema *s, Branch *b, const Holder *h, int64_t index, const json_t *schema) {
    struct Alternative *a = alternative_new(s, TYPE_ARRAY);
    if (is_anything(schema)) return true;
    return alternative_atom(s, a, (Atom){.kind = ATOM_SIZE, .least = index + 1, .most = -1, .holder = h}) &&
           (json_is_false(schema) || alternative_atom(s, a, (Atom){.kind = ATOM_ITEM, .least = index,
                                                                   .claim = fails(schema), .holder = h})) &&
           branch_deny(b, a);
}
static bool deny_prefix(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!deny_item(s, b, h, (int64_t)i, json_array_get(value, i))) return false;
    return true;
}
/* An item after the first `fixed` that breaks a schema. */
static bool deny_rest(Schema *s, Branch *b, const Holder *h, const json_t *schema, size_t fixed) {
    if (json_is_false(schema)) return deny_item(s, b, h, (int64_t)fixed, schema);
    if (is_anything(schema)) return true;
    if (fixed) return schema_refuse(s, h->schema, "items", "after others, in a negation, is not supported");
    return deny(s, b, TYPE_ARRAY, (Atom){.kind = ATOM_CONTAINS, .claim = fails(schema), .least = 1, .most = -1,
                                         .holder = h});
}
static bool deny_items(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    if (json_is_array(value)) return deny_prefix(s, b, h, value);
    return deny_rest(s, b, h, value, json_array_size(json_object_get(h->schema, "prefixItems")));
}
static bool deny_more_items(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    const json_t *items = json_object_get(h->schema, "items");
    return !json_is_array(items) || deny_rest(s, b, h, value, json_array_size(items));
}

static bool take_contains(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    const json_t *least = json_object_get(h->schema, "minContains"), *most = json_object_get(h->schema, "maxContains");
    return branch_atom(s, b, (Atom){.kind = ATOM_CONTAINS, .claim = holds(value), .least = least ? count_of(least) : 1,
                                    .most = most ? capped(count_of(most)) : -1, .holder = h});
}
static bool deny_contains(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    if (json_object_get(h->schema, "minContains") || json_object_get(h->schema, "maxContains"))
        return schema_refuse(s, h->schema, "contains",
                             "with minContains or maxContains is not supported where it must not hold: in not, if, or "
                             "where other schemas of a oneOf may");
    return deny(s, b, TYPE_ARRAY, (Atom){.kind = ATOM_EVERY, .claim = fails(value), .holder = h});
}
static bool take_unique(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return !json_is_true(value) || branch_atom(s, b, (Atom){.kind = ATOM_UNIQUE, .holder = h});
}
static bool take_other_items(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return branch_atom(s, b, (Atom){.kind = ATOM_OTHER_ITEMS, .claim = holds(value), .holder = h});
}

/* ---- Objects ----------------------------------------------------------------------------------------------------- */

/* properties, patternProperties and additionalProperties are read together: see member_need. */
static bool take_members(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    (void)value;
    for (const Atom *a = b->form.atoms; a; a = a->next)
        if (a->kind == ATOM_MEMBERS && a->holder == h) return true;
    return branch_atom(s, b, (Atom){.kind = ATOM_MEMBERS, .holder = h});
}
static bool deny_properties(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    const char *key;
    json_t *schema;
    json_object_foreach((json_t *)(uintptr_t)value, key, schema) {
        struct Alternative *a = alternative_new(s, TYPE_OBJECT);
        if (is_anything(schema)) continue;
        if (!alternative_atom(s, a, (Atom){.kind = ATOM_REQUIRED, .name = key, .holder = h}) ||
            !alternative_atom(s, a, (Atom){.kind = ATOM_MEMBER, .name = key, .claim = fails(schema), .holder = h}) ||
            !branch_deny(b, a))
            return false;
    }
    return true;
}
static bool deny_more_members(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    if (is_anything(value)) return true;
    if (!json_is_false(value))
        return schema_refuse(s, h->schema, "additionalProperties", "with a schema, in a negation, is not supported");
    return deny(s, b, TYPE_OBJECT, (Atom){.kind = ATOM_OUTSIDE, .holder = h});
}
static bool take_required(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    for (size_t i = json_array_size(value); i-- > 0;)
        if (!branch_atom(s, b, (Atom){.kind = ATOM_REQUIRED, .name = json_string_value(json_array_get(value, i)),
                                      .holder = h}))
            return false;
    return true;
}
static Atom absent(const char *name, const Holder *h) {
    return (Atom){.kind = ATOM_MEMBER, .name = name, .claim = holds(json_false()), .holder = h};
}
static bool deny_required(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!deny(s, b, TYPE_OBJECT, absent(json_string_value(json_array_get(value, i)), h))) return false;
    return true;
}
static bool take_names(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return branch_atom(s, b, (Atom){.kind = ATOM_NAMES, .claim = holds(value), .holder = h});
}
static bool take_other_members(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    return branch_atom(s, b, (Atom){.kind = ATOM_OTHER_MEMBERS, .claim = holds(value), .holder = h});
}

/* Each entry: its member is absent, or what it asks for holds. */
static bool take_dependent(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    const char *key;
    json_t *wants;
    json_object_foreach((json_t *)(uintptr_t)value, key, wants) {
        struct Alternative *without = alternative_new(s, TYPE_ALL), *with = alternative_new(s, TYPE_ALL);
        if (is_anything(wants) || (json_is_array(wants) && json_array_size(wants) == 0)) continue;
        if (!alternative_atom(s, without, absent(key, h))) return false;
        if (!json_is_array(wants)) {
            /* with the member, or the claim would be on values that are no objects too */
            with->types = TYPE_OBJECT;
            if (!alternative_atom(s, with, (Atom){.kind = ATOM_REQUIRED, .name = key, .holder = h}) ||
                !alternative_claim(s, with, holds(wants), h))
                return false;
        }
        for (size_t i = 0; i < json_array_size(wants); i++)
            if (!alternative_atom(
                    s, with,
                    (Atom){.kind = ATOM_REQUIRED, .name = json_string_value(json_array_get(wants, i)), .holder = h}))
                return false;
        without->next = with;
        if (!branch_choice(s, b, without)) return false;
    }
    return true;
}
static bool deny_dependent(Schema *s, Branch *b, const Holder *h, const json_t *value) {
    const char *key;
    json_t *wants;
    json_object_foreach((json_t *)(uintptr_t)value, key, wants) {
        size_t ways = json_is_array(wants) ? json_array_size(wants) : 1;
        for (size_t i = 0; i < ways; i++) {
            struct Alternative *a = alternative_new(s, TYPE_OBJECT);
            if (!alternative_atom(s, a, (Atom){.kind = ATOM_REQUIRED, .name = key, .holder = h}) ||
                !(json_is_array(wants)
                      ? alternative_atom(s, a, absent(json_string_value(json_array_get(wants, i)), h))
                      : alternative_claim(s, a, fails(wants), h)) ||
                !branch_deny(b, a))
                return false;
        }
    }
    return true;
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

static const Keyword keywords[] = {
    {"$defs", KEYWORD_MAP, nothing, nothing},
    {"$dynamicRef", KEYWORD_NEVER_KEPT, NULL, NULL},
    {"$recursiveRef", KEYWORD_NEVER_KEPT, NULL, NULL},
    {"$ref", KEYWORD_TEXT, take_ref, deny_ref},
    {"additionalItems", KEYWORD_SCHEMA, take_items, deny_more_items},
    {"additionalProperties", KEYWORD_SCHEMA, take_members, deny_more_members},
    {"allOf", KEYWORD_SCHEMAS, take_all, deny_all},
    {"anyOf", KEYWORD_SCHEMAS, take_any, deny_any},
    {"const", KEYWORD_ANY, take_const, deny_const},
    {"contains", KEYWORD_SCHEMA, take_contains, deny_contains},
    {"contentEncoding", KEYWORD_TEXT, take_content, NULL},
    {"contentMediaType", KEYWORD_TEXT, take_content, NULL},
    {"definitions", KEYWORD_MAP, nothing, nothing},
    {"dependencies", KEYWORD_DEPENDENCIES, take_dependent, deny_dependent},
    {"dependentRequired", KEYWORD_NAME_MAP, take_dependent, deny_dependent},
    {"dependentSchemas", KEYWORD_MAP, take_dependent, deny_dependent},
    {"disallow", KEYWORD_NEVER_KEPT, NULL, NULL},
    {"divisibleBy", KEYWORD_NEVER_KEPT, NULL, NULL},
    {"else", KEYWORD_SCHEMA, nothing, nothing},
    {"enum", KEYWORD_LIST, take_enum, deny_enum},
    {"exclusiveMaximum", KEYWORD_LIMIT, take_below, deny_below},
    {"exclusiveMinimum", KEYWORD_LIMIT, take_above, deny_above},
    {"extends", KEYWORD_NEVER_KEPT, NULL, NULL},
    {"format", KEYWORD_TEXT, take_format, NULL},
    {"if", KEYWORD_SCHEMA, take_if, deny_if},
    {"items", KEYWORD_ITEMS, take_items, deny_items},
    {"maxContains", KEYWORD_COUNT, nothing, nothing},
    {"maxItems", KEYWORD_COUNT, take_most_items, deny_most_items},
    {"maxLength", KEYWORD_COUNT, take_most_characters, deny_most_characters},
    {"maxProperties", KEYWORD_COUNT, take_most_members, deny_most_members},
    {"maximum", KEYWORD_NUMBER, take_maximum, deny_maximum},
    {"minContains", KEYWORD_COUNT, nothing, nothing},
    {"minItems", KEYWORD_COUNT, take_least_items, deny_least_items},
    {"minLength", KEYWORD_COUNT, take_least_characters, deny_least_characters},
    {"minProperties", KEYWORD_COUNT, take_least_members, deny_least_members},
    {"minimum", KEYWORD_NUMBER, take_minimum, deny_minimum},
    {"multipleOf", KEYWORD_POSITIVE, take_multiple, NULL},
    {"not", KEYWORD_SCHEMA, take_not, deny_not},
    {"oneOf", KEYWORD_SCHEMAS, take_one, deny_one},
    {"pattern", KEYWORD_PATTERN, take_pattern, deny_pattern},
    {"patternProperties", KEYWORD_PATTERN_MAP, take_members, NULL},
    {"prefixItems", KEYWORD_SCHEMAS, take_items, deny_prefix},
    {"properties", KEYWORD_MAP, take_members, deny_properties},
    {"propertyNames", KEYWORD_SCHEMA, take_names, NULL},
    {"required", KEYWORD_NAMES, take_required, deny_required},
    {"then", KEYWORD_SCHEMA, nothing, nothing},
    {"type", KEYWORD_TYPE, take_type, deny_type},
    {"unevaluatedItems", KEYWORD_SCHEMA, take_other_items, NULL},
    {"unevaluatedProperties", KEYWORD_SCHEMA, take_other_members, NULL},
    {"uniqueItems", KEYWORD_BOOL, take_unique, NULL},
};

static int keyword_order(const void *name, const void *row) { return strcmp(name, ((const Keyword *)row)->name); }
const Keyword *schema_keyword(const char *name) {
    return bsearch(name, keywords, sizeof keywords / sizeof *keywords, sizeof *keywords, keyword_order);
}
