/* jinja_filter_sequence.c: filters of lists and mappings. Those that Python writes as generators give what is gone
 * through once. */
#include "jinja_eval.h"

#define FILTER(name) static JValue name(Jinja *j, JValue v, const JArgs *args)
/* What a generator goes through, made when it is gone through. */
#define LATER(name) static JList *name(Jinja *j, JValue v, const JArgs *args)

FILTER(length) {
    jj_bind(j, args, "length", "", 0, NULL);
    int64_t n = v.kind == J_LOOP ? jj_loop_length(j, v.u.loop) : jv_length(j, v);
    if (n < 0) jj_fail(j, "length: a %s has none", jv_type(v));
    return jv_int(n);
}

FILTER(first) {
    jj_bind(j, args, "first", "", 0, NULL);
    if (v.kind == J_ITERATOR) {
        JIterator *i = jv_started(j, v);
        return i->at < i->list->count ? i->list->item[i->at++] : jv_undefined(NULL);
    }
    const JList *list = jv_items(j, v);
    return list->count ? list->item[0] : jv_undefined(NULL);
}

static bool reversible(JValue v) {
    return v.kind == J_STRING || v.kind == J_LIST || v.kind == J_TUPLE || v.kind == J_DICT || v.kind == J_RANGE ||
           v.kind == J_VIEW || v.kind == J_UNDEFINED;
}

FILTER(last) {
    jj_bind(j, args, "last", "", 0, NULL);
    if (!reversible(v)) jj_fail(j, "last: a %s cannot be reversed", jv_type(v));
    const JList *list = jv_items(j, v);
    return list->count ? list->item[list->count - 1] : jv_undefined(NULL);
}

static JList *copy_items(Jinja *j, JValue v) {
    const JList *from = jv_items(j, v);
    JList *list = jl_new(j, from->count);
    jj_work(j, from->count);
    for (size_t i = 0; i < from->count; i++) jl_add(j, list, from->item[i]);
    return list;
}

FILTER(list_filter) {
    jj_bind(j, args, "list", "", 0, NULL);
    return jv_list(copy_items(j, v));
}

FILTER(reverse) {
    jj_bind(j, args, "reverse", "", 0, NULL);
    if (v.kind == J_STRING) return jv_string(js_reverse(j, v.u.s));
    const JList *from = jv_items(j, v);
    JList *list = jl_new(j, from->count);
    for (size_t i = from->count; i-- > 0;) jl_add(j, list, from->item[i]);
    return reversible(v) ? jv_iterator(j, list) : jv_list(list);
}

/* ---- Keys ------------------------------------------------------------------------------------------------------- */

static JValue fold(Jinja *j, JValue v, bool case_sensitive) {
    return v.kind == J_STRING && !case_sensitive ? jv_string(jc_case(j, v.u.s, CASE_LOWER)) : v;
}

static JValue key_of(Jinja *j, JValue item, JValue path, bool case_sensitive) {
    return fold(j, jj_path(j, item, path), case_sensitive);
}

/* By one attribute, or by several with commas between them: a list, in which what is equal need have no order. */
static JValue keys_of(Jinja *j, JValue item, JValue path, bool case_sensitive) {
    JList *keys = jl_new(j, 1);
    if (path.kind != J_STRING) return jl_add(j, keys, key_of(j, item, path, case_sensitive)), jv_list(keys);
    const JString *s = path.u.s;
    for (size_t from = 0, to; from <= s->bytes; from = to + 1) {
        const char *comma = memchr(s->text + from, ',', s->bytes - from);
        to = comma ? (size_t)(comma - s->text) : s->bytes;
        jl_add(j, keys, key_of(j, item, jv_string(js_part(j, s, from, to)), case_sensitive));
    }
    return jv_list(keys);
}

FILTER(sort) {
    JValue a[3];
    jj_bind(j, args, "sort", "reverse case_sensitive attribute", 0, a);
    JList *list = copy_items(j, v), *keys = jl_new(j, list->count);
    for (size_t i = 0; i < list->count; i++) jl_add(j, keys, keys_of(j, list->item[i], a[2], jj_flag(j, a[1], false)));
    jl_sort(j, list, keys->item, jj_flag(j, a[0], false));
    return jv_list(list);
}

