/* math_text.c: numbers in words as word2number reads them; arithmetic by recursive descent. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "math_text.h"

/* ---- Words ------------------------------------------------------------------------------------------------------- */

enum { HUNDRED = 100, THOUSAND = 1000, MILLION = 1000000, BILLION = 1000000000, POINT = -1, MAX_WORDS = 64 };

static const struct { const char *word; int64_t value; } number_table[] = {
    {"zero", 0}, {"one", 1}, {"two", 2}, {"three", 3}, {"four", 4}, {"five", 5}, {"six", 6}, {"seven", 7},
    {"eight", 8}, {"nine", 9}, {"ten", 10}, {"eleven", 11}, {"twelve", 12}, {"thirteen", 13}, {"fourteen", 14},
    {"fifteen", 15}, {"sixteen", 16}, {"seventeen", 17}, {"eighteen", 18}, {"nineteen", 19}, {"twenty", 20},
    {"thirty", 30}, {"forty", 40}, {"fifty", 50}, {"sixty", 60}, {"seventy", 70}, {"eighty", 80}, {"ninety", 90},
    {"hundred", HUNDRED}, {"thousand", THOUSAND}, {"million", MILLION}, {"billion", BILLION}, {"point", POINT},
};

/* The package's number_formation: up to four words; it has no answer for none, and ignores all but the first of
 * five. */
static bool formation(const int64_t *n, int count, int64_t *out) {
    if (count < 1) return false;
    if (count == 4) *out = n[0] * n[1] + n[2] + n[3];
    else if (count == 3) *out = n[0] * n[1] + n[2];
    else if (count == 2) *out = n[0] == HUNDRED || n[1] == HUNDRED ? n[0] * n[1] : n[0] + n[1];
    else *out = n[0];
    return true;
}

static int index_of(const int64_t *n, int count, int64_t value) {
    for (int i = 0; i < count; i++)
        if (n[i] == value) return i;
    return -1;
}

static bool whole_value(const int64_t *n, int count, int64_t *sum) {
    int b = index_of(n, count, BILLION), m = index_of(n, count, MILLION), k = index_of(n, count, THOUSAND);
    int64_t part;
    if ((k > -1 && (k < m || k < b)) || (m > -1 && m < b)) return false;
    *sum = 0;
    if (count == 0) return true;
    if (count == 1) return *sum = n[0], true;
    if (b > -1) {
        if (!formation(n, b, &part)) return false;
        *sum += part * BILLION;
    }
    if (m > -1) {
        if (!formation(n + b + 1, m - b - 1, &part)) return false;
        *sum += part * MILLION;
    }
    if (k > -1) {
        int from = m > -1 ? m + 1 : b + 1;
        if (!formation(n + from, k - from, &part)) return false;
        *sum += part * THOUSAND;
    }
    int tail = k > -1 && k != count - 1 ? k + 1 : m > -1 && m != count - 1 ? m + 1 : b > -1 && b != count - 1 ? b + 1
             : k == -1 && m == -1 && b == -1 ? 0 : count;
    if (tail < count) {
        if (!formation(n + tail, count - tail, &part)) return false;
        *sum += part;
    }
    return true;
}

/* Words of the text that are number words, in order; -1 when a word that may come once comes twice, or there are too
 * many. */
static int words_of(const char *t, size_t bytes, int64_t *out) {
    int count = 0, seen[4] = {0};
    for (size_t i = 0; i < bytes;) {
        char word[16];
        size_t n = 0;
        for (; i < bytes && !strchr(" \t\n\r\f\v-", t[i]); i++, n++) {
            if (!t[i]) return -1;
            if (n < sizeof word - 1) word[n] = t[i] >= 'A' && t[i] <= 'Z' ? (char)(t[i] - 'A' + 'a') : t[i];
        }
        if (n == 0) i++;
        if (n == 0 || n >= sizeof word - 1) continue;
        word[n] = 0;
        for (size_t k = 0; k < sizeof number_table / sizeof *number_table; k++) {
            if (strcmp(word, number_table[k].word)) continue;
            int64_t v = number_table[k].value;
            int once = v == THOUSAND ? 0 : v == MILLION ? 1 : v == BILLION ? 2 : v == POINT ? 3 : -1;
            if (count == MAX_WORDS || (once >= 0 && seen[once]++)) return -1;
            out[count++] = v;
        }
    }
    return count;
}

