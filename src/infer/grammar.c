/* grammar.c: expressions, and their expansion into a graph of bytes, forks and calls. */
#include "grammar.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef enum ExprKind { EXPR_EMPTY, EXPR_TEXT, EXPR_CLASS, EXPR_THEN, EXPR_OR, EXPR_REPEAT, EXPR_RULE } ExprKind;
typedef struct Expr {
    ExprKind kind;
    int a, b;               /* parts; text and class: first item and count; rule: its number */
    int64_t least, most;
} Expr;
typedef struct Rule {
    char *name;
    int body;
    int32_t start;
    uint8_t mark;
} Rule; /* body -1: not defined; start -1: not yet */

struct Builder {
    Err *err;
    Expr *expr;
    CodeRange *range;
    Rule *rule;
    char *text;
    GrammarNode *node;
    size_t exprs, expr_room, ranges, range_room, rules, rule_room, bytes, byte_room, nodes, node_room;
    int depth;
    int64_t work;
};

Builder *builder_new(Err *err) {
    Builder *b = mem_new(1, sizeof *b, "grammar", err);
    if (!b) return NULL;
    b->err = err;
    if (!mem_grow((void **)&b->expr, &b->expr_room, 64, sizeof *b->expr, "grammar", err)) return free(b), NULL;
    b->expr[b->exprs++] = (Expr){.kind = EXPR_EMPTY};
    return b;
}

bool builder_fail(Builder *b, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(b->err, "grammar: %s", text);
}

static int expr_new(Builder *b, Expr e) {
    if (b->exprs >= MAX_GRAMMAR_NODES) return builder_fail(b, "expected at most %d expressions", MAX_GRAMMAR_NODES), -1;
    if (!mem_grow((void **)&b->expr, &b->expr_room, b->exprs + 1, sizeof *b->expr, "grammar", b->err)) return -1;
    b->expr[b->exprs] = e;
    return (int)b->exprs++;
}

int builder_text(Builder *b, const char *text, size_t bytes) {
    if (bytes == 0) return 0;
    if (bytes > MAX_GRAMMAR_BYTES ||
        !mem_grow((void **)&b->text, &b->byte_room, b->bytes + bytes, 1, "grammar", b->err))
        return -1;
    memcpy(b->text + b->bytes, text, bytes);
    b->bytes += bytes;
    return expr_new(b, (Expr){.kind = EXPR_TEXT, .a = (int)(b->bytes - bytes), .b = (int)bytes});
}

static int range_order(const void *x, const void *y) {
    const CodeRange *a = x, *c = y;
    return (a->low > c->low) - (a->low < c->low);
}

static bool range_add(Builder *b, int32_t low, int32_t high) {
    if (low > high) return true;
    if (!mem_grow((void **)&b->range, &b->range_room, b->ranges + 1, sizeof *b->range, "grammar", b->err)) return false;
    b->range[b->ranges++] = (CodeRange){low, high};
    return true;
}

/* Ranges sorted and apart, without surrogates. */
int builder_class(Builder *b, const CodeRange *ranges, int count, bool negated) {
    size_t first = b->ranges;
    CodeRange *sorted = mem_new((size_t)count + 1, sizeof *sorted, "grammar", b->err);
    bool ok = sorted != NULL;
    int32_t at = 0; /* next code not yet decided */
    if (ok && count)
        memcpy(sorted, ranges, (size_t)count * sizeof *sorted),
            qsort(sorted, (size_t)count, sizeof *sorted, range_order);
    if (ok) sorted[count] = (CodeRange){0x110000, 0x10FFFF};
    for (int i = 0; ok && i <= count; i++) {
        CodeRange gap = {at, sorted[i].low - 1}, own = {sorted[i].low > at ? sorted[i].low : at, sorted[i].high};
        CodeRange r = negated ? gap : own;
        if (r.low < 0xD800 && r.high > 0xDFFF) ok = range_add(b, r.low, 0xD7FF) && range_add(b, 0xE000, r.high);
        else if (r.low <= 0xDFFF && r.high >= 0xD800)
            ok = range_add(b, r.low, r.high < 0xD7FF ? r.high : 0xD7FF) &&
                 range_add(b, r.low > 0xE000 ? r.low : 0xE000, r.high);
        else ok = range_add(b, r.low, r.high);
        if (sorted[i].high + 1 > at) at = sorted[i].high + 1;
    }
    free(sorted);
    return ok ? expr_new(b, (Expr){.kind = EXPR_CLASS, .a = (int)first, .b = (int)(b->ranges - first)}) : -1;
}

int builder_then(Builder *b, int first, int second) {
    if (first < 0 || second < 0) return -1;
    return first == 0 ? second : second == 0 ? first : expr_new(b, (Expr){.kind = EXPR_THEN, .a = first, .b = second});
}

