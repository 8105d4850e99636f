/* metrics.c: see metrics.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "metrics.h"
#include "../text/unicode.h"

static double ratio(double a, double b) { return b == 0 ? 0 : a / b; }
static double f1_of(int64_t right, int64_t got, int64_t want) {
    return ratio(2.0 * (double)right, (double)(got + want));
}

/* ---- Classes ----------------------------------------------------------------------------------------------------- */

typedef struct ClassTally {
    int64_t got, want, right;
} ClassTally;

bool metric_classes(const int32_t *got, const int32_t *want, int64_t count, int classes, ClassMetrics *out, Err *err) {
    ClassTally *c = mem_new((size_t)classes + 1, sizeof *c, "classes", err);
    if (!c) return false;
    *out = (ClassMetrics){0};
    double right = 0, seen = 0, both = 0, gots = 0, wants = 0;
    for (int64_t i = 0; i < count; i++) {
        if (want[i] == NO_LABEL) continue;
        c[got[i]].got++;
        c[want[i]].want++;
        c[want[i]].right += got[i] == want[i];
        out->count++;
    }
    for (int k = 0; k < classes; k++) {
        if (c[k].got + c[k].want == 0) continue;
        seen++;
        right += (double)c[k].right;
        out->f1_macro += f1_of(c[k].right, c[k].got, c[k].want);
        both += (double)c[k].got * (double)c[k].want;
        gots += (double)c[k].got * (double)c[k].got;
        wants += (double)c[k].want * (double)c[k].want;
    }
    double n = (double)out->count;
    out->accuracy = ratio(right, n);
    out->f1_macro = ratio(out->f1_macro, seen);
    if (classes > 1) out->f1 = f1_of(c[1].right, c[1].got, c[1].want);
    out->mcc = ratio(right * n - both, sqrt(n * n - gots) * sqrt(n * n - wants));
    free(c);
    return true;
}

/* ---- Correlations ------------------------------------------------------------------------------------------------ */

double metric_pearson(const double *x, const double *y, int64_t count) {
    double mx = 0, my = 0, xy = 0, xx = 0, yy = 0;
    for (int64_t i = 0; i < count; i++) mx += x[i], my += y[i];
    mx /= (double)count;
    my /= (double)count;
    for (int64_t i = 0; i < count; i++) {
        xy += (x[i] - mx) * (y[i] - my);
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
    }
    return count < 2 || xx == 0 || yy == 0 ? (double)NAN : xy / (sqrt(xx) * sqrt(yy));
}

typedef struct Ranked {
    double value;
    int64_t place;
} Ranked;

static int by_value(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

static void rank(const double *x, int64_t count, Ranked *work, double *out) {
    for (int64_t i = 0; i < count; i++) work[i] = (Ranked){x[i], i};
    qsort(work, (size_t)count, sizeof *work, by_value);
    for (int64_t i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && work[i + n].value == work[i].value;) n++;
        for (int64_t k = i; k < i + n; k++)
            out[work[k].place] = (double)(2 * i + n + 1) / 2; /* mean of i + 1 .. i + n */
    }
}

bool metric_spearman(const double *x, const double *y, int64_t count, double *out, Err *err) {
    *out = (double)NAN;
    if (count < 2) return true;
    Ranked *work = mem_new((size_t)count, sizeof *work, "ranks", err);
    double *a = mem_new((size_t)count, sizeof *a, "ranks", err), *b = mem_new((size_t)count, sizeof *b, "ranks", err);
    bool ok = work && a && b;
    if (ok) rank(x, count, work, a), rank(y, count, work, b), *out = metric_pearson(a, b, count);
    free(work);
    free(a);
    free(b);
    return ok;
}

/* ---- Entities ---------------------------------------------------------------------------------------------------- */

/* A tag: its letter, and its type, which is what stands behind the first '-' after it. */
typedef struct Tag {
    char letter;
    const char *type;
} Tag;

static Tag tag_of(const char *text) {
    const char *dash = *text ? strchr(text + 1, '-') : NULL;
    return (Tag){*text, !*text || !text[1] ? "" : dash ? dash + 1 : text + 1};
}

static bool is_one_of(char letter, const char *letters) { return letter && strchr(letters, letter); }
static bool is_end(Tag last, Tag tag) {
    return last.letter != 'O' &&
           (is_one_of(last.letter, "ES") || is_one_of(tag.letter, "BSO") || strcmp(last.type, tag.type));
}
static bool is_start(Tag last, Tag tag) {
    return tag.letter != 'O' &&
           (is_one_of(tag.letter, "BS") || is_one_of(last.letter, "OES") || strcmp(last.type, tag.type));
}

