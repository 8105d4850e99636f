/* answer_math.c: Qwen2.5-Math's rule: where to look for the answer, how it is cleaned, when two answers are equal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../text/unicode.h"
#include "answer.h"
#include "math_text.h"

/* An "answer" longer than this is prose; it is compared as it stands, so hostile text costs no time. */
enum { LONGEST_ANSWER = 4096 };

/* ---- Text edits; each leaves the text as it was when there is nothing to do -------------------------------------- */

static void keep(Text *t, size_t from, size_t to) {
    if (!t->data) return;
    memmove(t->data, t->data + from, to - from);
    t->bytes = to - from;
    t->data[t->bytes] = 0;
}

static void replace(Text *t, const char *from, const char *to) {
    size_t n = strlen(from), m = strlen(to), at = 0;
    if (!t->data || !memmem(t->data, t->bytes, from, n)) return;
    Text out = {0};
    for (const char *hit; (hit = memmem(t->data + at, t->bytes - at, from, n)); at = (size_t)(hit - t->data) + n) {
        text_add(&out, t->data + at, (size_t)(hit - t->data) - at);
        text_add(&out, to, m);
    }
    text_add(&out, t->data + at, t->bytes - at);
    out.failed = out.failed || t->failed;
    text_free(t);
    *t = out;
}

static bool has(const Text *t, const char *what) {
    return t->data && memmem(t->data, t->bytes, what, strlen(what)) != NULL;
}
static char at(const Text *t, size_t i) { return i < t->bytes ? t->data[i] : 0; }
static char last(const Text *t) { return t->bytes ? t->data[t->bytes - 1] : 0; }
static bool digit(char c) { return c >= '0' && c <= '9'; }

static CharClass class_of(int32_t code) { return code < 0 ? CLASS_OTHER : char_class(code); } /* below 0: ill-formed */

/* Python's str.isspace: White_Space and the four separators of ASCII. */
static bool space(int32_t code) { return class_of(code) == CLASS_SPACE || (code >= 0x1c && code <= 0x1f); }

static void strip(Text *t) {
    size_t from = 0, to = 0, i = 0;
    bool seen = false;
    if (!t->data) return;
    const uint8_t *p = (const uint8_t *)t->data, *end = p + t->bytes;
    while (i < t->bytes) {
        int32_t code;
        size_t n = (size_t)utf8_read(p + i, end, &code);
        if (!space(code)) {
            if (!seen) from = i;
            seen = true;
            to = i + n;
        }
        i += n;
    }
    keep(t, seen ? from : 0, seen ? to : 0);
}

/* re.sub(open + ".*?" + close, "" or the inside): with `tail`, only a match that ends the text. */
static void drop_span(Text *t, const char *open, const char *close, bool inside, bool tail) {
    Text out = {0};
    size_t i = 0, n = strlen(open), m = strlen(close);
    while (i < t->bytes) {
        const char *hit = memmem(t->data + i, t->bytes - i, open, n);
        if (!hit) break;
        size_t start = (size_t)(hit - t->data), from = start + n;
        const char *stop = NULL;
        if (!tail) stop = memmem(t->data + from, t->bytes - from, close, m);
        else if (t->bytes - from >= m && !memcmp(t->data + t->bytes - m, close, m)) stop = t->data + t->bytes - m;
        if (!stop) break;
        text_add(&out, t->data + i, start - i);
        if (inside) text_add(&out, t->data + from, (size_t)(stop - t->data) - from);
        i = (size_t)(stop - t->data) + m;
    }
    text_add(&out, t->data ? t->data + i : "", t->bytes - i);
    out.failed = out.failed || t->failed;
    text_free(t);
    *t = out;
}

/* ---- Units ------------------------------------------------------------------------------------------------------- */