int builder_or(Builder *b, int one, int other) {
    return one < 0 || other < 0 ? -1 : expr_new(b, (Expr){.kind = EXPR_OR, .a = one, .b = other});
}

int builder_repeat(Builder *b, int of, int64_t least, int64_t most) {
    if (of < 0) return -1;
    if (least < 0 || (most >= 0 && most < least) || least > MAX_GRAMMAR_NODES || most > MAX_GRAMMAR_NODES)
        return builder_fail(b, "repetition {%lld,%lld}: expected 0 <= least <= most <= %d", (long long)least,
                            (long long)most, MAX_GRAMMAR_NODES), -1;
    return expr_new(b, (Expr){.kind = EXPR_REPEAT, .a = of, .least = least, .most = most});
}

static int rule_find(Builder *b, const char *name, size_t bytes) {
    for (size_t i = 0; i < b->rules; i++)
        if (!strncmp(b->rule[i].name, name, bytes) && !b->rule[i].name[bytes]) return (int)i;
    if (b->rules >= 4096) return builder_fail(b, "expected at most 4096 rules"), -1;
    if (!mem_grow((void **)&b->rule, &b->rule_room, b->rules + 1, sizeof *b->rule, "grammar", b->err)) return -1;
    char *copy = mem_new(bytes + 1, 1, "grammar", b->err);
    if (!copy) return -1;
    memcpy(copy, name, bytes);
    b->rule[b->rules] = (Rule){copy, -1, -1, 0};
    return (int)b->rules++;
}

int builder_rule(Builder *b, const char *name, size_t bytes) {
    int rule = rule_find(b, name, bytes);
    return rule < 0 ? -1 : expr_new(b, (Expr){.kind = EXPR_RULE, .a = rule});
}

bool builder_define(Builder *b, const char *name, size_t bytes, int body) {
    int rule = body < 0 ? -1 : rule_find(b, name, bytes);
    if (rule < 0) return false;
    if (b->rule[rule].body >= 0) return builder_fail(b, "rule '%.100s' is defined twice", b->rule[rule].name);
    b->rule[rule].body = body;
    return true;
}

/* ---- Expansion: from the right, each expression knows what follows it -------------------------------------------- */

static int32_t node_new(Builder *b, GrammarNode n) {
    if (b->nodes >= MAX_GRAMMAR_NODES)
        return builder_fail(b, "too large: expected at most %d nodes after repetitions are written out",
                            MAX_GRAMMAR_NODES),
               -1;
    if (!mem_grow((void **)&b->node, &b->node_room, b->nodes + 1, sizeof *b->node, "grammar", b->err)) return -1;
    b->node[b->nodes] = n;
    return (int32_t)b->nodes++;
}

static int32_t node_bytes(Builder *b, uint8_t low, uint8_t high, int32_t next) {
    return next < 0 ? -1 : node_new(b, (GrammarNode){GRAMMAR_BYTES, low, high, next, 0});
}
static int32_t node_fork(Builder *b, int32_t one, int32_t other) {
    return one < 0 || other < 0 ? -1 : node_new(b, (GrammarNode){GRAMMAR_FORK, 0, 0, one, other});
}

static int utf8_bytes(int32_t code, uint8_t *out) {
    if (code < 0x80) return out[0] = (uint8_t)code, 1;
    int n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, code >>= 6) out[i] = (uint8_t)(0x80 | (code & 0x3F));
    out[0] = (uint8_t)((0xF00 >> n & 0xFF) | code);
    return n;
}

/* Characters low..high of the same length in bytes, from byte `at` on: equal first bytes, else ends and a full
 * middle. */
static int32_t node_span(Builder *b, const uint8_t *low, const uint8_t *high, int at, int n, int32_t next) {
    if (at == n) return next;
    if (low[at] == high[at]) return node_bytes(b, low[at], high[at], node_span(b, low, high, at + 1, n, next));
    bool whole_low = true, whole_high = true;
    for (int i = at + 1; i < n; i++) whole_low &= low[i] == 0x80, whole_high &= high[i] == 0xBF;
    uint8_t least[4], most[4], from = low[at], to = high[at];
    memset(least, 0x80, sizeof least);
    memset(most, 0xBF, sizeof most);
    int32_t way = -2; /* none yet */
    if (!whole_low) way = node_bytes(b, from, from, node_span(b, low, most, at + 1, n, next)), from++;
    if (!whole_high) {
        int32_t last = node_bytes(b, to, to, node_span(b, least, high, at + 1, n, next));
        way = way == -2 ? last : node_fork(b, way, last);
        to--;
    }
    if (from <= to) {
        int32_t middle = node_bytes(b, from, to, node_span(b, least, most, at + 1, n, next));
        way = way == -2 ? middle : node_fork(b, way, middle);
    }
    return way;
}

