/* jinja_member.c: attributes, items and slices, as the sandbox has them: a.b is a method first, then an item; a['b']
 * the other way round. What changes a value is not there. */
#include "jinja_eval.h"

static bool is_hidden(const JString *name) { return name->bytes > 0 && name->text[0] == '_'; }

static JValue loop_attribute(Jinja *j, JLoop *l, const JString *name, bool *found) {
    *found = true;
    if (js_is(name, "index")) return jv_int(l->index0 + 1);
    if (js_is(name, "index0")) return jv_int(l->index0);
    if (js_is(name, "first")) return jv_bool(l->index0 == 0);
    if (js_is(name, "last")) return jv_bool(jj_loop_after(j, l).kind == J_MISSING);
    if (js_is(name, "length")) return jv_int(jj_loop_length(j, l));
    if (js_is(name, "revindex")) return jv_int(jj_loop_length(j, l) - l->index0);
    if (js_is(name, "revindex0")) return jv_int(jj_loop_length(j, l) - l->index0 - 1);
    if (js_is(name, "depth")) return jv_int(l->depth0 + 1);
    if (js_is(name, "depth0")) return jv_int(l->depth0);
    if (js_is(name, "previtem")) return l->index0 == 0 ? jv_undefined(NULL) : l->before;
    if (js_is(name, "nextitem")) {
        JValue v = jj_loop_after(j, l);
        return v.kind == J_MISSING ? jv_undefined(NULL) : v;
    }
    *found = false;
    return jv_none();
}

static JValue macro_attribute(Jinja *j, const JMacro *m, const JString *name, bool *found) {
    const JParams *p = m->node->params;
    *found = true;
    if (js_is(name, "name")) return m->name ? jv_string(m->name) : jv_none();
    if (js_is(name, "catch_kwargs")) return jv_bool(p->uses & USES_KWARGS);
    if (js_is(name, "catch_varargs")) return jv_bool(p->uses & USES_VARARGS);
    if (js_is(name, "caller")) return jv_bool(p->uses & USES_CALLER);
    if (js_is(name, "arguments")) {
        JList *list = jl_new(j, p->count);
        for (size_t i = 0; i < p->count; i++) jl_add(j, list, jv_string(p->name[i]));
        return jv_tuple(list);
    }
    *found = false;
    return jv_none();
}

/* What Python's getattr() finds. */
static JValue attribute(Jinja *j, JValue v, const JString *name, bool *found) {
    *found = false;
    if (v.kind == J_UNDEFINED)
        jj_fail(j, "%s is undefined: it has no '%s'", v.u.s ? name_text(v.u.s->text, v.u.s->bytes).text : "a value",
                name_text(name->text, name->bytes).text);
    if (is_hidden(name)) return *found = true, jv_undefined(name);
    const JMethodRow *row = jinja_method(v, name);
    if (row) {
        *found = true;
        if (!row->run) return jv_undefined(name); /* it would change the value */
        JMethod *m = jj_new(j, 1, sizeof *m);
        *m = (JMethod){row, v};
        return J_VALUE(J_METHOD, method, m);
    }
    const JValue *item = v.kind == J_NAMESPACE ? jd_get(j, v.u.dict, jv_string(name)) : NULL;
    if (item) return *found = true, *item;
    if (v.kind == J_LOOP) return loop_attribute(j, v.u.loop, name, found);
    if (v.kind == J_MACRO) return macro_attribute(j, v.u.macro, name, found);
    if (v.kind == J_CYCLER && js_is(name, "current")) return *found = true, v.u.cycler->list->item[v.u.cycler->at];
    if (v.kind == J_TUPLE && v.u.list->group && (js_is(name, "grouper") || js_is(name, "list")))
        return *found = true, v.u.list->item[js_is(name, "list")];
    if (jv_is_int(v) && (js_is(name, "real") || js_is(name, "numerator")))
        return *found = true, v.kind == J_BOOL ? jv_int(v.u.b) : v;
    if (jv_is_int(v) && (js_is(name, "imag") || js_is(name, "denominator")))
        return *found = true, jv_int(js_is(name, "denominator"));
    if (v.kind == J_REAL && js_is(name, "real")) return *found = true, v;
    if (v.kind == J_REAL && js_is(name, "imag")) return *found = true, jv_real(0);
    if (v.kind == J_RANGE && (js_is(name, "start") || js_is(name, "stop") || js_is(name, "step")))
        return *found = true, jv_int(name->text[2] == 'a' ? v.u.range->start : name->text[2] == 'o' ? v.u.range->stop
                                                                                                    : v.u.range->step);
    return jv_none();
}

static size_t clip(int64_t index, int64_t length, bool *inside) {
    if (index < 0) index += length;
    *inside = index >= 0 && index < length;
    return *inside ? (size_t)index : 0;
}

