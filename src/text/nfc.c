/* nfc.c: normalisation form C of Unicode 9. utf8proc knows the decompositions and compositions; the ordering of
 * combining marks is done here, because utf8proc's own is quadratic in a run of marks, which a hostile text can make as
 * long as it likes. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "unicode.h"

#define NFC ((utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE))
enum { LONGEST_DECOMPOSITION = 8 };

typedef struct Range {
    int32_t first, last;
} Range;

/* Ranges in which no character is a combining mark, has another form C, or can be the second of a composition: there
 * the text may be cut. Most writing lies in them; what is left out only costs time. */
static const Range inert[] = {
    {0x0000, 0x02FF}, {0x0388, 0x0482},   {0x048A, 0x052F},   {0x0531, 0x0556}, {0x0561, 0x0587}, {0x05D0, 0x05EA},
    {0x0620, 0x064A}, {0x0671, 0x06D3},   {0x0904, 0x0939},   {0x0E01, 0x0E37}, {0x1E00, 0x1F70}, {0x2010, 0x20BF},
    {0x2190, 0x2328}, {0x232B, 0x2ADB},   {0x3001, 0x3029},   {0x3030, 0x3096}, {0x309B, 0xA48C}, {0xAC00, 0xD7A3},
    {0xFF01, 0xFFEE}, {0x1F000, 0x1FAFF}, {0x20000, 0x2A6DF},
};

/* Combining marks of Unicode 10 to 15, and the second half of U+11938. The normaliser of tokenizers 0.23, which models
 * are trained with, is that of Unicode 9: to it they are characters without properties, which nothing passes. */
static const Range late[] = {
    {0x07FD, 0x07FD},   {0x0898, 0x089F},   {0x08CA, 0x08D3},   {0x09FE, 0x09FE},   {0x0C3C, 0x0C3C},
    {0x0D3B, 0x0D3C},   {0x0EBA, 0x0EBA},   {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
    {0xA82C, 0xA82C},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
    {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97},
    {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
};

static bool within(const Range *range, size_t count, int32_t code) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code > range[middle].last) low = middle + 1;
        else high = middle;
    }
    return low < count && code >= range[low].first;
}

bool nfc_late(int32_t code) { return code >= late[0].first && within(late, sizeof late / sizeof *late, code); }

bool nfc_inert(int32_t code) { return within(inert, sizeof inert / sizeof *inert, code) || nfc_late(code); }

/* Bytes at the start that are inert characters. *last is where the last of them starts. */
static size_t inert_span(const uint8_t *data, size_t bytes, size_t *last) {
    size_t i = 0;
    *last = 0;
    while (i < bytes) {
        size_t ascii = ascii_span(data + i, bytes - i);
        if (ascii) *last = i + ascii - 1;
        i += ascii;
        if (i == bytes) break;
        int32_t code;
        int n = utf8_read_valid(data + i, &code);
        if (!nfc_inert(code)) break;
        *last = i;
        i += (size_t)n;
    }
    return i;
}

bool nfc_needed(const uint8_t *data, size_t bytes) {
    size_t last;
    return inert_span(data, bytes, &last) != bytes;
}

static int combining(int32_t code) { return nfc_late(code) ? 0 : utf8proc_get_property(code)->combining_class; }

/* Orders a run of combining marks by class, stably: insertion for the few of real text, counting for long runs. */
static bool order_marks(int32_t *run, size_t count, Err *err) {
    if (count <= 32) {
        for (size_t i = 1; i < count; i++) {
            int32_t c = run[i];
            size_t j = i;
            for (; j > 0 && combining(run[j - 1]) > combining(c); j--) run[j] = run[j - 1];
            run[j] = c;
        }
        return true;
    }
    size_t start[257] = {0};
    int32_t *sorted = mem_new(count, sizeof *sorted, "combining marks", err);
    if (!sorted) return false;
    for (size_t i = 0; i < count; i++) start[combining(run[i]) + 1]++;
    for (int c = 1; c <= 256; c++) start[c] += start[c - 1];
    for (size_t i = 0; i < count; i++) sorted[start[combining(run[i])]++] = run[i];
    memcpy(run, sorted, count * sizeof *run);
    free(sorted);
    return true;
}

static bool order_all(int32_t *code, size_t count, Err *err) {
    for (size_t i = 0; i < count;) {
        size_t j = i;
        while (j < count && combining(code[j]) > 0) j++;
        if (j - i > 1 && !order_marks(code + i, j - i, err)) return false;
        i = j > i ? j : i + 1;
    }
    return true;
}

/* Normalises one chunk on its own. *code is working space that grows. */
static bool chunk_add(const uint8_t *data, size_t bytes, int32_t **code, size_t *capacity, Text *out, Err *err) {
    size_t count = 0;
    for (size_t i = 0; i < bytes;) {
        int32_t c;
        int class = 0;
        i += (size_t)utf8_read_valid(data + i, &c);
        if (!mem_grow((void **)code, capacity, count + LONGEST_DECOMPOSITION, sizeof **code, "normalisation", err))
            return false;
        utf8proc_ssize_t n = utf8proc_decompose_char(c, *code + count, LONGEST_DECOMPOSITION, NFC, &class);
        if (n < 0 || n > LONGEST_DECOMPOSITION)
            return err_set(err, "normalisation: U+%04X: %s", (unsigned)c, utf8proc_errmsg(n));
        count += (size_t)n;
    }
    if (!order_all(*code, count, err)) return false;
    utf8proc_ssize_t composed = utf8proc_normalize_utf32(*code, (utf8proc_ssize_t)count, NFC);
    for (utf8proc_ssize_t i = 0; i < composed; i++) {
        uint8_t utf8[4];
        text_add(out, (char *)utf8, (size_t)utf8_write((*code)[i], utf8));
    }
    return true;
}

bool nfc_add(const uint8_t *data, size_t bytes, Text *out, Err *err) {
    int32_t *code = NULL;
    size_t capacity = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < bytes;) {
        size_t last, span = inert_span(data + i, bytes - i, &last);
        if (i + span == bytes) {
            text_add(out, (const char *)data + i, span);
            break;
        }
        text_add(out, (const char *)data + i,
                 last); /* a mark may join the last inert character: it goes with the chunk */
        i += last;
        size_t end = i;
        for (bool first = true; end < bytes; first = false) {
            int32_t c;
            int n = utf8_read_valid(data + end, &c);
            if (!first && nfc_inert(c)) break;
            end += (size_t)n;
        }
        ok = chunk_add(data + i, end - i, &code, &capacity, out, err);
        i = end;
    }
    free(code);
    return ok && text_ok(out, "normalised text", err);
}
