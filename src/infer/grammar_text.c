/* grammar_text.c: two notations for grammars. GBNF as llama.cpp has it: name ::= alternatives of sequences of "text",
 * [class], ., (group), names, with * + ? {m,n}; # begins a comment; the rule `root` is the start. Regular expressions
 * of ECMA-262: | ( ) (?: ) (?<name> ) [class] . * + ? {m,n}, these lazy too (*? matches the same whole texts), and
 * the escapes \d \w \s \D \W \S \n \r \t \f \v \0 \cX \xHH \uHHHH. As a grammar they match the whole text; patterns
 * of JSON schemas are found anywhere in a string. */
#include <string.h>
#include "../text/unicode.h"
#include "grammar_build.h"

typedef struct Reader {
    Builder *b;
    const uint8_t *start, *at, *end;
    int depth;
    bool gbnf, pattern; /* pattern: ^ and $ may stand anywhere */
} Reader;

static int wrong(Reader *r, const char *expected) {
    builder_fail(r->b, "%s, byte %zu: expected %s", r->gbnf ? "GBNF" : "regular expression", (size_t)(r->at - r->start),
                 expected);
    return -1;
}

static bool is(const Reader *r, char c) { return r->at < r->end && *r->at == (uint8_t)c; }
static bool take(Reader *r, char c) { return is(r, c) && r->at++; }

/* One character of UTF-8; -1 and an error when it is none. */
static int32_t character(Reader *r) {
    int32_t code;
    if (r->at >= r->end) return wrong(r, "a character");
    int n = utf8_read(r->at, r->end, &code);
    if (code < 0) return wrong(r, "well-formed UTF-8");
    r->at += n;
    return code;
}

static int32_t hex(Reader *r, int digits) {
    int64_t code = 0; /* eight digits may pass 31 bits */
    for (int i = 0; i < digits; i++, r->at++) {
        int c = r->at < r->end ? *r->at : 0;
        int v = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (v < 0) return wrong(r, "hexadecimal digits");
        code = code * 16 + v;
    }
    return code > 0x10FFFF ? wrong(r, "a code up to 10FFFF") : (int32_t)code;
}

/* \uHHHH, or two of them that are one character. */
static int32_t escaped_utf16(Reader *r) {
    int32_t high = hex(r, 4);
    if (high < 0xD800 || high > 0xDBFF || r->end - r->at < 6 || memcmp(r->at, "\\u", 2) != 0) return high;
    r->at += 2;
    int32_t low = hex(r, 4);
    if (low < 0) return -1;
    if (low < 0xDC00 || low > 0xDFFF) return wrong(r, "the second half of a surrogate pair");
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

/* After a backslash: a single character; -1 and an error when there is none. */
static int32_t escaped(Reader *r) {
    int32_t c = character(r);
    if (!r->gbnf && c == 'u') return escaped_utf16(r);
    if (!r->gbnf && c == 'c' && r->at < r->end && ((*r->at | 32) >= 'a' && (*r->at | 32) <= 'z')) return *r->at++ & 31;
    if (!r->gbnf && c == '0' && (r->at == r->end || *r->at < '0' || *r->at > '9')) return 0;
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'f': return '\f';
    case 'v': return '\v';
    case 'x': return hex(r, 2);
    case 'u': return hex(r, 4);
    case 'U': return hex(r, 8);
    default: return c >= 0 && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
                 ? wrong(r, "an escape that is known") : c;
    }
}

