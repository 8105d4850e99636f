/* jinja_value.c: lists, mappings, and what can be asked of any value: truth, equality, order, length, items. */
#include <math.h>
#include "../io/json.h"
#include "jinja_value.h"

JValue jv_text(Jinja *j, const char *text) { return jv_string(js_new(j, text, strlen(text), 0)); }

JValue jv_iterator(Jinja *j, JList *list) {
    JIterator *i = jj_new(j, 1, sizeof *i);
    i->list = list;
    return J_VALUE(J_ITERATOR, iterator, i);
}

JValue jv_generator(Jinja *j, JList *(*later)(Jinja *j, JValue v, const JArgs *args), JValue of, const JArgs *args) {
    JIterator *i = jj_new(j, 1, sizeof *i);
    JArgs *kept = jj_new(j, 1, sizeof *kept);
    *kept = *args;
    *i = (JIterator){.later = later, .of = of, .args = kept};
    return J_VALUE(J_ITERATOR, iterator, i);
}

JIterator *jv_started(Jinja *j, JValue v) {
    JIterator *i = v.u.iterator;
    JList *(*later)(Jinja *, JValue, const JArgs *) = i->later;
    i->later = NULL; /* one that wants itself finds nothing */
    if (!i->list) i->list = jl_new(j, 0);
    if (!later) return i;
    jj_deeper(j);
    i->list = later(j, i->of, i->args);
    jj_back(j);
    return i;
}

/* ---- Lists ------------------------------------------------------------------------------------------------------ */

JList *jl_new(Jinja *j, size_t room) {
    JList *list = jj_new(j, 1, sizeof *list);
    if (room) list->item = jj_new(j, room, sizeof *list->item);
    list->room = room;
    return list;
}

void jl_add(Jinja *j, JList *list, JValue v) {
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 4;
        JValue *grown = jj_new(j, room, sizeof *grown);
        if (list->count) memcpy(grown, list->item, list->count * sizeof *grown);
        list->item = grown;
        list->room = room;
    }
    list->item[list->count++] = v;
}

/* Merge sort from the bottom up: it may fail at any comparison, and nothing calls itself. */
void jl_sort(Jinja *j, JList *list, const JValue *keys, bool reverse) {
    size_t n = list->count;
    size_t *order = jj_new(j, n, sizeof *order), *other = jj_new(j, n, sizeof *other);
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t from = 0; from < n; from += 2 * width) {
            size_t a = from, middle = from + width < n ? from + width : n, b = middle,
                   end = from + 2 * width < n ? from + 2 * width : n;
            for (size_t to = from; to < end; to++) {
                bool right = a == middle;
                if (!right && b < end) {
                    jj_work(j, 1);
                    right = reverse ? jv_order(j, keys[order[a]], keys[order[b]]) == -1
                                    : jv_order(j, keys[order[b]], keys[order[a]]) == -1;
                }
                other[to] = right ? order[b++] : order[a++];
            }
        }
        size_t *done = order;
        order = other;
        other = done;
    }
    JValue *sorted = jj_new(j, n, sizeof *sorted);
    for (size_t i = 0; i < n; i++) sorted[i] = list->item[order[i]];
    list->item = sorted;
    list->room = n;
}

/* ---- Mappings --------------------------------------------------------------------------------------------------- */

enum { SMALL = 8 }; /* entries that are looked through one by one */

JDict *jd_new(Jinja *j) { return jj_new(j, 1, sizeof(JDict)); }

bool jv_hashable(Jinja *j, JValue v) {
    if (v.kind == J_LIST || v.kind == J_DICT || (v.kind == J_VIEW && v.u.view->kind != VIEW_VALUES)) return false;
    if (v.kind != J_TUPLE) return true;
    bool hashable = true;
    jj_deeper(j);
    jj_work(j, v.u.list->count);
    for (size_t i = 0; hashable && i < v.u.list->count; i++) hashable = jv_hashable(j, v.u.list->item[i]);
    jj_back(j);
    return hashable;
}

/* Equal values have equal hashes: numbers by their value. */
static uint64_t hash(Jinja *j, JValue v) {
    uint64_t h = 0xCBF29CE484222325u;
    double r;
    switch (v.kind) {
    case J_STRING:
        jj_work(j, v.u.s->bytes / 8);
        for (size_t i = 0; i < v.u.s->bytes; i++) h = (h ^ (uint8_t)v.u.s->text[i]) * 0x100000001B3u;
        return h ^ h >> 32;
    case J_BOOL: case J_INT: case J_BIG: case J_REAL:
        r = v.kind == J_BIG ? 0 : jn_real(j, v);
        memcpy(&h, &r, sizeof h);
        return (r == 0 ? 0 : h) * 0x9E3779B97F4A7C15u >> 7;
    case J_TUPLE:
        jj_deeper(j);
        jj_work(j, v.u.list->count);
        for (size_t i = 0; i < v.u.list->count; i++) h = (h ^ hash(j, v.u.list->item[i])) * 0x100000001B3u;
        jj_back(j);
        return h;
    default: return v.kind;
    }
}

