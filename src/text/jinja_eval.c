/* jinja_eval.c: expressions. */
#include "jinja_eval.h"

static JValue name_value(Jinja *j, const JNode *n) {
    JRender *r = j->render;
    for (const JScope *s = r->scope; s; s = s->outer)
        for (const JBinding *b = s->first; b; b = b->next)
            if (b->id == n->id) return b->value.kind == J_MISSING ? jv_undefined(n->value.u.s) : b->value;
    JValue v = r->context[n->id];
    return v.kind == J_MISSING ? jv_undefined(n->value.u.s) : v;
}

static JList *list_value(Jinja *j, const JNodes *nodes) {
    JList *list = jl_new(j, nodes->count);
    for (size_t i = 0; i < nodes->count; i++) jl_add(j, list, jj_eval(j, nodes->item[i]));
    return list;
}

static JValue dict_value(Jinja *j, const JNodes *nodes) {
    JDict *d = jd_new(j);
    for (size_t i = 0; i + 1 < nodes->count; i += 2) {
        JValue key = jj_eval(j, nodes->item[i]);
        jd_set(j, d, key, jj_eval(j, nodes->item[i + 1]));
    }
    return jv_dict(d);
}

static bool holds(Jinja *j, JComparison op, JValue a, JValue b) {
    int order;
    if (op == COMPARE_EQ || op == COMPARE_NE) return jv_equal(j, a, b) == (op == COMPARE_EQ);
    if (op == COMPARE_IN || op == COMPARE_NOT_IN) return jv_contains(j, b, a) == (op == COMPARE_IN);
    order = jv_order(j, a, b);
    switch (op) {
    case COMPARE_LT: return order == -1;
    case COMPARE_LE: return order == -1 || order == 0;
    case COMPARE_GT: return order == 1;
    default: return order == 1 || order == 0;
    }
}

/* a < b < c: every value once, up to the first pair that does not hold. */
static JValue compare(Jinja *j, const JNode *n) {
    JValue left = jj_eval(j, n->list.item[0]);
    for (size_t i = 1; i < n->list.count; i++) {
        JValue right = jj_eval(j, n->list.item[i]->a);
        if (!holds(j, (JComparison)n->list.item[i]->op, left, right)) return jv_bool(false);
        left = right;
    }
    return jv_bool(true);
}

static JValue concat(Jinja *j, const JNode *n) {
    JBuilder b = {.j = j};
    for (size_t i = 0; i < n->list.count; i++) jv_show(j, &b, jj_eval(j, n->list.item[i]));
    return jv_string(jb_finish(&b));
}

/* ---- Calls ------------------------------------------------------------------------------------------------------ */

typedef struct Named { JNamedValue *item; size_t count, room; } Named;

static void add_named(Jinja *j, Named *list, const JString *name, JValue v) {
    for (size_t i = 0; i < list->count; i++)
        if (js_equal(list->item[i].name, name)) jj_fail(j, "an argument is given twice");
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 4;
        JNamedValue *grown = jj_new(j, room, sizeof *grown);
        if (list->count) memcpy(grown, list->item, list->count * sizeof *grown);
        list->item = grown;
        list->room = room;
    }
    list->item[list->count++] = (JNamedValue){name, v};
}

static JArgs args_value(Jinja *j, const JCallNode *n, const JValue *caller) {
    if (!n) return (JArgs){0};
    JList *list = list_value(j, &n->item);
    Named named = {0};
    for (size_t i = 0; i < n->named_count; i++) add_named(j, &named, n->named[i].name, jj_eval(j, n->named[i].value));
    if (caller) add_named(j, &named, js_new(j, "caller", 6, 0), *caller);
    if (n->star) {
        const JList *more = jv_items(j, jj_eval(j, n->star));
        for (size_t i = 0; i < more->count; i++) jl_add(j, list, more->item[i]);
    }
    JValue map = n->star_star ? jj_eval(j, n->star_star) : jv_none();
    if (n->star_star && map.kind != J_DICT) jj_fail(j, "**: expected a mapping, got %s", jv_type(map));
    for (size_t i = 0; n->star_star && i < map.u.dict->count; i++)
        add_named(j, &named, jj_string(j, map.u.dict->entry[i].key, "**: a name"), map.u.dict->entry[i].value);
    return (JArgs){list->item, list->count, named.item, named.count};
}

