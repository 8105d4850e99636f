/* jinja_run.c: statements, and a rendering from its beginning to its end. */
#include <stdlib.h>
#include "jinja_eval.h"

/* ---- Scopes ----------------------------------------------------------------------------------------------------- */

JScope *jj_scope_enter(Jinja *j, JScope *outer) {
    JRender *r = j->render;
    JScope *s = r->spare_scope, *before = r->scope;
    if (s) r->spare_scope = s->outer;
    else s = jj_new(j, 1, sizeof *s);
    *s = (JScope){.outer = outer};
    r->scope = s;
    return before;
}

void jj_scope_leave(Jinja *j, JScope *before) {
    JRender *r = j->render;
    JScope *s = r->scope;
    r->scope = before;
    if (s->kept) return;
    for (JBinding *b = s->first, *next; b; b = next) {
        next = b->next;
        b->next = r->spare;
        r->spare = b;
    }
    *s = (JScope){.outer = r->spare_scope};
    r->spare_scope = s;
}

void jj_define(Jinja *j, int id, JValue value) {
    JRender *r = j->render;
    JBinding *b = r->scope->first;
    while (b && b->id != id) b = b->next;
    if (!b) {
        b = r->spare;
        if (b) r->spare = b->next;
        else b = jj_new(j, 1, sizeof *b);
        *b = (JBinding){r->scope->first, id, value};
        r->scope->first = b;
    }
    b->value = value;
}

void jj_hide(Jinja *j, const JNodes *body) {
    for (size_t i = 0; i < body->hidden_count; i++) jj_define(j, (int)body->hidden[i].u.i, (JValue){.kind = J_MISSING});
}

static JValue lookup(Jinja *j, int id) {
    JRender *r = j->render;
    for (const JScope *s = r->scope; s; s = s->outer)
        for (const JBinding *b = s->first; b; b = b->next)
            if (b->id == id) return b->value;
    return r->context[id];
}

void jj_assign(Jinja *j, const JNode *target, JValue value) {
    j->line = target->line;
    jj_work(j, 1);
    if (target->kind == NODE_NAME) jj_define(j, target->id, value);
    else if (target->kind == NODE_MEMBER) {
        JValue ns = lookup(j, target->id);
        if (ns.kind != J_NAMESPACE) jj_fail(j, "cannot set an attribute of what is no namespace");
        jd_set(j, ns.u.dict, target->value, value);
    } else {
        const JList *list = jv_items(j, value);
        if (list->count != target->list.count)
            jj_fail(j, "expected %zu values to set, got %zu", target->list.count, list->count);
        jj_deeper(j);
        for (size_t i = 0; i < list->count; i++) jj_assign(j, target->list.item[i], list->item[i]);
        jj_back(j);
    }
}

/* ---- Loops ------------------------------------------------------------------------------------------------------ */

/* A macro or a loop that outlives the scope it stands in still sees it. */
static void keep(JScope *s) {
    for (; s && !s->kept; s = s->outer) s->kept = true;
}

/* The next item that the loop's `if` lets through; J_MISSING at the end. */
static JValue fetch(Jinja *j, JLoop *l) {
    while (l->at < l->source->count) {
        JValue v = l->source->item[l->at++];
        if (!l->filtered) return v;
        JScope *before = jj_scope_enter(j, l->scope);
        jj_assign(j, l->node->a, v);
        bool taken = jv_true(j, jj_eval(j, l->node->c));
        jj_scope_leave(j, before);
        if (taken) return v;
    }
    return (JValue){.kind = J_MISSING};
}

JValue jj_loop_after(Jinja *j, JLoop *l) {
    if (l->after.kind == J_MISSING) l->after = fetch(j, l);
    return l->after;
}

bool jj_loop_next(Jinja *j, JLoop *l) {
    JValue v = jj_loop_after(j, l);
    if (v.kind == J_MISSING) return false;
    l->before = l->now;
    l->now = v;
    l->after = (JValue){.kind = J_MISSING};
    l->index0++;
    return true;
}

