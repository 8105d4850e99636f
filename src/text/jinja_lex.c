/* jinja_lex.c: a template's text to tokens, with the white space around tags taken away as trim_blocks and
 * lstrip_blocks have it: the first line end after a block or comment goes, and blanks before one at the beginning of
 * a line. */
#include <stdlib.h>
#include "jinja_parse.h"
#include "unicode.h"

typedef struct Lexer {
    Jinja *j;
    const char *start, *at, *end;
    JTokens *out;
    int line;
    bool at_line_start; /* what was read last ended with a line end */
    char *brackets;     /* open ones of the tag */
    size_t open, room;
} Lexer;

static _Noreturn void wrong(Lexer *x, const char *what) {
    x->j->line = x->line;
    jj_fail(x->j, "%s", what);
}

static void push(Lexer *x, JTokenKind kind, int op, JValue value) {
    JTokens *t = x->out;
    if (t->count == t->room) {
        size_t room = t->room ? 2 * t->room : 64;
        JToken *grown = jj_new(x->j, room, sizeof *grown);
        if (t->count) memcpy(grown, t->item, t->count * sizeof *grown);
        t->item = grown;
        t->room = room;
    }
    t->item[t->count++] = (JToken){kind, op, x->line, value};
}

static void count_lines(Lexer *x, const char *from, const char *to) {
    for (; from < to; from++) x->line += *from == '\n';
}

/* Bytes of the white space character at p, or 0. */
static size_t space_at(const char *p, const char *end) {
    int32_t code;
    if (p == end) return 0;
    int n = utf8_read_valid((const uint8_t *)p, &code);
    return jc_space(code) ? (size_t)n : 0;
}

static const char *skip_space(const char *p, const char *end) {
    for (size_t n; (n = space_at(p, end)) > 0;) p += n;
    return p;
}

/* The end of text[from..to) without white space at its end. */
static const char *strip_end(const char *from, const char *to) {
    while (to > from) {
        const char *p = to - 1;
        while (p > from && ((uint8_t)*p & 0xC0) == 0x80) p--;
        if (!space_at(p, to)) break;
        to = p;
    }
    return to;
}

/* Text before a tag. `sign`: - or + of its beginning, or 0. */
static void take_data(Lexer *x, const char *to, char sign, bool is_variable) {
    const char *from = x->at, *end = to;
    if (sign == '-') end = strip_end(from, to);
    else if (sign != '+' && !is_variable) {
        const char *line = to;
        while (line > from && line[-1] != '\n') line--;
        if ((line > from || x->at_line_start) && skip_space(line, to) == to) end = line;
    }
    if (end > from) push(x, TOKEN_DATA, 0, jv_string(js_new(x->j, from, (size_t)(end - from), 0)));
    count_lines(x, from, to);
    x->at = to;
}

/* Goes past the end of a tag whose last two characters are at `close`. */
static void leave(Lexer *x, const char *close, char sign, bool trims) {
    const char *after = close + 2;
    if (sign == '-') after = skip_space(after, x->end);
    else if (sign != '+' && trims && after < x->end && *after == '\n') after++;
    count_lines(x, x->at, after);
    x->at_line_start = after[-1] == '\n';
    x->at = after;
}

static void take_comment(Lexer *x, const char *inside) {
    const char *p = inside;
    while (p + 1 < x->end && !(p[0] == '#' && p[1] == '}')) p++;
    if (p + 1 >= x->end) wrong(x, "a comment has no end: expected #}");
    leave(x, p, p > inside && (p[-1] == '-' || p[-1] == '+') ? p[-1] : 0, true);
}

/* After "{%" and its sign: whether the tag is `word` alone. *close: its %}; *sign: what stands before that. */
static bool is_tag(const Lexer *x, const char *p, const char *word, const char **close, char *sign, bool plus) {
    size_t n = strlen(word);
    p = skip_space(p, x->end);
    if ((size_t)(x->end - p) < n || memcmp(p, word, n) != 0) return false;
    p = skip_space(p + n, x->end);
    *sign = p < x->end && (*p == '-' || (plus && *p == '+')) ? *p : 0;
    p += *sign != 0;
    *close = p;
    return x->end - p >= 2 && p[0] == '%' && p[1] == '}';
}

static void take_raw(Lexer *x, const char *close, char sign) {
    const char *after = close + 2, *p;
    if (sign == '-') after = skip_space(after, x->end);
    count_lines(x, x->at, after);
    x->at_line_start = after[-1] == '\n';
    x->at = after;
    for (p = after; p + 1 < x->end; p++) {
        if (p[0] != '{' || p[1] != '%') continue;
        char before = p + 2 < x->end && (p[2] == '-' || p[2] == '+') ? p[2] : 0;
        if (!is_tag(x, p + 2 + (before != 0), "endraw", &close, &sign, true)) continue;
        take_data(x, p, before, false);
        leave(x, close, sign, true);
        return;
    }
    wrong(x, "a raw block has no end: expected {% endraw %}");
}

