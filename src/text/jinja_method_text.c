/* jinja_method_text.c: methods of strings, as Python's str and, where a string is markup, markupsafe's Markup. */
#include "jinja_eval.h"
#include "unicode.h"

#define METHOD(name) static JValue name(Jinja *j, JValue v, const JArgs *args)

/* A result like the string it comes from: markup or not. */
static JValue like(Jinja *j, JValue v, const JString *s) { return jv_string(js_markup(j, s, v.u.s->markup)); }
static void none(Jinja *j, const JArgs *args, const char *what) { jj_bind(j, args, what, "", 0, NULL); }

static bool given(JValue v) { return v.kind != J_MISSING && v.kind != J_NONE; }

#define CASED(name, text, kind)                                                                                        \
    METHOD(name) {                                                                                                     \
        none(j, args, text);                                                                                           \
        return jv_string(jc_case(j, v.u.s, kind));                                                                     \
    }
CASED(upper, "upper", CASE_UPPER)
CASED(lower, "lower", CASE_LOWER)
CASED(title, "title", CASE_TITLE)
CASED(capitalize, "capitalize", CASE_CAPITAL)
CASED(swap_case, "swapcase", CASE_SWAP)
CASED(fold_case, "casefold", CASE_FOLD)

/* ---- Ends ------------------------------------------------------------------------------------------------------- */

static JValue strip_ends(Jinja *j, JValue v, const JArgs *args, bool left, bool right) {
    JValue chars;
    jj_bind(j, args, "strip", "chars", 0, &chars);
    return jv_string(js_strip(j, v.u.s, given(chars) ? jj_string(j, chars, "strip") : NULL, left, right));
}
METHOD(strip) { return strip_ends(j, v, args, true, true); }
METHOD(left_strip) { return strip_ends(j, v, args, true, false); }
METHOD(right_strip) { return strip_ends(j, v, args, false, true); }

/* Bytes of the part that Python's start and end, in characters, mean; false: start lies behind the end. */
static bool part_of(Jinja *j, const JString *s, JValue start, JValue end, size_t *from, size_t *to) {
    int64_t n = (int64_t)s->chars, a = given(start) ? jj_index(j, start, "start") : 0,
            z = given(end) ? jj_index(j, end, "end") : n;
    if (z > n) z = n;
    if (z < 0) z = z < -n ? 0 : z + n;
    if (a < 0) a = a < -n ? 0 : a + n;
    if (a > z) return false;
    *from = js_offset(j, s, (size_t)a);
    *to = js_offset(j, s, (size_t)z);
    return true;
}

static bool has_end(const JString *s, const JString *what, size_t from, size_t to, bool at_end) {
    if (what->bytes > to - from) return false;
    return !memcmp(s->text + (at_end ? to - what->bytes : from), what->text, what->bytes);
}

static JValue ends(Jinja *j, JValue v, const JArgs *args, bool at_end) {
    JValue a[3];
    size_t from, to;
    jj_bind(j, args, at_end ? "endswith" : "startswith", "prefix start end", 1, a);
    bool inside = part_of(j, v.u.s, a[1], a[2], &from, &to), found = false;
    if (a[0].kind != J_TUPLE)
        return jv_bool(
            has_end(v.u.s, jj_string(j, a[0], "startswith, endswith"), inside ? from : 0, inside ? to : 0, at_end) &&
            inside);
    for (size_t i = 0; i < a[0].u.list->count; i++) {
        const JString *one = jj_string(j, a[0].u.list->item[i], "startswith, endswith");
        found = found || (inside && has_end(v.u.s, one, from, to, at_end));
    }
    return jv_bool(found);
}
METHOD(starts_with) { return ends(j, v, args, false); }
METHOD(ends_with) { return ends(j, v, args, true); }

METHOD(remove_prefix) {
    JValue a;
    jj_bind(j, args, "removeprefix", "prefix", 1, &a);
    const JString *s = v.u.s, *what = jj_string(j, a, "removeprefix");
    return jv_string(js_part(j, s, has_end(s, what, 0, s->bytes, false) ? what->bytes : 0, s->bytes));
}
METHOD(remove_suffix) {
    JValue a;
    jj_bind(j, args, "removesuffix", "suffix", 1, &a);
    const JString *s = v.u.s, *what = jj_string(j, a, "removesuffix");
    return jv_string(js_part(j, s, 0, s->bytes - (has_end(s, what, 0, s->bytes, true) ? what->bytes : 0)));
}