/* The harness's list; each also with an s. A dot is a pattern's: any character. */
static const char *const units[] = {
    "east",   "degree",  "mph",    "kmph",      "ft",       "m sqaure",     " m east", "sq m",    "deg",
    "mile",   "q .",     "monkey", "prime",     "ratio",    "profit of rs", "rd",      "o",       "gm",
    "p . m",  "lb",      "tile",   "per",       "dm",       "lt",           "gain",    "ab",      "way",
    "west",   "a .",     "b .",    "c .",       "d .",      "e .",          "f .",     "g .",     "h .",
    "t",      "a",       "h",      "no change", "men",      "soldier",      "pie",     "bc",      "excess",
    "st",     "inches",  "noon",   "percent",   "by",       "gal",          "kmh",     "c",       "acre",
    "rise",   "a . m",   "th",     "π r 2",     "sq",       "mark",         "l",       "toy",     "coin",
    "sq . m", "gallon",  "° f",    "profit",    "minw",     "yr",           "women",   "feet",    "am",
    "pm",     "hr",      "cu cm",  "square",    "v â € ™",  "are",          "rupee",   "rounds",  "cubic",
    "cc",     "mtr",     "s",      "ohm",       "number",   "kmph",         "day",     "hour",    "minute",
    "min",    "second",  "man",    "woman",     "sec",      "cube",         "mt",      "sq inch", "mp",
    "∏ cm ³", "hectare", "more",   "sec",       "unit",     "cu . m",       "cm 2",    "rs .",    "rs",
    "kg",     "g",       "month",  "km",        "m",        "cm",           "mm",      "apple",   "liter",
    "loss",   "yard",    "pure",   "year",      "increase", "decrease",     "d",       "less",    "Surface",
    "litre",  "pi sq m", "s .",    "metre",     "meter",    "inch",
};

/* Bytes of the unit matched at the start of p..end, or 0. */
static size_t unit_here(const char *unit, bool plural, const char *p, const char *end) {
    const char *from = p;
    for (; *unit || plural; unit++) {
        if (!*unit) {
            if (p == end || *p != 's') return 0;
            p++;
            break;
        }
        if (p == end) return 0;
        if (*unit == '.') {
            int32_t code;
            p += utf8_read((const uint8_t *)p, (const uint8_t *)end, &code);
        } else if (*p++ != *unit) return 0;
    }
    return (size_t)(p - from);
}

/* Bytes of the non-word character at p, 0 if it is a word character or the end. */
static size_t non_word(const char *p, const char *end) {
    int32_t code;
    if (p == end) return 0;
    size_t n = (size_t)utf8_read((const uint8_t *)p, (const uint8_t *)end, &code);
    return code == '_' || class_of(code) == CLASS_LETTER || class_of(code) == CLASS_NUMBER ? 0 : n;
}

/* re.sub("(^|\W)" unit "($|\W)", "\1\2"), kept unless nothing would be left. */
static void drop_unit(Text *t, const char *unit, bool plural) {
    const char *end = t->data + t->bytes, *p = t->data;
    Text out = {0};
    bool hit = false;
    while (p < end) {
        size_t before = 0, n = 0, after = 0;
        bool match = p == t->data && (n = unit_here(unit, plural, p, end)) &&
                     (p + n == end || (after = non_word(p + n, end)));
        if (!match) {
            before = non_word(p, end);
            match = before && (n = unit_here(unit, plural, p + before, end)) &&
                    (p + before + n == end || (after = non_word(p + before + n, end)));
        }
        int32_t code;
        size_t step = match ? before : (size_t)utf8_read((const uint8_t *)p, (const uint8_t *)end, &code);
        text_add(&out, p, step);
        if (match) text_add(&out, p + before + n, after);
        p += match ? before + n + after : step;
        hit = hit || match;
    }
    if (hit && out.bytes) {
        out.failed = out.failed || t->failed;
        text_free(t);
        *t = out;
    } else text_free(&out);
}

static void drop_units(Text *t) {
    enum { COUNT = sizeof units / sizeof *units };
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 2 * COUNT && t->bytes; i++) drop_unit(t, units[i % COUNT], i >= COUNT);
}

/* ---- strip_string ------------------------------------------------------------------------------------------------ */

/* (\d+)\.0*([^\d]) -> \1\2, then (\d+)\.0*$ -> \1. */
static void drop_zeros(Text *t) {
    Text out = {0};
    for (size_t i = 0; i < t->bytes; i++) {
        size_t zeros = i + 1;
        if (at(t, i) == '.' && i > 0 && digit(at(t, i - 1))) {
            while (at(t, zeros) == '0') zeros++;
            if (zeros == t->bytes || !digit(at(t, zeros))) {
                i = zeros - 1;
                continue;
            }
        }
        text_add(&out, t->data + i, 1);
    }
    out.failed = out.failed || t->failed;
    text_free(t);
    *t = out;
}

/* \frac12 -> \frac{1}{2}, \frac1{72} -> \frac{1}{72}; a fraction cut off leaves the text alone. */
static void fix_fractions(Text *t) {
    static const char frac[] = "\\frac";
    Text out = {0};
    size_t i = 0;
    for (const char *hit; t->data && (hit = memmem(t->data + i, t->bytes - i, frac, 5));) {
        size_t from = (size_t)(hit - t->data) + 5;
        const char *next = memmem(t->data + from, t->bytes - from, frac, 5);
        size_t end = next ? (size_t)(next - t->data) : t->bytes;
        text_add(&out, t->data + i, from - i);
        i = from;
        if (from < end && t->data[from] == '{') continue;
        if (end - from < 2) {
            text_free(&out);
            return;
        }
        text_line(&out, "{%c}", t->data[from]);
        if (t->data[from + 1] == '{') text_add(&out, "{", 1);
        else text_line(&out, "{%c}", t->data[from + 1]);
        i = from + 2;
    }
    text_add(&out, t->data ? t->data + i : "", t->bytes - i);
    out.failed = out.failed || t->failed;
    text_free(t);
    *t = out;
}