static int32_t expand_class(Builder *b, const Expr *e, int32_t next) {
    static const int32_t ends[] = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};
    int32_t way = -2;
    for (int i = e->a; i < e->a + e->b; i++) {
        int32_t from = b->range[i].low;
        for (int k = 0; k < 4; k++) {
            int32_t to = b->range[i].high < ends[k] ? b->range[i].high : ends[k];
            uint8_t low[4], high[4];
            if (from > to) continue;
            int n = utf8_bytes(from, low);
            utf8_bytes(to, high);
            int32_t one = node_span(b, low, high, 0, n, next);
            way = way == -2 ? one : node_fork(b, way, one);
            if (way == -1) return -1;
            from = to + 1;
        }
    }
    return way == -2 ? builder_fail(b, "a class without characters"), -1 : way;
}

static int32_t expand(Builder *b, int expr, int32_t next);

static int32_t expand_rule(Builder *b, int rule, int32_t next) {
    if (b->rule[rule].body < 0) return builder_fail(b, "rule '%.100s' is not defined", b->rule[rule].name), -1;
    return node_new(b, (GrammarNode){GRAMMAR_CALL, 0, 0, next, rule}); /* the rule's start is put in at the end */
}

static int32_t expand_repeat(Builder *b, const Expr *e, int32_t next) {
    int32_t way = next;
    if (e->most < 0) { /* a loop: a fork into the body, which comes back to it, or on */
        int32_t loop = node_new(b, (GrammarNode){GRAMMAR_FORK, 0, 0, 0, next});
        int32_t body = loop < 0 ? -1 : expand(b, e->a, loop);
        if (body < 0) return -1;
        b->node[loop].next = body;
        way = loop;
    }
    for (int64_t i = e->least; i < e->most && way >= 0; i++) way = node_fork(b, expand(b, e->a, way), next);
    for (int64_t i = 0; i < e->least && way >= 0; i++) way = expand(b, e->a, way);
    return way;
}

static int32_t expand_text(Builder *b, const Expr *e, int32_t next) {
    for (int i = e->b - 1; i >= 0 && next >= 0; i--) {
        uint8_t byte = (uint8_t)b->text[e->a + i];
        next = node_bytes(b, byte, byte, next);
    }
    return next;
}

/* Sequences and alternatives lean to the left and may be long: along them this is a loop. */
static int32_t expand(Builder *b, int expr, int32_t next) {
    if (b->depth > 4000) return builder_fail(b, "nested too deeply"), -1;
    b->depth++;
    int32_t other = -2; /* the alternatives so far */
    for (; next >= 0 && b->expr[expr].kind == EXPR_OR; expr = b->expr[expr].a) {
        int32_t one = expand(b, b->expr[expr].b, next);
        other = other == -2 ? one : node_fork(b, one, other);
        if (other == -1) next = -1;
    }
    for (; next >= 0 && b->expr[expr].kind == EXPR_THEN; expr = b->expr[expr].a)
        next = expand(b, b->expr[expr].b, next);
    if (next >= 0 && ++b->work > 8 * MAX_GRAMMAR_NODES)
        builder_fail(b, "too large after repetitions are written out"), next = -1;
    Expr e = b->expr[expr];
    int32_t way = next;
    if (next >= 0 && e.kind == EXPR_TEXT) way = expand_text(b, &e, next);
    if (next >= 0 && e.kind == EXPR_CLASS) way = expand_class(b, &e, next);
    if (next >= 0 && e.kind == EXPR_OR) way = expand(b, expr, next);
    if (next >= 0 && e.kind == EXPR_REPEAT) way = expand_repeat(b, &e, next);
    if (next >= 0 && e.kind == EXPR_RULE) way = expand_rule(b, e.a, next);
    b->depth--;
    return other == -2 ? way : node_fork(b, way, other);
}

/* ---- Left recursion: a rule that calls itself before it reads a byte would never end ----------------------------- */

/* Whether a rule may be empty: 1; not: 0. By iteration until nothing changes. */
static bool empty_from(const Builder *b, const uint8_t *empty, int32_t from, uint8_t *seen, int32_t *stack) {
    int32_t top = 0;
    bool found = false;
    memset(seen, 0, b->nodes);
    for (stack[top++] = from; top && !found;) {
        int32_t at = stack[--top];
        const GrammarNode *n = &b->node[at];
        if (seen[at]) continue;
        seen[at] = 1;
        if (n->kind == GRAMMAR_RETURN) found = true;
        if (n->kind == GRAMMAR_FORK) stack[top++] = n->next, stack[top++] = n->other;
        if (n->kind == GRAMMAR_CALL && empty[n->other]) stack[top++] = n->next;
    }
    return found;
}

