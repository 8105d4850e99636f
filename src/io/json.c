/* json.c: jansson behind our errors. A text may hold "\u0000"; a getter that hands out a C string refuses it. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/file_kind.h"
#include "../base/guard.h"
#include "json.h"

static const char *type_name(const json_t *value) {
    static const char *const names[] = {"an object",     "an array", "a string", "an integer",
                                        "a real number", "true",     "false",    "null"};
    if (json_number_spelling(value)) return "a number out of range";
    return value ? names[json_typeof(value)] : "nothing";
}

/* ---- Numbers beyond what jansson holds: read as strings behind a mark that the document does not have, then marked
 * with a byte that is no UTF-8. */

static const char wide_mark = '\xFF';

const char *json_number_spelling(const json_t *value) {
    const char *text = json_string_value(value);
    return text && text[0] == wide_mark ? text + 1 : NULL;
}

bool json_is_text(const json_t *value) { return json_is_string(value) && !json_number_spelling(value); }

bool json_is_word(const json_t *value, const char *word) {
    size_t bytes = strlen(word);
    return json_string_length(value) == bytes && !memcmp(json_string_value(value), word, bytes);
}

/* Bytes of the number at `text`; *wide: it fits no int64, or as a real no finite double. */
static size_t number_bytes(const char *text, size_t bytes, bool *wide) {
    char copy[400], *end;
    size_t n = 0;
    bool real = false;
    for (; n < bytes && text[n] && strchr("+-.0123456789eE", text[n]); n++) real |= strchr(".eE", text[n]) != NULL;
    *wide = n >= sizeof copy && !real;
    if (n < 3 || n >= sizeof copy) return n ? n : 1;
    memcpy(copy, text, n);
    copy[n] = 0;
    errno = 0;
    if (real) *wide = !isfinite(strtod(copy, &end));
    else strtoll(copy, &end, 10), *wide = errno == ERANGE;
    return n;
}

/* The document with wide numbers as marked strings; without any, an empty text. */
static void mark_wide(const char *data, size_t bytes, const char *mark, Text *out) {
    bool inside = false, wide;
    size_t done = 0;
    for (size_t i = 0; i < bytes;) {
        size_t n = 1;
        if (inside && data[i] == '\\') n = 2;
        else if (data[i] == '"') inside = !inside;
        else if (!inside && (data[i] == '-' || (data[i] >= '0' && data[i] <= '9'))) {
            n = number_bytes(data + i, bytes - i, &wide);
            if (wide) {
                text_add(out, data + done, i - done);
                text_line(out, "\"%s%.*s\"", mark, (int)n, data + i);
                done = i + n;
            }
        }
        i += n;
    }
    if (done) text_add(out, data + done, bytes - done);
}