/* What Python's v[key] finds. */
static JValue subscript(Jinja *j, JValue v, JValue key, bool *found) {
    size_t at;
    const JValue *item;
    *found = false;
    if (v.kind == J_DICT) {
        item = jd_get(j, v.u.dict, key);
        *found = item != NULL;
        return item ? *item : jv_none();
    }
    if (v.kind == J_UNDEFINED)
        jj_fail(j, "%s is undefined: it has no items", v.u.s ? name_text(v.u.s->text, v.u.s->bytes).text : "a value");
    if (key.kind != J_INT && key.kind != J_BOOL) return jv_none();
    if (v.kind != J_STRING && v.kind != J_LIST && v.kind != J_TUPLE && v.kind != J_RANGE) return jv_none();
    at = clip(key.kind == J_BOOL ? key.u.b : key.u.i, jv_length(j, v), found);
    if (!*found) return jv_none();
    if (v.kind == J_RANGE) return jv_int(v.u.range->start + (int64_t)at * v.u.range->step);
    if (v.kind != J_STRING) return v.u.list->item[at];
    size_t from = js_offset(j, v.u.s, at), to = from + 1;
    while (to < v.u.s->bytes && ((uint8_t)v.u.s->text[to] & 0xC0) == 0x80) to++;
    return jv_string(js_part(j, v.u.s, from, to));
}

JValue jj_attribute(Jinja *j, JValue v, const JString *name) {
    bool found;
    JValue out = attribute(j, v, name, &found);
    if (!found) out = subscript(j, v, jv_string(name), &found);
    return found ? out : jv_undefined(name);
}

JValue jj_item(Jinja *j, JValue v, JValue key) {
    bool found;
    JValue out = subscript(j, v, key, &found);
    if (!found && key.kind == J_STRING) out = attribute(j, v, key.u.s, &found);
    return found ? out : jv_undefined(key.kind == J_STRING ? key.u.s : NULL);
}

/* ---- Slices ----------------------------------------------------------------------------------------------------- */

static int64_t slice_end(Jinja *j, JValue v, int64_t length, int64_t otherwise, int64_t low, int64_t high) {
    if (v.kind == J_NONE) return otherwise;
    int64_t i = jj_index(j, v, "a slice");
    if (i < 0) i = i < -length ? low : i + length;
    return i < low ? low : i > high ? high : i;
}

JValue jj_slice(Jinja *j, JValue v, JValue from_value, JValue to_value, JValue step_value) {
    bool is_list = v.kind == J_LIST || v.kind == J_TUPLE;
    if (v.kind == J_UNDEFINED) jj_fail(j, "a value that is undefined cannot be sliced");
    if (v.kind != J_STRING && !is_list && v.kind != J_RANGE) jj_fail(j, "a %s cannot be sliced", jv_type(v));
    int64_t length = jv_length(j, v), step = step_value.kind == J_NONE ? 1 : jj_index(j, step_value, "a slice"),
            count = 0;
    if (step == 0) jj_fail(j, "a slice's step is zero");
    if (step < -INT64_MAX) step = -INT64_MAX;
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? length - 1 : length;
    int64_t from = slice_end(j, from_value, length, step < 0 ? high : low, low, high);
    int64_t to = slice_end(j, to_value, length, step < 0 ? low : high, low, high);
    if (step > 0 && from < to) count = (to - from - 1) / step + 1;
    if (step < 0 && from > to) count = (from - to - 1) / -step + 1;
    if (v.kind == J_RANGE) {
        const JRange *r = v.u.range;
        JRange *part = jj_new(j, 1, sizeof *part);
        *part = (JRange){r->start + from * r->step, r->start + to * r->step, r->step, count};
        if (__builtin_mul_overflow(r->step, step, &part->step)) jj_fail(j, "a slice's step is too large");
        return J_VALUE(J_RANGE, range, part);
    }
    if (v.kind == J_STRING && step == 1)
        return jv_string(js_part(j, v.u.s, js_offset(j, v.u.s, (size_t)from),
                                 js_offset(j, v.u.s, (size_t)(count ? to : from))));
    JList *list = jl_new(j, (size_t)count);
    jj_work(j, (size_t)count);
    if (is_list) {
        for (int64_t i = 0; i < count; i++) jl_add(j, list, v.u.list->item[from + i * step]);
        return v.kind == J_LIST ? jv_list(list) : jv_tuple(list);
    }
    const JList *chars = jv_items(j, v);
    JBuilder b = {.j = j};
    for (int64_t i = 0; i < count; i++) jb_string(&b, chars->item[from + i * step].u.s);
    return jv_string(js_markup(j, jb_finish(&b), v.u.s->markup));
}

/* ---- Paths ------------------------------------------------------------------------------------------------------ */

JValue jj_path(Jinja *j, JValue v, JValue path) {
    if (path.kind == J_NONE || path.kind == J_MISSING) return v;
    if (path.kind != J_STRING) return jj_item(j, v, path);
    const JString *s = path.u.s;
    for (size_t from = 0, to; from <= s->bytes; from = to + 1) {
        const char *dot = memchr(s->text + from, '.', s->bytes - from);
        to = dot ? (size_t)(dot - s->text) : s->bytes;
        const JString *part = js_part(j, s, from, to);
        JValue key = jv_string(part), number;
        bool digits = part->bytes > 0;
        JChar c = {0};
        while (js_next(part, &c)) digits = digits && jc_digit(c.code);
        if (digits && jn_parse_int(j, part->text, part->bytes, 10, &number)) key = number;
        jj_work(j, 1);
        v = jj_item(j, v, key);
    }
    return v;
}
