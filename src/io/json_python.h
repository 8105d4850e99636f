/* json_python.h: JSON as Python's json.dumps(value, indent=2) writes it: the form of Hugging Face's files, byte for
 * byte. */
#ifndef JSON_PYTHON_H
#define JSON_PYTHON_H
#include "json.h"

/* sorted: sort_keys. ascii: ensure_ascii, Python's default; else other characters stay as they are. */
typedef struct JsonStyle { bool sorted, ascii; } JsonStyle;

/* The text without a line end, malloc'ed. NULL and an error, of `what`, where memory ends. Numbers that jansson does
 * not hold come out as they came in (json.h). */
char *json_python(const json_t *value, JsonStyle style, const char *what, Err *err);
/* repr() of a finite number: the fewest digits that read back as the same double, with an exponent below 1e-4 and from
 * 1e16 on. */
enum { PYTHON_FLOAT_BYTES = 48 };
void python_float(double value, char out[PYTHON_FLOAT_BYTES]);
/* Appends one string, quoted, as with ensure_ascii=False. */
void python_json_text(const char *text, size_t bytes, Text *out);
#endif