static bool unmark(json_t *value, const char *mark, const char *where, Err *err) {
    const char *key, *text = json_string_value(value);
    json_t *item;
    size_t i, skip = strlen(mark);
    bool ok = true;
    json_object_foreach(value, key, item) ok = ok && unmark(item, mark, where, err);
    json_array_foreach(value, i, item) ok = ok && unmark(item, mark, where, err);
    if (!text || strncmp(text, mark, skip) != 0) return ok;
    Text wide = {0};
    text_line(&wide, "%c%s", wide_mark, text + skip);
    ok = text_ok(&wide, where, err) && (json_string_setn_nocheck(value, wide.data, wide.bytes) == 0 ||
                                        err_as(err, QM_MEMORY, "out of memory: %s", where));
    text_free(&wide);
    return ok;
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

/* "number ", or with a number in it if that is in the text. */
static void mark_choose(char mark[40], const char *data, size_t bytes) {
    snprintf(mark, 40, "number ");
    for (int i = 0; memmem(data, bytes, mark, strlen(mark)); i++) snprintf(mark, 40, "number %d ", i);
}

static bool any_wide(const json_t *value) {
    const char *key;
    json_t *item;
    size_t i;
    if (json_number_spelling(value)) return true;
    json_object_foreach((json_t *)(uintptr_t)value, key, item) if (any_wide(item)) return true;
    json_array_foreach(value, i, item) if (any_wide(item)) return true;
    return false;
}

/* Every number that is kept as a string gets a text: the mark and its digits. */
static bool remark(json_t *value, const char *mark) {
    const char *key, *digits = json_number_spelling(value);
    json_t *item;
    size_t i;
    bool ok = true;
    json_object_foreach(value, key, item) ok = ok && remark(item, mark);
    json_array_foreach(value, i, item) ok = ok && remark(item, mark);
    if (!digits || !ok) return ok;
    Text text = {0};
    text_line(&text, "%s%s", mark, digits);
    ok = !text.failed && json_string_setn(value, text.data, text.bytes) == 0;
    text_free(&text);
    return ok;
}

static char *dump_marked(const json_t *value, size_t flags, const char *mark) {
    json_t *copy = json_deep_copy(value);
    char *text = copy && remark(copy, mark) ? guard_own(json_dumps(copy, flags)) : NULL;
    json_decref(copy);
    return text;
}

/* As jansson writes it, but for numbers that are no value of jansson: those are written behind a mark that is nowhere
 * else in the text, then taken out of their quotes. */
char *json_dump(const json_t *value, size_t flags, const char *what, Err *err) {
    char mark[40] = "", *text, *from, *to;
    if (!any_wide(value)) text = guard_own(json_dumps(value, flags));
    else if ((text = dump_marked(value, flags, mark))) {
        mark_choose(mark, text, strlen(text));
        free(text);
        text = dump_marked(value, flags, mark);
    }
    if (!text) return err_as(err, QM_MEMORY, "out of memory: %s", what), NULL;
    size_t skip = strlen(mark);
    for (from = to = text; *from;) {
        bool is = skip && *from == '"' && !strncmp(from + 1, mark, skip);
        if (is) for (from += 1 + skip; *from != '"';) *to++ = *from++;
        else *to++ = *from;
        from++;
    }
    *to = 0;
    return text;
}

static json_t *load(const char *data, size_t bytes, json_error_t *why) {
    return json_loadb(data, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, why);
}

json_t *json_text(const char *data, size_t bytes, const char *where, Err *err) {
    json_error_t why;
    json_t *value = load(data, bytes, &why);
    if (!value && json_error_code(&why) == json_error_numeric_overflow) {
        char mark[40];
        Text marked = {0};
        mark_choose(mark, data, bytes);
        mark_wide(data, bytes, mark, &marked);
        if (marked.data && text_ok(&marked, where, err) && (value = load(marked.data, marked.bytes, &why)) &&
            !unmark(value, mark, where, err)) {
            json_decref(value);
            value = NULL;
        }
        text_free(&marked);
    }
    if (!value && file_is_other(data, bytes, where, err)) return NULL;
    if (!value) err_set(err, "%s is not valid JSON: %s at line %d, column %d", where, why.text, why.line, why.column);
    return value;
}

json_t *json_file(const char *path, size_t limit, Err *err) {
    size_t bytes;
    char *data = file_read(path, limit, &bytes, err);
    if (!data) return NULL;
    json_t *value = json_text(data, bytes, path, err);
    free(data);
    return value;
}

/* Finds a member. False and an error when `object` is none; *value is NULL when the member is absent or null. */
static bool find(const json_t *object, const char *key, const char *where, const json_t **value, Err *err) {
    if (!json_is_object(object)) return err_set(err, "%s: expected an object, got %s", where, type_name(object));
    *value = json_object_get(object, key);
    if (json_is_null(*value)) *value = NULL;
    return true;
}

bool json_get_int(const json_t *object, const char *key, const char *where, int64_t low, int64_t high, int64_t *out,
                  Err *err) {
    const json_t *value = NULL;
    if (!find(object, key, where, &value, err)) return false;
    if (!value) return true;
    if (!json_is_integer(value))
        return err_set(err, "%s: %s: expected an integer, got %s", where, key, type_name(value));
    int64_t v = json_integer_value(value);
    if (v < low || v > high)
        return err_set(err, "%s: %s: expected an integer from %lld to %lld, got %lld", where, key, (long long)low,
                       (long long)high, (long long)v);
    *out = v;
    return true;
}

bool json_get_float(const json_t *object, const char *key, const char *where, double low, double high, double *out,
                    Err *err) {
    const json_t *value = NULL;
    if (!find(object, key, where, &value, err)) return false;
    if (!value) return true;
    if (!json_is_number(value)) return err_set(err, "%s: %s: expected a number, got %s", where, key, type_name(value));
    double v = json_number_value(value);
    if (!isfinite(v) || v < low || v > high)
        return err_set(err, "%s: %s: expected a number from %g to %g, got %g", where, key, low, high, v);
    *out = v;
    return true;
}

bool json_get_bool(const json_t *object, const char *key, const char *where, bool *out, Err *err) {
    const json_t *value = NULL;
    if (!find(object, key, where, &value, err)) return false;
    if (!value) return true;
    if (!json_is_boolean(value))
        return err_set(err, "%s: %s: expected true or false, got %s", where, key, type_name(value));
    *out = json_is_true(value);
    return true;
}

bool json_get_text(const json_t *object, const char *key, const char *where, const char **out, Err *err) {
    const json_t *value = NULL;
    if (!find(object, key, where, &value, err)) return false;
    if (!value) return true;
    if (!json_is_text(value)) return err_set(err, "%s: %s: expected a string, got %s", where, key, type_name(value));
    const char *text = json_string_value(value);
    if (strlen(text) != json_string_length(value)) return err_set(err, "%s: %s: holds a NUL character", where, key);
    *out = text;
    return true;
}
