/* jinja_statement.c: statements, and what is wrong with a template before it runs. */
#include <stdlib.h>
#include "jinja_eval.h"
#include "unicode.h"

/* ---- Bodies ----------------------------------------------------------------------------------------------------- */

static JNode *statement(JParser *p);

/* Reads up to a block that begins with one of `ends` (names parted by spaces), at which p->at then stands, or with ""
 * to the end of the template. */
static void body(JParser *p, const char *ends, JNodes *out) {
    JNode *output = NULL;
    jj_deeper(p->j);
    for (;;) {
        const JToken *t = p->at;
        p->j->line = t->line;
        jj_work(p->j, 1);
        if (t->kind == TOKEN_END) {
            if (*ends) jj_fail(p->j, "the template ends inside a block: expected %s", ends);
            break;
        }
        p->at++;
        if (t->kind == TOKEN_BLOCK) {
            output = NULL;
            bool ended = false;
            for (const char *e = ends; *e && p->at->kind == TOKEN_NAME; e += *e == ' ') {
                size_t n = strcspn(e, " ");
                ended = ended || (p->at->value.u.s->bytes == n && !memcmp(p->at->value.u.s->text, e, n));
                e += n;
            }
            if (ended) break;
            JNode *n = statement(p);
            if (n) jp_push(p, out, n);
            if (p->at->kind != TOKEN_BLOCK_END) jp_unexpected(p, "the end of the tag");
            p->at++;
            continue;
        }
        if (!output) jp_push(p, out, output = jp_node(p, NODE_OUTPUT));
        if (t->kind == TOKEN_DATA) {
            JNode *n = jp_node(p, NODE_CONST);
            n->value = t->value;
            jp_push(p, &output->list, n);
            continue;
        }
        jp_push(p, &output->list, jp_tuple(p, 0, NULL));
        if (p->at->kind != TOKEN_VARIABLE_END) jp_unexpected(p, "the end of the tag");
        p->at++;
    }
    jj_back(p->j);
}

/* A statement's body, after its head. */
static void inner(JParser *p, const char *ends, JNodes *out) {
    jp_skip_op(p, ':');
    if (p->at->kind != TOKEN_BLOCK_END) jp_unexpected(p, "the end of the tag");
    p->at++;
    body(p, ends, out);
}
/* One with a single end, which is taken. */
static void whole(JParser *p, const char *end, JNodes *out) {
    inner(p, end, out);
    p->at++;
}

/* ---- Targets ---------------------------------------------------------------------------------------------------- */

static void check_target(JParser *p, const JNode *n) {
    if (n->kind == NODE_NAME || n->kind == NODE_MEMBER) return;
    if (n->kind != NODE_TUPLE) jj_fail(p->j, "expected a name to set");
    for (size_t i = 0; i < n->list.count; i++) check_target(p, n->list.item[i]);
}

static JNode *target(JParser *p, const char *end, bool namespaces) {
    JNode *n = jp_tuple(p, SIMPLE | (namespaces ? NAMESPACES : 0), end);
    check_target(p, n);
    return n;
}

/* ---- Statements ------------------------------------------------------------------------------------------------- */

static JNode *for_of(JParser *p) {
    JNode *n = jp_node(p, NODE_FOR);
    n->a = target(p, "in", false);
    if (!jp_skip_name(p, "in")) jp_unexpected(p, "in");
    n->b = jp_tuple(p, WITHOUT_CONDITION, "recursive");
    if (jp_skip_name(p, "if")) n->c = jp_expression(p);
    n->op = jp_skip_name(p, "recursive");
    n->id = jp_name_id(p, js_new(p->j, "loop", 4, 0));
    inner(p, "endfor else", &n->list);
    bool otherwise = jp_is_name(p, "else");
    p->at++;
    if (otherwise) whole(p, "endfor", &n->other);
    return n;
}

static JNode *if_of(JParser *p) {
    JNode *n = jp_node(p, NODE_IF);
    for (;;) {
        JNode *branch = jp_node(p, NODE_BRANCH);
        branch->a = jp_tuple(p, WITHOUT_CONDITION, NULL);
        inner(p, "elif else endif", &branch->list);
        jp_push(p, &n->list, branch);
        const JString *end = jp_expect_name(p);
        if (js_is(end, "elif")) continue;
        if (js_is(end, "else")) whole(p, "endif", &n->other);
        return n;
    }
}

static JNode *set_of(JParser *p) {
    JNode *n = jp_node(p, NODE_SET);
    n->a = target(p, NULL, true);
    if (jp_skip_op(p, '=')) {
        n->b = jp_tuple(p, 0, NULL);
        return n;
    }
    n->kind = NODE_SET_BLOCK;
    n->b = jp_filters(p, NULL, false);
    whole(p, "endset", &n->list);
    return n;
}

