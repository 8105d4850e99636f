/* jinja_filter_text.c: filters of text, and those of single numbers. */
#include <math.h>
#include "jinja_eval.h"

#define FILTER(name) static JValue name(Jinja *j, JValue v, const JArgs *args)

static JValue cased(Jinja *j, JValue v, const JArgs *args, const char *what, JCase kind) {
    jj_bind(j, args, what, "", 0, NULL);
    return jv_string(jc_case(j, jv_str(j, v), kind));
}
FILTER(upper) { return cased(j, v, args, "upper", CASE_UPPER); }
FILTER(lower) { return cased(j, v, args, "lower", CASE_LOWER); }
FILTER(capitalize) { return cased(j, v, args, "capitalize", CASE_CAPITAL); }

/* Words begin after white space and after - ( { [ <: unlike str.title. */
FILTER(title) {
    jj_bind(j, args, "title", "", 0, NULL);
    const JString *s = jv_str(j, v);
    JBuilder b = {.j = j};
    JChar c = {0};
    size_t word = 0;
    jj_work(j, s->bytes / 8);
    for (bool more = true; more;) {
        more = js_next(s, &c);
        bool parts = more && (jc_space(c.code) || (c.code < 128 && strchr("-({[<", (char)c.code) && c.code));
        if (more && !parts) continue;
        size_t end = more ? c.at : s->bytes;
        if (end > word) { /* its first character in capitals, the rest small */
            JChar first = {.at = word};
            js_next(s, &first);
            jb_string(&b, jc_case(j, js_part(j, s, word, word + (size_t)first.bytes), CASE_UPPER));
            jb_string(&b, jc_case(j, js_part(j, s, word + (size_t)first.bytes, end), CASE_LOWER));
        }
        if (parts) jb_part(&b, s, c.at, word = c.at + (size_t)c.bytes);
    }
    return jv_string(jb_finish(&b));
}

FILTER(trim) {
    JValue chars;
    jj_bind(j, args, "trim", "chars", 0, &chars);
    bool given = chars.kind != J_MISSING && chars.kind != J_NONE;
    return jv_string(js_strip(j, jv_str(j, v), given ? jj_string(j, chars, "trim") : NULL, true, true));
}

FILTER(replace) {
    JValue a[3];
    jj_bind(j, args, "replace", "old new count", 2, a);
    const JString *s =
        js_replace(j, jv_str(j, v), jv_str(j, a[0]), jv_str(j, a[1]), jj_index_or(j, a[2], "replace", -1));
    return jv_string(js_markup(j, s, false));
}

FILTER(string_filter) {
    jj_bind(j, args, "string", "", 0, NULL);
    return jv_string(jv_str(j, v));
}
FILTER(safe) {
    jj_bind(j, args, "safe", "", 0, NULL);
    return jv_string(js_markup(j, jv_str(j, v), true));
}
FILTER(escape) {
    jj_bind(j, args, "escape", "", 0, NULL);
    return jv_string(js_escape(j, jv_str(j, v)));
}
FILTER(force_escape) {
    jj_bind(j, args, "forceescape", "", 0, NULL);
    return jv_string(js_escape(j, js_markup(j, jv_str(j, v), false)));
}

FILTER(center) {
    JValue width;
    jj_bind(j, args, "center", "width", 0, &width);
    JValue text = jv_string(jv_str(j, v)), n = jv_int(jj_index_or(j, width, "center", 80));
    JMethod m = {jinja_method(text, jv_text(j, "center").u.s), text};
    return m.row->run(j, text, &(JArgs){.item = &n, .count = 1});
}

FILTER(format) {
    if (args->count && args->named_count) jj_fail(j, "format: expected arguments with names, or without");
    JList *list = jl_new(j, args->count);
    JDict *named = jd_new(j);
    for (size_t i = 0; i < args->count; i++) jl_add(j, list, args->item[i]);
    for (size_t i = 0; i < args->named_count; i++)
        jd_set(j, named, jv_string(args->named[i].name), args->named[i].value);
    return jv_string(jf_percent(j, jv_str(j, v), args->named_count ? jv_dict(named) : jv_tuple(list)));
}