static JList *pairs_of(Jinja *j, const JDict *d) {
    JView view = {VIEW_ITEMS, d};
    return copy_items(j, J_VALUE(J_VIEW, view, &view));
}

FILTER(dict_sort) {
    JValue a[3];
    jj_bind(j, args, "dictsort", "case_sensitive by reverse", 0, a);
    if (v.kind != J_DICT) jj_fail(j, "dictsort: expected a mapping, got %s", jv_type(v));
    const JString *by = a[1].kind == J_MISSING ? js_new(j, "key", 3, 0) : jj_string(j, a[1], "dictsort: by");
    if (!js_is(by, "key") && !js_is(by, "value")) jj_fail(j, "dictsort: by: expected key or value");
    JList *list = pairs_of(j, v.u.dict), *keys = jl_new(j, list->count);
    for (size_t i = 0; i < list->count; i++)
        jl_add(j, keys, fold(j, list->item[i].u.list->item[js_is(by, "value")], jj_flag(j, a[0], false)));
    jl_sort(j, list, keys->item, jj_flag(j, a[2], false));
    return jv_list(list);
}

LATER(items_later) {
    (void)args;
    if (v.kind == J_UNDEFINED) return jl_new(j, 0);
    if (v.kind != J_DICT) jj_fail(j, "items: expected a mapping, got %s", jv_type(v));
    return pairs_of(j, v.u.dict);
}
FILTER(items) {
    jj_bind(j, args, "items", "", 0, NULL);
    return jv_generator(j, items_later, v, args);
}

LATER(unique_later) {
    JValue a[2];
    jj_bind(j, args, "unique", "case_sensitive attribute", 0, a);
    const JList *from = jv_items(j, v);
    JList *list = jl_new(j, 0);
    JDict *seen = jd_new(j);
    for (size_t i = 0; i < from->count; i++) {
        JValue key = key_of(j, from->item[i], a[1], jj_flag(j, a[0], false));
        if (jv_hashable(j, key) && jd_get(j, seen, key)) continue;
        jd_set(j, seen, key, jv_none());
        jl_add(j, list, from->item[i]);
    }
    return list;
}
FILTER(unique) {
    JValue a[2];
    jj_bind(j, args, "unique", "case_sensitive attribute", 0, a);
    return jv_generator(j, unique_later, v, args);
}

static JValue extreme(Jinja *j, JValue v, const JArgs *args, const char *what, int wanted) {
    JValue a[2], best, best_key = jv_none();
    jj_bind(j, args, what, "case_sensitive attribute", 0, a);
    const JList *list = jv_items(j, v);
    best = jv_undefined(NULL);
    for (size_t i = 0; i < list->count; i++) {
        JValue key = key_of(j, list->item[i], a[1], jj_flag(j, a[0], false));
        if (i && jv_order(j, key, best_key) != wanted) continue;
        best = list->item[i];
        best_key = key;
    }
    return best;
}
FILTER(min_filter) { return extreme(j, v, args, "min", -1); }
FILTER(max_filter) { return extreme(j, v, args, "max", 1); }

FILTER(sum) {
    JValue a[2];
    jj_bind(j, args, "sum", "attribute start", 0, a);
    JValue total = a[1].kind == J_MISSING ? jv_int(0) : a[1];
    if (total.kind == J_STRING) jj_fail(j, "sum: strings are joined by join");
    const JList *list = jv_items(j, v);
    for (size_t i = 0; i < list->count; i++) total = jn_binary(j, OP_ADD, total, jj_path(j, list->item[i], a[0]));
    return total;
}