static const CodeRange digits[] = {{'0', '9'}};
static const CodeRange words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const CodeRange spaces[] = {{'\t', '\r'}, {' ', ' '}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x2000, 0x200A},
    {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
static const CodeRange line_ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

/* The set that \d, \w, \s and their capitals stand for, or NULL. */
static const CodeRange *named_set(uint8_t letter, int *count, bool *negated) {
    *negated = letter < 'a';
    switch (letter | 32) {
    case 'd': return *count = 1, digits;
    case 'w': return *count = 4, words;
    case 's': return *count = sizeof spaces / sizeof *spaces, spaces;
    default: return NULL;
    }
}

/* One character of a class: \b is a backspace there. */
static int32_t class_character(Reader *r) {
    if (!take(r, '\\')) return character(r);
    return !r->gbnf && take(r, 'b') ? '\b' : escaped(r);
}

/* [...], after the bracket. */
static int class_read(Reader *r) {
    CodeRange range[512];
    int count = 0;
    bool negated = take(r, '^');
    for (bool first = true; first || !is(r, ']'); first = false) {
        int n;
        bool inverse;
        const CodeRange *set;
        if (r->at >= r->end) return wrong(r, "']'");
        if (count > 490) return wrong(r, "at most 490 ranges in a class");
        if (first && is(r, ']')) break; /* [] and [^] */
        if (!r->gbnf && *r->at == '\\' && r->at + 1 < r->end && (set = named_set(r->at[1], &n, &inverse))) {
            if (!inverse) memcpy(range + count, set, (size_t)n * sizeof *set), count += n;
            for (int i = 0; inverse && i <= n; i++)
                range[count++] = (CodeRange){i ? set[i - 1].high + 1 : 0, i < n ? set[i].low - 1 : 0x10FFFF};
            r->at += 2;
            continue;
        }
        int32_t low = class_character(r), high = low;
        if (low < 0) return -1;
        if (is(r, '-') && r->at + 1 < r->end && r->at[1] != ']') {
            r->at++;
            if (!r->gbnf && r->end - r->at > 1 && *r->at == '\\' && named_set(r->at[1], &n, &inverse))
                return wrong(r, "a character at the end of a range");
            high = class_character(r);
            if (high < 0) return -1;
            if (high < low) return wrong(r, "a range that goes up");
        }
        range[count++] = (CodeRange){low, high};
    }
    r->at++;
    if (count == 0 && !negated) return wrong(r, "a class with characters");
    return builder_class(r->b, range, count, negated);
}

static int one_character(Reader *r, int32_t code) {
    return code < 0 ? -1 : builder_class(r->b, &(CodeRange){code, code}, 1, false);
}

static bool number(Reader *r, int64_t *out) {
    const uint8_t *from = r->at;
    for (*out = 0; r->at < r->end && *r->at >= '0' && *r->at <= '9' && *out < 1 << 20; r->at++)
        *out = *out * 10 + (*r->at - '0');
    return r->at > from;
}

static void space(Reader *r);

/* {m} {m,} {m,n}. In a regular expression a bracket that begins none of these is a character. */
static bool counts(Reader *r, int64_t *least, int64_t *most) {
    const uint8_t *from = r->at;
    if (!take(r, '{')) return false;
    bool ok = number(r, least);
    *most = *least;
    if (ok && take(r, ',') && !number(r, most)) *most = -1;
    if (ok && take(r, '}')) return true;
    if (r->gbnf) return wrong(r, ok ? "'}'" : "a number"), false;
    r->at = from;
    return false;
}

/* * + ? {m,n} after a piece. In GBNF they may follow each other; in a regular expression ? after another one is lazy,
 * which matches the same whole texts. */
static int repeats(Reader *r, int of) {
    for (int i = 0; of >= 0; i++) {
        int64_t least = 0, most = -1;
        if (r->gbnf) space(r);
        if (i == 16) return wrong(r, "at most 16 repetitions of one piece");
        if (take(r, '+')) least = 1;
        else if (take(r, '?')) most = 1;
        else if (!take(r, '*') && !counts(r, &least, &most)) break;
        of = r->b->err->kind ? -1 : builder_repeat(r->b, of, least, most);
        if (r->gbnf) continue;
        take(r, '?');
        if (is(r, '*') || is(r, '+') || is(r, '?') || counts(r, &least, &most))
            return wrong(r, "no repetition of a repetition, and none that is possessive");
        break;
    }
    return r->b->err->kind ? -1 : of;
}

/* ---- Regular expressions ----------------------------------------------------------------------------------------- */

static int regex_or(Reader *r);

/* <name>, after (?. */
static bool group_name(Reader *r) {
    const uint8_t *p = r->at;
    if (p == r->end || *p++ != '<') return false;
    while (p < r->end && ((*p >= '0' && *p <= '9') || ((*p | 32) >= 'a' && (*p | 32) <= 'z') || *p == '_')) p++;
    if (p == r->end || *p != '>' || p == r->at + 1) return false;
    r->at = p + 1;
    return true;
}

static int regex_piece(Reader *r) {
    int64_t least, most;
    if (take(r, '(')) {
        if (take(r, '?') && !take(r, ':') && !group_name(r))
            return wrong(r, "'(?:' or '(?<name>', and look-ahead only after ^ at the beginning of a schema's pattern");
        if (++r->depth > MAX_GRAMMAR_DEPTH) return wrong(r, "less nesting");
        int inner = regex_or(r);
        r->depth--;
        return inner < 0 ? -1 : take(r, ')') ? inner : wrong(r, "')'");
    }
    if (take(r, '[')) return class_read(r);
    if (take(r, '.')) return builder_class(r->b, line_ends, 3, true);
    if (r->pattern && (is(r, '^') || is(r, '$'))) {
        int anchor = builder_anchor(r->b, *r->at++ == '$');
        return is(r, '*') || is(r, '+') || is(r, '?') ? wrong(r, "no repetition of ^ or $") : anchor;
    }
    if (take(r, '\\')) {
        int n;
        bool negated;
        const CodeRange *set = r->at < r->end ? named_set(*r->at, &n, &negated) : NULL;
        if (set) return r->at++, builder_class(r->b, set, n, negated);
        return one_character(r, escaped(r));
    }
    if (is(r, '*') || is(r, '+') || is(r, '?') || counts(r, &least, &most)) return wrong(r, "something to repeat");
    if (is(r, '^') || is(r, '$')) return wrong(r, "^ only at the beginning and $ only at the end");
    return one_character(r, character(r));
}

static int regex_or(Reader *r) {
    int all = -1;
    do {
        int sequence = 0;
        while (sequence >= 0 && r->at < r->end && !is(r, '|') && !is(r, ')')) {
            if (!r->pattern && r->depth == 0 && r->end - r->at == 1 && is(r, '$')) { r->at++; break; }
            sequence = builder_then(r->b, sequence, repeats(r, regex_piece(r)));
        }
        if (sequence < 0) return -1;
        all = all < 0 ? sequence : builder_or(r->b, all, sequence);
    } while (all >= 0 && take(r, '|'));
    return all;
}

static int regex_read(Builder *b, const char *text, size_t bytes, bool pattern) {
    Reader r = {.b = b, .start = (const uint8_t *)text, .at = (const uint8_t *)text,
                .end = (const uint8_t *)text + bytes, .pattern = pattern};
    if (bytes > MAX_GRAMMAR_BYTES) return wrong(&r, "less text");
    if (!pattern) take(&r, '^');
    int all = regex_or(&r);
    return all >= 0 && r.at < r.end ? wrong(&r, "no ')' without '('") : all;
}

int builder_pattern(Builder *b, const char *text, size_t bytes) { return regex_read(b, text, bytes, true); }

Grammar *grammar_regex(const char *text, size_t bytes, Err *err) {
    Builder *b = builder_new(err);
    if (!b) return NULL;
    int root = builder_rule(b);
    builder_define(b, root, regex_read(b, text, bytes, false));
    return builder_finish(b, root);
}

/* ---- GBNF -------------------------------------------------------------------------------------------------------- */

static void space(Reader *r) {
    while (r->at < r->end) {
        if (is(r, '#')) while (r->at < r->end && *r->at != '\n') r->at++;
        else if (is(r, ' ') || is(r, '\t') || is(r, '\r') || is(r, '\n')) r->at++;
        else break;
    }
}

static size_t name_bytes(const Reader *r) {
    size_t n = 0;
    for (const uint8_t *p = r->at; p < r->end; p++, n++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '-' ||
              *p == '_'))
            break;
    return n;
}