int64_t jj_loop_length(Jinja *j, JLoop *l) {
    if (l->length >= 0) return l->length;
    if (l->filtered) { /* all of the rest is looked at now */
        JList *rest = jl_new(j, 0);
        for (JValue v; (v = fetch(j, l)).kind != J_MISSING;) jl_add(j, rest, v);
        l->source = rest;
        l->at = 0;
        l->filtered = false;
        l->length = (int64_t)rest->count + l->index0 + 1 + (l->after.kind != J_MISSING);
    } else l->length = (int64_t)l->source->count;
    return l->length;
}

static JFlow run_for(Jinja *j, const JNode *n, JScope *scope, JValue items, int64_t depth0) {
    JIterator *used = items.kind == J_ITERATOR ? jv_started(j, items) : NULL;
    size_t used_from = used ? used->at : 0;
    JLoop *l = jj_new(j, 1, sizeof *l);
    *l = (JLoop){.node = n, .scope = scope, .source = jv_items(j, items), .index0 = -1, .length = -1, .depth0 = depth0,
                 .filtered = n->c != NULL};
    JRender *r = j->render;
    JScope *outside = r->scope;
    JFlow flow = FLOW_ON;
    if (n->op || n->c) keep(scope);
    while (flow != FLOW_BREAK && jj_loop_next(j, l)) {
        jj_work(j, 1);
        jj_scope_enter(j, scope);
        jj_hide(j, &n->list);
        jj_define(j, n->id, J_VALUE(J_LOOP, loop, l));
        jj_assign(j, n->a, l->now);
        flow = jj_run_body(j, &n->list);
        jj_scope_leave(j, outside);
    }
    if (used && flow == FLOW_BREAK && !l->filtered && l->length < 0) used->at = used_from + l->at;
    if (l->index0 >= 0 || !n->other.count) return FLOW_ON;
    jj_scope_enter(j, scope);
    jj_hide(j, &n->other);
    flow = jj_run_body(j, &n->other);
    jj_scope_leave(j, outside);
    return flow;
}

/* ---- Output ----------------------------------------------------------------------------------------------------- */

/* From here to capture_end output goes into `b`. */
static JBuilder *capture(Jinja *j, JBuilder *b) {
    JBuilder *before = j->render->out;
    *b = (JBuilder){.j = j, .generation = j->render->generation};
    j->render->out = b;
    return before;
}

static JValue captured(Jinja *j, JBuilder *b, JBuilder *before) {
    j->render->out = before;
    return jv_string(jb_finish(b));
}

JValue jj_loop_again(Jinja *j, const JLoop *l, JValue items) {
    JBuilder b, *before = capture(j, &b);
    JScope *scope = j->render->scope;
    j->render->scope = l->scope;
    run_for(j, l->node, l->scope, items, l->depth0 + 1);
    j->render->scope = scope;
    return captured(j, &b, before);
}

/* ---- Macros ----------------------------------------------------------------------------------------------------- */

static JValue macro_of(Jinja *j, const JNode *n) {
    JMacro *m = jj_new(j, 1, sizeof *m);
    *m = (JMacro){n, j->render->scope, n->value.kind == J_STRING ? n->value.u.s : NULL};
    keep(m->scope);
    return J_VALUE(J_MACRO, macro, m);
}

static const JValue *named(const JArgs *args, const JString *name) {
    for (size_t i = 0; i < args->named_count; i++)
        if (js_equal(args->named[i].name, name)) return &args->named[i].value;
    return NULL;
}

static void define_text(Jinja *j, const char *name, JValue v) {
    const JValue *id = jd_text(j, j->render->t->names, name);
    if (id) jj_define(j, (int)id->u.i, v);
}

