/* grammar_join.c: grammars made of grammars, whatever notation each came from: their nodes stand side by side, and a
 * call goes into each. A way through the whole ends where the ways through its parts do, so nothing is checked anew. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "grammar_build.h"

typedef struct Join {
    GrammarNode *node; /* node 0 returns, for every part too: each is called */
    size_t count, room;
    Err *err;
} Join;

static int32_t join_node(Join *j, GrammarNode n) {
    if (j->err->kind) return -1;
    if (j->count >= MAX_GRAMMAR_NODES)
        return err_as(j->err, QM_LIMIT, "grammar: too large: expected at most %d nodes in all", MAX_GRAMMAR_NODES), -1;
    if (!mem_grow((void **)&j->node, &j->room, j->count + 1, sizeof *j->node, "grammar", j->err)) return -1;
    j->node[j->count] = n;
    return (int32_t)j->count++;
}

/* Where a part's node stands from now on. */
static int32_t moved(int32_t node, int32_t by) { return node ? node + by : 0; }

/* The nodes of a part; its start, -1 on an error. */
static int32_t join_part(Join *j, const Grammar *g) {
    if (j->err->kind) return -1;
    int32_t by = (int32_t)j->count - 1;
    for (int32_t i = 1; i < g->count; i++) {
        GrammarNode n = g->node[i];
        n.next = moved(n.next, by);
        if (n.kind != GRAMMAR_BYTES) n.other = moved(n.other, by);
        if (join_node(j, n) < 0) return -1;
    }
    return moved(g->start, by);
}

static int32_t join_call(Join *j, int32_t start, int32_t next) {
    return start < 0 || next < 0 ? -1 : join_node(j, (GrammarNode){GRAMMAR_CALL, 0, 0, next, start});
}
static int32_t join_fork(Join *j, int32_t one, int32_t other) {
    return one < 0 || other < 0 ? -1 : join_node(j, (GrammarNode){GRAMMAR_FORK, 0, 0, one, other});
}

static Join join_begin(Err *err) {
    Join j = {.err = err};
    join_node(&j, (GrammarNode){.kind = GRAMMAR_RETURN});
    return j;
}

static Grammar *join_end(Join *j, int32_t start) {
    Grammar *g = start < 0 ? NULL : mem_new(1, sizeof *g, "grammar", j->err);
    if (!g) return free(j->node), NULL;
    atomic_init(&g->users, 1);
    g->node = j->node;
    g->count = (int32_t)j->count;
    g->start = start;
    return g;
}

static bool all_there(Grammar *const *parts, int count) {
    for (int i = 0; i < count; i++)
        if (!parts[i]) return false;
    return true;
}

Grammar *grammar_then(Grammar *const *parts, int count, Err *err) {
    if (!all_there(parts, count)) return NULL;
    Join j = join_begin(err);
    int32_t at = 0;
    for (int i = count - 1; i >= 0; i--) at = join_call(&j, join_part(&j, parts[i]), at);
    return join_end(&j, at);
}

Grammar *grammar_either(Grammar *const *ways, int count, Err *err) {
    if (count == 0) return err_set(err, "grammar: expected a way, got none"), NULL;
    if (!all_there(ways, count)) return NULL;
    Join j = join_begin(err);
    int32_t at = join_call(&j, join_part(&j, ways[count - 1]), 0);
    for (int i = count - 2; i >= 0; i--) at = join_fork(&j, join_call(&j, join_part(&j, ways[i]), 0), at);
    return join_end(&j, at);
}

Grammar *grammar_list(Grammar *one, Grammar *between, Err *err) {
    if (!one || !between) return NULL;
    Join j = join_begin(err);
    int32_t item = join_part(&j, one), gap = join_part(&j, between);
    int32_t more = join_fork(&j, 0, 0), again = join_call(&j, item, more);
    int32_t next = join_call(&j, gap, again);
    if (next >= 0) j.node[more].next = next;
    return join_end(&j, again);
}

/* ---- Parts ------------------------------------------------------------------------------------------------------- */

Grammar *grammar_text(const char *text, size_t bytes, Err *err) {
    Builder *b = err->kind ? NULL : builder_new(err);
    if (!b) return NULL;
    int root = builder_rule(b);
    builder_define(b, root, builder_text(b, text, bytes));
    return builder_finish(b, root);
}

/* How much of the mark stands at the end of its first `state` bytes and one more. */
static int32_t mark_step(const char *mark, int32_t state, char byte) {
    for (int32_t keep = state + 1; keep > 0; keep--)
        if (mark[keep - 1] == byte && !memcmp(mark, mark + state + 1 - keep, (size_t)keep - 1)) return keep;
    return 0;
}

Grammar *grammar_until(const char *mark, bool with_mark, Err *err) {
    Builder *b = err->kind ? NULL : builder_new(err);
    if (!b) return NULL;
    AutomatonShop shop = {.err = err};
    AutomatonDraft d = {0};
    int32_t length = (int32_t)strlen(mark);
    for (int32_t i = 0; i < length + with_mark; i++) draft_state(&shop, &d, with_mark == (i == length));
    for (int32_t i = 0; i < length; i++) {
        for (int32_t code = 0; code < 128; code++) {
            int32_t to = mark_step(mark, i, (char)code);
            if (to < length || with_mark) draft_edge(&shop, &d, i, code, code, to);
        }
        draft_edge(&shop, &d, i, 128, 0x10FFFF, 0);
    }
    const Automaton *a = draft_finish(&shop, &d);
    int root = builder_rule(b);
    builder_define(b, root, builder_automaton(b, a, false));
    Grammar *g = builder_finish(b, root);
    arena_free(&shop.arena);
    return g;
}
