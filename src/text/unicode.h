/* unicode.h: UTF-8, the character classes that pre-tokenisation knows, and normalisation form C (Unicode Annex 15). */
#ifndef UNICODE_H
#define UNICODE_H
#include "../base/base.h"

/* ---- UTF-8 (Unicode 3.9, table 3-7) -------------------------------------------------------------------------- */

enum { UTF8_INVALID = -1, UTF8_CUT = -2 };

/* Reads one character at p < end and returns its bytes, 1..4. Ill-formed input: *code is UTF8_INVALID and the result
 * is its maximal subpart, which one U+FFFD replaces; *code is UTF8_CUT when the bytes up to `end` may still go on. */
int utf8_read(const uint8_t *p, const uint8_t *end, int32_t *code);
/* The same for text known to be well-formed. */
static inline int utf8_read_valid(const uint8_t *p, int32_t *code) {
    int32_t a = p[0];
    if (a < 0x80) return *code = a, 1;
    if (a < 0xE0) return *code = (a & 0x1F) << 6 | (p[1] & 0x3F), 2;
    if (a < 0xF0) return *code = (a & 0x0F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F), 3;
    return *code = (a & 0x07) << 18 | (p[1] & 0x3F) << 12 | (p[2] & 0x3F) << 6 | (p[3] & 0x3F), 4;
}
int utf8_write(int32_t code, uint8_t out[4]); /* bytes written; `code` is a scalar value */
bool utf8_valid(const uint8_t *data, size_t bytes);
/* Appends `data` with every ill-formed part, the cut end too, as U+FFFD. */
void utf8_repair(const uint8_t *data, size_t bytes, Text *out);
/* Bytes at the start that are ASCII. */
size_t ascii_span(const uint8_t *data, size_t bytes);

/* ---- Classes ------------------------------------------------------------------------------------------------- */

typedef enum CharClass {
    CLASS_OTHER,
    CLASS_LETTER,
    CLASS_NUMBER,
    CLASS_SPACE
} CharClass; /* else, \p{L}, \p{N}, White_Space */

extern const uint8_t ascii_class[128];
CharClass char_class_wide(int32_t code); /* any code point */
static inline CharClass char_class(int32_t code) {
    return code < 128 ? (CharClass)ascii_class[code] : char_class_wide(code);
}
bool char_is_word(int32_t code); /* \w of Unicode Technical Standard 18: what single_word tokens may not touch */

/* ---- Normalisation form C, of Unicode 9 as in tokenizers ------------------------------------------------------ */

/* A character that Unicode 9 does not have, whose later properties therefore do not count. */
bool nfc_late(int32_t code);
/* True for characters that form C leaves alone whatever stands around them; false is always safe. */
bool nfc_inert(int32_t code);
/* Appends well-formed `data` in form C. Linear in `bytes`. */
bool nfc_add(const uint8_t *data, size_t bytes, Text *out, Err *err);
/* False when form C of well-formed `data` surely is `data` itself. */
bool nfc_needed(const uint8_t *data, size_t bytes);
#endif