/* ---- Inside tags ------------------------------------------------------------------------------------------------ */

static bool is_digit(char c, int base) {
    return base == 16 ? (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f') : c >= '0' && c < '0' + base;
}

/* Digits with single _ between them. */
static const char *digits(const char *p, const char *end, int base) {
    while (p < end && (is_digit(*p, base) || (*p == '_' && p + 1 < end && is_digit(p[1], base)))) p++;
    return p;
}

static void take_number(Lexer *x) {
    const char *p = x->at, *q = digits(p, x->end, 10), *real = NULL;
    bool after_dot = p > x->start && p[-1] == '.';
    if (!after_dot) {
        const char *r = q;
        if (r + 1 < x->end && *r == '.' && is_digit(r[1], 10)) real = r = digits(r + 1, x->end, 10);
        if (r < x->end && (*r == 'e' || *r == 'E')) {
            const char *e = r + 1;
            if (e < x->end && (*e == '+' || *e == '-')) e++;
            if (e < x->end && is_digit(*e, 10)) real = digits(e, x->end, 10);
        }
    }
    JValue v;
    if (real) {
        double r;
        if (!jn_parse_real(p, (size_t)(real - p), &r)) wrong(x, "a number is too long");
        v = jv_real(r);
        q = real;
    } else {
        int base = 10;
        if (*p == '0') {
            static const char letters[] = "xob";
            static const int bases[] = {16, 8, 2};
            const char *letter = p + 1 < x->end && p[1] ? strchr(letters, p[1] | 32) : NULL;
            const char *first = p + 2 < x->end && p[2] == '_' ? p + 3 : p + 2;
            if (letter && first < x->end && is_digit(*first, bases[letter - letters])) {
                base = bases[letter - letters];
                q = digits(first, x->end, base);
            } else {
                q = p + 1; /* a zero is followed by zeros only */
                while (q < x->end && (*q == '0' || (*q == '_' && q + 1 < x->end && q[1] == '0'))) q++;
            }
        }
        if (!jn_parse_int(x->j, p, (size_t)(q - p), base == 10 ? 10 : 0, &v)) wrong(x, "a number is too long");
    }
    push(x, TOKEN_NUMBER, 0, v);
    x->at = q;
}

static void add_escape(Lexer *x, JBuilder *b, const char **at, const char *end, int most, int base) {
    int32_t code = 0;
    int n = 0;
    for (; n < most && *at < end && is_digit(**at, base); n++, ++*at)
        code = code * base + (**at <= '9' ? **at - '0' : (**at | 32) - 'a' + 10);
    if (base == 16 && n < most) wrong(x, "an escape in a string has too few digits");
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) wrong(x, "an escape in a string is no character");
    jb_char(b, code, 0);
}

/* The text between quotes, with Python's escapes. */
static const JString *unescape(Lexer *x, const char *p, const char *end) {
    static const char names[] = "ntr\\'\"abfv", values[] = "\n\t\r\\'\"\a\b\f\v";
    JBuilder b = {.j = x->j};
    if (!memchr(p, '\\', (size_t)(end - p))) return js_new(x->j, p, (size_t)(end - p), 0);
    while (p < end) {
        const char *slash = memchr(p, '\\', (size_t)(end - p));
        jb_add(&b, p, (size_t)((slash ? slash : end) - p), 0);
        if (!slash) break;
        p = slash + 1;
        char c = *p++;
        const char *found = c ? strchr(names, c) : NULL;
        int32_t code;
        if (found) jb_add(&b, values + (found - names), 1, 0);
        else if (c == '\n') continue;
        else if (c >= '0' && c <= '7') p--, add_escape(x, &b, &p, end, 3, 8);
        else if (c == 'x' || c == 'u' || c == 'U') add_escape(x, &b, &p, end, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16);
        else if (c == 'N') wrong(x, "\\N escapes are not supported in strings");
        else if ((uint8_t)c < 0x80) jb_line(&b, 0, "\\%c", c);
        else { /* Jinja spells such a character as an escape first, whose backslash this one then escapes */
            p += utf8_read_valid((const uint8_t *)p - 1, &code) - 1;
            jb_line(&b, 0, code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)code);
        }
    }
    return jb_finish(&b);
}

static void take_string(Lexer *x) {
    const char *p = x->at + 1;
    while (p < x->end && *p != *x->at) p += *p == '\\' && p + 1 < x->end ? 2 : 1;
    if (p >= x->end) wrong(x, "a string has no end");
    push(x, TOKEN_STRING, 0, jv_string(unescape(x, x->at + 1, p)));
    count_lines(x, x->at, p);
    x->at = p + 1;
}

