/* answer.c: the rules that are a pattern or two: openai, lm-eval, tt-xla. */
#include <string.h>
#include "answer.h"

static bool digit(char c) { return c >= '0' && c <= '9'; }
static bool number_char(char c) { return digit(c) || c == '.' || c == ','; }           /* [0-9\.\,]   */
static bool money_char(char c) { return number_char(c) || c == '$'; }                  /* [$0-9.,]    */
static bool space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* End of the longest run from `at` of characters of a class. */
static size_t run_end(const char *t, size_t bytes, size_t at, bool (*of)(char)) {
    while (at < bytes && of(t[at])) at++;
    return at;
}

/* `mark` followed by (\-?[0-9\.\,]+), then, with `one_more`, by one character that is no newline: the first match. The
 * run gives back its last character when nothing else can be that one. */
static bool after_mark(const char *t, size_t bytes, const char *mark, bool one_more, size_t *from, size_t *to) {
    size_t m = strlen(mark);
    for (size_t i = 0; i + m <= bytes; i++) {
        const char *hit = memmem(t + i, bytes - i, mark, m);
        if (!hit) return false;
        i = (size_t)(hit - t);
        size_t start = i + m, digits = start + (start < bytes && t[start] == '-');
        size_t end = run_end(t, bytes, digits, number_char);
        if (one_more && (end == bytes || t[end] == '\n') && end > digits) end--;
        if (end == digits) continue;
        *from = start;
        *to = end;
        return true;
    }
    return false;
}

static void add_without(const char *t, size_t bytes, const char *drop, Text *out) {
    for (size_t i = 0; i < bytes; i++)
        if (!t[i] || !strchr(drop, t[i])) text_add(out, t + i, 1);
}

static bool same_text(const Text *a, const Text *b) {
    return a->bytes == b->bytes && (!a->bytes || !memcmp(a->data, b->data, a->bytes));
}

/* ---- openai ------------------------------------------------------------------------------------------------------ */

static bool openai_extract(const char *t, size_t bytes, Text *out) {
    size_t from, to;
    if (!after_mark(t, bytes, "#### ", false, &from, &to)) return false;
    add_without(t + from, to - from, ",", out);
    return true;
}

const AnswerRule answer_openai = {"openai", "[invalid]", openai_extract, openai_extract, same_text};

/* ---- lm-eval ----------------------------------------------------------------------------------------------------- */

static bool strict_extract(const char *t, size_t bytes, Text *out) {
    size_t from, to;
    if (!after_mark(t, bytes, "#### ", false, &from, &to)) return false;
    text_add(out, t + from, to - from);
    return true;
}

static bool cot_extract(const char *t, size_t bytes, Text *out) {
    size_t from, to;
    if (!after_mark(t, bytes, "The answer is ", true, &from, &to)) return false;
    text_add(out, t + from, to - from);
    return true;
}

/* (-?[$0-9.,]{2,})|(-?[0-9]+), the last match. */
static bool flexible_extract(const char *t, size_t bytes, Text *out) {
    size_t from = 0, to = 0;
    for (size_t i = 0; i < bytes;) {
        size_t start = i + (t[i] == '-'), end = run_end(t, bytes, start, money_char);
        if (end - start < 2) end = run_end(t, bytes, start, digit);
        if (end == start) {
            i++;
            continue;
        }
        from = i;
        to = i = end;
    }
    text_add(out, t + from, to - from);
    return to > 0;
}

/* What exact_match leaves of a text: "," and "$" go, everything up to the last "#### ", a full stop at the end (a
 * newline may follow it), and capitals. */
static bool lm_eval_ignore(const char *t, size_t bytes, Text *out) {
    Text plain = {0};
    add_without(t, bytes, ",$", &plain);
    size_t from = 0;
    for (const char *hit; plain.data && (hit = memmem(plain.data + from, plain.bytes - from, "#### ", 5));)
        from = (size_t)(hit - plain.data) + 5;
    size_t end = plain.bytes, line = end > from && plain.data[end - 1] == '\n';
    bool stop = end - line > from && plain.data[end - line - 1] == '.';
    for (size_t i = from; i < end; i++) {
        char c = plain.data[i];
        if (stop && i == end - line - 1) continue;
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        text_add(out, &c, 1);
    }
    if (plain.failed) out->failed = true;
    text_free(&plain);
    return true;
}

