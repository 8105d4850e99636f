/* regex.c: Split patterns that are not matched by hand, with PCRE2 standing in for Oniguruma. Matching is bounded in
 * steps and in time, so a pattern with catastrophic backtracking is an error and not a hang. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include "split.h"
#include "unicode.h"

enum { MATCH_STEPS = 20000000, MATCH_KIBIBYTES = 256 << 10 };
#define SECONDS_AT_LEAST 10.0
#define SECONDS_PER_BYTE 2e-6

typedef struct Regex { pcre2_code *code; } Regex;

double split_deadline(size_t bytes) { return clock_seconds() + SECONDS_AT_LEAST + SECONDS_PER_BYTE * (double)bytes; }

struct Regex *regex_new(const char *pattern, size_t bytes, Err *err) {
    if (bytes > 10000) {
        err_as(err, QM_LIMIT, "pre_tokenizer: Split: pattern is too long: expected at most 10000 bytes, got %zu",
               bytes);
        return NULL;
    }
    Text text = {0};
    int why = 0;
    PCRE2_SIZE at = 0;
    Regex *regex = mem_new(1, sizeof *regex, "pattern", err);
    if (regex && pattern_translate(pattern, bytes, &text, err)) {
        /* In Oniguruma's Ruby syntax ^ and $ stand at every line, and lines end in LF alone. Two
         * optimisations are off, for in 10.42 they miss some: (?=a)(?:ax)*+a in "a", \p{Lu}*(?:a|b)?+\p{L} in "B". */
        pcre2_compile_context *lines = pcre2_compile_context_create(NULL);
        if (lines && pcre2_set_newline(lines, PCRE2_NEWLINE_LF) == 0)
            regex->code = pcre2_compile((PCRE2_SPTR)(text.data ? text.data : ""), text.bytes,
                                        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C |
                                            PCRE2_NO_START_OPTIMIZE | PCRE2_NO_AUTO_POSSESS,
                                        &why, &at, lines);
        pcre2_compile_context_free(lines);
        if (!lines) {
            err_as(err, QM_MEMORY, "out of memory: pattern");
        } else if (regex->code) {
            pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* without it matching is slower, no more */
        } else {
            PCRE2_UCHAR reason[128];
            pcre2_get_error_message(why, reason, sizeof reason);
            err_set(err, "pattern: %s at byte %zu", (char *)reason, (size_t)at);
        }
    }
    text_free(&text);
    if (regex && !regex->code) {
        err_prefix(err, "pre_tokenizer: Split");
        free(regex);
        regex = NULL;
    }
    return regex;
}

void regex_free(struct Regex *regex) {
    if (!regex) return;
    pcre2_code_free(regex->code);
    free(regex);
}

/* Finds the next match at or after `from`: 1 found, 0 none, -1 error. */
static int find(const Regex *regex, const uint8_t *text, size_t bytes, size_t from, pcre2_match_data *match,
                pcre2_match_context *limits, Err *err) {
    int rc = pcre2_match(regex->code, text, bytes, from, PCRE2_NO_UTF_CHECK, match, limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(regex->code, text, bytes, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match, limits);
    if (rc == PCRE2_ERROR_NOMATCH) return 0;
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(match);
    if (rc >= 0 && span[0] >= from && span[1] >= span[0] && span[1] <= bytes) return 1; /* \K could break the order */
    PCRE2_UCHAR reason[128] = "match out of order";
    if (rc < 0) pcre2_get_error_message(rc, reason, sizeof reason);
    err_set(err, "pre_tokenizer: Split: pattern fails on a text of %zu bytes at byte %zu: %s", bytes, from,
            (char *)reason);
    return -1;
}

static bool split_all(const Regex *regex, const uint8_t *text, size_t bytes, double deadline, pcre2_match_data *match,
                      pcre2_match_context *limits, WordSink *sink, void *context, Err *err) {
    size_t done = 0, from = 0, last_end = SIZE_MAX; /* an empty match right after the last match does not count */
    while (from <= bytes) {
        if (clock_seconds() > deadline) /* at every turn: one alone may take MATCH_STEPS */
            return err_set(err, "pre_tokenizer: Split: pattern is too slow: at byte %zu of %zu when time was up", from,
                           bytes);
        int found = find(regex, text, bytes, from, match, limits, err);
        if (found < 0) return false;
        if (found == 0) break;
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(match);
        size_t start = span[0], end = span[1];
        if (start == end && end == last_end) {
            int32_t code;
            from += from < bytes ? (size_t)utf8_read_valid(text + from, &code) : 1;
            continue;
        }
        if (start > done && !sink(context, text + done, start - done, err)) return false;
        if (end > start && !sink(context, text + start, end - start, err)) return false;
        done = from = last_end = end;
    }
    return done == bytes || sink(context, text + done, bytes - done, err);
}

bool regex_split(const struct Regex *regex, const uint8_t *text, size_t bytes, double deadline, WordSink *sink,
                 void *context, Err *err) {
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(regex->code, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    bool ok = match && limits;
    if (!ok) err_as(err, QM_MEMORY, "out of memory: pattern matching");
    if (ok) {
        pcre2_set_match_limit(limits, MATCH_STEPS);
        pcre2_set_heap_limit(limits, MATCH_KIBIBYTES);
        ok = split_all(regex, text, bytes, deadline, match, limits, sink, context, err);
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(match);
    return ok;
}