/* Whether a rule's definition begins here: that ends the one before. */
static bool at_definition(const Reader *r) {
    Reader ahead = *r;
    ahead.at += name_bytes(r);
    if (ahead.at == r->at) return false;
    space(&ahead);
    return ahead.end - ahead.at >= 3 && !memcmp(ahead.at, "::=", 3);
}

static int gbnf_or(Reader *r);

static int gbnf_piece(Reader *r) {
    size_t n = name_bytes(r);
    if (n) {
        int call = builder_call(r->b, builder_named(r->b, (const char *)r->at, n));
        r->at += n;
        return call;
    }
    if (take(r, '"')) {
        int text = 0;
        while (text >= 0 && !is(r, '"')) {
            if (r->at >= r->end) return wrong(r, "'\"'");
            text = builder_then(r->b, text, one_character(r, take(r, '\\') ? escaped(r) : character(r)));
        }
        r->at++;
        return text;
    }
    if (take(r, '[')) return class_read(r);
    if (take(r, '.')) return builder_class(r->b, NULL, 0, true);
    if (take(r, '(')) {
        if (++r->depth > MAX_GRAMMAR_DEPTH) return wrong(r, "less nesting");
        int inner = gbnf_or(r);
        r->depth--;
        return inner < 0 ? -1 : take(r, ')') ? inner : wrong(r, "')'");
    }
    return wrong(r, "a name, \"text\", [class], '.' or '('");
}

static int gbnf_or(Reader *r) {
    int all = -1;
    do {
        int sequence = 0;
        for (space(r); sequence >= 0 && r->at < r->end && !is(r, '|') && !is(r, ')') && !at_definition(r); space(r))
            sequence = builder_then(r->b, sequence, repeats(r, gbnf_piece(r)));
        if (sequence < 0) return -1;
        all = all < 0 ? sequence : builder_or(r->b, all, sequence);
    } while (all >= 0 && take(r, '|'));
    return all;
}

Grammar *grammar_gbnf(const char *text, size_t bytes, Err *err) {
    Builder *b = builder_new(err);
    if (!b) return NULL;
    Reader r = {.b = b, .start = (const uint8_t *)text, .at = (const uint8_t *)text,
                .end = (const uint8_t *)text + bytes, .gbnf = true};
    bool ok = bytes <= MAX_GRAMMAR_BYTES || wrong(&r, "less text") >= 0;
    for (space(&r); ok && r.at < r.end; space(&r)) {
        const char *name = (const char *)r.at;
        size_t n = name_bytes(&r);
        if (!at_definition(&r)) ok = wrong(&r, "name ::= ...") >= 0;
        if (!ok) break;
        r.at += n;
        space(&r);
        r.at += 3;
        ok = builder_define(b, builder_named(b, name, n), gbnf_or(&r));
        if (ok && is(&r, ')')) ok = wrong(&r, "no ')' without '('") >= 0;
    }
    int root = ok ? builder_named(b, "root", 4) : -1;
    if (root >= 0 && b->rule[root].body < 0) builder_fail(b, "no rule 'root'");
    return builder_finish(b, root);
}
