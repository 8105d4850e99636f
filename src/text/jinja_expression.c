/* jinja_expression.c: expressions, from the loosest to the tightest: a if b else c; or; and; not; comparisons; + -; ~;
 * * / // %; **; signs; filters and tests; calls, attributes and items. */
#include "jinja_eval.h"

JNode *jp_node(JParser *p, JNodeKind kind) {
    JNode *n = jj_new(p->j, 1, sizeof *n);
    n->kind = (uint8_t)kind;
    n->line = p->j->line = p->at->line;
    return n;
}

void jp_push(JParser *p, JNodes *list, JNode *node) {
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 4;
        JNode **grown = jj_new(p->j, room, sizeof *grown);
        if (list->count) memcpy(grown, list->item, list->count * sizeof *grown);
        list->item = grown;
        list->room = room;
    }
    list->item[list->count++] = node;
}

void jp_mention(JParser *p, JValue text) { jd_set(p->j, p->t->mentioned, text, jv_none()); }

int jp_name_id(JParser *p, const JString *name) {
    const JValue *known = jd_get(p->j, p->t->names, jv_string(name));
    if (known) return (int)known->u.i;
    int id = (int)p->t->names->count;
    jd_set(p->j, p->t->names, jv_string(name), jv_int(id));
    jp_mention(p, jv_string(name));
    return id;
}

/* ---- Looking at tokens ------------------------------------------------------------------------------------------ */

bool jp_is_op(const JParser *p, int op) { return p->at->kind == TOKEN_OPERATOR && p->at->op == op; }
bool jp_is_name(const JParser *p, const char *name) {
    return p->at->kind == TOKEN_NAME && js_is(p->at->value.u.s, name);
}
bool jp_skip_op(JParser *p, int op) { return jp_is_op(p, op) && p->at++; }
bool jp_skip_name(JParser *p, const char *name) { return jp_is_name(p, name) && p->at++; }

_Noreturn void jp_unexpected(JParser *p, const char *expected) {
    const JToken *t = p->at;
    p->j->line = t->line;
    if (t->kind == TOKEN_NAME)
        jj_fail(p->j, "expected %s, got '%s'", expected, name_text(t->value.u.s->text, t->value.u.s->bytes).text);
    if (t->kind == TOKEN_OPERATOR && t->op < 256) jj_fail(p->j, "expected %s, got '%c'", expected, t->op);
    const char *what = t->kind == TOKEN_END                                              ? "the end of the template"
                       : t->kind == TOKEN_VARIABLE_END || t->kind == TOKEN_BLOCK_END     ? "the end of the tag"
                       : t->kind == TOKEN_STRING                                         ? "a string"
                       : t->kind == TOKEN_NUMBER                                         ? "a number"
                       : t->kind == TOKEN_OPERATOR                                       ? "an operator"
                                                                                         : "something else";
    jj_fail(p->j, "expected %s, got %s", expected, what);
}

void jp_expect_op(JParser *p, int op) {
    char text[8];
    snprintf(text, sizeof text, "'%c'", op);
    if (!jp_skip_op(p, op)) jp_unexpected(p, text);
}

const JString *jp_expect_name(JParser *p) {
    if (p->at->kind != TOKEN_NAME) jp_unexpected(p, "a name");
    const JString *name = p->at->value.u.s;
    p->at++;
    if (name->text[0] >= '0' && name->text[0] <= '9') p->at--, jp_unexpected(p, "a name");
    return name;
}

/* ---- Primaries -------------------------------------------------------------------------------------------------- */

static JNode *constant(JParser *p, JValue v) {
    JNode *n = jp_node(p, NODE_CONST);
    n->value = v;
    return n;
}

static JNode *list_of(JParser *p) {
    JNode *n = jp_node(p, NODE_LIST);
    jp_expect_op(p, '[');
    while (!jp_is_op(p, ']')) {
        if (n->list.count) jp_expect_op(p, ',');
        if (jp_is_op(p, ']')) break;
        jp_push(p, &n->list, jp_expression(p));
    }
    jp_expect_op(p, ']');
    return n;
}

static JNode *dict_of(JParser *p) {
    JNode *n = jp_node(p, NODE_DICT);
    jp_expect_op(p, '{');
    while (!jp_is_op(p, '}')) {
        if (n->list.count) jp_expect_op(p, ',');
        if (jp_is_op(p, '}')) break;
        jp_push(p, &n->list, jp_expression(p));
        jp_expect_op(p, ':');
        jp_push(p, &n->list, jp_expression(p));
    }
    jp_expect_op(p, '}');
    return n;
}