void number_words(Text *text) {
    int64_t n[MAX_WORDS], sum;
    size_t digits = 0;
    while (digits < text->bytes && text->data[digits] >= '0' && text->data[digits] <= '9') digits++;
    if (digits && digits == text->bytes) {
        size_t zeros = 0;
        while (zeros + 1 < digits && text->data[zeros] == '0') zeros++;
        memmove(text->data, text->data + zeros, digits - zeros + 1);
        text->bytes -= zeros;
        return;
    }
    int count = text->data ? words_of(text->data, text->bytes, n) : 0;
    if (count < 1) return;
    int point = index_of(n, count, POINT);
    if (!whole_value(n, point < 0 ? count : point, &sum)) return;
    Text out = {0};
    if (point < 0 || point == count - 1) {
        text_line(&out, "%lld", (long long)sum);
    } else { /* digits after the point, as the package's float */
        double value = (double)sum, scale = 0.1;
        for (int i = point + 1; i < count; i++, scale /= 10) {
            if (n[i] < 0 || n[i] > 9) { /* the package then has no decimals */
                value = (double)sum;
                break;
            }
            value += (double)n[i] * scale;
        }
        text_line(&out, "%.12g", value);
    }
    out.failed = out.failed || text->failed;
    text_free(text);
    *text = out;
}

/* ---- Arithmetic -------------------------------------------------------------------------------------------------- */

enum { MAX_DEPTH = 32 };

typedef struct Parser { const char *p, *end; int depth; } Parser;
static bool sum(Parser *s, double *v);

static bool take(Parser *s, const char *what) {
    size_t n = strlen(what);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, what, n)) return false;
    s->p += n;
    return true;
}

static bool group(Parser *s, const char *open, const char *close, double *v) {
    return take(s, open) && sum(s, v) && take(s, close);
}

static bool number(Parser *s, double *v) {
    char text[64];
    size_t n = 0;
    bool digits = false;
    for (; s->p < s->end && ((*s->p >= '0' && *s->p <= '9') || *s->p == '.' || *s->p == ','); s->p++) {
        digits = digits || (*s->p >= '0' && *s->p <= '9');
        if (*s->p == ',') continue;
        if (n == sizeof text - 1) return false;
        text[n++] = *s->p;
    }
    text[n] = 0;
    char *stop;
    *v = strtod(text, &stop);
    return digits && !*stop;
}

static bool atom(Parser *s, double *v) {
    double a, b;
    if (s->p == s->end) return false;
    if (*s->p == '(') return group(s, "(", ")", v);
    if (*s->p == '{') return group(s, "{", "}", v);
    if (*s->p == '[') return group(s, "[", "]", v);
    if (take(s, "\\frac")) {
        if (!group(s, "{", "}", &a) || !group(s, "{", "}", &b) || b == 0) return false;
        *v = a / b;
        return true;
    }
    if (take(s, "\\sqrt")) return group(s, "{", "}", &a) && a >= 0 && (*v = sqrt(a), true);
    return number(s, v);
}

static bool power(Parser *s, double *v) {
    bool negative = false;
    for (;;) {
        if (take(s, "-")) negative = !negative;
        else if (!take(s, "+")) break;
    }
    if (!atom(s, v)) return false;
    if (take(s, "^") || take(s, "**")) {
        double e;
        if (s->depth++ >= MAX_DEPTH || !power(s, &e)) return false;
        s->depth--;
        *v = pow(*v, e);
    }
    if (negative) *v = -*v;
    return true;
}

static bool product(Parser *s, double *v) {
    if (!power(s, v)) return false;
    for (double b; s->p < s->end;) {
        if (take(s, "\\times") || take(s, "\\cdot") || (!take(s, "**") && take(s, "*"))) {
            if (!power(s, &b)) return false;
            *v *= b;
        } else if (take(s, "\\div") || take(s, "/")) {
            if (!power(s, &b) || b == 0) return false;
            *v /= b;
        } else break;
    }
    return true;
}

static bool sum(Parser *s, double *v) {
    if (s->depth++ >= MAX_DEPTH || !product(s, v)) return false;
    for (double b; s->p < s->end;) {
        if (take(s, "+")) {
            if (!product(s, &b)) return false;
            *v += b;
        } else if (take(s, "-")) {
            if (!product(s, &b)) return false;
            *v -= b;
        } else break;
    }
    s->depth--;
    return true;
}

bool arithmetic(const Text *text, double *value) {
    if (!text->data) return false;
    Parser s = {.p = text->data, .end = text->data + text->bytes};
    return sum(&s, value) && s.p == s.end && isfinite(*value);
}