/* What a call is of, for errors. */
static const JString *callee_name(const JNode *n) {
    return n->kind == NODE_NAME || n->kind == NODE_ATTRIBUTE ? n->value.u.s : NULL;
}

JValue jj_eval_call(Jinja *j, const JNode *n, const JValue *caller) {
    JValue callee = jj_eval(j, n->a);
    JArgs args = args_value(j, n->args, caller);
    j->line = n->line;
    return jj_call(j, callee, &args, callee_name(n->a));
}

static JValue item_value(Jinja *j, const JNode *n) {
    JValue v = jj_eval(j, n->a), parts[3];
    if (n->b->kind != NODE_SLICE) {
        JValue key = jj_eval(j, n->b);
        j->line = n->line;
        return jj_item(j, v, key);
    }
    const JNode *ends[3] = {n->b->a, n->b->b, n->b->c};
    for (int i = 0; i < 3; i++) parts[i] = ends[i] ? jj_eval(j, ends[i]) : jv_none();
    j->line = n->line;
    return jj_slice(j, v, parts[0], parts[1], parts[2]);
}

static JValue eval(Jinja *j, const JNode *n) {
    JValue v;
    switch ((JNodeKind)n->kind) {
    case NODE_CONST: return n->value;
    case NODE_NAME: return name_value(j, n);
    case NODE_LIST: return jv_list(list_value(j, &n->list));
    case NODE_TUPLE: return jv_tuple(list_value(j, &n->list));
    case NODE_DICT: return dict_value(j, &n->list);
    case NODE_NOT: return jv_bool(!jv_true(j, jj_eval(j, n->a)));
    case NODE_NEGATE: return jn_negate(j, jj_eval(j, n->a));
    case NODE_PLUS:
        v = jj_eval(j, n->a);
        if (!jv_is_number(v)) jj_fail(j, "+: expected a number, got %s", jv_type(v));
        return v.kind == J_BOOL ? jv_int(v.u.b) : v;
    case NODE_BINARY:
        v = jj_eval(j, n->a);
        return jn_binary(j, (JOp)n->op, v, jj_eval(j, n->b));
    case NODE_AND: return jv_true(j, v = jj_eval(j, n->a)) ? jj_eval(j, n->b) : v;
    case NODE_OR: return jv_true(j, v = jj_eval(j, n->a)) ? v : jj_eval(j, n->b);
    case NODE_CONCAT: return concat(j, n);
    case NODE_COMPARE: return compare(j, n);
    case NODE_CONDITION:
        if (jv_true(j, jj_eval(j, n->b))) return jj_eval(j, n->a);
        return n->c ? jj_eval(j, n->c) : jv_undefined(NULL);
    case NODE_ATTRIBUTE: return jj_attribute(j, jj_eval(j, n->a), n->value.u.s);
    case NODE_ITEM: return item_value(j, n);
    case NODE_CALL: return jj_eval_call(j, n, NULL);
    case NODE_FILTER: {
        v = jj_eval(j, n->a);
        JArgs args = args_value(j, n->args, NULL);
        j->line = n->line;
        return jj_apply_filter(j, n->value.u.s, n->row, v, &args);
    }
    case NODE_TEST: {
        v = jj_eval(j, n->a);
        JArgs args = args_value(j, n->args, NULL);
        j->line = n->line;
        return jv_bool(jj_apply_test(j, n->value.u.s, n->row, v, &args));
    }
    case NODE_SLICE: jj_fail(j, "a slice stands alone between [ and ]");
    default: jj_fail(j, "no expression");
    }
}

JValue jj_eval(Jinja *j, const JNode *n) {
    jj_work(j, 1);
    jj_deeper(j);
    j->line = n->line;
    JValue v = eval(j, n);
    jj_back(j);
    return v;
}

/* Filters of a block or of a set, applied from the inside out. */
JValue jj_eval_filters(Jinja *j, const JNode *n, JValue v) {
    jj_deeper(j);
    if (n->a) v = jj_eval_filters(j, n->a, v);
    JArgs args = args_value(j, n->args, NULL);
    j->line = n->line;
    v = jj_apply_filter(j, n->value.u.s, n->row, v, &args);
    jj_back(j);
    return v;
}
