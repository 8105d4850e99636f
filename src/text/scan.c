/* scan.c: a strict one-pass JSON reader. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "scan.h"
#include "unicode.h"

enum { MAX_DEPTH = 128 };

Scan scan_new(const uint8_t *data, size_t bytes, const char *where, Err *err) {
    return (Scan){.start = data, .at = data, .end = data + bytes, .where = where, .err = err};
}

void scan_free(Scan *scan) { text_free(&scan->scratch); }

bool scan_fail(Scan *scan, const char *format, ...) {
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    scan->failed = true;
    return err_set(scan->err, "%s at byte %zu: %s", scan->where, (size_t)(scan->at - scan->start), what);
}

char scan_peek(Scan *scan) {
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\t' || *scan->at == '\r'))
        scan->at++;
    return scan->at < scan->end ? (char)*scan->at : 0;
}

static bool expected(Scan *scan, const char *what) {
    char c = scan_peek(scan);
    if (scan->at == scan->end) return scan_fail(scan, "expected %s, got the end of the file", what);
    return c > ' ' && c < 127 ? scan_fail(scan, "expected %s, got '%c'", what, c)
                              : scan_fail(scan, "expected %s, got byte 0x%02x", what, (unsigned)(uint8_t)c);
}

static bool take(Scan *scan, char c) {
    if (scan_peek(scan) != c || scan->at == scan->end) return false;
    scan->at++;
    return true;
}

bool scan_open(Scan *scan, char bracket) {
    return take(scan, bracket) || expected(scan, bracket == '{' ? "an object" : "an array");
}

/* Takes what stands before item `index`. False at the closing bracket or on error. */
static bool next_item(Scan *scan, size_t index, char close) {
    if (scan->failed || take(scan, close)) return false;
    if (index > 0 && !take(scan, ',')) return expected(scan, close == '}' ? "',' or '}'" : "',' or ']'");
    return true;
}

bool scan_item(Scan *scan, size_t index) { return next_item(scan, index, ']'); }

bool scan_member(Scan *scan, size_t index, ScanText *key) {
    return next_item(scan, index, '}') && scan_text(scan, key) && (take(scan, ':') || expected(scan, "':'"));
}

/* ---- Strings ------------------------------------------------------------------------------------------------- */

/* Four hexadecimal digits at p as a number, or -1. */
static int32_t hex4(const uint8_t *p, const uint8_t *end) {
    int32_t v = 0;
    if (end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int c = p[i] | 0x20;
        int digit = p[i] >= '0' && p[i] <= '9' ? p[i] - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* Reads the escape whose backslash is at scan->at. */
static bool unescape(Scan *scan) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *named = scan->end - scan->at > 1 && scan->at[1] ? strchr(names, scan->at[1]) : NULL;
    if (named) {
        text_add(&scan->scratch, values + (named - names), 1);
        scan->at += 2;
        return true;
    }
    int32_t code = scan->end - scan->at > 1 && scan->at[1] == 'u' ? hex4(scan->at + 2, scan->end) : -1;
    if (code < 0) return scan_fail(scan, "invalid escape in a string");
    const uint8_t *next = scan->at + 6;
    if (code >= 0xD800 && code <= 0xDFFF) {
        int32_t low =
            code < 0xDC00 && scan->end - next > 6 && next[0] == '\\' && next[1] == 'u' ? hex4(next + 2, scan->end) : -1;
        if (low < 0xDC00 || low > 0xDFFF) return scan_fail(scan, "lone surrogate \\u%04x in a string", (unsigned)code);
        code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00));
        next += 6;
    }
    uint8_t utf8[4];
    text_add(&scan->scratch, (char *)utf8, (size_t)utf8_write(code, utf8));
    scan->at = next;
    return true;
}

/* Reads up to the closing quote. *wide: bytes that are not ASCII were seen. */
static bool read_string(Scan *scan, ScanText *out, bool *wide) {
    const uint8_t *start = scan->at, *p = start;
    bool escaped = false;
    scan->scratch.bytes = 0;
    for (;;) {
        uint8_t seen = 0;
        for (; p < scan->end && *p != '"' && *p != '\\' && *p >= 0x20; p++) seen |= *p;
        *wide = *wide || seen >= 0x80;
        scan->at = p;
        if (p == scan->end || *p < 0x20) return expected(scan, "the end of a string");
        if (*p == '"' && !escaped) {
            *out = (ScanText){start, (size_t)(p - start)};
            break;
        }
        text_add(&scan->scratch, (const char *)start, (size_t)(p - start));
        if (*p == '"') {
            *out = (ScanText){(const uint8_t *)scan->scratch.data, scan->scratch.bytes};
            break;
        }
        escaped = true;
        if (!unescape(scan)) return false;
        start = p = scan->at;
    }
    scan->at = p + 1;
    return true;
}

