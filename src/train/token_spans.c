/* token_spans.c: see token_spans.h. */
#include <stdlib.h>
#include <string.h>
#include "token_spans.h"
#include "../text/unicode.h"

/* The text as tokens have it, and the spans there. */
typedef struct Normal {
    Text text;
    Span *span;
} Normal;

static bool add_part(Normal *n, const char *text, size_t from, size_t to, Err *err) {
    return from >= to || nfc_add((const uint8_t *)text + from, to - from, &n->text, err);
}

/* In form C, part by part: a span begins and ends where nothing combines with what stands before. */
static bool normalise(Normal *n, const char *text, size_t bytes, const Span *span, size_t spans, Err *err) {
    size_t done = 0;
    for (size_t i = 0; i < spans; i++) {
        if (!add_part(n, text, done, span[i].start, err)) return false;
        n->span[i].start = n->text.bytes;
        if (!add_part(n, text, span[i].start, span[i].end, err)) return false;
        n->span[i].end = n->text.bytes;
        done = span[i].end;
    }
    return add_part(n, text, done, bytes, err) && text_ok(&n->text, "a sample", err);
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Where `piece` stands at `at` or behind white space; *bytes: of the text. False: it does not. */
static bool find_piece(const char *text, size_t end, size_t *at, const char *piece, size_t n, size_t *bytes) {
    *bytes = n;
    if (n <= end - *at && !memcmp(text + *at, piece, n)) return true;
    if (n > 1 && piece[0] == ' ' && n - 1 <= end - *at && !memcmp(text + *at, piece + 1, n - 1)) /* put in front */
        return *bytes = n - 1, true;
    size_t from = *at;
    while (from < end && is_space(text[from])) from++;
    if (from == *at || n > end - from || memcmp(text + from, piece, n) != 0) return false;
    *at = from;
    return true;
}

static bool lay(const QmTokenizer *t, const char *text, size_t bytes, const Span *span, size_t spans,
                const int32_t *ids, size_t count, int32_t *which, Err *err) {
    size_t at = 0, next = 0, n, taken;
    for (size_t i = 0; i < count; i++) {
        const char *piece = qm_tokenizer_piece(t, ids[i], &n, NULL);
        if (!piece || !find_piece(text, bytes, &at, piece, n, &taken))
            return err_set(err, "token %zu of %zu (%.20s) does not stand at byte %zu of its text", i, count,
                           piece ? name_text(piece, n).text : "unknown", at);
        while (next < spans && span[next].end <= at) next++;
        which[i] = next < spans && span[next].start < at + taken ? (int32_t)next : -1;
        at += taken;
    }
    return true;
}

bool token_spans(const QmTokenizer *t, const char *text, size_t bytes, const Span *span, size_t spans,
                 const int32_t *ids, size_t count, int32_t *which, Err *err) {
    if (!t->nfc || !nfc_needed((const uint8_t *)text, bytes))
        return lay(t, text, bytes, span, spans, ids, count, which, err);
    Normal n = {.span = mem_new(spans + 1, sizeof *n.span, "a sample", err)};
    bool ok = n.span && normalise(&n, text, bytes, span, spans, err) &&
              lay(t, n.text.data, n.text.bytes, n.span, spans, ids, count, which, err);
    text_free(&n.text);
    free(n.span);
    return ok;
}