/* Arguments beyond the parameters: into varargs, kwargs and caller where the body uses them, else an error. */
static void macro_extra(Jinja *j, const JMacro *m, const JArgs *args, const JString *name) {
    const JParams *p = m->node->params;
    JList *rest = jl_new(j, 0);
    JDict *more = jd_new(j);
    bool caller_named = false;
    JValue caller = jv_undefined(NULL);
    for (size_t i = 0; i < p->count; i++) caller_named = caller_named || js_is(p->name[i], "caller");
    for (size_t i = p->count; i < args->count; i++) jl_add(j, rest, args->item[i]);
    for (size_t i = 0; i < args->named_count; i++) {
        const JString *given = args->named[i].name;
        bool known = false;
        for (size_t k = args->count; k < p->count; k++) known = known || js_equal(p->name[k], given);
        if (known) continue;
        if (js_is(given, "caller") && (p->uses & USES_CALLER) && !caller_named) {
            caller = args->named[i].value;
            continue;
        }
        if (!(p->uses & USES_KWARGS))
            jj_fail(j, "%s takes no argument named %s", name ? name_text(name->text, name->bytes).text : "a macro",
                    name_text(given->text, given->bytes).text);
        jd_set(j, more, jv_string(given), args->named[i].value);
    }
    if (rest->count && !(p->uses & USES_VARARGS))
        jj_fail(j, "%s takes at most %zu arguments, got %zu",
                name ? name_text(name->text, name->bytes).text : "a macro", p->count, args->count);
    if ((p->uses & USES_CALLER) && !caller_named) define_text(j, "caller", caller);
    if (p->uses & USES_KWARGS) define_text(j, "kwargs", jv_dict(more));
    if (p->uses & USES_VARARGS) define_text(j, "varargs", jv_tuple(rest));
}

JValue jj_run_macro(Jinja *j, const JMacro *m, const JArgs *args) {
    const JParams *p = m->node->params;
    JBuilder b, *before = capture(j, &b);
    jj_deeper(j);
    JScope *outside = jj_scope_enter(j, m->scope);
    jj_hide(j, &m->node->list);
    for (size_t i = 0; i < p->count; i++) {
        const JValue *given = i < args->count ? &args->item[i] : named(args, p->name[i]);
        jj_define(j, p->id[i], given ? *given : (JValue){.kind = J_MISSING});
    }
    macro_extra(j, m, args, m->name);
    for (size_t i = 0; i < p->count; i++)
        if (i >= args->count && !named(args, p->name[i]) && p->otherwise[i])
            jj_define(j, p->id[i], jj_eval(j, p->otherwise[i])); /* sees the parameters before it */
    jj_run_body(j, &m->node->list);
    jj_scope_leave(j, outside);
    jj_back(j);
    return captured(j, &b, before);
}

/* ---- Statements ------------------------------------------------------------------------------------------------- */

static void run_output(Jinja *j, const JNodes *list) {
    for (size_t i = 0; i < list->count; i++) {
        const JNode *n = list->item[i];
        jv_show(j, j->render->out, n->kind == NODE_CONST ? n->value : jj_eval(j, n));
    }
}

static JFlow run_if(Jinja *j, const JNode *n) {
    for (size_t i = 0; i < n->list.count; i++)
        if (jv_true(j, jj_eval(j, n->list.item[i]->a))) return jj_run_body(j, &n->list.item[i]->list);
    return jj_run_body(j, &n->other);
}

static JFlow run_scoped(Jinja *j, JScope *outer, const JNodes *list) {
    JScope *outside = jj_scope_enter(j, outer);
    jj_hide(j, list);
    JFlow flow = jj_run_body(j, list);
    jj_scope_leave(j, outside);
    return flow;
}

/* {% set x %}..{% endset %} and {% filter %}: a body's text, through filters. A break inside drops it. */
static JFlow run_capture(Jinja *j, const JNode *n, const JNode *filters) {
    JBuilder b, *before = capture(j, &b);
    JFlow flow = run_scoped(j, j->render->scope, &n->list);
    JValue v = captured(j, &b, before);
    if (flow != FLOW_ON) return flow;
    if (filters) v = jj_eval_filters(j, filters, v);
    if (n->kind == NODE_SET_BLOCK) jj_assign(j, n->a, v);
    else jv_show(j, before, v);
    return flow;
}