/* ---- Finding ---------------------------------------------------------------------------------------------------- */

static int64_t find_at(Jinja *j, JValue v, const JArgs *args, const char *what, bool last) {
    JValue a[3];
    size_t from, to, chars = 0;
    jj_bind(j, args, what, "sub start end", 1, a);
    const JString *s = v.u.s, *sub = jj_string(j, a[0], what);
    if (!part_of(j, s, a[1], a[2], &from, &to)) return -1;
    size_t at = last ? js_find_last(j, s, sub, from, to) : js_find(j, s, sub, from, to);
    if (at == SIZE_MAX) return -1;
    if (s->chars == s->bytes) return (int64_t)at;
    jj_work(j, at / 16);
    for (size_t i = 0; i < at; i++) chars += ((uint8_t)s->text[i] & 0xC0) != 0x80;
    return (int64_t)chars;
}
static JValue found(Jinja *j, int64_t at) {
    if (at < 0) jj_fail(j, "index: the text is not in the string");
    return jv_int(at);
}
METHOD(find) { return jv_int(find_at(j, v, args, "find", false)); }
METHOD(find_last) { return jv_int(find_at(j, v, args, "rfind", true)); }
METHOD(index_of) { return found(j, find_at(j, v, args, "index", false)); }
METHOD(index_last) { return found(j, find_at(j, v, args, "rindex", true)); }

METHOD(count) {
    JValue a[3];
    size_t from, to;
    int64_t n = 0;
    jj_bind(j, args, "count", "sub start end", 1, a);
    const JString *s = v.u.s, *sub = jj_string(j, a[0], "count");
    if (!part_of(j, s, a[1], a[2], &from, &to)) return jv_int(0);
    if (sub->bytes == 0) {
        n = 1;
        jj_work(j, (to - from) / 16);
        for (size_t i = from; i < to; i++) n += ((uint8_t)s->text[i] & 0xC0) != 0x80;
        return jv_int(n);
    }
    for (size_t at; (at = js_find(j, s, sub, from, to)) != SIZE_MAX; from = at + sub->bytes) n++;
    return jv_int(n);
}

METHOD(replace) {
    JValue a[3];
    jj_bind(j, args, "replace", "old new count", 2, a);
    const JString *with = jj_string(j, a[1], "replace");
    int64_t most = a[2].kind == J_MISSING ? -1 : jj_index(j, a[2], "replace");
    return like(j, v,
                js_replace(j, v.u.s, jj_string(j, a[0], "replace"), v.u.s->markup ? js_escape(j, with) : with, most));
}

/* ---- Splitting -------------------------------------------------------------------------------------------------- */

static void add_part(Jinja *j, JList *list, const JString *s, size_t from, size_t to) {
    jj_work(j, 1);
    jl_add(j, list, jv_string(js_part(j, s, from, to)));
}

/* At runs of white space; none at the ends. */
static JList *split_space(Jinja *j, const JString *s, int64_t most) {
    JList *list = jl_new(j, 0);
    JChar c = {0};
    size_t word = SIZE_MAX;
    jj_work(j, s->bytes / 16);
    while (js_next(s, &c)) {
        bool space = jc_space(c.code);
        if (space && word != SIZE_MAX) add_part(j, list, s, word, c.at), word = SIZE_MAX;
        else if (!space && word == SIZE_MAX) {
            word = c.at;
            if (most >= 0 && (int64_t)list->count == most) break; /* the rest, but for the space at its end */
        }
    }
    if (word == SIZE_MAX) return list;
    size_t end = most >= 0 && (int64_t)list->count == most
                     ? word + js_strip(j, js_part(j, s, word, s->bytes), NULL, false, true)->bytes
                     : s->bytes;
    add_part(j, list, s, word, end);
    return list;
}

static void turn(JList *list) {
    for (size_t i = 0; 2 * i + 1 < list->count; i++) {
        JValue v = list->item[i];
        list->item[i] = list->item[list->count - 1 - i];
        list->item[list->count - 1 - i] = v;
    }
}

