/* unicode.c: UTF-8 read strictly and repaired as Python and Rust do it, and character classes from utf8proc. */
#include <string.h>
#include <utf8proc.h>
#include "unicode.h"

int utf8_read(const uint8_t *p, const uint8_t *end, int32_t *code) {
    uint8_t a = p[0], low = 0x80, high = 0xBF; /* bounds of the second byte */
    int more;
    if (a < 0x80) return *code = a, 1;
    if (a < 0xC2 || a > 0xF4) return *code = UTF8_INVALID, 1;
    if (a < 0xE0) {
        more = 1;
    } else if (a < 0xF0) {
        more = 2;
        if (a == 0xE0) low = 0xA0;  /* overlong */
        if (a == 0xED) high = 0x9F; /* surrogates */
    } else {
        more = 3;
        if (a == 0xF0) low = 0x90;  /* overlong */
        if (a == 0xF4) high = 0x8F; /* past U+10FFFF */
    }
    int32_t c = a & (0x3F >> more);
    for (int i = 1; i <= more; i++) {
        if (p + i == end) return *code = UTF8_CUT, i;
        if (p[i] < low || p[i] > high) return *code = UTF8_INVALID, i;
        c = c << 6 | (p[i] & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    return *code = c, more + 1;
}

int utf8_write(int32_t code, uint8_t out[4]) {
    if (code < 0x80) return out[0] = (uint8_t)code, 1;
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t lead[4] = {0, 0xC0, 0xE0, 0xF0};
    for (int i = more; i > 0; i--, code >>= 6) out[i] = (uint8_t)(0x80 | (code & 0x3F));
    out[0] = (uint8_t)(lead[more] | code);
    return more + 1;
}

size_t ascii_span(const uint8_t *data, size_t bytes) {
    size_t i = 0;
    for (uint64_t word; i + 8 <= bytes; i += 8) {
        memcpy(&word, data + i, 8);
        if (word & 0x8080808080808080u) break;
    }
    while (i < bytes && data[i] < 0x80) i++;
    return i;
}

/* Bytes at the start that are well-formed. */
static size_t valid_span(const uint8_t *data, size_t bytes) {
    for (size_t i = 0; i < bytes;) {
        i += ascii_span(data + i, bytes - i);
        if (i == bytes) break;
        int32_t code;
        int n = utf8_read(data + i, data + bytes, &code);
        if (code < 0) return i;
        i += (size_t)n;
    }
    return bytes;
}

bool utf8_valid(const uint8_t *data, size_t bytes) { return valid_span(data, bytes) == bytes; }

void utf8_repair(const uint8_t *data, size_t bytes, Text *out) {
    for (size_t i = 0; i < bytes;) {
        size_t good = valid_span(data + i, bytes - i);
        text_add(out, (const char *)data + i, good);
        i += good;
        if (i == bytes) break;
        int32_t code;
        i += (size_t)utf8_read(data + i, data + bytes, &code);
        text_add(out, "\xEF\xBF\xBD", 3);
    }
}

/* ---- Classes ------------------------------------------------------------------------------------------------- */

enum { O = CLASS_OTHER, L = CLASS_LETTER, N = CLASS_NUMBER, S = CLASS_SPACE };
const uint8_t ascii_class[128] = {
    O, O, O, O, O, O, O, O, O, S, S, S, S, S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
    S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, N, N, N, N, N, N, N, N, N, N, O, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
};

CharClass char_class_wide(int32_t code) {
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_LO: return CLASS_LETTER;
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO: return CLASS_NUMBER;
    case UTF8PROC_CATEGORY_ZS: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP: return CLASS_SPACE;
    default: return (code >= 9 && code <= 13) || code == 0x85 ? CLASS_SPACE : CLASS_OTHER;
    }
}

/* Alphabetic by property and not by category: circled and squared letters, and the two joiners. */
static bool word_by_property(int32_t code) {
    return (code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) ||
           (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189) || code == 0x200C ||
           code == 0x200D;
}

bool char_is_word(int32_t code) {
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_PC: return true;
    default: return char_class(code) == CLASS_LETTER || word_by_property(code);
    }
}
