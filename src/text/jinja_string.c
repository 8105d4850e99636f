/* jinja_string.c: strings that remember, run by run, where their characters come from. */
#include "jinja_value.h"
#include "unicode.h"

/* ---- Building --------------------------------------------------------------------------------------------------- */

static size_t chars_of(const char *text, size_t bytes) {
    size_t chars = 0;
    for (size_t i = 0; i < bytes; i++) chars += ((uint8_t)text[i] & 0xC0) != 0x80;
    return chars;
}

static void add_run(JBuilder *b, uint32_t mark) {
    if (b->generation && mark < MARK_GENERATION) mark |= b->generation;
    if (b->run_count && b->runs[b->run_count - 1].mark == mark) {
        b->runs[b->run_count - 1].end = b->bytes;
        return;
    }
    if (b->run_count == b->run_room) {
        size_t room = b->run_room ? 2 * b->run_room : 4;
        JRun *runs = jj_new(b->j, room, sizeof *runs);
        if (b->run_count) memcpy(runs, b->runs, b->run_count * sizeof *runs);
        b->runs = runs;
        b->run_room = room;
    }
    b->runs[b->run_count++] = (JRun){b->bytes, mark};
}

void jb_add(JBuilder *b, const char *text, size_t bytes, uint32_t mark) {
    if (!bytes) return;
    jj_work(b->j, 1 + bytes / 64);
    if (bytes > b->room - b->bytes) {
        size_t room = b->room < 32 ? 64 : 2 * b->room;
        if (room - b->bytes < bytes && !size_add(b->bytes, bytes, &room)) jj_fail(b->j, "a text is too long");
        char *grown = jj_new(b->j, room, 1);
        if (b->bytes) memcpy(grown, b->text, b->bytes);
        b->text = grown;
        b->room = room;
    }
    memcpy(b->text + b->bytes, text, bytes);
    b->bytes += bytes;
    b->chars += chars_of(text, bytes);
    add_run(b, mark);
}

void jb_line(JBuilder *b, uint32_t mark, const char *format, ...) {
    char text[400]; /* numbers and names of this file's callers */
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    jb_add(b, text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, mark);
}

void jb_char(JBuilder *b, int32_t code, uint32_t mark) {
    uint8_t out[4];
    jb_add(b, (char *)out, (size_t)utf8_write(code, out), mark);
}

void jb_part(JBuilder *b, const JString *s, size_t from, size_t to) {
    if (!s->runs) {
        jb_add(b, s->text + from, to - from, s->mark);
        return;
    }
    size_t start = 0;
    for (size_t i = 0; i < s->run_count && start < to; start = s->runs[i++].end) {
        size_t a = start > from ? start : from, z = s->runs[i].end < to ? s->runs[i].end : to;
        if (a < z) jb_add(b, s->text + a, z - a, s->runs[i].mark);
    }
}

void jb_string(JBuilder *b, const JString *s) { jb_part(b, s, 0, s->bytes); }

const JString *jb_finish(JBuilder *b) {
    JString *s = jj_new(b->j, 1, sizeof *s);
    *s = (JString){.text = b->text ? b->text : "", .bytes = b->bytes, .chars = b->chars};
    if (b->run_count == 1) s->mark = b->runs[0].mark;
    else if (b->run_count) s->runs = b->runs, s->run_count = b->run_count;
    return s;
}

const JString *js_new(Jinja *j, const char *text, size_t bytes, uint32_t mark) {
    JString *s = jj_new(j, 1, sizeof *s);
    jj_work(j, bytes / 64);
    *s = (JString){.text = text, .bytes = bytes, .chars = chars_of(text, bytes), .mark = mark};
    return s;
}

const JString *js_copy(Jinja *j, const char *text, size_t bytes, uint32_t mark) {
    char *copy = jj_new(j, bytes, 1);
    if (bytes) memcpy(copy, text, bytes);
    return js_new(j, copy, bytes, mark);
}

