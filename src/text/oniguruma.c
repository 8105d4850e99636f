/* oniguruma.c: a pattern of tokenizers' Split, in Oniguruma's Ruby syntax, written as PCRE2 means the same. What has no
 * counterpart that surely cuts alike is refused by name: a pattern that is almost right gives almost the right ids. */
#include <string.h>
#include <utf8proc.h>
#include "split.h"
#include "unicode.h"

enum { MOST_GROUPS = 250, NO_CODE = -1 };

typedef struct Group {
    int closing;    /* brackets of ours that end with it: (?i) holds to the end of its group, alternatives included */
    bool fold, dot; /* letters in any case; . takes line ends */
    bool look;      /* a lookaround, which Oniguruma does not repeat */
    bool filled;    /* the alternative at hand takes a character at least */
    bool empty;     /* one before it may take none */
    size_t start;   /* in the output */
} Group;

typedef struct Translation {
    const char *at, *end, *start;
    Text *out;
    Err *err;
    Group group[MOST_GROUPS];
    int depth;
    size_t atom;    /* where in the output the last thing starts that may be repeated; SIZE_MAX: none */
    bool no_repeat; /* the last thing is one that Oniguruma does not repeat */
    bool fills;     /* the last thing takes a character at least */
    int32_t before; /* the literal before this one, as far as case folding may join the two */
} Translation;

static bool refuse(const Translation *t, const char *what) {
    return err_set(t->err,
                   "pattern uses %s at byte %zu, which is not supported: regular expression libraries disagree on it",
                   what, (size_t)(t->at - t->start));
}

static bool refuse_escape(const Translation *t) {
    const char *c = t->at + 1;
    int32_t code;
    char what[32];
    int n = utf8_read((const uint8_t *)c, (const uint8_t *)t->end, &code);
    snprintf(what, sizeof what, "\\%.*s", *c && (uint8_t)*c >= 0x20 ? n : 0, c);
    return refuse(t, what);
}

static void put(Translation *t, const char *text) { text_add(t->out, text, strlen(text)); }

/* The last thing will not be repeated any more. */
static void settle(Translation *t) {
    if (t->fills) t->group[t->depth].filled = true;
    t->fills = false;
    t->atom = SIZE_MAX;
}

static void start_atom(Translation *t, bool fills, bool no_repeat) {
    settle(t);
    t->atom = t->out->bytes;
    t->fills = fills;
    t->no_repeat = no_repeat;
}

static void put_atom(Translation *t, const char *text) {
    start_atom(t, true, false);
    put(t, text);
}

/* Wraps the last atom with its quantifier, so that it is one atom. */
static void wrap(Translation *t) {
    Text *out = t->out;
    size_t tail = out->bytes - t->atom;
    put(t, "(?:)");
    if (out->failed) return;
    memmove(out->data + t->atom + 3, out->data + t->atom, tail);
    memcpy(out->data + t->atom, "(?:", 3);
    out->data[out->bytes - 1] = ')';
}

/* ---- Letters in any case ----------------------------------------------------------------------------------------- */

static bool has_case(int32_t code) {
    int32_t folded[8];
    int class = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(code, folded, 8, UTF8PROC_CASEFOLD, &class);
    return n != 1 || folded[0] != code || utf8proc_tolower(code) != code || utf8proc_toupper(code) != code ||
           utf8proc_get_property(code)->combining_class > 0;
}

/* Oniguruma lets "ss" stand for U+00DF, "fi" for the ligature and so on. PCRE2 folds single characters only, which is
 * the same for every ASCII letter alone. */
static bool fold_differs(const Translation *t, int32_t code) {
    static const char *const joined[] = {"ss", "ff", "fi", "fl", "st"};
    if (code >= 128) return has_case(code);
    for (size_t i = 0; i < sizeof joined / sizeof *joined; i++)
        if ((t->before | 0x20) == joined[i][0] && (code | 0x20) == joined[i][1] && t->before < 128) return true;
    return false;
}

static bool add_literal(Translation *t, int32_t code, bool in_class) {
    char text[16];
    uint8_t utf8[5] = {0};
    bool fold = t->group[t->depth].fold;
    if (fold && fold_differs(t, code)) return refuse(t, "this letter in any case");
    utf8_write(code, utf8);
    bool plain =
        code >= 128 || code == '_' || (code >= '0' && code <= '9') || ((code | 0x20) >= 'a' && (code | 0x20) <= 'z');
    if (plain) snprintf(text, sizeof text, "%s", (char *)utf8);
    else snprintf(text, sizeof text, "\\x{%X}", (unsigned)code);
    if (in_class) put(t, text);
    else put_atom(t, text);
    t->before = in_class ? NO_CODE : code;
    return true;
}

