/* json.h: jansson behind our errors: files and texts with a limit on size and depth, typed getters that say where. */
#ifndef JSON_H
#define JSON_H
#include <jansson.h>
#include "../base/base.h"

/* NULL and an error on bad JSON (duplicate keys refused, depth limited by jansson). Free with json_decref. */
json_t *json_file(const char *path, size_t limit, Err *err);
json_t *json_text(const char *data, size_t bytes, const char *where, Err *err);
/* Its text, malloc'ed; flags as json_dumps. Numbers of any width come out as they came in. NULL and an error, of
 * `what`, where memory ends. */
char *json_dump(const json_t *value, size_t flags, const char *what, Err *err);

/* The digits of a number that neither an int64 nor a double holds (it is kept as a string that no text can hold, so
 * that a document with 2^64 in it can be read); NULL for all else. */
const char *json_number_spelling(const json_t *value);
bool json_is_text(const json_t *value); /* a string, and no such number */
bool json_is_word(const json_t *value, const char *word); /* that text, to its last byte */

/* Member of an object with its type checked. Absent or null: *out is left as it was and true is returned. */
bool json_get_int(const json_t *object, const char *key, const char *where, int64_t low, int64_t high, int64_t *out,
                  Err *err);
bool json_get_float(const json_t *object, const char *key, const char *where, double low, double high, double *out,
                    Err *err);
bool json_get_bool(const json_t *object, const char *key, const char *where, bool *out, Err *err);
bool json_get_text(const json_t *object, const char *key, const char *where, const char **out, Err *err); /* borrowed */
#endif