static const JEntry *find(Jinja *j, const JDict *d, JValue key, uint64_t h) {
    for (size_t i = 0; !d->slot && i < d->count; i++)
        if (d->entry[i].hash == h && jv_equal(j, d->entry[i].key, key)) return &d->entry[i];
    if (!d->slot) return NULL;
    for (size_t at = h & (d->slots - 1); d->slot[at]; at = (at + 1) & (d->slots - 1)) {
        const JEntry *e = &d->entry[d->slot[at] - 1];
        jj_work(j, 1);
        if (e->hash == h && jv_equal(j, e->key, key)) return e;
    }
    return NULL;
}

static void place(JDict *d, size_t index) {
    size_t at = d->entry[index].hash & (d->slots - 1);
    while (d->slot[at]) at = (at + 1) & (d->slots - 1);
    d->slot[at] = (uint32_t)index + 1;
}

void jd_set(Jinja *j, JDict *d, JValue key, JValue value) {
    if (!jv_hashable(j, key)) jj_fail(j, "a %s cannot be a key of a mapping", jv_type(key));
    uint64_t h = hash(j, key);
    const JEntry *old = find(j, d, key, h);
    if (old) {
        d->entry[old - d->entry].value = value;
        return;
    }
    if (d->count == d->room) {
        size_t room = d->room ? 2 * d->room : SMALL;
        if (room > UINT32_MAX / 2) jj_fail(j, "a mapping is too large");
        JEntry *grown = jj_new(j, room, sizeof *grown);
        if (d->count) memcpy(grown, d->entry, d->count * sizeof *grown);
        d->entry = grown;
        d->room = room;
        if (room > SMALL) {
            d->slots = 2 * room;
            d->slot = jj_new(j, d->slots, sizeof *d->slot);
            for (size_t i = 0; i < d->count; i++) place(d, i);
        }
    }
    d->entry[d->count] = (JEntry){key, value, h};
    if (d->slot) place(d, d->count);
    d->count++;
}

const JValue *jd_get(Jinja *j, const JDict *d, JValue key) {
    if (!jv_hashable(j, key)) return NULL;
    const JEntry *e = find(j, d, key, hash(j, key));
    return e ? &e->value : NULL;
}

const JValue *jd_text(Jinja *j, const JDict *d, const char *key) {
    JString s = {.text = key, .bytes = strlen(key)};
    return jd_get(j, d, jv_string(&s));
}

/* ---- Any value -------------------------------------------------------------------------------------------------- */

const char *jv_type(JValue v) {
    static const char *const names[] = {"nothing",   "Undefined", "NoneType", "bool",   "int",   "int",
                                        "float",     "str",       "list",     "tuple",  "dict",  "range",
                                        "dict view", "generator", "Namespace", "Macro", "LoopContext", "Cycler",
                                        "Joiner",    "function",  "method"};
    return names[v.kind];
}

bool jv_is_int(JValue v) { return v.kind == J_INT || v.kind == J_BIG || v.kind == J_BOOL; }
bool jv_is_number(JValue v) { return jv_is_int(v) || v.kind == J_REAL; }

bool jv_true(Jinja *j, JValue v) {
    switch (v.kind) {
    case J_UNDEFINED: case J_NONE: return false;
    case J_BOOL: return v.u.b;
    case J_INT: return v.u.i != 0;
    case J_REAL: return v.u.r != 0;
    case J_BIG: case J_ITERATOR: case J_NAMESPACE: return true;
    default: return jv_length(j, v) != 0;
    }
}

bool jv_same(JValue a, JValue b) {
    if (a.kind != b.kind) return false;
    if (a.kind == J_NONE || a.kind == J_BOOL || a.kind == J_INT) return a.kind == J_NONE || jv_equal(NULL, a, b);
    return a.kind == J_STRING ? js_equal(a.u.s, b.u.s) : a.kind == J_REAL ? a.u.r == b.u.r : a.u.s == b.u.s;
}

static bool dicts_equal(Jinja *j, const JDict *a, const JDict *b) {
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++) {
        const JValue *other = jd_get(j, b, a->entry[i].key);
        if (!other || !jv_equal(j, a->entry[i].value, *other)) return false;
    }
    return true;
}

