/* schema_walk.c: the document that a schema is: every keyword is of the right kind, or the schema is refused by name
 * and place; $id and anchors are noted; $ref is followed within the document. */
#include <stdlib.h>
#include <string.h>
#include "schema.h"

static SchemaPlace **place_slot(Schema *s, const json_t *schema) {
    return &s->place[((uintptr_t)schema >> 4) * 0x9e3779b1u % SCHEMA_BUCKETS];
}

static const SchemaPlace *place_of(const Schema *s, const json_t *schema) {
    for (const SchemaPlace *p = *place_slot((Schema *)(uintptr_t)s, schema); p; p = p->chain)
        if (p->schema == schema) return p;
    return NULL;
}

const char *schema_path(const Schema *s, const json_t *schema) {
    const SchemaPlace *p = place_of(s, schema);
    return p ? p->path : "#";
}

static char *text_copy(Schema *s, const char *text, size_t bytes) {
    return s->b->err->kind ? NULL : arena_text(&s->shop.arena, text, bytes, s->b->err);
}

/* path/key, with ~ and / of the key as RFC 6901 writes them. */
static const char *path_add(Schema *s, const char *path, const char *key) {
    Text text = {0};
    text_line(&text, "%s/", path);
    for (const char *p = key; *p; p++)
        if (*p == '~' || *p == '/') text_add(&text, *p == '~' ? "~0" : "~1", 2);
        else text_add(&text, p, 1);
    char *copy = text_ok(&text, "schema", s->b->err) ? text_copy(s, text.data, text.bytes) : NULL;
    text_free(&text);
    return copy;
}

/* ---- URIs -------------------------------------------------------------------------------------------------------- */

static size_t scheme_bytes(const char *uri) {
    size_t n = strcspn(uri, ":/?#");
    return uri[n] == ':' && n > 0 ? n + 1 : 0;
}

/* `ref` as seen from `base` (RFC 3986, 5.2; dots in paths are left as they stand but for leading ones). The fragment is
 * left out. */
static const char *uri_join(Schema *s, const char *base, const char *ref) {
    size_t bytes = strcspn(ref, "#"), keep = 0, scheme = scheme_bytes(base);
    Text text = {0};
    if (bytes == 0) return base;
    if (scheme_bytes(ref) == 0) {
        size_t path = scheme; /* where the base's path begins */
        if (!strncmp(base + scheme, "//", 2)) path = scheme + 2 + strcspn(base + scheme + 2, "/");
        keep = ref[0] == '/' ? (ref[1] == '/' ? scheme : path) : strlen(base);
        while (ref[0] != '/' && keep > path && base[keep - 1] != '/') keep--;
        if (scheme && ref[0] != '/' && path == scheme) keep = scheme; /* urn:... has no folders */
        for (; !strncmp(ref, "./", 2) || !strncmp(ref, "../", 3); ref += 2, bytes -= 2)
            if (ref[1] == '.') {
                ref++, bytes--;
                if (keep > path + 1) for (keep--; keep > path && base[keep - 1] != '/';) keep--;
            }
    }
    text_add(&text, base, keep);
    if (scheme_bytes(ref) == 0 && keep > 0 && base[keep - 1] != '/' && ref[0] != '/' && base[keep - 1] != ':')
        text_add(&text, "/", 1);
    text_add(&text, ref, bytes);
    const char *joined = text_ok(&text, "schema", s->b->err) ? text_copy(s, text.data, text.bytes) : NULL;
    text_free(&text);
    return joined;
}

static bool name_add(Schema *s, const char *uri, const char *anchor, const json_t *schema) {
    SchemaName *n = schema_new(s, 1, sizeof *n);
    if (!n || !uri) return false;
    *n = (SchemaName){uri, anchor, schema, s->name};
    s->name = n;
    return true;
}

/* ---- Kinds of keywords ------------------------------------------------------------------------------------------- */

static bool walk(Schema *s, const json_t *schema, const char *path, const char *base);

static bool is_number(const json_t *value) { return json_is_number(value) || json_number_spelling(value); }

static bool is_names(const json_t *value) {
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *name = json_string_value(json_array_get(value, i));
        if (!json_is_text(json_array_get(value, i)) || strlen(name) != json_string_length(json_array_get(value, i)))
            return false;
        for (size_t k = 0; k < i && i < 2000; k++)
            if (!strcmp(name, json_string_value(json_array_get(value, k)))) return false;
    }
    return json_is_array(value);
}

static bool is_type(const json_t *value) {
    if (json_is_text(value)) return type_bits(json_string_value(value)) != 0;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!json_is_text(json_array_get(value, i)) || !type_bits(json_string_value(json_array_get(value,
                                                                                                   i)))) return false;
    return json_array_size(value) > 0 && is_names(value);
}

static bool walk_list(Schema *s, const json_t *list, const char *path, const char *base) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        char key[24];
        snprintf(key, sizeof key, "%zu", i);
        if (!walk(s, json_array_get(list, i), path_add(s, path, key), base)) return false;
    }
    return true;
}