const JString *js_part(Jinja *j, const JString *s, size_t from, size_t to) {
    if (from == 0 && to == s->bytes) return s;
    JString *part = jj_new(j, 1, sizeof *part);
    jj_work(j, (to - from) / 64);
    *part = (JString){.text = s->text + from, .bytes = to - from, .mark = s->mark, .markup = s->markup};
    part->chars = s->chars == s->bytes ? part->bytes : chars_of(part->text, part->bytes);
    if (!s->runs || from == to) return part;
    size_t first = 0, last = s->run_count - 1;
    while (s->runs[first].end <= from) first++;
    while (last > first && s->runs[last - 1].end >= to) last--;
    part->mark = s->runs[first].mark;
    if (first == last) return part;
    part->run_count = last - first + 1;
    JRun *runs = jj_new(j, part->run_count, sizeof *runs);
    jj_work(j, part->run_count);
    for (size_t i = first; i <= last; i++) {
        size_t end = s->runs[i].end < to ? s->runs[i].end : to;
        runs[i - first] = (JRun){end - from, s->runs[i].mark};
    }
    part->runs = runs;
    return part;
}

const JString *js_markup(Jinja *j, const JString *s, bool markup) {
    if (s->markup == markup) return s;
    JString *copy = jj_new(j, 1, sizeof *copy);
    *copy = *s;
    copy->markup = markup;
    return copy;
}

/* ---- Looking ---------------------------------------------------------------------------------------------------- */

uint32_t js_mark_at(const JString *s, size_t at) {
    if (!s->runs) return s->mark;
    size_t low = 0, high = s->run_count - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (s->runs[middle].end > at) high = middle;
        else low = middle + 1;
    }
    return s->runs[low].mark;
}

uint32_t js_marks(const JString *s) {
    uint32_t marks = s->runs ? 0 : s->mark;
    for (size_t i = 0; i < s->run_count; i++) marks |= s->runs[i].mark;
    return marks & MARK_DATA;
}

size_t js_offset(Jinja *j, const JString *s, size_t index) {
    if (s->chars == s->bytes) return index;
    size_t at = 0;
    jj_work(j, index / 8);
    for (; index > 0; index--)
        do at++;
        while (at < s->bytes && ((uint8_t)s->text[at] & 0xC0) == 0x80);
    return at;
}

bool js_next(const JString *s, JChar *c) {
    c->at += (size_t)c->bytes;
    if (c->at >= s->bytes) return false;
    c->bytes = utf8_read_valid((const uint8_t *)s->text + c->at, &c->code);
    while (s->runs && s->runs[c->run].end <= c->at) c->run++;
    c->mark = s->runs ? s->runs[c->run].mark : s->mark;
    return true;
}

bool js_is(const JString *s, const char *text) { return s->bytes == strlen(text) && !memcmp(s->text, text, s->bytes); }
bool js_equal(const JString *a, const JString *b) {
    return a->bytes == b->bytes && !memcmp(a->text, b->text, a->bytes);
}

/* UTF-8 sorts as its code points do. */
int js_order(const JString *a, const JString *b) {
    size_t n = a->bytes < b->bytes ? a->bytes : b->bytes;
    int order = n ? memcmp(a->text, b->text, n) : 0;
    if (order == 0) order = (a->bytes > b->bytes) - (a->bytes < b->bytes);
    return (order > 0) - (order < 0);
}

size_t js_find(Jinja *j, const JString *s, const JString *what, size_t from, size_t to) {
    if (from > to || what->bytes > to - from) return SIZE_MAX;
    if (!what->bytes) return from;
    jj_work(j, (to - from) / 32);
    const char *found = memmem(s->text + from, to - from, what->text, what->bytes);
    return found ? (size_t)(found - s->text) : SIZE_MAX;
}

size_t js_find_last(Jinja *j, const JString *s, const JString *what, size_t from, size_t to) {
    if (from > to || what->bytes > to - from) return SIZE_MAX;
    jj_work(j, (to - from) / 8);
    for (size_t at = to - what->bytes;; at--) {
        if (!memcmp(s->text + at, what->text, what->bytes)) {
            if (at == s->bytes || ((uint8_t)s->text[at] & 0xC0) != 0x80) return at;
        }
        if (at == from) return SIZE_MAX;
    }
}

/* ---- Making others ---------------------------------------------------------------------------------------------- */

static size_t char_end(const JString *s, size_t at) {
    do at++;
    while (at < s->bytes && ((uint8_t)s->text[at] & 0xC0) == 0x80);
    return at;
}

