/* json_python.c: see json_python.h. */
#include <stdlib.h>
#include <string.h>
#include "json_python.h"

/* ---- Numbers and texts ------------------------------------------------------------------------------------------- */

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

/* The character at *at, which jansson has checked, and *at after it. */
static uint32_t next_character(const unsigned char **at) {
    const unsigned char *p = *at;
    int more = *p < 0x80 ? 0 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
    uint32_t code = more == 0 ? *p : *p & (0x3fu >> more);
    while (more-- > 0) code = code << 6 | (*++p & 0x3f);
    *at = p + 1;
    return code;
}

/* With ensure_ascii all that is no printable ASCII is one or two units of UTF-16. */
static void add_string(Text *out, const char *data, size_t bytes, bool ascii) {
    Text plain = {0};
    if (!ascii) {
        python_json_text(data, bytes, out);
        return;
    }
    python_json_text(data, bytes, &plain);
    out->failed |= plain.failed;
    const unsigned char *at = (const unsigned char *)plain.data, *end = plain.failed ? at : at + plain.bytes;
    while (at < end) {
        const unsigned char *from = at;
        while (at < end && *at < 0x7f) at++;
        text_add(out, (const char *)from, (size_t)(at - from));
        if (at == end) break;
        uint32_t code = next_character(&at);
        if (code < 0x10000) text_line(out, "\\u%04x", (unsigned)code);
        else
            text_line(out, "\\u%04x\\u%04x", 0xd800 + (unsigned)((code - 0x10000) >> 10),
                      0xdc00 + (unsigned)((code - 0x10000) & 0x3ff));
    }
    text_free(&plain);
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

static void add_value(Text *out, const json_t *value, JsonStyle style, int depth);

static void new_line(Text *out, int depth) { text_line(out, "\n%*s", 2 * depth, ""); }

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static void add_object(Text *out, const json_t *value, JsonStyle style, int depth) {
    size_t count = json_object_size(value), i = 0;
    const char **keys = calloc(count + 1, sizeof *keys), *key;
    json_t *item;
    if (!keys) out->failed = true;
    if (!keys || !count) {
        text_add(out, "{}", 2);
        free(keys);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, item) keys[i++] = key;
    if (style.sorted) qsort(keys, count, sizeof *keys, by_text);
    for (i = 0; i < count; i++) {
        text_add(out, i ? "," : "{", 1);
        new_line(out, depth + 1);
        add_string(out, keys[i], strlen(keys[i]), style.ascii);
        text_add(out, ": ", 2);
        add_value(out, json_object_get(value, keys[i]), style, depth + 1);
    }
    new_line(out, depth);
    text_add(out, "}", 1);
    free(keys);
}

static void add_array(Text *out, const json_t *value, JsonStyle style, int depth) {
    const json_t *item;
    size_t i;
    if (json_array_size(value) == 0) {
        text_add(out, "[]", 2);
        return;
    }
    json_array_foreach(value, i, item) {
        text_add(out, i ? "," : "[", 1);
        new_line(out, depth + 1);
        add_value(out, item, style, depth + 1);
    }
    new_line(out, depth);
    text_add(out, "]", 1);
}

static void add_value(Text *out, const json_t *value, JsonStyle style, int depth) {
    char number[PYTHON_FLOAT_BYTES];
    const char *wide = json_number_spelling(value);
    if (wide) text_line(out, "%s", wide);
    else if (json_is_object(value)) add_object(out, value, style, depth);
    else if (json_is_array(value)) add_array(out, value, style, depth);
    else if (json_is_string(value)) add_string(out, json_string_value(value), json_string_length(value), style.ascii);
    else if (json_is_integer(value)) text_line(out, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value)) python_float(json_real_value(value), number), text_line(out, "%s", number);
    else text_line(out, "%s", json_is_true(value) ? "true" : json_is_false(value) ? "false" : "null");
}

char *json_python(const json_t *value, JsonStyle style, const char *what, Err *err) {
    Text out = {0};
    add_value(&out, value, style, 0);
    if (text_ok(&out, what, err)) return out.data;
    text_free(&out);
    return NULL;
}