FILTER(group_by) {
    JValue a[3];
    jj_bind(j, args, "groupby", "attribute default case_sensitive", 1, a);
    bool exact = jj_flag(j, a[2], false);
    JList *list = copy_items(j, v), *keys = jl_new(j, list->count), *order = jl_new(j, list->count),
          *out = jl_new(j, 0);
    JValue *plain = jj_new(j, list->count, sizeof *plain);
    for (size_t i = 0; i < list->count; i++) {
        plain[i] = jj_path(j, list->item[i], a[0]);
        if (plain[i].kind == J_UNDEFINED && a[1].kind != J_MISSING && a[1].kind != J_NONE) plain[i] = a[1];
        jl_add(j, keys, fold(j, plain[i], exact));
        jl_add(j, order, jv_int((int64_t)i));
    }
    jl_sort(j, order, keys->item, false);
    JList *group = NULL;
    for (size_t i = 0; i < order->count; i++) {
        int64_t at = order->item[i].u.i;
        if (!group || !jv_equal(j, keys->item[at], keys->item[order->item[i - 1].u.i])) {
            JList *pair = jl_new(j, 2);
            pair->group = true;
            group = jl_new(j, 0);
            jl_add(j, pair, plain[at]);
            jl_add(j, pair, jv_list(group));
            jl_add(j, out, jv_tuple(pair));
        }
        jl_add(j, group, list->item[at]);
    }
    return jv_list(out);
}

/* ---- Parts ------------------------------------------------------------------------------------------------------ */

LATER(batch_later) {
    JValue a[2];
    jj_bind(j, args, "batch", "linecount fill_with", 1, a);
    const JList *list = jv_items(j, v);
    JList *out = jl_new(j, 0), *line = jl_new(j, 0);
    int64_t most = jj_index(j, a[0], "batch");
    if (most > (int64_t)1 << 24) most = (int64_t)1 << 24;
    for (size_t i = 0; i < list->count; i++) {
        if ((int64_t)line->count == most) jl_add(j, out, jv_list(line)), line = jl_new(j, 0);
        jl_add(j, line, list->item[i]);
    }
    while (line->count && a[1].kind != J_MISSING && a[1].kind != J_NONE && (int64_t)line->count < most) {
        jj_work(j, 1);
        jl_add(j, line, a[1]);
    }
    if (line->count) jl_add(j, out, jv_list(line));
    return out;
}
FILTER(batch) {
    JValue a[2];
    jj_bind(j, args, "batch", "linecount fill_with", 1, a);
    return jv_generator(j, batch_later, v, args);
}

LATER(slice_later) {
    JValue a[2];
    jj_bind(j, args, "slice", "slices fill_with", 1, a);
    const JList *list = jv_items(j, v);
    int64_t count = (int64_t)list->count, slices = jj_index(j, a[0], "slice"), at = 0;
    if (slices == 0) jj_fail(j, "slice: division by zero");
    JList *out = jl_new(j, 0);
    for (int64_t i = 0; i < slices; i++) {
        JList *part = jl_new(j, 0);
        jj_work(j, 1);
        for (int64_t n = count / slices + (i < count % slices); n > 0; n--) jl_add(j, part, list->item[at++]);
        if (i >= count % slices && a[1].kind != J_MISSING && a[1].kind != J_NONE) jl_add(j, part, a[1]);
        jl_add(j, out, jv_list(part));
    }
    return out;
}
FILTER(slice) {
    JValue a[2];
    jj_bind(j, args, "slice", "slices fill_with", 1, a);
    return jv_generator(j, slice_later, v, args);
}

FILTER(join) {
    JValue a[2];
    jj_bind(j, args, "join", "d attribute", 0, a);
    const JString *between = a[0].kind == J_MISSING ? js_new(j, "", 0, 0) : jv_str(j, a[0]);
    const JList *list = jv_items(j, v);
    JBuilder b = {.j = j};
    for (size_t i = 0; i < list->count; i++) {
        jj_work(j, 1);
        if (i) jb_string(&b, between);
        jv_show(j, &b, jj_path(j, list->item[i], a[1]));
    }
    return jv_string(jb_finish(&b));
}

/* ---- One by one ------------------------------------------------------------------------------------------------- */

static JArgs after(const JArgs *args, size_t n) {
    return (JArgs){args->item + n, args->count - n, args->named, args->named_count};
}