/* Every line but the first, and but empty ones, behind blanks. */
FILTER(indent) {
    JValue a[3];
    jj_bind(j, args, "indent", "width first blank", 0, a);
    const JString *s = jj_string(j, v, "indent"), *by;
    bool first = jj_flag(j, a[1], false), blank = jj_flag(j, a[2], false);
    if (a[0].kind == J_STRING) by = a[0].u.s;
    else by = js_repeat(j, js_new(j, " ", 1, 0), a[0].kind == J_MISSING ? 4 : jj_index(j, a[0], "indent"));
    JBuilder b = {.j = j};
    JChar c = {0};
    size_t line = 0, lines = 0;
    jj_work(j, s->bytes / 8);
    if (first) jb_string(&b, by);
    for (bool more = true; more;) {
        more = js_next(s, &c);
        if (more && !jc_line_end(c.code)) continue;
        size_t end = more ? c.at : s->bytes, next = end + (more ? (size_t)c.bytes : 0);
        if (more && c.code == '\r' && next < s->bytes && s->text[next] == '\n') js_next(s, &c), next++;
        if (lines++) {
            jb_add(&b, "\n", 1, 0);
            if (blank || end > line) jb_string(&b, by);
        }
        jb_part(&b, s, line, end);
        line = next;
    }
    return jv_string(js_markup(j, jb_finish(&b), s->markup));
}

FILTER(truncate) {
    JValue a[4];
    jj_bind(j, args, "truncate", "length killwords end leeway", 0, a);
    const JString *end = a[2].kind == J_MISSING ? js_new(j, "...", 3, 0) : jj_string(j, a[2], "truncate");
    int64_t length = a[0].kind == J_MISSING ? 255 : jj_index(j, a[0], "truncate"),
            leeway = jj_index_or(j, a[3], "truncate", 5);
    if (length < (int64_t)end->chars || leeway < 0)
        jj_fail(j, "truncate: length is below that of end, or leeway below 0");
    int64_t chars = jv_length(j, v);
    if (chars >= 0 && (leeway > INT64_MAX - length || chars <= length + leeway)) return v;
    const JString *s = jj_string(j, v, "truncate");
    size_t cut = js_offset(j, s, (size_t)(length - (int64_t)end->chars));
    if (!jj_flag(j, a[1], false)) {
        const char *space = memrchr(s->text, ' ', cut);
        if (space) cut = (size_t)(space - s->text);
    }
    return jv_string(js_concat(j, js_part(j, s, 0, cut), end));
}

FILTER(word_count) {
    int64_t words = 0;
    bool inside = false;
    JChar c = {0};
    jj_bind(j, args, "wordcount", "", 0, NULL);
    const JString *s = jv_str(j, v);
    jj_work(j, s->bytes);
    while (js_next(s, &c)) {
        bool word = jc_word(c.code);
        words += word && !inside;
        inside = word;
    }
    return jv_int(words);
}