static JParams *params(JParser *p) {
    JParams *list = jj_new(p->j, 1, sizeof *list);
    jp_expect_op(p, '(');
    while (!jp_is_op(p, ')')) {
        if (list->count) jp_expect_op(p, ',');
        const JString *name = jp_expect_name(p);
        if (list->count == list->room) {
            size_t room = list->room ? 2 * list->room : 4;
            JParams grown = {.room = room, .count = list->count, .id = jj_new(p->j, room, sizeof *grown.id),
                             .name = jj_new(p->j, room, sizeof *grown.name),
                             .otherwise = jj_new(p->j, room, sizeof *grown.otherwise)};
            for (size_t i = 0; i < list->count; i++)
                grown.id[i] = list->id[i], grown.name[i] = list->name[i], grown.otherwise[i] = list->otherwise[i];
            *list = grown;
        }
        JNode *otherwise = NULL;
        if (jp_skip_op(p, '=')) otherwise = jp_expression(p);
        else if (list->count && list->otherwise[list->count - 1])
            jj_fail(p->j, "a parameter without a default follows one with it");
        size_t i = list->count++;
        list->name[i] = name;
        list->id[i] = jp_name_id(p, name);
        list->otherwise[i] = otherwise;
    }
    jp_expect_op(p, ')');
    return list;
}

/* A macro's body: what it uses of the call is noticed, and used by those around it too. */
static void macro_body(JParser *p, JNode *n, const char *end) {
    int before = p->uses;
    p->uses = 0;
    whole(p, end, &n->list);
    n->params->uses = p->uses;
    p->uses |= before;
}

static JNode *macro_of(JParser *p) {
    JNode *n = jp_node(p, NODE_MACRO);
    const JString *name = jp_expect_name(p);
    n->id = jp_name_id(p, name);
    n->value = jv_string(name);
    n->params = params(p);
    macro_body(p, n, "endmacro");
    return n;
}

static JNode *call_block(JParser *p) {
    JNode *n = jp_node(p, NODE_CALL_BLOCK), *macro = jp_node(p, NODE_MACRO);
    macro->params = jp_is_op(p, '(') ? params(p) : jj_new(p->j, 1, sizeof(JParams));
    macro->value = jv_none();
    n->a = jp_expression(p);
    n->b = macro;
    if (n->a->kind != NODE_CALL) jj_fail(p->j, "expected a call");
    macro_body(p, macro, "endcall");
    return n;
}

static JNode *with_of(JParser *p) {
    JNode *n = jp_node(p, NODE_WITH);
    while (p->at->kind != TOKEN_BLOCK_END && !jp_is_op(p, ':')) {
        if (n->other.count) jp_expect_op(p, ',');
        JNode *to = jp_tuple(p, SIMPLE, NULL); /* commas would be read as a tuple's: one name each */
        check_target(p, to);
        jp_push(p, &n->other, to);
        jp_expect_op(p, '=');
        jp_push(p, &n->other, jp_expression(p));
    }
    whole(p, "endwith", &n->list);
    return n;
}

static JNode *refused(JParser *p, const char *what) {
    JNode *n = jp_node(p, NODE_REFUSED);
    n->value = jv_text(p->j, what);
    return n;
}

static JNode *autoescape(JParser *p) {
    JNode *n = jp_node(p, NODE_WITH), *on = jp_expression(p);
    if (on->kind != NODE_CONST || jv_true(p->j, on->value))
        jp_push(p, &n->list, refused(p, "autoescape is not supported"));
    whole(p, "endautoescape", &n->list);
    return n;
}

static JNode *block_of(JParser *p) {
    JNode *n = jp_node(p, NODE_SCOPE);
    const JString *name = jp_expect_name(p);
    n->op = jp_skip_name(p, "scoped");
    jp_skip_name(p, "required");
    whole(p, "endblock", &n->list);
    if (p->at->kind == TOKEN_NAME && js_equal(p->at->value.u.s, name)) p->at++;
    return n;
}

static JNode *statement(JParser *p) {
    if (p->at->kind != TOKEN_NAME) jp_unexpected(p, "a statement");
    const JString *name = p->at->value.u.s;
    JNode *n = jp_node(p, NODE_OUTPUT);
    p->at++;
    if (js_is(name, "for")) return for_of(p);
    if (js_is(name, "if")) return if_of(p);
    if (js_is(name, "set")) return set_of(p);
    if (js_is(name, "macro")) return macro_of(p);
    if (js_is(name, "call")) return call_block(p);
    if (js_is(name, "with")) return with_of(p);
    if (js_is(name, "autoescape")) return autoescape(p);
    if (js_is(name, "block")) return block_of(p);
    if (js_is(name, "break")) return n->kind = NODE_BREAK, n;
    if (js_is(name, "continue")) return n->kind = NODE_CONTINUE, n;
    if (js_is(name, "generation")) {
        n->kind = NODE_GENERATION;
        whole(p, "endgeneration", &n->list);
        return n;
    }
    if (js_is(name, "filter")) {
        n->kind = NODE_FILTER_BLOCK;
        n->a = jp_filters(p, NULL, true);
        whole(p, "endfilter", &n->list);
        return n;
    }
    if (js_is(name, "print")) {
        while (p->at->kind != TOKEN_BLOCK_END) {
            if (n->list.count) jp_expect_op(p, ',');
            jp_push(p, &n->list, jp_expression(p));
        }
        return n;
    }
    if (js_is(name, "include") || js_is(name, "import") || js_is(name, "from") || js_is(name, "extends")) {
        while (p->at->kind != TOKEN_BLOCK_END) p->at++;
        return refused(p, "a chat template can take in no other template");
    }
    p->at--;
    p->j->line = p->at->line;
    jj_fail(p->j, "unknown tag '%s'", name_text(name->text, name->bytes).text);
}