/* What int() would print as it reads, or a text with a root in it. */
static bool slash_part(const char *p, const char *end) {
    if (memmem(p, (size_t)(end - p), "sqrt", 4)) return true;
    const char *digits = p < end && *p == '-' ? p + 1 : p;
    if (digits == end || (*digits == '0' && (end - digits > 1 || digits > p))) return false;
    for (const char *c = digits; c < end; c++)
        if (!digit(*c)) return false;
    return true;
}

/* a/b -> \frac{a}{b}. */
static void fix_slash(Text *t) {
    const char *end = t->data + t->bytes, *slash = t->data ? memchr(t->data, '/', t->bytes) : NULL;
    if (!slash || memchr(slash + 1, '/', (size_t)(end - slash - 1)) || !slash_part(t->data, slash) ||
        !slash_part(slash + 1, end))
        return;
    Text out = {0};
    text_line(&out, "\\frac{%.*s}{%s}", (int)(slash - t->data), t->data, slash + 1);
    out.failed = out.failed || t->failed;
    text_free(t);
    *t = out;
}

/* \sqrt3 -> \sqrt{3}: as many word characters as follow. */
static void fix_roots(Text *t) {
    static const char root[] = "\\sqrt";
    Text out = {0};
    size_t i = 0;
    for (const char *hit; t->data && (hit = memmem(t->data + i, t->bytes - i, root, 5));) {
        size_t from = (size_t)(hit - t->data) + 5, to = from;
        int32_t code;
        while (to < t->bytes && !non_word(t->data + to, t->data + t->bytes))
            to += (size_t)utf8_read((const uint8_t *)t->data + to, (const uint8_t *)t->data + t->bytes, &code);
        text_add(&out, t->data + i, from - i);
        if (to > from) {
            text_add(&out, "{", 1);
            text_add(&out, t->data + from, to - from);
            text_add(&out, "}", 1);
        }
        i = to;
    }
    text_add(&out, t->data ? t->data + i : "", t->bytes - i);
    out.failed = out.failed || t->failed;
    text_free(t);
    *t = out;
}

/* "k=5" -> "5" where there is one = and at most two characters before it. */
static void drop_variable(Text *t) {
    const char *sign = t->data ? memchr(t->data, '=', t->bytes) : NULL;
    if (!sign || memchr(sign + 1, '=', t->bytes - (size_t)(sign + 1 - t->data))) return;
    size_t left = 0;
    for (const char *p = t->data; p < sign; p++) left += ((uint8_t)*p & 0xC0) != 0x80;
    if (left <= 2) keep(t, (size_t)(sign + 1 - t->data), t->bytes);
}