static JNode *name_of(JParser *p, bool namespaces) {
    JNode *n;
    const JString *name = jp_expect_name(p);
    if (js_is(name, "true") || js_is(name, "True")) return constant(p, jv_bool(true));
    if (js_is(name, "false") || js_is(name, "False")) return constant(p, jv_bool(false));
    if (js_is(name, "none") || js_is(name, "None")) return constant(p, jv_none());
    n = jp_node(p, NODE_NAME);
    if (namespaces && jp_skip_op(p, '.')) {
        n->kind = NODE_MEMBER;
        n->value = jv_string(jp_expect_name(p));
    } else {
        n->value = jv_string(name);
        p->uses |= js_is(name, "caller") ? USES_CALLER : js_is(name, "kwargs") ? USES_KWARGS
                   : js_is(name, "varargs") ? USES_VARARGS : 0;
    }
    n->id = jp_name_id(p, name);
    return n;
}

static JNode *primary(JParser *p, bool namespaces) {
    const JToken *t = p->at;
    p->j->line = t->line;
    if (t->kind == TOKEN_NAME) return name_of(p, namespaces);
    if (t->kind == TOKEN_NUMBER) return p->at++, constant(p, t->value);
    if (t->kind == TOKEN_STRING) {
        const JString *s = t->value.u.s;
        if (p->at[1].kind == TOKEN_STRING) { /* constants side by side are one */
            JBuilder b = {.j = p->j};
            for (; p->at->kind == TOKEN_STRING; p->at++) jb_string(&b, p->at->value.u.s);
            s = jb_finish(&b);
        } else p->at++;
        jp_mention(p, jv_string(s));
        return constant(p, jv_string(s));
    }
    if (jp_skip_op(p, '(')) {
        JNode *n = jp_tuple(p, PARENTHESES, NULL);
        jp_expect_op(p, ')');
        return n;
    }
    if (jp_is_op(p, '[')) return list_of(p);
    if (jp_is_op(p, '{')) return dict_of(p);
    jp_unexpected(p, "an expression");
}

static bool tuple_ends(const JParser *p, const char *end) {
    return p->at->kind == TOKEN_VARIABLE_END || p->at->kind == TOKEN_BLOCK_END || jp_is_op(p, ')') ||
           (end && jp_is_name(p, end));
}

static JNode *condition(JParser *p);
static JNode *or_of(JParser *p);

JNode *jp_tuple(JParser *p, int how, const char *end) {
    JNode *n = jp_node(p, NODE_TUPLE);
    bool is_tuple = false;
    jj_deeper(p->j);
    for (;;) {
        if (n->list.count) jp_expect_op(p, ',');
        if (tuple_ends(p, end)) break;
        jp_push(p, &n->list,
                how & SIMPLE ? primary(p, how & NAMESPACES) : how & WITHOUT_CONDITION ? or_of(p) : condition(p));
        if (!jp_is_op(p, ',')) break;
        is_tuple = true;
    }
    jj_back(p->j);
    if (!is_tuple && n->list.count) return n->list.item[0];
    if (!is_tuple && !(how & PARENTHESES)) jp_unexpected(p, "an expression");
    return n;
}

/* ---- What stands behind a primary ------------------------------------------------------------------------------- */

static void named_argument(JParser *p, JCallNode *args) {
    const JString *name = jp_expect_name(p);
    jp_expect_op(p, '=');
    for (size_t i = 0; i < args->named_count; i++)
        if (js_equal(args->named[i].name, name)) jj_fail(p->j, "an argument is given twice");
    if (args->named_count == args->named_room) {
        size_t room = args->named_room ? 2 * args->named_room : 4;
        JNamedNode *grown = jj_new(p->j, room, sizeof *grown);
        if (args->named_count) memcpy(grown, args->named, args->named_count * sizeof *grown);
        args->named = grown;
        args->named_room = room;
    }
    args->named[args->named_count++] = (JNamedNode){name, jp_expression(p)};
}

static JCallNode *call_args(JParser *p) {
    JCallNode *args = jj_new(p->j, 1, sizeof *args);
    bool comma = false;
    jp_expect_op(p, '(');
    while (!jp_is_op(p, ')')) {
        if (comma) {
            jp_expect_op(p, ',');
            if (jp_is_op(p, ')')) break;
        }
        comma = true;
        bool plain = !args->star && !args->star_star && !args->named_count;
        if (!args->star && !args->star_star && jp_skip_op(p, '*')) args->star = jp_expression(p);
        else if (!args->star_star && jp_skip_op(p, OPERATOR_POW)) args->star_star = jp_expression(p);
        else if (!args->star_star && p->at->kind == TOKEN_NAME && p->at[1].kind == TOKEN_OPERATOR && p->at[1].op == '=')
            named_argument(p, args);
        else if (plain) jp_push(p, &args->item, jp_expression(p));
        else jp_unexpected(p, "a named argument");
    }
    jp_expect_op(p, ')');
    return args;
}

