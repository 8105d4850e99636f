/* split.c: the known pre-tokenisers by hand. Each matcher takes a piece's start and returns its end; the alternatives
 * of the pattern are tried in its order, and greed and backtracking are worked out on paper. */
#include <stdlib.h>
#include <string.h>
#include "split.h"
#include "unicode.h"

const char *split_pattern(SplitKind kind) {
    switch (kind) {
    case SPLIT_QWEN2:
        return "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
               "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    case SPLIT_LLAMA3:
        return "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
               "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    case SPLIT_GPT2: return "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    default: return NULL;
    }
}

bool splitter_add(Splitter *splitter, SplitKind kind, Err *err) {
    if (splitter->count == SPLIT_STEPS) return err_as(err, QM_LIMIT, "pre_tokenizer has more than %d steps",
                                                      SPLIT_STEPS);
    splitter->step[splitter->count++] = kind;
    return true;
}

bool splitter_set_prefix(Splitter *s, bool on, Err *err) {
    int at = s->prefix;
    if (on == (at < s->count && s->step[at] == SPLIT_PREFIX_SPACE)) return true;
    if (on && !splitter_add(s, SPLIT_PREFIX_SPACE, err)) return false;
    size_t after = (size_t)(s->count - 1 - at);
    memmove(s->step + at + on, s->step + at + !on, after * sizeof *s->step);
    memmove(s->regex + at + on, s->regex + at + !on, after * sizeof *s->regex);
    if (on) s->step[at] = SPLIT_PREFIX_SPACE, s->regex[at] = NULL;
    else s->count--;
    return true;
}

bool splitter_add_pattern(Splitter *splitter, const char *pattern, size_t bytes, bool by_hand, Err *err) {
    for (SplitKind kind = SPLIT_QWEN2; by_hand && kind <= SPLIT_GPT2; kind++)
        if (strlen(split_pattern(kind)) == bytes && !memcmp(split_pattern(kind), pattern, bytes))
            return splitter_add(splitter, kind, err);
    if (!splitter_add(splitter, SPLIT_REGEX, err)) return false;
    return (splitter->regex[splitter->count - 1] = regex_new(pattern, bytes, err)) != NULL;
}

void splitter_free(Splitter *splitter) {
    for (int i = 0; i < splitter->count; i++)
        if (splitter->step[i] == SPLIT_REGEX) regex_free(splitter->regex[i]);
    *splitter = (Splitter){0};
}

/* ---- Matchers ------------------------------------------------------------------------------------------------ */

static CharClass class_at(const uint8_t *p, int *bytes) {
    int32_t code;
    *bytes = utf8_read_valid(p, &code);
    return char_class(code);
}

/* The end of the run of `class` that starts at p; p itself when there is none. */
static const uint8_t *run_end(const uint8_t *p, const uint8_t *end, CharClass class) {
    for (int n; p < end; p += n) {
        if (*p < 128) {
            n = 1;
            if (ascii_class[*p] != class) break;
        } else if (class_at(p, &n) != class) break;
    }
    return p;
}

/* Bytes of 's 't 're 've 'm 'll 'd at p, or 0. With `fold` in any case, where the long s (U+017F) folds to s. */
static int contraction(const uint8_t *p, const uint8_t *end, bool fold) {
    if (*p != '\'' || end - p < 2) return 0;
    int a = p[1], b = end - p > 2 ? p[2] : 0;
    if (fold && a == 0xC5 && b == 0xBF) return 3;
    if (fold && a < 128) a |= 0x20;
    if (fold && b < 128) b |= 0x20;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s+(?!\S)|\s+ on the white space [p, q): all of it at the end of the text, else all but its last character, which
 * then stands alone or goes with what follows. */
static const uint8_t *space_end(const uint8_t *p, const uint8_t *q, const uint8_t *end) {
    if (q == end) return q;
    const uint8_t *last = q - 1;
    while ((*last & 0xC0) == 0x80) last--;
    return last > p ? last : q;
}

static const uint8_t *line_ends(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p == '\r' || *p == '\n')) p++;
    return p;
}