/* ---- What is wrong whether or not it is reached ----------------------------------------------------------------- */

/* Filters and tests that do not exist are an error at once, but for those in the branches of an if, where a template
 * may ask first (`if 'x' is filter`). */
typedef struct Check { Jinja *j; bool soft, in_loop; } Check;
static void check(Check c, const JNode *n);

static void check_all(Check c, const JNodes *list) {
    for (size_t i = 0; i < list->count; i++) check(c, list->item[i]);
}

static void check_args(Check c, const JCallNode *args) {
    if (!args) return;
    check_all(c, &args->item);
    for (size_t i = 0; i < args->named_count; i++) check(c, args->named[i].value);
    check(c, args->star);
    check(c, args->star_star);
}

static void check(Check c, const JNode *n) {
    if (!n) return;
    Check body = c, head = c, other = c;
    c.j->line = n->line;
    jj_deeper(c.j);
    switch ((JNodeKind)n->kind) {
    case NODE_BREAK: case NODE_CONTINUE:
        if (!c.in_loop) jj_fail(c.j, "break and continue need a loop around them");
        break;
    case NODE_FILTER: case NODE_TEST:
        if (!n->row && !c.soft)
            jj_fail(c.j, "no %s is named '%s'", n->kind == NODE_FILTER ? "filter" : "test",
                    name_text(n->value.u.s->text, n->value.u.s->bytes).text);
        break;
    case NODE_IF: case NODE_BRANCH: case NODE_CONDITION: head.soft = body.soft = other.soft = true; break;
    case NODE_FOR: body.soft = other.soft = false, body.in_loop = true; break;
    case NODE_MACRO: case NODE_GENERATION: body.soft = body.in_loop = false; break;
    case NODE_SET_BLOCK: case NODE_FILTER_BLOCK: case NODE_WITH: case NODE_SCOPE: body.soft = false; break;
    default: break;
    }
    check(head, n->a);
    check(head, n->b);
    check(head, n->c);
    check_args(head, n->args);
    for (size_t i = 0; n->params && i < n->params->count; i++) check(body, n->params->otherwise[i]);
    check_all(body, &n->list);
    check_all(other, &n->other);
    jj_back(c.j);
}

/* ---- The whole -------------------------------------------------------------------------------------------------- */

/* The text with \n for every line end and without the one at its end. */
static const char *normalise(Jinja *j, const char *text, size_t *bytes) {
    char *out = jj_new(j, *bytes + 1, 1);
    size_t used = 0;
    for (size_t i = 0; i < *bytes; i++) {
        if (text[i] == '\r' && i + 1 < *bytes && text[i + 1] == '\n') continue;
        out[used++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (used && out[used - 1] == '\n') used--;
    *bytes = used;
    return out;
}

static void parse(JParser *p, const char *text, size_t bytes) {
    JTokens tokens = {0};
    text = normalise(p->j, text, &bytes);
    p->t->names = jd_new(p->j);
    p->t->mentioned = jd_new(p->j);
    jinja_lex(p->j, text, bytes, &tokens);
    p->at = tokens.item;
    body(p, "", &p->t->body);
    check_all((Check){.j = p->j}, &p->t->body);
    jp_scopes(p);
}

JinjaTemplate *jinja_parse(const char *text, size_t bytes, Err *err) {
    if (bytes > JINJA_MOST_BYTES || !utf8_valid((const uint8_t *)text, bytes)) {
        err_set(err, "chat template: expected at most %d bytes of UTF-8", JINJA_MOST_BYTES);
        return NULL;
    }
    JinjaTemplate *t = mem_new(1, sizeof *t, "chat template", err);
    if (!t) return NULL;
    Jinja j = {.heap = {.limit = (size_t)256 << 20}, .err = err, .steps = 100 << 20, .line = 1};
    JParser p = {.j = &j, .t = t};
    bool ok = setjmp(j.fail) == 0;
    if (ok) parse(&p, text, bytes);
    t->heap = j.heap;
    for (int i = 0; i < 3; i++) BN_free(j.big[i]);
    BN_CTX_free(j.big_context);
    if (ok) return t;
    jinja_free(t);
    return NULL;
}

void jinja_free(JinjaTemplate *t) {
    if (t) jj_heap_free(&t->heap);
    free(t);
}

bool jinja_mentions(const JinjaTemplate *t, const char *name) {
    Jinja j = {.steps = INT64_MAX};
    return jd_text(&j, t->mentioned, name) != NULL;
}