/* The same from the end: the parts come last one first. */
static JList *split_space_last(Jinja *j, const JString *s, int64_t most) {
    JList *list = jl_new(j, 0);
    for (;;) {
        s = js_strip(j, s, NULL, (int64_t)list->count == most, true);
        if (!s->bytes) break;
        size_t at = s->bytes;
        while (at > 0 && (int64_t)list->count != most) {
            size_t p = at - 1;
            int32_t code;
            while (((uint8_t)s->text[p] & 0xC0) == 0x80) p--;
            utf8_read_valid((const uint8_t *)s->text + p, &code);
            if (jc_space(code)) break;
            at = p;
        }
        if ((int64_t)list->count == most) at = 0;
        add_part(j, list, s, at, s->bytes);
        jj_work(j, (s->bytes - at) / 16);
        s = js_part(j, s, 0, at);
    }
    turn(list);
    return list;
}

static JList *split_at(Jinja *j, const JString *s, const JString *by, int64_t most, bool last) {
    JList *list = jl_new(j, 0);
    size_t from = 0, to = s->bytes, at;
    if (!by->bytes) jj_fail(j, "split: the separator is empty");
    while (most < 0 || (int64_t)list->count < most) {
        at = last ? js_find_last(j, s, by, from, to) : js_find(j, s, by, from, to);
        if (at == SIZE_MAX) break;
        if (last) add_part(j, list, s, at + by->bytes, to), to = at;
        else add_part(j, list, s, from, at), from = at + by->bytes;
    }
    add_part(j, list, s, from, to);
    if (last) turn(list);
    return list;
}

static JValue split_by(Jinja *j, JValue v, const JArgs *args, bool last) {
    JValue a[2];
    jj_bind(j, args, "split", "sep maxsplit", 0, a);
    int64_t most = a[1].kind == J_MISSING ? -1 : jj_index(j, a[1], "split");
    if (given(a[0])) return jv_list(split_at(j, v.u.s, jj_string(j, a[0], "split"), most, last));
    return jv_list(last && most >= 0 ? split_space_last(j, v.u.s, most) : split_space(j, v.u.s, most));
}
METHOD(split) { return split_by(j, v, args, false); }
METHOD(split_last) { return split_by(j, v, args, true); }

METHOD(split_lines) {
    JValue keep;
    JList *list = jl_new(j, 0);
    JChar c = {0};
    size_t line = 0;
    jj_bind(j, args, "splitlines", "keepends", 0, &keep);
    bool ends_stay = jj_flag(j, keep, false);
    jj_work(j, v.u.s->bytes / 8);
    for (const JString *s = v.u.s; js_next(s, &c);) {
        if (!jc_line_end(c.code)) continue;
        size_t end = c.at, next = c.at + (size_t)c.bytes;
        if (c.code == '\r' && next < s->bytes && s->text[next] == '\n') js_next(s, &c), next++;
        add_part(j, list, s, line, ends_stay ? next : end);
        line = next;
    }
    if (line < v.u.s->bytes) add_part(j, list, v.u.s, line, v.u.s->bytes);
    return jv_list(list);
}

static JValue partition_at(Jinja *j, JValue v, const JArgs *args, bool last) {
    JValue by;
    jj_bind(j, args, "partition", "sep", 1, &by);
    const JString *s = v.u.s, *sep = jj_string(j, by, "partition");
    if (!sep->bytes) jj_fail(j, "partition: the separator is empty");
    size_t at = last ? js_find_last(j, s, sep, 0, s->bytes) : js_find(j, s, sep, 0, s->bytes);
    bool none_found = at == SIZE_MAX;
    size_t from = none_found ? last ? 0 : s->bytes : at, to = none_found ? from : at + sep->bytes;
    JList *list = jl_new(j, 3);
    add_part(j, list, s, 0, from);
    add_part(j, list, s, from, to);
    add_part(j, list, s, to, s->bytes);
    return jv_tuple(list);
}
METHOD(partition) { return partition_at(j, v, args, false); }
METHOD(partition_last) { return partition_at(j, v, args, true); }

