/* jinja_show.c: values as text: Python's str() and repr(), and json.dumps. What Python adds (brackets, quotes, names)
 * counts as data where it stands around data, and so never completes a control token. */
#include <math.h>
#include <stdlib.h>
#include "../io/json_python.h"
#include "jinja_eval.h"

uint32_t jv_marks(JValue v) {
    if (v.kind == J_STRING) return js_marks(v.u.s);
    if (v.kind == J_BOOL || v.kind == J_INT || v.kind == J_BIG || v.kind == J_REAL) return v.data ? MARK_DATA : 0;
    return v.kind == J_NONE || v.kind == J_UNDEFINED ? 0 : MARK_DATA;
}

static void show_real(JBuilder *b, double r, uint32_t mark, const char *const names[3]) {
    if (!isfinite(r)) {
        const char *name = names[isnan(r) ? 2 : r < 0];
        jb_add(b, name, strlen(name), mark);
        return;
    }
    char text[PYTHON_FLOAT_BYTES];
    python_float(r, text);
    jb_add(b, text, strlen(text), mark);
}

static void show_scalar(Jinja *j, JBuilder *b, JValue v) {
    static const char *const names[] = {"inf", "-inf", "nan"};
    uint32_t mark = jv_marks(v);
    if (v.kind == J_NONE) jb_add(b, "None", 4, mark);
    else if (v.kind == J_BOOL) jb_line(b, mark, "%s", v.u.b ? "True" : "False");
    else if (v.kind == J_REAL) show_real(b, v.u.r, mark, names);
    else jn_text(j, b, v, mark);
}

/* ---- repr ------------------------------------------------------------------------------------------------------- */

static void repr_string(JBuilder *b, const JString *s) {
    bool single = memchr(s->text, '\'', s->bytes) != NULL, both = memchr(s->text, '"', s->bytes) != NULL;
    const char quote[2] = {single && !both ? '"' : '\'', 0};
    JChar c = {0};
    if (s->markup) jb_add(b, "Markup(", 7, MARK_DATA);
    jb_add(b, quote, 1, MARK_DATA);
    while (js_next(s, &c)) {
        const char *named = c.code == '\n' ? "\\n" : c.code == '\r' ? "\\r" : c.code == '\t' ? "\\t" : NULL;
        if (named) jb_add(b, named, 2, c.mark);
        else if (c.code == quote[0] || c.code == '\\') jb_line(b, c.mark, "\\%c", (char)c.code);
        else if (c.code < 0x7F && c.code >= 0x20) jb_add(b, s->text + c.at, 1, c.mark);
        else if (jc_printable(c.code)) jb_add(b, s->text + c.at, (size_t)c.bytes, c.mark);
        else if (c.code < 0x100) jb_line(b, c.mark, "\\x%02x", (unsigned)c.code);
        else if (c.code < 0x10000) jb_line(b, c.mark, "\\u%04x", (unsigned)c.code);
        else jb_line(b, c.mark, "\\U%08x", (unsigned)c.code);
    }
    jb_add(b, quote, 1, MARK_DATA);
    if (s->markup) jb_add(b, ")", 1, MARK_DATA);
}

static void repr_list(Jinja *j, JBuilder *b, const JList *list, const char *brackets) {
    jb_add(b, brackets, 1, MARK_DATA);
    for (size_t i = 0; i < list->count; i++) {
        if (i) jb_add(b, ", ", 2, MARK_DATA);
        jv_repr(j, b, list->item[i]);
    }
    if (brackets[0] == '(' && list->count == 1) jb_add(b, ",", 1, MARK_DATA);
    jb_add(b, brackets + 1, 1, MARK_DATA);
}

static void repr_dict(Jinja *j, JBuilder *b, const JDict *d) {
    jb_add(b, "{", 1, MARK_DATA);
    for (size_t i = 0; i < d->count; i++) {
        if (i) jb_add(b, ", ", 2, MARK_DATA);
        jv_repr(j, b, d->entry[i].key);
        jb_add(b, ": ", 2, MARK_DATA);
        jv_repr(j, b, d->entry[i].value);
    }
    jb_add(b, "}", 1, MARK_DATA);
}