LATER(map_later) {
    JList *out = jl_new(j, 0);
    if (!jv_true(j, v)) return out;
    JValue a[2] = {{0}};
    bool by_attribute = false;
    for (size_t i = 0; i < args->named_count; i++)
        by_attribute = by_attribute || js_is(args->named[i].name, "attribute");
    by_attribute = by_attribute && !args->count;
    if (by_attribute) jj_bind(j, args, "map", "attribute default", 1, a);
    else if (!args->count) jj_fail(j, "map: expected a filter's name or attribute=");
    const JString *name = by_attribute ? NULL : jj_string(j, args->item[0], "map: a filter's name");
    const JFilterRow *row = name ? jinja_filter(name) : NULL;
    JArgs rest = by_attribute ? (JArgs){0} : after(args, 1);
    const JList *list = jv_items(j, v);
    for (size_t i = 0; i < list->count; i++) {
        JValue item = list->item[i];
        jj_work(j, 1);
        if (name) item = jj_apply_filter(j, name, row, item, &rest);
        else {
            item = jj_path(j, item, a[0]);
            if (item.kind == J_UNDEFINED && a[1].kind != J_MISSING && a[1].kind != J_NONE) item = a[1];
        }
        jl_add(j, out, item);
    }
    return out;
}
FILTER(map) { return jv_generator(j, map_later, v, args); }

static JList *select_items(Jinja *j, JValue v, const JArgs *args, bool wanted, bool by_attribute) {
    JList *out = jl_new(j, 0);
    if (!jv_true(j, v)) return out;
    if (by_attribute && !args->count) jj_fail(j, "expected the name of an attribute");
    size_t used = by_attribute;
    const JString *test = args->count > used ? jj_string(j, args->item[used], "a test's name") : NULL;
    const JTestRow *row = test ? jinja_test(test) : NULL;
    JArgs rest = test ? after(args, used + 1) : (JArgs){0};
    const JList *list = jv_items(j, v);
    for (size_t i = 0; i < list->count; i++) {
        JValue item = by_attribute ? jj_path(j, list->item[i], args->item[0]) : list->item[i];
        jj_work(j, 1);
        bool holds = test ? jj_apply_test(j, test, row, item, &rest) : jv_true(j, item);
        if (holds == wanted) jl_add(j, out, list->item[i]);
    }
    return out;
}
LATER(select_later) { return select_items(j, v, args, true, false); }
LATER(reject_later) { return select_items(j, v, args, false, false); }
LATER(select_attribute_later) { return select_items(j, v, args, true, true); }
LATER(reject_attribute_later) { return select_items(j, v, args, false, true); }
FILTER(select_filter) { return jv_generator(j, select_later, v, args); }
FILTER(reject) { return jv_generator(j, reject_later, v, args); }
FILTER(select_attribute) { return jv_generator(j, select_attribute_later, v, args); }
FILTER(reject_attribute) { return jv_generator(j, reject_attribute_later, v, args); }

/* The attribute, never an item. */
FILTER(attribute) {
    JValue name;
    jj_bind(j, args, "attr", "name", 1, &name);
    const JString *s = jj_string(j, name, "attr");
    const JValue *item = v.kind == J_DICT ? jd_get(j, v.u.dict, name) : NULL;
    if (item && !jinja_method(v, s)) return jv_undefined(s);
    return jj_attribute(j, v, s);
}

const JFilterRow jinja_sequence_filters[] = {
    {"length", length},         {"count", length},          {"first", first},       {"last", last},
    {"list", list_filter},      {"join", join},             {"items", items},       {"map", map},
    {"select", select_filter},  {"selectattr", select_attribute}, {"reject", reject}, {"rejectattr", reject_attribute},
    {"sort", sort},             {"dictsort", dict_sort},    {"reverse", reverse},   {"unique", unique},
    {"min", min_filter},        {"max", max_filter},        {"sum", sum},           {"groupby", group_by},
    {"batch", batch},           {"slice", slice},           {"attr", attribute},    {NULL, NULL},
};
