/* grammar.c: expressions and rules of a grammar under construction. */
#include "grammar_build.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

Builder *builder_new(Err *err) {
    Builder *b = mem_new(1, sizeof *b, "grammar", err);
    if (!b) return NULL;
    b->err = err;
    if (!mem_grow((void **)&b->expr, &b->expr_room, 64, sizeof *b->expr, "grammar", err)) return free(b), NULL;
    b->expr[b->exprs++] = (Expr){.kind = EXPR_EMPTY};
    return b;
}

void builder_free(Builder *b) {
    for (size_t i = 0; i < b->rules; i++) free(b->rule[i].name);
    free(b->expr), free(b->range), free(b->rule), free(b->text), free(b->node), free(b);
}

static int expr_new(Builder *b, Expr e) {
    if (b->err->kind) return -1;
    if (b->exprs >= MAX_EXPRESSIONS) return builder_fail(b, "expected at most %d expressions", MAX_EXPRESSIONS), -1;
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
    if (least < 0 || (most >= 0 && most < least) || least > MAX_REPEAT || most > MAX_REPEAT)
        return builder_fail(b, "repetition {%lld,%lld}: expected 0 <= least <= most <= %d", (long long)least,
                            (long long)most, MAX_REPEAT), -1;
    return expr_new(b, (Expr){.kind = EXPR_REPEAT, .a = of, .least = least, .most = most});
}

int builder_never(Builder *b) { return expr_new(b, (Expr){.kind = EXPR_NEVER}); }
int builder_anchor(Builder *b, bool end) { return expr_new(b, (Expr){.kind = end ? EXPR_END : EXPR_BEGIN}); }
int builder_automaton(Builder *b, const Automaton *automaton, bool json) {
    return automaton ? expr_new(b, (Expr){.kind = EXPR_AUTOMATON, .b = json, .automaton = automaton}) : -1;
}

/* ---- Rules ------------------------------------------------------------------------------------------------------- */

int builder_rule(Builder *b) {
    if (b->err->kind) return -1;
    if (b->rules >= MAX_RULES) return builder_fail(b, "expected at most %d rules", MAX_RULES), -1;
    if (!mem_grow((void **)&b->rule, &b->rule_room, b->rules + 1, sizeof *b->rule, "grammar", b->err)) return -1;
    b->rule[b->rules] = (Rule){NULL, -1, -1, 0};
    return (int)b->rules++;
}

int builder_call(Builder *b, int rule) { return rule < 0 ? -1 : expr_new(b, (Expr){.kind = EXPR_RULE, .a = rule}); }

bool builder_define(Builder *b, int rule, int body) {
    if (rule < 0 || body < 0) return false;
    if (b->rule[rule].body >= 0) return builder_fail(b, "rule '%.100s' is defined twice", b->rule[rule].name);
    b->rule[rule].body = body;
    return true;
}

int builder_named(Builder *b, const char *name, size_t bytes) {
    for (size_t i = 0; i < b->rules; i++)
        if (!strncmp(b->rule[i].name, name, bytes) && !b->rule[i].name[bytes]) return (int)i;
    if (b->rules >= MAX_NAMED_RULES) return builder_fail(b, "expected at most %d rules", MAX_NAMED_RULES), -1;
    char *copy = mem_new(bytes + 1, 1, "grammar", b->err);
    int rule = copy ? builder_rule(b) : -1;
    if (rule < 0) return free(copy), -1;
    memcpy(copy, name, bytes);
    b->rule[rule].name = copy;
    return rule;
}

static bool rules_defined(Builder *b) {
    for (size_t i = 0; i < b->rules; i++)
        if (b->rule[i].body < 0) {
            if (b->rule[i].name) return builder_fail(b, "rule '%.100s' is not defined", b->rule[i].name);
            return builder_fail(b, "a rule is not defined");
        }
    return true;
}

Grammar *builder_finish(Builder *b, int root) {
    Grammar *g = root < 0 || b->err->kind ? NULL : mem_new(1, sizeof *g, "grammar", b->err);
    bool ok = g && rules_defined(b) && grammar_expand(b) && (b->forward || grammar_check_left(b));
    for (size_t i = 0; ok && i < b->nodes; i++)
        if (b->node[i].kind == GRAMMAR_CALL) b->node[i].other = b->rule[b->node[i].other].start;
    ok = ok && grammar_prune(b, b->rule[root].start);
    if (ok) {
        atomic_init(&g->users, 1);
        g->node = b->node;
        g->count = (int32_t)b->nodes;
        g->start = b->rule[root].start;
        b->node = NULL;
    } else {
        builder_fail(b, "failed");
        free(g);
        g = NULL;
    }
    builder_free(b);
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