/* What is no data of Python's. */
static void repr_object(Jinja *j, JBuilder *b, JValue v) {
    const JRange *r = v.u.range;
    switch (v.kind) {
    case J_RANGE:
        jb_line(b, MARK_DATA, "range(%lld, %lld", (long long)r->start, (long long)r->stop);
        if (r->step != 1) jb_line(b, MARK_DATA, ", %lld", (long long)r->step);
        jb_add(b, ")", 1, MARK_DATA);
        break;
    case J_VIEW: {
        static const char *const names[] = {"dict_keys(", "dict_values(", "dict_items("};
        const char *name = names[v.u.view->kind];
        jb_add(b, name, strlen(name), MARK_DATA);
        repr_list(j, b, jv_items(j, v), "[]");
        jb_add(b, ")", 1, MARK_DATA);
        break;
    }
    case J_NAMESPACE:
        jb_add(b, "<Namespace ", 11, MARK_DATA);
        repr_dict(j, b, v.u.dict);
        jb_add(b, ">", 1, MARK_DATA);
        break;
    case J_MACRO: {
        const JString *name = v.u.macro->name;
        jb_add(b, "<Macro ", 7, MARK_DATA);
        if (name) repr_string(b, name);
        else jb_add(b, "anonymous", 9, MARK_DATA);
        jb_add(b, ">", 1, MARK_DATA);
        break;
    }
    case J_LOOP:
        jb_line(b, MARK_DATA, "<LoopContext %lld/%lld>", (long long)v.u.loop->index0 + 1,
                (long long)jj_loop_length(j, v.u.loop));
        break;
    default: jb_line(b, MARK_DATA, "<%s>", jv_type(v));
    }
}

void jv_repr(Jinja *j, JBuilder *b, JValue v) {
    jj_work(j, 1);
    jj_deeper(j);
    switch (v.kind) {
    case J_UNDEFINED: jb_add(b, "Undefined", 9, 0); break;
    case J_NONE: case J_BOOL: case J_INT: case J_BIG: case J_REAL: show_scalar(j, b, v); break;
    case J_STRING: repr_string(b, v.u.s); break;
    case J_LIST: repr_list(j, b, v.u.list, "[]"); break;
    case J_TUPLE: repr_list(j, b, v.u.list, "()"); break;
    case J_DICT: repr_dict(j, b, v.u.dict); break;
    default: repr_object(j, b, v);
    }
    jj_back(j);
}

void jv_show(Jinja *j, JBuilder *b, JValue v) {
    if (v.kind == J_STRING) jb_string(b, v.u.s);
    else if (v.kind != J_UNDEFINED) jv_repr(j, b, v);
}

const JString *jv_str(Jinja *j, JValue v) {
    if (v.kind == J_STRING) return v.u.s;
    JBuilder b = {.j = j};
    jv_show(j, &b, v);
    return jb_finish(&b);
}

