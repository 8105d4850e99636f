/* python_json.c: JSON written as Python's json.dumps(value, ensure_ascii=False) does: ", " and ": ", keys in order,
 * floats by repr (the shortest digits that read back the same; exponents below -4 and from 16 on). */
#include <stdlib.h>
#include <string.h>
#include "../io/json.h"
#include "chat.h"

void python_json_text(const char *text, size_t bytes, Text *out) {
    static const char plain[] = "\"\\\n\r\t\f\b", named[] = "\"\\nrtfb";
    size_t done = 0;
    text_add(out, "\"", 1);
    for (size_t i = 0; i < bytes; i++) {
        const char *p = text[i] ? strchr(plain, text[i]) : NULL;
        if (!p && (uint8_t)text[i] >= 0x20) continue;
        text_add(out, text + done, i - done);
        if (p) text_line(out, "\\%c", named[p - plain]);
        else text_line(out, "\\u%04x", (unsigned)(uint8_t)text[i]);
        done = i + 1;
    }
    text_add(out, text + done, bytes - done);
    text_add(out, "\"", 1);
}

void python_float(double value, char out[PYTHON_FLOAT_BYTES]) {
    char text[40], digits[20];
    int precision = 0, used = 0;
    do snprintf(text, sizeof text, "%.*e", precision, value);
    while (strtod(text, NULL) != value && ++precision < 17);
    char *exponent = strchr(text, 'e');
    int point = atoi(exponent + 1) + 1; /* digits before the decimal point */
    for (const char *p = text; p < exponent; p++)
        if (*p >= '0' && *p <= '9') digits[used++] = *p;
    const char *sign = text[0] == '-' ? "-" : "";
    if (point > 16 || point < -3) {
        snprintf(out, PYTHON_FLOAT_BYTES, "%s%c%s%.*se%c%02d", sign, digits[0], used > 1 ? "." : "", used - 1,
                 digits + 1, point > 0 ? '+' : '-', abs(point - 1));
    } else if (point <= 0) {
        snprintf(out, PYTHON_FLOAT_BYTES, "%s0.%.*s%.*s", sign, -point, "000", used, digits);
    } else {
        while (used < point) digits[used++] = '0';
        snprintf(out, PYTHON_FLOAT_BYTES, "%s%.*s.%.*s", sign, point, digits, used > point ? used - point : 1,
                 used > point ? digits + point : "0");
    }
}

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
