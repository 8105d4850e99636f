/* schema_value.c: a value tried by a form: so enum and const keep their siblings; and needs that no value fulfils: so
 * oneOf knows which of its schemas exclude each other. */
#include <string.h>
#include "schema.h"

static bool is_number(const json_t *value) { return json_is_number(value) || json_number_spelling(value); }

/* As JSON Schema compares: numbers by value, objects whatever the order. */
bool values_equal(const json_t *a, const json_t *b) {
    if (is_number(a) || is_number(b)) return is_number(a) && is_number(b) && number_order(a, b) == 0;
    if (!a || !b || json_typeof(a) != json_typeof(b)) return false;
    if (json_is_array(a)) {
        bool same = json_array_size(a) == json_array_size(b);
        for (size_t i = 0; same && i < json_array_size(a); i++)
            same = values_equal(json_array_get(a, i), json_array_get(b, i));
        return same;
    }
    if (json_is_object(a)) {
        bool same = json_object_size(a) == json_object_size(b);
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)a, key, value) same =
            same && values_equal(value, json_object_get(b, key));
        return same;
    }
    return json_equal((json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b);
}

static int type_of(const json_t *value) {
    if (is_number(value)) return number_is_integer(value) ? TYPE_INTEGER : TYPE_FRACTION;
    switch (json_typeof(value)) {
    case JSON_NULL: return TYPE_NULL;
    case JSON_TRUE: return TYPE_TRUE;
    case JSON_FALSE: return TYPE_FALSE;
    case JSON_STRING: return TYPE_STRING;
    case JSON_ARRAY: return TYPE_ARRAY;
    default: return TYPE_OBJECT;
    }
}

static bool in_list(Schema *s, const json_t *list, const json_t *value) {
    s->claims_seen += (int64_t)json_array_size(list) / 16;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (values_equal(json_array_get(list, i), value)) return true;
    return false;
}

static int64_t characters(const json_t *string) {
    int64_t count = 0;
    for (size_t i = 0; i < json_string_length(string); i++) count += (json_string_value(string)[i] & 0xC0) != 0x80;
    return count;
}
static bool between(const Atom *a, int64_t count) { return count >= a->least && (a->most < 0 || count <= a->most); }

static bool word_takes(Schema *s, const Atom *a, const json_t *value) {
    bool takes = automaton_takes(a->automaton, json_string_value(value), json_string_length(value));
    if (!takes && a->kind == ATOM_WORD && a->strict) s->narrowed = true; /* formats: others read them as annotations */
    return takes == (a->kind == ATOM_WORD);
}

static bool number_takes(const Atom *a, const json_t *value) {
    if (a->kind == ATOM_MULTIPLE) return number_is_multiple(value, a->value);
    int order = number_order(value, a->value);
    if (order == 0) return !a->strict;
    return a->kind == ATOM_LOW ? order > 0 : order < 0;
}

static bool contains_takes(Schema *s, const Atom *a, const json_t *value) {
    int64_t count = 0;
    Need *need = schema_need(s, &a->claim, 1);
    for (size_t i = 0; i < json_array_size(value); i++) count += need_takes(s, need, json_array_get(value, i));
    return between(a, count);
}
static bool unique_takes(const json_t *value) {
    for (size_t i = 0; i < json_array_size(value); i++)
        for (size_t k = 0; k < i; k++)
            if (values_equal(json_array_get(value, i), json_array_get(value, k))) return false;
    return true;
}
static bool names_take(Schema *s, const Atom *a, const json_t *value) {
    const char *key;
    json_t *member;
    Need *need = schema_need(s, &a->claim, 1);
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        json_t *name = json_string(key);
        bool takes = need_takes(s, need, name);
        json_decref(name);
        if (!takes) return false;
    }
    return true;
}
static bool outside_takes(Schema *s, const Atom *a, const json_t *value) {
    const json_t *properties = json_object_get(a->holder->schema, "properties");
    const json_t *patterns = json_object_get(a->holder->schema, "patternProperties");
    const char *key, *pattern;
    json_t *member, *schema;
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        bool inside = json_object_get(properties, key) != NULL;
        json_object_foreach((json_t *)(uintptr_t)patterns, pattern, schema) {
            const Automaton *p = schema_pattern(s, pattern, strlen(pattern));
            inside = inside || (p && automaton_takes(p, key, strlen(key)));
        }
        if (!inside) return true;
    }
    return false;
}

/* One atom; those of other types say nothing. */
static bool atom_takes(Schema *s, const Atom *a, const json_t *value, int type) {
    switch (a->kind) {
    case ATOM_ENUM: return a == s->listing || in_list(s, a->value, value);
    case ATOM_NOT_ENUM: return !in_list(s, a->value, value);
    case ATOM_CONST: return values_equal(a->value, value);
    case ATOM_NOT_CONST: return !values_equal(a->value, value);
    case ATOM_LOW: case ATOM_HIGH: case ATOM_MULTIPLE: return !(type & TYPE_NUMBER) || number_takes(a, value);
    case ATOM_WORD: case ATOM_NOT_WORD: return type != TYPE_STRING || word_takes(s, a, value);
    case ATOM_LENGTH: return type != TYPE_STRING || between(a, characters(value));
    case ATOM_REQUIRED: return type != TYPE_OBJECT || json_object_get(value, a->name);
    case ATOM_COUNT: return type != TYPE_OBJECT || between(a, (int64_t)json_object_size(value));
    case ATOM_NAMES: return type != TYPE_OBJECT || names_take(s, a, value);
    case ATOM_OUTSIDE: return type != TYPE_OBJECT || outside_takes(s, a, value);
    case ATOM_SIZE: return type != TYPE_ARRAY || between(a, (int64_t)json_array_size(value));
    case ATOM_CONTAINS: return type != TYPE_ARRAY || contains_takes(s, a, value);
    case ATOM_UNIQUE: return type != TYPE_ARRAY || unique_takes(value);
    case ATOM_MEMBERS: case ATOM_MEMBER: case ATOM_OTHER_MEMBERS:              /* by member_need */
    case ATOM_ITEMS: case ATOM_ITEM: case ATOM_EVERY: case ATOM_OTHER_ITEMS: return true; /* by item_need */
    }
    return false;
}