static JNode *over(JParser *p, JNodeKind kind, JNode *a) {
    JNode *n = jp_node(p, kind);
    n->a = a;
    return n;
}

static JNode *subscript(JParser *p) {
    JNode *n = jp_node(p, NODE_SLICE);
    if (!jp_is_op(p, ':')) {
        n->a = jp_expression(p);
        if (!jp_is_op(p, ':')) return n->a;
    }
    jp_expect_op(p, ':');
    if (!jp_is_op(p, ':') && !jp_is_op(p, ']') && !jp_is_op(p, ',')) n->b = jp_expression(p);
    if (jp_skip_op(p, ':') && !jp_is_op(p, ']') && !jp_is_op(p, ',')) n->c = jp_expression(p);
    return n;
}

static JNode *item_of(JParser *p, JNode *a) {
    JNode *n = over(p, NODE_ITEM, a), *tuple = jp_node(p, NODE_TUPLE);
    jp_expect_op(p, '[');
    while (!jp_is_op(p, ']')) {
        if (tuple->list.count) jp_expect_op(p, ',');
        jp_push(p, &tuple->list, subscript(p));
    }
    jp_expect_op(p, ']');
    n->b = tuple->list.count == 1 ? tuple->list.item[0] : tuple;
    return n;
}

static JNode *attribute_of(JParser *p, JNode *a) {
    JNode *n = over(p, NODE_ATTRIBUTE, a);
    jp_expect_op(p, '.');
    if (p->at->kind == TOKEN_NUMBER && p->at->value.kind != J_REAL) {
        n->kind = NODE_ITEM;
        n->b = constant(p, p->at->value);
        p->at++;
        return n;
    }
    n->value = jv_string(jp_expect_name(p));
    jp_mention(p, n->value);
    return n;
}

static JNode *call_of(JParser *p, JNode *a) {
    JNode *n = over(p, NODE_CALL, a);
    n->args = call_args(p);
    return n;
}

static JNode *postfix(JParser *p, JNode *n) {
    for (;;) {
        if (jp_is_op(p, '.')) n = attribute_of(p, n);
        else if (jp_is_op(p, '[')) n = item_of(p, n);
        else if (jp_is_op(p, '(')) n = call_of(p, n);
        else return n;
    }
}

/* A filter's or test's name, which may have dots. */
static JValue row_name(JParser *p) {
    const JString *name = jp_expect_name(p);
    JBuilder b = {.j = p->j};
    jb_string(&b, name);
    while (jp_skip_op(p, '.')) {
        jb_add(&b, ".", 1, 0);
        jb_string(&b, jp_expect_name(p));
    }
    return jv_string(jb_finish(&b));
}

JNode *jp_filters(JParser *p, JNode *node, bool begun) {
    while (begun || jp_skip_op(p, '|')) {
        begun = false;
        node = over(p, NODE_FILTER, node);
        node->value = row_name(p);
        node->row = jinja_filter(node->value.u.s);
        if (jp_is_op(p, '(')) node->args = call_args(p);
    }
    return node;
}

static JNode *test_of(JParser *p, JNode *a) {
    p->at++; /* is */
    bool negated = jp_skip_name(p, "not");
    JNode *n = over(p, NODE_TEST, a);
    n->value = row_name(p);
    n->row = jinja_test(n->value.u.s);
    const JTokenKind k = p->at->kind;
    if (jp_is_op(p, '(')) n->args = call_args(p);
    else if ((k == TOKEN_NAME || k == TOKEN_STRING || k == TOKEN_NUMBER || jp_is_op(p, '[') || jp_is_op(p, '{')) &&
             !jp_is_name(p, "else") && !jp_is_name(p, "or") && !jp_is_name(p, "and")) {
        if (jp_is_name(p, "is")) jj_fail(p->j, "tests cannot follow each other");
        n->args = jj_new(p->j, 1, sizeof *n->args);
        jp_push(p, &n->args->item, postfix(p, primary(p, false)));
    }
    return negated ? over(p, NODE_NOT, n) : n;
}

static JNode *filters_and_tests(JParser *p, JNode *n) {
    for (;;) {
        if (jp_is_op(p, '|')) n = jp_filters(p, n, false);
        else if (jp_is_name(p, "is")) n = test_of(p, n);
        else if (jp_is_op(p, '(')) n = call_of(p, n);
        else return n;
    }
}

