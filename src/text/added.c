/* added.c: added tokens in sorted order; a match narrows the range of candidates byte by byte. */
#include <stdlib.h>
#include <string.h>
#include "../io/names.h"
#include "added.h"
#include "unicode.h"

bool added_set_add(AddedSet *set, const Added *token, Err *err) {
    if (token->bytes == 0 || token->bytes > ADDED_MOST_BYTES)
        return err_set(err, "added token %d: expected 1 to %d bytes of text, got %zu", (int)token->id, ADDED_MOST_BYTES,
                       token->bytes);
    if (!mem_grow((void **)&set->token, &set->room, set->count + 1, sizeof *set->token, "added tokens", err))
        return false;
    Added copy = *token;
    copy.text = arena_text(&set->arena, token->text, token->bytes, err);
    if (!copy.text) return false;
    set->token[set->count++] = copy;
    return true;
}

static int compare(const void *a, const void *b) {
    const Added *x = a, *y = b;
    size_t n = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = memcmp(x->text, y->text, n);
    return order ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

bool added_set_finish(AddedSet *set, Err *err) {
    if (set->count) qsort(set->token, set->count, sizeof *set->token, compare);
    set->only = set->count ? (uint8_t)set->token[0].text[0] : -1;
    memset(set->first, 0, sizeof set->first);
    for (size_t i = 0; i < set->count; i++) {
        const Added *t = &set->token[i];
        if (i > 0 && compare(t - 1, t) == 0)
            return err_set(err, "added token '%s' is given twice", name_text(t->text, t->bytes).text);
        set->first[(uint8_t)t->text[0] + 1]++;
        if ((uint8_t)t->text[0] != set->only) set->only = -1;
    }
    for (int b = 0; b < 256; b++) set->first[b + 1] += set->first[b];
    return true;
}

void added_set_free(AddedSet *set) {
    free(set->token);
    arena_free(&set->arena);
    *set = (AddedSet){0};
}

const Added *added_set_find(const AddedSet *set, const char *text, size_t bytes) {
    Added key = {.text = text, .bytes = bytes};
    return set->count ? bsearch(&key, set->token, set->count, sizeof *set->token, compare) : NULL;
}

void added_set_remove(AddedSet *set, const Added *token) {
    size_t at = (size_t)(token - set->token);
    memmove(set->token + at, set->token + at + 1, (--set->count - at) * sizeof *set->token);
}

/* The longest token that text[0..bytes) starts with, or NULL. */
static const Added *longest(const AddedSet *set, const uint8_t *text, size_t bytes) {
    size_t low = set->first[text[0]], high = set->first[text[0] + 1];
    const Added *found = NULL;
    for (size_t depth = 1; low < high; depth++) { /* token[low..high) share the first `depth` bytes with the text */
        if (set->token[low].bytes == depth) found = &set->token[low++];
        if (depth == bytes) break;
        size_t a = low, b = high;
        while (a < b) { /* first with a byte >= the text's */
            size_t middle = (a + b) / 2;
            if ((uint8_t)set->token[middle].text[depth] < text[depth]) a = middle + 1;
            else b = middle;
        }
        low = a;
        b = high;
        while (a < b) { /* first with a byte above it */
            size_t middle = (a + b) / 2;
            if ((uint8_t)set->token[middle].text[depth] <= text[depth]) a = middle + 1;
            else b = middle;
        }
        high = a;
    }
    return found;
}

/* Where the character before `at` starts; at > 0. */
static size_t previous(const uint8_t *text, size_t at) {
    do at--;
    while (at > 0 && (text[at] & 0xC0) == 0x80);
    return at;
}

static bool stands_alone(const uint8_t *text, size_t bytes, size_t start, size_t end) {
    int32_t code;
    if (start > 0 && (utf8_read_valid(text + previous(text, start), &code), char_is_word(code))) return false;
    return end == bytes || (utf8_read_valid(text + end, &code), !char_is_word(code));
}

bool added_set_next(const AddedSet *set, const uint8_t *text, size_t bytes, size_t floor, size_t from, size_t limit,
                    AddedMatch *out) {
    for (size_t at = from; set->count && at < limit;) {
        if (set->only >= 0) {
            const uint8_t *p = memchr(text + at, set->only, limit - at);
            if (!p) return false;
            at = (size_t)(p - text);
        }
        const Added *token = longest(set, text + at, limit - at);
        if (!token) {
            at++;
            continue;
        }
        size_t start = at, end = at + token->bytes;
        int32_t code;
        int n;
        at = end;
        if (token->single_word && !stands_alone(text, bytes, start, end)) continue;
        for (size_t p; token->lstrip && start > floor; start = p) {
            p = previous(text, start);
            utf8_read_valid(text + p, &code);
            if (char_class(code) != CLASS_SPACE) break;
        }
        for (; token->rstrip && end < bytes; end += (size_t)n) {
            n = utf8_read_valid(text + end, &code);
            if (char_class(code) != CLASS_SPACE) break;
        }
        *out = (AddedMatch){start, end, token->id};
        return true;
    }
    return false;
}