bool form_takes(Schema *s, const Form *form, const json_t *value) {
    int type = type_of(value);
    if (!(form->types & type) || s->b->err->kind) return false;
    if (s->claims_seen > MAX_CLAIMS_SEEN) return schema_too_much(s, "too many values in enum and const");
    for (const Atom *a = form->atoms; a; a = a->next)
        if (!atom_takes(s, a, value, type)) return false;
    const char *key;
    json_t *member;
    if (type == TYPE_OBJECT)
        json_object_foreach((json_t *)(uintptr_t)value, key, member)
            if (!need_takes(s, member_need(s, form, key), member)) return false;
    for (size_t i = 0; type == TYPE_ARRAY && i < json_array_size(value); i++)
        if (!need_takes(s, item_need(s, form, (int64_t)i), json_array_get(value, i))) return false;
    return !s->b->err->kind;
}

bool need_takes(Schema *s, Need *need, const json_t *value) {
    bool takes = false;
    if (++s->claims_seen > MAX_CLAIMS_SEEN) return schema_too_much(s, "too many values in enum and const");
    if (s->depth > 200) return schema_too_much(s, "a value in enum or const: expected less nesting");
    if (!need_solve(s, need)) return false;
    const Atom *listing = s->listing;
    s->listing = NULL; /* a value within may meet the same list again */
    s->depth++;
    for (int i = 0; i < need->forms && !takes; i++) takes = form_takes(s, &need->form[i], value);
    s->depth--;
    s->listing = listing;
    if (!takes && need->narrowed) s->narrowed = true;
    return takes;
}

/* ---- Needs that no value fulfils --------------------------------------------------------------------------------- */

/* Whether a form has values listed, and then one of them that it takes. */
static bool listed(Schema *s, const Form *form, bool *some) {
    for (const Atom *a = form->atoms; a; a = a->next) {
        if (a->kind == ATOM_CONST) return *some = form_takes(s, form, a->value), true;
        if (a->kind != ATOM_ENUM) continue;
        const Atom *listing = s->listing;
        *some = false;
        s->listing = a;
        for (size_t i = 0; i < json_array_size(a->value) && !*some; i++)
            *some = form_takes(s, form, json_array_get(a->value, i));
        s->listing = listing;
        return true;
    }
    return false;
}

static bool string_empty(Schema *s, const Form *form) {
    bool plain;
    int64_t least, most;
    const Automaton *a = string_automaton(s, form, &plain, &least, &most);
    if (plain || !a || a->states) return plain && most >= 0 && least > most;
    for (const Atom *atom = form->atoms; atom; atom = atom->next)
        if (atom->kind == ATOM_WORD && atom->strict) s->narrowed = true;
    return true;
}

static bool array_empty(Schema *s, const Form *form) {
    int64_t least, most;
    size_bounds(form, ATOM_SIZE, &least, &most);
    if (most >= 0 && least > most) return true;
    for (int64_t i = 0; i < least && i < 64; i++)
        if (need_empty(s, item_need(s, form, i))) return true;
    return false;
}

static bool object_empty(Schema *s, const Form *form) {
    int64_t least, most;
    size_bounds(form, ATOM_COUNT, &least, &most);
    if (most >= 0 && least > most) return true;
    for (const Atom *a = form->atoms; a; a = a->next)
        if (a->kind == ATOM_REQUIRED && need_empty(s, member_need(s, form, a->name))) return true;
    return false;
}

static bool form_empty(Schema *s, const Form *form) {
    bool some, plain;
    if (listed(s, form, &some)) return !some;
    if (form->types & (TYPE_NULL | TYPE_BOOLEAN)) return false;
    if (form->types & TYPE_NUMBER) {
        const Automaton *a = number_automaton(s, form, form->types & TYPE_NUMBER, &plain);
        if (plain || !a || a->states) return false;
    }
    if (form->types & TYPE_STRING && !string_empty(s, form)) return false;
    if (form->types & TYPE_ARRAY && !array_empty(s, form)) return false;
    return !(form->types & TYPE_OBJECT) || object_empty(s, form);
}

/* Asked of itself, the answer is no: as good as any that is not sure. What was narrowed may have lost values, so that
 * nothing is known of it. */
bool need_empty(Schema *s, Need *need) {
    if (!need || need->empty == EMPTY_NO || need->empty == EMPTY_ASKED || s->depth > 40) return false;
    if (need->empty == EMPTY_YES) return true;
    if (need->claims == 0 || need->solved == NEED_UNDER_WAY) return false;
    need->empty = EMPTY_ASKED;
    s->depth++;
    bool narrowed = s->narrowed, empty = need_solve(s, need);
    s->narrowed = false;
    for (int i = 0; empty && i < need->forms; i++) empty = form_empty(s, &need->form[i]);
    if (need->narrowed || s->narrowed || s->b->err->kind) empty = false;
    s->narrowed = narrowed;
    s->depth--;
    need->empty = empty ? EMPTY_YES : EMPTY_NO;
    return empty;
}
