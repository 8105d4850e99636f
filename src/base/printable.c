/* printable.c: text of files as it may be shown. */
#include <string.h>
#include "base.h"

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