/* Without tags and comments, white space as single blanks, and the five entities that escape() writes taken back. */
FILTER(strip_tags) {
    static const char *const entity[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;", "&quot;"};
    static const char plain[] = "&<>'\"\"";
    jj_bind(j, args, "striptags", "", 0, NULL);
    const JString *s = jv_str(j, v);
    JBuilder b = {.j = j};
    JChar c = {0};
    bool space = false;
    jj_work(j, s->bytes / 8);
    for (size_t skip = 0; js_next(s, &c);) {
        if (c.at < skip) continue;
        if (c.code == '<') {
            bool comment = s->bytes - c.at >= 4 && !memcmp(s->text + c.at, "<!--", 4);
            const char *end = comment ? memmem(s->text + c.at, s->bytes - c.at, "-->", 3)
                                      : memchr(s->text + c.at, '>', s->bytes - c.at);
            jj_work(j, end ? 1 : (s->bytes - c.at) / 16);
            if (end) {
                skip = (size_t)(end - s->text) + (comment ? 3 : 1);
                continue;
            }
        }
        if (jc_space(c.code)) {
            space = b.bytes > 0;
            continue;
        }
        if (space) jb_add(&b, " ", 1, c.mark);
        space = false;
        int found = -1;
        for (int i = 0; c.code == '&' && found < 0 && i < 6; i++)
            if (s->bytes - c.at >= strlen(entity[i]) && !memcmp(s->text + c.at, entity[i], strlen(entity[i])))
                found = i;
        if (found >= 0) jb_add(&b, plain + found, 1, c.mark), skip = c.at + strlen(entity[found]);
        else jb_add(&b, s->text + c.at, (size_t)c.bytes, c.mark);
    }
    return jv_string(jb_finish(&b));
}

static void quote(Jinja *j, JBuilder *b, JValue v, bool query) {
    const JString *s = jv_str(j, v);
    for (size_t i = 0; i < s->bytes; i++) {
        unsigned char c = (unsigned char)s->text[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
                     (c && c < 128 && strchr("_.-~", c)) || (c == '/' && !query);
        if (c == ' ' && query) jb_add(b, "+", 1, js_mark_at(s, i));
        else if (plain) jb_add(b, s->text + i, 1, js_mark_at(s, i));
        else jb_line(b, js_mark_at(s, i), "%%%02X", c);
    }
}

FILTER(url_encode) {
    JBuilder b = {.j = j};
    jj_bind(j, args, "urlencode", "", 0, NULL);
    const JDict *d = v.kind == J_DICT ? v.u.dict : NULL;
    const JList *pairs = v.kind == J_STRING || d ? NULL : jv_items_or_null(j, v);
    size_t count = d ? d->count : pairs ? pairs->count : 0;
    if (!d && !pairs) quote(j, &b, v, false);
    for (size_t i = 0; i < count; i++) {
        const JList *pair = d ? NULL : jv_items(j, pairs->item[i]);
        if (pair && pair->count != 2) jj_fail(j, "urlencode: expected pairs");
        if (i) jb_add(&b, "&", 1, 0);
        quote(j, &b, d ? d->entry[i].key : pair->item[0], true);
        jb_add(&b, "=", 1, 0);
        quote(j, &b, d ? d->entry[i].value : pair->item[1], true);
    }
    return jv_string(jb_finish(&b));
}

FILTER(xml_attributes) {
    JValue space;
    JBuilder b = {.j = j};
    jj_bind(j, args, "xmlattr", "autospace", 0, &space);
    if (v.kind != J_DICT) jj_fail(j, "xmlattr: expected a mapping, got %s", jv_type(v));
    for (size_t i = 0; i < v.u.dict->count; i++) {
        const JEntry *e = &v.u.dict->entry[i];
        if (e->value.kind == J_NONE || e->value.kind == J_UNDEFINED) continue;
        const JString *key = jj_string(j, e->key, "xmlattr: a name");
        JChar c = {0};
        while (js_next(key, &c))
            if (c.code == '>' || c.code == '/' || c.code == '=' || (c.code < 128 && jc_space(c.code)))
                jj_fail(j, "xmlattr: a name holds a space, '/', '>' or '='");
        if (b.bytes || jj_flag(j, space, true)) jb_add(&b, " ", 1, 0);
        jb_string(&b, js_escape(j, key));
        jb_add(&b, "=\"", 2, 0);
        jb_string(&b, js_escape(j, jv_str(j, e->value)));
        jb_add(&b, "\"", 1, 0);
    }
    return jv_string(jb_finish(&b));
}

/* json.dumps, as transformers has it in Jinja's place. */
FILTER(to_json) {
    JValue a[4];
    JBuilder b = {.j = j};
    jj_bind(j, args, "tojson", "ensure_ascii indent separators sort_keys", 0, a);
    JJson how = {.indent = a[1].kind == J_MISSING ? jv_none() : a[1],
                 .ascii = jj_flag(j, a[0], false),
                 .sort = jj_flag(j, a[3], false)};
    how.item_separator = how.indent.kind == J_NONE ? js_new(j, ", ", 2, MARK_DATA) : js_new(j, ",", 1, MARK_DATA);
    how.key_separator = js_new(j, ": ", 2, MARK_DATA);
    if (a[2].kind != J_MISSING && a[2].kind != J_NONE) {
        const JList *pair = jv_items(j, a[2]);
        if (pair->count != 2) jj_fail(j, "tojson: separators: expected two");
        how.item_separator = jj_string(j, pair->item[0], "tojson: separators");
        how.key_separator = jj_string(j, pair->item[1], "tojson: separators");
    }
    if (how.indent.kind != J_NONE && how.indent.kind != J_STRING) jj_index(j, how.indent, "tojson: indent");
    jv_json(j, &b, v, &how);
    return jv_string(jb_finish(&b));
}

FILTER(file_size) {
    static const char *const decimal[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
                            *const binary[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
    JValue flag;
    JBuilder b = {.j = j};
    jj_bind(j, args, "filesizeformat", "binary", 0, &flag);
    bool two = jj_flag(j, flag, false);
    double bytes, base = two ? 1024 : 1000, unit = base * base;
    if (v.kind == J_STRING ? !jn_parse_real(v.u.s->text, v.u.s->bytes, &bytes) : !jv_is_number(v))
        jj_fail(j, "filesizeformat: expected a number");
    if (v.kind != J_STRING) bytes = jn_real(j, v);
    if (!isfinite(bytes) && bytes < base) jj_fail(j, "filesizeformat: expected a finite number");
    int i = 0;
    for (; i < 7 && !(bytes < unit); i++) unit *= base;
    if (bytes == 1) jb_line(&b, jv_marks(v), "1 Byte");
    else if (bytes < base) jb_line(&b, jv_marks(v), "%.0f Bytes", trunc(bytes) + 0.0);
    else jb_line(&b, jv_marks(v), "%.1f %s", base * bytes / unit, two ? binary[i] : decimal[i]);
    return jv_string(jb_finish(&b));
}

static JValue unsupported(Jinja *j, const char *name) { jj_fail(j, "the filter %s is not supported", name); }
FILTER(urlize) { return (void)v, (void)args, unsupported(j, "urlize"); }
FILTER(word_wrap) { return (void)v, (void)args, unsupported(j, "wordwrap"); }
FILTER(random_item) { return (void)v, (void)args, unsupported(j, "random"); }

/* repr where it fits a line of pprint's; what is wider would be broken, and mappings sorted. */
FILTER(pretty) {
    const JString *s = jv_repr_of(j, v);
    jj_bind(j, args, "pprint", "", 0, NULL);
    bool plain = v.kind == J_STRING || !memchr(s->text, '{', s->bytes);
    return s->chars <= 80 && plain ? jv_string(s)
                                   : unsupported(j, "pprint, of mappings and of what is wider than a line,");
}

const JFilterRow jinja_text_filters[] = {
    {"tojson", to_json},       {"trim", trim},           {"replace", replace},     {"upper", upper},
    {"lower", lower},          {"capitalize", capitalize}, {"title", title},       {"string", string_filter},
    {"indent", indent},        {"safe", safe},           {"escape", escape},       {"e", escape},
    {"forceescape", force_escape}, {"center", center},   {"format", format},       {"truncate", truncate},
    {"wordcount", word_count}, {"striptags", strip_tags}, {"urlencode", url_encode}, {"xmlattr", xml_attributes},
    {"filesizeformat", file_size}, {"urlize", urlize},   {"wordwrap", word_wrap},  {"pprint", pretty},
    {"random", random_item},   {NULL, NULL},
};

/* ---- Numbers, and values that are missing ----------------------------------------------------------------------- */

FILTER(default_filter) {
    JValue a[2];
    jj_bind(j, args, "default", "default_value boolean", 0, a);
    bool use = v.kind == J_UNDEFINED || (jj_flag(j, a[1], false) && !jv_true(j, v));
    return !use ? v : a[0].kind == J_MISSING ? jv_text(j, "") : a[0];
}

static void refuse_undefined(Jinja *j, JValue v, const char *what) {
    if (v.kind == J_UNDEFINED)
        jj_fail(j, "%s: %s is undefined", what, v.u.s ? name_text(v.u.s->text, v.u.s->bytes).text : "a value");
}

FILTER(int_filter) {
    JValue a[2], out;
    double r;
    bool ok = false;
    jj_bind(j, args, "int", "default base", 0, a);
    refuse_undefined(j, v, "int");
    int64_t base = a[1].kind == J_MISSING ? 10 : jj_index(j, a[1], "int");
    if (v.kind == J_STRING && jn_parse_int(j, v.u.s->text, v.u.s->bytes, base < 0 || base > 36 ? 1 : (int)base, &out))
        ok = true;
    else if (v.kind == J_STRING && jn_parse_real(v.u.s->text, v.u.s->bytes, &r)) out = jn_floor(j, r, &ok);
    else if (v.kind == J_BOOL) out = jv_int(v.u.b), ok = true;
    else if (v.kind == J_INT || v.kind == J_BIG) out = v, ok = true;
    else if (v.kind == J_REAL) {
        if (isinf(v.u.r)) jj_fail(j, "int: infinity has no integer");
        out = jn_floor(j, v.u.r, &ok);
    }
    if (!ok) return a[0].kind == J_MISSING ? jv_int(0) : a[0];
    out.data = jv_marks(v) != 0;
    return out;
}

FILTER(float_filter) {
    JValue otherwise, out = jv_real(0);
    double r;
    jj_bind(j, args, "float", "default", 0, &otherwise);
    refuse_undefined(j, v, "float");
    if (jv_is_number(v)) out = jv_real(jn_real(j, v));
    else if (v.kind == J_STRING && jn_parse_real(v.u.s->text, v.u.s->bytes, &r)) out = jv_real(r);
    else return otherwise.kind == J_MISSING ? out : otherwise;
    out.data = jv_marks(v) != 0;
    return out;
}

FILTER(round_filter) {
    JValue a[2];
    jj_bind(j, args, "round", "precision method", 0, a);
    int64_t precision = a[0].kind == J_MISSING ? 0 : jj_index(j, a[0], "round");
    const JString *method = a[1].kind == J_MISSING ? NULL : jj_string(j, a[1], "round: method");
    if (!method || js_is(method, "common")) {
        JValue out = jn_round(j, v, precision);
        out.data = v.data;
        return out;
    }
    bool up = js_is(method, "ceil"), ok;
    if (!up && !js_is(method, "floor")) jj_fail(j, "round: expected common, ceil or floor");
    JValue scale = jn_binary(j, OP_POW, jv_int(10), jv_int(precision)), scaled = jn_binary(j, OP_MUL, v, scale);
    if (scaled.kind == J_REAL) {
        JValue whole = jn_floor(j, up ? ceil(scaled.u.r) : floor(scaled.u.r), &ok);
        if (!ok) jj_fail(j, "round: expected a finite number");
        scaled = whole;
    }
    JValue out = jn_binary(j, OP_DIV, scaled, scale);
    out.data = v.data;
    return out;
}

FILTER(abs_filter) {
    jj_bind(j, args, "abs", "", 0, NULL);
    return jn_abs(j, v);
}

const JFilterRow jinja_number_filters[] = {
    {"default", default_filter}, {"d", default_filter},   {"int", int_filter}, {"float", float_filter},
    {"round", round_filter},     {"abs", abs_filter},     {NULL, NULL},
};
