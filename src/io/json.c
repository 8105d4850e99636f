/* json.c: jansson behind our errors. A text may hold "\u0000"; a getter that hands out a C string refuses it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/file_kind.h"
#include "json.h"

static const char *type_name(const json_t *value) {
    static const char *const names[] = {"an object",     "an array", "a string", "an integer",
                                        "a real number", "true",     "false",    "null"};
    return value ? names[json_typeof(value)] : "nothing";
}

json_t *json_text(const char *data, size_t bytes, const char *where, Err *err) {
    json_error_t why;
    json_t *value = json_loadb(data, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
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
    if (!json_is_string(value)) return err_set(err, "%s: %s: expected a string, got %s", where, key, type_name(value));
    const char *text = json_string_value(value);
    if (strlen(text) != json_string_length(value)) return err_set(err, "%s: %s: holds a NUL character", where, key);
    *out = text;
    return true;
}