static bool walk_map(Schema *s, const json_t *map, const char *path, const char *base, bool names) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        if (names && json_is_array(value) && is_names(value)) continue;
        if (!walk(s, value, path_add(s, path, key), base)) return false;
    }
    return true;
}

static bool is_name_map(const json_t *map) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) if (!is_names(value)) return false;
    return json_is_object(map);
}

static bool patterns_valid(Schema *s, const json_t *schema, const char *keyword, const json_t *map) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
        if (!schema_pattern(s, key, strlen(key))) return schema_refused(s, schema, keyword);
    return true;
}

/* One keyword of a schema: whether it is what it must be, and the schemas in it. */
static bool walk_keyword(Schema *s, const json_t *schema, const Keyword *k, const json_t *value, const char *base) {
    const char *expected = NULL, *path = NULL;
    bool ok = false;
    if (k->kind <= KEYWORD_DEPENDENCIES || k->kind == KEYWORD_PATTERN_MAP)
        path = path_add(s, schema_path(s, schema), k->name);
    switch (k->kind) {
    case KEYWORD_ANY: return true;
    case KEYWORD_SCHEMA: return walk(s, value, path, base);
    case KEYWORD_SCHEMAS:
        if (json_array_size(value)) return walk_list(s, value, path, base);
        expected = "a list of schemas, not empty";
        break;
    case KEYWORD_MAP:
        if (json_is_object(value)) return walk_map(s, value, path, base, false);
        expected = "an object of schemas";
        break;
    case KEYWORD_PATTERN_MAP:
        if (json_is_object(value))
            return patterns_valid(s, schema, k->name, value) && walk_map(s, value, path, base, false);
        expected = "an object of schemas";
        break;
    case KEYWORD_DEPENDENCIES:
        if (json_is_object(value)) return walk_map(s, value, path, base, true);
        expected = "an object of schemas or lists of names";
        break;
    case KEYWORD_ITEMS:
        return json_is_array(value) ? walk_list(s, value, path, base) : walk(s, value, path, base);
    case KEYWORD_NAME_MAP: ok = is_name_map(value), expected = "an object of lists of names"; break;
    case KEYWORD_TYPE: ok = is_type(value), expected = "a type of JSON or a list of them"; break;
    case KEYWORD_LIST: ok = json_array_size(value) > 0, expected = "a list, not empty"; break;
    case KEYWORD_COUNT: ok = count_of(value) >= 0, expected = "a whole number from 0 on"; break;
    case KEYWORD_NUMBER: ok = is_number(value), expected = "a number"; break;
    case KEYWORD_LIMIT: ok = is_number(value) || json_is_boolean(value), expected = "a number"; break;
    case KEYWORD_POSITIVE: {
        json_t *zero = json_integer(0);
        ok = is_number(value) && number_order(value, zero) > 0, expected = "a number above 0";
        json_decref(zero);
        break;
    }
    case KEYWORD_TEXT: ok = json_is_text(value), expected = "a string"; break;
    case KEYWORD_NAMES: ok = is_names(value), expected = "a list of different names"; break;
    case KEYWORD_BOOL: ok = json_is_boolean(value), expected = "true or false"; break;
    case KEYWORD_PATTERN:
        if (json_is_text(value)) return schema_pattern(s, json_string_value(value), json_string_length(value)) ||
                                   schema_refused(s, schema, k->name);
        expected = "a string";
        break;
    case KEYWORD_NEVER_KEPT: return schema_refuse(s, schema, k->name, "is not supported");
    }
    return ok || schema_refuse(s, schema, k->name, "expected %s", expected);
}

/* What a schema is called; its base. */
static bool walk_names(Schema *s, const json_t *schema, const char **base) {
    const json_t *id = json_object_get(schema, s->old_ids ? "id" : "$id");
    const char *text = json_is_text(id) ? json_string_value(id) : NULL;
    if (text && json_object_get(schema, "$ref") && s->siblings_ignored) text = NULL;
    if (text && schema != s->root && !s->draft_known && json_object_get(schema, "$ref"))
        return schema_refuse(s, schema, "$id", "beside $ref: expected a $schema that says which draft this is");
    if (text && text[0] != '#') {
        if (!(*base = uri_join(s, *base, text)) || !name_add(s, *base, NULL, schema)) return false;
    } else if (text && text[1] && !name_add(s, *base, text + 1, schema)) return false;
    static const char *const anchors[] = {"$anchor", "$dynamicAnchor"};
    for (int i = 0; i < 2; i++) {
        const json_t *anchor = json_object_get(schema, anchors[i]);
        if (json_is_text(anchor) && !name_add(s, *base, json_string_value(anchor), schema)) return false;
    }
    return true;
}

