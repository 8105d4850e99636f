/* grammar_expand.c: rules become a graph of bytes, forks and calls. From the right: each expression knows what follows
 * it. */
#include "grammar_build.h"
#include <string.h>
#include "../text/unicode.h"

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

/* Either way; -2 is none yet. */
static int32_t node_either(Builder *b, int32_t one, int32_t other) {
    return one == -2 ? other : node_fork(b, one, other);
}
static int32_t node_never(Builder *b) { return node_new(b, (GrammarNode){GRAMMAR_BYTES, 1, 0, 0, 0}); }

/* Characters low..high in UTF-8, beside `way`. */
static int32_t node_range(Builder *b, int32_t low, int32_t high, int32_t next, int32_t way) {
    static const int32_t ends[] = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};
    for (int k = 0; k < 4 && way != -1; k++) {
        int32_t to = high < ends[k] ? high : ends[k];
        uint8_t first[4], last[4];
        if (low > to) continue;
        int n = utf8_write(low, first);
        utf8_write(to, last);
        way = node_either(b, way, node_span(b, first, last, 0, n, next));
        low = to + 1;
    }
    return way;
}

static int32_t expand_class(Builder *b, const Expr *e, int32_t next) {
    int32_t way = -2;
    for (int i = e->a; i < e->a + e->b && way != -1; i++)
        way = node_range(b, b->range[i].low, b->range[i].high, next, way);
    return way == -2 ? builder_fail(b, "a class without characters"), -1 : way;
}

/* Hexadecimal digits low..high, in either case. */
static int32_t node_hex(Builder *b, int low, int high, int32_t next) {
    int32_t way = -2;
    if (low < 10) way = node_bytes(b, (uint8_t)('0' + low), (uint8_t)('0' + (high < 9 ? high : 9)), next);
    for (int base = 'A'; high > 9 && base <= 'a'; base += 'a' - 'A') {
        int from = low > 10 ? low : 10;
        way = node_either(b, way, node_bytes(b, (uint8_t)(base + from - 10), (uint8_t)(base + high - 10), next));
    }
    return way;
}

/* Characters low..high of a string, as JSON writes them after a backslash; -2 when it needs none of them to. */
static int32_t node_escapes(Builder *b, int32_t low, int32_t high, int32_t next) {
    static const char named[] = "\b\f\n\r\t\"\\", letter[] = "bfnrt\"\\";
    int32_t way = -2;
    for (int i = 0; i < 7 && way != -1; i++)
        if (named[i] >= low && named[i] <= high)
            way = node_either(b, way, node_bytes(b, (uint8_t)letter[i], (uint8_t)letter[i], next));
    for (int high_digit = 0; high_digit < 2 && way != -1; high_digit++) {
        int from = low > high_digit * 16 ? low - high_digit * 16 : 0;
        int to = high < high_digit * 16 + 15 ? high - high_digit * 16 : 15;
        if (from > to) continue;
        int32_t code = node_hex(b, high_digit, high_digit, node_hex(b, from, to, next));
        for (const char *p = "00u"; *p; p++) code = node_bytes(b, (uint8_t)*p, (uint8_t)*p, code);
        way = node_either(b, way, code);
    }
    return way < 0 ? way : node_bytes(b, '\\', '\\', way);
}

/* Characters low..high within a string of JSON, beside `way`. */
static int32_t node_json(Builder *b, int32_t low, int32_t high, int32_t next, int32_t way) {
    static const CodeRange plain[] = {{0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, 0xD7FF}, {0xE000, 0x10FFFF}};
    int32_t escaped = node_escapes(b, low, high, next);
    if (escaped != -2) way = node_either(b, way, escaped);
    for (int i = 0; i < 4 && way != -1; i++) {
        int32_t from = low > plain[i].low ? low : plain[i].low, to = high < plain[i].high ? high : plain[i].high;
        if (from <= to) way = node_range(b, from, to, next, way);
    }
    return way;
}

/* A fork for every state first, as states lead to each other; then what each can do. */
static int32_t expand_automaton(Builder *b, const Expr *e, int32_t next) {
    const Automaton *a = e->automaton;
    int32_t first = (int32_t)b->nodes;
    if (a->states == 0) return node_never(b);
    for (int32_t i = 0; i < a->states; i++)
        if (node_new(b, (GrammarNode){GRAMMAR_FORK, 0, 0, next, next}) < 0) return -1;
    for (int32_t i = 0; i < a->states; i++) {
        int32_t way = a->accepts[i] ? next : -2;
        for (int32_t k = 0; k < a->edges[i] && way != -1; k++) {
            const Edge *edge = &a->edge[i][k];
            way = (e->b ? node_json : node_range)(b, edge->low, edge->high, first + edge->to, way);
        }
        if (way == -1) return -1;
        if (way == -2) way = node_never(b); /* lone surrogates only */
        b->node[first + i].next = b->node[first + i].other = way;
    }
    return first;
}

static int32_t expand(Builder *b, int expr, int32_t next);

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
    if (next >= 0 && e.kind == EXPR_RULE) way = node_new(b, (GrammarNode){GRAMMAR_CALL, 0, 0, next, e.a});
    if (next >= 0 && e.kind == EXPR_NEVER) way = node_never(b);
    if (next >= 0 && e.kind == EXPR_AUTOMATON) way = expand_automaton(b, &e, next);
    b->depth--;
    return other == -2 ? way : node_fork(b, way, other);
}

bool grammar_expand(Builder *b) {
    bool ok = node_new(b, (GrammarNode){.kind = GRAMMAR_RETURN}) == 0;
    for (size_t i = 0; ok && i < b->rules; i++) ok = (b->rule[i].start = expand(b, b->rule[i].body, 0)) >= 0;
    return ok;
}