/* ---- Escapes ----------------------------------------------------------------------------------------------------- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* \x41, \x{4E00}, \u4E00 at `at`. Above ASCII, \xE9 is a byte in Oniguruma. */
static bool read_code(Translation *t, int32_t *code) {
    const char *p = t->at + 2;
    bool braced = t->at[1] == 'x' && p < t->end && *p == '{';
    int most = t->at[1] == 'u' ? 4 : braced ? 6 : 2, count = 0;
    *code = 0;
    for (p += braced; p < t->end && count < most && hex_digit(*p) >= 0; p++, count++)
        *code = *code * 16 + hex_digit(*p);
    bool closed = !braced || (p < t->end && *p == '}');
    if (count == 0 || !closed || (t->at[1] == 'u' && count < 4) || (t->at[1] == 'x' && !braced && *code >= 128) ||
        *code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF))
        return refuse_escape(t);
    t->at = p + braced;
    return true;
}

/* \p{Name}: categories and a few properties are called alike. Other names are scripts, where PCRE2 would take the
 * characters that extend a script too. */
static bool add_property(Translation *t) {
    static const char *const same[] = {
        "L",  "Lu", "Ll", "Lt", "Lm",  "Lo",         "M",           "Mn",    "Mc",          "Me", "N",
        "Nd", "Nl", "No", "P",  "Pc",  "Pd",         "Ps",          "Pe",    "Pi",          "Pf", "Po",
        "S",  "Sm", "Sc", "Sk", "So",  "Z",          "Zs",          "Zl",    "Zp",          "C",  "Cc",
        "Cf", "Co", "Cs", "Cn", "Any", "Alphabetic", "White_Space", "Emoji", "Ideographic",
    };
    const char *p = t->at + 2, *name, *close;
    if (p >= t->end || *p != '{' || !(close = memchr(p, '}', (size_t)(t->end - p)))) return refuse_escape(t);
    name = p + 1 + (p[1] == '^');
    size_t bytes = (size_t)(close - name), i = 0;
    while (i < sizeof same / sizeof *same && !(strlen(same[i]) == bytes && !memcmp(same[i], name, bytes))) i++;
    for (const char *c = name; c < close; c++)
        if (!((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') && *c != '_') return refuse(t, "this name of a property");
    if (bytes == 0) return refuse(t, "this name of a property");
    if (t->group[t->depth].fold) return refuse(t, "a property in any case");
    text_line(t->out, "\\%c{%s%s%.*s}", t->at[1], p[1] == '^' ? "^" : "",
              i < sizeof same / sizeof *same ? "" : "sc:", (int)bytes, name);
    t->at = close + 1;
    return true;
}

/* The escape at `at`. *code: the character that it is, or NO_CODE for a class or an anchor, which is written. */
static bool take_escape(Translation *t, bool in_class, int32_t *code) {
    static const char names[] = "nrtfaev", values[] = "\n\r\t\f\a\033\v";
    char c = t->at[1];
    const char *found = c ? strchr(names, c) : NULL;
    *code = NO_CODE;
    bool anchor = c == 'A' || c == 'z';
    if (!in_class && c && strchr("pPsSdDAz", c)) start_atom(t, !anchor, anchor);
    if (c == 'x' || c == 'u') return read_code(t, code);
    if (c == 'p' || c == 'P') return add_property(t);
    if (found) *code = values[found - names];
    else if (c == 's') put(t, "\\p{White_Space}"); /* PCRE2's \s takes U+180E too */
    else if (c == 'S') put(t, "\\P{White_Space}");
    else if (c == 'd') put(t, "\\d");
    else if (c == 'D') put(t, "\\D");
    else if ((c == 'A' || c == 'z') && !in_class) put(t, c == 'A' ? "\\A" : "\\z");
    else if ((uint8_t)c < 0x20 || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
        return refuse_escape(t);
    else {
        int n = utf8_read((const uint8_t *)t->at + 1, (const uint8_t *)t->end, code);
        t->at += 1 + n;
        return true;
    }
    t->at += 2;
    return true;
}

/* ---- Classes ----------------------------------------------------------------------------------------------------- */

/* One member of a class: a character in *code, or a class of its own. */
static bool take_member(Translation *t, int32_t *code) {
    if (*t->at == '[') return refuse(t, t->at + 1 < t->end && t->at[1] == ':' ? "[:" : "a class in a class");
    if (*t->at == '&' && t->at + 1 < t->end && t->at[1] == '&') return refuse(t, "&&");
    if (*t->at == '\\' && t->at + 1 < t->end) return take_escape(t, true, code);
    t->at += utf8_read((const uint8_t *)t->at, (const uint8_t *)t->end, code);
    return true;
}

/* Characters of other writing between two ends have no case. */
static bool range_folds(int32_t low, int32_t high) { return high >= 128 && !(low >= 0x2E80 && high < 0xA640); }

static bool take_class(Translation *t) {
    put_atom(t, "[");
    t->before = NO_CODE;
    t->at++;
    if (t->at < t->end && *t->at == '^') put(t, "^"), t->at++;
    for (bool first = true; t->at < t->end && (first || *t->at != ']'); first = false) {
        int32_t low, high;
        if (!take_member(t, &low)) return false;
        bool dash = t->at + 1 < t->end && *t->at == '-' && t->at[1] != ']';
        if (low == NO_CODE && dash) return refuse(t, "a range that starts with a class");
        if (low == NO_CODE) continue;
        if (!add_literal(t, low, true)) return false;
        if (!dash) continue;
        t->at++;
        if (!take_member(t, &high)) return false;
        if (high == NO_CODE) return refuse(t, "a range that ends with a class");
        if (t->group[t->depth].fold && range_folds(low, high)) return refuse(t, "this range in any case");
        put(t, "-");
        if (!add_literal(t, high, true)) return false;
    }
    if (t->at < t->end) put(t, "]"), t->at++; /* else PCRE2 says what is missing */
    return true;
}

/* ---- Groups ------------------------------------------------------------------------------------------------------ */

/* Options between "(?" and ':' or ')': i; m, which is PCRE2's s; off after '-'. */
static bool take_options(Translation *t, Group *g) {
    bool on = true;
    const char *p = t->at + 2;
    for (; p < t->end && *p != ':' && *p != ')'; p++) {
        if (*p == '-' && on) on = false;
        else if (*p == 'i') g->fold = on;
        else if (*p == 'm') g->dot = on;
        else return refuse(t, "this kind of group");
    }
    if (p == t->end || p == t->at + 2) return refuse(t, "this kind of group");
    t->at = p;
    return true;
}

static bool open_group(Translation *t) {
    static const char *const kinds[] = {"(?:", "(?>", "(?=", "(?!", "(?<=", "(?<!"};
    settle(t);
    if (t->depth + 1 == MOST_GROUPS) return err_set(t->err, "pattern: groups nest deeper than %d", MOST_GROUPS - 1);
    Group *outer = &t->group[t->depth], g = {.fold = outer->fold, .dot = outer->dot, .start = t->out->bytes};
    size_t left = (size_t)(t->end - t->at), i = 0, count = sizeof kinds / sizeof *kinds;
    while (i < count && !(left >= strlen(kinds[i]) && !memcmp(t->at, kinds[i], strlen(kinds[i])))) i++;
    if (i < count) {
        put(t, kinds[i]);
        t->at += strlen(kinds[i]);
        g.look = i >= 2;
    } else if (left > 1 && t->at[1] == '*') return refuse(t, "(*");
    else if (left < 2 || t->at[1] != '?') { /* what a group captures is never asked for */ put(t, "(?:");
        t->at++;
    } else {
        if (!take_options(t, &g)) return false;
        bool rest = *t->at == ')'; /* for the rest of the group at hand, as if that were a group */
        t->at++;
        text_line(t->out, "(?%s%s%s%s:", g.fold ? "i" : "", g.dot ? "s" : "", g.fold && g.dot ? "" : "-",
                  g.fold  ? (g.dot ? "" : "s")
                  : g.dot ? "i"
                          : "is");
        if (rest) {
            outer->closing++;
            outer->fold = g.fold;
            outer->dot = g.dot;
            return true;
        }
    }
    t->group[++t->depth] = g;
    return true;
}

static void close_options(Translation *t) {
    for (Group *g = &t->group[t->depth]; g->closing > 0; g->closing--) put(t, ")");
}

static bool close_group(Translation *t) {
    if (t->depth == 0) return err_set(t->err, "pattern: ) without ( at byte %zu", (size_t)(t->at - t->start));
    settle(t);
    close_options(t);
    put(t, ")");
    t->at++;
    Group *g = &t->group[t->depth--];
    t->atom = g->start;
    t->no_repeat = g->look;
    t->fills = g->filled && !g->empty && !g->look; /* the last alternative and those before it */
    return true;
}

/* ---- Quantifiers ------------------------------------------------------------------------------------------------- */

/* {n}, {n,}, {,m} or {n,m} at p: its end, else NULL. */
static const char *interval_end(const char *p, const char *end, bool *fixed) {
    const char *a = p + 1, *b;
    for (b = a; b < end && *b >= '0' && *b <= '9';) b++;
    bool low = b > a;
    *fixed = low;
    if (b < end && *b == ',') {
        *fixed = false;
        for (a = ++b; b < end && *b >= '0' && *b <= '9';) b++;
        low = low || b > a;
    }
    return low && b < end && *b == '}' ? b + 1 : NULL;
}

/* Whether the quantifier at hand may repeat a thing that takes no character: rounds that take none end differently. */
static bool repeats_nothing(const Translation *t) {
    bool fixed;
    const char *close = *t->at == '{' ? interval_end(t->at, t->end, &fixed) : NULL;
    return !t->fills && *t->at != '?' && !(close && close - t->at == 3 && t->at[1] <= '1');
}

static bool is_quantifier(const Translation *t) {
    bool fixed;
    return t->at < t->end &&
           (*t->at == '*' || *t->at == '+' || *t->at == '?' || (*t->at == '{' && interval_end(t->at, t->end, &fixed)));
}

/* In Ruby's syntax +, and after {n} also ?, repeat an interval anew; in PCRE2 they would make it possessive or lazy. */
static bool take_quantifiers(Translation *t) {
    while (is_quantifier(t)) {
        if (t->atom == SIZE_MAX)
            return err_set(t->err, "pattern: nothing to repeat at byte %zu", (size_t)(t->at - t->start));
        if (t->no_repeat) return refuse(t, "a repeated anchor or lookaround");
        if (repeats_nothing(t)) return refuse(t, "a repeated group that may be empty");
        bool fixed = false;
        if (*t->at != '{') {
            if (*t->at != '+') t->fills = false;
            text_add(t->out, t->at++, 1);
            if (t->at < t->end && (*t->at == '?' || *t->at == '+')) text_add(t->out, t->at++, 1);
            if (is_quantifier(t)) return refuse(t, "a quantifier of a quantifier");
            break;
        }
        const char *close = interval_end(t->at, t->end, &fixed);
        if (t->at[1 + strspn(t->at + 1, "0")] == ',' || t->at[1 + strspn(t->at + 1, "0")] == '}') t->fills = false;
        if (t->at[1] == ',') text_line(t->out, "{0%.*s", (int)(close - t->at - 1), t->at + 1);
        else text_add(t->out, t->at, (size_t)(close - t->at));
        t->at = close;
        bool again = t->at < t->end && *t->at == '?' ? fixed : is_quantifier(t);
        if (again) {
            wrap(t);
        } else if (t->at < t->end && *t->at == '?') {
            text_add(t->out, t->at++, 1);
            if (is_quantifier(t)) return refuse(t, "a quantifier of a quantifier");
        }
    }
    settle(t);
    return true;
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static bool take_one(Translation *t) {
    int32_t code;
    char c = *t->at;
    if (c == '(') return open_group(t);
    if (c == ')') return close_group(t);
    if (c == '[') return take_class(t);
    if (c == '\\' && t->at + 1 == t->end) return put_atom(t, "\\"), t->at++, true; /* PCRE2 says what is missing */
    if (c == '\\')
        return take_escape(t, false, &code) &&
               (code == NO_CODE ? (t->before = NO_CODE, true) : add_literal(t, code, false));
    if (c == '|' || c == '.' || c == '^' || c == '$') {
        char text[2] = {c, 0};
        start_atom(t, c == '.', c != '.');
        put(t, text);
        t->at++;
        t->before = NO_CODE;
        if (c != '|') return true;
        Group *g = &t->group[t->depth];
        g->empty = g->empty || !g->filled;
        g->filled = false;
        t->atom = SIZE_MAX;
        return true;
    }
    const char *from = t->at;
    t->at += utf8_read((const uint8_t *)t->at, (const uint8_t *)t->end, &code);
    if (code < 0) return err_set(t->err, "pattern: invalid UTF-8 at byte %zu", (size_t)(from - t->start));
    return add_literal(t, code, false);
}

bool pattern_translate(const char *pattern, size_t bytes, Text *out, Err *err) {
    Translation t = {.at = pattern,
                     .start = pattern,
                     .end = pattern + bytes,
                     .out = out,
                     .err = err,
                     .atom = SIZE_MAX,
                     .before = NO_CODE};
    while (t.at < t.end)
        if (is_quantifier(&t) ? !take_quantifiers(&t) : !take_one(&t)) return false;
    close_options(&t);
    return text_ok(out, "pattern", err);
}
