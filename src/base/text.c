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
    if (text->failed && guard_started()) guard_no_memory("text", more);
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

/* ---- Text of files as it may be shown --------------------------------------------------------------------------- */

/* Bytes of the UTF-8 sequence that a lead byte announces, 0 if it is none. Continuation bytes are checked, not values:
 * the text is only shown. */
static size_t sequence_bytes(uint8_t lead) {
    return lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

/* Bytes of the character at p that may be shown; 0: one byte that may not. */
static size_t shown_bytes(const char *p, size_t left) {
    uint8_t c = (uint8_t)p[0];
    size_t n = c >= 0x20 && c < 0x7f ? 1 : sequence_bytes(c), k = 1;
    while (k < n && k < left && ((uint8_t)p[k] & 0xc0) == 0x80) k++;
    if (k == 3 && c == 0xe2 &&
        ((uint8_t)p[1] == 0x80 ? (uint8_t)p[2] >= 0xaa && (uint8_t)p[2] <= 0xae
                               : (uint8_t)p[1] == 0x81 && (uint8_t)p[2] >= 0xa6 && (uint8_t)p[2] <= 0xa9))
        return 0; /* U+202A..U+202E and U+2066..U+2069 turn the direction of what follows */
    return n && k == n && !(c == 0xc2 && (uint8_t)p[1] < 0xa0) ? n : 0; /* U+0080..U+009F are controls too */
}

NameText name_text(const char *data, size_t bytes) {
    NameText out;
    size_t room = sizeof out.text - 4, used = 0, i = 0; /* "..." and NUL */
    while (i < bytes) {
        size_t good = shown_bytes(data + i, bytes - i), n = good ? good : 1;
        if (used + n > room) break;
        for (size_t k = 0; k < n; k++) out.text[used + k] = good ? data[i + k] : '?';
        used += n;
        i += n;
    }
    memcpy(out.text + used, i < bytes ? "..." : "", i < bytes ? 4 : 1);
    return out;
}

void text_printable(char *text) {
    for (size_t left = strlen(text); left > 0;) {
        size_t n = shown_bytes(text, left);
        if (n == 0 && *text != '\n') *text = '?';
        text += n ? n : 1;
        left -= n ? n : 1;
    }
}