bool jv_equal(Jinja *j, JValue a, JValue b) {
    if (a.kind == J_STRING && b.kind == J_STRING) {
        if (a.u.s->bytes == b.u.s->bytes) jj_work(j, a.u.s->bytes / 64);
        return js_equal(a.u.s, b.u.s);
    }
    if (a.kind == J_INT && b.kind == J_INT) return a.u.i == b.u.i;
    if (a.kind == J_BOOL && b.kind == J_BOOL) return a.u.b == b.u.b;
    if (jv_is_number(a) && jv_is_number(b)) return jn_order(j, a, b) == 0;
    if (a.kind != b.kind) return false;
    bool same = true;
    switch (a.kind) {
    case J_UNDEFINED: case J_NONE: return true;
    case J_LIST: case J_TUPLE:
        if (a.u.list->count != b.u.list->count) return false;
        jj_deeper(j);
        jj_work(j, a.u.list->count);
        for (size_t i = 0; same && i < a.u.list->count; i++)
            same = jv_equal(j, a.u.list->item[i], b.u.list->item[i]);
        jj_back(j);
        return same;
    case J_DICT:
        jj_deeper(j);
        jj_work(j, a.u.dict->count);
        same = dicts_equal(j, a.u.dict, b.u.dict);
        jj_back(j);
        return same;
    case J_RANGE: {
        const JRange *x = a.u.range, *y = b.u.range;
        return x->count == y->count &&
               (x->count == 0 || (x->start == y->start && (x->count == 1 || x->step == y->step)));
    }
    case J_VIEW: { /* keys and items are sets */
        const JView *x = a.u.view, *y = b.u.view;
        if (x == y || x->kind != y->kind || x->kind == VIEW_VALUES) return x == y;
        if (x->kind == VIEW_ITEMS) return dicts_equal(j, x->dict, y->dict);
        for (size_t i = 0; same && i < x->dict->count; i++) same = jd_get(j, y->dict, x->dict->entry[i].key) != NULL;
        return same && x->dict->count == y->dict->count;
    }
    default: return a.u.s == b.u.s;
    }
}

int jv_order(Jinja *j, JValue a, JValue b) {
    if (a.kind == J_STRING && b.kind == J_STRING) {
        jj_work(j, a.u.s->bytes / 64);
        return js_order(a.u.s, b.u.s);
    }
    if (jv_is_number(a) && jv_is_number(b)) return jn_order(j, a, b);
    if (a.kind == J_UNDEFINED || b.kind == J_UNDEFINED) jj_fail(j, "cannot compare an undefined value");
    if (a.kind != b.kind || (a.kind != J_LIST && a.kind != J_TUPLE))
        jj_fail(j, "cannot compare %s and %s", jv_type(a), jv_type(b));
    const JList *x = a.u.list, *y = b.u.list;
    for (size_t i = 0; i < x->count && i < y->count; i++) {
        jj_work(j, 1);
        if (jv_equal(j, x->item[i], y->item[i])) continue;
        jj_deeper(j);
        int order = jv_order(j, x->item[i], y->item[i]);
        jj_back(j);
        return order;
    }
    return (x->count > y->count) - (x->count < y->count);
}

int64_t jv_length(Jinja *j, JValue v) {
    (void)j;
    switch (v.kind) {
    case J_UNDEFINED: return 0;
    case J_STRING: return (int64_t)v.u.s->chars;
    case J_LIST: case J_TUPLE: return (int64_t)v.u.list->count;
    case J_DICT: return (int64_t)v.u.dict->count;
    case J_RANGE: return v.u.range->count;
    case J_VIEW: return (int64_t)v.u.view->dict->count;
    default: return -1;
    }
}

static JList *view_items(Jinja *j, const JDict *d, JViewKind kind) {
    JList *list = jl_new(j, d->count);
    jj_work(j, d->count);
    for (size_t i = 0; i < d->count; i++) {
        JValue v = kind == VIEW_KEYS ? d->entry[i].key : d->entry[i].value;
        if (kind == VIEW_ITEMS) {
            JList *pair = jl_new(j, 2);
            jl_add(j, pair, d->entry[i].key);
            jl_add(j, pair, v);
            v = jv_tuple(pair);
        }
        jl_add(j, list, v);
    }
    return list;
}

static JList *characters(Jinja *j, const JString *s) {
    JList *list = jl_new(j, s->chars);
    JChar c = {0};
    jj_work(j, s->chars);
    while (js_next(s, &c)) {
        JString *one = jj_new(j, 1, sizeof *one);
        *one = (JString){.text = s->text + c.at,
                         .bytes = (size_t)c.bytes,
                         .chars = 1,
                         .mark = c.mark}; /* not markup, as in Python */
        jl_add(j, list, jv_string(one));
    }
    return list;
}