static bool take_name(Lexer *x) {
    const char *p = x->at;
    int32_t code;
    for (int n; p < x->end; p += n) {
        n = utf8_read_valid((const uint8_t *)p, &code);
        if (!jc_word(code)) break;
    }
    if (p == x->at) return false;
    push(x, TOKEN_NAME, 0, jv_string(js_new(x->j, x->at, (size_t)(p - x->at), 0)));
    x->at = p;
    return true;
}

static void bracket(Lexer *x, char c) {
    static const char opening[] = "([{", closing[] = ")]}";
    if (strchr(opening, c)) {
        if (x->open == x->room) {
            size_t room = x->room ? 2 * x->room : 16;
            char *grown = jj_new(x->j, room, 1);
            if (x->open) memcpy(grown, x->brackets, x->open);
            x->brackets = grown;
            x->room = room;
        }
        x->brackets[x->open++] = closing[strchr(opening, c) - opening];
    } else if (strchr(closing, c)) {
        char text[64];
        snprintf(text, sizeof text, "unexpected '%c'", c);
        if (!x->open || x->brackets[--x->open] != c) wrong(x, text);
    }
}

static void take_operator(Lexer *x) {
    static const struct {
        char text[3];
        int op;
    } twos[] = {{"==", OPERATOR_EQ}, {"!=", OPERATOR_NE},       {"<=", OPERATOR_LE},
                {">=", OPERATOR_GE}, {"//", OPERATOR_FLOORDIV}, {"**", OPERATOR_POW}};
    int op = 0;
    for (size_t i = 0; i < sizeof twos / sizeof *twos; i++)
        if (x->end - x->at >= 2 && !memcmp(x->at, twos[i].text, 2)) op = twos[i].op;
    if (!op && *x->at && strchr("+-/*%~[](){}=<>.:|,;", *x->at)) op = *x->at;
    if (!op) {
        char text[64];
        snprintf(text, sizeof text, "unexpected character '%.1s'", (uint8_t)*x->at < 0x80 ? x->at : "?");
        wrong(x, text);
    }
    if (op < 256) bracket(x, (char)op);
    push(x, TOKEN_OPERATOR, op, jv_none());
    x->at += op < 256 ? 1 : 2;
}

/* Tokens up to the end of the tag. */
static void take_inside(Lexer *x, bool is_variable) {
    char last = is_variable ? '}' : '%';
    x->open = 0;
    for (;;) {
        const char *p = skip_space(x->at, x->end);
        count_lines(x, x->at, p);
        x->at = p;
        if (p == x->end) wrong(x, is_variable ? "a tag has no end: expected }}" : "a tag has no end: expected %}");
        char sign = *p == '-' || (*p == '+' && !is_variable) ? *p : 0;
        const char *close = p + (sign != 0);
        if (!x->open && x->end - close >= 2 && close[0] == last && close[1] == '}') {
            push(x, is_variable ? TOKEN_VARIABLE_END : TOKEN_BLOCK_END, 0, jv_none());
            leave(x, close, sign, !is_variable);
            return;
        }
        jj_work(x->j, 1);
        if (*p >= '0' && *p <= '9') take_number(x);
        else if (*p == '\'' || *p == '"') take_string(x);
        else if (!take_name(x)) take_operator(x);
    }
}

void jinja_lex(Jinja *j, const char *text, size_t bytes, JTokens *out) {
    Lexer x = {.j = j, .start = text, .at = text, .end = text + bytes, .out = out, .line = 1, .at_line_start = true};
    while (x.at < x.end) {
        const char *p = x.at, *close;
        while (p + 1 < x.end && !(p[0] == '{' && (p[1] == '{' || p[1] == '%' || p[1] == '#'))) p++;
        if (p + 1 >= x.end) {
            push(&x, TOKEN_DATA, 0, jv_string(js_new(j, x.at, (size_t)(x.end - x.at), 0)));
            break;
        }
        char kind = p[1], sign = p + 2 < x.end && (p[2] == '-' || p[2] == '+') ? p[2] : 0, end_sign;
        const char *inside = p + 2 + (sign != 0);
        take_data(&x, p, sign, kind == '{');
        if (kind == '#') take_comment(&x, inside);
        else if (kind == '%' && is_tag(&x, inside, "raw", &close, &end_sign, false)) take_raw(&x, close, end_sign);
        else {
            push(&x, kind == '{' ? TOKEN_VARIABLE : TOKEN_BLOCK, 0, jv_none());
            x.at = inside;
            take_inside(&x, kind == '{');
        }
    }
    push(&x, TOKEN_END, 0, jv_none());
}