METHOD(join) {
    JValue a;
    JBuilder b = {.j = j};
    jj_bind(j, args, "join", "iterable", 1, &a);
    const JList *list = jv_items(j, a);
    for (size_t i = 0; i < list->count; i++) {
        jj_work(j, 1);
        if (i) jb_string(&b, v.u.s);
        if (v.u.s->markup) jb_string(&b, js_escape(j, jv_str(j, list->item[i])));
        else jb_string(&b, jj_string(j, list->item[i], "join: an item"));
    }
    return like(j, v, jb_finish(&b));
}

/* ---- Width ------------------------------------------------------------------------------------------------------ */

static JValue pad(Jinja *j, JValue v, const JString *fill, int64_t left, int64_t right) {
    JBuilder b = {.j = j};
    if (v.u.s->markup) fill = js_escape(j, fill);
    jb_string(&b, js_repeat(j, fill, left));
    jb_string(&b, v.u.s);
    jb_string(&b, js_repeat(j, fill, right));
    return like(j, v, jb_finish(&b));
}

static JValue justify(Jinja *j, JValue v, const JArgs *args, const char *what, int side) {
    JValue a[2];
    jj_bind(j, args, what, "width fillchar", 1, a);
    int64_t width = jj_index(j, a[0], what), more = width - (int64_t)v.u.s->chars;
    const JString *fill = a[1].kind == J_MISSING ? js_new(j, " ", 1, 0) : jj_string(j, a[1], what);
    if (fill->chars != 1) jj_fail(j, "%s: expected one character to fill with", what);
    if (more <= 0) return v;
    int64_t left = side < 0 ? 0 : side > 0 ? more : more / 2 + (more & width & 1);
    return pad(j, v, js_markup(j, fill, false), left, more - left);
}
METHOD(left_justify) { return justify(j, v, args, "ljust", -1); }
METHOD(right_justify) { return justify(j, v, args, "rjust", 1); }
METHOD(center) { return justify(j, v, args, "center", 0); }

METHOD(zero_fill) {
    JValue a;
    jj_bind(j, args, "zfill", "width", 1, &a);
    int64_t more = jj_index(j, a, "zfill") - (int64_t)v.u.s->chars;
    if (more <= 0) return v;
    size_t sign = v.u.s->bytes && (v.u.s->text[0] == '-' || v.u.s->text[0] == '+');
    JBuilder b = {.j = j};
    jb_part(&b, v.u.s, 0, sign);
    jb_string(&b, js_repeat(j, js_new(j, "0", 1, 0), more));
    jb_part(&b, v.u.s, sign, v.u.s->bytes);
    return like(j, v, jb_finish(&b));
}

METHOD(expand_tabs) {
    JValue a;
    JBuilder b = {.j = j};
    JChar c = {0};
    int64_t column = 0;
    jj_bind(j, args, "expandtabs", "tabsize", 0, &a);
    int64_t size = a.kind == J_MISSING ? 8 : jj_index(j, a, "expandtabs");
    while (js_next(v.u.s, &c)) {
        if (c.code == '\t') {
            int64_t blanks = size > 0 ? size - column % size : 0;
            jb_string(&b, js_repeat(j, js_new(j, " ", 1, c.mark), blanks));
            column += blanks;
            continue;
        }
        jb_add(&b, v.u.s->text + c.at, (size_t)c.bytes, c.mark);
        column = c.code == '\n' || c.code == '\r' ? 0 : column + 1;
    }
    return like(j, v, jb_finish(&b));
}

/* ---- What it consists of ---------------------------------------------------------------------------------------- */

static JValue all_are(Jinja *j, JValue v, const JArgs *args, bool (*is)(int32_t), bool when_empty) {
    JChar c = {0};
    none(j, args, "a string's class");
    if (!v.u.s->bytes) return jv_bool(when_empty);
    jj_work(j, v.u.s->bytes);
    while (js_next(v.u.s, &c))
        if (!is(c.code)) return jv_bool(false);
    return jv_bool(true);
}
static bool is_ascii(int32_t c) { return c < 128; }
static bool is_alnum(int32_t c) { return jc_alpha(c) || jc_numeric(c); }
METHOD(all_ascii) { return all_are(j, v, args, is_ascii, true); }
METHOD(all_alnum) { return all_are(j, v, args, is_alnum, false); }
METHOD(all_alpha) { return all_are(j, v, args, jc_alpha, false); }
METHOD(all_decimal) { return all_are(j, v, args, jc_decimal, false); }
METHOD(all_digit) { return all_are(j, v, args, jc_digit, false); }
METHOD(all_numeric) { return all_are(j, v, args, jc_numeric, false); }
METHOD(all_printable) { return all_are(j, v, args, jc_printable, true); }
METHOD(all_space) { return all_are(j, v, args, jc_space, false); }

