/* text.c: text that grows, and numbers read from people. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "guard.h"

static bool text_reserve(Text *text, size_t more) {
    size_t need;
    if (text->failed || !size_add(text->bytes, more, &need) || !size_add(need, 1, &need) ||
        !mem_grow((void **)&text->data, &text->capacity, need, 1, "text", NULL))
        text->failed = true;
    if (text->failed && guard_goes_on()) guard_miss();
    else if (text->failed && guard_started()) guard_no_memory("text", more);
    return !text->failed;
}

void text_add(Text *text, const char *data, size_t bytes) {
    if (!text_reserve(text, bytes)) return;
    if (bytes) memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
    text->data[text->bytes] = 0;
}

void text_line(Text *text, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !text_reserve(text, (size_t)n)) {
        text->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf(text->data + text->bytes, (size_t)n + 1, format, args);
    va_end(args);
    text->bytes += (size_t)n;
}

bool text_ok(const Text *text, const char *what, Err *err) {
    return !text->failed || err_as(err, QM_MEMORY, "out of memory: %s after %zu bytes", what, text->bytes);
}

void text_free(Text *text) {
    free(text->data);
    *text = (Text){0};
}

bool parse_int(const char *text, int64_t low, int64_t high, int64_t *out) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || v < low || v > high) return false;
    *out = v;
    return true;
}

bool parse_float(const char *text, double low, double high, double *out) {
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !isfinite(v) || v < low || v > high) return false;
    *out = v;
    return true;
}