const JString *js_replace(Jinja *j, const JString *s, const JString *old, const JString *with, int64_t most) {
    JBuilder b = {.j = j};
    size_t done = 0;
    int64_t made = 0;
    if (old->bytes == 0) { /* before every character and at the end */
        for (size_t at = 0; most < 0 || made < most; made++) {
            jj_work(j, 1);
            jb_string(&b, with);
            if (at >= s->bytes) break;
            size_t next = char_end(s, at);
            jb_part(&b, s, at, next);
            done = at = next;
        }
    } else {
        for (size_t at; (most < 0 || made < most) && (at = js_find(j, s, old, done, s->bytes)) != SIZE_MAX; made++) {
            jj_work(j, 1);
            jb_part(&b, s, done, at);
            jb_string(&b, with);
            done = at + old->bytes;
        }
        if (made == 0) return s;
    }
    jb_part(&b, s, done, s->bytes);
    return jb_finish(&b);
}

static bool among(int32_t code, const JString *chars) {
    JChar c = {0};
    if (!chars) return jc_space(code);
    while (js_next(chars, &c))
        if (c.code == code) return true;
    return false;
}

const JString *js_strip(Jinja *j, const JString *s, const JString *chars, bool left, bool right) {
    size_t from = 0, to = s->bytes, cost = chars ? chars->chars / 8 + 1 : 1;
    int32_t code;
    while (left && from < to) {
        int n = utf8_read_valid((const uint8_t *)s->text + from, &code);
        if (!among(code, chars)) break;
        from += (size_t)n;
        jj_work(j, cost);
    }
    while (right && to > from) {
        size_t at = to - 1;
        while (((uint8_t)s->text[at] & 0xC0) == 0x80) at--;
        utf8_read_valid((const uint8_t *)s->text + at, &code);
        if (!among(code, chars)) break;
        to = at;
        jj_work(j, cost);
    }
    return js_part(j, s, from, to);
}

const JString *js_escape(Jinja *j, const JString *s) {
    static const char plain[] = "&<>'\"";
    static const char *const named[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    if (s->markup) return s;
    JBuilder b = {.j = j};
    size_t done = 0;
    for (size_t i = 0; i < s->bytes; i++) {
        const char *p = s->text[i] ? strchr(plain, s->text[i]) : NULL;
        if (!p) continue;
        jb_part(&b, s, done, i);
        jb_add(&b, named[p - plain], strlen(named[p - plain]), js_mark_at(s, i));
        done = i + 1;
    }
    if (done) jb_part(&b, s, done, s->bytes);
    return js_markup(j, done ? jb_finish(&b) : s, true);
}

/* a + b; Markup on either side escapes the other. */
const JString *js_concat(Jinja *j, const JString *a, const JString *b) {
    bool markup = a->markup || b->markup;
    if (markup) a = js_escape(j, a), b = js_escape(j, b);
    JBuilder whole = {.j = j};
    size_t bytes;
    if (!size_add(a->bytes, b->bytes, &bytes)) jj_fail(j, "a text is too long");
    whole.text = jj_new(j, bytes, 1);
    whole.room = bytes;
    jb_string(&whole, a);
    jb_string(&whole, b);
    return js_markup(j, jb_finish(&whole), markup);
}

const JString *js_repeat(Jinja *j, const JString *s, int64_t times) {
    JBuilder b = {.j = j};
    size_t bytes;
    if (times <= 0 || !s->bytes) return js_markup(j, js_new(j, "", 0, 0), s->markup);
    if (!size_mul(s->bytes, (size_t)times, &bytes) || bytes > j->heap.limit) jj_fail(j, "a text is too long");
    b.text = jj_new(j, bytes, 1);
    b.room = bytes;
    jj_work(j, (size_t)times);
    for (int64_t i = 0; i < times; i++) jb_string(&b, s);
    return js_markup(j, jb_finish(&b), s->markup);
}

const JString *js_reverse(Jinja *j, const JString *s) {
    JBuilder b = {.j = j};
    jj_work(j, s->bytes);
    for (size_t to = s->bytes; to > 0;) {
        size_t at = to - 1;
        while (((uint8_t)s->text[at] & 0xC0) == 0x80) at--;
        jb_add(&b, s->text + at, to - at, js_mark_at(s, at));
        to = at;
    }
    return js_markup(j, jb_finish(&b), s->markup);
}