METHOD(is_lower) { return jv_bool(jinja_test(jv_text(j, "lower").u.s)->run(j, v, args)); }
METHOD(is_upper) { return jv_bool(jinja_test(jv_text(j, "upper").u.s)->run(j, v, args)); }

METHOD(is_title) {
    JChar c = {0};
    bool any = false, cased = false;
    none(j, args, "istitle");
    jj_work(j, v.u.s->bytes);
    while (js_next(v.u.s, &c)) {
        bool upper = jc_upper(c.code) || jc_title(c.code), lower = jc_lower(c.code);
        if ((upper && cased) || (lower && !cased)) return jv_bool(false);
        cased = upper || lower;
        any = any || cased;
    }
    return jv_bool(any);
}

METHOD(is_identifier) {
    JChar c = {0};
    none(j, args, "isidentifier");
    jj_work(j, v.u.s->bytes);
    while (js_next(v.u.s, &c))
        if (!jc_word(c.code) || (c.at == 0 && jc_numeric(c.code))) return jv_bool(false);
    return jv_bool(v.u.s->bytes > 0);
}

METHOD(format) { return like(j, v, jf_format(j, v.u.s, args)); }

METHOD(format_map) {
    JValue a;
    jj_bind(j, args, "format_map", "mapping", 1, &a);
    if (a.kind != J_DICT) jj_fail(j, "format_map: expected a mapping, got %s", jv_type(a));
    JNamedValue *named = jj_new(j, a.u.dict->count, sizeof *named);
    for (size_t i = 0; i < a.u.dict->count; i++)
        named[i] = (JNamedValue){jj_string(j, a.u.dict->entry[i].key, "format_map"), a.u.dict->entry[i].value};
    return like(j, v, jf_format(j, v.u.s, &(JArgs){.named = named, .named_count = a.u.dict->count}));
}

#define ROW(name, run) {J_STRING, name, run}
const JMethodRow jinja_string_methods[] = {
    ROW("strip", strip),
    ROW("lstrip", left_strip),
    ROW("rstrip", right_strip),
    ROW("split", split),
    ROW("rsplit", split_last),
    ROW("splitlines", split_lines),
    ROW("startswith", starts_with),
    ROW("endswith", ends_with),
    ROW("replace", replace),
    ROW("upper", upper),
    ROW("lower", lower),
    ROW("title", title),
    ROW("capitalize", capitalize),
    ROW("swapcase", swap_case),
    ROW("casefold", fold_case),
    ROW("find", find),
    ROW("rfind", find_last),
    ROW("index", index_of),
    ROW("rindex", index_last),
    ROW("count", count),
    ROW("join", join),
    ROW("format", format),
    ROW("format_map", format_map),
    ROW("partition", partition),
    ROW("rpartition", partition_last),
    ROW("removeprefix", remove_prefix),
    ROW("removesuffix", remove_suffix),
    ROW("ljust", left_justify),
    ROW("rjust", right_justify),
    ROW("center", center),
    ROW("zfill", zero_fill),
    ROW("expandtabs", expand_tabs),
    ROW("isascii", all_ascii),
    ROW("isalnum", all_alnum),
    ROW("isalpha", all_alpha),
    ROW("isdecimal", all_decimal),
    ROW("isdigit", all_digit),
    ROW("isnumeric", all_numeric),
    ROW("isprintable", all_printable),
    ROW("isspace", all_space),
    ROW("islower", is_lower),
    ROW("isupper", is_upper),
    ROW("istitle", is_title),
    ROW("isidentifier", is_identifier),
    {J_MISSING, NULL, NULL},
};