static bool walk(Schema *s, const json_t *schema, const char *path, const char *base) {
    const char *key;
    json_t *value;
    if (!path || s->b->err->kind) return false;
    if (json_is_boolean(schema)) return true;
    if (!json_is_object(schema))
        return builder_fail(s->b, "schema: at '%.200s': expected an object, true or false", path);
    if (place_of(s, schema)) return true;
    if (s->depth == 500) return builder_fail(s->b, "schema: at '%.200s': expected less nesting", path);
    SchemaPlace *p = schema_new(s, 1, sizeof *p), **slot = place_slot(s, schema);
    if (!p) return false;
    *p = (SchemaPlace){schema, path, base, *slot};
    *slot = p;
    if (!walk_names(s, schema, &p->base)) return false;
    s->depth++;
    bool ok = true, alone = s->siblings_ignored && json_object_get(schema, "$ref");
    json_object_foreach((json_t *)(uintptr_t)schema, key, value) {
        const Keyword *k = schema_keyword(key);
        if (strncmp(key, "unevaluated", 11) == 0) s->unevaluated = true;
        if (k && alone && k->kind > KEYWORD_DEPENDENCIES && k->kind != KEYWORD_TEXT) continue;
        if (k && !(ok = walk_keyword(s, schema, k, value, p->base))) break;
    }
    s->depth--;
    return ok;
}

bool schema_walk(Schema *s) {
    const char *dialect = json_string_value(json_object_get(s->root, "$schema"));
    s->old_ids = dialect && (strstr(dialect, "draft-04") || strstr(dialect, "draft-03"));
    s->siblings_ignored = s->old_ids || (dialect && (strstr(dialect, "draft-06") || strstr(dialect, "draft-07")));
    s->draft_known = dialect && (s->siblings_ignored || strstr(dialect, "2019-09") || strstr(dialect, "2020-12"));
    s->content_ignored = s->draft_known && !s->siblings_ignored;
    return name_add(s, "", NULL, s->root) && walk(s, s->root, "#", "");
}

/* ---- References -------------------------------------------------------------------------------------------------- */

static int hex_value(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* %HH decoded; NULL and no error when it is none. */
static char *percent_decode(Schema *s, const char *text) {
    char *out = text_copy(s, text, strlen(text)), *to = out;
    for (const char *p = text; out && *p; p++, to++)
        if (*p == '%') {
            int high = hex_value(p[1]), low = high < 0 ? -1 : hex_value(p[2]);
            if (low < 0) return NULL;
            *to = (char)(high * 16 + low);
            p += 2;
        } else *to = *p;
    if (out) *to = 0;
    return out;
}

/* The value that a JSON pointer (RFC 6901) leads to from `at`; *nearest: the last schema on the way. */
static const json_t *pointer_follow(const Schema *s, const json_t *at, char *pointer, const json_t **nearest) {
    while (at && *pointer == '/') {
        char *part = ++pointer, *to = part;
        for (; *pointer && *pointer != '/'; pointer++) {
            *to = *pointer;
            if (pointer[0] == '~' && (pointer[1] == '0' || pointer[1] == '1')) *to = *++pointer == '0' ? '~' : '/';
            to++;
        }
        char end = *pointer;
        int64_t index;
        *to = 0;
        at = json_is_array(at) ? (parse_int(part, 0, INT32_MAX, &index) ? json_array_get(at, (size_t)index) : NULL)
                               : json_object_get(at, part);
        if (at && place_of(s, at)) *nearest = at;
        if (to == pointer) *to = end; /* where the end was overwritten */
    }
    return *pointer ? NULL : at;
}

const json_t *schema_reference(Schema *s, const json_t *schema, const char *keyword, const char *ref) {
    const SchemaPlace *from = place_of(s, schema);
    const char *uri = uri_join(s, from ? from->base : "", ref), *hash = strchr(ref, '#');
    char *fragment = hash ? percent_decode(s, hash + 1) : NULL;
    const json_t *found = NULL, *nearest = NULL;
    bool pointer = !fragment || fragment[0] == 0 || fragment[0] == '/';
    for (const SchemaName *n = s->name; n && uri && !found; n = n->next)
        if (!strcmp(n->uri, uri) && (pointer ? !n->anchor : n->anchor && !strcmp(n->anchor, fragment)))
            found = n->schema;
    if (hash && !fragment) found = NULL;
    if (found && pointer && fragment) {
        nearest = found;
        found = pointer_follow(s, found, fragment, &nearest);
    }
    if (!found) return schema_refuse(s, schema, keyword, "nothing at '%.100s' in this document", ref), NULL;
    if (json_is_object(found) && !place_of(s, found)) { /* in a place that only the reference makes a schema's */
        const SchemaPlace *above = place_of(s, nearest);
        Text path = {0};
        text_line(&path, "%s", ref);
        const char *copy = text_ok(&path, "schema", s->b->err) ? text_copy(s, path.data, path.bytes) : NULL;
        text_free(&path);
        if (!walk(s, found, copy, above ? above->base : "")) return NULL;
    }
    if (!json_is_object(found) && !json_is_boolean(found))
        return schema_refuse(s, schema, keyword, "there is no schema at '%.100s'", ref), NULL;
    return found;
}