static const uint8_t *match_qwen2(const uint8_t *p, const uint8_t *end, int digits) {
    int n, m;
    CharClass class = class_at(p, &n), next = CLASS_OTHER;
    if (class == CLASS_LETTER) return run_end(p + n, end, CLASS_LETTER);
    if (class == CLASS_NUMBER) {
        for (p += n; --digits > 0 && p < end && class_at(p, &n) == CLASS_NUMBER;) p += n;
        return p;
    }
    int quoted = contraction(p, end, true);
    if (quoted) return p + quoted;
    if (p + n < end) next = class_at(p + n, &m);
    if (p + n < end && next == CLASS_LETTER && *p != '\r' && *p != '\n') return run_end(p + n, end, CLASS_LETTER);
    if (class == CLASS_OTHER) return line_ends(run_end(p + n, end, CLASS_OTHER), end);
    if (*p == ' ' && p + n < end && next == CLASS_OTHER) return line_ends(run_end(p + n, end, CLASS_OTHER), end);
    const uint8_t *q = run_end(p, end, CLASS_SPACE),
                  *line = q; /* \s*[\r\n]+ gives back what follows the last line end */
    while (line > p && line[-1] != '\r' && line[-1] != '\n') line--;
    return line > p ? line : space_end(p, q, end);
}

static const uint8_t *match_gpt2(const uint8_t *p, const uint8_t *end) {
    int n, quoted = contraction(p, end, false);
    if (quoted) return p + quoted;
    const uint8_t *q = p + (*p == ' ' && end - p > 1);
    CharClass class = class_at(q, &n);
    if (class != CLASS_SPACE) return run_end(q + n, end, class);
    return space_end(p, run_end(p, end, CLASS_SPACE), end);
}

/* ---- Steps --------------------------------------------------------------------------------------------------- */

typedef struct Run {
    const Splitter *splitter;
    double deadline;
    WordSink *sink;
    void *context;
} Run;

/* What one step hands to the next. */
typedef struct Next {
    const Run *run;
    int step;
} Next;

static bool run_step(const Run *run, int step, const uint8_t *p, const uint8_t *end, Err *err);

static inline bool pass(const Run *run, int step, const uint8_t *p, const uint8_t *end, Err *err) {
    if (step == run->splitter->count) return run->sink(run->context, p, (size_t)(end - p), err);
    return run_step(run, step, p, end, err);
}

static bool pass_match(void *context, const uint8_t *word, size_t bytes, Err *err) {
    const Next *next = context;
    return pass(next->run, next->step, word, word + bytes, err);
}

static bool split_digits(const Run *run, int step, const uint8_t *p, const uint8_t *end, Err *err) {
    const uint8_t *start = p;
    for (int n; p < end; p += n) {
        if (class_at(p, &n) != CLASS_NUMBER) continue;
        if (p > start && !pass(run, step + 1, start, p, err)) return false;
        if (!pass(run, step + 1, p, p + n, err)) return false;
        start = p + n;
    }
    return start == end || pass(run, step + 1, start, end, err);
}

static bool prefix_space(const Run *run, int step, const uint8_t *p, const uint8_t *end, Err *err) {
    if (*p == ' ') return pass(run, step + 1, p, end, err);
    size_t bytes = (size_t)(end - p);
    uint8_t *copy = mem_new(bytes + 1, 1, "text with a space in front", err);
    if (!copy) return false;
    copy[0] = ' ';
    memcpy(copy + 1, p, bytes);
    bool ok = pass(run, step + 1, copy, copy + bytes + 1, err);
    free(copy);
    return ok;
}

static bool run_step(const Run *run, int step, const uint8_t *p, const uint8_t *end, Err *err) {
    SplitKind kind = run->splitter->step[step];
    if (kind == SPLIT_DIGITS) return split_digits(run, step, p, end, err);
    if (kind == SPLIT_PREFIX_SPACE) return prefix_space(run, step, p, end, err);
    if (kind == SPLIT_REGEX) {
        Next next = {run, step + 1};
        return regex_split(run->splitter->regex[step], p, (size_t)(end - p), run->deadline, pass_match, &next, err);
    }
    while (p < end) {
        const uint8_t *q = kind == SPLIT_GPT2 ? match_gpt2(p, end) : match_qwen2(p, end, kind == SPLIT_QWEN2 ? 1 : 3);
        if (!pass(run, step + 1, p, q, err)) return false;
        p = q;
    }
    return true;
}

bool splitter_run(const Splitter *splitter, const uint8_t *text, size_t bytes, double deadline, WordSink *sink,
                  void *context, Err *err) {
    Run run = {splitter, deadline, sink, context};
    return bytes == 0 || pass(&run, 0, text, text + bytes, err);
}
