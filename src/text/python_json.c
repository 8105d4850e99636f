/* python_json.c: JSON written as Python's json.dumps(value, ensure_ascii=False) does: ", " and ": ", keys in order,
 * floats by repr. */
#include <string.h>
#include "../io/json_python.h"
#include "chat.h"

static void add_float(double value, Text *out) {
    char text[PYTHON_FLOAT_BYTES];
    python_float(value, text);
    text_add(out, text, strlen(text));
}

/* A whole number as it stands; a real one is an infinity to Python. */
static void add_wide(const char *digits, Text *out) {
    bool whole = strpbrk(digits, ".eE") == NULL;
    if (whole) text_line(out, "%s", digits);
    else text_line(out, "%sInfinity", digits[0] == '-' ? "-" : "");
}

static void add_array(const json_t *value, Text *out) {
    const json_t *item;
    size_t i;
    text_add(out, "[", 1);
    json_array_foreach(value, i, item) {
        if (i > 0) text_add(out, ", ", 2);
        python_json(item, out);
    }
    text_add(out, "]", 1);
}

static void add_object(const json_t *value, Text *out) {
    const char *key;
    json_t *item;
    bool first = true;
    text_add(out, "{", 1);
    json_object_foreach((json_t *)(uintptr_t)value, key, item) {
        if (!first) text_add(out, ", ", 2);
        first = false;
        python_json_text(key, strlen(key), out);
        text_add(out, ": ", 2);
        python_json(item, out);
    }
    text_add(out, "}", 1);
}

void python_json(const json_t *value, Text *out) {
    switch (json_typeof(value)) {
    case JSON_OBJECT: add_object(value, out); break;
    case JSON_ARRAY: add_array(value, out); break;
    case JSON_STRING:
        if (json_number_spelling(value)) {
            add_wide(json_number_spelling(value), out);
            break;
        }
        python_json_text(json_string_value(value), json_string_length(value), out); break;
    case JSON_INTEGER: text_line(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value)); break;
    case JSON_REAL: add_float(json_real_value(value), out); break;
    case JSON_TRUE: text_add(out, "true", 4); break;
    case JSON_FALSE: text_add(out, "false", 5); break;
    case JSON_NULL: text_add(out, "null", 4); break;
    }
}