void entities_add(EntityTally *t, const char *const *got, const char *const *want, int64_t count) {
    Tag none = {'O', ""}, g = none, w = none;
    int64_t g_start = -1, w_start = -1;
    for (int64_t i = 0; i <= count; i++) {
        Tag next_g = i < count ? tag_of(got[i]) : none, next_w = i < count ? tag_of(want[i]) : none;
        bool g_end = is_end(g, next_g), w_end = is_end(w, next_w);
        t->got += g_end;
        t->want += w_end;
        t->right += g_end && w_end && g_start == w_start && !strcmp(g.type, w.type);
        if (is_start(g, next_g)) g_start = i;
        if (is_start(w, next_w)) w_start = i;
        g = next_g;
        w = next_w;
    }
}

double entities_precision(const EntityTally *t) { return ratio((double)t->right, (double)t->got); }
double entities_recall(const EntityTally *t) { return ratio((double)t->right, (double)t->want); }
double entities_f1(const EntityTally *t) { return f1_of(t->right, t->got, t->want); }

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

typedef struct Words {
    Text text;
    const char **word;
    size_t count, room;
} Words;

static bool is_punctuation(int32_t code) {
    return code > ' ' && code < 127 && !(code >= '0' && code <= '9') && !((code | 32) >= 'a' && (code | 32) <= 'z');
}

/* Small letters without punctuation. Ill-formed text is repaired first. */
static void add_plain(Text *out, const char *text) {
    Text whole = {0};
    utf8_repair((const uint8_t *)text, strlen(text), &whole);
    const uint8_t *p = (const uint8_t *)(whole.data ? whole.data : ""), *end = p + whole.bytes;
    text_add(out, "", 0);
    while (p < end) {
        int32_t code;
        uint8_t bytes[4];
        p += utf8_read_valid(p, &code);
        if (!is_punctuation(code))
            text_add(out, (const char *)bytes, (size_t)utf8_write(utf8proc_tolower(code), bytes));
    }
    out->failed |= whole.failed;
    text_free(&whole);
}

static bool is_article(const char *word, size_t n) {
    return (n == 1 && *word == 'a') || (n == 2 && !memcmp(word, "an", 2)) || (n == 3 && !memcmp(word, "the", 3));
}

/* The plain text without articles, which are whole runs of word characters, and with spaces for white space. */
static void add_words(Text *out, const char *text) {
    size_t run = 0; /* bytes of word characters that end where we are */
    for (int n = 1; n; text += n) {
        int32_t code = 0;
        n = *text ? utf8_read_valid((const uint8_t *)text, &code) : 0;
        if (n && char_is_word(code)) {
            run += (size_t)n;
            continue;
        }
        if (!is_article(text - run, run)) text_add(out, text - run, run);
        bool space = !n || char_class(code) == CLASS_SPACE || is_article(text - run, run);
        if (space) text_add(out, " ", 1);
        if (n && char_class(code) != CLASS_SPACE) text_add(out, text, (size_t)n);
        run = 0;
    }
}

static bool words_of(Words *w, const char *text, Err *err) {
    Text plain = {0};
    add_plain(&plain, text);
    bool ok = text_ok(&plain, "an answer", err);
    if (ok) add_words(&w->text, plain.data);
    text_free(&plain);
    ok = ok && text_ok(&w->text, "an answer", err);
    for (char *s = ok ? w->text.data : NULL, *next; ok && *s; s = next) {
        next = s + strcspn(s, " ");
        if (*next) *next++ = 0;
        if (!*s) continue;
        ok = mem_grow((void **)&w->word, &w->room, w->count + 1, sizeof *w->word, "an answer", err);
        if (ok) w->word[w->count++] = s;
    }
    return ok;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool in_order(const Words *a, const Words *b) {
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) same = !strcmp(a->word[i], b->word[i]);
    return same;
}

/* Sorts both. */
static double overlap(Words *a, Words *b) {
    if (a->count == 0 || b->count == 0) return a->count == b->count;
    size_t right = 0;
    qsort(a->word, a->count, sizeof *a->word, by_bytes);
    qsort(b->word, b->count, sizeof *b->word, by_bytes);
    for (size_t i = 0, k = 0; i < a->count && k < b->count;) {
        int c = strcmp(a->word[i], b->word[k]);
        right += c == 0;
        i += c <= 0;
        k += c >= 0;
    }
    return 2.0 * (double)right / (double)(a->count + b->count);
}

static void words_free(Words *w) {
    text_free(&w->text);
    free(w->word);
}

bool metric_answer(const char *got, const char *const *want, int count, double *exact, double *f1, Err *err) {
    static const char *const nothing[] = {""};
    if (count == 0) want = nothing, count = 1;
    *exact = *f1 = 0;
    bool ok = true;
    for (int i = 0; ok && i < count; i++) {
        Words a = {0}, b = {0};
        ok = words_of(&a, got, err) && words_of(&b, want[i], err);
        if (ok && in_order(&a, &b)) *exact = 1;
        double score = ok ? overlap(&a, &b) : 0;
        if (score > *f1) *f1 = score;
        words_free(&a);
        words_free(&b);
    }
    return ok;
}