const JString *jv_repr_of(Jinja *j, JValue v) {
    JBuilder b = {.j = j};
    jv_repr(j, &b, v);
    return jb_finish(&b);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void json_string_out(JBuilder *b, const JString *s, bool ascii) {
    static const char plain[] = "\"\\\n\r\t\f\b", named[] = "\"\\nrtfb";
    JChar c = {0};
    jb_add(b, "\"", 1, MARK_DATA);
    while (js_next(s, &c)) {
        const char *p = c.code > 0 && c.code < 0x80 ? strchr(plain, (char)c.code) : NULL;
        if (p) jb_line(b, c.mark, "\\%c", named[p - plain]);
        else if (c.code < 0x20 || (ascii && c.code > 0x7E && c.code < 0x10000))
            jb_line(b, c.mark, "\\u%04x", (unsigned)c.code);
        else if (ascii && c.code > 0xFFFF)
            jb_line(b, c.mark, "\\u%04x\\u%04x", 0xD800u + ((unsigned)c.code - 0x10000u) / 0x400u,
                    0xDC00u + ((unsigned)c.code - 0x10000u) % 0x400u);
        else jb_add(b, s->text + c.at, (size_t)c.bytes, c.mark);
    }
    jb_add(b, "\"", 1, MARK_DATA);
}

static void json_scalar(Jinja *j, JBuilder *b, JValue v) {
    static const char *const names[] = {"Infinity", "-Infinity", "NaN"};
    uint32_t mark = jv_marks(v);
    if (v.kind == J_NONE) jb_add(b, "null", 4, mark);
    else if (v.kind == J_BOOL) jb_line(b, mark, "%s", v.u.b ? "true" : "false");
    else if (v.kind == J_REAL) show_real(b, v.u.r, mark, names);
    else jn_text(j, b, v, mark);
}

static void json_break(Jinja *j, JBuilder *b, const JJson *how, size_t level) {
    if (how->indent.kind == J_NONE) return;
    jb_add(b, "\n", 1, MARK_DATA);
    if (how->indent.kind == J_STRING)
        for (size_t i = 0; i < level; i++) jb_string(b, how->indent.u.s);
    else jb_string(b, js_repeat(j, js_new(j, " ", 1, MARK_DATA), jj_index(j, how->indent, "indent") * (int64_t)level));
}

static void json_key(Jinja *j, JBuilder *b, JValue key, bool ascii) {
    if (key.kind == J_STRING) {
        json_string_out(b, key.u.s, ascii);
        return;
    }
    if (key.kind != J_NONE && !jv_is_number(key)) jj_fail(j, "tojson: a %s cannot be a key", jv_type(key));
    jb_add(b, "\"", 1, MARK_DATA);
    json_scalar(j, b, key);
    jb_add(b, "\"", 1, MARK_DATA);
}

static void json_value(Jinja *j, JBuilder *b, JValue v, const JJson *how, size_t level);

static const JDict *sorted_dict(Jinja *j, const JDict *d) {
    JDict *copy = jd_new(j);
    JList *list = jl_new(j, d->count), *keys = jl_new(j, d->count);
    for (size_t i = 0; i < d->count; i++) jl_add(j, list, jv_int((int64_t)i)), jl_add(j, keys, d->entry[i].key);
    jl_sort(j, list, keys->item, false);
    for (size_t i = 0; i < d->count; i++) {
        const JEntry *e = &d->entry[list->item[i].u.i];
        jd_set(j, copy, e->key, e->value);
    }
    return copy;
}

static void json_dict(Jinja *j, JBuilder *b, const JDict *d, const JJson *how, size_t level) {
    if (how->sort) d = sorted_dict(j, d);
    jb_add(b, "{", 1, MARK_DATA);
    for (size_t i = 0; i < d->count; i++) {
        if (i) jb_string(b, how->item_separator);
        json_break(j, b, how, level + 1);
        json_key(j, b, d->entry[i].key, how->ascii);
        jb_string(b, how->key_separator);
        json_value(j, b, d->entry[i].value, how, level + 1);
    }
    if (d->count) json_break(j, b, how, level);
    jb_add(b, "}", 1, MARK_DATA);
}

static void json_list(Jinja *j, JBuilder *b, const JList *list, const JJson *how, size_t level) {
    jb_add(b, "[", 1, MARK_DATA);
    for (size_t i = 0; i < list->count; i++) {
        if (i) jb_string(b, how->item_separator);
        json_break(j, b, how, level + 1);
        json_value(j, b, list->item[i], how, level + 1);
    }
    if (list->count) json_break(j, b, how, level);
    jb_add(b, "]", 1, MARK_DATA);
}

static void json_value(Jinja *j, JBuilder *b, JValue v, const JJson *how, size_t level) {
    jj_work(j, 1);
    jj_deeper(j);
    switch (v.kind) {
    case J_NONE: case J_BOOL: case J_INT: case J_BIG: case J_REAL: json_scalar(j, b, v); break;
    case J_STRING: json_string_out(b, v.u.s, how->ascii); break;
    case J_LIST: case J_TUPLE: json_list(j, b, v.u.list, how, level); break;
    case J_DICT: json_dict(j, b, v.u.dict, how, level); break;
    default: jj_fail(j, "tojson: a value of type %s has no JSON", jv_type(v));
    }
    jj_back(j);
}

void jv_json(Jinja *j, JBuilder *b, JValue v, const JJson *how) { json_value(j, b, v, how, 0); }