static void strip_latex(Text *t) {
    static const char *const pairs[][2] = {
        {"bmatrix", "pmatrix"}, {"tfrac", "frac"}, {"dfrac", "frac"}, {"\\neq", "\\ne"},   {"\\leq", "\\le"},
        {"\\geq", "\\ge"},      {"\\left", ""},    {"\\right", ""},   {"\\{", "{"},        {"\\}", "}"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) replace(t, pairs[i][0], pairs[i][1]);
    Text plain = {0};
    text_add(&plain, t->data ? t->data : "", t->bytes);
    drop_span(&plain, "\\text{", "}", false, true);
    strip(&plain);
    if (plain.bytes) keep(t, 0, 0), text_add(t, plain.data, plain.bytes);
    text_free(&plain);
}

static void strip_signs(Text *t) {
    static const char *const pairs[][2] = {{"x=", ""},
                                           {"y=", ""},
                                           {"z=", ""},
                                           {"x\\in", ""},
                                           {"y\\in", ""},
                                           {"z\\in", ""},
                                           {"x\\to", ""},
                                           {"y\\to", ""},
                                           {"z\\to", ""},
                                           {"\\emptyset", "{}"},
                                           {"(-\\infty,\\infty)", "\\mathbb{R}"},
                                           {"\\%", ""},
                                           {"%", ""},
                                           {" .", " 0."},
                                           {"{.", "{0."},
                                           {"infinity", "\\infty"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) replace(t, pairs[i][0], pairs[i][1]);
    if (!has(t, "\\infty")) replace(t, "inf", "\\infty");
    replace(t, "+\\inity", "\\infty");
    replace(t, "and", "");
    replace(t, "\\mathbf", "");
    drop_span(t, "\\mbox{", "}", false, false);
    if (has(t, "j") && !has(t, "i")) replace(t, "j", "i");
}

static void strip_string(Text *t) {
    if (t->bytes > LONGEST_ANSWER) return;
    strip(t);
    replace(t, "\n", "");
    while (last(t) == '.') keep(t, 0, t->bytes - 1);
    replace(t, "\\!", "");
    strip_latex(t);
    drop_units(t);
    static const char *const gone[] = {"^{\\circ}", "^\\circ", "\\$", "$", "\\(", "\\)"};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) replace(t, gone[i], "");
    number_words(t);
    drop_span(t, "\\text{", "}", true, false);
    strip_signs(t);
    drop_zeros(t);
    if (!t->bytes) return;
    if (at(t, 0) == '.') {
        Text out = {0};
        text_line(&out, "0%s", t->data);
        text_free(t);
        *t = out;
    }
    drop_variable(t);
    fix_roots(t);
    replace(t, " ", "");
    fix_fractions(t);
    fix_slash(t);
}

/* ---- extract_answer ---------------------------------------------------------------------------------------------- */

static const char *find(const char *t, size_t bytes, const char *what) { return memmem(t, bytes, what, strlen(what)); }

/* What follows the last `what`, or NULL. */
static const char *after_last(const char *t, size_t bytes, const char *what) {
    const char *end = t + bytes, *found = NULL;
    for (const char *p = t; (p = find(p, (size_t)(end - p), what)); found = p) p += strlen(what);
    return found;
}

/* The inside of {...}, braces matched, an unmatched one to the end; without a brace, up to a $. */
static void add_box(const char *p, const char *end, Text *out) {
    int depth = 1;
    if (p < end && *p == '{') {
        const char *from = ++p;
        for (; p < end && (depth += (*p == '{') - (*p == '}')); p++) {}
        text_add(out, from, (size_t)(p - from));
        return;
    }
    const char *stop = memchr(p, '$', (size_t)(end - p));
    text_add(out, p, (size_t)((stop ? stop : end) - p));
    strip(out);
}

/* The last match of -?\d*\.?\d+ in the text without commas. */
static void add_last_number(const char *t, size_t bytes, Text *out) {
    Text plain = {0};
    text_add(&plain, t, bytes);
    replace(&plain, ",", "");
    size_t from = 0, to = 0;
    for (size_t i = 0; i < plain.bytes;) {
        size_t p = i + (at(&plain, i) == '-');
        while (digit(at(&plain, p))) p++;
        bool whole = p > i && digit(at(&plain, p - 1));
        size_t end = p;
        if (at(&plain, p) == '.' && digit(at(&plain, p + 1)))
            for (end = p + 1; digit(at(&plain, end));) end++;
        if (!whole && end == p) {
            i++;
            continue;
        }
        from = i;
        to = i = end;
    }
    text_add(out, plain.data ? plain.data + from : "", to - from);
    text_free(&plain);
}

/* Newlines and the space after them go, then one ":" in front, one "." and one "/" behind. */
static void tidy(Text *t) {
    Text out = {0};
    for (size_t i = 0; i < t->bytes;) {
        if (t->data[i] != '\n') {
            text_add(&out, t->data + i++, 1);
            continue;
        }
        int32_t code;
        for (size_t n; i < t->bytes; i += n) {
            n = (size_t)utf8_read((const uint8_t *)t->data + i, (const uint8_t *)t->data + t->bytes, &code);
            if (!space(code)) break;
        }
    }
    out.failed = out.failed || t->failed;
    text_free(t);
    *t = out;
    if (at(t, 0) == ':') keep(t, 1, t->bytes);
    if (last(t) == '.') keep(t, 0, t->bytes - 1);
    if (last(t) == '/') keep(t, 0, t->bytes - 1);
}

static void add_answer(const char *t, size_t bytes, Text *pred) {
    const char *end = t + bytes, *p;
    const char *minerva = find(t, bytes, "final answer is $"), *hope = find(t, bytes, "$. I hope");
    if (minerva && hope) {
        p = minerva + strlen("final answer is $");
        hope = find(p, (size_t)(end - p), "$. I hope");
        text_add(pred, p, (size_t)((hope ? hope : end) - p));
        strip(pred);
    } else if ((p = after_last(t, bytes, "boxed"))) {
        add_box(p, end, pred);
    } else if ((p = after_last(t, bytes, "he answer is")) || (p = after_last(t, bytes, "final answer is"))) {
        text_add(pred, p, (size_t)(end - p));
        strip(pred);
    } else if ((p = find(t, bytes, "答案是"))) {
        p += strlen("答案是");
        const char *next = find(p, (size_t)(end - p), "答案是");
        text_add(pred, p, (size_t)((next ? next : end) - p));
        strip(pred);
        const char *blank = pred->data ? find(pred->data, pred->bytes, "\n\n") : NULL;
        if (blank) keep(pred, 0, (size_t)(blank - pred->data));
        strip(pred);
    } else add_last_number(t, bytes, pred);
}

static bool math_extract(const char *t, size_t bytes, Text *out) {
    Text text = {0}, pred = {0};
    text_add(&text, t, bytes);
    replace(&text, "\u043a\u0438", ""); /* the harness's own repair of a tokenizer's habit */
    if (text.bytes) add_answer(text.data, text.bytes, &pred);
    tidy(&pred);
    strip_string(&pred); /* the harness cleans once when it extracts and once more before it compares */
    strip_string(&pred);
    bool found = pred.bytes > 0;
    text_add(out, pred.data ? pred.data : "", pred.bytes);
    if (text.failed || pred.failed) out->failed = true;
    text_free(&text);
    text_free(&pred);
    return found;
}

/* The text after the one "####". */
static bool math_gold(const char *t, size_t bytes, Text *out) {
    const char *mark = find(t, bytes, "####"), *end = t + bytes;
    if (!mark || find(mark + 4, (size_t)(end - mark - 4), "####")) return false;
    text_add(out, mark + 4, (size_t)(end - mark - 4));
    strip_string(out);
    return out->bytes > 0;
}

/* ---- math_equal -------------------------------------------------------------------------------------------------- */

/* Python's float() of a text without commas, or of one that ends in % or \% as a hundredth. */
static bool parse_digits(const Text *t, double *out) {
    Text plain = {0};
    text_add(&plain, t->data ? t->data : "", t->bytes);
    replace(&plain, ",", "");
    strip(&plain);
    double scale = 1;
    if (last(&plain) == '%') {
        keep(&plain, 0, plain.bytes - 1);
        if (last(&plain) == '\\') keep(&plain, 0, plain.bytes - 1);
        scale = 100;
    }
    char *stop = plain.data;
    bool hex = plain.data && strpbrk(plain.data, "xXpPnN("); /* strtod reads more than float() */
    double v = plain.bytes && !hex ? strtod(plain.data, &stop) : 0;
    bool ok = plain.bytes && !hex && stop == plain.data + plain.bytes && !space((uint8_t)plain.data[0]);
    *out = v / scale;
    text_free(&plain);
    return ok;
}

static bool close_to(double a, double b) { /* math.isclose(rel_tol=1e-4) */
    return a == b || (isfinite(a) && isfinite(b) && fabs(a - b) <= 1e-4 * fmax(fabs(a), fabs(b)));
}

static bool same_letters(const Text *a, const Text *b, const char *drop) {
    size_t i = 0, j = 0;
    for (;; i++, j++) {
        while (i < a->bytes && a->data[i] && strchr(drop, a->data[i])) i++;
        while (j < b->bytes && b->data[j] && strchr(drop, b->data[j])) j++;
        if (i == a->bytes || j == b->bytes) return i == a->bytes && j == b->bytes;
        char x = a->data[i], y = b->data[j];
        if (x >= 'A' && x <= 'Z') x = (char)(x - 'A' + 'a');
        if (y >= 'A' && y <= 'Z') y = (char)(y - 'A' + 'a');
        if (x != y) return false;
    }
}

static bool math_equal(const Text *pred, const Text *gold) {
    double p, g;
    if (same_letters(pred, gold, "")) return true;
    if (parse_digits(pred, &p) && parse_digits(gold, &g) &&
        (close_to(p, g / 100) || close_to(p, g) || close_to(p, g * 100)))
        return true;
    if (!pred->bytes) return false;
    if (same_letters(pred, gold, "{}()") ||
        (at(pred, 0) == '[' && last(pred) == ']' && same_letters(pred, gold, "{}()[]")))
        return true;
    return pred->bytes <= LONGEST_ANSWER && gold->bytes <= LONGEST_ANSWER && arithmetic(pred, &p) &&
           arithmetic(gold, &g) && close_to(p, g);
}

const AnswerRule answer_qwen_math = {"qwen-math", "", math_extract, math_gold, math_equal};