static JFlow run_with(Jinja *j, const JNode *n) {
    JRender *r = j->render;
    JScope *outside = r->scope;
    JList *values = jl_new(j, n->other.count / 2);
    for (size_t i = 0; i + 1 < n->other.count; i += 2) jl_add(j, values, jj_eval(j, n->other.item[i + 1]));
    jj_scope_enter(j, outside);
    jj_hide(j, &n->list);
    for (size_t i = 0; i < values->count; i++) jj_assign(j, n->other.item[2 * i], values->item[i]);
    JFlow flow = jj_run_body(j, &n->list);
    jj_scope_leave(j, outside);
    return flow;
}

/* The assistant's part. What goes straight into the prompt has its place at once; what is captured first (in a macro)
 * carries a number to where it comes out. */
static void run_generation(Jinja *j, const JNode *n) {
    JRender *r = j->render;
    if (r->out != r->whole) {
        uint32_t before = r->generation, before_out = r->out->generation;
        if (r->generations == UINT32_MAX / MARK_GENERATION - 1) jj_fail(j, "too many generation blocks");
        r->generation = r->out->generation = ++r->generations * MARK_GENERATION;
        run_scoped(j, r->scope, &n->list);
        r->generation = before;
        r->out->generation = before_out;
        return;
    }
    size_t start = r->whole->bytes;
    run_scoped(j, r->scope, &n->list);
    if (r->direct_count == r->direct_room) {
        size_t room = r->direct_room ? 2 * r->direct_room : 8;
        Span *grown = jj_new(j, room, sizeof *grown);
        if (r->direct_count) memcpy(grown, r->direct, r->direct_count * sizeof *grown);
        r->direct = grown;
        r->direct_room = room;
    }
    r->direct[r->direct_count++] = (Span){start, r->whole->bytes};
}

static JFlow run(Jinja *j, const JNode *n) {
    switch ((JNodeKind)n->kind) {
    case NODE_OUTPUT: run_output(j, &n->list); break;
    case NODE_FOR: return run_for(j, n, j->render->scope, jj_eval(j, n->b), 0);
    case NODE_IF: return run_if(j, n);
    case NODE_SET: jj_assign(j, n->a, jj_eval(j, n->b)); break;
    case NODE_SET_BLOCK: return run_capture(j, n, n->b);
    case NODE_FILTER_BLOCK: return run_capture(j, n, n->a);
    case NODE_MACRO: jj_define(j, n->id, macro_of(j, n)); break;
    case NODE_CALL_BLOCK: {
        JValue caller = macro_of(j, n->b);
        jv_show(j, j->render->out, jj_eval_call(j, n->a, &caller));
        break;
    }
    case NODE_WITH: return run_with(j, n);
    case NODE_SCOPE: return run_scoped(j, n->op ? j->render->scope : j->render->outermost, &n->list);
    case NODE_GENERATION: run_generation(j, n); break;
    case NODE_BREAK: return FLOW_BREAK;
    case NODE_CONTINUE: return FLOW_CONTINUE;
    case NODE_REFUSED: jj_fail(j, "%.*s", (int)n->value.u.s->bytes, n->value.u.s->text);
    default: jj_fail(j, "no statement");
    }
    return FLOW_ON;
}

JFlow jj_run_body(Jinja *j, const JNodes *body) {
    JFlow flow = FLOW_ON;
    jj_deeper(j);
    for (size_t i = 0; flow == FLOW_ON && i < body->count; i++) {
        jj_work(j, 1);
        j->line = body->item[i]->line;
        flow = run(j, body->item[i]);
    }
    jj_back(j);
    return flow;
}