/* gsm8k_cot takes the gold answer after the last "####", without outer space. */
static bool cot_gold(const char *t, size_t bytes, Text *out) {
    size_t from = 0;
    for (const char *hit; (hit = memmem(t + from, bytes - from, "####", 4));) from = (size_t)(hit - t) + 4;
    while (from < bytes && space(t[from])) from++;
    while (bytes > from && space(t[bytes - 1])) bytes--;
    return lm_eval_ignore(t + from, bytes - from, out);
}

static bool lm_eval_equal(const Text *extracted, const Text *gold) {
    Text left = {0};
    lm_eval_ignore(extracted->data ? extracted->data : "", extracted->bytes, &left);
    bool same = !left.failed && same_text(&left, gold);
    text_free(&left);
    return same;
}

const AnswerRule answer_strict = {"strict-match", "[invalid]", strict_extract, lm_eval_ignore, lm_eval_equal};
const AnswerRule answer_flexible = {"flexible-extract", "[invalid]", flexible_extract, lm_eval_ignore, lm_eval_equal};
const AnswerRule answer_cot_strict = {"strict-match", "[invalid]", cot_extract, cot_gold, lm_eval_equal};
const AnswerRule answer_cot_flexible = {"flexible-extract", "[invalid]", flexible_extract, cot_gold, lm_eval_equal};

/* ---- tt-xla ------------------------------------------------------------------------------------------------------ */

/* The integer, as Python's int() prints it. */
static bool add_integer(const char *t, size_t from, size_t to, Text *out) {
    while (from + 1 < to && t[from] == '0') from++;
    text_add(out, t + from, to - from);
    return true;
}

/* \\boxed{([0-9]+)}, else ####\s*([0-9]+), else ([0-9]+)\s*$; the first match of each. */
static bool tt_xla_extract(const char *t, size_t bytes, Text *out) {
    static const char box[] = "\\boxed{";
    for (size_t i = 0; i + sizeof box - 1 < bytes; i++) {
        const char *hit = memmem(t + i, bytes - i, box, sizeof box - 1);
        if (!hit) break;
        i = (size_t)(hit - t);
        size_t from = i + sizeof box - 1, to = run_end(t, bytes, from, digit);
        if (to > from && to < bytes && t[to] == '}') return add_integer(t, from, to, out);
    }
    for (size_t i = 0; i + 4 < bytes; i++) {
        const char *hit = memmem(t + i, bytes - i, "####", 4);
        if (!hit) break;
        i = (size_t)(hit - t);
        size_t from = run_end(t, bytes, i + 4, space), to = run_end(t, bytes, from, digit);
        if (to > from) return add_integer(t, from, to, out);
    }
    size_t to = bytes, from;
    while (to > 0 && space(t[to - 1])) to--;
    for (from = to; from > 0 && digit(t[from - 1]);) from--;
    return from < to && add_integer(t, from, to, out);
}

const AnswerRule answer_tt_xla = {"tt-xla", NULL, tt_xla_extract, tt_xla_extract, same_text};

/* ---- Judging ----------------------------------------------------------------------------------------------------- */

Judged answer_judge(const AnswerRule *rule, const char *output, size_t bytes, const Text *gold, Text *extracted) {
    Judged j = {0};
    if (extracted->data) extracted->data[0] = 0;
    extracted->bytes = 0;
    j.found = rule->extract(output, bytes, extracted);
    text_add(extracted, "", 0); /* there is text, if empty */
    if (!j.found && rule->none) text_add(extracted, rule->none, strlen(rule->none));
    j.correct = j.found && !extracted->failed && rule->equal(extracted, gold);
    return j;
}