const JList *jv_items_or_null(Jinja *j, JValue v) {
    JList *list;
    switch (v.kind) {
    case J_UNDEFINED: return jl_new(j, 0);
    case J_STRING: return characters(j, v.u.s);
    case J_LIST: case J_TUPLE: return v.u.list;
    case J_DICT: return view_items(j, v.u.dict, VIEW_KEYS);
    case J_VIEW: return view_items(j, v.u.view->dict, v.u.view->kind);
    case J_RANGE:
        list = jl_new(j, (size_t)v.u.range->count);
        jj_work(j, (size_t)v.u.range->count);
        for (int64_t i = 0; i < v.u.range->count; i++) jl_add(j, list, jv_int(v.u.range->start + i * v.u.range->step));
        return list;
    case J_ITERATOR: {
        JIterator *i = jv_started(j, v);
        list = jl_new(j, i->list->count - i->at);
        while (i->at < i->list->count) jl_add(j, list, i->list->item[i->at++]);
        return list;
    }
    default: return NULL;
    }
}

const JList *jv_items(Jinja *j, JValue v) {
    const JList *list = jv_items_or_null(j, v);
    if (!list) jj_fail(j, "%s is not iterable", jv_type(v));
    return list;
}

bool jv_contains(Jinja *j, JValue whole, JValue item) {
    if (whole.kind == J_STRING) {
        if (item.kind != J_STRING) jj_fail(j, "'in <string>' needs a string on the left, got %s", jv_type(item));
        return js_find(j, whole.u.s, item.u.s, 0, whole.u.s->bytes) != SIZE_MAX;
    }
    const JDict *d = whole.kind == J_DICT                                      ? whole.u.dict
                     : whole.kind == J_VIEW && whole.u.view->kind == VIEW_KEYS ? whole.u.view->dict
                                                                               : NULL;
    if (d && !jv_hashable(j, item)) jj_fail(j, "a %s cannot be a key of a mapping", jv_type(item));
    if (d) return jd_get(j, d, item) != NULL;
    const JList *list = jv_items_or_null(j, whole);
    if (!list) jj_fail(j, "'in' needs a sequence or mapping on the right, got %s", jv_type(whole));
    for (size_t i = 0; i < list->count; i++) {
        jj_work(j, 1);
        if (jv_equal(j, list->item[i], item)) return true;
    }
    return false;
}

/* ---- From JSON -------------------------------------------------------------------------------------------------- */

/* Roles that templates write into control tokens ("<|user|>"): these words alone are the template's own where they
 * come as a "role". */
static bool is_role(const char *key, const json_t *value) {
    static const char *const roles[] = {"system", "user", "assistant", "tool", "developer", "function", "ipython",
                                        "model", "environment", "observation", "tool_response", "documents"};
    const char *text = json_string_value(value);
    for (size_t i = 0; text && !strcmp(key, "role") && i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(text, roles[i])) return true;
    return false;
}

static JValue number_from(Jinja *j, const char *digits, bool data) {
    JValue v;
    if (strpbrk(digits, ".eE")) v = jv_real(digits[0] == '-' ? -(double)INFINITY : (double)INFINITY);
    else if (!jn_parse_int(j, digits, strlen(digits), 10, &v)) jj_fail(j, "not a number: %.40s", digits);
    v.data = data;
    return v;
}

JValue jv_from_json(Jinja *j, const json_t *json, bool data) {
    const char *key;
    json_t *item;
    size_t i;
    JValue v = jv_none();
    jj_work(j, 1);
    switch (json ? json_typeof(json) : JSON_NULL) {
    case JSON_NULL: return v;
    case JSON_TRUE: case JSON_FALSE: v = jv_bool(json_is_true(json)); break;
    case JSON_INTEGER: v = jv_int(json_integer_value(json)); break;
    case JSON_REAL: v = jv_real(json_real_value(json)); break;
    case JSON_STRING:
        if (json_number_spelling(json)) return number_from(j, json_number_spelling(json), data);
        return jv_string(js_new(j, json_string_value(json), json_string_length(json), data ? MARK_DATA : 0));
    case JSON_ARRAY: {
        JList *list = jl_new(j, json_array_size(json));
        jj_deeper(j);
        json_array_foreach(json, i, item) jl_add(j, list, jv_from_json(j, item, data));
        jj_back(j);
        return jv_list(list);
    }
    case JSON_OBJECT: {
        JDict *dict = jd_new(j);
        jj_deeper(j);
        json_object_foreach((json_t *)(uintptr_t)json, key, item)
            jd_set(j, dict, jv_string(js_new(j, key, strlen(key), data ? MARK_DATA : 0)),
                   jv_from_json(j, item, data && !is_role(key, item)));
        jj_back(j);
        return jv_dict(dict);
    }
    }
    v.data = data;
    return v;
}