/* ---- Operators -------------------------------------------------------------------------------------------------- */

static JNode *unary(JParser *p, bool filters) {
    JNode *n;
    jj_deeper(p->j);
    if (jp_is_op(p, '-') || jp_is_op(p, '+')) {
        n = jp_node(p, jp_is_op(p, '-') ? NODE_NEGATE : NODE_PLUS);
        p->at++;
        n->a = unary(p, false);
    } else n = primary(p, false);
    n = postfix(p, n);
    if (filters) n = filters_and_tests(p, n);
    jj_back(p->j);
    return n;
}

static JNode *binary(JParser *p, JOp op, JNode *a, JNode *b) {
    JNode *n = over(p, NODE_BINARY, a);
    n->op = (uint8_t)op;
    n->b = b;
    return n;
}

static JNode *power(JParser *p) {
    JNode *n = unary(p, true);
    while (jp_skip_op(p, OPERATOR_POW)) n = binary(p, OP_POW, n, unary(p, true));
    return n;
}

static JNode *product(JParser *p) {
    JNode *n = power(p);
    for (;;) {
        if (jp_skip_op(p, '*')) n = binary(p, OP_MUL, n, power(p));
        else if (jp_skip_op(p, '/')) n = binary(p, OP_DIV, n, power(p));
        else if (jp_skip_op(p, OPERATOR_FLOORDIV)) n = binary(p, OP_FLOORDIV, n, power(p));
        else if (jp_skip_op(p, '%')) n = binary(p, OP_MOD, n, power(p));
        else return n;
    }
}

static JNode *concat(JParser *p) {
    JNode *first = product(p), *n;
    if (!jp_is_op(p, '~')) return first;
    n = jp_node(p, NODE_CONCAT);
    jp_push(p, &n->list, first);
    while (jp_skip_op(p, '~')) jp_push(p, &n->list, product(p));
    return n;
}

static JNode *sum(JParser *p) {
    JNode *n = concat(p);
    for (;;) {
        if (jp_skip_op(p, '+')) n = binary(p, OP_ADD, n, concat(p));
        else if (jp_skip_op(p, '-')) n = binary(p, OP_SUB, n, concat(p));
        else return n;
    }
}

static bool comparison(JParser *p, JComparison *out) {
    static const struct { int op; JComparison is;
    } ops[] = {{OPERATOR_EQ, COMPARE_EQ}, {OPERATOR_NE, COMPARE_NE}, {'<', COMPARE_LT},
               {OPERATOR_LE, COMPARE_LE}, {'>', COMPARE_GT},         {OPERATOR_GE, COMPARE_GE}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (jp_skip_op(p, ops[i].op)) return *out = ops[i].is, true;
    if (jp_skip_name(p, "in")) return *out = COMPARE_IN, true;
    if (!jp_is_name(p, "not") || p->at[1].kind != TOKEN_NAME || !js_is(p->at[1].value.u.s, "in")) return false;
    p->at += 2;
    return *out = COMPARE_NOT_IN, true;
}

/* a < b < c: the comparisons stand as nodes of their own, `op`, each before its right side. */
static JNode *compare(JParser *p) {
    JNode *first = sum(p), *n = NULL;
    for (JComparison op; comparison(p, &op);) {
        if (!n) n = jp_node(p, NODE_COMPARE), jp_push(p, &n->list, first);
        JNode *right = over(p, NODE_COMPARE, sum(p));
        right->op = (uint8_t)op;
        jp_push(p, &n->list, right);
    }
    return n ? n : first;
}

static JNode *not_of(JParser *p) {
    jj_deeper(p->j);
    JNode *n = jp_skip_name(p, "not") ? over(p, NODE_NOT, not_of(p)) : compare(p);
    jj_back(p->j);
    return n;
}

static JNode *and_of(JParser *p) {
    JNode *n = not_of(p);
    while (jp_skip_name(p, "and")) n = over(p, NODE_AND, n), n->b = not_of(p);
    return n;
}

static JNode *or_of(JParser *p) {
    JNode *n = and_of(p);
    while (jp_skip_name(p, "or")) n = over(p, NODE_OR, n), n->b = and_of(p);
    return n;
}

static JNode *condition(JParser *p) {
    jj_deeper(p->j);
    JNode *n = or_of(p);
    while (jp_skip_name(p, "if")) {
        n = over(p, NODE_CONDITION, n);
        n->b = or_of(p);
        if (jp_skip_name(p, "else")) n->c = condition(p);
    }
    jj_back(p->j);
    return n;
}

JNode *jp_expression(JParser *p) { return condition(p); }