/* The rules that `rule` may call before any byte. */
static int *left_calls(Builder *b, const uint8_t *empty, int rule, int *count) {
    uint8_t *seen = mem_new(b->nodes, 1, "grammar", b->err);
    int32_t *stack = mem_new(2 * b->nodes + 2, sizeof *stack, "grammar", b->err), top = 0;
    int *calls = NULL;
    size_t room = 0;
    bool ok = seen && stack && mem_grow((void **)&calls, &room, 1, sizeof *calls, "grammar", b->err);
    *count = 0;
    if (ok) stack[top++] = b->rule[rule].start;
    while (ok && top) {
        int32_t at = stack[--top];
        const GrammarNode *n = &b->node[at];
        if (seen[at]) continue;
        seen[at] = 1;
        if (n->kind == GRAMMAR_FORK) stack[top++] = n->next, stack[top++] = n->other;
        if (n->kind != GRAMMAR_CALL) continue;
        if (empty[n->other]) stack[top++] = n->next;
        int i = 0;
        while (i < *count && calls[i] != n->other) i++;
        if (i < *count) continue;
        ok = mem_grow((void **)&calls, &room, (size_t)*count + 1, sizeof *calls, "grammar", b->err);
        if (ok) calls[(*count)++] = n->other;
    }
    free(seen);
    free(stack);
    if (ok) return calls;
    free(calls);
    return NULL;
}

/* Depth first over those calls. mark: 1 under way, 2 done. */
static bool left_check(Builder *b, const uint8_t *empty, int rule, int depth) {
    Rule *r = &b->rule[rule];
    if (r->mark == 2 || r->start < 0) return true;
    if (r->mark == 1) return builder_fail(b, "rule '%.100s' calls itself before it reads anything", r->name);
    if (depth > MAX_STACK) return builder_fail(b, "rules call each other %d deep before they read anything", MAX_STACK);
    r->mark = 1;
    int count, *calls = left_calls(b, empty, rule, &count);
    bool ok = calls != NULL;
    for (int i = 0; ok && i < count; i++) ok = left_check(b, empty, calls[i], depth + 1);
    free(calls);
    r->mark = 2;
    return ok;
}

static bool rules_check(Builder *b) {
    uint8_t *empty = mem_new(b->rules + 1, 1, "grammar", b->err), *seen = mem_new(b->nodes, 1, "grammar", b->err);
    int32_t *stack = mem_new(2 * b->nodes + 2, sizeof *stack, "grammar", b->err);
    bool ok = empty && seen && stack, more = ok;
    int64_t work = 0;
    while (more && ok) {
        more = false;
        for (size_t i = 0; ok && i < b->rules; i++) {
            if (empty[i] || b->rule[i].start < 0) continue;
            if ((work += (int64_t)b->nodes / 64) > 1 << 26) ok = builder_fail(b, "too many rules for its size");
            else if (empty_from(b, empty, b->rule[i].start, seen, stack)) empty[i] = 1, more = true;
        }
    }
    for (size_t i = 0; ok && i < b->rules; i++) ok = left_check(b, empty, (int)i, 0);
    free(empty);
    free(seen);
    free(stack);
    return ok;
}

Grammar *builder_finish(Builder *b, const char *root) {
    Grammar *g = b->err->set ? NULL : mem_new(1, sizeof *g, "grammar", b->err);
    int start = g ? rule_find(b, root, strlen(root)) : -1;
    bool ok = start >= 0 && node_new(b, (GrammarNode){.kind = GRAMMAR_RETURN}) == 0;
    if (ok && b->rule[start].body < 0) ok = builder_fail(b, "no rule '%.100s'", root);
    for (size_t i = 0; ok && i < b->rules; i++)
        if (b->rule[i].body >= 0) ok = (b->rule[i].start = expand(b, b->rule[i].body, 0)) >= 0;
    ok = ok && rules_check(b);
    for (size_t i = 0; ok && i < b->nodes; i++)
        if (b->node[i].kind == GRAMMAR_CALL) b->node[i].other = b->rule[b->node[i].other].start;
    if (ok) {
        atomic_init(&g->users, 1);
        g->node = b->node;
        g->count = (int32_t)b->nodes;
        g->start = b->rule[start].start;
        b->node = NULL;
    } else {
        builder_fail(b, "failed");
        free(g);
        g = NULL;
    }
    for (size_t i = 0; i < b->rules; i++) free(b->rule[i].name);
    free(b->expr), free(b->range), free(b->rule), free(b->text), free(b->node), free(b);
    return g;
}

Grammar *grammar_share(Grammar *grammar) {
    if (grammar) atomic_fetch_add(&grammar->users, 1);
    return grammar;
}

void grammar_release(Grammar *grammar) {
    if (!grammar || atomic_fetch_sub(&grammar->users, 1) > 1) return;
    free(grammar->node);
    free(grammar);
}
