/* jinja_scope.c: which names a scope hides from its beginning. Jinja decides when a template is compiled where a name
 * lives: one that is set in a scope before it is read there, and not just in a branch of an if, is the scope's own
 * from its first line on, undefined until it is set, whatever the variables of the rendering are; unless a scope
 * around it has the name too. */
#include "jinja_eval.h"

typedef struct Frame {
    Jinja *j;
    const struct Frame *outer;
    JDict *seen;     /* names read or set here, by number     */
    JList *hidden;
    JNodes inner;    /* statements with scopes of their own   */
    bool branch;     /* inside an if                          */
} Frame;

static void visit(Frame *f, JNode *n);

static bool is_seen(const Frame *f, int id) {
    for (; f; f = f->outer)
        if (jd_get(f->j, f->seen, jv_int(id))) return true;
    return false;
}

static void see(Frame *f, int id) { jd_set(f->j, f->seen, jv_int(id), jv_none()); }

static void store(Frame *f, int id) {
    if (!f->branch && !is_seen(f, id)) jl_add(f->j, f->hidden, jv_int(id));
    see(f, id);
}

/* `own`: the names are parameters of the scope. */
static void visit_target(Frame *f, const JNode *n, bool own) {
    for (size_t i = 0; n->kind == NODE_TUPLE && i < n->list.count; i++) visit_target(f, n->list.item[i], own);
    if (n->kind == NODE_NAME && !own) store(f, n->id);
    else if (n->kind == NODE_NAME || n->kind == NODE_MEMBER) see(f, n->id);
}

static void visit_all(Frame *f, const JNodes *list) {
    for (size_t i = 0; i < list->count; i++) visit(f, list->item[i]);
}

static void visit_call(Frame *f, const JCallNode *args) {
    if (!args) return;
    visit_all(f, &args->item);
    for (size_t i = 0; i < args->named_count; i++) visit(f, args->named[i].value);
    visit(f, args->star);
    visit(f, args->star_star);
}

static void push(Frame *f, JNode *n) {
    if (f->inner.count == f->inner.room) {
        size_t room = f->inner.room ? 2 * f->inner.room : 8;
        JNode **grown = jj_new(f->j, room, sizeof *grown);
        if (f->inner.count) memcpy(grown, f->inner.item, f->inner.count * sizeof *grown);
        f->inner.item = grown;
        f->inner.room = room;
    }
    f->inner.item[f->inner.count++] = n;
}

/* What of a statement is seen in the scope around it. */
static void visit(Frame *f, JNode *n) {
    if (!n) return;
    jj_deeper(f->j);
    jj_work(f->j, 1);
    bool branch = f->branch;
    switch ((JNodeKind)n->kind) {
    case NODE_NAME: see(f, n->id); break;
    case NODE_FOR: visit(f, n->b); push(f, n); break;
    case NODE_IF:
        visit(f, n->list.item[0]->a);
        f->branch = true;
        for (size_t i = 0; i < n->list.count; i++) {
            if (i) visit(f, n->list.item[i]->a);
            visit_all(f, &n->list.item[i]->list);
        }
        visit_all(f, &n->other);
        f->branch = branch;
        break;
    case NODE_SET:
        visit(f, n->b);
        visit_target(f, n->a, false);
        break;
    case NODE_SET_BLOCK: visit_target(f, n->a, false); push(f, n); break;
    case NODE_MACRO: store(f, n->id); push(f, n); break;
    case NODE_CALL_BLOCK: visit(f, n->a); push(f, n->b); break;
    case NODE_FILTER_BLOCK: visit(f, n->a); push(f, n); break;
    case NODE_WITH:
        for (size_t i = 1; i < n->other.count; i += 2) visit(f, n->other.item[i]);
        push(f, n);
        break;
    case NODE_SCOPE: case NODE_GENERATION: push(f, n); break;
    default:
        visit(f, n->a);
        visit(f, n->b);
        visit(f, n->c);
        visit_call(f, n->args);
        visit_all(f, &n->list);
    }
    jj_back(f->j);
}

static void finish(Frame *f, JNodes *body) {
    body->hidden = f->hidden->item;
    body->hidden_count = f->hidden->count;
}

static Frame frame_in(const Frame *outer) {
    return (Frame){.j = outer->j, .outer = outer, .seen = jd_new(outer->j), .hidden = jl_new(outer->j, 0)};
}

static void see_text(Frame *f, const JDict *names, const char *name) {
    const JValue *id = jd_text(f->j, names, name);
    if (id) see(f, (int)id->u.i);
}

/* The scopes of a statement that stands in `outer`. */
static void enter(const Frame *outer, JNode *n, const JDict *names) {
    Frame f = frame_in(outer);
    if (n->kind == NODE_FOR) {
        visit_target(&f, n->a, true);
        see(&f, n->id);
    }
    for (size_t i = 0; n->kind == NODE_WITH && i < n->other.count; i += 2) visit_target(&f, n->other.item[i], true);
    if (n->kind == NODE_MACRO) {
        for (size_t i = 0; i < n->params->count; i++) see(&f, n->params->id[i]);
        if (n->params->uses & USES_CALLER) see_text(&f, names, "caller");
        if (n->params->uses & USES_KWARGS) see_text(&f, names, "kwargs");
        if (n->params->uses & USES_VARARGS) see_text(&f, names, "varargs");
        for (size_t i = 0; i < n->params->count; i++) visit(&f, n->params->otherwise[i]);
    }
    visit_all(&f, &n->list);
    if (n->kind == NODE_FILTER_BLOCK) visit(&f, n->a);
    finish(&f, &n->list);
    for (size_t i = 0; i < f.inner.count; i++) enter(&f, f.inner.item[i], names);
    if (n->kind != NODE_FOR || !n->other.count) return;
    Frame other = frame_in(outer);
    visit_all(&other, &n->other);
    finish(&other, &n->other);
    for (size_t i = 0; i < other.inner.count; i++) enter(&other, other.inner.item[i], names);
}

void jp_scopes(JParser *p) {
    Frame f = {.j = p->j, .seen = jd_new(p->j), .hidden = jl_new(p->j, 0)};
    visit_all(&f, &p->t->body);
    finish(&f, &p->t->body);
    for (size_t i = 0; i < f.inner.count; i++) enter(&f, f.inner.item[i], p->t->names);
}
