/* jinja_method.c: methods of mappings, lists, numbers and the small objects; jinja_method_text.c has those of
 * strings. */
#include <math.h>
#include "jinja_eval.h"

#define METHOD(name) static JValue name(Jinja *j, JValue v, const JArgs *args)

const JMethodRow *jinja_method(JValue self, const JString *name) {
    if (self.kind == J_STRING) {
        for (const JMethodRow *row = jinja_string_methods; row->name; row++)
            if (js_is(name, row->name)) return row;
        return NULL;
    }
    for (const JMethodRow *row = jinja_other_methods; row->name; row++)
        if (row->kind == self.kind && js_is(name, row->name)) return row;
    return NULL;
}

static JValue view(Jinja *j, JValue v, const JArgs *args, JViewKind kind) {
    JView *made = jj_new(j, 1, sizeof *made);
    jj_bind(j, args, "a mapping's view", "", 0, NULL);
    *made = (JView){kind, v.u.dict};
    return J_VALUE(J_VIEW, view, made);
}
METHOD(keys) { return view(j, v, args, VIEW_KEYS); }
METHOD(values) { return view(j, v, args, VIEW_VALUES); }
METHOD(items) { return view(j, v, args, VIEW_ITEMS); }

METHOD(get) {
    JValue a[2];
    jj_bind(j, args, "get", "key default", 1, a);
    if (args->named_count) jj_fail(j, "get: its arguments have no names");
    if (!jv_hashable(j, a[0])) jj_fail(j, "get: a %s cannot be a key", jv_type(a[0]));
    const JValue *found = jd_get(j, v.u.dict, a[0]);
    return found ? *found : a[1].kind == J_MISSING ? jv_none() : a[1];
}

METHOD(copy) {
    jj_bind(j, args, "copy", "", 0, NULL);
    return v; /* nothing can change either */
}

METHOD(from_keys) {
    JValue a[2];
    (void)v;
    jj_bind(j, args, "fromkeys", "iterable value", 1, a);
    const JList *list = jv_items(j, a[0]);
    JDict *d = jd_new(j);
    for (size_t i = 0; i < list->count; i++) jd_set(j, d, list->item[i], a[1].kind == J_MISSING ? jv_none() : a[1]);
    return jv_dict(d);
}

METHOD(count) {
    JValue what;
    int64_t n = 0;
    jj_bind(j, args, "count", "value", 1, &what);
    const JList *list = jv_items(j, v);
    for (size_t i = 0; i < list->count; i++) n += jv_equal(j, list->item[i], what);
    return jv_int(n);
}

static size_t clipped(int64_t i, size_t count) {
    if (i < 0) i += (int64_t)count;
    return i < 0 ? 0 : (size_t)i > count ? count : (size_t)i;
}

METHOD(index_of) {
    JValue a[3];
    jj_bind(j, args, "index", "value start stop", 1, a);
    const JList *list = jv_items(j, v);
    size_t from = clipped(a[1].kind == J_MISSING ? 0 : jj_index(j, a[1], "index"), list->count),
           to = clipped(a[2].kind == J_MISSING ? INT64_MAX : jj_index(j, a[2], "index"), list->count);
    for (size_t i = from; i < to; i++) {
        jj_work(j, 1);
        if (jv_equal(j, list->item[i], a[0])) return jv_int((int64_t)i);
    }
    jj_fail(j, "index: the value is not in the list");
}

METHOD(bit_length) {
    jj_bind(j, args, "bit_length", "", 0, NULL);
    return jv_int(jn_bits(j, v));
}

METHOD(is_integer) {
    jj_bind(j, args, "is_integer", "", 0, NULL);
    return jv_bool(isfinite(v.u.r) && v.u.r == floor(v.u.r));
}

METHOD(conjugate) {
    jj_bind(j, args, "conjugate", "", 0, NULL);
    return v.kind == J_BOOL ? jv_int(v.u.b) : v;
}

METHOD(cycler_next) {
    JCycler *c = v.u.cycler;
    jj_bind(j, args, "next", "", 0, NULL);
    JValue now = c->list->item[c->at];
    c->at = (c->at + 1) % c->list->count;
    return now;
}

METHOD(cycler_reset) {
    jj_bind(j, args, "reset", "", 0, NULL);
    v.u.cycler->at = 0;
    return jv_none();
}

METHOD(loop_cycle) {
    if (!args->count) jj_fail(j, "loop.cycle: expected items");
    return args->item[(size_t)v.u.loop->index0 % args->count];
}

METHOD(loop_changed) {
    JLoop *l = v.u.loop;
    JList *list = jl_new(j, args->count);
    for (size_t i = 0; i < args->count; i++) jl_add(j, list, args->item[i]);
    JValue now = jv_tuple(list);
    bool changed = l->changed.kind == J_MISSING || !jv_equal(j, l->changed, now);
    l->changed = now;
    return jv_bool(changed);
}

/* Those without a function would change the value: the sandbox hides them, and what a mapping has under that name. */
const JMethodRow jinja_other_methods[] = {
    {J_DICT, "items", items}, {J_DICT, "keys", keys}, {J_DICT, "values", values}, {J_DICT, "get", get},
    {J_DICT, "copy", copy}, {J_DICT, "fromkeys", from_keys}, {J_DICT, "clear", NULL}, {J_DICT, "pop", NULL},
    {J_DICT, "popitem", NULL}, {J_DICT, "setdefault", NULL}, {J_DICT, "update", NULL},
    {J_LIST, "count", count}, {J_LIST, "index", index_of}, {J_LIST, "copy", copy}, {J_LIST, "append", NULL},
    {J_LIST, "clear", NULL}, {J_LIST, "pop", NULL}, {J_LIST, "reverse", NULL}, {J_LIST, "insert", NULL},
    {J_LIST, "sort", NULL}, {J_LIST, "extend", NULL}, {J_LIST, "remove", NULL},
    {J_TUPLE, "count", count}, {J_TUPLE, "index", index_of}, {J_RANGE, "count", count}, {J_RANGE, "index", index_of},
    {J_INT, "bit_length", bit_length}, {J_BIG, "bit_length", bit_length}, {J_BOOL, "bit_length", bit_length},
    {J_INT, "conjugate", conjugate}, {J_BIG, "conjugate", conjugate}, {J_BOOL, "conjugate", conjugate},
    {J_REAL, "conjugate", conjugate}, {J_REAL, "is_integer", is_integer},
    {J_CYCLER, "next", cycler_next}, {J_CYCLER, "reset", cycler_reset},
    {J_LOOP, "cycle", loop_cycle}, {J_LOOP, "changed", loop_changed},
    {J_MISSING, NULL, NULL},
};