bool scan_text(Scan *scan, ScanText *out) {
    bool wide = false;
    if (!take(scan, '"')) return expected(scan, "a string");
    if (!read_string(scan, out, &wide)) return false;
    if (scan->scratch.failed) return scan_fail(scan, "out of memory: a string");
    return !wide || utf8_valid(out->data, out->bytes) || scan_fail(scan, "invalid UTF-8 in a string");
}

bool scan_equal(ScanText text, const char *word) {
    return text.bytes == strlen(word) && !memcmp(text.data, word, text.bytes);
}

/* ---- Numbers and the rest ------------------------------------------------------------------------------------ */

static const uint8_t *digits(const uint8_t *p, const uint8_t *end) {
    while (p < end && *p >= '0' && *p <= '9') p++;
    return p;
}

/* Steps over a number. *whole: neither fraction nor exponent. */
static bool skip_number(Scan *scan, bool *whole) {
    const uint8_t *p = scan->at, *q;
    if (p < scan->end && *p == '-') p++;
    q = digits(p, scan->end);
    if (q == p || (*p == '0' && q - p > 1)) return expected(scan, "a value");
    *whole = true;
    if (q < scan->end && *q == '.') {
        p = q + 1;
        q = digits(p, scan->end);
        if (q == p) return scan_fail(scan, "expected digits after the decimal point");
        *whole = false;
    }
    if (q < scan->end && (*q == 'e' || *q == 'E')) {
        p = q + 1;
        if (p < scan->end && (*p == '+' || *p == '-')) p++;
        q = digits(p, scan->end);
        if (q == p) return scan_fail(scan, "expected digits in the exponent");
        *whole = false;
    }
    scan->at = q;
    return true;
}

bool scan_int(Scan *scan, int64_t low, int64_t high, int64_t *out) {
    char c = scan_peek(scan);
    if (c != '-' && (c < '0' || c > '9')) return expected(scan, "an integer");
    const uint8_t *start = scan->at;
    bool fits;
    if (!skip_number(scan, &fits)) return false;
    int64_t v = 0;
    for (const uint8_t *p = start + (c == '-'); fits && p < scan->at; p++)
        fits = !__builtin_mul_overflow(v, 10, &v) &&
               !__builtin_sub_overflow(v, *p - '0', &v); /* negative: the wider side */
    if (c != '-') fits = fits && !__builtin_sub_overflow(0, v, &v);
    if (fits && v >= low && v <= high) return *out = v, true;
    int bytes = (int)(scan->at - start < 24 ? scan->at - start : 24);
    scan->at = start;
    return scan_fail(scan, "expected an integer from %" PRId64 " to %" PRId64 ", got %.*s", low, high, bytes,
                     (const char *)start);
}

static bool skip_word(Scan *scan, const char *word) {
    size_t bytes = strlen(word);
    if ((size_t)(scan->end - scan->at) < bytes || memcmp(scan->at, word, bytes)) return expected(scan, "a value");
    scan->at += bytes;
    return true;
}

static bool skip_value(Scan *scan, int depth) {
    char c = scan_peek(scan);
    ScanText ignored;
    bool whole;
    if (depth > MAX_DEPTH) return scan_fail(scan, "nested deeper than %d", MAX_DEPTH);
    switch (c) {
    case '"': return scan_text(scan, &ignored);
    case 't': return skip_word(scan, "true");
    case 'f': return skip_word(scan, "false");
    case 'n': return skip_word(scan, "null");
    case '{':
        scan->at++;
        for (size_t i = 0; scan_member(scan, i, &ignored); i++)
            if (!skip_value(scan, depth + 1)) return false;
        return !scan->failed;
    case '[':
        scan->at++;
        for (size_t i = 0; scan_item(scan, i); i++)
            if (!skip_value(scan, depth + 1)) return false;
        return !scan->failed;
    default: return skip_number(scan, &whole);
    }
}

bool scan_skip(Scan *scan, ScanText *out) {
    scan_peek(scan);
    const uint8_t *start = scan->at;
    if (!skip_value(scan, 0)) return false;
    *out = (ScanText){start, (size_t)(scan->at - start)};
    return true;
}

bool scan_end(Scan *scan) {
    scan_peek(scan);
    return scan->at == scan->end || expected(scan, "the end of the file");
}
